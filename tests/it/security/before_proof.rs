//! What a stranger wrote into an account before its owner proved the mailbox never becomes the owner's.

use std::time::Duration;

use countersign::grpc::pb::{self, ErrorReason, Policy};
use tonic::{Code, Status};

use crate::support::{Caller, Letter, PASSWORD, Portal, TestApp, both_backends, refusal, role, said, within};

const ANN: &str = "ann@acme.example";
const EVES: &str = "eve knows this one by heart";
const NEW: &str = "seven crooked lanterns hum";

const FAILED: (Code, ErrorReason) = (Code::Unauthenticated, ErrorReason::SignInFailed);
const LIMITED: (Code, ErrorReason) = (Code::ResourceExhausted, ErrorReason::RateLimited);

async fn realm(app: &TestApp, approval: pb::ApprovalAuthority, verification: pb::EmailVerificationRule) -> Portal {
    let policy = Policy {
        self_registration: pb::SelfRegistration::Open.into(),
        approval: approval.into(),
        email_verification: verification.into(),
        base_url: "https://people.example".to_owned(),
        ..Default::default()
    };
    app.realm("people", policy).await
}

async fn register(stranger: &Caller, password: &str) {
    let request = pb::RegisterRequest {
        email: ANN.to_owned(),
        display_name: "Ann".to_owned(),
        password: password.to_owned(),
        ..Default::default()
    };
    stranger.registrations().register(request).await.unwrap();
}

async fn resend(stranger: &Caller) -> Result<(), Status> {
    let request = pb::ResendVerificationRequest { email: ANN.to_owned() };
    stranger.registrations().resend_verification(request).await.map(drop)
}

async fn approve_as_read(portal: &Portal) -> Result<pb::ApproveRegistrationResponse, Status> {
    let etag = portal.operator.user(ANN).await.unwrap().etag;
    let request = pb::ApproveRegistrationRequest { user: ANN.to_owned(), etag, ..Default::default() };
    Ok(portal.operator.approvals().approve_registration(request).await?.into_inner())
}

// Class 36: register, or register over what waits; then vouch, approve, or both, in either order.
both_backends!(a_strangers_password_never_works_whoever_vouches_or_approves, async |app: &TestApp| {
    use pb::EmailVerificationRule::{Optional, Required};
    for (at, (vouch_first, verification)) in
        [(None, Required), (Some(true), Required), (Some(false), Required), (None, Optional)].into_iter().enumerate()
    {
        let portal = app
            .realm(
                &format!("people{at}"),
                Policy {
                    self_registration: pb::SelfRegistration::Open.into(),
                    approval: pb::ApprovalAuthority::Realm.into(),
                    email_verification: verification.into(),
                    base_url: "https://people.example".to_owned(),
                    ..Default::default()
                },
            )
            .await;
        register(&portal.stranger, PASSWORD).await;
        register(&portal.stranger, EVES).await;
        if vouch_first == Some(true) {
            portal.operator.mark_verified(ANN).await.unwrap();
        }
        approve_as_read(&portal).await.unwrap();
        if vouch_first == Some(false) {
            portal.operator.mark_verified(ANN).await.unwrap();
        }
        assert_eq!(refusal(portal.stranger.sign_in_with(ANN, EVES).await), FAILED, "{at}");
        assert_eq!(refusal(portal.stranger.sign_in_with(ANN, PASSWORD).await), FAILED, "{at}");
        // The owner has a link that proves the mailbox and sets a password.
        let mails = app.mails_to(ANN).await;
        let link = mails.iter().rev().find(|mail| mail.subject == "Set your password").and_then(Letter::code);
        assert_eq!(portal.stranger.reset(&link.unwrap(), NEW).await.unwrap(), [], "{at}");
        portal.stranger.sign_in_with(ANN, NEW).await.unwrap();
    }
});

both_backends!(an_address_that_was_registered_again_is_approved_as_it_was_read_last, async |app: &TestApp| {
    let portal = realm(app, pb::ApprovalAuthority::Realm, pb::EmailVerificationRule::Required).await;
    let approver = pb::CreateRoleRequest {
        grants: crate::support::grants(pb::Reach::All, &["countersign.users.approve"]),
        topics: vec![pb::RoleTopic { topic: "approvals".to_owned(), reach: pb::Reach::All.into() }],
        assignable: Some(crate::support::everywhere(&[])),
        ..role("approver")
    };
    portal.define([approver]).await;
    portal.person(app, "ada@acme.example", &[], &["approver"]).await;
    register(&portal.stranger, PASSWORD).await;
    let read = portal.operator.user(ANN).await.unwrap().etag;
    register(&portal.stranger, EVES).await;
    let told = app.mails_to("ada@acme.example").await;
    let told: Vec<_> = told.iter().filter(|mail| mail.subject.contains("Waiting")).collect();
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(!told[0].text.contains("registered again") && told[1].text.contains("registered again"), "{told:#?}");
    let waits = portal.operator.approvals().list_registrations(pb::ListRegistrationsRequest::default()).await;
    assert_eq!(waits.unwrap().into_inner().registrations[0].registration_count, 2);

    let required = (Code::FailedPrecondition, ErrorReason::EtagRequired);
    assert_eq!(refusal(portal.operator.approve(ANN).await), required);
    let stale = pb::ApproveRegistrationRequest { user: ANN.to_owned(), etag: read, ..Default::default() };
    let refused = portal.operator.approvals().approve_registration(stale).await;
    assert_eq!(refusal(refused), (Code::Aborted, ErrorReason::EtagMismatch));
    approve_as_read(&portal).await.unwrap();
    app.mailed().await;
});

both_backends!(a_right_password_tells_nothing_until_the_mailbox_is_proven, async |app: &TestApp| {
    let portal = realm(app, pb::ApprovalAuthority::Realm, pb::EmailVerificationRule::Required).await;
    register(&portal.stranger, PASSWORD).await;
    let first = app.code_for(ANN).await;
    let (right, wrong) = (portal.stranger.sign_in(ANN).await, portal.stranger.sign_in_with(ANN, NEW).await);
    assert_eq!(said(&right.unwrap_err()), said(&wrong.unwrap_err()));
    let again = app.code_for(ANN).await;
    assert_ne!(again, first, "the mailbox gets its link again");
    // Nor does what was tried before follow the account.
    for _ in 0..3 {
        assert_eq!(refusal(portal.stranger.sign_in_with(ANN, NEW).await), FAILED);
    }
    assert_eq!(refusal(portal.stranger.sign_in(ANN).await), LIMITED);
    portal.stranger.verify(&again).await.unwrap();
    let pending = (Code::PermissionDenied, ErrorReason::ApprovalPending);
    assert_eq!(refusal(portal.stranger.sign_in(ANN).await), pending, "once proven, the gate is named");
    app.mailed().await;
});

both_backends!(three_links_of_a_kind_in_fifteen_minutes_and_the_last_stays_valid, async |app: &TestApp| {
    let portal = realm(app, pb::ApprovalAuthority::None, pb::EmailVerificationRule::Required).await;
    register(&portal.stranger, PASSWORD).await;
    for _ in 0..5 {
        // Each leaves before the next one voids it.
        app.mails_to(ANN).await;
        resend(&portal.stranger).await.unwrap();
    }
    register(&portal.stranger, PASSWORD).await;
    assert_eq!(app.mails_to(ANN).await.iter().filter_map(Letter::code).count(), 3);
    let last = app.code_for(ANN).await;
    assert_eq!(portal.stranger.verify(&last).await.unwrap(), []);
    for _ in 0..8 {
        register(&portal.stranger, EVES).await;
    }
    let taken = app.mails_to(ANN).await.iter().filter(|mail| mail.subject.starts_with("Somebody registered")).count();
    assert_eq!(taken, 5, "a day's worth");
    // Over a day no more than one for each hour.
    for _ in 0..40 {
        app.clock().advance(Duration::from_secs(16 * 60));
        portal.stranger.ask_for_reset(ANN).await.unwrap();
    }
    let resets = app.mails_to(ANN).await.iter().filter(|mail| mail.subject == "Reset your password").count();
    assert_eq!(resets, 24);
});

// A stranger registers a company's public codes and never proves anything.
both_backends!(the_first_who_verifies_founds_whoever_registered_first, async |app: &TestApp| {
    let policy = Policy {
        self_registration: pb::SelfRegistration::ByOrganizationCode.into(),
        code_schemes: vec![pb::CodeScheme {
            name: "code".to_owned(),
            format: pb::CodeFormat::Text.into(),
            unique: true,
        }],
        unknown_codes: pb::UnknownCodes::CreateOrganization.into(),
        approval: pb::ApprovalAuthority::Realm.into(),
        base_url: "https://people.example".to_owned(),
        ..Default::default()
    };
    let portal = app.realm("people", policy.clone()).await;
    portal.define([pb::CreateRoleRequest { assignable: Some(within(&[])), ..role("founder") }]).await;
    let founding =
        Policy { founding: pb::Founding::FirstVerified.into(), founding_role: "founder".to_owned(), ..policy };
    portal.decide(founding, &["founding", "founding_role"]).await;
    let code = [("code", "initech-1")];
    portal.stranger.register("eve@elsewhere.example", "Eve", &code).await.unwrap();
    portal.newcomer(app, ANN, &code).await;
    portal.enter(app, ANN).await;
    portal.newcomer(app, "bob@acme.example", &code).await;
    let founders = pb::ListUsersRequest { role: "founder".to_owned(), ..Default::default() };
    assert_eq!(portal.operator.list(founders).await.unwrap(), [ANN], "once");
    let closed = (Code::PermissionDenied, ErrorReason::ApprovalPending);
    assert_eq!(refusal(portal.stranger.sign_in("bob@acme.example").await), closed);
    app.mailed().await;
});

// Who folds to a deleted person's address is not mailed what is the owner's to hear.
both_backends!(of_a_taken_address_only_its_owners_own_spelling_hears, async |app: &TestApp| {
    let portal = realm(app, pb::ApprovalAuthority::None, pb::EmailVerificationRule::Required).await;
    portal.newcomer(app, "strasse@acme.example", &[]).await;
    portal.operator.delete("strasse@acme.example").await.unwrap();
    app.mailed().await;
    portal.stranger.register("straße@acme.example", "Eve", &[]).await.unwrap();
    assert_eq!(app.mailed().await, ["strasse@acme.example: Somebody registered with your e-mail address"]);
    app.clock().advance(Duration::from_secs(31 * 86_400));
    while app.inner().app.let_time_pass().await.unwrap() {}
    portal.stranger.register("straße@acme.example", "Eve", &[]).await.unwrap();
    assert_eq!(app.mailed().await, [""; 0], "nobody knows how the owner wrote it");
});
