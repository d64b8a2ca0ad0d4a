//! Random realms, small enough that their parts meet: few names, organizations and roles, many entries.

use std::sync::Arc;

use countersign::domain::account::{AccountFacts, ApprovalState, HoldCause};
use countersign::domain::catalogue::{
    Assignable, Catalogue, CatalogueSource, Conditions, DefaultFor, Permission, Role,
};
use countersign::domain::decision::{CompiledPrincipal, Decision, Gathered, Question, ResourceRef, World, decide};
use countersign::domain::ids::{EntryId, OrganizationId, PrincipalId, RealmId, Revision, RoleId, UserId};
use countersign::domain::permission::{Pattern, PermissionName, Reach};
use countersign::domain::policy::{Policy, Team};
use countersign::domain::snapshot::{
    Confers, Entry, Membership, MembershipState, Organization, Principal, PrincipalKind, Resource, Scope, Window,
};
use countersign::domain::time::Timestamp;
use proptest::prelude::*;
use proptest::sample::select;
use uuid::Uuid;

const NAMES: [&str; 8] = ["a.x", "a.y", "a.b.x", "a.b.y", "a-b.x", "b.x", "b.y.z", "a"];
const ASKED: [&str; 12] = [
    "a.x",
    "a.y",
    "a.b.x",
    "a.b.y",
    "a-b.x",
    "b.x",
    "b.y.z",
    "a",
    "countersign.users.read",
    "countersign.users.approve",
    "countersign.roles.assign",
    "countersign.platform.operate",
];
const PATTERNS: [&str; 13] = [
    "*",
    "a.*",
    "a.b.*",
    "b.*",
    "a",
    "a.x",
    "a.b.x",
    "b.y.*",
    "a-b.x",
    "undeclared.*",
    "countersign.*",
    "countersign.users.*",
    "countersign.users.read",
];
const ROLES: u128 = 6;
const SUBJECT: u128 = 100;
const OTHER: u128 = 101;

/// A realm, a subject and a question.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) source: CatalogueSource,
    pub(super) principal: Principal,
    /// All that exist; the last id that questions name does not.
    pub(super) organizations: Vec<Organization>,
    pub(super) permission: String,
    pub(super) organization: Option<OrganizationId>,
    pub(super) owner: Option<PrincipalId>,
    pub(super) resource: Option<Resource>,
    /// The owner's managers, upwards.
    pub(super) managers: Vec<UserId>,
    pub(super) now: Timestamp,
}

impl Case {
    pub(super) fn gathered(&self) -> Vec<Gathered> {
        (1..=4).map(|n| self.gather(OrganizationId(Uuid::from_u128(n)))).collect()
    }

    pub(super) fn gather(&self, id: OrganizationId) -> Gathered {
        let organization = self.organizations.iter().find(|it| it.id == id).cloned().map(Arc::new);
        Gathered { id, organization }
    }

    pub(super) fn compiled(&self) -> (Catalogue, CompiledPrincipal) {
        let catalogue = Catalogue::compile(self.source.clone());
        let subject = CompiledPrincipal::compile(Arc::new(self.principal.clone()), &catalogue);
        (catalogue, subject)
    }

    pub(super) fn question<'a>(&'a self, catalogue: &Catalogue) -> Question<'a> {
        Question {
            permission: catalogue.permission_id(&self.permission).unwrap(),
            organization: self.organization,
            owner: self.owner,
            resource: self.resource.as_ref().map(ResourceRef::from),
        }
    }

    /// Puts the question to the world with everything gathered.
    pub(super) fn ask<T>(&self, put: impl FnOnce(&World<'_>, &Question<'_>) -> T) -> T {
        let (catalogue, subject) = self.compiled();
        let organizations = self.gathered();
        let world = World {
            catalogue: &catalogue,
            subject: &subject,
            organizations: &organizations,
            owner_managers: Some(&self.managers),
        };
        put(&world, &self.question(&catalogue))
    }

    pub(super) fn is_allowed(&self) -> bool {
        self.ask(|world, question| decide(world, question, self.now)) == Decision::Allowed
    }
}

fn id<T: From<Uuid>>(n: u128) -> T {
    Uuid::from_u128(n).into()
}

/// Mostly nothing, sometimes one or two of them.
fn few(of: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    let some = proptest::sample::subsequence(of.to_vec(), 1..=of.len());
    prop_oneof![8 => Just(vec![]), 1 => some].prop_map(|all| all.into_iter().map(str::to_owned).collect())
}

fn reach() -> impl Strategy<Value = Reach> {
    prop_oneof![1 => Just(Reach::Own), 1 => Just(Reach::Team), 3 => Just(Reach::All)]
}

fn pattern() -> impl Strategy<Value = Pattern> {
    prop_oneof![1 => select(&PATTERNS[..4]), 1 => select(&PATTERNS[..])].prop_map(|text| Pattern::parse(text).unwrap())
}

/// Includes mostly go one way; sometimes they close a circle, which must end all the same.
fn role(n: u128) -> impl Strategy<Value = Role> {
    let includes = prop_oneof![
        12 => proptest::collection::vec((n + 1..=n + 3).prop_map(id), 0..3),
        1 => proptest::collection::vec((1..=ROLES).prop_map(id), 0..3),
    ];
    let beside = prop_oneof![8 => Just(vec![]), 1 => proptest::collection::vec((1..=ROLES).prop_map(id), 1..2)];
    let grants = proptest::collection::vec((pattern(), reach()), 0..4);
    (grants, includes, few(&["k1", "k2"]), few(&["e1", "e2"]), few(&["t1", "t2"]), beside, any::<bool>()).prop_map(
        move |(grants, includes, kinds, any_entitlement, attributes, roles, restricted)| Role {
            id: id(n),
            name: format!("role-{n}"),
            title: String::new(),
            description: String::new(),
            grants,
            includes,
            assignable: Assignable { organization: true, realm: true, kinds, default: DefaultFor::No },
            restricted,
            resource_type: None,
            may_assign: vec![],
            conditions: Conditions { any_entitlement, attributes, roles },
            topics: vec![],
        },
    )
}

fn resource() -> impl Strategy<Value = Resource> {
    (select(&["v", "w"][..]), select(&["1", "2"][..]))
        .prop_map(|(kind, id)| Resource { kind: kind.to_owned(), id: id.to_owned() })
}

fn window() -> impl Strategy<Value = Window> {
    let at = |range: std::ops::Range<i64>| proptest::option::of(range.prop_map(Timestamp));
    prop_oneof![4 => Just(Window::ALWAYS), 1 => (at(95..103), at(98..106)).prop_map(|(a, b)| Window::new(a, b))]
}

pub(super) fn entry() -> impl Strategy<Value = Entry> {
    let role = (1..=ROLES + 1).prop_map(|n| Confers::Role(id(n)));
    let grant = (pattern(), reach()).prop_map(|(pattern, reach)| Confers::Grant { pattern, reach });
    let scope = prop_oneof![1 => Just(Scope::Realm), 3 => (1..=3_u128).prop_map(|n| Scope::Organization(id(n)))];
    let resource = prop_oneof![4 => Just(None), 1 => resource().prop_map(|it| Some(Box::new(it)))];
    (1000..u128::from(u64::MAX), prop_oneof![3 => role, 1 => grant], scope, resource, window())
        .prop_map(|(n, confers, scope, resource, window)| Entry { id: id(n), confers, scope, resource, window })
}

fn organization(n: u128) -> impl Strategy<Value = Organization> {
    let entitlements = proptest::sample::subsequence(vec!["e1".to_owned(), "e2".to_owned()], 0..=2);
    (select(&["k1", "k2"][..]), prop::bool::weighted(0.15), entitlements).prop_map(
        move |(kind, suspended, entitlements)| Organization {
            id: id(n),
            realm: id(1),
            as_of: Revision(1),
            kind: kind.to_owned(),
            suspended,
            entitlements,
        },
    )
}

fn membership(of: Organization) -> impl Strategy<Value = Membership> {
    let state = prop_oneof![
        6 => Just(MembershipState::Active),
        1 => Just(MembershipState::Pending),
        1 => Just(MembershipState::Rejected),
    ];
    let attributes = proptest::collection::btree_map(
        select(&["t1", "t2"][..]).prop_map(str::to_owned),
        select(&["", "value"][..]).prop_map(str::to_owned),
        0..3,
    );
    (state, attributes).prop_map(move |(state, attributes)| Membership {
        organization: of.id,
        kind: of.kind.clone(),
        state,
        attributes,
    })
}

/// An account that mostly passes its gates.
fn facts() -> impl Strategy<Value = AccountFacts> {
    let open = Just(AccountFacts {
        approval: ApprovalState::Approved,
        holds: vec![],
        email_verified: true,
        deleted: false,
        valid_from: None,
        valid_until: None,
        password_must_change: false,
    });
    let approval = select(vec![
        ApprovalState::Approved,
        ApprovalState::Approved,
        ApprovalState::Pending,
        ApprovalState::Rejected,
        ApprovalState::Expired,
    ]);
    let causes = vec![HoldCause::Blocked, HoldCause::Administrator, HoldCause::Inactivity, HoldCause::FailedSignIns];
    let holds = prop_oneof![3 => Just(vec![]), 1 => proptest::sample::subsequence(causes, 1..=2)];
    let at = |range: std::ops::Range<i64>| proptest::option::of(range.prop_map(Timestamp));
    let rare = || prop::bool::weighted(0.1);
    let any = (approval, holds, rare(), rare(), at(95..103), at(98..106), rare()).prop_map(
        |(approval, holds, unverified, deleted, valid_from, valid_until, password_must_change)| AccountFacts {
            approval,
            holds,
            email_verified: !unverified,
            deleted,
            valid_from,
            valid_until,
            password_must_change,
        },
    );
    prop_oneof![12 => open, 1 => any]
}

fn kind() -> impl Strategy<Value = PrincipalKind> {
    let service =
        prop::bool::weighted(0.1).prop_map(|disabled| PrincipalKind::ServiceAccount { organization: None, disabled });
    prop_oneof![5 => facts().prop_map(PrincipalKind::User), 1 => service]
}

fn principal(organizations: &[Organization]) -> impl Strategy<Value = Principal> + use<> {
    let memberships: Vec<_> = organizations.iter().cloned().map(membership).collect();
    let memberships = (memberships, proptest::collection::vec(prop::bool::weighted(0.85), organizations.len()));
    (kind(), memberships, proptest::collection::vec(entry(), 0..28)).prop_map(|(kind, (memberships, kept), entries)| {
        let is_user = matches!(kind, PrincipalKind::User(_));
        let kept = memberships.into_iter().zip(kept).filter(|(_, kept)| *kept && is_user);
        Principal {
            id: id(SUBJECT),
            realm: id(1),
            as_of: Revision(1),
            kind,
            memberships: kept.map(|(membership, _)| membership).collect(),
            manager: None,
            entries,
            session_epoch: 0,
            ended_sessions: vec![],
        }
    })
}

fn source() -> impl Strategy<Value = CatalogueSource> {
    let roles: Vec<_> = (1..=ROLES).map(role).collect();
    let basic = prop_oneof![8 => Just(None), 1 => select(&["a.x", "a.x", "b.x", "undeclared.x"][..]).prop_map(Some)];
    let retired = proptest::collection::vec(prop::bool::weighted(0.05), NAMES.len());
    (roles, basic, retired, any::<bool>(), prop::bool::weighted(0.01)).prop_map(
        |(roles, basic, retired, chain, suspended)| {
            let permissions = NAMES.iter().zip(retired).map(|(name, retired)| Permission {
                name: PermissionName::parse(name).unwrap(),
                title: String::new(),
                section: String::new(),
                protected: false,
                retired,
            });
            let policy = Policy {
                basic_permission: basic.map(str::to_owned),
                team: if chain { Team::Chain } else { Team::Direct },
                ..Policy::default()
            };
            CatalogueSource {
                realm: RealmId(Uuid::from_u128(1)),
                realm_name: "realm".to_owned(),
                suspended,
                as_of: Revision(1),
                policy: Arc::new(policy),
                permissions: permissions.collect(),
                roles,
                exclusions: vec![],
            }
        },
    )
}

/// A realm with so many principals, to be put into a record. Nothing of it names a role or an organization that is not
/// there.
pub(super) fn populations(
    principals: u128,
) -> impl Strategy<Value = (CatalogueSource, Vec<Organization>, Vec<Principal>)> {
    let organizations: Vec<_> = (1..=3).map(organization).collect();
    (source(), organizations).prop_flat_map(move |(source, organizations)| {
        let people: Vec<_> = (0..principals).map(|_| principal(&organizations)).collect();
        (Just(source), Just(organizations), people)
    })
}

/// A realm, a subject and a question, dense enough that about half of the questions are allowed.
pub(super) fn cases() -> impl Strategy<Value = Case> {
    let organizations: Vec<_> = (1..=3).map(organization).collect();
    let with_principal = organizations.prop_flat_map(|all| (principal(&all), Just(all)));
    let place = prop_oneof![
        3 => Just(None),
        16 => (1..=3_u128).prop_map(|n| Some(id(n))),
        1 => Just(Some(id(4))),
    ];
    let owner = prop_oneof![2 => Just(None), 3 => Just(Some(SUBJECT)), 3 => Just(Some(OTHER))];
    let managers = proptest::collection::vec(prop_oneof![Just(SUBJECT), Just(102), Just(103)], 0..4);
    let resource = proptest::option::of(resource());
    (
        source(),
        with_principal,
        prop_oneof![3 => select(&NAMES[..]), 1 => select(&ASKED[..])],
        place,
        owner,
        managers,
        resource,
    )
        .prop_map(|(source, (principal, organizations), permission, organization, owner, managers, resource)| {
            Case {
                source,
                // Nobody is above oneself.
                managers: if owner == Some(OTHER) { managers.into_iter().map(id::<UserId>).collect() } else { vec![] },
                principal,
                organizations,
                permission: permission.to_owned(),
                organization,
                owner: owner.map(id::<PrincipalId>),
                resource,
                now: Timestamp(100),
            }
        })
}

/// The id of an entry that no generated one has.
pub(super) fn fresh_entry_id() -> EntryId {
    EntryId(Uuid::from_u128(1))
}

/// The roles of a case by id.
pub(super) fn role_of(case: &Case, wanted: RoleId) -> Option<&Role> {
    case.source.roles.iter().find(|role| role.id == wanted)
}
