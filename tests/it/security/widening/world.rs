//! A random realm: two companies with people under managers, services, roles whose parts meet, and what everybody holds.
//!
//! Everything is made through the contract, by the operator. What a sequence of calls adds is kept here too.

use std::collections::BTreeSet;

use countersign::grpc::pb::{self, Reach};

use super::dice::Dice;
use super::roles::{ASKED, OWN, REACHES, WILD, anywhere, random_role};
use super::{company, create_service, open_door};
use crate::support::{At, Caller, Portal, Reachable as _, TestApp, grants, role};

/// What lets somebody change who holds what. Whoever tries the realm has some of it.
const LEVERS: [&str; 15] = [
    "countersign.users.read",
    "countersign.users.approve",
    "countersign.users.suspend",
    "countersign.users.update",
    "countersign.users.set_manager",
    "countersign.organizations.create",
    "countersign.organizations.suspend",
    "countersign.organizations.entitle",
    "countersign.organizations.add_members",
    "countersign.organizations.remove_members",
    "countersign.roles.assign",
    "countersign.roles.grant",
    "countersign.roles.define",
    "countersign.service_accounts.manage",
    "countersign.realm.configure",
];
const PEOPLE: [&str; 6] = [
    "ann@home.example",
    "ben@home.example",
    "cora@home.example",
    "dan@home.example",
    "eve@away.example",
    "fay@away.example",
];
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

/// What somebody may do: the permission by its name, where, and to whose things.
pub(super) type Held = BTreeSet<(&'static str, Where, Whose)>;

/// A person or a service, by its id and its address or name.
#[derive(Clone, Debug)]
pub(super) struct Principal {
    pub(super) id: String,
    pub(super) handle: String,
}

/// A random realm and what became of it.
pub(super) struct Realm {
    pub(super) portal: Portal,
    pub(super) people: Vec<Principal>,
    pub(super) services: Vec<Principal>,
    pub(super) roles: Vec<pb::CreateRoleRequest>,
    /// Slugs and ids; `home`, `away` and `blank` first.
    pub(super) organizations: Vec<(String, String)>,
    /// Who was ever given which role, by address or name.
    pub(super) given: BTreeSet<(String, String)>,
}

impl Realm {
    /// The realm of a seed, under a name of its own.
    pub(super) async fn make(app: &TestApp, name: &str, dice: &mut Dice) -> Self {
        let many = dice.chance(60);
        let belongs = if many { pb::OrganizationsPerUser::Many } else { pb::OrganizationsPerUser::One };
        let team = if dice.chance(60) { pb::TeamDepth::Chain } else { pb::TeamDepth::Direct };
        let policy = pb::Policy { organizations_per_user: belongs.into(), team: team.into(), ..open_door() };
        let portal = app.realm(name, policy).await;
        portal.declare(&OWN).await;
        let mut realm = Self {
            portal,
            people: vec![],
            services: vec![],
            roles: vec![],
            organizations: vec![],
            given: BTreeSet::new(),
        };
        realm.found(dice).await;
        realm.populate(dice, many).await;
        if dice.chance(50) {
            let approval = pb::ApprovalAuthority::Organization.into();
            realm.portal.decide(pb::Policy { approval, ..Default::default() }, &["approval"]).await;
        }
        realm
    }

    /// Companies and roles.
    async fn found(&mut self, dice: &mut Dice) {
        for slug in ["home", "away", "blank"] {
            self.organizations.push((slug.to_owned(), company(&self.portal, slug).await));
        }
        for at in 0..8 {
            let role = random_role(dice, &format!("r{at}"), &self.roles);
            if self.portal.operator.roles().create_role(role.clone()).await.is_ok() {
                self.roles.push(role);
            }
        }
    }

    async fn populate(&mut self, dice: &mut Dice, many: bool) {
        let operator = self.portal.operator.clone();
        for (at, email) in PEOPLE.into_iter().enumerate() {
            self.portal.stranger.register(email, email, &[]).await.unwrap();
            let id = operator.user(email).await.unwrap().id;
            if at > 0 && dice.chance(60) {
                let manager = dice.pick(&self.people).id.clone();
                operator.set_manager(&id, &manager).await.unwrap();
            }
            if many && dice.chance(20) {
                operator.add_member(["home", "away"][dice.below(2)], &id).await.unwrap();
            }
            self.people.push(Principal { id, handle: email.to_owned() });
        }
        for name in ["clerk", "robot"] {
            let organization = if dice.chance(50) { "home" } else { "" };
            let id = create_service(&operator, name, organization).await.unwrap();
            self.services.push(Principal { id, handle: name.to_owned() });
        }
        for who in PEOPLE.into_iter().chain(["clerk", "robot"]) {
            for _ in 0..dice.below(3) {
                let role = dice.pick(&self.roles).name.clone();
                let place = *dice.pick(&[At::Organization("home"), At::Organization("away"), At::Realm]);
                self.give(&operator, who, &role, place).await;
            }
        }
    }

    /// Gives a role and remembers it. Answers whether it was given.
    pub(super) async fn give(&mut self, by: &Caller, who: &str, role: &str, place: At<'_>) -> bool {
        let given = by.assign(who, role, place).await.is_ok();
        if given {
            self.given.insert((who.to_owned(), role.to_owned()));
        }
        given
    }

    /// Somebody who is going to try what they can, with levers of one profile on top of what they have. `None` for
    /// somebody who does not get in.
    pub(super) async fn empower(&mut self, app: &TestApp, dice: &mut Dice, round: usize) -> Option<(usize, Caller)> {
        let at = dice.below(self.people.len());
        let email = self.people[at].handle.clone();
        let reach = *dice.pick(&[Reach::All, Reach::All, Reach::All, Reach::Team]);
        let levers: Vec<_> = LEVERS.into_iter().filter(|_| dice.chance(65)).collect();
        let mut patterns = grants(reach, &levers);
        for own in OWN.into_iter().chain(WILD) {
            if dice.chance(25) {
                patterns.extend(grants(*dice.pick(&REACHES), &[own]));
            }
        }
        let names: Vec<_> = self.roles.iter().map(|role| role.name.clone()).collect();
        let lever = pb::CreateRoleRequest {
            grants: patterns,
            may_assign: if dice.chance(50) { dice.few(&names, 2) } else { vec![] },
            assignable: Some(anywhere()),
            ..role(&format!("lever{round}"))
        };
        let operator = self.portal.operator.clone();
        operator.roles().create_role(lever.clone()).await.unwrap();
        let name = lever.name.clone();
        self.roles.push(lever);
        let home = if at < 4 { "home" } else { "away" };
        let place = if dice.chance(60) { At::Organization(home) } else { At::Realm };
        self.give(&operator, &email, &name, place).await;
        for _ in 0..2 {
            let other = dice.pick(&self.roles).name.clone();
            self.give(&operator, &email, &other, place).await;
        }
        let token = self.portal.stranger.sign_in(&email).await.ok()?;
        Some((at, app.as_token(&token)))
    }

    /// What a principal may do. A service's own things stand for everybody's: only ALL lets somebody give it OWN.
    pub(super) async fn held(&self, principal: &str) -> Held {
        let mut asked = vec![];
        for permission in ASKED {
            for (place, organization) in self.places() {
                for (whose, owner) in self.owners(principal) {
                    asked.push(((permission, place, whose), organization.clone(), owner));
                }
            }
        }
        let mut held = Held::new();
        // A batch has at most 1,000 items.
        for part in asked.chunks(1000) {
            let items = part.iter().map(|((permission, ..), organization, owner)| pb::BatchCheckItem {
                permission: (*permission).to_owned(),
                organization: organization.clone(),
                owner: owner.clone(),
                ..Default::default()
            });
            let request = pb::BatchCheckPermissionsRequest {
                subject: Some(pb::batch_check_permissions_request::Subject::Principal(principal.to_owned())),
                items: items.collect(),
                ..Default::default()
            };
            let answer = self.portal.operator.authorization().batch_check_permissions(request).await.unwrap();
            for (result, (key, ..)) in answer.into_inner().results.iter().zip(part) {
                if result.outcome == Some(pb::batch_check_result::Outcome::Decision(pb::Decision::Allowed.into())) {
                    held.insert(*key);
                }
            }
        }
        held
    }

    fn places(&self) -> Vec<(Where, String)> {
        let place = |at| match at {
            0 => Where::Home,
            1 => Where::Away,
            _ => Where::Blank,
        };
        let somewhere = self.organizations.iter().enumerate().map(|(at, (_, id))| (place(at), id.clone()));
        somewhere.chain([(Where::Nowhere, String::new())]).collect()
    }

    fn owners(&self, principal: &str) -> Vec<(Whose, String)> {
        let people = self.people.iter().enumerate().map(|(at, person)| (Whose::Person(at), person.id.clone()));
        let itself = (!self.people.iter().any(|person| person.id == principal)).then(|| principal.to_owned());
        people.chain([(Whose::Nobody, String::new())]).chain(itself.map(|id| (Whose::Nobody, id))).collect()
    }
}
