//! `RoleService`: the vocabulary of a realm.

use countersign::grpc::pb::{self, ErrorReason, Policy, Reach};
use tonic::Code;

use crate::support::{Caller, Portal, TestApp, both_backends, everywhere, grants, refusal, role, text, within};

/// A realm, and a service that may define and assign roles and holds `orders.read` at ALL.
async fn realm(app: &TestApp) -> (Portal, Caller) {
    let portal = app.realm("acme", Policy { registration_days: 7, ..Default::default() }).await;
    portal.declare(&["orders.read", "orders.ship"]).await;
    let definer = pb::CreateRoleRequest {
        grants: grants(Reach::All, &["countersign.roles.define", "countersign.roles.assign", "orders.read"]),
        assignable: Some(everywhere(&[])),
        ..role("definer")
    };
    portal.define([definer]).await;
    let service = portal.service(app, "defines", "definer").await;
    (portal, service)
}

both_backends!(a_role_names_what_the_realm_declares, async |app: &TestApp| {
    let (portal, service) = realm(app).await;
    let clerk = pb::CreateRoleRequest {
        grants: grants(Reach::Own, &["orders.read"]),
        assignable: Some(within(&[])),
        ..role("clerk")
    };
    let created = service.roles().create_role(clerk.clone()).await.unwrap().into_inner().role.unwrap();
    assert_eq!((created.name.as_str(), created.title.as_str(), created.restricted), ("clerk", "clerk", false));
    assert_eq!(created.grants, clerk.grants);
    let again = service.roles().create_role(clerk).await;
    assert_eq!(refusal(again), (Code::AlreadyExists, ErrorReason::AlreadyExists));

    let typo = pb::CreateRoleRequest { grants: grants(Reach::All, &["orders.raed"]), ..role("typo") };
    assert_eq!(refusal(service.roles().create_role(typo).await).0, Code::InvalidArgument);
    let circle = pb::CreateRoleRequest { includes: text(&["circle"]), ..role("circle") };
    let circle = portal.operator.roles().create_role(circle).await;
    assert_eq!(refusal(circle), (Code::FailedPrecondition, ErrorReason::RoleCycle));
});

both_backends!(who_defines_roles_makes_none_pass_on_what_they_lack, async |app: &TestApp| {
    let (portal, service) = realm(app).await;
    let shipper = pb::CreateRoleRequest {
        grants: grants(Reach::All, &["orders.ship"]),
        assignable: Some(within(&[])),
        ..role("shipper")
    };
    portal.define([shipper]).await;
    let passes_on = pb::CreateRoleRequest { may_assign: text(&["shipper"]), ..role("passes-on") };
    let refused = service.roles().create_role(passes_on).await;
    assert_eq!(refusal(refused), (Code::PermissionDenied, ErrorReason::NotContained));
});

both_backends!(declaring_again_changes_nothing_and_reserved_names_are_ours, async |app: &TestApp| {
    let (_, service) = realm(app).await;
    let declare = async |name: &str| {
        let request = pb::DeclarePermissionRequest { name: name.to_owned(), ..Default::default() };
        service.roles().declare_permission(request).await.map(tonic::Response::into_inner)
    };
    let first = declare("stock.read").await.unwrap();
    let again = declare("stock.read").await.unwrap();
    assert_eq!(first.permission, again.permission);
    let reserved = declare("countersign.users.invent").await;
    assert_eq!(refusal(reserved), (Code::InvalidArgument, ErrorReason::NamespaceReserved));
});
