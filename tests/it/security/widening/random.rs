//! No widening: whatever somebody calls, with their session or with the keys that they get, neither they nor what they
//! control may do afterwards what they could not do at the start.
//!
//! The start is after a registration is complete. Left aside is what the policy's default roles confer, and the
//! unreserved part of what the roles held at the start let their holders assign. Whoever holds `assign_restricted` or
//! `escalate` is not tried: those are exceptions by declaration.

use std::collections::BTreeSet;

use super::dice::Dice;
use super::moves::{Hands, mint, play};
use super::roles::OWN;
use super::world::{Held, Realm};
use crate::support::{Backend, Caller, TestApp, run};

const ROUNDS: usize = 3;
const MOVES: usize = 15;
/// Most random calls are refused, which changes nothing: so many are tried for each one that is let through.
const TRIES: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_sequence_of_calls_widens_on_sqlite() {
    run(Backend::Sqlite, async |app: &TestApp| try_realms(app, 1..=32).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_sequence_of_calls_widens_on_postgres() {
    run(Backend::Postgres, async |app: &TestApp| try_realms(app, 101..=104).await).await;
}

async fn try_realms(app: &TestApp, seeds: impl Iterator<Item = u64>) {
    for seed in seeds {
        if let Some(widened) = try_realm(app, seed, false).await {
            // Again, looking after each call: the one that widened is the last of the story.
            let story = try_realm(app, seed, true).await.unwrap_or(widened);
            panic!("seed {seed}: {story}");
        }
    }
}

/// Lets a few people try what they can in the realm of a seed, one after the other. Answers how one of them gained.
async fn try_realm(app: &TestApp, seed: u64, closely: bool) -> Option<String> {
    let mut dice = Dice::new(seed);
    let mut realm = Realm::make(app, &format!("realm-{seed}-{closely}"), &mut dice).await;
    for round in 0..ROUNDS {
        let Some((at, caller)) = realm.empower(app, &mut dice, round).await else { continue };
        let mut attempt = Attempt::start(app, &realm, at, caller).await;
        let mut story = vec![];
        for number in 0..MOVES {
            let call = attempt.call(app, &mut realm, &mut dice, round * MOVES + number).await;
            let called = call.is_some();
            story.extend(call);
            if (closely && called || number + 1 == MOVES)
                && let Some(gained) = attempt.gained(app, &realm, closely).await
            {
                let story = story.join("\n  ");
                return Some(format!("{} gained {gained:?} by\n  {story}", attempt.hands[0].0));
            }
        }
    }
    None
}

/// Somebody, what they control, and what all of that may do at the start.
struct Attempt {
    hands: Hands,
    id: String,
    start: Held,
    allowance: BTreeSet<&'static str>,
}

impl Attempt {
    async fn start(app: &TestApp, realm: &Realm, at: usize, caller: Caller) -> Self {
        // What an earlier attempt retired, and this one declares again, is no gain.
        realm.portal.declare(&OWN).await;
        let person = &realm.people[at];
        let hands = vec![(person.handle.clone(), caller)];
        let mut attempt = Self { hands, id: person.id.clone(), start: Held::new(), allowance: BTreeSet::new() };
        attempt.control(app, realm).await;
        attempt.start = attempt.held(realm).await;
        let who: Vec<_> = attempt.hands.iter().map(|(who, _)| who.clone()).collect();
        attempt.allowance = realm.allowance(&who);
        attempt
    }

    async fn call(&mut self, app: &TestApp, realm: &mut Realm, dice: &mut Dice, number: usize) -> Option<String> {
        for _ in 0..TRIES {
            if let Some(said) = play(app, realm, &mut self.hands, dice, number).await {
                return Some(said);
            }
        }
        None
    }

    /// Gets a key of every service that it can get one of.
    async fn control(&mut self, app: &TestApp, realm: &Realm) {
        let mut tried = 0;
        while tried < self.hands.len() {
            let by = self.hands[tried].1.clone();
            tried += 1;
            for service in &realm.services {
                if !self.hands.iter().any(|(who, _)| *who == service.handle) {
                    mint(app, &mut self.hands, &by, &service.handle).await;
                }
            }
        }
    }

    async fn held(&self, realm: &Realm) -> Held {
        let mut held = realm.held(&self.id).await;
        for service in &realm.services {
            if self.hands.iter().any(|(who, _)| *who == service.handle) {
                held.extend(realm.held(&service.id).await);
            }
        }
        held
    }

    /// What is beyond the start and what that leaves open.
    async fn gained(&mut self, app: &TestApp, realm: &Realm, closely: bool) -> Option<Held> {
        let before = self.hands.clone();
        self.control(app, realm).await;
        let mut gained = self.held(realm).await;
        gained.retain(|key| !self.start.contains(key) && !self.allowance.contains(key.0));
        if closely {
            // The keys that looking took are not the story's.
            self.hands = before;
        }
        (!gained.is_empty()).then_some(gained)
    }
}
