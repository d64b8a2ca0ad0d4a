//! What a change does while it holds its realm's row does not grow with what is there: counted in statements, in an
//! organization of a few people and in one of many.

use std::collections::BTreeMap;
use std::time::Duration;

use countersign::app::clock::Clock;
use countersign::crypto::random_mark;
use countersign::domain::account::{Approval, ApprovalState, User, Verified, VerifiedHow};
use countersign::domain::entry::{EntryRow, Origin};
use countersign::domain::ids::{EntryId, OrganizationId, RoleId, UserId};
use countersign::domain::organization::Member;
use countersign::domain::snapshot::{Confers, Entry, MembershipState, Scope, Window};
use countersign::grpc::pb::{self, Policy, Reach};
use countersign::store::{Lock, NewUser, TxRows};
use tonic::Code;

use crate::support::{
    At, Caller, Person, Portal, Reachable as _, TestApp, both_backends, grants, refusal, role, within,
};

const FEW: usize = 3;
const MANY: usize = 120;
/// What runs beside the calls sends statements too.
const BESIDE: u64 = 12;

both_backends!(a_change_under_the_lock_asks_no_more_of_many_members_than_of_few, async |app: &TestApp| {
    let yard = Yard::open(app).await;
    let few = yard.company(app, "few", FEW).await;
    let many = yard.company(app, "many", MANY).await;
    let ann = &yard.ann.caller;
    for (what, of_few, of_many) in [
        ("block", yard.blocks(app, &few).await, yard.blocks(app, &many).await),
        ("suspend", yard.suspends(app, &few).await, yard.suspends(app, &many).await),
        ("revoke", yard.revokes(app, &few).await, yard.revokes(app, &many).await),
        ("set manager", yard.moves(app, &few).await, yard.moves(app, &many).await),
    ] {
        assert!(of_many <= of_few + BESIDE, "{what}: {of_many} statements of many, {of_few} of few");
    }
    let deletes = async |company: &Company| {
        spent(app, async || drop(ann.delete_led_by(&company.leader, &company.chief).await.unwrap())).await
    };
    let (of_few, of_many) = (deletes(&few).await, deletes(&many).await);
    assert!(of_many <= of_few + BESIDE, "delete: {of_many} statements of many, {of_few} of few");
    let led = pb::ListUsersRequest { manager: many.chief.clone(), page_size: 1_000, ..Default::default() };
    assert_eq!(ann.list(led).await.unwrap().len(), MANY);
});

both_backends!(the_last_who_can_assign_is_kept_however_many_only_look_like_it, async |app: &TestApp| {
    let yard = Yard::open(app).await;
    let company = yard.company(app, "many", MANY).await;
    // The other administrator alone is left: the rest have the role and have proven no address.
    let hand = yard.hand(app, "many").await;
    yard.portal.operator.revoke(&yard.ann.email, "administrator", At::Organization("many")).await.unwrap();
    let refused = refusal(hand.suspend(&company.other, "leaves").await);
    assert_eq!(refused, (Code::FailedPrecondition, pb::ErrorReason::WouldOrphan));
    yard.portal.alter(app, &company.deputies[MANY - 1], |user| user.verified = verified(app)).await;
    hand.suspend(&company.other, "leaves").await.unwrap();
});

both_backends!(the_thousandth_entry_costs_what_the_first_did, async |app: &TestApp| {
    let yard = Yard::open(app).await;
    let company = yard.company(app, "few", FEW).await;
    let first = yard.assigning(&company.other, 0..20).await;
    yard.hold(app, &company.other, 960).await;
    let last = yard.assigning(&company.other, 20..38).await;
    assert!(last <= first.mul_f64(1.5), "{first:?} at first, {last:?} in the end");
});

pub(crate) struct Yard {
    portal: Portal,
    /// Administers every company, and nothing beyond.
    pub(crate) ann: Person,
}

/// A company of many who hold the administrators' role and have not proven their address, led by one person.
pub(crate) struct Company {
    slug: String,
    /// The other administrator.
    pub(crate) other: String,
    deputies: Vec<String>,
    leader: String,
    chief: String,
}

impl Yard {
    pub(crate) async fn open(app: &TestApp) -> Self {
        let policy = Policy {
            self_registration: pb::SelfRegistration::Open.into(),
            approval: pb::ApprovalAuthority::Realm.into(),
            organizations_per_user: pb::OrganizationsPerUser::Many.into(),
            base_url: "https://yard.example".to_owned(),
            ..Default::default()
        };
        let portal = app.realm("yard", policy).await;
        let all = ["countersign.users.*", "countersign.roles.assign", "countersign.roles.read"];
        let administrator = pb::CreateRoleRequest {
            grants: grants(Reach::All, &all),
            assignable: Some(within(&[])),
            ..role("administrator")
        };
        let opens =
            pb::CreateRoleRequest { assignable: Some(within(&[])), resource_type: "door".into(), ..role("opens") };
        portal.define([administrator, opens]).await;
        let ann = portal.person(app, "ann@yard.example", &[], &[]).await;
        Self { portal, ann }
    }

    pub(crate) async fn company(&self, app: &TestApp, slug: &str, size: usize) -> Company {
        let request = pb::CreateOrganizationRequest { slug: slug.into(), title: slug.into(), ..Default::default() };
        let organization = OrganizationId(self.portal.organization(request).await.parse().unwrap());
        self.portal.operator.add_member(slug, &self.ann.email).await.unwrap();
        self.portal.operator.assign(&self.ann.email, "administrator", At::Organization(slug)).await.unwrap();
        let store = app.inner().app.store();
        let realm = store.realm_named("yard").await.unwrap().unwrap().id;
        let tx = store.begin(realm, Lock::Realm).await.unwrap();
        let rows = tx.rows();
        let administrator = rows.roles().await.unwrap().iter().find(|role| role.name == "administrator").unwrap().id;
        let seeds = Seeds { app, rows, organization, slug };
        let chief = seeds.person("chief", None, true).await;
        let leader = seeds.person("leader", None, true).await;
        let other = seeds.person("other", None, true).await;
        seeds.entry(&other, administrator).await;
        let mut deputies = vec![];
        for n in 0..size {
            let deputy = seeds.person(&format!("deputy-{n}"), Some(leader.id), false).await;
            seeds.entry(&deputy, administrator).await;
            deputies.push(deputy.email);
        }
        tx.commit(vec![], random_mark(), app.clock().now()).await.unwrap();
        let [chief, leader, other] = [chief, leader, other].map(|user| user.email);
        Company { slug: slug.to_owned(), other, deputies, leader, chief }
    }

    /// A service account of the company that administers it, and counts for nobody who could.
    async fn hand(&self, app: &TestApp, slug: &str) -> Caller {
        let services = self.portal.operator.service_accounts();
        let account =
            pb::CreateServiceAccountRequest { name: "hand".into(), organization: slug.into(), ..Default::default() };
        services.clone().create_service_account(account).await.unwrap();
        let key = pb::CreateApiKeyRequest { service_account: "hand".into(), ..Default::default() };
        let key = services.clone().create_api_key(key).await.unwrap().into_inner().secret;
        self.portal.operator.assign("hand", "administrator", At::Organization(slug)).await.unwrap();
        app.as_key(&key)
    }

    /// Takes Ann out of a company.
    pub(crate) async fn leave(&self, slug: &str) {
        let request =
            pb::RemoveMemberRequest { organization: slug.into(), user: self.ann.email.clone(), ..Default::default() };
        self.portal.operator.organizations().remove_member(request).await.unwrap();
    }

    async fn blocks(&self, app: &TestApp, company: &Company) -> u64 {
        let ann = &self.ann.caller;
        let block = async || drop(ann.block(&company.other, "why").await.unwrap());
        least(app, block, async || drop(ann.unblock(&company.other).await.unwrap())).await
    }

    async fn suspends(&self, app: &TestApp, company: &Company) -> u64 {
        let ann = &self.ann.caller;
        let suspend = async || drop(ann.suspend(&company.other, "why").await.unwrap());
        least(app, suspend, async || drop(ann.reinstate(&company.other).await.unwrap())).await
    }

    async fn revokes(&self, app: &TestApp, company: &Company) -> u64 {
        let (ann, there) = (&self.ann.caller, At::Organization(&company.slug));
        let revoke = async || assert_eq!(ann.revoke(&company.other, "administrator", there).await.unwrap(), 1);
        least(app, revoke, async || drop(ann.assign(&company.other, "administrator", there).await.unwrap())).await
    }

    async fn moves(&self, app: &TestApp, company: &Company) -> u64 {
        let ann = &self.ann.caller;
        let below = async || drop(ann.set_manager(&company.leader, &company.chief).await.unwrap());
        least(app, below, async || drop(ann.set_manager(&company.leader, "").await.unwrap())).await
    }

    /// What the quickest of these assignments took.
    async fn assigning(&self, principal: &str, doors: std::ops::Range<usize>) -> Duration {
        let mut quickest = Duration::MAX;
        for door in doors {
            let (began, door) = (Clock::elapsed(), door.to_string());
            let on = Some(("door", door.as_str()));
            self.ann.caller.assign_on(principal, "opens", At::Organization("few"), on).await.unwrap();
            quickest = quickest.min(Clock::elapsed() - began);
        }
        quickest
    }

    /// Has somebody hold so many entries more.
    async fn hold(&self, app: &TestApp, email: &str, count: usize) {
        let store = app.inner().app.store();
        let realm = store.realm_named("yard").await.unwrap().unwrap().id;
        let tx = store.begin(realm, Lock::Realm).await.unwrap();
        let rows = tx.rows();
        let principal = rows.user_by_identity(email).await.unwrap().unwrap();
        let opens = rows.roles().await.unwrap().iter().find(|role| role.name == "opens").unwrap().id;
        let organization = rows.organization_by_slug("few").await.unwrap().unwrap().id;
        let seeds = Seeds { app, rows, organization, slug: "few" };
        for door in 0..count {
            seeds.entry_on(&principal, opens, Some(&format!("seeded-{door}"))).await;
        }
        tx.commit(vec![], random_mark(), app.clock().now()).await.unwrap();
    }
}

struct Seeds<'a> {
    app: &'a TestApp,
    rows: TxRows<'a>,
    organization: OrganizationId,
    slug: &'a str,
}

impl Seeds<'_> {
    async fn person(&self, name: &str, manager: Option<UserId>, proven: bool) -> User {
        let now = self.app.clock().now();
        let email = format!("{name}@{}.example", self.slug);
        let user = User {
            id: UserId(self.app.clock().new_id()),
            identity: email.clone(),
            email,
            display_name: name.to_owned(),
            approval: Approval::decided(ApprovalState::Approved, now, None, None),
            holds: vec![],
            verified: proven.then(|| verified(self.app)).flatten(),
            deleted_at: None,
            deleted_by: None,
            valid_from: None,
            valid_until: None,
            password_set: false,
            password_must_change: false,
            session_epoch: 0,
            manager,
            version: 1,
            created_at: now,
            last_sign_in_at: None,
            registrations: 1,
        };
        self.rows.insert_user(NewUser { user: &user, password_hash: None }).await.unwrap();
        let member = Member {
            user: user.id,
            organization: self.organization,
            state: MembershipState::Active,
            attributes: BTreeMap::new(),
            created_at: now,
            decided_at: Some(now),
            decided_by: None,
        };
        self.rows.save_membership(&member).await.unwrap();
        user
    }

    async fn entry(&self, user: &User, role: RoleId) {
        self.entry_on(user, role, None).await;
    }

    async fn entry_on(&self, user: &User, role: RoleId, door: Option<&str>) {
        let resource =
            door.map(|id| Box::new(countersign::domain::snapshot::Resource { kind: "door".into(), id: id.into() }));
        let entry = Entry {
            id: EntryId(self.app.clock().new_id()),
            confers: Confers::Role(role),
            scope: Scope::Organization(self.organization),
            resource,
            window: Window::ALWAYS,
        };
        let now = self.app.clock().now();
        let row =
            EntryRow { principal: user.id.into(), entry, assigned_by: None, assigned_at: now, origin: Origin::Actor };
        self.rows.insert_entry(&row).await.unwrap();
    }
}

fn verified(app: &TestApp) -> Option<Verified> {
    Some(Verified { at: app.clock().now(), how: VerifiedHow::Link })
}

/// The statements of a call, the fewest of a few times; `back` takes it back.
pub(crate) async fn least(app: &TestApp, call: impl AsyncFn(), back: impl AsyncFn()) -> u64 {
    let mut least = u64::MAX;
    for _ in 0..3 {
        least = least.min(spent(app, &call).await);
        back().await;
    }
    least
}

async fn spent(app: &TestApp, call: impl AsyncFnOnce()) -> u64 {
    let store = app.inner().app.store();
    let before = store.statements();
    call().await;
    store.statements() - before
}
