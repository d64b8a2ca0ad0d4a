//! `RegistrationService`: what a realm asks of a newcomer.

use countersign::grpc::pb::{self, ErrorReason, Policy};
use tonic::Code;

use crate::support::{Caller, TestApp, both_backends, refusal};

async fn form(caller: &Caller) -> pb::GetRegistrationFormResponse {
    let asked = pb::GetRegistrationFormRequest {};
    caller.registrations().get_registration_form(asked).await.unwrap().into_inner()
}

both_backends!(the_form_says_what_registering_takes, async |app: &TestApp| {
    let scheme = |name: &str, format: pb::CodeFormat| pb::CodeScheme {
        name: name.to_owned(),
        format: format.into(),
        unique: false,
    };
    let policy = Policy {
        code_schemes: vec![scheme("uei", pb::CodeFormat::Uei), scheme("domain", pb::CodeFormat::Domain)],
        base_url: "https://people.example".to_owned(),
        ..Default::default()
    };
    let portal = app.realm("people", policy).await;
    let code = |scheme: &str, format: pb::CodeFormat, required, from_email| pb::FormCode {
        scheme: scheme.to_owned(),
        format: format.into(),
        required,
        from_email,
    };
    let expected = pb::GetRegistrationFormResponse {
        realm_title: "people".to_owned(),
        self_registration: pb::SelfRegistration::ByOrganizationCode.into(),
        codes: vec![code("uei", pb::CodeFormat::Uei, true, false), code("domain", pb::CodeFormat::Domain, true, true)],
        password_min_chars: 15,
        password_max_chars: 128,
        email_verification: pb::EmailVerificationRule::Required.into(),
        approval_follows: true,
    };
    assert_eq!(form(&portal.stranger).await, expected);
    let open = Policy {
        self_registration: pb::SelfRegistration::Open.into(),
        approval: pb::ApprovalAuthority::None.into(),
        ..Default::default()
    };
    portal.decide(open, &["self_registration", "approval"]).await;
    let open = form(&portal.stranger).await;
    assert!(!open.approval_follows);
    assert!(open.codes.iter().all(|code| !code.required));
});

// Security class 18: what is closed is closed on every path, not only on the form.
both_backends!(where_registration_is_closed_every_entry_refuses, async |app: &TestApp| {
    let scheme = pb::CodeScheme { name: "code".to_owned(), format: pb::CodeFormat::Text.into(), unique: true };
    let policy = Policy {
        self_registration: pb::SelfRegistration::Open.into(),
        code_schemes: vec![scheme],
        approval: pb::ApprovalAuthority::None.into(),
        base_url: "https://people.example".to_owned(),
        ..Default::default()
    };
    let portal = app.realm("people", policy).await;
    let organization = pb::CreateOrganizationRequest {
        slug: "acme".to_owned(),
        title: "Acme".to_owned(),
        identifiers: crate::support::identifiers(&[("code", "acme-1")]),
        ..Default::default()
    };
    portal.organization(organization).await;
    portal.newcomer(app, "ann@acme.example", &[]).await;
    let ann = portal.enter(app, "ann@acme.example").await;
    app.mailed().await;
    let closed = Policy { self_registration: pb::SelfRegistration::Closed.into(), ..Default::default() };
    portal.decide(closed, &["self_registration"]).await;
    let shown = form(&portal.stranger).await;
    assert_eq!((shown.self_registration(), shown.codes.len()), (pb::SelfRegistration::Closed, 0));
    let closed = (Code::FailedPrecondition, ErrorReason::RegistrationClosed);
    assert_eq!(refusal(portal.stranger.register("bob@acme.example", "Bob", &[]).await), closed);
    assert_eq!(refusal(portal.stranger.register("bob@acme.example", "Bob", &[("code", "acme-1")]).await), closed);
    assert_eq!(refusal(ann.caller.join(&[("code", "acme-1")]).await), closed);
    assert_eq!(app.mailed().await, [""; 0]);
});
