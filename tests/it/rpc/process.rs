//! Servers that die, start again, and share a record.

use std::time::Duration;

use countersign::grpc::pb;
use countersign::serve::StartError;
use tonic::Code;

use crate::support::{Backend, Binary, Caller, Reachable as _, TestApp, Throwaway, refusal};

async fn realm(operator: &Caller, name: &str) -> Result<(), tonic::Status> {
    let request = pb::CreateRealmRequest { name: name.to_owned(), ..Default::default() };
    operator.realms().create_realm(request).await.map(drop)
}

async fn keys(caller: &Caller, realm: &str) -> Result<pb::GetSigningKeysResponse, tonic::Status> {
    let caller = caller.clone().in_realm(realm);
    let keys = caller.sessions().get_signing_keys(pb::GetSigningKeysRequest {}).await?;
    Ok(keys.into_inner())
}

async fn what_was_acknowledged_survives_a_kill(database: Option<&Throwaway>) {
    let home = tempfile::tempdir().unwrap();
    let binary = Binary::spawn(home.path(), database).await;
    realm(&binary.as_operator(), "acme").await.unwrap();
    let before = keys(&binary.anonymous(), "acme").await.unwrap();
    binary.kill();

    let binary = Binary::spawn(home.path(), database).await;
    assert_eq!(keys(&binary.anonymous(), "acme").await.unwrap(), before);
    assert_eq!(refusal(realm(&binary.as_operator(), "acme").await).0, Code::AlreadyExists);
    assert!(binary.terminate());
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill_on_sqlite() {
    what_was_acknowledged_survives_a_kill(None).await;
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill_on_postgres() {
    let database = Throwaway::migrated().await;
    what_was_acknowledged_survives_a_kill(Some(&database)).await;
}

#[tokio::test]
async fn a_second_process_does_not_get_the_embedded_record() {
    let app = TestApp::start(Backend::Sqlite).await;
    let refused = countersign::serve::start(app.config()).await;
    assert!(matches!(refused, Err(StartError::Locked(_))));
    app.finish().await;
}

#[tokio::test]
async fn a_replica_answers_what_another_one_wrote() {
    let app = TestApp::start(Backend::Postgres).await;
    let replica = app.replica().await;
    assert!(replica.inner().first_key.is_none(), "a record begins once");
    realm(&app.as_operator(), "acme").await.unwrap();
    let here = keys(&app.anonymous(), "acme").await.unwrap();
    assert_eq!(keys(&replica.anonymous(), "acme").await.unwrap(), here);
    replica.finish().await;
    app.finish().await;
}

#[tokio::test]
async fn public_calls_about_one_mailbox_are_limited() {
    let app = TestApp::start_with(Backend::Sqlite, &[("public_calls_per_mailbox", "2")]).await;
    let stranger = app.anonymous();
    for _ in 0..2 {
        assert_eq!(refusal(stranger.sign_in("ann@acme.example").await).0, Code::Unauthenticated);
    }
    let refused = stranger.sign_in("ann@acme.example").await;
    let retry = tonic_types::StatusExt::get_details_retry_info(refused.as_ref().unwrap_err());
    assert!(retry.and_then(|info| info.retry_delay).is_some_and(|delay| delay <= Duration::from_secs(60)));
    let limited = (Code::ResourceExhausted, pb::ErrorReason::RateLimited);
    assert_eq!(refusal(refused), limited);
    assert_eq!(refusal(stranger.sign_in("bob@acme.example").await).0, Code::Unauthenticated);
    app.finish().await;
}
