//! `SessionService`: changing one's password, and setting a new one by the mailbox.

use std::time::Duration;

use countersign::domain::account::{Gate, Hold, HoldCause};
use countersign::grpc::pb::{self, ErrorReason, Policy};
use tonic::Code;

use crate::support::{Caller, PASSWORD, Portal, Reachable as _, TestApp, both_backends, refusal, violations};

const NEW: &str = "seven crooked lanterns hum";
const OTHER: &str = "a quiet harbour of tin";
const ANN: &str = "ann@acme.example";

const ENDED: (Code, ErrorReason) = (Code::Unauthenticated, ErrorReason::CredentialInvalid);
const FAILED: (Code, ErrorReason) = (Code::Unauthenticated, ErrorReason::SignInFailed);
const INVALID: (Code, ErrorReason) = (Code::FailedPrecondition, ErrorReason::CodeInvalid);
const WRONG: (Code, ErrorReason) = (Code::FailedPrecondition, ErrorReason::PasswordWrong);

/// A realm that anybody may enter whose address is proven.
async fn open_realm(app: &TestApp) -> Portal {
    let policy = Policy {
        self_registration: pb::SelfRegistration::Open.into(),
        approval: pb::ApprovalAuthority::None.into(),
        base_url: "https://open.example".to_owned(),
        ..Default::default()
    };
    app.realm("open", policy).await
}

/// A link for a new password, asked for and read.
async fn reset_code(app: &TestApp, portal: &Portal, email: &str) -> String {
    portal.stranger.ask_for_reset(email).await.unwrap();
    app.code_for(email).await
}

both_backends!(changing_the_password_ends_every_session_but_the_new_one, async |app: &TestApp| {
    let portal = open_realm(app).await;
    portal.newcomer(app, ANN, &[]).await;
    let (here, there) = (portal.enter(app, ANN).await.caller, portal.enter(app, ANN).await.caller);
    app.mailed().await;
    assert_eq!(refusal(here.change_password(OTHER, NEW).await), WRONG);
    assert_eq!(app.mailed().await, [""; 0]);

    let token = here.change_password(PASSWORD, NEW).await.unwrap();
    for old in [&here, &there] {
        assert_eq!(refusal(old.user("").await), ENDED);
    }
    app.as_token(&token).user("").await.unwrap();
    assert_eq!(refusal(portal.stranger.sign_in(ANN).await), FAILED);
    portal.stranger.sign_in_with(ANN, NEW).await.unwrap();
    assert_eq!(app.mailed().await, [format!("{ANN}: Your password was changed")]);
});

both_backends!(a_new_password_is_refused_for_all_that_is_wrong_with_it, async |app: &TestApp| {
    let portal = open_realm(app).await;
    portal.newcomer(app, ANN, &[]).await;
    let ann = portal.enter(app, ANN).await.caller;
    let change = async |new: &str| violations(ann.change_password(PASSWORD, new).await);
    assert_eq!(change(PASSWORD).await, ["new_password"]);
    for wrong in ["", "short", "passwordpassword", "ann@acme.example", &"x".repeat(129)] {
        assert_eq!(change(wrong).await, ["new_password"], "{wrong}");
    }
    let code = reset_code(app, &portal, ANN).await;
    assert_eq!(violations(portal.stranger.reset(&code, "short").await), ["new_password"]);
    assert_eq!(portal.stranger.reset(&code, NEW).await.unwrap(), [], "a refused call uses no code up");
    for new in ["short", OTHER] {
        assert_eq!(
            refusal(portal.stranger.reset("nonsense", new).await),
            INVALID,
            "nothing is looked at before the code"
        );
    }
});

both_backends!(who_must_change_the_password_can_do_nothing_else, async |app: &TestApp| {
    let portal = open_realm(app).await;
    portal.newcomer(app, ANN, &[]).await;
    let session = portal.enter(app, ANN).await.caller;
    portal.alter(app, ANN, |user| user.password_must_change = true).await;
    let gate = (Code::PermissionDenied, ErrorReason::PasswordMustChange);
    assert_eq!(refusal(session.user("").await), gate);

    let (token, answer) = demanded(&portal.stranger).await;
    assert_eq!((answer.access_token.as_str(), answer.token_type.as_str()), ("", ""));
    assert_eq!(answer.gate.unwrap().reason(), ErrorReason::PasswordMustChange);
    let bearer = app.as_token(&token);
    assert_eq!(refusal(bearer.user("").await), ENDED);
    assert_eq!(refusal(bearer.sessions().get_me(pb::GetMeRequest {}).await), ENDED);
    assert_eq!(refusal(bearer.clone().in_realm("open").sign_in(ANN).await), ENDED, "not even where none is needed");
    assert_eq!(refusal(bearer.change_password(OTHER, NEW).await), WRONG, "it takes no password's place");

    app.clock().advance(Duration::from_secs(10 * 60));
    assert_eq!(refusal(bearer.change_password(PASSWORD, NEW).await), ENDED);
    let (token, _) = demanded(&portal.stranger).await;
    let bearer = app.as_token(&token);
    let opened = bearer.change_password(PASSWORD, NEW).await.unwrap();
    app.as_token(&opened).user("").await.unwrap();
    assert_eq!(refusal(bearer.change_password(NEW, OTHER).await), ENDED, "it opens once");
    portal.stranger.sign_in_with(ANN, NEW).await.unwrap();
});

async fn demanded(stranger: &Caller) -> (String, pb::SignInResponse) {
    let request = pb::SignInRequest { email: ANN.to_owned(), password: PASSWORD.to_owned() };
    let answer = stranger.sessions().sign_in(request).await.unwrap().into_inner();
    (answer.password_change_token.clone(), answer)
}

both_backends!(a_service_has_no_password_to_change, async |app: &TestApp| {
    let portal = open_realm(app).await;
    let service = app.as_key(&portal.operator.service("warehouse").await.unwrap());
    let not_found = (Code::NotFound, ErrorReason::NotFound);
    assert_eq!(refusal(service.change_password(PASSWORD, NEW).await), not_found);
    assert_eq!(refusal(portal.operator.change_password(PASSWORD, NEW).await), not_found);
});

both_backends!(a_link_sets_a_new_password_once, async |app: &TestApp| {
    let portal = open_realm(app).await;
    portal.newcomer(app, ANN, &[]).await;
    let session = portal.enter(app, ANN).await.caller;
    app.mailed().await;
    let voided = reset_code(app, &portal, ANN).await;
    let code = reset_code(app, &portal, ANN).await;
    assert_eq!(refusal(portal.stranger.reset(&voided, NEW).await), INVALID, "a newer one voids it");
    session.user("").await.unwrap();
    assert_eq!(portal.stranger.reset(&code, NEW).await.unwrap(), []);
    assert_eq!(refusal(session.user("").await), ENDED);
    assert_eq!(refusal(portal.stranger.reset(&code, OTHER).await), INVALID);
    portal.stranger.sign_in_with(ANN, NEW).await.unwrap();
    let mut told = app.mailed().await;
    told.dedup();
    assert_eq!(told, [format!("{ANN}: Reset your password"), format!("{ANN}: Your password was changed")]);

    app.clock().advance(Duration::from_secs(3600));
    let late = reset_code(app, &portal, ANN).await;
    app.clock().advance(Duration::from_secs(30 * 60));
    assert_eq!(refusal(portal.stranger.reset(&late, OTHER).await), INVALID);
});

both_backends!(changing_the_password_voids_the_links_that_would_set_another, async |app: &TestApp| {
    let portal = open_realm(app).await;
    portal.newcomer(app, ANN, &[]).await;
    let ann = portal.enter(app, ANN).await.caller;
    let code = reset_code(app, &portal, ANN).await;
    ann.change_password(PASSWORD, NEW).await.unwrap();
    assert_eq!(refusal(portal.stranger.reset(&code, OTHER).await), INVALID);
});

both_backends!(only_three_links_go_out_within_a_quarter_of_an_hour, async |app: &TestApp| {
    let portal = open_realm(app).await;
    portal.newcomer(app, ANN, &[]).await;
    app.mailed().await;
    let mut told = vec![];
    for _ in 0..5 {
        told.push(portal.stranger.ask_for_reset(ANN).await.unwrap());
    }
    told.push(portal.stranger.ask_for_reset("nobody@acme.example").await.unwrap());
    told.dedup();
    assert_eq!(told.len(), 1, "everybody is told the same");
    assert_eq!(app.mailed().await.len(), 3);
    let code = app.code_for(ANN).await;
    app.clock().advance(Duration::from_secs(14 * 60));
    portal.stranger.ask_for_reset(ANN).await.unwrap();
    assert_eq!(portal.stranger.reset(&code, NEW).await.unwrap(), [], "nobody voids it by asking on and on");
    app.clock().advance(Duration::from_secs(60));
    portal.stranger.ask_for_reset(ANN).await.unwrap();
    assert_eq!(app.mailed().await.len(), 2, "changed, and a new link");
});

both_backends!(a_reset_proves_the_address_and_what_follows_follows, async |app: &TestApp| {
    let portal = open_realm(app).await;
    portal.stranger.register(ANN, "Ann", &[]).await.unwrap();
    let link = app.code_for(ANN).await;
    let code = reset_code(app, &portal, ANN).await;
    assert_eq!(refusal(portal.stranger.verify(&code).await), INVALID, "a code of one purpose opens nothing else");
    assert_eq!(refusal(portal.stranger.reset(&link, NEW).await), INVALID);
    assert_eq!(portal.stranger.reset(&code, NEW).await.unwrap(), [], "nobody has to approve here");
    assert_eq!(refusal(portal.stranger.verify(&link).await), INVALID, "the older link is void");
    let token = portal.stranger.sign_in_with(ANN, NEW).await.unwrap();
    let ann = app.as_token(&token).user("").await.unwrap();
    assert_eq!(ann.email_verified.unwrap().how(), pb::VerificationMethod::Reset);
});

fn gate(cause: HoldCause) -> Gate {
    if cause == HoldCause::Blocked { Gate::Blocked } else { Gate::Suspended(cause) }
}

fn password(cause: HoldCause) -> String {
    format!("{NEW} for {cause:?}")
}

both_backends!(a_reset_opens_nothing_but_what_it_proves, async |app: &TestApp| {
    let portal = open_realm(app).await;
    portal.decide(Policy { approval: pb::ApprovalAuthority::Realm.into(), ..Default::default() }, &["approval"]).await;
    portal.newcomer(app, ANN, &[]).await;
    let code = reset_code(app, &portal, ANN).await;
    assert_eq!(portal.stranger.reset(&code, NEW).await.unwrap(), [ErrorReason::ApprovalPending]);
    let pending = (Code::PermissionDenied, ErrorReason::ApprovalPending);
    assert_eq!(refusal(portal.stranger.sign_in_with(ANN, NEW).await), pending);

    portal.operator.approve(ANN).await.unwrap();
    for cause in [HoldCause::Blocked, HoldCause::Administrator, HoldCause::Inactivity] {
        app.clock().advance(Duration::from_secs(3600));
        let hold = Hold { cause, at: app.clock().now(), by: None, note: None };
        portal.alter(app, ANN, |user| user.holds.push(hold)).await;
        let code = reset_code(app, &portal, ANN).await;
        let (name, new) =
            (format!("ERROR_REASON_{}", countersign::app::Reason::from(gate(cause)).name()), password(cause));
        let kept_out = ErrorReason::from_str_name(&name).unwrap();
        assert_eq!(portal.stranger.reset(&code, &new).await.unwrap(), [kept_out], "{cause:?}");
        assert_eq!(refusal(portal.stranger.sign_in_with(ANN, &new).await), (Code::PermissionDenied, kept_out));
        portal.alter(app, ANN, |user| user.holds.clear()).await;
        portal.stranger.sign_in_with(ANN, &new).await.unwrap();
    }
    app.mailed().await;
    let now = app.clock().now();
    portal.alter(app, ANN, |user| user.deleted_at = Some(now)).await;
    portal.stranger.ask_for_reset(ANN).await.unwrap();
    assert_eq!(app.mailed().await, [""; 0]);
});
