//! `UserService`: finding people, and holding their accounts.

use countersign::grpc::pb::{self, ErrorReason, Policy};
use tonic::Code;

use crate::support::{Portal, TestApp, both_backends, refusal};

const PEOPLE: [&str; 3] = ["ann@acme.example", "bob@acme.example", "cid@globex.example"];

/// A realm with three people in it.
async fn realm(app: &TestApp) -> Portal {
    let policy = Policy {
        self_registration: pb::SelfRegistration::Open.into(),
        approval: pb::ApprovalAuthority::None.into(),
        base_url: "https://people.example".to_owned(),
        ..Default::default()
    };
    let portal = app.realm("people", policy).await;
    for email in PEOPLE {
        portal.newcomer(app, email, &[]).await;
    }
    app.mailed().await;
    portal
}

both_backends!(a_list_is_paged_and_its_tokens_are_bound, async |app: &TestApp| {
    let portal = realm(app).await;
    let mut users = portal.operator.users();
    let mut query = pb::ListUsersRequest { page_size: 2, ..Default::default() };
    let first = users.list_users(query.clone()).await.unwrap().into_inner();
    query.page_token.clone_from(&first.next_page_token);
    let second = users.list_users(query.clone()).await.unwrap().into_inner();
    let found: Vec<_> = first.users.iter().chain(&second.users).map(|user| user.email.as_str()).collect();
    assert_eq!(found, PEOPLE);
    assert_eq!(second.next_page_token, "");
    let other = pb::ListUsersRequest { email: "acme".to_owned(), ..query.clone() };
    let bound = (Code::InvalidArgument, ErrorReason::PageTokenInvalid);
    assert_eq!(refusal(users.list_users(other).await), bound);
    query.page_token = "forged".to_owned();
    assert_eq!(refusal(users.list_users(query).await), bound);
});

both_backends!(filters_add_up, async |app: &TestApp| {
    let portal = realm(app).await;
    portal.operator.suspend(PEOPLE[1], "on leave").await.unwrap();
    portal.stranger.register("dee@acme.example", "Dee", &[]).await.unwrap();
    let list = async |filter: pb::ListUsersRequest| portal.operator.list(filter).await.unwrap();
    let none = pb::ListUsersRequest::default();
    let acme = || pb::ListUsersRequest { email: "ACME".to_owned(), ..Default::default() };
    assert_eq!(list(acme()).await, [PEOPLE[0], PEOPLE[1], "dee@acme.example"]);
    assert_eq!(list(pb::ListUsersRequest { held: true, ..acme() }).await, [PEOPLE[1]]);
    assert_eq!(list(pb::ListUsersRequest { unverified: true, ..none.clone() }).await, ["dee@acme.example"]);
    assert_eq!(list(pb::ListUsersRequest { display_name: "ci".to_owned(), ..none.clone() }).await, [PEOPLE[2]]);
    let suspended = pb::ListUsersRequest { status: pb::UserStatus::Suspended.into(), ..none };
    assert_eq!(list(suspended).await, [PEOPLE[1]]);
});

both_backends!(a_repeated_call_gets_the_first_answer, async |app: &TestApp| {
    let portal = realm(app).await;
    let mut users = portal.operator.users();
    let request = pb::SuspendUserRequest {
        user: PEOPLE[0].to_owned(),
        reason: "on leave".to_owned(),
        request_id: uuid::Uuid::from_u128(7).to_string(),
        ..Default::default()
    };
    let first = users.suspend_user(request.clone()).await.unwrap().into_inner().user.unwrap();
    portal.operator.reinstate(PEOPLE[0]).await.unwrap();
    let again = users.suspend_user(request.clone()).await.unwrap().into_inner().user.unwrap();
    assert_eq!(again, first);
    assert_eq!(portal.operator.user(PEOPLE[0]).await.unwrap().status(), pb::UserStatus::Active);
    let other = pb::SuspendUserRequest { reason: "gone".to_owned(), ..request };
    let reused = (Code::InvalidArgument, ErrorReason::RequestIdReused);
    assert_eq!(refusal(users.suspend_user(other).await), reused);
    let told = ["Your account was reinstated", "Your account was suspended"];
    assert_eq!(app.mailed().await, told.map(|subject| format!("{}: {subject}", PEOPLE[0])));
});

both_backends!(a_change_that_was_decided_on_old_facts_is_refused, async |app: &TestApp| {
    let portal = realm(app).await;
    let read = portal.operator.user(PEOPLE[0]).await.unwrap();
    portal.operator.suspend(PEOPLE[0], "on leave").await.unwrap();
    let request = pb::ReinstateUserRequest { user: read.id, etag: read.etag, ..Default::default() };
    let refused = portal.operator.users().reinstate_user(request).await;
    assert_eq!(refusal(refused), (Code::Aborted, ErrorReason::EtagMismatch));
    let held = portal.operator.user(PEOPLE[0]).await.unwrap();
    let holds: Vec<_> = held.holds.iter().map(|hold| (hold.cause(), hold.note.as_str())).collect();
    assert_eq!(holds, [(pb::HoldCause::Administrator, "on leave")]);
});
