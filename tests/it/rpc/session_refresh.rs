//! `SessionService`: how a session goes on, and what ends it.

use std::time::Duration;

use countersign::app::ACCESS_TOKEN_TTL;
use countersign::domain::session::SESSION_TTL;
use countersign::domain::time::Timestamp;
use countersign::grpc::pb::{self, ErrorReason};
use tonic::Code;

use super::session::open_realm;
use crate::support::{Backend, Reachable, TestApp, both_backends, refusal};

/// What a refresh token that does not count is told.
const OVER: (Code, ErrorReason) = (Code::Unauthenticated, ErrorReason::TokenInvalid);
/// What an access token whose session is over is told.
const ENDED: (Code, ErrorReason) = (Code::Unauthenticated, ErrorReason::CredentialInvalid);

const ANN: &str = "ann@acme.example";
const REPLAYED: &str = "session.refresh_token_replayed";
const REPEATED: &str = "session.refresh_repeated";
/// `refresh_retry_seconds` of a new realm.
const RETRY: Duration = Duration::from_secs(10);

both_backends!(a_session_goes_on_by_its_refresh_token, async |app: &TestApp| {
    let portal = open_realm(app).await;
    portal.newcomer(app, ANN, &[]).await;
    let first = portal.stranger.begin(ANN).await.unwrap();
    assert_eq!((first.refresh_token.len(), &first.refresh_token[..4]), (76, "csr_"));

    app.clock().advance(ACCESS_TOKEN_TTL);
    assert_eq!(refusal(app.as_token(&first.access_token).user("").await), ENDED);
    let second = portal.stranger.refresh(&first.refresh_token).await.unwrap();
    assert_eq!((second.token_type.as_str(), second.expires_in), ("Bearer", 300));
    assert_ne!(second.refresh_token, first.refresh_token);
    assert_eq!(second.refresh_expire_time, first.refresh_expire_time, "nothing defers the end of a session");
    assert_eq!(app.as_token(&second.access_token).user("").await.unwrap().email, ANN);

    let third = portal.stranger.refresh(&second.refresh_token).await.unwrap();
    assert_eq!(app.as_token(&third.access_token).user("").await.unwrap().email, ANN);
    let told = portal.operator.times(["session.started", "session.refreshed", REPLAYED]).await;
    assert_eq!(told, [1, 1, 0], "refreshes are told once an hour");
});

both_backends!(a_lost_answer_is_given_again_for_ten_seconds, async |app: &TestApp| {
    let portal = open_realm(app).await;
    portal.newcomer(app, ANN, &[]).await;
    let first = portal.stranger.begin(ANN).await.unwrap();
    let second = portal.stranger.refresh(&first.refresh_token).await.unwrap();
    for wait in [Duration::ZERO, RETRY - Duration::from_secs(1)] {
        app.clock().advance(wait);
        let again = portal.stranger.refresh(&first.refresh_token).await.unwrap();
        let tokens = |answer: &pb::RefreshSessionResponse| (answer.access_token.clone(), answer.refresh_token.clone());
        assert_eq!(tokens(&again), tokens(&second), "the same tokens, and no further generation");
    }
    assert_eq!(portal.operator.times(["session.refreshed", REPEATED]).await, [1, 2], "each repeat leaves a trace");

    app.clock().advance(Duration::from_secs(1));
    assert_eq!(refusal(portal.stranger.refresh(&first.refresh_token).await), OVER);
    assert_eq!(refusal(portal.stranger.refresh(&second.refresh_token).await), OVER, "the whole family");
    assert_eq!(refusal(app.as_token(&second.access_token).user("").await), ENDED);
    assert_eq!(portal.operator.times([REPLAYED]).await, [1]);
});

both_backends!(a_realm_says_for_how_long_a_lost_answer_is_given_again, async |app: &TestApp| {
    let portal = open_realm(app).await;
    portal.newcomer(app, ANN, &[]).await;
    for wrong in [9, 61] {
        let policy = pb::Policy { refresh_retry_seconds: wrong, ..Default::default() };
        let request = pb::UpdateRealmRequest { policy: Some(policy), ..Default::default() };
        let refused = portal.operator.realms().update_realm(request).await;
        assert_eq!(crate::support::violations(refused), ["policy.refresh_retry_seconds"]);
    }
    portal.decide(pb::Policy { refresh_retry_seconds: 60, ..Default::default() }, &["refresh_retry_seconds"]).await;
    let first = portal.stranger.begin(ANN).await.unwrap();
    let second = portal.stranger.refresh(&first.refresh_token).await.unwrap();
    app.clock().advance(Duration::from_secs(59));
    portal.stranger.refresh(&first.refresh_token).await.unwrap();
    // Once the answer was put to use it was not lost.
    portal.stranger.refresh(&second.refresh_token).await.unwrap();
    assert_eq!(refusal(portal.stranger.refresh(&first.refresh_token).await), OVER);
    assert_eq!(portal.operator.times([REPLAYED]).await, [1]);
});

both_backends!(an_older_token_ends_the_family_at_once, async |app: &TestApp| {
    let portal = open_realm(app).await;
    portal.newcomer(app, ANN, &[]).await;
    let other = portal.stranger.begin(ANN).await.unwrap();
    let first = portal.stranger.begin(ANN).await.unwrap();
    let second = portal.stranger.refresh(&first.refresh_token).await.unwrap();
    let third = portal.stranger.refresh(&second.refresh_token).await.unwrap();
    app.as_token(&third.access_token).user("").await.unwrap();

    for _ in 0..2 {
        assert_eq!(refusal(portal.stranger.refresh(&first.refresh_token).await), OVER);
    }
    assert_eq!(refusal(app.as_token(&third.access_token).user("").await), ENDED);
    assert_eq!(refusal(portal.stranger.refresh(&third.refresh_token).await), OVER);
    assert_eq!(portal.operator.times([REPLAYED]).await, [1], "ended once");
    portal.stranger.refresh(&other.refresh_token).await.unwrap();
});

/// Security class 14: a refresh token replayed, also after a restart (CVE-2026-9802).
async fn a_restart_changes_nothing(backend: Backend) {
    let app = TestApp::start(backend).await;
    let portal = open_realm(&app).await;
    portal.newcomer(&app, ANN, &[]).await;
    let first = portal.stranger.begin(ANN).await.unwrap();
    let second = portal.stranger.refresh(&first.refresh_token).await.unwrap();

    let app = app.restarted().await;
    let stranger = app.anonymous().in_realm(&portal.name);
    let again = stranger.refresh(&first.refresh_token).await.unwrap();
    assert_eq!((&again.access_token, &again.refresh_token), (&second.access_token, &second.refresh_token));
    let third = stranger.refresh(&second.refresh_token).await.unwrap();

    let app = app.restarted().await;
    let stranger = app.anonymous().in_realm(&portal.name);
    app.as_token(&third.access_token).user("").await.unwrap();
    assert_eq!(refusal(stranger.refresh(&first.refresh_token).await), OVER);
    assert_eq!(refusal(app.as_token(&third.access_token).user("").await), ENDED);

    let app = app.restarted().await;
    let stranger = app.anonymous().in_realm(&portal.name);
    assert_eq!(refusal(stranger.refresh(&third.refresh_token).await), OVER);
    assert_eq!(refusal(app.as_token(&third.access_token).user("").await), ENDED);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_changes_nothing_on_sqlite() {
    Box::pin(a_restart_changes_nothing(Backend::Sqlite)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_changes_nothing_on_postgres() {
    Box::pin(a_restart_changes_nothing(Backend::Postgres)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_outlives_a_rotation_of_the_root_key() {
    // 32 bytes of 1, and of 2, in base64.
    let [old, new] = ["AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=", "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="];
    let app = TestApp::start_with(Backend::Sqlite, &[("root_key", old)]).await;
    let portal = open_realm(&app).await;
    portal.newcomer(&app, ANN, &[]).await;
    let first = portal.stranger.begin(ANN).await.unwrap();
    let second = portal.stranger.refresh(&first.refresh_token).await.unwrap();

    let app = app.restarted_with(&[("root_key", new), ("previous_root_key", old)]).await;
    let stranger = app.anonymous().in_realm(&portal.name);
    let again = stranger.refresh(&first.refresh_token).await.unwrap();
    assert_eq!(again.refresh_token, second.refresh_token, "a lost answer is the same one under the next key");
    let third = stranger.refresh(&second.refresh_token).await.unwrap();
    stranger.refresh(&third.refresh_token).await.unwrap();
    app.finish().await;
}

both_backends!(a_session_ends_after_thirty_days_whatever_is_done, async |app: &TestApp| {
    let portal = open_realm(app).await;
    portal.newcomer(app, ANN, &[]).await;
    let first = portal.stranger.begin(ANN).await.unwrap();
    app.clock().advance(SESSION_TTL - Duration::from_secs(120));
    let second = portal.stranger.refresh(&first.refresh_token).await.unwrap();
    assert!((100..=120).contains(&second.expires_in), "no access token outlives its session: {}", second.expires_in);
    assert_eq!(second.expire_time, second.refresh_expire_time);
    app.as_token(&second.access_token).user("").await.unwrap();

    app.clock().advance(Duration::from_secs(120));
    assert_eq!(refusal(portal.stranger.refresh(&second.refresh_token).await), OVER);
    assert_eq!(refusal(app.as_token(&second.access_token).user("").await), ENDED);
    assert_eq!(portal.operator.times([REPLAYED]).await, [0], "it ran out, which is nobody's doing");
});

both_backends!(whoever_began_a_session_for_somebody_goes_on_with_it_alone, async |app: &TestApp| {
    let portal = open_realm(app).await;
    portal.newcomer(app, ANN, &[]).await;
    let [shop, other] = [portal.operator.service("shop").await, portal.operator.service("other").await];
    let [shop, other] = [shop, other].map(|key| app.as_key(&key.unwrap()));
    let first = shop.begin(ANN).await.unwrap();
    for thief in [&portal.stranger, &other, &portal.operator, &app.as_token(&first.access_token)] {
        assert_eq!(refusal(thief.refresh(&first.refresh_token).await), OVER);
    }
    let second = shop.refresh(&first.refresh_token).await.unwrap();
    app.as_token(&second.access_token).user("").await.unwrap();
    assert_eq!(portal.operator.times([REPLAYED]).await, [0], "who can't use a token can't end its family by it");
    assert_eq!(refusal(other.refresh(&first.refresh_token).await), OVER);
    shop.refresh(&second.refresh_token).await.unwrap();
});

both_backends!(a_refresh_token_counts_in_its_own_realm_alone, async |app: &TestApp| {
    let portal = open_realm(app).await;
    portal.newcomer(app, ANN, &[]).await;
    let first = portal.stranger.begin(ANN).await.unwrap();
    assert_eq!(refusal(app.anonymous().refresh(&first.refresh_token).await), OVER);
    for nonsense in ["", "csr_", "nonsense", &first.access_token, &first.refresh_token.to_uppercase()] {
        assert_eq!(refusal(portal.stranger.refresh(nonsense).await), OVER, "{nonsense}");
    }
    portal.stranger.refresh(&first.refresh_token).await.unwrap();
});

both_backends!(housekeeping_forgets_a_session_once_no_token_of_it_is_alive, async |app: &TestApp| {
    let portal = open_realm(app).await;
    portal.newcomer(app, ANN, &[]).await;
    portal.stranger.begin(ANN).await.unwrap();
    let store = app.inner().app.store();
    let until = |by: Duration| -> Timestamp { app.clock().now().after(by) };
    assert_eq!(store.forget_sessions(until(SESSION_TTL - Duration::from_secs(60))).await.unwrap(), 0);
    assert_eq!(store.forget_sessions(until(SESSION_TTL)).await.unwrap(), 1);
    assert_eq!(store.forget_sessions(until(SESSION_TTL)).await.unwrap(), 0);
});
