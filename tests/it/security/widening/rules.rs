//! One rule each, where a single condition stands between somebody and what they may not do.

use countersign::grpc::pb::{self, ErrorReason};
use tonic::{Code, Status};

use super::{AWAY, HOME, open_door, powers, realm_powers, somebody, two_companies};
use crate::support::{
    At, Caller, Portal, Reachable as _, TestApp, both_backends, everywhere, grants, refusal, role, within,
};

const ORPHAN: (Code, ErrorReason) = (Code::FailedPrecondition, ErrorReason::WouldOrphan);

/// A robot that works in `home` with these permissions, beside whom people may be the last ones.
async fn robot(app: &TestApp, portal: &Portal, patterns: &[&str]) -> Caller {
    portal.define([powers("robot", patterns)]).await;
    let key = portal.operator.service("robot").await.unwrap();
    portal.operator.assign("robot", "robot", HOME).await.unwrap();
    app.as_key(&key)
}

both_backends!(who_is_above_in_the_whole_realm_is_removed_from_no_organization, async |app: &TestApp| {
    let portal = two_companies(app, open_door()).await;
    portal.define([realm_powers("boss", &["countersign.users.delete"])]).await;
    let boss = somebody(app, &portal, "boss@home.example", &["boss"], At::Realm).await;
    let peer = somebody(app, &portal, "peer@home.example", &[], HOME).await;
    let by = robot(app, &portal, &["countersign.users.read", "countersign.organizations.remove_members"]).await;
    let remove = async |user: &str| {
        let request =
            pb::RemoveMemberRequest { organization: "home".to_owned(), user: user.to_owned(), ..Default::default() };
        by.organizations().remove_member(request).await
    };
    assert_eq!(refusal(remove(&boss.id).await), (Code::PermissionDenied, ErrorReason::ReachesUp));
    remove(&peer.id).await.unwrap();
});

both_backends!(where_the_realm_decides_no_organization_approves, async |app: &TestApp| {
    let policy = pb::Policy { approval: pb::ApprovalAuthority::Realm.into(), ..Default::default() };
    let portal = two_companies(app, policy).await;
    let by = robot(app, &portal, &["countersign.users.read", "countersign.users.approve"]).await;
    portal.newcomer(app, "ann@home.example", &[]).await;
    assert_eq!(refusal(by.approve("ann@home.example").await), (Code::NotFound, ErrorReason::NotFound));
    assert_eq!(by.waiting().await.unwrap(), [""; 0]);
    portal.decide(pb::Policy { approval: pb::ApprovalAuthority::Organization.into(), ..Default::default() }, &[]).await;
    by.approve("ann@home.example").await.unwrap();
});

both_backends!(nobody_assigns_themself_into_an_organization, async |app: &TestApp| {
    let portal = two_companies(app, open_door()).await;
    let adds = ["countersign.roles.assign", "countersign.organizations.add_members", "countersign.users.read"];
    portal.define([realm_powers("adds", &adds), powers("guest", &[])]).await;
    let alice = somebody(app, &portal, "alice@home.example", &["adds"], At::Realm).await;
    let bob = somebody(app, &portal, "bob@home.example", &[], HOME).await;
    let gain = (Code::PermissionDenied, ErrorReason::ActorWouldGain);
    assert_eq!(refusal(alice.caller.assign(&alice.id, "guest", AWAY).await), gain);
    alice.caller.assign(&bob.id, "guest", AWAY).await.unwrap();
});

both_backends!(a_role_for_other_kinds_is_assigned_to_nobody_here, async |app: &TestApp| {
    let kind = |name: &str| pb::Kind { name: name.to_owned(), exclusive: false };
    let portal = app.realm("portal", pb::Policy { kinds: vec![kind("company"), kind("partner")], ..open_door() }).await;
    let home = pb::CreateOrganizationRequest {
        slug: "home".to_owned(),
        title: "Home".to_owned(),
        kind: "company".to_owned(),
        identifiers: crate::support::identifiers(&[("domain", "home.example")]),
        ..Default::default()
    };
    portal.organization(home).await;
    let there = pb::CreateRoleRequest { assignable: Some(within(&["partner"])), ..role("there") };
    let anywhere = pb::CreateRoleRequest { assignable: Some(everywhere(&["partner"])), ..role("anywhere") };
    portal.define([there, anywhere]).await;
    let alice = somebody(app, &portal, "alice@home.example", &[], HOME).await;
    let other = (Code::FailedPrecondition, ErrorReason::KindNotAllowed);
    assert_eq!(refusal(portal.operator.assign(&alice.id, "there", HOME).await), other);
    assert_eq!(refusal(portal.operator.assign(&alice.id, "anywhere", At::Realm).await), other);
});

both_backends!(a_restricted_role_founds_nothing_by_who_may_not_assign_it, async |app: &TestApp| {
    let portal = two_companies(app, open_door()).await;
    let sealed = pb::CreateRoleRequest { restricted: true, ..powers("sealed", &["orders.read"]) };
    portal.define([sealed, realm_powers("writer", &["countersign.realm.configure", "orders.read"])]).await;
    let alice = somebody(app, &portal, "alice@home.example", &["writer"], At::Realm).await;
    let request = pb::UpdateRealmRequest {
        policy: Some(pb::Policy {
            founding: pb::Founding::ListedContact.into(),
            founding_role: "sealed".to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let refused = alice.caller.realms().update_realm(request.clone()).await;
    assert_eq!(refusal(refused), (Code::PermissionDenied, ErrorReason::RoleRestricted));
    portal.operator.realms().update_realm(request).await.unwrap();
});

both_backends!(who_approves_gives_roles_only_if_they_may_assign, async |app: &TestApp| {
    let portal = two_companies(app, pb::Policy::default()).await;
    portal.define([powers("guest", &[])]).await;
    let by = robot(app, &portal, &["countersign.users.approve"]).await;
    portal.newcomer(app, "ann@home.example", &[]).await;
    let with = |roles: &[&str]| pb::ApproveRegistrationRequest {
        user: "ann@home.example".to_owned(),
        roles: crate::support::text(roles),
        ..Default::default()
    };
    let refused = by.approvals().approve_registration(with(&["guest"])).await;
    assert_eq!(refusal(refused).0, Code::PermissionDenied);
    by.approvals().approve_registration(with(&[])).await.unwrap();
});

both_backends!(nobody_is_put_below_a_manager_who_is_out_of_reach, async |app: &TestApp| {
    let portal = two_companies(app, open_door()).await;
    let by = robot(app, &portal, &["countersign.users.read", "countersign.users.set_manager"]).await;
    let dan = somebody(app, &portal, "dan@home.example", &[], HOME).await;
    let eve = somebody(app, &portal, "eve@home.example", &[], HOME).await;
    by.set_manager(&dan.id, &eve.id).await.unwrap();
    by.set_manager(&dan.id, "").await.unwrap();
    portal.operator.add_member("away", &eve.id).await.unwrap();
    let beyond = (Code::PermissionDenied, ErrorReason::WrongOrganization);
    assert_eq!(refusal(by.set_manager(&dan.id, &eve.id).await), beyond);
    portal.operator.set_manager(&dan.id, &eve.id).await.unwrap();
    assert_eq!(refusal(by.set_manager(&dan.id, "").await), beyond);
});

both_backends!(the_last_one_who_assigns_is_stripped_of_nothing_that_lets_them, async |app: &TestApp| {
    let portal = two_companies(app, open_door()).await;
    let licensed = pb::RoleConditionsSpec {
        any_entitlement: vec!["contracts".to_owned()],
        attributes: vec!["territory".to_owned()],
        ..Default::default()
    };
    let administrator =
        pb::CreateRoleRequest { conditions: Some(licensed), ..powers("administrator", &["countersign.roles.assign"]) };
    portal.define([administrator]).await;
    let robot = robot(
        app,
        &portal,
        &[
            "countersign.users.*",
            "countersign.roles.assign",
            "countersign.roles.grant",
            "countersign.organizations.entitle",
        ],
    )
    .await;
    let last = somebody(app, &portal, "last@home.example", &["administrator"], HOME).await;
    entitle(&portal.operator, &["contracts"]).await.unwrap();
    describe(&portal.operator, &last.id, &[("territory", "north")]).await.unwrap();

    assert_eq!(refusal(entitle(&robot, &[]).await), ORPHAN);
    assert_eq!(refusal(describe(&robot, &last.id, &[]).await), ORPHAN);
    assert_eq!(refusal(robot.revoke(&last.id, "administrator", HOME).await), ORPHAN);
    // Who holds it otherwise may lose the role, and then not the other.
    let grant = pb::GrantPermissionRequest {
        principal: last.id.clone(),
        pattern: "countersign.roles.assign".to_owned(),
        reach: pb::Reach::All.into(),
        scope: Some(pb::grant_permission_request::Scope::Organization("home".to_owned())),
        ..Default::default()
    };
    robot.assignments().grant_permission(grant).await.unwrap();
    assert_eq!(robot.revoke(&last.id, "administrator", HOME).await.unwrap(), 1);
    let taking = pb::RevokePermissionRequest {
        principal: last.id.clone(),
        pattern: "countersign.roles.assign".to_owned(),
        scope: Some(pb::revoke_permission_request::Scope::Organization("home".to_owned())),
        ..Default::default()
    };
    assert_eq!(refusal(robot.assignments().revoke_permission(taking.clone()).await), ORPHAN);
    portal.operator.assignments().revoke_permission(taking).await.unwrap();
});

async fn entitle(by: &Caller, products: &[&str]) -> Result<(), Status> {
    let request = pb::SetEntitlementsRequest {
        organization: "home".to_owned(),
        entitlements: crate::support::text(products),
        ..Default::default()
    };
    by.organizations().set_entitlements(request).await.map(drop)
}

async fn describe(by: &Caller, user: &str, attributes: &[(&str, &str)]) -> Result<(), Status> {
    let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let (organization, user) = ("home".to_owned(), user.to_owned());
    let request = pb::UpdateMemberRequest { organization, user, attributes, ..Default::default() };
    by.organizations().update_member(request).await.map(drop)
}

// What is restricted changes by who may assign it, whichever of before and after says so.
both_backends!(a_restriction_is_lifted_and_set_by_who_may_assign_what_it_restricts, async |app: &TestApp| {
    let portal = two_companies(app, open_door()).await;
    let sealed = pb::CreateRoleRequest { restricted: true, ..powers("sealed", &["orders.read"]) };
    let definer = ["countersign.roles.define", "orders.read"];
    portal.define([sealed, powers("plain", &["orders.read"]), realm_powers("definer", &definer)]).await;
    let alice = somebody(app, &portal, "alice@home.example", &["definer"], At::Realm).await;
    let restricted = (Code::PermissionDenied, ErrorReason::RoleRestricted);
    let write = async |name: &str, is: bool, path: &str| {
        let request = pb::UpdateRoleRequest {
            role: name.to_owned(),
            restricted: is,
            grants: grants(pb::Reach::All, &[]),
            update_mask: Some(prost_types::FieldMask { paths: vec![path.to_owned()] }),
            ..Default::default()
        };
        alice.caller.roles().update_role(request).await
    };
    assert_eq!(refusal(write("sealed", false, "restricted").await), restricted);
    assert_eq!(refusal(write("plain", true, "restricted").await), restricted);
    assert_eq!(refusal(write("sealed", true, "grants").await), restricted);
    write("plain", false, "grants").await.unwrap();
});
