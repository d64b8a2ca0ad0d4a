//! A realm filled at random, behind the service's back: who may be seen stands among who may not, in the order of ids that
//! say nothing. Who lists is somebody with a team, in two organizations, with a role in each way in which one can hold it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use countersign::crypto::random_mark;
use countersign::domain::account::{Approval, ApprovalState, User, Verified, VerifiedHow};
use countersign::domain::audit::{AuditLine, Outcome};
use countersign::domain::catalogue::{Assignable, Conditions, DefaultFor, Permission, Role};
use countersign::domain::change::Key;
use countersign::domain::entry::{EntryRow, Origin};
use countersign::domain::ids::{
    ApiKeyId, EventId, OrganizationId, PrincipalId, RealmId, RoleId, ServiceAccountId, SessionId, UserId,
};
use countersign::domain::organization::{Member, Organization};
use countersign::domain::permission::{Pattern, PermissionName, Reach};
use countersign::domain::service_account::{ApiKey, ServiceAccount};
use countersign::domain::session::Session;
use countersign::domain::snapshot::{Confers, Entry, MembershipState, Scope, Window};
use countersign::domain::time::Timestamp;
use countersign::grpc::access::Method;
use countersign::grpc::pb;
use countersign::store::{self, Lock, NewUser, Tx};
use uuid::Uuid;

use crate::access::{Carried, Wire};
use crate::security::Dice;
use crate::support::{Person, Portal, Reachable as _, TestApp};

const REALM: &str = "pages";
/// Who stands in the realm beside the one who lists.
const PEOPLE: usize = 62;
const ORGANIZATIONS: usize = 40;
/// What there is of everything else.
pub(super) const OTHERS: usize = 36;

/// What lists are opened by.
pub(super) const READ_USERS: &str = "countersign.users.read";
pub(super) const APPROVE: &str = "countersign.users.approve";
pub(super) const READ_ORGANIZATIONS: &str = "countersign.organizations.read";
pub(super) const MANAGE_MAIL: &str = "countersign.mail.manage";
pub(super) const MANAGE_ACCOUNTS: &str = "countersign.service_accounts.manage";
pub(super) const LIST: &str = "countersign.access.list";
pub(super) const SHIP: &str = "shop.orders.ship";
const READ_AUDIT: &str = "countersign.audit.read";
const OPENED_BY: [&str; 8] =
    [READ_USERS, APPROVE, READ_ORGANIZATIONS, MANAGE_MAIL, MANAGE_ACCOUNTS, READ_AUDIT, LIST, SHIP];
/// What the lister holds at ALL at home, whatever else: else there would be nothing to ask about.
const AT_HOME: [&str; 4] = ["countersign.roles.read", LIST, READ_AUDIT, MANAGE_ACCOUNTS];
const LICENSED: &str = "gold";

pub(super) struct World<'a> {
    pub(super) app: &'a TestApp,
    pub(super) portal: Portal,
    pub(super) realm: RealmId,
    pub(super) seed: i32,
    pub(super) lister: Person,
    /// The two organizations that the lister is in.
    pub(super) home: [OrganizationId; 2],
    pub(super) organizations: Vec<OrganizationId>,
    /// Those that hold keys of theirs.
    pub(super) key_holder: ServiceAccountId,
    wire: Wire,
    lists: Carried,
    operates: Carried,
    roles: Vec<RoleId>,
    /// How often it was changed, so that no two changes choose alike.
    changed: AtomicU64,
}

impl<'a> World<'a> {
    pub(super) async fn populated(app: &'a TestApp, seed: i32) -> Self {
        let policy = pb::Policy {
            self_registration: pb::SelfRegistration::Open.into(),
            approval: pb::ApprovalAuthority::Organization.into(),
            organizations_per_user: pb::OrganizationsPerUser::Many.into(),
            team: pb::TeamDepth::Chain.into(),
            ..Default::default()
        };
        let portal = app.realm(REALM, policy).await;
        for n in 0..3 {
            app.realm(&format!("beside-{n}"), pb::Policy::default()).await;
        }
        let lister = portal.person(app, "lister@pages.example", &[], &[]).await;
        let token = portal.stranger.sign_in(&lister.email).await.unwrap();
        let carried =
            |secret: &str| Carried { credentials: vec![format!("Bearer {secret}")], realm: Some(REALM.to_owned()) };
        let realm = app.inner().app.store().realm_named(REALM).await.unwrap().unwrap().id;
        let mut world = Self {
            app,
            realm,
            seed,
            lister,
            home: [OrganizationId(Uuid::nil()); 2],
            organizations: vec![],
            key_holder: ServiceAccountId(Uuid::nil()),
            wire: Wire::to(app.address()),
            lists: carried(&token),
            operates: carried(app.operator_key()),
            portal,
            roles: vec![],
            changed: AtomicU64::new(0),
        };
        let mut changes = world.changes();
        changes.write(&mut world, async |making, world, tx| making.everything(world, tx).await).await;
        let recipients = world.people().await;
        for (n, user) in recipients.iter().enumerate() {
            let user = (n % 5 > 0).then(|| user.id.to_string());
            app.dead_letter(REALM, &format!("letter-{n}@pages.example"), user.as_deref()).await;
        }
        world
    }

    /// Who sends the request of a list.
    pub(super) fn asks(&self, method: &Method) -> (&Wire, &Carried) {
        (&self.wire, if method.name == "ListRealms" { &self.operates } else { &self.lists })
    }

    /// Every account, deleted ones among them.
    pub(super) async fn people(&self) -> Vec<User> {
        let rows = self.app.inner().app.store().rows(self.realm);
        let filter = store::UserFilter::default();
        let living = rows.list_users(&filter, 10_000).await.unwrap();
        let deleted = store::UserFilter { status: Some(countersign::domain::account::Status::Deleted), ..filter };
        [living, rows.list_users(&deleted, 10_000).await.unwrap()].concat()
    }

    /// What happens to the realm, one thing after the other.
    pub(super) fn changes(&self) -> Changes {
        let seed = u64::try_from(self.seed).unwrap();
        Changes { dice: Dice::new((seed << 32) | self.changed.fetch_add(1, Ordering::Relaxed)) }
    }
}

/// What comes and goes.
pub(super) struct Changes {
    dice: Dice,
}

impl Changes {
    /// Somebody or something comes, or somebody goes.
    pub(super) async fn next(&mut self, world: &World<'_>) {
        let people = world.people().await;
        let store = world.app.inner().app.store();
        let now = world.app.clock().now();
        let tx = store.begin(world.realm, Lock::Realm).await.unwrap();
        let stale = if self.dice.chance(50) {
            let goes: Vec<_> = people.iter().filter(|user| user.deleted_at.is_none()).collect();
            let goes = *self.dice.pick(&goes);
            let lister: Uuid = world.lister.id.parse().unwrap();
            if goes.id.0 != lister {
                let gone = User { deleted_at: Some(now), version: goes.version + 1, ..goes.clone() };
                tx.rows().update_user(&gone).await.unwrap();
            }
            goes.id
        } else {
            self.person(world, &tx, now).await
        };
        self.finish(world, tx, vec![Key::Principal(stale.into())], now).await;
    }

    async fn write(&mut self, world: &mut World<'_>, make: impl AsyncFnOnce(&mut Self, &mut World<'_>, &Tx)) {
        let now = world.app.clock().now();
        let tx = world.app.inner().app.store().begin(world.realm, Lock::Realm).await.unwrap();
        Box::pin(make(self, world, &tx)).await;
        let lister = PrincipalId(world.lister.id.parse().unwrap());
        self.finish(world, tx, vec![Key::Catalogue, Key::Principal(lister)], now).await;
    }

    async fn finish(&self, world: &World<'_>, tx: Tx, stale: Vec<Key>, now: Timestamp) {
        let committed = tx.commit(stale, random_mark(), now).await.unwrap();
        world.app.inner().app.snapshots().committed(&committed).await;
    }

    async fn everything(&mut self, world: &mut World<'_>, tx: &Tx) {
        let now = world.app.clock().now();
        for n in 0..ORGANIZATIONS {
            // The first two are the lister's home, in which something confers.
            let suspended = n >= 2 && self.dice.chance(10);
            let id = self.organization(tx, suspended, now).await;
            world.organizations.push(id);
        }
        world.home = [world.organizations[0], world.organizations[1]];
        for n in 0..OTHERS {
            self.role(world, tx, n, now).await;
            self.permission(tx, n, now).await;
            self.service_account(world, tx, now).await;
            self.event(world, tx, now).await;
            self.session(world, tx, now).await;
        }
        self.powers(world, tx, now).await;
        for _ in 0..PEOPLE {
            self.person(world, tx, now).await;
        }
        for _ in 0..OTHERS {
            self.key(world, tx, now).await;
        }
    }

    fn id(&mut self) -> Uuid {
        let half = |dice: &mut Dice| u128::try_from(dice.below(usize::MAX)).unwrap();
        Uuid::from_u128((half(&mut self.dice) << 64) | half(&mut self.dice))
    }

    fn name(&mut self, prefix: &str) -> String {
        format!("{prefix}-{:08x}", self.dice.below(1 << 32))
    }

    async fn organization(&mut self, tx: &Tx, suspended: bool, now: Timestamp) -> OrganizationId {
        let id = OrganizationId(self.id());
        let new = Organization {
            id,
            slug: self.name("organization"),
            title: String::new(),
            kind: String::new(),
            suspended,
            founded_at: None,
            entitlements: if self.dice.chance(30) { [LICENSED.to_owned()].into() } else { [].into() },
            contacts: vec![],
            identifiers: [].into(),
            version: 1,
            created_at: now,
        };
        tx.rows().insert_organization(&new).await.unwrap();
        id
    }

    async fn person(&mut self, world: &World<'_>, tx: &Tx, now: Timestamp) -> UserId {
        let (id, email) = (UserId(self.id()), self.name("person") + "@pages.example");
        let approval = if self.dice.chance(70) { ApprovalState::Approved } else { ApprovalState::Pending };
        let lister = UserId(world.lister.id.parse().unwrap());
        let user = User {
            id,
            identity: email.clone(),
            email,
            display_name: String::new(),
            approval: Approval { state: approval, at: None, by: None, note: None },
            holds: vec![],
            verified: Some(Verified { at: now, how: VerifiedHow::Link }),
            deleted_at: self.dice.chance(10).then_some(now),
            deleted_by: None,
            valid_from: None,
            valid_until: None,
            password_set: false,
            password_must_change: false,
            session_epoch: 0,
            registrations: 1,
            manager: self.dice.chance(20).then_some(lister),
            version: 1,
            created_at: now,
            last_sign_in_at: None,
        };
        tx.rows().insert_user(NewUser { user: &user, password_hash: None }).await.unwrap();
        for (place, percent) in [(world.home[0], 60), (world.home[1], 40), (*self.dice.pick(&world.organizations), 40)]
        {
            if self.dice.chance(percent) {
                self.member(tx, id, place, now).await;
            }
        }
        for _ in 0..self.dice.below(4) {
            self.held_by(world, tx, id.into(), now).await;
        }
        id
    }

    async fn member(&mut self, tx: &Tx, user: UserId, organization: OrganizationId, now: Timestamp) {
        use MembershipState::{Active, Pending, Rejected};
        let member = Member {
            user,
            organization,
            state: *self.dice.pick(&[Active, Active, Active, Pending, Pending, Rejected]),
            attributes: [].into(),
            created_at: now,
            decided_at: None,
            decided_by: None,
        };
        tx.rows().save_membership(&member).await.unwrap();
    }

    /// Gives somebody an assignment or a grant, somewhere.
    async fn held_by(&mut self, world: &World<'_>, tx: &Tx, principal: PrincipalId, now: Timestamp) {
        let confers = match self.dice.chance(50) {
            true => Confers::Role(*self.dice.pick(&world.roles)),
            false => Confers::Grant { pattern: Pattern::parse(SHIP).unwrap(), reach: Reach::All },
        };
        let near = [world.home[0], world.home[1], *self.dice.pick(&world.organizations)].map(Scope::Organization);
        let scope = if self.dice.chance(15) { Scope::Realm } else { *self.dice.pick(&near) };
        self.entry(tx, principal, confers, scope, now).await;
    }

    async fn entry(&mut self, tx: &Tx, principal: PrincipalId, confers: Confers, scope: Scope, now: Timestamp) {
        let entry = Entry { id: self.id().into(), confers, scope, resource: None, window: Window::ALWAYS };
        let row = EntryRow { principal, entry, assigned_by: None, assigned_at: now, origin: Origin::Actor };
        tx.rows().insert_entry(&row).await.unwrap();
    }

    async fn role(&mut self, world: &mut World<'_>, tx: &Tx, n: usize, now: Timestamp) {
        let id = self.powerless(tx, &format!("role-{n}"), vec![], Conditions::default(), now).await;
        world.roles.push(id);
    }

    async fn powerless(
        &mut self,
        tx: &Tx,
        name: &str,
        grants: Vec<(Pattern, Reach)>,
        conditions: Conditions,
        now: Timestamp,
    ) -> RoleId {
        let id = RoleId(self.id());
        let role = Role {
            id,
            name: name.to_owned(),
            title: String::new(),
            description: String::new(),
            grants,
            includes: vec![],
            assignable: Assignable { organization: true, realm: true, kinds: vec![], default: DefaultFor::No },
            restricted: false,
            resource_type: None,
            may_assign: vec![],
            conditions,
            topics: vec![],
        };
        tx.rows().insert_role(&role, now).await.unwrap();
        id
    }

    /// What the lister may: by a role in the first organization, by a grant in the second, over the team everywhere, and
    /// wherever something is licensed.
    async fn powers(&mut self, world: &World<'_>, tx: &Tx, now: Timestamp) {
        let lister = UserId(world.lister.id.parse().unwrap());
        for organization in world.home {
            let (state, attributes) = (MembershipState::Active, [].into());
            let (decided_at, decided_by) = (None, None);
            let member =
                Member { user: lister, organization, state, attributes, created_at: now, decided_at, decided_by };
            tx.rows().save_membership(&member).await.unwrap();
        }
        let at = |name: &str, reach| (Pattern::parse(name).unwrap(), reach);
        let mut here = AT_HOME.map(|name| at(name, Reach::All)).to_vec();
        for name in OPENED_BY {
            here.push(at(name, *self.dice.pick(&[Reach::All, Reach::All, Reach::Team])));
        }
        let team = OPENED_BY.map(|name| at(name, Reach::Team)).to_vec();
        let licensed: Vec<_> =
            OPENED_BY.iter().filter(|_| self.dice.chance(60)).map(|name| at(name, Reach::All)).collect();
        let gold = Conditions { any_entitlement: vec![LICENSED.to_owned()], ..Conditions::default() };
        for (name, grants, conditions, scope) in [
            ("here", here, Conditions::default(), Scope::Organization(world.home[0])),
            ("team", team, Conditions::default(), Scope::Realm),
            ("licensed", licensed, gold, Scope::Realm),
        ] {
            let role = self.powerless(tx, name, grants, conditions, now).await;
            self.entry(tx, lister.into(), Confers::Role(role), scope, now).await;
        }
        let (pattern, reach) = at(self.dice.pick::<&str>(&OPENED_BY), Reach::All);
        let grant = Confers::Grant { pattern, reach };
        self.entry(tx, lister.into(), grant, Scope::Organization(world.home[1]), now).await;
    }

    async fn permission(&mut self, tx: &Tx, n: usize, now: Timestamp) {
        let name = if n == 0 { SHIP.to_owned() } else { format!("shop.orders.do-{n}") };
        let (title, section) = (String::new(), String::new());
        let permission = Permission {
            name: PermissionName::parse(&name).unwrap(),
            title,
            section,
            protected: false,
            retired: self.dice.chance(5) && n > 0,
        };
        tx.rows().save_permission(&permission, now).await.unwrap();
    }

    async fn service_account(&mut self, world: &mut World<'_>, tx: &Tx, now: Timestamp) {
        let near = [None, Some(world.home[0]), Some(world.home[1]), Some(*self.dice.pick(&world.organizations))];
        let first = world.key_holder.0.is_nil();
        let account = ServiceAccount {
            id: ServiceAccountId(self.id()),
            name: self.name("service"),
            title: String::new(),
            organization: if first { Some(world.home[0]) } else { *self.dice.pick(&near) },
            spiffe_id: None,
            disabled_at: None,
            created_at: now,
            created_by: None,
            version: 1,
        };
        tx.rows().insert_service_account(&account).await.unwrap();
        if first {
            world.key_holder = account.id;
        }
        self.held_by(world, tx, account.id.into(), now).await;
    }

    async fn key(&mut self, world: &World<'_>, tx: &Tx, now: Timestamp) {
        let (first, second) = (self.id(), self.id());
        let key = ApiKey {
            id: ApiKeyId(self.id()),
            service_account: world.key_holder,
            secret_hash: [first.into_bytes(), second.into_bytes()].concat().try_into().unwrap(),
            title: String::new(),
            created_at: now,
            created_by: None,
            expires_at: None,
            revoked_at: None,
            last_used_at: None,
        };
        tx.rows().insert_api_key(&key).await.unwrap();
    }

    async fn session(&mut self, world: &World<'_>, tx: &Tx, now: Timestamp) {
        let user = UserId(world.lister.id.parse().unwrap());
        let session = Session {
            id: SessionId(self.id()),
            user,
            client: "public".to_owned(),
            epoch: tx.rows().user(user).await.unwrap().unwrap().session_epoch,
            created_at: now,
            expires_at: now.after(Duration::from_secs(86_400)),
            ended_at: self.dice.chance(20).then_some(now),
            generation: 0,
            rotated_at: None,
            token_hash: None,
        };
        tx.rows().insert_session(&session).await.unwrap();
    }

    async fn event(&mut self, world: &World<'_>, tx: &Tx, now: Timestamp) {
        let near = [None, Some(world.home[0]), Some(world.home[1]), Some(*self.dice.pick(&world.organizations))];
        let line = AuditLine {
            id: EventId(self.id()),
            at: now,
            action: "SuspendUser".to_owned(),
            organization: *self.dice.pick(&near),
            actor: None,
            impersonator: None,
            target: None,
            outcome: Outcome::Done,
            reason: None,
            details: serde_json::json!({}),
            peer: None,
            request_id: None,
            trace_id: None,
        };
        tx.rows().append_audit(&[line]).await.unwrap();
    }
}
