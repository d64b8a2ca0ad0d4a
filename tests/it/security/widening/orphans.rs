//! No orphaning, over random organizations: whatever somebody scoped to an organization does there, who can assign roles
//! there does not die out.

use std::collections::BTreeMap;

use countersign::grpc::pb;

use super::dice::Dice;
use super::{HOME, open_door, powers, somebody, two_companies};
use crate::support::{ALLOWED, At, Caller, Portal, Reachable as _, TestApp, ask, both_backends, text};

const WORLDS: usize = 6;
const MOVES: usize = 24;
const ASSIGN: &str = "countersign.roles.assign";
/// What the robot of an organization works with, there alone.
const TOOLS: [&str; 7] = [
    "countersign.users.*",
    "countersign.organizations.*",
    "countersign.roles.assign",
    "countersign.roles.grant",
    "countersign.access.check",
    "countersign.audit.read",
    "orders.read",
];
/// The ways to hold it: plainly, with a product licensed, with an attribute, beside another role.
const WAYS: [&str; 4] = ["plain", "licensed", "described", "certified"];

async fn define(portal: &Portal) {
    let conditions = |product: &[&str], attributes: &[&str], roles: &[&str]| pb::RoleConditionsSpec {
        any_entitlement: text(product),
        attributes: text(attributes),
        roles: text(roles),
    };
    let under =
        |name: &str, conditions| pb::CreateRoleRequest { conditions: Some(conditions), ..powers(name, &[ASSIGN]) };
    portal
        .define([
            powers("beside", &["orders.read"]),
            powers("plain", &[ASSIGN]),
            under("licensed", conditions(&["contracts"], &[], &[])),
            under("described", conditions(&[], &["territory"], &[])),
            under("certified", conditions(&[], &[], &["beside"])),
            powers("robot", &TOOLS),
        ])
        .await;
}

/// One random call by which somebody may lose what they assign by. Answers what it was, if it was let through.
async fn lose(by: &Caller, people: &[String], dice: &mut Dice) -> Option<String> {
    let user = dice.pick(people).clone();
    let organization = "home".to_owned();
    let (mut organizations, mut assignments) = (by.organizations(), by.assignments());
    let (what, done) = match dice.below(10) {
        0 => ("suspend", by.suspend(&user, "at random").await.map(drop)),
        1 => ("block", by.block(&user, "at random").await.map(drop)),
        2 => ("delete", by.delete(&user).await.map(drop)),
        3 => {
            let request = pb::RemoveMemberRequest { organization, user: user.clone(), ..Default::default() };
            ("remove", organizations.remove_member(request).await.map(drop))
        }
        4 | 5 => {
            let role = dice.pick(&[&WAYS[..], &["beside"]].concat()).to_string();
            ("revoke", by.revoke(&user, &role, HOME).await.map(drop))
        }
        6 => {
            let request = pb::RevokePermissionRequest {
                principal: user.clone(),
                pattern: ASSIGN.to_owned(),
                scope: Some(pb::revoke_permission_request::Scope::Organization(organization)),
                ..Default::default()
            };
            ("revoke the grant of", assignments.revoke_permission(request).await.map(drop))
        }
        7 => {
            let request = pb::UpdateMemberRequest { organization, user: user.clone(), ..Default::default() };
            ("take the attributes of", organizations.update_member(request).await.map(drop))
        }
        8 => {
            let request = pb::SetEntitlementsRequest { organization, ..Default::default() };
            ("license nothing beside", organizations.set_entitlements(request).await.map(drop))
        }
        _ => {
            let valid_until = Some(prost_types::Timestamp { seconds: 4_102_444_800, nanos: 0 });
            let request = pb::UpdateUserRequest { user: user.clone(), valid_until, ..Default::default() };
            ("end some day", by.update(request).await.map(drop))
        }
    };
    done.ok().map(|()| format!("{what} {user}"))
}

/// How many of the people can assign roles in the organization.
async fn assign(portal: &Portal, people: &[String], home: &str) -> usize {
    let mut count = 0;
    for id in people {
        let question = pb::CheckPermissionRequest { organization: home.to_owned(), ..ask(id, ASSIGN) };
        count += usize::from(portal.operator.check(question).await.unwrap() == ALLOWED);
    }
    count
}

both_backends!(who_can_assign_roles_in_an_organization_does_not_die_out, async |app: &TestApp| {
    let portal = two_companies(app, open_door()).await;
    define(&portal).await;
    let key = portal.operator.service("robot").await.unwrap();
    portal.operator.assign("robot", "robot", HOME).await.unwrap();
    let robot = app.as_key(&key);
    let home = pb::GetOrganizationRequest { organization: "home".to_owned() };
    let home = portal.operator.organizations().get_organization(home).await.unwrap().into_inner();
    let home = home.organization.unwrap().id;
    let mut dice = Dice::new(23);
    let mut lost: BTreeMap<usize, usize> = BTreeMap::new();
    for world in 0..WORLDS {
        let license = pb::SetEntitlementsRequest {
            organization: "home".to_owned(),
            entitlements: text(&["contracts"]),
            ..Default::default()
        };
        portal.operator.organizations().set_entitlements(license).await.unwrap();
        let mut people = vec![];
        for at in 0..4 {
            let person = somebody(app, &portal, &format!("p{world}-{at}@home.example"), &[], At::Realm).await;
            people.push(person.id.clone());
            let attributes = [("territory".to_owned(), "north".to_owned())].into();
            let (organization, user) = ("home".to_owned(), person.id.clone());
            let request = pb::UpdateMemberRequest { organization, user, attributes, ..Default::default() };
            portal.operator.organizations().update_member(request).await.unwrap();
            let way = *dice.pick(&WAYS);
            for role in [way, "beside"] {
                portal.operator.assign(&person.id, role, HOME).await.unwrap();
            }
        }
        assert!(assign(&portal, &people, &home).await > 0);
        let mut story = vec![];
        for _ in 0..MOVES {
            story.extend(lose(&robot, &people, &mut dice).await);
            let left = assign(&portal, &people, &home).await;
            assert!(left > 0, "nobody is left in world {world} after {story:?}");
            *lost.entry(left).or_default() += 1;
        }
        // Nobody of this world is there to make up for the next one's.
        for id in &people {
            drop(portal.operator.delete(id).await);
        }
    }
    assert!(lost.get(&1).is_some_and(|times| *times > WORLDS), "the last one was rarely tried: {lost:?}");
});
