//! `AuthorizationService`: questions, one by one, many at once, and why.

use countersign::grpc::pb::{self, BatchCheckItem, Decision, ErrorReason, Policy, Reach, batch_check_result::Outcome};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::support::{
    ALLOWED, At, Caller, Person, Portal, Reachable as _, TestApp, ask, both_backends, denied, everywhere, grants,
    refusal, role, violations, within,
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

both_backends!(a_handle_names_whom_a_check_is_about_and_a_typo_is_no_denial, async |app: &TestApp| {
    let shop = Shop::open(app).await;
    let (ann, service) = (&shop.clerk, &shop.service);
    let question = |principal: &str, organization: &str, owner: &str| pb::CheckPermissionRequest {
        organization: organization.to_owned(),
        owner: owner.to_owned(),
        ..ask(principal, "orders.ship")
    };
    assert_eq!(service.check(question(&ann.email, "shop", "till")).await.unwrap(), ALLOWED);
    assert_eq!(service.check(question(&ann.id, &shop.id, "nobody-yet")).await.unwrap(), ALLOWED);
    let account = service.check(ask("till", "countersign.access.check")).await.unwrap();
    assert_eq!(account, ALLOWED, "a service account by its name");
    for (principal, organization, reason) in [
        ("no-such-account", "shop", ErrorReason::SubjectUnknown),
        ("eve@shop.example", "shop", ErrorReason::SubjectUnknown),
        (&ann.email, "no-such-shop", ErrorReason::OrganizationUnknown),
    ] {
        assert_eq!(service.check(question(principal, organization, "")).await.unwrap(), denied(reason));
    }
    for (principal, organization, owner, field) in [
        ("Ann Lee", "shop", "", "principal"),
        (" till", "shop", "", "principal"),
        (&ann.email, "The Shop", "", "organization"),
        (&ann.email, "shop", "ann@", "owner"),
    ] {
        let malformed = service.check(question(principal, organization, owner)).await;
        assert_eq!(violations(malformed), [field]);
    }
    let lists = |organization: &str| pb::ListPrincipalsWithPermissionRequest {
        permission: "orders.ship".to_owned(),
        organization: organization.to_owned(),
        ..Default::default()
    };
    let mut operator = shop.portal.operator.authorization();
    let named = operator.list_principals_with_permission(lists("shop")).await.unwrap().into_inner().principals;
    assert_eq!(named.iter().map(|who| &who.id).collect::<Vec<_>>(), [&ann.id]);
});

both_backends!(a_resource_is_compared_byte_by_byte, async |app: &TestApp| {
    let shop = Shop::open(app).await;
    let driver = pb::CreateRoleRequest {
        grants: grants(Reach::All, &["orders.read"]),
        assignable: Some(within(&[])),
        ..role("driver")
    };
    shop.portal.define([driver]).await;
    shop.portal.operator.revoke(&shop.clerk.email, "clerk", At::Organization("shop")).await.unwrap();
    let on = |id| Some(("van", id));
    shop.portal.operator.assign_on(&shop.clerk.email, "driver", At::Organization("shop"), on("1")).await.unwrap();
    let question = |kind: &str, id: &str| pb::CheckPermissionRequest {
        resource: Some(pb::Resource { r#type: kind.to_owned(), id: id.to_owned() }),
        ..ask(&shop.clerk.id, "orders.read")
    };
    assert_eq!(shop.service.check(question("van", "1")).await.unwrap(), ALLOWED);
    for id in [" 1", "1 ", "1\u{a0}", "\u{ff11}"] {
        assert_eq!(
            shop.service.check(question("van", id)).await.unwrap(),
            denied(ErrorReason::OtherResource),
            "{id:?}"
        );
    }
    let umlauts = "é".repeat(101);
    for (kind, id, field) in [
        ("van", "1\n", "resource.id"),
        ("van", "", "resource.id"),
        ("van", umlauts.as_str(), "resource.id"),
        ("Van", "1", "resource.type"),
        ("van/x", "1", "resource.type"),
        (" van", "1", "resource.type"),
    ] {
        assert_eq!(violations(shop.service.check(question(kind, id)).await), [field], "{kind:?} {id:?}");
    }
    assert_eq!(shop.service.check(question("van", &umlauts[2..])).await.unwrap(), denied(ErrorReason::OtherResource));
});

both_backends!(a_typo_is_told_the_closest_name, async |app: &TestApp| {
    let shop = Shop::open(app).await;
    let typo = shop.service.check(ask(&shop.clerk.id, "orders.shpi")).await.unwrap_err();
    let closest = |status: &Status| {
        let details = status.get_error_details();
        details.error_info().and_then(|info| info.metadata.get("closest").cloned())
    };
    assert_eq!(closest(&typo).as_deref(), Some("orders.ship"));
    let retired = pb::RetirePermissionRequest { name: "orders.raed".to_owned(), ..Default::default() };
    let unknown = shop.portal.operator.roles().retire_permission(retired).await.unwrap_err();
    assert_eq!(closest(&unknown).as_deref(), Some("orders.read"));
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
