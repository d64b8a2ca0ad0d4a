//! `RoleService`: the vocabulary of a realm.

use countersign::crypto::random_mark;
use countersign::domain::catalogue::{Assignable, Conditions, Role};
use countersign::domain::change::Key;
use countersign::grpc::pb::{self, ErrorReason, Policy, Reach};
use countersign::store::Lock;
use prost_types::FieldMask;
use tonic::{Code, Status};

use crate::support::{
    ALLOWED, At, Caller, Portal, TestApp, ask, both_backends, denied, everywhere, grants, refusal, role, text, within,
};

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

both_backends!(a_page_of_wide_rows_fits_into_what_clients_accept, async |app: &TestApp| {
    let portal = app.realm("wide", Policy::default()).await;
    let inner = &app.inner().app;
    let realm = inner.store().realm_named("wide").await.unwrap().unwrap().id;
    let now = app.clock().now();
    let tx = inner.store().begin(realm, Lock::Realm).await.unwrap();
    for n in 0..12 {
        // Together more than the 4 MiB that a client takes.
        let wide = Role {
            id: app.clock().new_id().into(),
            name: format!("role-{n}"),
            title: String::new(),
            description: "wide ".repeat(80_000),
            grants: vec![],
            includes: vec![],
            assignable: Assignable::default(),
            restricted: false,
            resource_type: None,
            may_assign: vec![],
            conditions: Conditions::default(),
            topics: vec![],
        };
        tx.rows().insert_role(&wide, now).await.unwrap();
    }
    let committed = tx.commit(vec![Key::Catalogue], random_mark(), now).await.unwrap();
    inner.snapshots().committed(&committed).await;
    let mut query = pb::ListRolesRequest { page_size: 1000, ..Default::default() };
    let (mut names, mut pages) = (vec![], 0);
    loop {
        let page = portal.operator.roles().list_roles(query.clone()).await.unwrap().into_inner();
        names.extend(page.roles.into_iter().map(|role| role.name));
        (pages, query.page_token) = (pages + 1, page.next_page_token);
        if query.page_token.is_empty() {
            break;
        }
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 12);
    assert_eq!(pages, 3, "pages of 2 MiB at the most");
});

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

fn named(role: &str) -> pb::UpdateRoleRequest {
    pb::UpdateRoleRequest { role: role.to_owned(), ..Default::default() }
}

fn only(paths: &[&str]) -> Option<FieldMask> {
    Some(FieldMask { paths: text(paths) })
}

async fn update(by: &Caller, request: pb::UpdateRoleRequest) -> Result<pb::Role, Status> {
    Ok(by.roles().update_role(request).await?.into_inner().role.unwrap())
}

async fn delete(by: &Caller, role: &str) -> Result<(), Status> {
    let request = pb::DeleteRoleRequest { role: role.to_owned(), ..Default::default() };
    by.roles().delete_role(request).await.map(drop)
}

/// A service that holds the role, by its id.
async fn holder(portal: &Portal, name: &str, role: &str) -> String {
    portal.operator.service(name).await.unwrap();
    portal.operator.assign(name, role, At::Realm).await.unwrap().principal.unwrap().id
}

// Class 9: a role is a container of all who hold it.
both_backends!(who_edits_a_role_gives_and_takes_only_what_they_have, async |app: &TestApp| {
    let (portal, service) = realm(app).await;
    let powers = |name: &str, patterns: &[&str]| pb::CreateRoleRequest {
        grants: grants(Reach::All, patterns),
        assignable: Some(everywhere(&[])),
        ..role(name)
    };
    portal.define([powers("reader", &["orders.read"]), powers("shipper", &["orders.ship"])]).await;
    let till = holder(&portal, "till", "reader").await;
    let may = async |permission: &str| portal.operator.check(ask(&till, permission)).await.unwrap() == ALLOWED;

    let ships = || grants(Reach::All, &["orders.ship"]);
    let beside = || Some(pb::RoleConditionsSpec { roles: text(&["definer"]), ..Default::default() });
    let not_contained = (Code::PermissionDenied, ErrorReason::NotContained);
    for request in [
        pb::UpdateRoleRequest { grants: ships(), ..named("reader") },
        pb::UpdateRoleRequest { includes: text(&["shipper"]), ..named("reader") },
        pb::UpdateRoleRequest { may_assign: text(&["shipper"]), ..named("reader") },
        pb::UpdateRoleRequest { update_mask: only(&["grants"]), ..named("shipper") },
        pb::UpdateRoleRequest { conditions: beside(), ..named("shipper") },
        pb::UpdateRoleRequest { assignable: Some(within(&[])), ..named("shipper") },
        pb::UpdateRoleRequest { resource_type: "order".to_owned(), ..named("shipper") },
        pb::UpdateRoleRequest { may_assign: text(&["shipper"]), ..named("shipper") },
    ] {
        assert_eq!(refusal(update(&service, request.clone()).await), not_contained, "{request:?}");
    }
    assert_eq!(refusal(delete(&service, "shipper").await), not_contained);
    assert!(!may("orders.ship").await && may("orders.read").await);

    let titled = pb::UpdateRoleRequest { title: "Ships".to_owned(), ..named("shipper") };
    assert_eq!(update(&service, titled).await.unwrap().title, "Ships");
    let bound = pb::UpdateRoleRequest { conditions: beside(), ..named("reader") };
    update(&service, bound).await.unwrap();
    assert!(!may("orders.read").await, "the role confers only beside another one now");
    let free = pb::UpdateRoleRequest { update_mask: only(&["conditions"]), ..named("reader") };
    update(&service, free).await.unwrap();
    assert!(may("orders.read").await);
    update(&portal.operator, pb::UpdateRoleRequest { grants: ships(), ..named("reader") }).await.unwrap();
    assert!(may("orders.ship").await && !may("orders.read").await);
});

both_backends!(a_restricted_role_is_written_by_who_may_assign_it, async |app: &TestApp| {
    let (portal, service) = realm(app).await;
    let sealed = pb::CreateRoleRequest { restricted: true, ..role("sealed") };
    let open = pb::CreateRoleRequest { grants: grants(Reach::All, &["orders.read"]), ..role("open") };
    portal.define([sealed, open]).await;
    let restricted = (Code::PermissionDenied, ErrorReason::RoleRestricted);
    let reads = grants(Reach::All, &["orders.read"]);
    for request in [
        pb::UpdateRoleRequest { grants: reads, ..named("sealed") },
        pb::UpdateRoleRequest { update_mask: only(&["restricted"]), ..named("sealed") },
        pb::UpdateRoleRequest { restricted: true, ..named("open") },
        pb::UpdateRoleRequest { includes: text(&["sealed"]), ..named("open") },
    ] {
        assert_eq!(refusal(update(&service, request.clone()).await), restricted, "{request:?}");
    }
    assert_eq!(refusal(delete(&service, "sealed").await), restricted);
    delete(&portal.operator, "sealed").await.unwrap();
});

both_backends!(a_mask_says_what_is_written_and_an_etag_of_what, async |app: &TestApp| {
    let (portal, _) = realm(app).await;
    let reads = grants(Reach::Own, &["orders.read"]);
    portal.define([pb::CreateRoleRequest { grants: reads.clone(), ..role("clerk") }]).await;
    let operator = &portal.operator;
    let renamed = pb::UpdateRoleRequest { name: "teller".to_owned(), ..named("clerk") };
    let first = update(operator, renamed).await.unwrap();
    assert_eq!((first.name.as_str(), &first.grants), ("teller", &reads));
    let stale = pb::UpdateRoleRequest { title: "T".to_owned(), etag: "\"1\"".to_owned(), ..named("teller") };
    assert_eq!(refusal(update(operator, stale).await), (Code::Aborted, ErrorReason::EtagMismatch));
    let same = pb::UpdateRoleRequest { name: "teller".to_owned(), etag: first.etag.clone(), ..named("teller") };
    assert_eq!(update(operator, same).await.unwrap(), first);
    let cleared = pb::UpdateRoleRequest { update_mask: only(&["grants", "title"]), ..named("teller") };
    let cleared = update(operator, cleared).await.unwrap();
    assert_eq!((cleared.title.as_str(), cleared.grants.len()), ("teller", 0));
    let unknown = pb::UpdateRoleRequest { update_mask: only(&["id"]), ..named("teller") };
    assert_eq!(refusal(update(operator, unknown).await).0, Code::InvalidArgument);
    let taken = pb::UpdateRoleRequest { name: "definer".to_owned(), ..named("teller") };
    assert_eq!(refusal(update(operator, taken).await), (Code::AlreadyExists, ErrorReason::AlreadyExists));
    portal.define([pb::CreateRoleRequest { includes: text(&["teller"]), ..role("chief") }]).await;
    let circle = pb::UpdateRoleRequest { includes: text(&["chief"]), ..named("teller") };
    assert_eq!(refusal(update(operator, circle).await), (Code::FailedPrecondition, ErrorReason::RoleCycle));
});

both_backends!(what_is_assigned_or_named_stands_in_the_way, async |app: &TestApp| {
    let (portal, _) = realm(app).await;
    let anywhere = pb::Assignable {
        scopes: vec![pb::AssignmentScope::Organization.into(), pb::AssignmentScope::Realm.into()],
        ..Default::default()
    };
    let assigned = pb::CreateRoleRequest { assignable: Some(anywhere), ..role("assigned") };
    let boss = pb::CreateRoleRequest { assignable: Some(within(&[])), ..role("boss") };
    let named_by = pb::CreateRoleRequest { may_assign: text(&["assigned"]), ..role("passing") };
    portal.define([assigned, boss, named_by]).await;
    holder(&portal, "till", "assigned").await;
    portal.decide(Policy { founding_role: "boss".to_owned(), ..Default::default() }, &["founding_role"]).await;
    let operator = &portal.operator;
    let in_use = (Code::FailedPrecondition, ErrorReason::RoleInUse);
    for request in [
        pb::UpdateRoleRequest { assignable: Some(within(&[])), ..named("assigned") },
        pb::UpdateRoleRequest { resource_type: "order".to_owned(), ..named("assigned") },
        pb::UpdateRoleRequest { name: "chief".to_owned(), ..named("boss") },
    ] {
        assert_eq!(refusal(update(operator, request.clone()).await), in_use, "{request:?}");
    }
    update(operator, pb::UpdateRoleRequest { assignable: Some(everywhere(&[])), ..named("assigned") }).await.unwrap();
    let unfit = pb::UpdateRoleRequest { assignable: Some(everywhere(&[])), ..named("boss") };
    assert_eq!(refusal(update(operator, unfit).await), (Code::FailedPrecondition, ErrorReason::PolicyImpossible));
    assert_eq!(refusal(delete(operator, "assigned").await), in_use);
    assert_eq!(refusal(delete(operator, "boss").await), in_use);
    delete(operator, "passing").await.unwrap();
    delete(operator, "assigned").await.unwrap();
});

both_backends!(a_deleted_role_confers_nothing_and_its_name_is_free, async |app: &TestApp| {
    let (portal, service) = realm(app).await;
    let reader = || pb::CreateRoleRequest {
        grants: grants(Reach::All, &["orders.read"]),
        assignable: Some(everywhere(&[])),
        ..role("reader")
    };
    portal.define([reader()]).await;
    let till = holder(&portal, "till", "reader").await;
    let request = pb::DeleteRoleRequest {
        role: "reader".to_owned(),
        request_id: uuid::Uuid::from_u128(9).to_string(),
        ..Default::default()
    };
    let first = service.roles().delete_role(request.clone()).await.unwrap().into_inner();
    let question = || ask(&till, "orders.read");
    let nothing = denied(ErrorReason::NoSuchEntry);
    assert_eq!(portal.operator.check(question()).await.unwrap(), nothing);
    let again = service.roles().delete_role(request).await.unwrap().into_inner();
    assert!(!first.consistency_token.is_empty() && !again.consistency_token.is_empty());
    assert_eq!(refusal(delete(&service, "reader").await), (Code::NotFound, ErrorReason::NotFound));

    portal.define([reader()]).await;
    assert_eq!(portal.operator.check(question()).await.unwrap(), nothing, "it is another role");
    let listed = portal.operator.assignments().list_assignments(pb::ListAssignmentsRequest::default()).await.unwrap();
    assert!(listed.into_inner().entries.iter().all(|entry| entry.principal.as_ref().unwrap().id != till));
    let store = app.inner().app.store();
    let mut rounds = 0;
    while store.tidy_roles(1).await.unwrap() > 0 {
        rounds += 1;
    }
    assert_eq!(rounds, 2, "the assignment, then the role");
    portal.operator.assign(&till, "reader", At::Realm).await.unwrap();
    assert_eq!(portal.operator.check(question()).await.unwrap(), ALLOWED);
});

both_backends!(roles_are_found_by_what_they_are_for_page_by_page, async |app: &TestApp| {
    let (portal, _) = realm(app).await;
    let reads = |name: &str| pb::CreateRoleRequest {
        grants: grants(Reach::Own, &["orders.*"]),
        assignable: Some(within(&[])),
        ..role(name)
    };
    let includes =
        pb::CreateRoleRequest { includes: text(&["z-reader"]), title: "Chief".to_owned(), ..role("m-chief") };
    portal.define([reads("z-reader"), includes, reads("a-reader"), role("nothing")]).await;
    let list = async |request: pb::ListRolesRequest| {
        let answer = portal.operator.roles().list_roles(request).await.unwrap().into_inner();
        (answer.roles.into_iter().map(|role| role.name).collect::<Vec<_>>(), answer.next_page_token)
    };
    let confers = || pb::ListRolesRequest { confers: "orders.ship".to_owned(), page_size: 2, ..Default::default() };
    let (names, next) = list(confers()).await;
    assert_eq!(names, ["z-reader", "m-chief"]);
    let (names, next) = list(pb::ListRolesRequest { page_token: next, ..confers() }).await;
    assert_eq!((names, next.as_str()), (text(&["a-reader"]), ""));
    let titled = pb::ListRolesRequest { text: "CHIEF".to_owned(), ..Default::default() };
    assert_eq!(list(titled).await.0, ["m-chief"]);
    let realm_wide = pb::ListRolesRequest { scope: pb::AssignmentScope::Realm.into(), ..Default::default() };
    assert_eq!(list(realm_wide).await.0, ["definer"]);
    let request = pb::GetRoleRequest { role: "m-chief".to_owned() };
    let shown = portal.operator.roles().get_role(request).await.unwrap().into_inner().role.unwrap();
    assert_eq!((shown.includes[0].name.as_str(), shown.etag.as_str()), ("z-reader", "\"1\""));
    let typo = pb::ListRolesRequest { confers: "orders.shop".to_owned(), ..Default::default() };
    let refused = portal.operator.roles().list_roles(typo).await;
    assert_eq!(refusal(refused), (Code::InvalidArgument, ErrorReason::PermissionUndeclared));
});

both_backends!(a_retired_permission_is_denied_until_it_is_declared_again, async |app: &TestApp| {
    let (portal, service) = realm(app).await;
    let till = holder(&portal, "till", "definer").await;
    let retire = async |name: &str| {
        let request = pb::RetirePermissionRequest { name: name.to_owned(), ..Default::default() };
        Ok::<_, Status>(service.roles().retire_permission(request).await?.into_inner().permission.unwrap())
    };
    let check = async || portal.operator.check(ask(&till, "orders.read")).await.unwrap();
    let retired = retire("orders.read").await.unwrap();
    assert!(retired.retired);
    assert_eq!(retire("orders.read").await.unwrap(), retired);
    assert_eq!(check().await, denied(ErrorReason::PermissionRetired));
    let list = async |state: pb::PermissionState, name: &str| {
        let request = pb::ListPermissionsRequest { state: state.into(), name: name.to_owned(), ..Default::default() };
        let answer = portal.operator.roles().list_permissions(request).await.unwrap().into_inner();
        answer.permissions.into_iter().map(|permission| permission.name).collect::<Vec<_>>()
    };
    assert_eq!(list(pb::PermissionState::Retired, "").await, ["orders.read"]);
    assert_eq!(list(pb::PermissionState::Active, "orders.").await, ["orders.ship"]);
    assert!(list(pb::PermissionState::Unspecified, "platform").await.is_empty());
    portal.declare(&["orders.read"]).await;
    assert_eq!(check().await, ALLOWED);
    assert_eq!(refusal(retire("orders.shop").await), (Code::InvalidArgument, ErrorReason::PermissionUndeclared));
    let reserved = retire("countersign.users.read").await;
    assert_eq!(refusal(reserved), (Code::InvalidArgument, ErrorReason::NamespaceReserved));
    portal
        .decide(Policy { basic_permission: "orders.ship".to_owned(), ..Default::default() }, &["basic_permission"])
        .await;
    let basic = retire("orders.ship").await;
    assert_eq!(refusal(basic), (Code::FailedPrecondition, ErrorReason::PolicyImpossible));
});

both_backends!(a_name_in_another_case_is_the_same_role, async |app: &TestApp| {
    let (portal, _) = realm(app).await;
    let reads = pb::CreateRoleRequest { assignable: Some(everywhere(&[])), ..role("reads") };
    portal.define([reads, role("writes")]).await;
    let twin = portal.operator.roles().create_role(role("Reads")).await;
    assert_eq!(refusal(twin), (Code::AlreadyExists, ErrorReason::AlreadyExists));
    let renamed = pb::UpdateRoleRequest {
        role: "writes".to_owned(),
        name: "READS".to_owned(),
        update_mask: Some(FieldMask { paths: text(&["name"]) }),
        ..Default::default()
    };
    let renamed = portal.operator.roles().update_role(renamed).await;
    assert_eq!(refusal(renamed), (Code::AlreadyExists, ErrorReason::AlreadyExists));
    portal.operator.service("till").await.unwrap();
    let given = portal.operator.assign("till", "READS", At::Realm).await.unwrap();
    assert!(matches!(&given.conferred, Some(pb::entry::Conferred::Role(role)) if role.name == "reads"), "{given:?}");
});
