//! The lists beside the check agree with it: over random worlds in a real record, asked over a real channel, by who may
//! ask everywhere and by who may ask in one organization.

use std::collections::{BTreeMap, BTreeSet};

use countersign::crypto::random_mark;
use countersign::domain::account::{Approval, Hold, User, Verified, VerifiedHow};
use countersign::domain::change::Key;
use countersign::domain::entry::{EntryRow, Origin};
use countersign::domain::ids::{EntryId, PrincipalId, RoleId, ServiceAccountId, UserId};
use countersign::domain::organization as record;
use countersign::domain::policy::OrganizationsPerUser;
use countersign::domain::service_account::ServiceAccount;
use countersign::domain::snapshot::{Confers, Principal, PrincipalKind};
use countersign::domain::time::Timestamp;
use countersign::grpc::pb;
use countersign::store::{Lock, NewUser, TxRows};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use uuid::Uuid;

use super::worlds::populations;
use crate::support::{Backend, Caller, Reachable as _, TestApp};

const PRINCIPALS: u128 = 8;
const ASKED: [&str; 8] =
    ["a.x", "a.b.y", "b.x", "b.y.z", "a", "countersign.users.read", "countersign.roles.assign", "a-b.x"];
/// More than there are: an organization and a principal that nobody made.
const STRANGER: u128 = 0xffff;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_say_what_checks_say_on_sqlite() {
    on_random_worlds(Backend::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_say_what_checks_say_on_postgres() {
    on_random_worlds(Backend::Postgres).await;
}

async fn on_random_worlds(backend: Backend) {
    for (seed, per_user) in
        [(1, OrganizationsPerUser::Many), (2, OrganizationsPerUser::One), (3, OrganizationsPerUser::Many)]
    {
        let app = TestApp::start(backend).await;
        let world = Box::pin(World::populated(&app, seed, per_user)).await;
        for asker in [&world.operator, &world.scoped] {
            let allowed = Box::pin(world.checked(asker)).await;
            assert!(allowed.len() > 20, "seed {seed}: only {} are allowed", allowed.len());
            Box::pin(world.compare(asker, &allowed, seed)).await;
        }
        app.finish().await;
    }
}

/// One question: who, what, where, whose, on what.
type Question = (Uuid, &'static str, Option<Uuid>, Option<Uuid>, bool);

struct World {
    operator: Caller,
    /// A service account that may ask in the first organization alone.
    scoped: Caller,
    principals: Vec<Uuid>,
    places: Vec<Option<Uuid>>,
}

impl World {
    async fn populated(app: &TestApp, seed: u8, per_user: OrganizationsPerUser) -> Self {
        let portal = app.realm("worlds", pb::Policy::default()).await;
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
        let (source, organizations, people) =
            populations(PRINCIPALS).new_tree(&mut TestRunner::new_with_rng(Config::default(), rng)).unwrap().current();
        let store = app.inner().app.store();
        let realm = store.realm_named("worlds").await.unwrap().unwrap();
        let now = app.clock().now();
        let tx = store.begin(realm.id, Lock::Realm).await.unwrap();
        let rows = tx.rows();
        let mut policy = (*source.policy).clone();
        policy.organizations_per_user = per_user;
        policy.kinds = ["k1", "k2"]
            .map(|name| countersign::domain::policy::Kind { name: name.to_owned(), exclusive: false })
            .into();
        rows.update_realm(&countersign::domain::realm::Realm { policy, ..realm }).await.unwrap();
        for permission in &source.permissions {
            rows.save_permission(permission, now).await.unwrap();
        }
        for role in &source.roles {
            rows.insert_role(role, now).await.unwrap();
        }
        for organization in &organizations {
            rows.insert_organization(&written(organization, now)).await.unwrap();
        }
        let roles: BTreeSet<RoleId> = source.roles.iter().map(|role| role.id).collect();
        let mut principals = vec![];
        for (n, principal) in (100_u128..).zip(people) {
            principals.push(Uuid::from_u128(n));
            insert(rows, n, principal, &roles, now).await;
        }
        // Whoever owns things is led by somebody, if both are people.
        let people = rows.users_of(&[UserId(principals[0]), UserId(principals[2])]).await.unwrap();
        if let [owner, leader] = people.as_slice() {
            rows.update_user(&User { manager: Some(leader.id), ..owner.clone() }).await.unwrap();
        }
        let committed = tx.commit(vec![Key::Catalogue], random_mark(), now).await.unwrap();
        app.inner().app.snapshots().committed(&committed).await;
        let first = organizations[0].id.0;
        let key = portal.operator.service("asker").await.unwrap();
        for pattern in ["countersign.access.check", "countersign.access.list"] {
            let request = pb::GrantPermissionRequest {
                principal: "asker".to_owned(),
                pattern: pattern.to_owned(),
                reach: pb::Reach::All.into(),
                scope: Some(pb::grant_permission_request::Scope::Organization(first.to_string())),
                ..Default::default()
            };
            portal.operator.assignments().grant_permission(request).await.unwrap();
        }
        principals.push(Uuid::from_u128(STRANGER));
        let mut places: Vec<_> = organizations.iter().map(|organization| Some(organization.id.0)).collect();
        places.extend([None, Some(Uuid::from_u128(STRANGER))]);
        Self { operator: portal.operator.clone(), scoped: app.as_key(&key), principals, places }
    }

    fn owners(&self) -> [Option<Uuid>; 3] {
        [None, Some(self.principals[0]), Some(self.principals[1])]
    }

    /// Every question whose check is ALLOWED.
    async fn checked(&self, asker: &Caller) -> BTreeSet<Question> {
        let mut questions = vec![];
        for who in &self.principals {
            for what in ASKED {
                for place in &self.places {
                    for owner in self.owners() {
                        questions.extend([false, true].map(|bound| (*who, what, *place, owner, bound)));
                    }
                }
            }
        }
        let mut allowed = BTreeSet::new();
        for some in questions.chunks(1_000) {
            let items = some.iter().map(item).collect();
            let request = pb::BatchCheckPermissionsRequest { items, ..Default::default() };
            let answer = asker.authorization().batch_check_permissions(request).await.unwrap().into_inner();
            for (question, result) in some.iter().zip(answer.results) {
                use pb::batch_check_result::Outcome;
                match result.outcome {
                    Some(Outcome::Decision(decision)) if decision == i32::from(pb::Decision::Allowed) => {
                        allowed.insert(*question);
                    }
                    Some(Outcome::Decision(_)) => {}
                    other => panic!("{question:?}: {other:?}"),
                }
            }
        }
        allowed
    }

    async fn compare(&self, asker: &Caller, allowed: &BTreeSet<Question>, seed: u8) {
        for owner in self.owners() {
            for bound in [false, true] {
                for place in &self.places {
                    for who in &self.principals {
                        let expected: BTreeSet<_> = ASKED
                            .into_iter()
                            .filter(|what| allowed.contains(&(*who, *what, *place, owner, bound)))
                            .collect();
                        let found = self.effective(asker, *who, *place, owner, bound).await;
                        assert_eq!(found, expected, "seed {seed}: what {who} may in {place:?} of {owner:?}, {bound}");
                    }
                    for what in ASKED {
                        let may = |who: &&Uuid| allowed.contains(&(**who, what, *place, owner, bound));
                        let expected: BTreeSet<_> = self.principals.iter().filter(may).copied().collect();
                        let found = self.holders(asker, what, *place, owner, bound).await;
                        assert_eq!(found, expected, "seed {seed}: who may {what} in {place:?} of {owner:?}, {bound}");
                    }
                }
                for who in &self.principals {
                    for what in ASKED {
                        let may = |place: &&Option<Uuid>| {
                            place.is_some() && allowed.contains(&(*who, what, **place, owner, bound))
                        };
                        let expected: BTreeSet<_> =
                            self.places.iter().filter(may).map(|place| place.unwrap()).collect();
                        let found = self.allowed_places(asker, *who, what, owner, bound).await;
                        assert_eq!(found, expected, "seed {seed}: where {who} may {what} of {owner:?}, {bound}");
                    }
                }
            }
        }
    }

    async fn effective(
        &self,
        asker: &Caller,
        who: Uuid,
        place: Option<Uuid>,
        owner: Option<Uuid>,
        bound: bool,
    ) -> BTreeSet<&'static str> {
        use pb::list_effective_permissions_request::Subject;
        let mut query = pb::ListEffectivePermissionsRequest {
            subject: Some(Subject::Principal(who.to_string())),
            organization: text(place),
            owner: text(owner),
            resource: resource(bound),
            page_size: 7,
            ..Default::default()
        };
        let mut found = BTreeSet::new();
        loop {
            let answer = asker.authorization().list_effective_permissions(query.clone()).await.unwrap().into_inner();
            let named = |name: &str| ASKED.into_iter().find(|asked| *asked == name);
            found.extend(answer.permissions.iter().filter_map(|permission| named(&permission.name)));
            if answer.next_page_token.is_empty() {
                return found;
            }
            query.page_token = answer.next_page_token;
        }
    }

    async fn holders(
        &self,
        asker: &Caller,
        what: &str,
        place: Option<Uuid>,
        owner: Option<Uuid>,
        bound: bool,
    ) -> BTreeSet<Uuid> {
        let mut query = pb::ListPrincipalsWithPermissionRequest {
            permission: what.to_owned(),
            organization: text(place),
            owner: text(owner),
            resource: resource(bound),
            page_size: 2,
            ..Default::default()
        };
        let mut found = BTreeSet::new();
        loop {
            let answer =
                asker.authorization().list_principals_with_permission(query.clone()).await.unwrap().into_inner();
            let ids = answer.principals.iter().map(|principal| principal.id.parse::<Uuid>().unwrap());
            // The asker itself is one of the realm, and not one of the world.
            found.extend(ids.filter(|id| self.principals.contains(id)));
            if answer.next_page_token.is_empty() {
                return found;
            }
            query.page_token = answer.next_page_token;
        }
    }

    async fn allowed_places(
        &self,
        asker: &Caller,
        who: Uuid,
        what: &str,
        owner: Option<Uuid>,
        bound: bool,
    ) -> BTreeSet<Uuid> {
        use pb::list_allowed_organizations_request::Subject;
        let mut query = pb::ListAllowedOrganizationsRequest {
            subject: Some(Subject::Principal(who.to_string())),
            permission: what.to_owned(),
            owner: text(owner),
            resource: resource(bound),
            page_size: 1,
            ..Default::default()
        };
        let mut found = BTreeSet::new();
        loop {
            let answer = asker.authorization().list_allowed_organizations(query.clone()).await.unwrap().into_inner();
            found.extend(answer.organizations.iter().map(|organization| organization.id.parse::<Uuid>().unwrap()));
            if answer.next_page_token.is_empty() {
                return found;
            }
            query.page_token = answer.next_page_token;
        }
    }
}

fn text(id: Option<Uuid>) -> String {
    id.map(|id| id.to_string()).unwrap_or_default()
}

fn resource(bound: bool) -> Option<pb::Resource> {
    bound.then(|| pb::Resource { r#type: "v".to_owned(), id: "1".to_owned() })
}

fn item((who, what, place, owner, bound): &Question) -> pb::BatchCheckItem {
    pb::BatchCheckItem {
        subject: Some(pb::batch_check_item::Subject::Principal(who.to_string())),
        permission: (*what).to_owned(),
        organization: text(*place),
        owner: text(*owner),
        resource: resource(*bound),
    }
}

fn written(organization: &countersign::domain::snapshot::Organization, now: Timestamp) -> record::Organization {
    record::Organization {
        id: organization.id,
        slug: format!("organization-{}", organization.id.0.as_u128()),
        title: String::new(),
        kind: organization.kind.clone(),
        suspended: organization.suspended,
        founded_at: None,
        entitlements: organization.entitlements.iter().cloned().collect(),
        contacts: vec![],
        identifiers: BTreeSet::new(),
        version: 1,
        created_at: now,
    }
}

async fn insert(rows: TxRows<'_>, n: u128, principal: Principal, roles: &BTreeSet<RoleId>, now: Timestamp) {
    match &principal.kind {
        PrincipalKind::User(facts) => {
            let hold = |cause: &_| Hold { cause: *cause, at: now, by: None, note: None };
            let user = User {
                id: UserId(Uuid::from_u128(n)),
                email: format!("user-{n}@example.com"),
                identity: format!("user-{n}@example.com"),
                display_name: String::new(),
                approval: Approval { state: facts.approval, at: None, by: None, note: None },
                holds: facts.holds.iter().map(hold).collect(),
                verified: facts.email_verified.then_some(Verified { at: now, how: VerifiedHow::Link }),
                deleted_at: facts.deleted.then_some(now),
                deleted_by: None,
                valid_from: facts.valid_from,
                valid_until: facts.valid_until,
                password_set: false,
                password_must_change: facts.password_must_change,
                session_epoch: 0,
                manager: None,
                version: 1,
                created_at: now,
                last_sign_in_at: None,
                registrations: 1,
            };
            rows.insert_user(NewUser { user: &user, password_hash: None }).await.unwrap();
        }
        PrincipalKind::ServiceAccount { organization, disabled } => {
            let account = ServiceAccount {
                id: ServiceAccountId(Uuid::from_u128(n)),
                name: format!("service-{n}"),
                title: String::new(),
                organization: *organization,
                spiffe_id: None,
                disabled_at: disabled.then_some(now),
                created_at: now,
                created_by: None,
                version: 1,
            };
            rows.insert_service_account(&account).await.unwrap();
        }
    }
    for membership in &principal.memberships {
        let member = record::Member {
            user: UserId(Uuid::from_u128(n)),
            organization: membership.organization,
            state: membership.state,
            attributes: membership.attributes.clone().into_iter().collect::<BTreeMap<_, _>>(),
            created_at: now,
            decided_at: None,
            decided_by: None,
        };
        rows.save_membership(&member).await.unwrap();
    }
    for (at, mut entry) in (1_u128..).zip(principal.entries) {
        // A role that is gone is not to be had in a record.
        if matches!(entry.confers, Confers::Role(role) if !roles.contains(&role)) {
            continue;
        }
        entry.id = EntryId(Uuid::from_u128(n * 1_000 + at));
        let principal = PrincipalId(Uuid::from_u128(n));
        let row = EntryRow { principal, entry, assigned_by: None, assigned_at: now, origin: Origin::Actor };
        rows.insert_entry(&row).await.unwrap();
    }
}
