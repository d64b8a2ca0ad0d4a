//! `ApprovalService`: who waits, and what is decided.

use countersign::grpc::pb::{self, ErrorReason, Policy, Reach};
use tonic::Code;

use crate::support::{At, Portal, TestApp, both_backends, everywhere, grants, refusal, role};

/// A realm in which whoever holds `approver` decides on everybody.
async fn approved_realm(app: &TestApp) -> Portal {
    let policy = Policy {
        self_registration: pb::SelfRegistration::Open.into(),
        approval: pb::ApprovalAuthority::Realm.into(),
        base_url: "https://approved.example".to_owned(),
        ..Default::default()
    };
    let portal = app.realm("approved", policy).await;
    let approver = pb::CreateRoleRequest {
        grants: grants(Reach::All, &["countersign.users.approve", "countersign.audit.read"]),
        assignable: Some(everywhere(&[])),
        ..role("approver")
    };
    portal.define([approver]).await;
    portal
}

both_backends!(of_two_approvers_one_decides_and_the_other_is_told_how, async |app: &TestApp| {
    let portal = approved_realm(app).await;
    let (one, two) = (portal.service(app, "one", "approver").await, portal.service(app, "two", "approver").await);
    portal.newcomer(app, "ann@acme.example", &[]).await;
    assert_eq!(two.waiting().await.unwrap(), ["ann@acme.example"]);
    app.mailed().await;
    one.approve("ann@acme.example").await.unwrap();
    two.approve("ann@acme.example").await.unwrap();
    let decided = (Code::FailedPrecondition, ErrorReason::AlreadyDecided);
    assert_eq!(refusal(two.reject("ann@acme.example", "who?").await), decided);
    assert_eq!(two.waiting().await.unwrap(), [""; 0]);
    assert_eq!(app.mailed().await, ["ann@acme.example: Your registration was approved"]);
    portal.enter(app, "ann@acme.example").await;
});

both_backends!(who_is_rejected_reads_why_and_only_an_approval_reopens, async |app: &TestApp| {
    let portal = approved_realm(app).await;
    let approver = portal.service(app, "one", "approver").await;
    portal.newcomer(app, "ann@acme.example", &[]).await;
    app.mailed().await;
    let unsaid = approver.reject("ann@acme.example", "").await;
    assert_eq!(refusal(unsaid), (Code::InvalidArgument, ErrorReason::InvalidFields));
    approver.reject("ann@acme.example", "we do not know you").await.unwrap();
    assert_eq!(app.mailed().await, ["ann@acme.example: Your registration was rejected"]);
    let told = app.mails_to("ann@acme.example").await;
    assert!(told.last().is_some_and(|mail| mail.text.contains("we do not know you")), "{told:#?}");

    let closed = (Code::PermissionDenied, ErrorReason::ApprovalRejected);
    assert_eq!(refusal(portal.stranger.sign_in("ann@acme.example").await), closed);
    portal.stranger.register("ann@acme.example", "Ann", &[]).await.unwrap();
    assert_eq!(app.mailed().await, ["ann@acme.example: Somebody registered with your e-mail address"]);
    approver.approve("ann@acme.example").await.unwrap();
    portal.enter(app, "ann@acme.example").await;
});

both_backends!(the_log_names_who_decided_and_who_was_refused, async |app: &TestApp| {
    let portal = approved_realm(app).await;
    let approver = portal.service(app, "one", "approver").await;
    portal.newcomer(app, "ann@acme.example", &[]).await;
    approver.approve("ann@acme.example").await.unwrap();
    let forbidden = approver.assign("ann@acme.example", "approver", At::Realm).await;
    assert_eq!(refusal(forbidden), (Code::PermissionDenied, ErrorReason::PermissionMissing));

    let request = pb::ListEventsRequest { actor: "one".to_owned(), ..Default::default() };
    let events = approver.audit().list_events(request).await.unwrap().into_inner().events;
    let lines: Vec<_> = events.iter().map(|event| (event.action.as_str(), event.outcome(), event.reason())).collect();
    let (done, refused) = (pb::Outcome::Done, pb::Outcome::Refused);
    assert!(
        matches!(
            lines.as_slice(),
            [(_, last, ErrorReason::PermissionMissing), .., (_, first, _)] if *last == refused && *first == done
        ),
        "{lines:#?}"
    );
    assert!(events.iter().all(|event| event.actor.as_ref().is_some_and(|actor| actor.handle == "one")), "{events:#?}");
});
