//! `SessionService`: who calls, and how long.

use std::time::Duration;

use countersign::app::ACCESS_TOKEN_TTL;
use countersign::grpc::pb::{self, ErrorReason, Policy, get_me_response::Principal};
use tonic::Code;

use crate::support::{PASSWORD, Portal, Reachable as _, TestApp, both_backends, refusal, violations};

/// A realm that anybody may enter whose address is proven.
pub(super) async fn open_realm(app: &TestApp) -> Portal {
    let policy = Policy {
        self_registration: pb::SelfRegistration::Open.into(),
        approval: pb::ApprovalAuthority::None.into(),
        base_url: "https://open.example".to_owned(),
        ..Default::default()
    };
    app.realm("open", policy).await
}

both_backends!(a_token_says_who_calls_for_five_minutes, async |app: &TestApp| {
    let portal = open_realm(app).await;
    portal.newcomer(app, "ann@acme.example", &[]).await;
    let ann = portal.enter(app, "Ann@ACME.example").await;
    let me = ann.caller.sessions().get_me(pb::GetMeRequest {}).await.unwrap().into_inner();
    assert_eq!((me.realm_name.as_str(), me.gates.len()), (portal.name.as_str(), 0));
    let Some(Principal::User(user)) = me.principal else { panic!("a person is a user") };
    assert_eq!((user.id, user.email), (ann.id.clone(), "ann@acme.example".to_owned()));

    app.clock().advance(ACCESS_TOKEN_TTL - Duration::from_secs(10));
    ann.caller.user("").await.unwrap();
    app.clock().advance(Duration::from_secs(10));
    let ended = (Code::Unauthenticated, ErrorReason::CredentialInvalid);
    assert_eq!(refusal(ann.caller.user("").await), ended);
});

both_backends!(a_remembered_token_ends_when_the_audience_changes, async |app: &TestApp| {
    let portal = open_realm(app).await;
    portal.newcomer(app, "ann@acme.example", &[]).await;
    let ann = portal.enter(app, "ann@acme.example").await;
    ann.caller.user("").await.unwrap();
    let other = Policy { audience: "https://elsewhere.example".to_owned(), ..Default::default() };
    portal.decide(other, &["audience"]).await;
    let ended = (Code::Unauthenticated, ErrorReason::CredentialInvalid);
    assert_eq!(refusal(ann.caller.user("").await), ended, "as a server that never saw the token answers");
});

both_backends!(a_credential_of_one_realm_is_none_in_another, async |app: &TestApp| {
    let portal = open_realm(app).await;
    portal.newcomer(app, "ann@acme.example", &[]).await;
    let ann = portal.enter(app, "ann@acme.example").await;
    let unknown = (Code::NotFound, ErrorReason::RealmUnknown);
    assert_eq!(refusal(ann.caller.clone().in_realm("default").user("").await), unknown);
    assert_eq!(refusal(app.as_operator().in_realm("nowhere").user(&ann.id).await), unknown);
    let elsewhere = app.anonymous().in_realm("default");
    assert_eq!(refusal(elsewhere.sign_in(&ann.email).await), (Code::Unauthenticated, ErrorReason::SignInFailed));
    let missing = (Code::Unauthenticated, ErrorReason::CredentialMissing);
    assert_eq!(refusal(app.anonymous().in_realm("open").user("").await), missing);
});

both_backends!(a_registration_is_refused_for_every_field_that_is_wrong, async |app: &TestApp| {
    let portal = open_realm(app).await;
    let register = async |email: &str, display_name: &str, password: &str| {
        let [email, display_name, password] = [email, display_name, password].map(str::to_owned);
        let request = pb::RegisterRequest { email, display_name, password, ..Default::default() };
        let mut fields = violations(portal.stranger.registrations().register(request).await);
        fields.dedup();
        fields
    };
    assert_eq!(register("nobody", "", PASSWORD).await, ["display_name", "email"]);
    assert_eq!(register("ann@acme.example", "Ann", "short").await, ["password"]);
    assert_eq!(app.mailed().await, [""; 0]);
});

both_backends!(a_link_verifies_once_and_with_the_password_alone, async |app: &TestApp| {
    let portal = open_realm(app).await;
    let stranger = &portal.stranger;
    stranger.register("ann@acme.example", "Ann", &[]).await.unwrap();
    let first = app.code_for("ann@acme.example").await;
    let invalid = (Code::FailedPrecondition, ErrorReason::CodeInvalid);
    let guessed = pb::VerifyEmailRequest { code: first.clone(), password: format!("{PASSWORD}!") };
    assert_eq!(refusal(stranger.registrations().verify_email(guessed).await), invalid);

    let email = "ann@acme.example".to_owned();
    stranger.registrations().resend_verification(pb::ResendVerificationRequest { email }).await.unwrap();
    let second = app.code_for("ann@acme.example").await;
    assert_ne!(first, second);
    assert_eq!(refusal(stranger.verify(&first).await), invalid, "a newer one voids it");
    assert_eq!(stranger.verify(&second).await.unwrap(), []);
    assert_eq!(refusal(stranger.verify(&second).await), invalid);

    stranger.register("late@acme.example", "Late", &[]).await.unwrap();
    let code = app.code_for("late@acme.example").await;
    app.clock().advance(Duration::from_secs(24 * 3600));
    assert_eq!(refusal(stranger.verify(&code).await), invalid);
});
