//! What a change finds that had to wait for its turn: another time, maybe no credential any more, maybe nobody who still
//! waits for its answer. It goes by what is so when it is made.

use std::time::Duration;

use countersign::app::failpoint::hold_in;
use countersign::grpc::pb::{self, ErrorReason, Policy};
use tonic::{Code, Request};

use crate::support::{Backend, Caller, PASSWORD, Person, Portal, RowHeld, TestApp, both_backends, refusal, run};

async fn open(app: &TestApp) -> (Portal, Person) {
    let policy = Policy {
        self_registration: pb::SelfRegistration::Open.into(),
        approval: pb::ApprovalAuthority::Realm.into(),
        base_url: "https://queue.example".to_owned(),
        ..Default::default()
    };
    let portal = app.realm("queue", policy).await;
    let person = portal.person(app, "ann@queue.example", &[], &[]).await;
    (portal, person)
}

fn renamed(to: &str) -> pb::UpdateUserRequest {
    pb::UpdateUserRequest { display_name: to.to_owned(), ..Default::default() }
}

async fn rename(who: Caller, to: &'static str) -> (Code, ErrorReason) {
    refusal(who.users().update_user(renamed(to)).await)
}

both_backends!(a_change_whose_deadline_passed_while_it_waited_is_never_made, async |app: &TestApp| {
    let (portal, ann) = open(app).await;
    let realm = app.inner().app.store().realm_named("queue").await.unwrap().unwrap().id;
    let held = hold_in("write.before_commit", realm);
    let first = tokio::spawn({
        let operator = portal.operator.clone();
        async move { operator.service("first").await.unwrap() }
    });
    held.arrived().await;
    let mut late = Request::new(renamed("Too late"));
    late.set_timeout(Duration::from_millis(300));
    let code = ann.caller.users().update_user(late).await.unwrap_err().code();
    assert!(matches!(code, Code::Cancelled | Code::DeadlineExceeded), "{code}");
    drop(held);
    first.await.unwrap();
    // Whatever waited has had its turn before these.
    for name in ["second", "third", "fourth"] {
        portal.operator.service(name).await.unwrap();
    }
    assert_eq!(portal.operator.user("ann@queue.example").await.unwrap().display_name, "ann");
});

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_ended_while_its_change_waited_makes_no_change() {
    run(Backend::Postgres, async |app: &TestApp| {
        let (portal, ann) = open(app).await;
        let held = RowHeld::of_realm(app.database_url(), "queue").await;
        let ending = tokio::spawn({
            let (operator, id) = (portal.operator.clone(), ann.id.clone());
            async move { operator.revoke_all_sessions(&id, false).await.unwrap() }
        });
        held.awaited().await;
        let renaming = tokio::spawn(rename(ann.caller.clone(), "Ended"));
        tokio::time::sleep(Duration::from_millis(200)).await;
        held.let_go().await;
        ending.await.unwrap();
        let outcome = renaming.await.unwrap();
        assert_eq!(outcome, (Code::Unauthenticated, ErrorReason::CredentialInvalid));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_waited_is_dated_when_it_was_made() {
    run(Backend::Postgres, async |app: &TestApp| {
        let (portal, _) = open(app).await;
        let held = RowHeld::of_realm(app.database_url(), "queue").await;
        let making = tokio::spawn({
            let operator = portal.operator.clone();
            async move { operator.service("packer").await.unwrap() }
        });
        held.awaited().await;
        app.clock().advance(Duration::from_secs(600));
        let released = app.clock().now();
        held.let_go().await;
        making.await.unwrap();
        let request = pb::GetServiceAccountRequest { service_account: "packer".to_owned() };
        let answer = portal.operator.service_accounts().get_service_account(request).await.unwrap().into_inner();
        let created = answer.service_account.unwrap().create_time.unwrap();
        assert!(created.seconds >= released.0 / 1_000_000, "{created:?} is before {released:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_that_waits_for_its_user_holds_no_tally_of_failures() {
    run(Backend::Postgres, async |app: &TestApp| {
        let (portal, _) = open(app).await;
        let by = "SELECT id FROM users WHERE identity = 'ann@queue.example' FOR UPDATE";
        let held = RowHeld::by(app.database_url(), by).await;
        let entering = tokio::spawn({
            let stranger = portal.stranger.clone();
            async move { stranger.sign_in_with("ann@queue.example", PASSWORD).await.map(drop) }
        });
        held.awaited().await;
        // As a reset does, which has locked the user.
        held.also("UPDATE throttles SET failures = 0").await;
        held.let_go().await;
        entering.await.unwrap().unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_call_whose_access_cannot_be_decided_is_not_answered_with_the_first_answer() {
    run(Backend::Postgres, async |app: &TestApp| {
        let (portal, _) = open(app).await;
        let defines = pb::CreateRoleRequest {
            grants: crate::support::grants(pb::Reach::All, &["countersign.roles.define"]),
            assignable: Some(crate::support::everywhere(&[])),
            ..crate::support::role("defines")
        };
        portal.define([defines]).await;
        let definer = portal.service(app, "definer", "defines").await;
        let request = pb::DeclarePermissionRequest {
            name: "orders.ship".to_owned(),
            request_id: uuid::Uuid::new_v4().to_string(),
            ..Default::default()
        };
        definer.roles().declare_permission(request.clone()).await.unwrap();
        definer.roles().declare_permission(request.clone()).await.unwrap();
        // Who asks is still known; what they may, within the change, is not.
        let broken = RowHeld::by(app.database_url(), "SELECT 1").await;
        broken.commit("ALTER TABLE holds RENAME TO holds_gone").await;
        let again = refusal(definer.roles().declare_permission(request.clone()).await);
        let mended = RowHeld::by(app.database_url(), "SELECT 1").await;
        mended.commit("ALTER TABLE holds_gone RENAME TO holds").await;
        assert_eq!(again.0, Code::Internal, "{again:?}");
        definer.roles().declare_permission(request).await.unwrap();
    })
    .await;
}
