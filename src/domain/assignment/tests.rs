use std::collections::BTreeSet;
use std::sync::Arc;

use uuid::Uuid;

use super::*;
use crate::domain::catalogue::{Assignable, CatalogueSource, Conditions};
use crate::domain::ids::{EntryId, OrganizationId, PrincipalId, RealmId, Revision};
use crate::domain::permission::{Pattern, Reach};
use crate::domain::policy::Policy;
use crate::domain::snapshot::{Membership, MembershipState, PrincipalKind, Window};

const NOW: Timestamp = Timestamp(100);

fn id(n: u128) -> RoleId {
    RoleId(Uuid::from_u128(n))
}

fn role(n: u128) -> Role {
    Role {
        id: id(n),
        name: format!("role-{n}"),
        title: String::new(),
        description: String::new(),
        grants: vec![],
        includes: vec![],
        assignable: Assignable::default(),
        restricted: false,
        resource_type: None,
        may_assign: vec![],
        conditions: Conditions::default(),
        topics: vec![],
    }
}

fn catalogue(roles: Vec<Role>, exclusions: Vec<Exclusion>) -> Catalogue {
    Catalogue::compile(CatalogueSource {
        realm: RealmId(Uuid::nil()),
        realm_name: "realm".into(),
        suspended: false,
        as_of: Revision(1),
        policy: Arc::new(Policy::default()),
        permissions: vec![],
        roles,
        exclusions,
    })
}

fn company(n: u128) -> Scope {
    Scope::Organization(OrganizationId(Uuid::from_u128(n)))
}

fn held(role: u128, scope: Scope, window: Window) -> Entry {
    let id = EntryId(Uuid::from_u128(role));
    Entry { id, confers: Confers::Role(super::RoleId(Uuid::from_u128(role))), scope, resource: None, window }
}

fn member_of(kinds: &[(&str, MembershipState)]) -> Principal {
    let membership = |(n, (kind, state)): (usize, &(&str, MembershipState))| Membership {
        organization: OrganizationId(Uuid::from_u128(n as u128)),
        kind: (*kind).to_owned(),
        state: *state,
        attributes: [].into(),
    };
    Principal {
        id: PrincipalId(Uuid::from_u128(9)),
        realm: RealmId(Uuid::nil()),
        as_of: Revision(1),
        kind: PrincipalKind::ServiceAccount { organization: None, disabled: false },
        memberships: kinds.iter().enumerate().map(membership).collect(),
        manager: None,
        entries: vec![],
        session_epoch: 0,
        ended_sessions: vec![],
    }
}

#[test]
fn a_role_fits_the_scopes_and_the_resources_that_it_says() {
    let mut vehicle = role(1);
    vehicle.assignable.organization = true;
    vehicle.resource_type = Some("vehicle".into());
    let resource = |kind: &str| Resource { kind: kind.into(), id: "7".into() };
    assert_eq!(fits(&vehicle, company(1), Some(&resource("vehicle"))), Ok(()));
    assert!(matches!(fits(&vehicle, Scope::Realm, Some(&resource("vehicle"))), Err(Unfit::Scope { .. })));
    let other = fits(&vehicle, company(1), Some(&resource("boat"))).unwrap_err();
    assert_eq!(other.to_string(), "the role role-1 needs a resource of type vehicle, one of type boat was given");
    let none = fits(&vehicle, company(1), None).unwrap_err();
    assert_eq!(none.to_string(), "the role role-1 needs a resource of type vehicle, none was given");
    vehicle.resource_type = None;
    assert_eq!(fits(&vehicle, company(1), Some(&resource("boat"))), Ok(()), "any role may be narrowed to a resource");
}

#[test]
fn a_role_for_a_kind_is_for_its_organizations_and_for_their_active_members() {
    let mut brand = role(1);
    assert_eq!(fits_kind(&brand, &member_of(&[]), None), Ok(()));
    brand.assignable.kinds = vec!["brand".into()];
    assert_eq!(fits_kind(&brand, &member_of(&[]), Some("brand")), Ok(()));
    assert!(fits_kind(&brand, &member_of(&[("brand", MembershipState::Active)]), Some("partner")).is_err());
    assert_eq!(fits_kind(&brand, &member_of(&[("brand", MembershipState::Active)]), None), Ok(()));
    assert!(fits_kind(&brand, &member_of(&[("brand", MembershipState::Pending)]), None).is_err());
    assert!(fits_kind(&brand, &member_of(&[]), None).is_err());
}

#[test]
fn nobody_holds_too_many_of_an_exclusion_in_one_scope() {
    let exclusion =
        Exclusion { name: "groups".into(), title: String::new(), roles: vec![id(1), id(2), id(3)], limit: 2 };
    let including = Role { includes: vec![id(2)], ..role(4) };
    let catalogue = catalogue(vec![role(1), role(2), role(3), including], vec![exclusion]);
    let breaks = |entries: &[Entry], role: u128, scope| excluded(&catalogue, entries, id(role), scope, NOW).is_some();
    let here = [held(1, company(1), Window::ALWAYS)];
    assert!(breaks(&here, 2, company(1)));
    assert!(breaks(&here, 4, company(1)), "an included role counts");
    assert!(!breaks(&here, 2, company(2)), "another organization is another scope");
    assert!(breaks(&here, 2, Scope::Realm), "what is held realm-wide is held there too");
    assert!(breaks(&[held(1, Scope::Realm, Window::ALWAYS)], 2, company(1)));
    assert!(!breaks(&here, 1, company(1)), "the same role twice is one role");
    assert!(!breaks(&[held(1, company(1), Window::new(None, Some(NOW)))], 2, company(1)), "expired");
    assert!(breaks(&[held(1, company(1), Window::new(Some(Timestamp(200)), None))], 2, company(1)), "yet to begin");
}

#[test]
fn what_is_passed_on_is_followed_through_roles_that_name_each_other() {
    let catalogue = catalogue(
        vec![
            Role { may_assign: vec![id(1), id(2)], ..role(1) },
            Role { includes: vec![id(3)], ..role(2) },
            Role { may_assign: vec![id(4), id(1)], ..role(3) },
            role(4),
        ],
        vec![],
    );
    assert_eq!(passed_on(&catalogue, &[id(1)]), BTreeSet::from([id(1), id(2), id(4)]));
    assert_eq!(passed_on(&catalogue, &[id(4)]), BTreeSet::new());
}

#[test]
fn a_role_opens_those_that_wait_for_it_where_both_count() {
    let mut waiting = role(1);
    waiting.conditions.roles = vec![id(9)];
    let including = Role { includes: vec![id(1)], ..role(2) };
    let catalogue = catalogue(vec![waiting, including, role(3), role(9)], vec![]);
    let opened = |entries: &[Entry], scope| {
        let holder = Principal { entries: entries.to_vec(), ..member_of(&[]) };
        opened(&catalogue, &holder.entries, id(9), scope, NOW).map(|it| (it.role, it.scope)).collect::<Vec<_>>()
    };
    let here = [held(1, company(1), Window::ALWAYS)];
    assert_eq!(opened(&here, company(1)), [(id(1), company(1))]);
    assert_eq!(opened(&here, Scope::Realm), [(id(1), company(1))]);
    assert_eq!(opened(&here, company(2)), []);
    assert_eq!(opened(&[held(2, Scope::Realm, Window::ALWAYS)], company(1)), [(id(1), company(1))], "an included one");
    assert_eq!(opened(&[held(3, company(1), Window::ALWAYS)], company(1)), [], "it waits for nothing");
    assert_eq!(opened(&[held(1, company(1), Window::new(None, Some(NOW)))], company(1)), [], "expired");
    let yet_to_begin = [held(1, company(1), Window::new(Some(Timestamp(200)), None))];
    assert_eq!(opened(&yet_to_begin, company(1)), [(id(1), company(1))]);
}

#[test]
fn an_included_reserved_pattern_is_seen() {
    let reserved = Role { grants: vec![(Pattern::parse("countersign.users.read").unwrap(), Reach::Own)], ..role(1) };
    let plain = Role { grants: vec![(Pattern::parse("*").unwrap(), Reach::All)], ..role(3) };
    let catalogue = catalogue(vec![reserved, Role { includes: vec![id(1)], ..role(2) }, plain], vec![]);
    assert!(confers_reserved(&catalogue, id(2)) && !confers_reserved(&catalogue, id(3)));
}
