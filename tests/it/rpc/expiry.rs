//! What time does to registrations and to deleted accounts.

use std::time::Duration;

use countersign::grpc::pb::{self, ErrorReason, Policy};
use tonic::Code;

use crate::support::{Backend, Portal, TestApp, both_backends, refusal};

const ANN: &str = "ann@acme.example";
const DAY: Duration = Duration::from_secs(86_400);

async fn realm(app: &TestApp) -> Portal {
    let policy = Policy {
        self_registration: pb::SelfRegistration::Open.into(),
        approval: pb::ApprovalAuthority::Realm.into(),
        base_url: "https://people.example".to_owned(),
        ..Default::default()
    };
    app.realm("people", policy).await
}

/// Lets days pass, and has done what is due then.
async fn after(app: &TestApp, days: u32) {
    app.clock().advance(DAY * days);
    while app.inner().app.let_time_pass().await.unwrap() {}
}

async fn events(portal: &Portal, target: &str) -> Vec<String> {
    let request = pb::ListEventsRequest { target: target.to_owned(), ..Default::default() };
    let events = portal.operator.audit().list_events(request).await.unwrap().into_inner().events;
    assert!(events.iter().all(|event| event.targets.iter().all(|target| !target.handle.contains('@'))));
    events.into_iter().map(|event| event.action).collect()
}

both_backends!(a_registration_that_nobody_decides_expires_and_its_address_is_free, async |app: &TestApp| {
    let portal = realm(app).await;
    portal.newcomer(app, ANN, &[]).await;
    let before = portal.operator.user(ANN).await.unwrap();
    app.mailed().await;
    after(app, 29).await;
    assert_eq!(portal.operator.user(ANN).await.unwrap(), before);
    after(app, 1).await;
    assert_eq!(app.mailed().await, [format!("{ANN}: Your registration expired")]);
    let erased = portal.operator.user(&before.id).await.unwrap();
    assert_eq!(erased.approval.unwrap().state(), pb::ApprovalState::Expired);
    assert_eq!((erased.email, erased.display_name, erased.email_verified), (String::new(), String::new(), None));
    assert_eq!(portal.operator.list(pb::ListUsersRequest::default()).await.unwrap(), [""; 0]);
    assert_eq!(events(&portal, &before.id).await[..2], ["ExpireRegistrations", "ExpireRegistrations"]);
    let decided = (Code::FailedPrecondition, ErrorReason::AlreadyDecided);
    assert_eq!(refusal(portal.operator.approve(&before.id).await), decided);
    let gone = (Code::FailedPrecondition, ErrorReason::Erased);
    assert_eq!(refusal(portal.operator.suspend(&before.id, "too late").await), gone);
    assert_eq!(refusal(portal.operator.delete(&before.id).await), gone);

    let again = portal.person(app, ANN, &[], &[]).await;
    assert_ne!(again.id, before.id);
});

both_backends!(who_is_held_does_not_lose_the_hold_by_waiting, async |app: &TestApp| {
    let portal = realm(app).await;
    portal.stranger.register(ANN, "Ann", &[]).await.unwrap();
    let before = portal.operator.block(ANN, "a known fraud").await.unwrap();
    after(app, 30).await;
    let expired = portal.operator.user(ANN).await.unwrap();
    assert_eq!((expired.id.as_str(), expired.holds.as_slice()), (before.id.as_str(), before.holds.as_slice()));
    portal.stranger.register(ANN, "Ann", &[]).await.unwrap();
    let again = portal.operator.user(ANN).await.unwrap();
    assert_eq!(again.approval.unwrap().state(), pb::ApprovalState::Pending);
    assert_eq!(again.holds, before.holds);
    app.mailed().await;
});

both_backends!(a_deleted_account_is_erased_after_the_retention_time, async |app: &TestApp| {
    let portal = realm(app).await;
    let ann = portal.person(app, ANN, &[], &[]).await;
    let bob = portal.person(app, "bob@acme.example", &[], &[]).await;
    portal.operator.set_manager(&bob.id, &ann.id).await.unwrap();
    portal.operator.delete(&bob.id).await.unwrap();
    portal.operator.delete(&ann.id).await.unwrap();
    after(app, 29).await;
    portal.operator.restore(&ann.id).await.unwrap();
    portal.operator.delete(&ann.id).await.unwrap();
    app.clock().advance(DAY * 30);
    let erased = (Code::FailedPrecondition, ErrorReason::Erased);
    // Whether or not the task ran meanwhile: the instant counts.
    assert_eq!(refusal(portal.operator.restore(&ann.id).await), erased);
    after(app, 0).await;
    for id in [&ann.id, &bob.id] {
        let user = portal.operator.user(id).await.unwrap();
        assert_eq!((user.email.as_str(), user.display_name.as_str(), &user.manager), ("", "", &None));
        assert_eq!(user.status(), pb::UserStatus::Deleted);
        assert_eq!(refusal(portal.operator.restore(id).await), erased);
        assert_eq!(events(&portal, id).await[0], "EraseUsers");
    }
    let deleted = pb::ListUsersRequest { status: pb::UserStatus::Deleted.into(), ..Default::default() };
    assert_eq!(portal.operator.list(deleted).await.unwrap(), [""; 0]);
    // The tombstone stands without the address, so that nobody knows whom to tell.
    app.mailed().await;
    portal.stranger.register(ANN, "Ann", &[]).await.unwrap();
    assert_eq!(app.mailed().await, [""; 0]);
    let registered = pb::ListUsersRequest { email: ANN.to_owned(), ..Default::default() };
    assert_eq!(portal.operator.list(registered).await.unwrap(), [""; 0]);
});

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_replicas_that_find_it_one_lets_a_registration_expire() {
    let app = TestApp::start(Backend::Postgres).await;
    let portal = realm(&app).await;
    let replica = app.replica().await;
    for number in 0..5 {
        portal.newcomer(&app, &format!("p{number}@acme.example"), &[]).await;
    }
    app.mailed().await;
    for clock in [app.clock(), replica.inner().app.clock()] {
        clock.advance(DAY * 30);
    }
    let (here, there) = (&app.inner().app, &replica.inner().app);
    let (one, two) = tokio::join!(here.let_time_pass(), there.let_time_pass());
    one.unwrap();
    two.unwrap();
    let expected: Vec<_> = (0..5).map(|number| format!("p{number}@acme.example: Your registration expired")).collect();
    assert_eq!(app.mailed().await, expected);
    replica.finish().await;
    app.finish().await;
}
