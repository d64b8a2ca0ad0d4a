//! The first start of the command: nothing is committed before everything that can fail was tried, and the operator's
//! key is there afterwards, whatever failed before.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use countersign::crypto::api_key::ApiKey;
use countersign::grpc::pb;
use countersign::store::{Location, Schema, Store};
use sea_orm::{ConnectionTrait as _, Database, DatabaseConnection, DbBackend, Statement};

use crate::support::{Binary, Reachable as _, Throwaway};

/// A start that is to end by itself.
async fn refused(home: &Path, database: Option<&Throwaway>, args: &[&str]) -> String {
    let log = home.join("refused.log");
    let to = fs::File::create(&log).unwrap();
    let mut binary = Binary::launch(home, database, |command| {
        command.args(args).stderr(to);
    });
    let status = tokio::time::timeout(Duration::from_secs(20), binary.ended()).await.unwrap();
    let said = fs::read_to_string(&log).unwrap();
    assert!(!status.success(), "{said}");
    said
}

async fn is_operator(binary: &Binary, key: &str) -> bool {
    binary.as_key(key.trim()).sessions().get_me(pb::GetMeRequest {}).await.is_ok()
}

async fn what_fails_leaves_the_key_to_the_next_start(database: Option<&Throwaway>) {
    let home = tempfile::tempdir().unwrap();
    for args in [["--mail-dir", "/proc/nope"], ["--operator-key-file", "/proc/nope"], ["--tls-cert-file", "/proc/nope"]]
    {
        let args = if args[0] == "--tls-cert-file" {
            vec![args[0], args[1], "--tls-key-file", args[1]]
        } else {
            args.to_vec()
        };
        let said = refused(home.path(), database, &args).await;
        assert!(said.contains("/proc/nope"), "{said}");
    }
    let binary = Binary::spawn(home.path(), database).await;
    assert!(is_operator(&binary, binary.operator_key()).await);
    assert!(binary.terminate());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_start_that_fails_leaves_the_key_to_the_next_one_on_sqlite() {
    what_fails_leaves_the_key_to_the_next_start(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_start_that_fails_leaves_the_key_to_the_next_one_on_postgres() {
    what_fails_leaves_the_key_to_the_next_start(Some(&Throwaway::migrated().await)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_the_operator_supplies_is_the_operator_s() {
    let (home, mounted) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = mounted.path().join("operator.key");
    fs::write(&file, "not a key\n").unwrap();
    let named = ["--operator-key-file", file.to_str().unwrap()];
    assert!(refused(home.path(), None, &named).await.contains("holds no API key"));
    let made = Command::new(env!("CARGO_BIN_EXE_countersign")).args(["key", "new"]).output().unwrap();
    let key = String::from_utf8(made.stdout).unwrap();
    fs::write(&file, &key).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o444)).unwrap();
    let mut binary = Binary::launch(home.path(), None, |command| {
        command.args(named);
    });
    binary.ready().await;
    assert!(is_operator(&binary, &key).await);
    assert!(!home.path().join("operator.key").exists(), "no other key was made");
    assert!(binary.terminate());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_a_deleted_database_the_old_key_file_goes_on() {
    let home = tempfile::tempdir().unwrap();
    assert!(Binary::spawn(home.path(), None).await.terminate());
    for file in ["countersign.db", "countersign.db-wal", "countersign.db-shm"] {
        let _may_be_gone = fs::remove_file(home.path().join(file));
    }
    let binary = Binary::spawn(home.path(), None).await;
    assert!(is_operator(&binary, binary.operator_key()).await);
    assert!(binary.terminate());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_root_key_that_is_missing_beside_its_database_is_not_made_again() {
    let home = tempfile::tempdir().unwrap();
    assert!(Binary::spawn(home.path(), None).await.terminate());
    let (key, aside) = (home.path().join("root.key"), home.path().join("aside"));
    fs::rename(&key, &aside).unwrap();
    let said = refused(home.path(), None, &[]).await;
    assert!(said.contains("root.key is missing") && !key.exists(), "{said}");
    fs::rename(&aside, &key).unwrap();
    assert!(Binary::spawn(home.path(), None).await.terminate());
}

/// Of two first starts with root keys of their own one begins the database; the other takes back what it made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_start_that_loses_to_one_under_another_root_key_leaves_no_wrong_keys() {
    let database = Throwaway::migrated().await;
    let homes = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [mut one, mut two] = homes.each_ref().map(|home| Binary::launch(home.path(), Some(&database), |_| {}));
    let (mut winner, loser) = tokio::select! {
        _ = one.ended() => (two, &homes[0]),
        _ = two.ended() => (one, &homes[1]),
    };
    winner.ready().await;
    for file in ["root.key", "operator.key"] {
        assert!(!loser.path().join(file).exists(), "{file}");
    }
    let said = refused(loser.path(), Some(&database), &[]).await;
    assert!(said.contains("root.key is missing"), "{said}");
    assert!(winner.terminate());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_root_key_that_everybody_may_read_where_it_is_mounted_is_used() {
    let (home, mounted) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = mounted.path().join("root.key");
    fs::write(&file, "07".repeat(32)).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o444)).unwrap();
    let log = home.path().join("log");
    let to = fs::File::create(&log).unwrap();
    let binary = Binary::spawn_with(home.path(), None, |command| {
        command.args(["--root-key-file", file.to_str().unwrap()]).stderr(to);
    })
    .await;
    let said = fs::read_to_string(&log).unwrap();
    assert!(said.contains("chmod 0440") && said.contains("0444"), "{said}");
    assert!(binary.terminate());
}

async fn waiting(database: &DatabaseConnection) -> bool {
    let sql = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
    let row = database.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await.unwrap().unwrap();
    row.try_get_by_index::<i64>(0).unwrap() > 0
}

/// Says that a server that is starting ends within two seconds of being asked to.
async fn ends_soon(binary: Binary) {
    let ended = tokio::task::spawn_blocking(move || binary.terminate());
    let well = tokio::time::timeout(Duration::from_secs(2), ended).await;
    assert!(well.is_ok_and(|ended| ended.unwrap()), "it went on starting, or ended badly");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_waits_for_postgres_ends_when_it_is_asked_to() {
    let (home, database) = (tempfile::tempdir().unwrap(), Throwaway::blank().await);
    // Another process is at the first change of the schema.
    let store = Store::open(Location::Postgres(database.url()), 1).await.unwrap();
    let change = store.next_change().await.unwrap().unwrap();
    let binary = Binary::launch(home.path(), Some(&database), |command| {
        command.arg("--migrate");
    });
    let looking = Database::connect(database.url()).await.unwrap();
    while !waiting(&looking).await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    ends_soon(binary).await;
    drop(change);
    looking.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_waits_for_sqlite_ends_when_it_is_asked_to() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("countersign.db");
    let store = Store::open(Location::Sqlite(&file), 1).await.unwrap();
    let change = store.next_change().await.unwrap().unwrap();
    let binary = Binary::launch(home.path(), None, |_| {});
    // It has taken its lock, and comes to the database right after that.
    while !home.path().join("lock").exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    ends_soon(binary).await;
    drop(change);
    assert!(matches!(store.schema().await.unwrap(), Schema::Behind(_)));
}

fn recover(home: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    command.args(["key", "recover", "--data-dir"]).arg(home).args(args).stdin(Stdio::null()).output().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovered_key_is_in_a_file_of_its_owner_s_where_no_terminal_is() {
    let home = tempfile::tempdir().unwrap();
    let never = recover(home.path(), &[]);
    assert!(String::from_utf8_lossy(&never.stderr).contains("never begun"), "{never:?}");
    assert!(!home.path().join("root.key").exists() && !home.path().join("recovered.key").exists());
    assert!(Binary::spawn(home.path(), None).await.terminate());
    let mistyped = recover(home.path(), &["opreator"]);
    assert!(String::from_utf8_lossy(&mistyped.stderr).contains("no platform account \"opreator\""), "{mistyped:?}");
    let file = home.path().join("recovered.key");
    assert!(!file.exists(), "what was not made is not handed over");
    let recovered = recover(home.path(), &[]);
    assert!(recovered.status.success(), "{recovered:?}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let key = fs::read_to_string(&file).unwrap();
    assert!(ApiKey::parse(key.trim()).is_some() && !String::from_utf8_lossy(&recovered.stdout).contains(key.trim()));
    let again = recover(home.path(), &[]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("is there already"), "{again:?}");
    let binary = Binary::spawn(home.path(), None).await;
    assert!(is_operator(&binary, &key).await);
    assert!(binary.terminate());
}

#[test]
fn the_command_names_the_file_and_the_server_that_it_can_t_use() {
    let home = tempfile::tempdir().unwrap();
    let command = |key: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        command
            .args(["key", "create", "till", "--server", "http://127.0.0.1:1", "--key-file"])
            .arg(key)
            .output()
            .unwrap()
    };
    let missing = command(&home.path().join("none.key"));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("none.key: No such file"), "{missing:?}");
    let key = home.path().join("some.key");
    fs::write(&key, ApiKey::generate().expose()).unwrap();
    let unreachable = command(&key);
    let said = String::from_utf8_lossy(&unreachable.stderr);
    assert!(said.contains("can't reach http://127.0.0.1:1") && said.contains("refused"), "{said}");
}
