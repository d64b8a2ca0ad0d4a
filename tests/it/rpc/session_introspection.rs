//! `SessionService`: what a token says to who asks about it.

use countersign::app::ACCESS_TOKEN_TTL;
use countersign::grpc::pb::{self, PrincipalKind, Reach};

use super::session::open_realm;
use crate::support::{At, Caller, Portal, Reachable as _, TestApp, both_backends, everywhere, grants, role, within};

const ANN: &str = "ann@acme.example";

/// What is said of a token that does not count, whatever the reason.
fn nothing() -> pb::IntrospectTokenResponse {
    pb::IntrospectTokenResponse::default()
}

fn checks(assignable: pb::Assignable, name: &str) -> pb::CreateRoleRequest {
    let grants = grants(Reach::All, &["countersign.access.check"]);
    pb::CreateRoleRequest { grants, assignable: Some(assignable), ..role(name) }
}

/// A realm with Ann in it, and a service that may check everywhere.
async fn realm(app: &TestApp) -> (Portal, Caller) {
    let portal = open_realm(app).await;
    portal.newcomer(app, ANN, &[]).await;
    portal.define([checks(everywhere(&[]), "checks")]).await;
    let till = portal.service(app, "till", "checks").await;
    (portal, till)
}

both_backends!(an_access_token_says_whose_it_is_and_for_how_long, async |app: &TestApp| {
    let (portal, till) = realm(app).await;
    let tokens = portal.stranger.begin(ANN).await.unwrap();
    let ann = app.as_token(&tokens.access_token);
    let session = ann.list_sessions("").await.unwrap().remove(0);
    let keys = portal.stranger.sessions().get_signing_keys(pb::GetSigningKeysRequest {}).await.unwrap().into_inner();
    let me = ann.sessions().get_me(pb::GetMeRequest {}).await.unwrap().into_inner();

    let said = till.introspect(&tokens.access_token).await.unwrap();
    assert!(said.active);
    assert_eq!(said.sub, ann.user("").await.unwrap().id);
    assert_eq!(said.principal_kind(), PrincipalKind::User);
    assert_eq!((said.token_type.as_str(), said.client_id.as_str()), ("Bearer", "public"));
    assert_eq!((said.iss, said.aud, said.realm), (keys.issuer, keys.audience, me.realm_id));
    assert_eq!((said.sid, said.jti.is_empty(), said.act), (session.id, false, None));
    assert_eq!(i64::from(said.exp), tokens.expire_time.unwrap().seconds);
    assert_eq!(i64::from(said.iat), session.create_time.unwrap().seconds);

    app.clock().advance(ACCESS_TOKEN_TTL);
    assert_eq!(till.introspect(&tokens.access_token).await.unwrap(), nothing());
});

both_backends!(an_api_key_says_whose_it_is, async |app: &TestApp| {
    let (portal, till) = realm(app).await;
    let account = pb::CreateServiceAccountRequest { name: "packer".to_owned(), ..Default::default() };
    let mut accounts = portal.operator.service_accounts();
    let account = accounts.create_service_account(account).await.unwrap().into_inner().service_account.unwrap();
    let key = pb::CreateApiKeyRequest { service_account: account.id.clone(), ..Default::default() };
    let key = accounts.create_api_key(key).await.unwrap().into_inner();
    let said = till.introspect(&key.secret).await.unwrap();
    let told = (said.active, said.sub.as_str(), said.client_id.as_str(), said.principal_kind());
    assert_eq!(told, (true, account.id.as_str(), account.id.as_str(), PrincipalKind::ServiceAccount));
    assert_eq!((said.exp, said.iat, said.sid.as_str(), said.aud.as_str()), (0, 0, "", ""));

    assert_eq!(till.introspect(app.operator_key()).await.unwrap(), nothing(), "the platform's is of another realm");
    let revoke = pb::RevokeApiKeyRequest { api_key: key.api_key.unwrap().id, ..Default::default() };
    accounts.revoke_api_key(revoke).await.unwrap();
    assert_eq!(till.introspect(&key.secret).await.unwrap(), nothing());
});

both_backends!(of_what_is_no_token_of_the_realm_nothing_is_told, async |app: &TestApp| {
    let (portal, till) = realm(app).await;
    let tokens = portal.stranger.begin(ANN).await.unwrap();
    let mut tampered = tokens.access_token.clone();
    tampered.pop();
    let elsewhere = app.realm("elsewhere", pb::Policy { registration_days: 7, ..Default::default() }).await;
    elsewhere.define([checks(everywhere(&[]), "checks")]).await;
    let other = elsewhere.service(app, "till", "checks").await;
    assert_eq!(other.introspect(&tokens.access_token).await.unwrap(), nothing(), "of another realm");
    for nobody in ["", "nonsense", &tampered, &tokens.refresh_token] {
        assert_eq!(till.introspect(nobody).await.unwrap(), nothing(), "{nobody}");
    }
    assert!(till.introspect(&tokens.access_token).await.unwrap().active);
});

both_backends!(a_person_whom_a_gate_keeps_out_has_no_token_that_counts, async |app: &TestApp| {
    let (portal, till) = realm(app).await;
    let token = portal.stranger.sign_in(ANN).await.unwrap();
    let required = |permission: &str| pb::Policy { basic_permission: permission.to_owned(), ..Default::default() };
    portal.declare(&["portal.enter"]).await;
    portal.decide(required("portal.enter"), &["basic_permission"]).await;
    assert_eq!(till.introspect(&token).await.unwrap(), nothing());
    portal.decide(required(""), &["basic_permission"]).await;
    assert!(till.introspect(&token).await.unwrap().active);
    portal.operator.suspend(ANN, "on leave").await.unwrap();
    assert_eq!(till.introspect(&token).await.unwrap(), nothing(), "at the instant that a check denies");
});

// Security class 5: permission checked somewhere else than where the target is (CVE-2026-105209, CVE-2025-27507).
both_backends!(who_checks_in_one_organization_is_told_of_its_people_alone, async |app: &TestApp| {
    let portal = open_realm(app).await;
    portal.define([checks(within(&[]), "checks-here")]).await;
    for slug in ["home", "away"] {
        let (slug, title) = (slug.to_owned(), slug.to_owned());
        portal.organization(pb::CreateOrganizationRequest { slug, title, ..Default::default() }).await;
    }
    let desk = app.as_key(&portal.operator.service("desk").await.unwrap());
    portal.operator.assign("desk", "checks-here", At::Organization("home")).await.unwrap();
    let (mut tokens, mut keys) = (vec![], vec![]);
    for place in ["home", "away", ""] {
        let email = format!("somebody@{place}x.example");
        portal.newcomer(app, &email, &[]).await;
        if !place.is_empty() {
            portal.operator.add_member(place, &email).await.unwrap();
        }
        tokens.push(portal.stranger.sign_in(&email).await.unwrap());
        let name = format!("service-{place}x");
        let request = pb::CreateServiceAccountRequest {
            name: name.clone(),
            organization: place.to_owned(),
            ..Default::default()
        };
        portal.operator.service_accounts().create_service_account(request).await.unwrap();
        let key = pb::CreateApiKeyRequest { service_account: name, ..Default::default() };
        keys.push(portal.operator.service_accounts().create_api_key(key).await.unwrap().into_inner().secret);
    }
    for of_kind in [tokens, keys] {
        let mut told = vec![];
        for token in of_kind {
            told.push(desk.introspect(&token).await.unwrap());
        }
        assert!(told[0].active, "who belongs where it may check");
        assert_eq!(told[1..], [nothing(), nothing()], "elsewhere, or nowhere");
    }
});
