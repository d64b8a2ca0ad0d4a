//! `SessionService`: which sessions there are, and ending them.

use countersign::app::ACCESS_TOKEN_TTL;
use countersign::grpc::pb::{self, ErrorReason, Reach};
use tonic::Code;

use super::session::open_realm;
use crate::support::{
    At, Caller, Portal, Reachable as _, TestApp, Verdict, ask, both_backends, denied, everywhere, grants, refusal,
    role, violations,
};

const OVER: (Code, ErrorReason) = (Code::Unauthenticated, ErrorReason::TokenInvalid);
const ENDED: (Code, ErrorReason) = (Code::Unauthenticated, ErrorReason::CredentialInvalid);
const UNKNOWN: (Code, ErrorReason) = (Code::NotFound, ErrorReason::NotFound);

const ANN: &str = "ann@acme.example";
const BOB: &str = "bob@acme.example";

/// What Ann has of a session.
struct Held {
    caller: Caller,
    tokens: pb::SignInResponse,
    id: String,
}

async fn begun(app: &TestApp, portal: &Portal) -> Held {
    let tokens = portal.stranger.begin(ANN).await.unwrap();
    let caller = app.as_token(&tokens.access_token);
    let sessions = caller.list_sessions("").await.unwrap();
    let id = sessions.into_iter().find(|session| session.current).unwrap().id;
    Held { caller, tokens, id }
}

/// A realm with Ann in it, and a service that may check.
async fn realm(app: &TestApp) -> (Portal, Caller) {
    let portal = open_realm(app).await;
    portal.newcomer(app, ANN, &[]).await;
    portal.declare(&["orders.read"]).await;
    let checks = pb::CreateRoleRequest {
        grants: grants(Reach::All, &["countersign.access.check"]),
        assignable: Some(everywhere(&[])),
        ..role("checks")
    };
    portal.define([checks]).await;
    let till = portal.service(app, "till", "checks").await;
    (portal, till)
}

async fn verdict(till: &Caller, held: &Held) -> Verdict {
    let subject = pb::check_permission_request::Subject::AccessToken(held.tokens.access_token.clone());
    till.check(pb::CheckPermissionRequest { subject: Some(subject), ..ask("", "orders.read") }).await.unwrap()
}

/// Nothing of the session counts, for anybody, from the first question on.
async fn assert_over(portal: &Portal, till: &Caller, held: &Held) {
    assert_eq!(verdict(till, held).await, denied(ErrorReason::TokenInvalid));
    assert_eq!(till.introspect(&held.tokens.access_token).await.unwrap(), pb::IntrospectTokenResponse::default());
    assert_eq!(refusal(held.caller.user("").await), ENDED);
    assert_eq!(refusal(portal.stranger.refresh(&held.tokens.refresh_token).await), OVER);
}

/// All of it does.
async fn assert_alive(till: &Caller, held: &Held) {
    assert_eq!(verdict(till, held).await, denied(ErrorReason::NoSuchEntry));
    assert!(till.introspect(&held.tokens.access_token).await.unwrap().active);
    assert_eq!(held.caller.user("").await.unwrap().email, ANN);
}

both_backends!(signing_out_ends_the_session_that_calls_and_no_other, async |app: &TestApp| {
    let (portal, till) = realm(app).await;
    let (here, there) = (begun(app, &portal).await, begun(app, &portal).await);
    assert_alive(&till, &here).await;
    let done = here.caller.sign_out("").await.unwrap();
    assert!(!done.consistency_token.is_empty());
    assert_over(&portal, &till, &here).await;
    assert_alive(&till, &there).await;
    assert_eq!(portal.operator.times(["session.signed_out"]).await, [1]);
});

both_backends!(signing_out_needs_no_more_than_a_refresh_token, async |app: &TestApp| {
    let (portal, till) = realm(app).await;
    let held = begun(app, &portal).await;
    let older = held.tokens.refresh_token.clone();
    portal.stranger.refresh(&older).await.unwrap();
    for nobody in ["nonsense", &held.tokens.access_token, &format!("csr_{}", "A".repeat(72))] {
        let done = portal.stranger.sign_out(nobody).await.unwrap();
        assert_eq!(done.consistency_token, "", "{nobody}");
    }
    app.anonymous().sign_out(&older).await.unwrap();
    assert_alive(&till, &held).await;

    app.clock().advance(ACCESS_TOKEN_TTL);
    for _ in 0..2 {
        portal.stranger.sign_out(&older).await.unwrap();
    }
    assert_over(&portal, &till, &held).await;
    assert_eq!(portal.operator.times(["session.signed_out"]).await, [1]);

    let nothing = (Code::Unauthenticated, ErrorReason::CredentialMissing);
    assert_eq!(refusal(portal.stranger.sign_out("").await), nothing);
    assert_eq!(violations(till.sign_out("").await), ["refresh_token"]);
});

both_backends!(a_gate_keeps_nobody_from_signing_out, async |app: &TestApp| {
    let (portal, till) = realm(app).await;
    let held = begun(app, &portal).await;
    let required = pb::Policy { basic_permission: "orders.read".to_owned(), ..Default::default() };
    portal.decide(required, &["basic_permission"]).await;
    let gate = (Code::PermissionDenied, ErrorReason::BasicAccessMissing);
    assert_eq!(refusal(portal.stranger.refresh(&held.tokens.refresh_token).await), gate);
    held.caller.sign_out("").await.unwrap();
    assert_over(&portal, &till, &held).await;
});

both_backends!(a_person_sees_and_ends_their_own_sessions, async |app: &TestApp| {
    let (portal, till) = realm(app).await;
    let (first, second) = (begun(app, &portal).await, begun(app, &portal).await);
    let seen = second.caller.list_sessions("").await.unwrap();
    let shown: Vec<_> = seen.iter().map(|session| (session.id.as_str(), session.current, session.ended)).collect();
    assert_eq!(shown, [(second.id.as_str(), true, false), (first.id.as_str(), false, false)]);
    let one = &seen[0];
    assert_eq!((one.client_id.as_str(), one.user.as_ref().unwrap().handle.as_str()), ("public", ANN));
    assert_eq!((&one.expire_time, &one.last_used_time), (&second.tokens.refresh_expire_time, &one.create_time));

    let gone = second.caller.revoke_session(&first.id).await.unwrap();
    assert!(gone.ended && gone.end_time.is_some() && !gone.current, "{gone:?}");
    assert_over(&portal, &till, &first).await;
    assert_alive(&till, &second).await;
    let again = second.caller.revoke_session(&first.id).await.unwrap();
    assert_eq!(again.end_time, gone.end_time, "ending it again changes nothing");
    assert_eq!(second.caller.list_sessions("").await.unwrap().len(), 1);
    assert_eq!(portal.operator.times(["session.revoked"]).await, [1]);

    assert_eq!(refusal(second.caller.revoke_session(&uuid::Uuid::new_v4().to_string()).await), UNKNOWN);
    assert_eq!(violations(second.caller.revoke_session("mine").await), ["session"]);
    assert_eq!(refusal(till.list_sessions("").await), UNKNOWN, "a service account has none");
});

both_backends!(all_sessions_end_or_all_but_the_one_that_calls, async |app: &TestApp| {
    let (portal, till) = realm(app).await;
    let (first, second, third) = (begun(app, &portal).await, begun(app, &portal).await, begun(app, &portal).await);
    assert_eq!(third.caller.revoke_all_sessions("", true).await.unwrap(), 2);
    for over in [&first, &second] {
        assert_over(&portal, &till, over).await;
    }
    assert_alive(&till, &third).await;
    assert_eq!(third.caller.revoke_all_sessions("", true).await.unwrap(), 0);
    portal.stranger.refresh(&third.tokens.refresh_token).await.unwrap();

    let fourth = begun(app, &portal).await;
    assert_eq!(third.caller.revoke_all_sessions("", false).await.unwrap(), 2);
    for over in [&third, &fourth] {
        assert_over(&portal, &till, over).await;
    }
    assert_eq!(portal.operator.list_sessions(ANN).await.unwrap(), []);
    assert_eq!(portal.operator.revoke_all_sessions(ANN, false).await.unwrap(), 0);
    assert_eq!(portal.operator.times(["session.all_revoked"]).await, [2]);
    let gone = portal.operator.revoke_session(&fourth.id).await.unwrap();
    assert!(gone.ended && gone.end_time.is_none(), "{gone:?}");
    assert_alive(&till, &begun(app, &portal).await).await;
});

both_backends!(sessions_come_in_pages_for_their_caller_alone, async |app: &TestApp| {
    let (portal, _) = realm(app).await;
    let mut began = vec![];
    for _ in 0..5 {
        began.insert(0, begun(app, &portal).await);
    }
    let page = async |caller: &Caller, user: &str, token: String| {
        let request = pb::ListSessionsRequest { user: user.to_owned(), page_size: 2, page_token: token };
        caller.sessions().list_sessions(request).await.map(|answer| answer.into_inner())
    };
    let (mut seen, mut token) = (vec![], String::new());
    for size in [2, 2, 1] {
        let next = page(&began[0].caller, "", token).await.unwrap();
        assert_eq!(next.sessions.len(), size);
        seen.extend(next.sessions.into_iter().map(|session| session.id));
        token = next.next_page_token;
    }
    assert_eq!(token, "");
    assert_eq!(seen, began.iter().map(|held| held.id.clone()).collect::<Vec<_>>());

    let own = page(&began[0].caller, "", String::new()).await.unwrap().next_page_token;
    let forged = (Code::InvalidArgument, ErrorReason::PageTokenInvalid);
    assert_eq!(refusal(page(&portal.operator, ANN, own.clone()).await), forged);
    assert_eq!(refusal(page(&began[0].caller, ANN, own).await), forged, "another query");
});

/// A helpdesk that ends sessions, one of the team alone, and one that only reads.
async fn staffed(app: &TestApp) -> (Portal, Held, [Caller; 3]) {
    let (portal, _) = realm(app).await;
    let give = |name: &str, patterns: Vec<pb::PatternGrant>| pb::CreateRoleRequest {
        grants: patterns,
        assignable: Some(everywhere(&[])),
        ..role(name)
    };
    let all = grants(Reach::All, &["countersign.users.read", "countersign.users.end_sessions"]);
    let team = [grants(Reach::Team, &all.iter().map(|own| own.pattern.as_str()).collect::<Vec<_>>())].concat();
    let reads = grants(Reach::All, &["countersign.users.read"]);
    portal.define([give("helpdesk", all), give("leads", team), give("reads", reads)]).await;
    let mut staff = vec![];
    for name in ["helpdesk", "leads", "reads"] {
        let email = format!("{name}@acme.example");
        portal.newcomer(app, &email, &[]).await;
        portal.operator.assign(&email, name, At::Realm).await.unwrap();
        staff.push(portal.enter(app, &email).await.caller);
    }
    let ann = begun(app, &portal).await;
    (portal, ann, staff.try_into().unwrap())
}

both_backends!(whose_sessions_one_ends_is_a_matter_of_reach, async |app: &TestApp| {
    let (portal, ann, [helpdesk, leads, reads]) = staffed(app).await;
    portal.newcomer(app, BOB, &[]).await;
    let bob = portal.enter(app, BOB).await.caller;
    for stranger in [&bob, &leads] {
        assert_eq!(refusal(stranger.list_sessions(ANN).await), UNKNOWN);
        assert_eq!(refusal(stranger.revoke_session(&ann.id).await), UNKNOWN);
        assert_eq!(refusal(stranger.revoke_all_sessions(ANN, false).await), UNKNOWN);
    }
    let short = (Code::PermissionDenied, ErrorReason::NoSuchEntry);
    assert_eq!(refusal(reads.list_sessions(ANN).await), short);
    assert_eq!(refusal(reads.revoke_session(&ann.id).await), short);
    assert_eq!(refusal(reads.revoke_all_sessions(ANN, false).await), short);
    ann.caller.user("").await.unwrap();

    portal.operator.set_manager(ANN, "leads@acme.example").await.unwrap();
    assert_eq!(leads.list_sessions(ANN).await.unwrap().len(), 1);
    assert!(leads.revoke_session(&ann.id).await.unwrap().ended);
    assert_eq!(refusal(ann.caller.user("").await), ENDED);
    let later = begun(app, &portal).await;
    assert_eq!(helpdesk.revoke_all_sessions(ANN, true).await.unwrap(), 1, "none of these is the one that calls");
    assert_eq!(refusal(later.caller.user("").await), ENDED);
});

// Security class 11: a helpdesk that ends the sessions of a superior (keycloak#27669).
both_backends!(nobody_ends_the_sessions_of_who_may_more, async |app: &TestApp| {
    let (portal, ann, [helpdesk, ..]) = staffed(app).await;
    let decides = pb::CreateRoleRequest {
        grants: grants(Reach::All, &["countersign.users.approve"]),
        assignable: Some(everywhere(&[])),
        ..role("decides")
    };
    portal.define([decides]).await;
    portal.operator.assign(ANN, "decides", At::Realm).await.unwrap();
    let above = (Code::PermissionDenied, ErrorReason::ReachesUp);
    assert_eq!(refusal(helpdesk.revoke_session(&ann.id).await), above);
    assert_eq!(refusal(helpdesk.revoke_all_sessions(ANN, false).await), above);
    assert_eq!(helpdesk.list_sessions(ANN).await.unwrap().len(), 1, "whose they are may be read");
    ann.caller.user("").await.unwrap();
    ann.caller.revoke_all_sessions("", false).await.unwrap();
});

both_backends!(a_repeated_call_gets_the_first_answer, async |app: &TestApp| {
    let (portal, ann, [helpdesk, ..]) = staffed(app).await;
    let request_id = uuid::Uuid::from_u128(7).to_string();
    let all = pb::RevokeAllSessionsRequest { user: ANN.to_owned(), request_id, ..Default::default() };
    assert_eq!(helpdesk.sessions().revoke_all_sessions(all.clone()).await.unwrap().into_inner().ended_count, 1);
    let later = begun(app, &portal).await;
    assert_eq!(helpdesk.sessions().revoke_all_sessions(all).await.unwrap().into_inner().ended_count, 1);
    later.caller.user("").await.unwrap();
    assert_eq!(refusal(ann.caller.user("").await), ENDED);
});
