//! A realm to ask about: a service account that may check, and users with five entries each.

use std::collections::{BTreeMap, BTreeSet};

use countersign::app::clock::Clock;
use countersign::crypto::api_key::ApiKey;
use countersign::crypto::password::{Hasher, Limits};
use countersign::crypto::{password_policy, random_mark};
use countersign::domain::account::{Approval, ApprovalState, User, Verified, VerifiedHow};
use countersign::domain::catalogue::{Assignable, Conditions, Permission, Role};
use countersign::domain::change::Key;
use countersign::domain::entry::{EntryRow, Origin};
use countersign::domain::ids::{ApiKeyId, EntryId, OrganizationId, PrincipalId, RoleId, ServiceAccountId, UserId};
use countersign::domain::organization::{Member, Organization};
use countersign::domain::permission::{Pattern, PermissionName, Reach};
use countersign::domain::realm::DEFAULT_REALM;
use countersign::domain::service_account::{ApiKey as ApiKeyRow, ServiceAccount};
use countersign::domain::snapshot::{Confers, Entry, MembershipState, Scope, Window};
use countersign::domain::time::Timestamp;
use countersign::store::{Location, Lock, NewUser, Store, TxRows};

/// The password of every user.
pub(crate) const PASSWORD: &str = "umbrella-seven-quartz-lagoon";
/// Roles; each includes the next two of the next level, of three.
const ROLES: usize = 30;
const ENTRIES_PER_USER: usize = 5;
const PERMISSIONS: usize = 1_000;

/// What a benchmark needs to know of the record.
pub(crate) struct Seeded {
    /// Opens `CheckPermission`.
    pub(crate) key: String,
    pub(crate) organization: OrganizationId,
    pub(crate) users: Vec<PrincipalId>,
    /// Held by every user in the organization.
    pub(crate) permission: String,
    /// Every declared permission.
    pub(crate) permissions: Vec<String>,
}

/// The address of a user.
pub(crate) fn address(user: usize) -> String {
    format!("user-{user}@example.com")
}

/// Fills the default realm of a record that was begun.
pub(crate) async fn seed(location: Location<'_>, users: usize) -> Seeded {
    let store = Store::open(location, 4).await.unwrap();
    let realm = store.realm_named(DEFAULT_REALM).await.unwrap().unwrap().id;
    let seeder = Seeder { clock: Clock::default(), now: Clock::default().now() };
    let tx = store.begin(realm, Lock::Realm).await.unwrap();
    let rows = tx.rows();
    let permissions = seeder.permissions(rows).await;
    let roles = seeder.roles(rows).await;
    let organization = seeder.organization(rows).await;
    let key = seeder.service(rows).await;
    let users = seeder.users(rows, organization, &roles, users).await;
    tx.commit(vec![Key::Catalogue], random_mark(), seeder.now).await.unwrap();
    store.close().await;
    Seeded { key, organization, users, permission: "section-0.part-0.act-0".into(), permissions }
}

struct Seeder {
    clock: Clock,
    now: Timestamp,
}

impl Seeder {
    async fn permissions(&self, rows: TxRows<'_>) -> Vec<String> {
        let names = (0..PERMISSIONS).map(|n| format!("section-{}.part-{}.act-{}", n % 10, n / 10 % 10, n / 100));
        let names: Vec<_> = names.collect();
        for name in &names {
            let permission = Permission {
                name: PermissionName::parse(name).unwrap(),
                title: name.clone(),
                section: String::new(),
                protected: false,
                retired: false,
            };
            rows.save_permission(&permission, self.now).await.unwrap();
        }
        names
    }

    /// The roles that are assigned: the first level of three.
    async fn roles(&self, rows: TxRows<'_>) -> Vec<RoleId> {
        let ids: Vec<_> = (0..3 * ROLES).map(|_| RoleId(self.clock.new_id())).collect();
        for (n, id) in ids.iter().enumerate() {
            let (level, section) = (n / ROLES, n % 9);
            let pattern =
                if level == 0 { format!("section-{section}.*") } else { format!("section-{section}.part-{level}.*") };
            let next = |step: usize| ids[(level + 1) * ROLES + (n + step) % ROLES];
            let role = Role {
                id: *id,
                name: format!("role-{n}"),
                title: format!("Role {n}"),
                description: String::new(),
                grants: vec![(Pattern::parse(&pattern).unwrap(), Reach::All)],
                includes: if level < 2 { vec![next(0), next(7)] } else { vec![] },
                assignable: Assignable { organization: true, realm: true, ..Assignable::default() },
                restricted: false,
                resource_type: None,
                may_assign: vec![],
                conditions: Conditions::default(),
                topics: vec![],
            };
            rows.insert_role(&role, self.now).await.unwrap();
        }
        ids[..ROLES].to_vec()
    }

    async fn organization(&self, rows: TxRows<'_>) -> OrganizationId {
        let id = OrganizationId(self.clock.new_id());
        let organization = Organization {
            id,
            slug: "example".into(),
            title: "Example".into(),
            kind: "company".into(),
            suspended: false,
            founded_at: None,
            entitlements: BTreeSet::new(),
            contacts: vec![],
            identifiers: BTreeSet::new(),
            version: 1,
            created_at: self.now,
        };
        rows.insert_organization(&organization).await.unwrap();
        id
    }

    /// The key of a service account that may check, realm-wide.
    async fn service(&self, rows: TxRows<'_>) -> String {
        let id = ServiceAccountId(self.clock.new_id());
        let account = ServiceAccount {
            id,
            name: "bench".into(),
            title: "Bench".into(),
            organization: None,
            spiffe_id: None,
            disabled_at: None,
            created_at: self.now,
            created_by: None,
            version: 1,
        };
        rows.insert_service_account(&account).await.unwrap();
        let key = ApiKey::generate();
        let row = ApiKeyRow {
            id: ApiKeyId(self.clock.new_id()),
            service_account: id,
            secret_hash: key.hash(),
            title: "bench".into(),
            created_at: self.now,
            created_by: None,
            expires_at: None,
            revoked_at: None,
            last_used_at: None,
        };
        rows.insert_api_key(&row).await.unwrap();
        let may = Pattern::parse("countersign.access.check").unwrap();
        self.entry(rows, id.into(), Confers::Grant { pattern: may, reach: Reach::All }, Scope::Realm).await;
        key.expose().to_owned()
    }

    async fn users(
        &self,
        rows: TxRows<'_>,
        organization: OrganizationId,
        roles: &[RoleId],
        count: usize,
    ) -> Vec<PrincipalId> {
        let password = password_policy::check(PASSWORD, &password_policy::PasswordContext { names: &[] }).unwrap();
        let hasher = Hasher::start(Limits { permits: 1, queued: 1 }).unwrap();
        let hash = hasher.hash(None, password).await.unwrap().expose();
        let mut users = vec![];
        for n in 0..count {
            let user = self.user(n);
            rows.insert_user(NewUser { user: &user, password_hash: Some(&hash) }).await.unwrap();
            let member = Member {
                user: user.id,
                organization,
                state: MembershipState::Active,
                attributes: BTreeMap::new(),
                created_at: self.now,
                decided_at: Some(self.now),
                decided_by: None,
            };
            rows.save_membership(&member).await.unwrap();
            for m in 0..ENTRIES_PER_USER {
                let role = if m == 0 { 0 } else { (n + m * 7) % ROLES };
                let scope = if m % 2 == 0 { Scope::Organization(organization) } else { Scope::Realm };
                self.entry(rows, user.id.into(), Confers::Role(roles[role]), scope).await;
            }
            users.push(user.id.into());
        }
        users
    }

    fn user(&self, n: usize) -> User {
        User {
            id: UserId(self.clock.new_id()),
            email: address(n),
            identity: countersign::domain::email::identity(&address(n)),
            display_name: format!("User {n}"),
            approval: Approval::decided(ApprovalState::Approved, self.now, None, None),
            holds: vec![],
            verified: Some(Verified { at: self.now, how: VerifiedHow::Link }),
            deleted_at: None,
            deleted_by: None,
            valid_from: None,
            valid_until: None,
            password_set: true,
            password_must_change: false,
            session_epoch: 0,
            manager: None,
            version: 1,
            created_at: self.now,
            last_sign_in_at: None,
            registrations: 1,
        }
    }

    async fn entry(&self, rows: TxRows<'_>, principal: PrincipalId, confers: Confers, scope: Scope) {
        let id = EntryId(self.clock.new_id());
        let entry = Entry { id, confers, scope, resource: None, window: Window::ALWAYS };
        let row = EntryRow { principal, entry, assigned_by: None, assigned_at: self.now, origin: Origin::Bootstrap };
        rows.insert_entry(&row).await.unwrap();
    }
}
