//! Several processes on one record: how far one is behind another.

use std::time::Duration;

use countersign::app::clock::Clock;
use countersign::grpc::pb;
use tonic::Code;

use super::{Yard, allowed};
use crate::support::{At, Backend, Binary, Caller, Reachable, TestApp, Throwaway, refusal};

/// The longest that another replica may answer as if a change had not been made.
const BEHIND_MAX: Duration = Duration::from_secs(1);
const ROUNDS: usize = 10;

/// How long until this is so. Fails if that takes longer than it may.
async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) -> Duration {
    let acknowledged = Clock::elapsed();
    loop {
        let asked = Clock::elapsed() - acknowledged;
        if so().await {
            return asked;
        }
        assert!(asked <= BEHIND_MAX, "{what}: not seen {asked:?} after it was acknowledged");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[expect(clippy::print_stdout, reason = "the figure is for whoever runs this test by itself")]
fn observed(what: &str, mut behind: Vec<Duration>) {
    behind.sort();
    println!("{what}: observed {:?} in the middle, {:?} at most", behind[behind.len() / 2], behind[behind.len() - 1]);
}

/// What a check has to know, at least.
fn at_least(
    question: pb::CheckPermissionRequest,
    requirement: pb::consistency::Requirement,
) -> pb::CheckPermissionRequest {
    pb::CheckPermissionRequest { consistency: Some(pb::Consistency { requirement: Some(requirement) }), ..question }
}

/// Lets the packer ship, as far as everybody knows.
async fn everybody_lets_ship(yard: &Yard, there: &Caller) {
    yard.lets_ship().await;
    until("an assignment", async || allowed(there, yard.question()).await).await;
}

/// A yard, and its till asking another replica.
async fn two_replicas(body: impl AsyncFnOnce(&TestApp, &Yard, Caller, &dyn Fn(&str) -> Caller)) {
    let app = TestApp::start(Backend::Postgres).await;
    let replica = app.replica().await;
    let yard = Yard::open(&app).await;
    let key = yard.portal.operator.service("clock").await.unwrap();
    yard.portal.operator.assign("clock", "asks", At::Realm).await.unwrap();
    let there = replica.as_key(&key);
    until("a key", async || there.authorization().check_permission(yard.question()).await.is_ok()).await;
    Box::pin(body(&app, &yard, there, &|key| replica.as_key(key))).await;
    replica.finish().await;
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_reaches_another_replica_within_a_second() {
    two_replicas(async |_, yard, there, _| {
        let mut behind = vec![];
        for _ in 0..ROUNDS {
            everybody_lets_ship(yard, &there).await;
            yard.stops_shipping().await;
            behind.push(until("a revocation", async || !allowed(&there, yard.question()).await).await);
        }
        observed("a revocation, elsewhere", behind);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_replica_knows_at_once_when_asked_to() {
    two_replicas(async |_, yard, there, _| {
        use pb::consistency::Requirement::{AtLeastAsFresh, FullyConsistent};
        for _ in 0..ROUNDS {
            everybody_lets_ship(yard, &there).await;
            let request = pb::RevokeRoleRequest {
                principal: "packer".to_owned(),
                role: "ships".to_owned(),
                scope: Some(pb::revoke_role_request::Scope::RealmWide(true)),
                ..Default::default()
            };
            let revoked = yard.portal.operator.assignments().revoke_role(request).await.unwrap().into_inner();
            let question = at_least(yard.question(), AtLeastAsFresh(revoked.consistency_token));
            assert!(!allowed(&there, question).await, "with the token of the change");
            everybody_lets_ship(yard, &there).await;
            yard.stops_shipping().await;
            assert!(!allowed(&there, at_least(yard.question(), FullyConsistent(true))).await, "fully consistent");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_is_refused_by_another_replica_within_a_second() {
    two_replicas(async |_, yard, _, elsewhere| {
        let mut behind = vec![];
        for round in 0..ROUNDS {
            let request = pb::CreateApiKeyRequest { service_account: "clock".to_owned(), ..Default::default() };
            let made = yard.portal.operator.service_accounts().create_api_key(request).await.unwrap().into_inner();
            let caller = elsewhere(&made.secret);
            assert!(!allowed(&caller, yard.question()).await, "round {round}");
            allowed(&caller, yard.question()).await;
            let request = pb::RevokeApiKeyRequest { api_key: made.api_key.unwrap().id, ..Default::default() };
            yard.portal.operator.service_accounts().revoke_api_key(request).await.unwrap();
            let refused = async || {
                let answer = caller.authorization().check_permission(yard.question()).await;
                answer.is_err() && refusal(answer).0 == Code::Unauthenticated
            };
            behind.push(until("a revoked key", refused).await);
        }
        observed("a revoked key, elsewhere", behind);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ended_session_is_known_here_at_once_and_elsewhere_within_a_second() {
    two_replicas(async |app, yard, there, _| {
        yard.portal.newcomer(app, "ann@yard.example", &[]).await;
        yard.portal.operator.approve("ann@yard.example").await.unwrap();
        yard.portal.operator.assign("ann@yard.example", "ships", At::Realm).await.unwrap();
        let mut behind = vec![];
        for round in 0..ROUNDS {
            let token = yard.portal.stranger.sign_in("ann@yard.example").await.unwrap();
            let subject = pb::check_permission_request::Subject::AccessToken(token.clone());
            let question = || pb::CheckPermissionRequest { subject: Some(subject.clone()), ..yard.question() };
            until("a sign-in", async || allowed(&there, question()).await).await;
            assert!(allowed(&yard.till, question()).await && there.introspect(&token).await.unwrap().active);

            let session = crate::support::session_of(&token).unwrap();
            match round % 2 {
                0 => drop(yard.portal.operator.revoke_session(&session).await.unwrap()),
                _ => drop(app.as_token(&token).sign_out("").await.unwrap()),
            }
            assert!(!allowed(&yard.till, question()).await, "where it was ended");
            assert!(!yard.till.introspect(&token).await.unwrap().active, "where it was ended");
            behind.push(until("an ended session", async || !allowed(&there, question()).await).await);
            assert!(!there.introspect(&token).await.unwrap().active, "as soon as a check");
        }
        observed("an ended session, elsewhere", behind);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_is_used_by_another_replica_as_soon_as_it_is_there() {
    two_replicas(async |app, yard, _, elsewhere| {
        let there = elsewhere(app.operator_key()).in_realm("yard");
        for round in 0..ROUNDS {
            let name = format!("role-{round}");
            let role = pb::CreateRoleRequest {
                grants: crate::support::grants(pb::Reach::All, &[super::SHIP]),
                assignable: Some(crate::support::everywhere(&[])),
                ..crate::support::role(&name)
            };
            yard.portal.define([role]).await;
            there.assign("packer", &name, At::Realm).await.unwrap();
        }
        assert!(
            allowed(&yard.till, at_least(yard.question(), pb::consistency::Requirement::FullyConsistent(true))).await
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_agree_within_a_second() {
    let (home, database) = (tempfile::tempdir().unwrap(), Throwaway::migrated().await);
    let (here, there) =
        (Binary::spawn(home.path(), Some(&database)).await, Binary::spawn(home.path(), Some(&database)).await);
    let (here, elsewhere) = (&here.as_operator(), &there.as_operator());
    for permission in [super::SHIP] {
        let request = pb::DeclarePermissionRequest { name: permission.to_owned(), ..Default::default() };
        here.roles().declare_permission(request).await.unwrap();
    }
    let ships = pb::CreateRoleRequest {
        grants: crate::support::grants(pb::Reach::All, &[super::SHIP]),
        assignable: Some(crate::support::everywhere(&[])),
        ..crate::support::role("ships")
    };
    here.roles().create_role(ships).await.unwrap();
    let packer = super::service(here, "packer").await;
    let question = || pb::CheckPermissionRequest { with_reason: false, ..crate::support::ask(&packer, super::SHIP) };
    let mut behind = vec![];
    for _ in 0..ROUNDS {
        here.assign("packer", "ships", At::Realm).await.unwrap();
        behind.push(until("an assignment", async || allowed(elsewhere, question()).await).await);
        here.revoke("packer", "ships", At::Realm).await.unwrap();
        behind.push(until("a revocation", async || !allowed(elsewhere, question()).await).await);
    }
    observed("a change, in another process", behind);
}
