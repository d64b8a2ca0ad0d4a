//! `AuthorizationService`: questions, one by one, many at once, and why.

use countersign::grpc::pb::{self, BatchCheckItem, Decision, ErrorReason, Policy, Reach, batch_check_result::Outcome};
use tonic::Code;

use crate::support::{
    ALLOWED, At, Caller, Person, Portal, Reachable as _, TestApp, ask, both_backends, denied, everywhere, grants,
    refusal, role, within,
};

/// A shop whose clerks ship its orders, a clerk, and the service that asks.
struct Shop {
    portal: Portal,
    id: String,
    clerk: Person,
    service: Caller,
}

impl Shop {
    async fn open(app: &TestApp) -> Self {
        let policy = Policy {
            self_registration: pb::SelfRegistration::Open.into(),
            approval: pb::ApprovalAuthority::None.into(),
            base_url: "https://shop.example".to_owned(),
            ..Default::default()
        };
        let portal = app.realm("shops", policy).await;
        portal.declare(&["orders.ship", "orders.read"]).await;
        let clerk = pb::CreateRoleRequest {
            grants: grants(Reach::All, &["orders.*"]),
            assignable: Some(within(&[])),
            ..role("clerk")
        };
        let asks = pb::CreateRoleRequest {
            grants: grants(Reach::All, &["countersign.access.check", "countersign.access.explain"]),
            assignable: Some(everywhere(&[])),
            ..role("asks")
        };
        portal.define([clerk, asks]).await;
        let organization =
            pb::CreateOrganizationRequest { slug: "shop".to_owned(), title: "Shop".to_owned(), ..Default::default() };
        let id = portal.organization(organization).await;
        let service = portal.service(app, "till", "asks").await;
        portal.newcomer(app, "ann@shop.example", &[]).await;
        portal.operator.add_member("shop", "ann@shop.example").await.unwrap();
        portal.operator.assign("ann@shop.example", "clerk", At::Organization("shop")).await.unwrap();
        let clerk = portal.enter(app, "ann@shop.example").await;
        Self { portal, id, clerk, service }
    }
}

both_backends!(a_check_answers_about_people_and_their_tokens, async |app: &TestApp| {
    let shop = Shop::open(app).await;
    let (ann, service) = (&shop.clerk, &shop.service);
    assert_eq!(service.check(ask(&ann.id, "orders.ship")).await.unwrap(), ALLOWED);
    assert_eq!(service.check(ask(&ann.email, "orders.ship")).await.unwrap(), ALLOWED);
    let token = shop.portal.stranger.sign_in(&ann.email).await.unwrap();
    let by_token = |token: &str| pb::CheckPermissionRequest {
        subject: Some(pb::check_permission_request::Subject::AccessToken(token.to_owned())),
        ..ask("", "orders.ship")
    };
    assert_eq!(service.check(by_token(&token)).await.unwrap(), ALLOWED);
    assert_eq!(service.check(by_token("nonsense")).await.unwrap(), denied(ErrorReason::TokenInvalid));
    let nobody = uuid::Uuid::from_u128(7).to_string();
    assert_eq!(service.check(ask(&nobody, "orders.ship")).await.unwrap(), denied(ErrorReason::SubjectUnknown));
    let elsewhere = pb::CheckPermissionRequest { organization: nobody, ..ask(&ann.id, "orders.ship") };
    assert_eq!(service.check(elsewhere).await.unwrap(), denied(ErrorReason::OrganizationUnknown));
    let typo = service.check(ask(&ann.id, "orders.shpi")).await;
    assert_eq!(refusal(typo), (Code::InvalidArgument, ErrorReason::PermissionUndeclared));
    let forbidden = ann.caller.check(ask(&ann.id, "orders.ship")).await;
    assert_eq!(refusal(forbidden), (Code::PermissionDenied, ErrorReason::PermissionMissing));
    let nameless = app.anonymous().in_realm("shops").check(ask(&ann.id, "orders.ship")).await;
    assert_eq!(refusal(nameless), (Code::Unauthenticated, ErrorReason::CredentialMissing));
});

both_backends!(a_write_is_seen_by_who_shows_its_token, async |app: &TestApp| {
    let shop = Shop::open(app).await;
    let request = pb::RevokeRoleRequest {
        principal: shop.clerk.email.clone(),
        role: "clerk".to_owned(),
        scope: Some(pb::revoke_role_request::Scope::Organization("shop".to_owned())),
        ..Default::default()
    };
    let revoked = shop.portal.operator.assignments().revoke_role(request).await.unwrap().into_inner();
    let fresh = pb::consistency::Requirement::AtLeastAsFresh(revoked.consistency_token);
    let question = pb::CheckPermissionRequest {
        consistency: Some(pb::Consistency { requirement: Some(fresh) }),
        ..ask(&shop.clerk.id, "orders.ship")
    };
    assert_eq!(shop.service.check(question.clone()).await.unwrap(), denied(ErrorReason::NoSuchEntry));
    let elsewhere = refusal(app.as_operator().check(question).await);
    assert_eq!(elsewhere, (Code::InvalidArgument, ErrorReason::InvalidFields), "a token crosses no realm");
});

both_backends!(in_a_batch_an_error_is_that_items, async |app: &TestApp| {
    let shop = Shop::open(app).await;
    let item = |permission: &str| BatchCheckItem { permission: permission.to_owned(), ..Default::default() };
    let request = pb::BatchCheckPermissionsRequest {
        subject: Some(pb::batch_check_permissions_request::Subject::Principal(shop.clerk.id.clone())),
        items: vec![item("orders.ship"), item("orders.shpi"), item("countersign.users.read")],
        with_reason: true,
        ..Default::default()
    };
    let answer = shop.service.authorization().batch_check_permissions(request).await.unwrap().into_inner();
    let [ship, typo, read] = answer.results.as_slice() else { panic!("three questions, three results") };
    assert_eq!(ship.outcome, Some(Outcome::Decision(Decision::Allowed.into())));
    let Some(Outcome::Error(error)) = &typo.outcome else { panic!("a typo was decided: {typo:?}") };
    assert_eq!(error.reason(), ErrorReason::PermissionUndeclared);
    assert_eq!(read.outcome, Some(Outcome::Decision(Decision::Denied.into())));
    assert_eq!(read.reason(), ErrorReason::NoSuchEntry);
    assert!(answer.revision > 0 && !answer.consistency_token.is_empty());
});

both_backends!(an_explanation_names_the_chain_or_what_it_lacks, async |app: &TestApp| {
    let shop = Shop::open(app).await;
    let explain = async |permission: &str, organization: &str| {
        let request = pb::ExplainDecisionRequest {
            subject: Some(pb::explain_decision_request::Subject::Principal(shop.clerk.id.clone())),
            permission: permission.to_owned(),
            organization: organization.to_owned(),
            ..Default::default()
        };
        shop.service.authorization().explain_decision(request).await.unwrap().into_inner()
    };
    let allowed = explain("orders.ship", &shop.id).await;
    let chain = allowed.allowed_by.unwrap();
    assert_eq!(chain.path.iter().map(|role| role.name.as_str()).collect::<Vec<_>>(), ["clerk"]);
    assert_eq!(chain.grant.unwrap().pattern, "orders.*");

    let another =
        pb::CreateOrganizationRequest { slug: "other".to_owned(), title: "Other".to_owned(), ..Default::default() };
    let other = shop.portal.organization(another).await;
    let missed = explain("orders.ship", &other).await;
    assert_eq!((missed.decision(), missed.reason()), (Decision::Denied, ErrorReason::WrongOrganization));
    assert_eq!(missed.near_misses.len(), 1, "{missed:#?}");

    shop.portal.operator.suspend(&shop.clerk.email, "on leave").await.unwrap();
    let held = explain("orders.ship", &shop.id).await;
    let gates: Vec<_> = held.failing_gates.iter().map(|gate| (gate.reason(), gate.lifted_by.as_str())).collect();
    assert_eq!(gates, [(ErrorReason::Suspended, "ReinstateUser")]);
});
