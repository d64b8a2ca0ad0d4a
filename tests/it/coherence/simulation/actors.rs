//! Who acts: writers, checkers, tails, and time.

use std::sync::Arc;

use countersign::cache::{Freshness, GATHER_AGAIN, Miss, Snapshots};
use countersign::domain::change::{Committed, Key};
use countersign::domain::ids::{OrganizationId, PrincipalId, Revision};
use countersign::domain::realm::Position;
use countersign::domain::workload::Presented;
use uuid::Uuid;

use super::world::{Acknowledged, REALM, SECOND, Wire, World};

/// How often a replica reads the log: 100 ms.
const TAIL_PERIOD: u64 = 20;

/// One process with its cache.
#[derive(Clone)]
pub(super) struct Replica {
    pub(super) number: usize,
    pub(super) world: Arc<World>,
    pub(super) snapshots: Arc<Snapshots<Wire>>,
}

/// What a check gathered: facts, all of them of one revision.
struct Seen {
    revision: Revision,
    facts: Vec<(Key, i64)>,
}

/// Lets the clock go on until the end, and, if this is such a world, the newest changes be lost once.
pub(super) async fn time_passes(world: Arc<World>) {
    let lost_at = if world.weather.failover { 100 + world.roll(200) } else { u64::MAX };
    while !world.over() {
        tokio::task::yield_now().await;
        world.tick();
        if world.now() == lost_at {
            let changes = 1 + world.roll(5);
            world.record().lose(i64::try_from(changes).unwrap(), lost_at);
        }
    }
}

impl Replica {
    /// Makes changes. Each is applied here, or has this replica look at the log, before anybody is told.
    pub(super) async fn writes(self) {
        while !self.world.over() {
            self.world.pause(1 + self.world.roll(60)).await;
            match self.world.roll(10) {
                0 => self.repeats().await,
                1 => self.loses_the_outcome().await,
                2 => self.is_cancelled_after_the_commit().await,
                _ => self.changes().await,
            }
        }
    }

    async fn changes(&self) {
        let Some(change) = self.commits().await else { return };
        // The way from the commit to its application is short, most of the time.
        let late = if self.world.roll(5) == 0 { self.world.roll(40) } else { self.world.roll(2) };
        self.world.pause(late).await;
        self.snapshots.committed(&change).await;
        self.acknowledges(change.position, &change.keys);
    }

    /// A call that changes nothing, because somebody had made the change before, here or elsewhere.
    async fn repeats(&self) {
        let before = self.world.record().position;
        self.world.pause(self.world.roll(3)).await;
        let seen = Committed { realm: REALM, position: before, before, keys: vec![] };
        self.snapshots.committed(&seen).await;
        self.acknowledges(before, &keys());
    }

    /// The connection broke at the commit: the change was made, and nobody knows.
    async fn loses_the_outcome(&self) {
        if self.commits().await.is_some() {
            self.snapshots.look_again().await;
        }
    }

    async fn is_cancelled_after_the_commit(&self) {
        if self.commits().await.is_some() {
            self.snapshots.distrust();
        }
    }

    /// `None` if the record was lost meanwhile, and the transaction with it.
    async fn commits(&self) -> Option<Committed> {
        let all = keys();
        let some: Vec<_> = (0..1 + self.world.roll(2)).map(|_| all[self.die(all.len())]).collect();
        let _turn = self.world.turn.lock().await;
        let failover = self.world.record().failover;
        self.world.pause(1 + self.world.roll(3)).await;
        let mut record = self.world.record();
        (record.failover == failover).then(|| record.change(&some))
    }

    fn acknowledges(&self, at: Position, keys: &[Key]) {
        let mut record = self.world.record();
        if !record.remembers(at) {
            return;
        }
        for &key in keys {
            let (replica, tick, stamp) = (self.number, self.world.now(), record.at(key, at.revision));
            record.acknowledged.push(Acknowledged { replica, tick, at, key, stamp });
        }
    }

    /// Reads the log now and then. Sometimes whoever does it is gone before it is read.
    pub(super) async fn keeps_up(self) {
        while !self.world.over() {
            if self.world.roll(10) == 0 {
                let patience = self.world.roll(4);
                self.unless_it_takes(patience, self.snapshots.tail_now()).await;
            } else {
                let _read = self.snapshots.tail_now().await;
            }
            self.world.pause(TAIL_PERIOD).await;
        }
    }

    /// Asks for a decision, again and again, in every freshness.
    pub(super) async fn checks(self) {
        while !self.world.over() {
            self.world.pause(1 + self.world.roll(25)).await;
            let freshness = self.freshness();
            let (began, floor) = (self.world.now(), self.floor(freshness));
            let patience = if self.world.roll(10) == 0 { self.world.roll(5) } else { u64::MAX };
            match self.unless_it_takes(patience, self.decides(freshness)).await {
                Some(Ok(seen)) => self.judges(began, &floor, &seen),
                Some(Err(_)) => self.world.count(false),
                None => {}
            }
        }
    }

    /// Asks whom an API key stands for.
    pub(super) async fn authenticates(self) {
        while !self.world.over() {
            self.world.pause(1 + self.world.roll(40)).await;
            let hash = [u8::try_from(1 + self.world.roll(2)).unwrap(); 32];
            let (key, floor) = (Key::Credential(hash), self.floor(Freshness::Latest));
            let began = self.world.now();
            let Ok(found) = self.snapshots.credential(&Presented::ApiKey(hash)).await else { continue };
            let stamp = found.and_then(|credential| credential.expires_at).map_or(0, |at| at.0);
            if !self.failed_over_since(began) {
                self.is_no_older(key, stamp, &floor);
            }
        }
    }

    fn freshness(&self) -> Freshness {
        let record = self.world.record();
        match self.world.roll(5) {
            0 => Freshness::Full,
            1 if !record.acknowledged.is_empty() => {
                Freshness::AtLeast(record.acknowledged[self.die(record.acknowledged.len())].at)
            }
            _ => Freshness::Latest,
        }
    }

    /// The oldest state of each fact that a check may answer from if it begins now.
    fn floor(&self, freshness: Freshness) -> Vec<(Key, i64)> {
        let (record, now) = (self.world.record(), self.world.now());
        let binds = |it: &&Acknowledged| {
            it.replica == self.number
                || it.tick + SECOND <= now
                || match freshness {
                    Freshness::Latest => false,
                    Freshness::AtLeast(token) => it.at.revision <= token.revision,
                    Freshness::Full => true,
                }
        };
        let of = |key| record.acknowledged.iter().filter(binds).filter(|it| it.key == key).map(|it| it.stamp).max();
        keys().into_iter().map(|key| (key, of(key).unwrap_or(0))).collect()
    }

    async fn decides(&self, freshness: Freshness) -> Result<Seen, Miss> {
        for _ in 0..GATHER_AGAIN {
            match self.gathers(freshness).await {
                Err(Miss::Moved) => {}
                outcome => return outcome,
            }
        }
        self.gathers(freshness).await
    }

    async fn gathers(&self, freshness: Freshness) -> Result<Seen, Miss> {
        let view = self.snapshots.view(REALM, freshness).await?.unwrap();
        let mut facts = vec![(Key::Catalogue, view.catalogue().realm_name.parse().unwrap())];
        for key in [principal(self.die(3)), organization(self.die(2)), principal(self.die(3))] {
            self.world.pause(self.world.roll(2)).await;
            let stamp = match key {
                Key::Principal(id) => view.principal(id).await?.map_or(0, |found| {
                    assert_eq!(found.catalogue(), view.catalogue().as_of, "compiled for another catalogue");
                    found.principal().session_epoch
                }),
                Key::Organization(id) => {
                    view.organization(id).await?.map_or(0, |found| found.entitlements[0].parse().unwrap())
                }
                Key::Credential(_) | Key::Catalogue => continue,
            };
            facts.push((key, stamp));
        }
        Ok(Seen { revision: view.revision(), facts })
    }

    fn judges(&self, began: u64, floor: &[(Key, i64)], seen: &Seen) {
        self.world.count(true);
        if self.failed_over_since(began) {
            return;
        }
        for &(key, stamp) in &seen.facts {
            self.is_no_older(key, stamp, floor);
            let record = self.world.record();
            // Between a failover and the next look at the log, revisions are of two histories.
            if record.failover.is_none_or(|at| began > at + SECOND) {
                let truth = record.at(key, seen.revision);
                assert_eq!(stamp, truth, "{key} is not that of {:?}: {}", seen.revision, self.place());
            }
        }
    }

    /// What was acknowledged before that instant may be lost.
    fn failed_over_since(&self, began: u64) -> bool {
        self.world.record().failover.is_some_and(|at| began <= at)
    }

    fn is_no_older(&self, key: Key, stamp: i64, floor: &[(Key, i64)]) {
        let (_, least) = floor.iter().find(|(of, _)| *of == key).unwrap();
        assert!(stamp >= *least, "{key} is {stamp}, and {least} was acknowledged before: {}", self.place());
    }

    fn place(&self) -> String {
        format!("seed {}, tick {}, replica {}", self.world.seed, self.world.now(), self.number)
    }

    /// Hangs up after so many ticks.
    async fn unless_it_takes<T>(&self, ticks: u64, call: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            answer = call => Some(answer),
            () = self.world.pause(ticks.min(1_000_000)) => None,
        }
    }

    fn die(&self, sides: usize) -> usize {
        usize::try_from(self.world.roll(sides as u64)).unwrap()
    }
}

pub(super) fn principal(n: usize) -> Key {
    Key::Principal(PrincipalId(Uuid::from_u128(100 + n as u128)))
}

pub(super) fn organization(n: usize) -> Key {
    Key::Organization(OrganizationId(Uuid::from_u128(200 + n as u128)))
}

/// Every fact that there is.
pub(super) fn keys() -> Vec<Key> {
    let credentials = [Key::Credential([1; 32]), Key::Credential([2; 32]), Key::Catalogue];
    (0..3).map(principal).chain((0..2).map(organization)).chain(credentials).collect()
}
