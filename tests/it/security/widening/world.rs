//! A random realm: companies and a partner, people under managers, services, roles whose parts meet, and what everybody
//! holds.
//!
//! People are planted into the database, all with one password; the rest is made through the contract, by the operator.
//! What a sequence of calls adds is kept here too.

use std::collections::{BTreeMap, BTreeSet};

use countersign::crypto::random_mark;
use countersign::domain::account::{Approval, ApprovalState, User, Verified, VerifiedHow};
use countersign::domain::change::Key;
use countersign::domain::ids::{OrganizationId, UserId};
use countersign::domain::organization::Member;
use countersign::domain::snapshot::MembershipState;
use countersign::grpc::pb::{self, Reach};
use countersign::store::{Lock, NewUser};

use super::create_service;
use super::dice::Dice;
use super::roles::{OWN, REACHES, SEALED, WILD, anywhere, random_role};
use crate::support::{At, Caller, Portal, Reachable as _, TestApp, grants, identifiers, role};

/// What lets somebody change who holds what. Whoever tries the realm has some of it.
const LEVERS: [&str; 21] = [
    "countersign.users.read",
    "countersign.users.approve",
    "countersign.users.suspend",
    "countersign.users.block",
    "countersign.users.update",
    "countersign.users.delete",
    "countersign.users.restore",
    "countersign.users.verify_email",
    "countersign.users.set_manager",
    "countersign.organizations.create",
    "countersign.organizations.suspend",
    "countersign.organizations.entitle",
    "countersign.organizations.identify",
    "countersign.organizations.update",
    "countersign.organizations.add_members",
    "countersign.organizations.remove_members",
    "countersign.roles.assign",
    "countersign.roles.grant",
    "countersign.roles.define",
    "countersign.service_accounts.manage",
    "countersign.realm.configure",
];
/// Who is in `home`, and the last one in `away`.
const PEOPLE: [&str; 5] =
    ["ann@home.example", "ben@home.example", "cora@home.example", "dan@home.example", "eve@away.example"];

/// Where something is asked. Organizations that came later are compared with one that nobody has anything in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Where {
    Home,
    Away,
    Blank,
    Nowhere,
}

/// Whose.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Whose {
    Nobody,
    /// By number in [`Realm::people`].
    Person(usize),
}

/// A person or a service, by its id and its address or name.
#[derive(Clone, Debug)]
pub(super) struct Principal {
    pub(super) id: String,
    pub(super) handle: String,
}

#[derive(Clone, Debug)]
pub(super) struct Organization {
    /// Its code, too.
    pub(super) slug: String,
    pub(super) id: String,
}

/// A role that somebody was given: who, by address or name; the role; the slug, nothing for the whole realm.
type Given = (String, String, Option<String>);

/// Somebody who registered, whose account all others are planted after.
pub(super) struct Template {
    user: User,
    hash: String,
}

impl Template {
    pub(super) async fn make(app: &TestApp) -> Self {
        let email = "template@home.example";
        let policy = pb::Policy { self_registration: pb::SelfRegistration::Open.into(), ..Default::default() };
        let portal = app.realm("template", policy).await;
        portal.stranger.register(email, "Somebody", &[]).await.unwrap();
        let store = app.inner().app.store();
        let realm = store.realm_named("template").await.unwrap().unwrap().id;
        let found = store.rows(realm).credentials(email).await.unwrap().unwrap();
        Self { user: found.user, hash: found.password_hash.unwrap() }
    }
}

/// A random realm and what became of it.
pub(super) struct Realm {
    pub(super) portal: Portal,
    pub(super) people: Vec<Principal>,
    /// Those who registered on the way.
    pub(super) newcomers: Vec<String>,
    pub(super) services: Vec<Principal>,
    pub(super) roles: Vec<pb::CreateRoleRequest>,
    /// `home`, `away` and `blank` first; the last one is a partner.
    pub(super) organizations: Vec<Organization>,
    pub(super) given: BTreeSet<Given>,
    /// What somebody tried to grant.
    pub(super) granted: Vec<pb::GrantPermissionRequest>,
    /// Which RPCs were let through, and how often.
    pub(super) done: BTreeMap<&'static str, usize>,
}

impl Realm {
    /// The realm of a seed, under a name of its own.
    pub(super) async fn make(app: &TestApp, template: &Template, name: &str, dice: &mut Dice) -> Self {
        let many = dice.chance(75);
        let belongs = if many { pb::OrganizationsPerUser::Many } else { pb::OrganizationsPerUser::One };
        let team = if dice.chance(60) { pb::TeamDepth::Chain } else { pb::TeamDepth::Direct };
        let approvals = [
            pb::ApprovalAuthority::None,
            pb::ApprovalAuthority::None,
            pb::ApprovalAuthority::Organization,
            pb::ApprovalAuthority::Organization,
            pb::ApprovalAuthority::Realm,
        ];
        let kind = |name: &str| pb::Kind { name: name.to_owned(), exclusive: false };
        let policy = pb::Policy {
            self_registration: pb::SelfRegistration::Open.into(),
            email_verification: pb::EmailVerificationRule::Optional.into(),
            organizations_per_user: belongs.into(),
            team: team.into(),
            approval: (*dice.pick(&approvals)).into(),
            kinds: vec![kind("company"), kind("partner")],
            code_schemes: vec![pb::CodeScheme {
                name: "code".to_owned(),
                format: pb::CodeFormat::Text.into(),
                unique: true,
            }],
            ..Default::default()
        };
        let portal = app.realm(name, policy).await;
        portal.declare(&OWN).await;
        let mut realm = Self {
            portal,
            people: vec![],
            newcomers: vec![],
            services: vec![],
            roles: vec![],
            organizations: vec![],
            given: BTreeSet::new(),
            granted: vec![],
            done: BTreeMap::new(),
        };
        realm.found(dice).await;
        realm.plant(app, template, dice).await;
        realm.populate(dice, many).await;
        realm
    }

    /// Companies, a partner, and roles.
    async fn found(&mut self, dice: &mut Dice) {
        for (slug, kind) in [("home", "company"), ("away", "company"), ("blank", "partner")] {
            let request = pb::CreateOrganizationRequest {
                slug: slug.to_owned(),
                title: slug.to_owned(),
                kind: kind.to_owned(),
                identifiers: identifiers(&[("code", slug)]),
                ..Default::default()
            };
            let id = self.portal.organization(request).await;
            self.organizations.push(Organization { slug: slug.to_owned(), id });
        }
        // What nobody else confers, in half of the realms.
        let sealed = dice.chance(50);
        if sealed {
            let grants = grants(Reach::All, &[SEALED]);
            let sealed =
                pb::CreateRoleRequest { grants, restricted: true, assignable: Some(anywhere()), ..role("sealed") };
            self.define(sealed).await;
        }
        for at in 0..7 {
            let mut role = random_role(dice, &format!("r{at}"), &self.roles);
            if sealed {
                role.grants.retain(|grant| grant.pattern != SEALED && grant.pattern != "*");
            }
            self.define(role).await;
        }
    }

    /// A role by the operator, unless its parts don't meet.
    pub(super) async fn define(&mut self, role: pb::CreateRoleRequest) {
        if self.portal.operator.roles().create_role(role.clone()).await.is_ok() {
            self.roles.push(role);
        }
    }

    /// People, each with a manager or none: hashing a password for each would take longer than all else.
    async fn plant(&mut self, app: &TestApp, template: &Template, dice: &mut Dice) {
        let inner = &app.inner().app;
        let realm = inner.store().realm_named(&self.portal.name).await.unwrap().unwrap().id;
        let tx = inner.store().begin(realm, Lock::Realm).await.unwrap();
        let now = app.clock().now();
        let mut planted: Vec<UserId> = vec![];
        for (at, email) in PEOPLE.into_iter().enumerate() {
            let id = UserId(app.clock().new_id());
            let manager = (at > 0 && dice.chance(60)).then(|| *dice.pick(&planted));
            let user = User {
                manager,
                verified: Some(Verified { at: now, how: VerifiedHow::Link }),
                approval: Approval::decided(ApprovalState::Approved, now, None, None),
                id,
                email: email.to_owned(),
                identity: email.to_owned(),
                ..template.user.clone()
            };
            tx.rows().insert_user(NewUser { user: &user, password_hash: Some(&template.hash) }).await.unwrap();
            let home = if at < 4 { 0 } else { 1 };
            let member = Member {
                user: id,
                organization: OrganizationId(self.organizations[home].id.parse().unwrap()),
                state: MembershipState::Active,
                attributes: BTreeMap::new(),
                created_at: now,
                decided_at: Some(now),
                decided_by: None,
            };
            tx.rows().save_membership(&member).await.unwrap();
            planted.push(id);
            self.people.push(Principal { id: id.to_string(), handle: email.to_owned() });
        }
        let stale = planted.iter().map(|id| Key::Principal((*id).into())).collect();
        let committed = tx.commit(stale, random_mark(), now).await.unwrap();
        inner.snapshots().committed(&committed).await;
    }

    async fn populate(&mut self, dice: &mut Dice, many: bool) {
        let operator = self.portal.operator.clone();
        if many && dice.chance(60) {
            let (who, slug) = (dice.pick(&self.people).id.clone(), ["home", "away", "blank"][dice.below(3)]);
            operator.add_member(slug, &who).await.unwrap();
        }
        for name in ["clerk", "robot"] {
            let organization = if dice.chance(40) { "home" } else { "" };
            let id = create_service(&operator, name, organization).await.unwrap();
            self.services.push(Principal { id, handle: name.to_owned() });
        }
        for who in PEOPLE.into_iter().chain(["clerk", "robot"]) {
            if dice.chance(60) {
                let role = dice.pick(&self.roles).name.clone();
                let place = [Some("home"), Some("away"), None][dice.below(3)];
                self.give(&operator, who, &role, place).await;
            }
        }
    }

    /// Gives a role and remembers it. Answers whether it was given.
    pub(super) async fn give(&mut self, by: &Caller, who: &str, role: &str, place: Option<&str>) -> bool {
        let given = by.assign(who, role, place.map_or(At::Realm, At::Organization)).await.is_ok();
        if given {
            self.given.insert((who.to_owned(), role.to_owned(), place.map(str::to_owned)));
        }
        given
    }

    /// Somebody who is going to try what they can, with levers of one profile on top of what they have; now and then with
    /// a service that has the same, or with a role that waits for a membership of the kind. `None` for somebody who does
    /// not get in.
    pub(super) async fn empower(&mut self, app: &TestApp, dice: &mut Dice) -> Option<(usize, Caller)> {
        let at = dice.below(self.people.len());
        let email = self.people[at].handle.clone();
        let reach = *dice.pick(&[Reach::All, Reach::All, Reach::All, Reach::Team]);
        let mut levers: Vec<_> = LEVERS.into_iter().filter(|_| dice.chance(65)).collect();
        if dice.chance(35) {
            levers.push("countersign.roles.assign_restricted");
        }
        let mut patterns = grants(reach, &levers);
        for own in OWN.into_iter().filter(|own| *own != SEALED).chain(WILD) {
            if dice.chance(20) && own != "*" {
                patterns.extend(grants(*dice.pick(&REACHES), &[own]));
            }
        }
        let names: Vec<_> = self.roles.iter().map(|role| role.name.clone()).collect();
        let lever = pb::CreateRoleRequest {
            grants: patterns,
            may_assign: if dice.chance(40) { dice.few(&names, 2) } else { vec![] },
            assignable: Some(anywhere()),
            ..role("lever")
        };
        let operator = self.portal.operator.clone();
        operator.roles().create_role(lever.clone()).await.unwrap();
        self.roles.push(lever);
        let home = if at < 4 { "home" } else { "away" };
        let place = if dice.chance(50) { Some(home) } else { None };
        self.give(&operator, &email, "lever", place).await;
        for _ in 0..2 {
            let other = dice.pick(&self.roles).name.clone();
            self.give(&operator, &email, &other, place).await;
        }
        if dice.chance(50) {
            self.give(&operator, ["clerk", "robot"][dice.below(2)], "lever", place).await;
        }
        if dice.chance(40) {
            self.strand(&operator, &email).await;
        }
        let token = self.portal.stranger.sign_in(&email).await.ok()?;
        Some((at, app.as_token(&token)))
    }

    /// Leaves somebody with a role that confers among partners alone, and makes them none.
    async fn strand(&mut self, operator: &Caller, email: &str) {
        let mut assignable = anywhere();
        assignable.kinds = vec!["partner".to_owned()];
        let grants = grants(Reach::All, &["reports.read", "countersign.audit.read"]);
        self.define(pb::CreateRoleRequest { grants, assignable: Some(assignable), ..role("partner") }).await;
        if operator.add_member("blank", email).await.is_ok() {
            self.give(operator, email, "partner", None).await;
            let request = pb::RemoveMemberRequest {
                organization: "blank".to_owned(),
                user: email.to_owned(),
                ..Default::default()
            };
            operator.organizations().remove_member(request).await.unwrap();
        }
    }
}
