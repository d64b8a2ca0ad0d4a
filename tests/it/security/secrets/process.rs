//! What the process itself says of a story, as loud as it can be: its log at TRACE, its spans, its record.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use countersign::grpc::pb;
use countersign::store::Location;

use super::hidden::Hidden;
use crate::support::{At, Binary, Caller, Collector, PASSWORD, Reachable as _, Throwaway, ask, everything_in};

/// What somebody types who mistook themselves.
const MISTYPED: &str = "incorrect horse battery staple";
/// Credentials that count nowhere, and may still be somebody's elsewhere.
const OF_OTHERS: [&str; 3] =
    ["cs_nobodysnobodysnobodysnobodysnobodysnobodys", "nonsense-nonsense", "eyJhbGciOiJub25lIn0.e30.signature"];
const DATABASE_PASSWORD: &str = "the-database-s-own-password";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_log_nor_span_nor_row_tells_a_secret_on_sqlite() {
    story(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_log_nor_span_nor_row_tells_a_secret_on_postgres() {
    story(Some(&Throwaway::migrated().await)).await;
}

async fn story(database: Option<&Throwaway>) {
    let (home, collector) = (tempfile::tempdir().unwrap(), Collector::start().await);
    let log = home.path().join("log");
    let mut hidden = Hidden::default();
    let url = database.map(|database| database.url().replacen("@", &format!(":{DATABASE_PASSWORD}@"), 1));
    let binary = Binary::spawn_with(home.path(), database, |command: &mut Command| {
        command.env("COUNTERSIGN_LOG_FILTER", "trace").stderr(File::create(&log).unwrap());
        command.env("COUNTERSIGN_OTLP_ENDPOINT", collector.url());
        command.env("COUNTERSIGN_BASE_URL_ORIGINS", "https://story.example");
        command.envs(url.as_ref().map(|url| ("COUNTERSIGN_DATABASE_URL", url)));
    });
    let binary = binary.await;
    Box::pin(tell(&binary, home.path(), &mut hidden)).await;
    assert!(binary.terminate());

    hidden.text("the root key", std::fs::read_to_string(home.path().join("root.key")).unwrap().trim());
    let log = std::fs::read(log).unwrap();
    assert!(memchr::memmem::find(&log, b"\"TRACE\"").is_some(), "the log is quiet");
    hidden.require_absent("the log", &log);
    let spans = collector.taken();
    assert!(memchr::memmem::find(&spans, b"countersign.v1.UserService/GetUser").is_some(), "nothing was exported");
    assert!(memchr::memmem::find(&spans, b"SessionService/SignIn").is_none(), "somebody unknown had a call exported");
    hidden.require_absent("the spans", &spans);
    let location = home.path().join("countersign.db");
    let location = database.map_or(Location::Sqlite(&location), |database| Location::Postgres(database.url()));
    hidden.require_absent("the record", &everything_in(location).await);
}

/// Everything that has to do with a secret, done well and done wrong, by callers who trace.
async fn tell(binary: &Binary, home: &Path, hidden: &mut Hidden) {
    let (operator, stranger) = (binary.as_operator().traced(), binary.anonymous().traced());
    hidden.text("the operator's key", binary.operator_key());
    hidden.text("a password", PASSWORD);
    hidden.text("a wrong password", MISTYPED);
    hidden.text("the database's password", DATABASE_PASSWORD);
    for credential in OF_OTHERS {
        hidden.text("a credential of somebody else", credential);
        binary.as_key(credential).traced().user("").await.unwrap_err();
    }

    open_door(&operator).await;
    stranger.register("ann@acme.example", "Ann", &[]).await.unwrap();
    let code = code(home).await;
    hidden.text("the code of a mail", &code);
    let wrong = pb::VerifyEmailRequest { code: code.clone(), password: MISTYPED.to_owned() };
    stranger.registrations().verify_email(wrong).await.unwrap_err();
    stranger.verify(&code).await.unwrap();
    operator.approve("ann@acme.example").await.unwrap();
    let wrong = pb::SignInRequest { email: "ann@acme.example".to_owned(), password: MISTYPED.to_owned() };
    stranger.sessions().sign_in(wrong).await.unwrap_err();
    let first = stranger.begin("ann@acme.example").await.unwrap();
    let next = stranger.refresh(&first.refresh_token).await.unwrap();
    for token in [&first.access_token, &first.refresh_token, &next.access_token, &next.refresh_token] {
        hidden.text("a token", token);
    }
    let ann = binary.as_token(&next.access_token).traced();
    ann.user("").await.unwrap();
    operator.introspect(&next.access_token).await.unwrap();
    // Right after, as if the answer had been lost on its way.
    let again = stranger.refresh(&first.refresh_token).await.unwrap();
    hidden.text("a token", &again.access_token);
    hidden.text("a token", &again.refresh_token);
    stranger.refresh(OF_OTHERS[1]).await.unwrap_err();

    let key = operator.service("till").await.unwrap();
    hidden.text("an API key", &key);
    binary.as_key(&key).traced().check(ask("till", "countersign.users.read")).await.unwrap_err();
    operator.assign("till", "nobody", At::Realm).await.unwrap_err();
    operator.suspend("ann@acme.example", "on leave").await.unwrap();
    ann.user("").await.unwrap_err();
    everything_that_is_listed(&operator).await;
}

async fn open_door(operator: &Caller) {
    let policy = pb::Policy {
        self_registration: pb::SelfRegistration::Open.into(),
        approval: pb::ApprovalAuthority::Realm.into(),
        base_url: "https://story.example".to_owned(),
        ..Default::default()
    };
    let request = pb::UpdateRealmRequest { policy: Some(policy), ..Default::default() };
    operator.realms().update_realm(request).await.unwrap();
}

async fn everything_that_is_listed(operator: &Caller) {
    operator.audit().list_events(pb::ListEventsRequest::default()).await.unwrap();
    operator.list(pb::ListUsersRequest::default()).await.unwrap();
}

/// The code of the one link that was mailed.
async fn code(home: &Path) -> String {
    loop {
        for mail in home.join("mail").read_dir().unwrap() {
            let mail = std::fs::read_to_string(mail.unwrap().path()).unwrap_or_default();
            if let Some((_, link)) = mail.split_once("?code=") {
                return link.split(['\r', '\n']).next().unwrap().to_owned();
            }
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
