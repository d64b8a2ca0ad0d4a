//! One small realm, built by hand: two organizations, a member of both, a few permissions.

use std::sync::Arc;

use countersign::domain::account::{AccountFacts, ApprovalState};
use countersign::domain::catalogue::{Assignable, CatalogueSource, Conditions, Permission, Role};
use countersign::domain::ids::{EntryId, OrganizationId, PrincipalId, RealmId, Revision, RoleId, UserId};
use countersign::domain::permission::{Pattern, PermissionName, Reach};
use countersign::domain::policy::Policy;
use countersign::domain::snapshot::{
    Confers, Entry, Membership, MembershipState, Organization, Principal, PrincipalKind, Scope, Window,
};
use countersign::domain::time::Timestamp;
use uuid::Uuid;

use super::worlds::Case;

pub(super) const HOME: OrganizationId = OrganizationId(Uuid::from_u128(1));
pub(super) const AWAY: OrganizationId = OrganizationId(Uuid::from_u128(2));
pub(super) const SUBJECT: PrincipalId = PrincipalId(Uuid::from_u128(100));
pub(super) const SOMEBODY: PrincipalId = PrincipalId(Uuid::from_u128(101));

/// A case in which the subject holds these entries and asks for `orders.ship` at home, of nobody in particular.
pub(super) fn case(roles: Vec<Role>, entries: Vec<Entry>) -> Case {
    let names = ["orders.ship", "orders.read", "stock.read"];
    let permission = |name| Permission {
        name: PermissionName::parse(name).unwrap(),
        title: String::new(),
        section: String::new(),
        protected: false,
        retired: false,
    };
    Case {
        source: CatalogueSource {
            realm: RealmId(Uuid::from_u128(1)),
            realm_name: "realm".to_owned(),
            suspended: false,
            as_of: Revision(1),
            policy: Arc::new(Policy::default()),
            permissions: names.map(permission).into(),
            roles,
            exclusions: vec![],
        },
        principal: member(entries),
        organizations: vec![organization(HOME), organization(AWAY)],
        permission: "orders.ship".to_owned(),
        organization: Some(HOME),
        owner: None,
        resource: None,
        managers: vec![],
        now: Timestamp(100),
    }
}

fn organization(id: OrganizationId) -> Organization {
    Organization {
        id,
        realm: RealmId(Uuid::from_u128(1)),
        as_of: Revision(1),
        kind: "company".to_owned(),
        suspended: false,
        entitlements: vec![],
    }
}

fn member(entries: Vec<Entry>) -> Principal {
    let membership = |organization| Membership {
        organization,
        kind: "company".to_owned(),
        state: MembershipState::Active,
        attributes: [].into(),
    };
    let facts = AccountFacts {
        approval: ApprovalState::Approved,
        holds: vec![],
        email_verified: true,
        deleted: false,
        valid_from: None,
        valid_until: None,
        password_must_change: false,
    };
    Principal {
        id: SUBJECT,
        realm: RealmId(Uuid::from_u128(1)),
        as_of: Revision(1),
        kind: PrincipalKind::User(facts),
        memberships: vec![membership(HOME), membership(AWAY)],
        manager: None,
        entries,
        session_epoch: 0,
        ended_sessions: vec![],
    }
}

pub(super) fn role(n: u128, grants: &[(&str, Reach)], includes: &[u128]) -> Role {
    Role {
        description: String::new(),
        id: role_id(n),
        name: format!("role-{n}"),
        title: String::new(),
        grants: grants.iter().map(|(text, reach)| (pattern(text), *reach)).collect(),
        includes: includes.iter().map(|n| role_id(*n)).collect(),
        assignable: Assignable { organization: true, realm: true, ..Assignable::default() },
        restricted: false,
        resource_type: None,
        may_assign: vec![],
        conditions: Conditions::default(),
        topics: vec![],
    }
}

pub(super) fn role_id(n: u128) -> RoleId {
    RoleId(Uuid::from_u128(n))
}

pub(super) fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap()
}

pub(super) fn assigned(n: u128, scope: Scope) -> Entry {
    entry(Confers::Role(role_id(n)), scope)
}

pub(super) fn granted(text: &str, reach: Reach, scope: Scope) -> Entry {
    entry(Confers::Grant { pattern: pattern(text), reach }, scope)
}

fn entry(confers: Confers, scope: Scope) -> Entry {
    Entry { id: EntryId(Uuid::from_u128(7)), confers, scope, resource: None, window: Window::ALWAYS }
}

/// The subject as a manager.
pub(super) fn subject_as_manager() -> Vec<UserId> {
    vec![UserId(SUBJECT.0)]
}
