//! `countersign backup`, `restore` and `restored`, by the command itself: what comes back, what must not, and what is
//! refused.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use countersign::config::{Config, DatabaseUrl};
use countersign::grpc::pb::{self, ApprovalAuthority, EmailVerificationRule, ErrorReason, Policy, SelfRegistration};
use sea_orm::{ConnectionTrait as _, Database};
use tempfile::TempDir;
use tonic::Code;

use crate::support::{Backend, Binary, Caller, Reachable as _, TestApp, Throwaway, refusal};

const INVALID: (Code, ErrorReason) = (Code::Unauthenticated, ErrorReason::CredentialInvalid);

/// A data directory, and room for backups beside it.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    async fn serve(&self) -> Binary {
        Binary::spawn(&self.data(), None).await
    }

    fn backup(&self, name: &str) -> Output {
        self.command("backup", "--to", &self.file(name))
    }

    fn restore(&self, from: &Path) -> Output {
        self.command("restore", "--from", from)
    }

    fn command(&self, verb: &str, flag: &str, file: &Path) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        command.args([verb, flag]).arg(file).arg("--data-dir").arg(self.data()).output().unwrap()
    }
}

/// Says that a command did its work.
fn done(output: &Output) {
    assert!(output.status.success(), "{output:?}");
}

/// Says that a command refused, in these words.
fn refused(output: &Output, words: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains(words), "{words:?} is not in {output:?}");
}

async fn me(caller: &Caller) -> Result<(), tonic::Status> {
    caller.sessions().get_me(pb::GetMeRequest {}).await.map(drop)
}

/// A realm that anybody enters by themself.
async fn open_realm(operator: &Caller) -> Caller {
    let created = pb::CreateRealmRequest { name: "acme".to_owned(), ..Default::default() };
    operator.realms().create_realm(created).await.unwrap();
    let operator = operator.clone().in_realm("acme");
    let policy = Policy {
        self_registration: SelfRegistration::Open.into(),
        approval: ApprovalAuthority::None.into(),
        email_verification: EmailVerificationRule::Optional.into(),
        ..Default::default()
    };
    let request = pb::UpdateRealmRequest { policy: Some(policy), ..Default::default() };
    operator.realms().update_realm(request).await.unwrap();
    operator
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_backup_has_works_again_and_what_came_after_does_not() {
    let home = Home::new();
    let server = home.serve().await;
    let operator = open_realm(&server.as_operator()).await;
    let stranger = server.anonymous().in_realm("acme");
    stranger.register("ann@acme.example", "Ann", &[]).await.unwrap();
    let early_token = stranger.sign_in("ann@acme.example").await.unwrap();
    let early_key = operator.service("early").await.unwrap();

    done(&home.backup("one"));
    let mode = fs::metadata(home.file("one")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    refused(&home.backup("one"), "is there already");

    let late_key = operator.service("late").await.unwrap();
    let late_token = stranger.sign_in("ann@acme.example").await.unwrap();
    let made = pb::CreateServiceAccountRequest { name: "lost".to_owned(), ..Default::default() };
    let lost = operator.service_accounts().create_service_account(made).await.unwrap().into_inner();
    refused(&home.restore(&home.file("one")), "in use by another process");
    me(&server.as_key(&late_key)).await.unwrap();
    assert!(server.terminate());

    // Who carried it elsewhere and back may have lost its mode.
    fs::set_permissions(home.file("one"), fs::Permissions::from_mode(0o644)).unwrap();
    let restored = home.restore(&home.file("one"));
    done(&restored);
    let said = String::from_utf8_lossy(&restored.stdout).into_owned();
    let aside = said.lines().find_map(|line| line.strip_prefix("what was there before is ")).unwrap();
    assert!(Path::new(aside).exists(), "{said}");
    let record = fs::metadata(home.data().join("countersign.db")).unwrap();
    assert_eq!(record.permissions().mode() & 0o777, 0o600);

    let server = home.serve().await;
    me(&server.as_key(&early_key)).await.unwrap();
    me(&server.as_operator().in_realm("acme")).await.unwrap();
    assert_eq!(refusal(me(&server.as_key(&late_key)).await), INVALID);
    // A session that was ended since the backup can't be told from one that was not.
    for token in [early_token, late_token] {
        assert_eq!(refusal(me(&server.as_token(&token)).await), INVALID);
    }
    let stranger = server.anonymous().in_realm("acme");
    let again = server.as_token(&stranger.sign_in("ann@acme.example").await.unwrap());
    me(&again).await.unwrap();

    // A consistency token of the lost history asks for more than there is, which nobody can know of.
    let question = pb::CheckPermissionRequest {
        subject: Some(pb::check_permission_request::Subject::Principal(lost.service_account.unwrap().id)),
        permission: "countersign.access.check".to_owned(),
        with_reason: true,
        consistency: Some(pb::Consistency {
            requirement: Some(pb::consistency::Requirement::AtLeastAsFresh(lost.consistency_token)),
        }),
        ..Default::default()
    };
    let operator = server.as_operator().in_realm("acme");
    assert_eq!(refusal(operator.check(question).await), (Code::Unavailable, ErrorReason::Unavailable));
    assert!(server.terminate());
}

/// The copy is of one instant: a beginning of what was written, without holes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_beside_a_busy_server_is_of_one_instant() {
    let home = Home::new();
    let server = home.serve().await;
    let operator = server.as_operator().in_realm("default");
    let writing = tokio::spawn({
        let operator = operator.clone();
        async move {
            let mut keys = vec![];
            for number in 0..60 {
                keys.push(operator.service(&format!("s{number}")).await.unwrap());
            }
            keys
        }
    });
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    let backup = tokio::task::spawn_blocking(move || (home.backup("busy"), home));
    let (output, home) = backup.await.unwrap();
    done(&output);
    let keys = writing.await.unwrap();
    // What is acknowledged and not yet in the main file counts too.
    server.kill();
    done(&home.backup("all"));

    for (name, all) in [("busy", false), ("all", true)] {
        done(&home.restore(&home.file(name)));
        let server = home.serve().await;
        let mut known = vec![];
        for key in &keys {
            known.push(me(&server.as_key(key)).await.is_ok());
        }
        assert!(known.is_sorted_by(|a, b| a >= b), "{name}: {known:?}");
        assert!(!all || known.iter().all(|known| *known), "{name}: {known:?}");
        assert!(server.terminate());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_backup_of_this_server_is_refused_and_changes_nothing() {
    let (home, other) = (Home::new(), Home::new());
    for home in [&home, &other] {
        let server = home.serve().await;
        assert!(server.terminate());
        done(&home.backup("good"));
    }
    let good = fs::read(home.file("good")).unwrap();
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle..middle + 4096].fill(0x5a);
    fs::write(home.file("flipped"), flipped).unwrap();
    fs::write(home.file("cut"), &good[..good.len() / 2]).unwrap();
    fs::write(home.file("text"), "no database at all, but a text that is longer than the header of one".repeat(9))
        .unwrap();
    fs::write(home.file("empty"), "").unwrap();
    let foreign = home.file("foreign");
    let database = Database::connect(format!("sqlite://{}?mode=rwc", foreign.display())).await.unwrap();
    database.execute_unprepared("CREATE TABLE songs (title text)").await.unwrap();
    database.close().await.unwrap();

    let before = fs::read(home.data().join("countersign.db")).unwrap();
    for name in ["flipped", "cut", "text", "empty", "foreign"] {
        refused(&home.restore(&home.file(name)), "is no record that can be used");
    }
    refused(&home.restore(&home.file("missing")), "No such file");
    refused(&home.restore(&other.file("good")), "it is under another root key");
    assert_eq!(fs::read(home.data().join("countersign.db")).unwrap(), before);
    let left: Vec<_> = fs::read_dir(home.data()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains(".part")), "{left:?}");

    // Without its root key nothing opens, and none is made in its place.
    fs::rename(home.data().join("root.key"), home.file("root.key")).unwrap();
    refused(&home.restore(&home.file("good")), "the root key can't be used");
    assert!(!home.data().join("root.key").exists());
    fs::rename(home.file("root.key"), home.data().join("root.key")).unwrap();

    done(&home.restore(&home.file("good")));
    let server = home.serve().await;
    me(&server.as_operator()).await.unwrap();
    assert!(server.terminate());
}

#[tokio::test]
async fn what_is_in_postgresql_is_not_for_this_command() {
    let home = Home::new();
    for (verb, flag) in [("backup", "--to"), ("restore", "--from")] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        command.args([verb, flag]).arg(home.file("one")).arg("--data-dir").arg(home.data());
        command.env("COUNTERSIGN_DATABASE_URL", "postgres://countersign@127.0.0.1:1/countersign");
        refused(&command.output().unwrap(), "pg_dump");
    }
    refused(&home.backup("one"), "there is no record");
}

fn restored(config: &Config, args: &[&str]) -> Output {
    let DatabaseUrl::Postgres(url) = &config.database_url else { panic!("an embedded database") };
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    command.arg("restored").args(args).arg("--data-dir").arg(&config.data_dir);
    command.env("COUNTERSIGN_DATABASE_URL", url.expose()).output().unwrap()
}

/// Waits until a caller is refused.
async fn until_refused(caller: &Caller) {
    let refused = async {
        while me(caller).await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(5), refused).await.unwrap();
}

/// PostgreSQL's own tools bring a database back; what ended since then lives in it again, until this is said to it. The
/// server that runs beside it has everything in its cache.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_restored_postgres_brings_back_is_ended_beside_a_running_server() {
    let app = TestApp::start(Backend::Postgres).await;
    let operator = open_realm(&app.as_operator()).await;
    let stranger = app.anonymous().in_realm("acme");
    stranger.register("ann@acme.example", "Ann", &[]).await.unwrap();
    let session = stranger.begin("ann@acme.example").await.unwrap();
    let key = operator.service("till").await.unwrap();
    me(&app.as_token(&session.access_token)).await.unwrap();

    done(&restored(app.config(), &[]));
    until_refused(&app.as_token(&session.access_token)).await;
    let ended = (Code::Unauthenticated, ErrorReason::TokenInvalid);
    assert_eq!(refusal(stranger.refresh(&session.refresh_token).await), ended);
    me(&app.as_key(&key)).await.unwrap();
    stranger.sign_in("ann@acme.example").await.unwrap();

    done(&restored(app.config(), &["--revoke-api-keys"]));
    until_refused(&app.as_key(&key)).await;
    until_refused(&app.as_operator()).await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_a_postgres_database_is_served_once_it_is_said_to_be_restored() {
    let (home, database) = (tempfile::tempdir().unwrap(), Throwaway::migrated().await);
    assert!(Binary::spawn(home.path(), Some(&database)).await.terminate());
    assert!(Binary::spawn(home.path(), Some(&database)).await.terminate(), "the database itself goes on");
    let copy = Throwaway::copy_of(&database).await;
    let command = |verb: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        command.args([verb, "--data-dir"]).arg(home.path()).env("COUNTERSIGN_DATABASE_URL", copy.url());
        command.args(if verb == "serve" { &["--listen", "127.0.0.1:0", "--metrics-listen", ""][..] } else { &[] });
        command.output().unwrap()
    };
    refused(&command("serve"), "run `countersign restored`");
    done(&command("restored"));
    let server = Binary::spawn(home.path(), Some(&copy)).await;
    me(&server.as_operator()).await.unwrap();
    assert!(server.terminate());
}
