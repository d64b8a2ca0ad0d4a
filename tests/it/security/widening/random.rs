//! No widening: whatever somebody calls, with their session or with the keys that they get, neither they nor what they
//! control may do afterwards what they could not do at the start; and what only restricted roles confer reaches nobody by
//! who may not assign those.
//!
//! The start is after a registration is complete: where codes alone admit, the actor has joined what it can. Left aside is
//! what the default roles and the restricted roles of the start confer and, unreserved, what the roles held at the start
//! let their holders assign, each at its reach and in its place ([`super::oracle`]). Whoever holds `escalate` is not
//! tried. An account that the actor registers is somebody else: what two people can do who plot together is not asked.

use std::collections::{BTreeMap, BTreeSet};

use countersign::grpc::access::Methods;
use countersign::grpc::pb;

use super::dice::Dice;
use super::moves::{Hands, mint, play};
use super::oracle::{Allowance, Held};
use super::world::{Realm, Template};
use crate::support::{Backend, Caller, TestApp, run};

const MOVES: usize = 16;
/// Most random calls are refused, which changes nothing: so many are tried for each one that is let through.
const TRIES: usize = 8;
/// Writing RPCs that give nobody anything here: those by a code that is mailed, the platform's own, and the one that frees
/// an address.
const NOT_PLAYED: [&str; 4] = ["VerifyEmail", "ResendVerification", "CreateRealm", "ClearTombstone"];
/// Services that change who holds what.
const PLAYED: [&str; 8] = [
    "RegistrationService",
    "ApprovalService",
    "UserService",
    "OrganizationService",
    "RoleService",
    "RoleAssignmentService",
    "ServiceAccountService",
    "RealmService",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_sequence_of_calls_widens_on_sqlite() {
    run(Backend::Sqlite, async |app: &TestApp| {
        let done = try_realms(app, 1..=90).await;
        let methods = Methods::read().unwrap();
        let played = |service: &str| PLAYED.iter().any(|name| service.ends_with(&format!(".{name}")));
        for (_, method) in methods.all().into_iter().filter(|(_, method)| method.writes) {
            let service = method.full_name.split('/').next().unwrap();
            if played(service) && !NOT_PLAYED.contains(&method.name) {
                assert!(done.contains_key(method.name), "{} was let through in no realm", method.name);
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_sequence_of_calls_widens_on_postgres() {
    run(Backend::Postgres, async |app: &TestApp| {
        let done = try_realms(app, 101..=140).await;
        assert!(done.len() > 25, "few kinds of calls were let through: {done:?}");
    })
    .await;
}

// tests/run --test it -- --ignored no_sequence_of_calls_widens_in_ten_thousand_realms
#[ignore = "takes an hour"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_sequence_of_calls_widens_in_ten_thousand_realms() {
    // A server for so many realms each, so that none grows without end.
    for part in 0..50 {
        let first = 1_000 + part * 200;
        run(Backend::Sqlite, async |app: &TestApp| drop(try_realms(app, first..first + 200).await)).await;
    }
}

/// Tries the realms of these seeds. Answers which RPCs were let through, and how often.
async fn try_realms(app: &TestApp, seeds: impl Iterator<Item = u64>) -> BTreeMap<&'static str, usize> {
    let template = Template::make(app).await;
    let mut done = BTreeMap::new();
    for seed in seeds {
        let (realm, widened) = try_realm(app, &template, seed, false).await;
        if let Some(widened) = widened {
            // Again, looking after each call: the one that widened is the last of the story.
            let story = try_realm(app, &template, seed, true).await.1.unwrap_or(widened);
            panic!("seed {seed}: {story}");
        }
        for (rpc, times) in realm.done {
            *done.entry(rpc).or_default() += times;
        }
    }
    done
}

/// Lets somebody try what they can in the realm of a seed. Answers how they, or somebody by them, gained.
async fn try_realm(app: &TestApp, template: &Template, seed: u64, closely: bool) -> (Realm, Option<String>) {
    let mut dice = Dice::new(seed);
    let mut realm = Realm::make(app, template, &format!("realm-{seed}-{closely}"), &mut dice).await;
    let Some((at, caller)) = realm.empower(app, &mut dice).await else { return (realm, None) };
    let mut attempt = Attempt::start(app, &realm, &mut dice, at, caller).await;
    let mut story = vec![];
    for number in 0..MOVES {
        let call = attempt.call(app, &mut realm, &mut dice, number).await;
        let called = call.is_some();
        story.extend(call);
        if (closely && called || number + 1 == MOVES)
            && let Some(gained) = attempt.gained(app, &realm, closely).await
        {
            return (realm, Some(format!("{gained} by\n  {}", story.join("\n  "))));
        }
    }
    (realm, None)
}

/// Somebody, what they control, and what all of that may do at the start.
struct Attempt {
    hands: Hands,
    id: String,
    start: Held,
    allowance: Allowance,
    /// What only restricted roles confer; nothing, if the actor may assign those.
    sealed: Vec<&'static str>,
    /// Everybody else, and which of the sealed they may come to hold.
    others: Vec<(String, BTreeSet<&'static str>)>,
}

impl Attempt {
    async fn start(app: &TestApp, realm: &Realm, dice: &mut Dice, at: usize, caller: Caller) -> Self {
        let person = &realm.people[at];
        let mut hands = vec![(person.handle.clone(), caller)];
        complete_registration(realm, &hands[0].1).await;
        control(app, realm, &mut hands).await;
        // Now and then somebody is kept out, and has the keys that they made.
        if hands.len() > 1 && dice.chance(30) {
            match dice.chance(50) {
                true => realm.portal.operator.suspend(&person.id, "kept out").await.map(drop).unwrap(),
                false => realm.portal.operator.block(&person.id, "kept out").await.map(drop).unwrap(),
            }
        }
        let start = held(realm, &person.id, &hands).await;
        let who: Vec<_> = hands.iter().map(|(who, _)| who.clone()).collect();
        let allowance = realm.allowance(at, &who, &start).await;
        let unseals = start.iter().any(|(permission, ..)| *permission == "countersign.roles.assign_restricted");
        let sealed = if unseals { vec![] } else { realm.sealed() };
        let mut others = vec![];
        for other in realm.people.iter().chain(&realm.services).filter(|other| !who.contains(&other.handle)) {
            let mut may = realm.held_of(&other.id, &sealed).await;
            may.extend(sealed.iter().filter(|permission| realm.let_hold(&other.handle, permission)));
            others.push((other.id.clone(), may));
        }
        Self { hands, id: person.id.clone(), start, allowance, sealed, others }
    }

    async fn call(&mut self, app: &TestApp, realm: &mut Realm, dice: &mut Dice, number: usize) -> Option<String> {
        for _ in 0..TRIES {
            if let Some(said) = play(app, realm, &mut self.hands, dice, number).await {
                return Some(said);
            }
        }
        None
    }

    /// What is beyond the start and what that leaves open.
    async fn gained(&mut self, app: &TestApp, realm: &Realm, closely: bool) -> Option<String> {
        let before = self.hands.clone();
        control(app, realm, &mut self.hands).await;
        let mut gained = held(realm, &self.id, &self.hands).await;
        gained.retain(|key| !self.start.contains(key) && !self.allowance.covers(key));
        if closely {
            // The keys that looking took are not the story's.
            self.hands = before;
        }
        if !gained.is_empty() {
            return Some(format!("{} gained {gained:?}", self.hands[0].0));
        }
        if self.sealed.is_empty() {
            return None;
        }
        for (other, may) in &self.others {
            let mut leaked = realm.held_of(other, &self.sealed).await;
            leaked.retain(|permission| !may.contains(permission));
            if !leaked.is_empty() {
                return Some(format!("{other} came to hold {leaked:?}, which only restricted roles conferred,"));
            }
        }
        None
    }
}

/// Where codes alone admit, all that the actor can join it has joined.
async fn complete_registration(realm: &Realm, actor: &Caller) {
    let policy = realm.portal.operator.realms().get_realm(pb::GetRealmRequest::default()).await.unwrap().into_inner();
    if policy.realm.unwrap().policy.unwrap().approval() == pb::ApprovalAuthority::None {
        for organization in &realm.organizations {
            drop(actor.join(&[("code", &organization.slug)]).await);
        }
    }
}

/// Gets a key of every service that one of the hands can get one of.
async fn control(app: &TestApp, realm: &Realm, hands: &mut Hands) {
    let mut tried = 0;
    while tried < hands.len() {
        let by = hands[tried].1.clone();
        tried += 1;
        for service in &realm.services {
            if !hands.iter().any(|(who, _)| *who == service.handle) {
                mint(app, hands, &by, &service.handle).await;
            }
        }
    }
}

async fn held(realm: &Realm, person: &str, hands: &Hands) -> Held {
    let mut held = realm.held(person).await;
    for service in &realm.services {
        if hands.iter().any(|(who, _)| *who == service.handle) {
            held.extend(realm.held(&service.id).await);
        }
    }
    held
}
