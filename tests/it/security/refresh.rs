//! Refresh tokens under attack: raced, replayed, and of accounts that are kept out.

use countersign::crypto::random_mark;
use countersign::domain::account::{ApprovalState, Gate, Hold, HoldCause, User};
use countersign::domain::change::Key;
use countersign::domain::ids::UserId;
use countersign::grpc::pb::{self, ErrorReason};
use countersign::store::Lock;
use tonic::Code;

use crate::support::{Backend, Caller, PASSWORD, Portal, Reachable, TestApp, both_backends, refusal};

const ANN: &str = "ann@acme.example";
const AT_ONCE: usize = 50;
const OVER: (Code, ErrorReason) = (Code::Unauthenticated, ErrorReason::TokenInvalid);
const ENDED: (Code, ErrorReason) = (Code::Unauthenticated, ErrorReason::CredentialInvalid);

async fn realm(app: &TestApp) -> Portal {
    let policy = pb::Policy {
        self_registration: pb::SelfRegistration::Open.into(),
        approval: pb::ApprovalAuthority::None.into(),
        ..Default::default()
    };
    let portal = app.realm("open", policy).await;
    portal.newcomer(app, ANN, &[]).await;
    portal
}

/// Sends one refresh token by many at once.
async fn refreshed_at_once(callers: &[Caller], token: &str) -> Vec<Result<pb::RefreshSessionResponse, tonic::Status>> {
    let one = |number: usize| {
        let (caller, token) = (callers[number % callers.len()].clone(), token.to_owned());
        tokio::spawn(async move { caller.refresh(&token).await })
    };
    let mut answers = vec![];
    for call in (0..AT_ONCE).map(one).collect::<Vec<_>>() {
        answers.push(call.await.unwrap());
    }
    answers
}

/// One exchange, and everybody has its answer.
async fn assert_one_exchange(portal: &Portal, callers: &[Caller]) {
    let first = portal.stranger.begin(ANN).await.unwrap();
    let answers = refreshed_at_once(callers, &first.refresh_token).await;
    let mut tokens: Vec<_> =
        answers.into_iter().map(Result::unwrap).map(|answer| (answer.access_token, answer.refresh_token)).collect();
    tokens.dedup();
    assert_eq!(tokens.len(), 1, "one generation");
    let done = portal.operator.times(["session.refreshed", "session.refresh_token_replayed"]).await;
    assert_eq!(done, [1, 0]);
    assert_eq!(portal.operator.list_sessions(ANN).await.unwrap().len(), 1, "one family");
    portal.stranger.refresh(&tokens[0].1).await.unwrap();
}

// Security class 13: a race in one-time use (CVE-2026-1035, CVE-2025-46815).
both_backends!(fifty_who_refresh_at_once_make_one_exchange, async |app: &TestApp| {
    let portal = realm(app).await;
    assert_one_exchange(&portal, std::slice::from_ref(&portal.stranger)).await;
});

/// Security class 13, at two replicas.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_who_refresh_at_once_at_two_replicas_make_one_exchange() {
    let app = TestApp::start(Backend::Postgres).await;
    let replica = app.replica().await;
    let portal = realm(&app).await;
    let there = replica.anonymous().in_realm(&portal.name);
    assert_one_exchange(&portal, &[portal.stranger.clone(), there]).await;
    replica.finish().await;
    app.finish().await;
}

// Security class 14, raced: the family of a replayed token ends once, and whoever refreshes beside it is not spared.
both_backends!(a_family_ends_once_however_many_replay, async |app: &TestApp| {
    let portal = realm(app).await;
    let first = portal.stranger.begin(ANN).await.unwrap();
    let second = portal.stranger.refresh(&first.refresh_token).await.unwrap();
    let third = portal.stranger.refresh(&second.refresh_token).await.unwrap();
    let beside = tokio::spawn({
        let (caller, token) = (portal.stranger.clone(), third.refresh_token.clone());
        async move { caller.refresh(&token).await }
    });
    for answer in refreshed_at_once(std::slice::from_ref(&portal.stranger), &first.refresh_token).await {
        assert_eq!(refusal(answer), OVER);
    }
    assert_eq!(portal.operator.times(["session.refresh_token_replayed"]).await, [1]);
    if let Ok(fourth) = beside.await.unwrap() {
        assert_eq!(refusal(app.as_token(&fourth.access_token).user("").await), ENDED);
        assert_eq!(refusal(portal.stranger.refresh(&fourth.refresh_token).await), OVER);
    }
    assert_eq!(refusal(app.as_token(&third.access_token).user("").await), ENDED);
});

both_backends!(nothing_that_is_refreshed_beside_a_revocation_outlives_it, async |app: &TestApp| {
    let portal = realm(app).await;
    for _ in 0..5 {
        let first = portal.stranger.begin(ANN).await.unwrap();
        let session = portal.operator.list_sessions(ANN).await.unwrap().remove(0).id;
        let revocation = tokio::spawn({
            let operator = portal.operator.clone();
            async move { operator.revoke_session(&session).await }
        });
        let answers = refreshed_at_once(std::slice::from_ref(&portal.stranger), &first.refresh_token).await;
        revocation.await.unwrap().unwrap();
        for answer in answers.into_iter().flatten() {
            assert_eq!(refusal(app.as_token(&answer.access_token).user("").await), ENDED);
        }
        assert_eq!(refusal(portal.stranger.refresh(&first.refresh_token).await), OVER);
    }
});

/// Closes a gate, or opens it again, behind the service's back: as if whoever changed the account had forgotten to end
/// its sessions.
async fn set(app: &TestApp, portal: &Portal, user: UserId, gate: Gate, closed: bool) {
    let now = app.clock().now();
    let cause = |cause: HoldCause| Hold { cause, at: now, by: None, note: None };
    let approval = |state: ApprovalState| if closed { state } else { ApprovalState::Approved };
    let change = |account: &mut User| match gate {
        Gate::Deleted => account.deleted_at = closed.then_some(now),
        Gate::ApprovalPending => account.approval.state = approval(ApprovalState::Pending),
        Gate::ApprovalRejected => account.approval.state = approval(ApprovalState::Rejected),
        Gate::ApprovalExpired => account.approval.state = approval(ApprovalState::Expired),
        Gate::Blocked => account.holds = closed.then(|| cause(HoldCause::Blocked)).into_iter().collect(),
        Gate::Suspended(why) => account.holds = closed.then(|| cause(why)).into_iter().collect(),
        Gate::NotYetValid => account.valid_from = closed.then(|| now.after(std::time::Duration::from_secs(9_000))),
        Gate::NoLongerValid => account.valid_until = closed.then_some(now),
        Gate::EmailNotVerified => {
            account.verified = (!closed).then_some(countersign::domain::account::Verified {
                at: now,
                how: countersign::domain::account::VerifiedHow::Link,
            });
        }
        Gate::PasswordMustChange => account.password_must_change = closed,
        Gate::RealmSuspended | Gate::BasicAccessMissing | Gate::Disabled => panic!("{gate:?} is not the account's"),
    };
    match gate {
        Gate::RealmSuspended => {
            let state = if closed { pb::RealmState::Suspended } else { pb::RealmState::Active };
            let request = pb::UpdateRealmRequest { state: state.into(), ..Default::default() };
            portal.operator.realms().update_realm(request).await.unwrap();
        }
        Gate::BasicAccessMissing => {
            let basic_permission = if closed { "portal.enter" } else { "" }.to_owned();
            portal.decide(pb::Policy { basic_permission, ..Default::default() }, &["basic_permission"]).await;
        }
        _ => {
            let inner = &app.inner().app;
            let realm = inner.store().realm_named(&portal.name).await.unwrap().unwrap().id;
            let tx = inner.store().begin(realm, Lock::Realm).await.unwrap();
            let mut account = tx.rows().user(user).await.unwrap().unwrap();
            change(&mut account);
            tx.rows().update_user(&account).await.unwrap();
            let committed = tx.commit(vec![Key::Principal(user.into())], random_mark(), now).await.unwrap();
            inner.snapshots().committed(&committed).await;
        }
    }
}

// Security class 12: a gated account still gets tokens on one path (CVE-2023-22492, CVE-2026-1609, CVE-2025-14559,
// CVE-2025-53942). Every gate of a person, closed between the steps, at every RPC that hands out tokens.
both_backends!(no_gated_account_gets_a_token_on_any_path, async |app: &TestApp| {
    let portal = realm(app).await;
    portal.declare(&["portal.enter"]).await;
    let id = portal.enter(app, ANN).await.id;
    let user = UserId(id.parse().unwrap());
    for gate in Gate::NAMED.into_iter().filter(|gate| *gate != Gate::Disabled) {
        let first = portal.stranger.begin(ANN).await.unwrap();
        let second = portal.stranger.refresh(&first.refresh_token).await.unwrap();
        let before = portal.operator.times(["session.started", "session.refreshed"]).await;
        set(app, &portal, user, gate, true).await;
        let name = format!("ERROR_REASON_{}", countersign::app::Reason::from(gate).name());
        let named = (Code::PermissionDenied, ErrorReason::from_str_name(&name).unwrap());
        let (at_sign_in, at_refresh) = match gate {
            Gate::Deleted => ((Code::Unauthenticated, ErrorReason::SignInFailed), OVER),
            // To whom the mailbox is, nobody has proven: the password says nothing then.
            Gate::EmailNotVerified => ((Code::Unauthenticated, ErrorReason::SignInFailed), named),
            _ => (named, named),
        };
        let request = pb::SignInRequest { email: ANN.to_owned(), password: PASSWORD.to_owned() };
        let signed_in = portal.stranger.sessions().sign_in(request).await.map(tonic::Response::into_inner);
        match (gate, &signed_in) {
            // What opens ChangePassword is neither of these.
            (Gate::PasswordMustChange, Ok(answer)) => {
                assert_eq!((answer.access_token.as_str(), answer.refresh_token.as_str()), ("", ""));
            }
            _ => assert_eq!(refusal(signed_in), at_sign_in, "{gate:?}"),
        }
        for token in [&second.refresh_token, &first.refresh_token] {
            assert_eq!(refusal(portal.stranger.refresh(token).await), at_refresh, "{gate:?}");
        }
        set(app, &portal, user, gate, false).await;
        let after = portal.operator.times(["session.started", "session.refreshed"]).await;
        assert_eq!(after, before, "{gate:?}: nothing was begun, nothing used up");
        portal.stranger.refresh(&second.refresh_token).await.unwrap();
    }
});

// Security class 12, by the service's own transitions: they end the sessions too.
both_backends!(a_suspended_person_signs_in_again_and_does_not_go_on, async |app: &TestApp| {
    let portal = realm(app).await;
    let first = portal.stranger.begin(ANN).await.unwrap();
    portal.operator.suspend(ANN, "on leave").await.unwrap();
    assert_eq!(refusal(portal.stranger.refresh(&first.refresh_token).await), OVER);
    portal.operator.reinstate(ANN).await.unwrap();
    assert_eq!(refusal(portal.stranger.refresh(&first.refresh_token).await), OVER);
    assert_eq!(refusal(app.as_token(&first.access_token).user("").await), ENDED);
    let next = portal.stranger.begin(ANN).await.unwrap();
    portal.stranger.refresh(&next.refresh_token).await.unwrap();
});
