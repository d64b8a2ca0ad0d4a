//! Who acts: writers, checkers, tails, and time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use countersign::cache::{Freshness, GATHER_AGAIN, Miss, READ_AGAIN, ReadSet, Snapshots, View};
use countersign::domain::change::{Committed, Key};
use countersign::domain::ids::{OrganizationId, PrincipalId, Revision};
use countersign::domain::realm::Position;
use countersign::domain::workload::Presented;
use uuid::Uuid;

use super::judge::Seen;
use super::wire::Wire;
use super::world::{Acknowledged, SECOND, World, realm};

/// How often a replica reads the log: 100 ms.
const TAIL_PERIOD: u64 = 20;

/// One process with its cache.
#[derive(Clone)]
pub(super) struct Replica {
    pub(super) number: usize,
    pub(super) world: Arc<World>,
    pub(super) wire: Arc<Wire>,
    pub(super) snapshots: Arc<Snapshots<Wire>>,
    /// The newest revision of each realm that it has answered at.
    pub(super) answered_at: Arc<Mutex<HashMap<usize, Revision>>>,
}

/// Lets the clock go on until the end, and, if this is such a world, the newest changes be lost once.
pub(super) async fn time_passes(world: Arc<World>) {
    let lost_at = if world.weather.failover { 100 + world.roll(200) } else { u64::MAX };
    while !world.over() {
        tokio::task::yield_now().await;
        world.tick();
        if world.now() == lost_at {
            for realm in 0..world.realms() {
                let changes = 1 + world.roll(5);
                world.record(realm).lose(i64::try_from(changes).unwrap(), lost_at);
            }
        }
    }
}

impl Replica {
    /// Most is about one realm; others are asked about now and then, some of them late for the first time.
    fn realm(&self) -> usize {
        if self.world.roll(5) == 0 { self.die(self.world.realms()) } else { 0 }
    }

    /// Makes changes. Each is applied here, or has this replica look at the log, before anybody is told.
    pub(super) async fn writes(self) {
        while !self.world.over() {
            self.wire.pause(1 + self.world.roll(60)).await;
            let realm = self.realm();
            match self.world.roll(10) {
                0 => self.repeats(realm).await,
                1 => self.loses_the_outcome(realm).await,
                2 => self.is_cancelled_after_the_commit(realm).await,
                _ => self.changes(realm).await,
            }
        }
    }

    async fn changes(&self, realm: usize) {
        let Some(change) = self.commits(realm).await else { return };
        // The way from the commit to its application is short, most of the time.
        let late = if self.world.roll(5) == 0 { self.world.roll(40) } else { self.world.roll(2) };
        self.wire.pause(late).await;
        self.snapshots.committed(&change).await;
        self.acknowledges(realm, change.position, &change.keys);
    }

    /// A call that changes nothing, because somebody had made the change before, here or elsewhere.
    async fn repeats(&self, realm: usize) {
        let before = self.world.record(realm).position;
        self.wire.pause(self.world.roll(3)).await;
        let seen = Committed { realm: super::world::realm(realm), position: before, before, keys: vec![] };
        self.snapshots.committed(&seen).await;
        self.acknowledges(realm, before, &keys(realm));
    }

    /// The connection broke at the commit: the change was made, and nobody knows.
    async fn loses_the_outcome(&self, realm: usize) {
        if self.commits(realm).await.is_some() {
            self.snapshots.look_again().await;
        }
    }

    async fn is_cancelled_after_the_commit(&self, realm: usize) {
        if self.commits(realm).await.is_some() {
            self.snapshots.distrust();
        }
    }

    /// `None` if the record was lost meanwhile, and the transaction with it, or if a newer version made the change.
    async fn commits(&self, realm: usize) -> Option<Committed> {
        let all = keys(realm);
        let some: Vec<_> = (0..1 + self.world.roll(2)).map(|_| all[self.die(all.len())]).collect();
        let newer = self.world.weather.newer;
        let _turn = self.world.turns[realm].lock().await;
        let failover = self.world.record(realm).failover;
        self.guards(realm).await;
        self.wire.pause(1 + self.world.roll(3)).await;
        let mut record = self.world.record(realm);
        if newer > 0 && self.world.roll(newer) == 0 {
            record.change_of_a_newer_version(&some);
            return None;
        }
        (record.failover == failover).then(|| record.change(&some))
    }

    /// Whoever changes something decides on the catalogue of the revision that the transaction locked.
    async fn guards(&self, realm: usize) {
        let (at, changed) = {
            let record = self.world.record(realm);
            (record.position, record.catalogue_revision)
        };
        let has = async |position| Ok::<_, ()>(self.world.record(realm).remembers(position));
        let id = super::world::realm(realm);
        if let Some(kept) = self.snapshots.catalogue_for(id, at, changed, has).await.unwrap() {
            let stamp: i64 = kept.catalogue.realm_name.parse().unwrap();
            let truth = self.world.record(realm).at(Key::Catalogue, at.revision);
            assert_eq!(stamp, truth, "a change is guarded by a catalogue that is not that of {at:?}: {}", self.place());
        }
    }

    fn acknowledges(&self, realm: usize, at: Position, keys: &[Key]) {
        let mut record = self.world.record(realm);
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
            self.wire.pause(TAIL_PERIOD).await;
            if self.world.roll(10) == 0 {
                self.snapshots.forget_idle();
            }
        }
    }

    /// Is stopped now and then, or answered by a standby.
    pub(super) async fn suffers(self) {
        while !self.world.over() {
            self.wire.pause(1 + self.world.roll(SECOND)).await;
            if self.world.weather.stops > 0 {
                self.wire.stop_for(self.world.roll(self.world.weather.stops));
            }
            if self.world.weather.standby {
                self.wire.turn_to_a_standby();
                self.wire.pause(self.world.roll(SECOND)).await;
                self.wire.turn_to_the_primary();
            }
        }
    }

    /// Asks for a decision, again and again, in every freshness.
    pub(super) async fn checks(self) {
        while !self.world.over() {
            self.wire.pause(1 + self.world.roll(25)).await;
            let realm = self.realm();
            let freshness = self.freshness(realm);
            let asked = self.asks(realm, freshness);
            let patience = if self.world.roll(10) == 0 { self.world.roll(5) } else { u64::MAX };
            match self.unless_it_takes(patience, self.decides(realm, freshness)).await {
                Some(Ok(seen)) => self.judges(&asked, &seen),
                Some(Err(_)) => self.world.count(false),
                None => {}
            }
        }
    }

    /// Asks whom an API key stands for.
    pub(super) async fn authenticates(self) {
        while !self.world.over() {
            self.wire.pause(1 + self.world.roll(40)).await;
            let realm = self.realm();
            let key = keys(realm)[5 + self.die(2)];
            let Key::Credential(hash) = key else { unreachable!("credentials come sixth and seventh") };
            let asked = self.asks(realm, Freshness::Latest);
            let Ok(found) = self.snapshots.credential(&Presented::ApiKey(hash)).await else { continue };
            let stamp = found.and_then(|credential| credential.expires_at).map_or(0, |at| at.0);
            self.judges_a_credential(&asked, key, stamp);
        }
    }

    fn freshness(&self, realm: usize) -> Freshness {
        let record = self.world.record(realm);
        match self.world.roll(5) {
            0 => Freshness::Full,
            1 if !record.acknowledged.is_empty() => {
                Freshness::AtLeast(record.acknowledged[self.die(record.acknowledged.len())].at)
            }
            _ => Freshness::Latest,
        }
    }

    async fn decides(&self, realm: usize, freshness: Freshness) -> Result<Seen, Miss> {
        if self.world.roll(3) == 0 {
            let reads = if self.world.roll(2) == 0 { ReadSet::recording() } else { ReadSet::default() };
            return self.reads_long(realm, freshness, &reads).await;
        }
        for _ in 0..=GATHER_AGAIN {
            match self.decides_once(realm, freshness).await {
                Err(Miss::Moved) => {}
                outcome => return outcome,
            }
        }
        Err(Miss::Moved)
    }

    async fn decides_once(&self, n: usize, freshness: Freshness) -> Result<Seen, Miss> {
        let view = self.snapshots.view(realm(n), freshness).await?.unwrap();
        self.gathers(&view, &[principal(self.die(3)), organization(self.die(2)), principal(self.die(3))]).await
    }

    /// A batch: it prepares what it will ask for, and begins again with what it has read.
    async fn reads_long(&self, n: usize, freshness: Freshness, reads: &ReadSet) -> Result<Seen, Miss> {
        for _ in 0..=READ_AGAIN {
            match self.reads_once(n, freshness, reads).await {
                Err(Miss::Moved) => reads.record(),
                outcome => return outcome,
            }
        }
        Err(Miss::Moved)
    }

    async fn reads_once(&self, n: usize, freshness: Freshness, reads: &ReadSet) -> Result<Seen, Miss> {
        let view = self.snapshots.view_of(realm(n), freshness, reads).await?.unwrap();
        let id = |n: u128| PrincipalId(Uuid::from_u128(100 + n));
        view.prepare((0..3).map(id), [OrganizationId(Uuid::from_u128(200))]).await?;
        let all: Vec<_> = (0..3).map(principal).chain((0..2).map(organization)).collect();
        self.gathers(&view, &all).await
    }

    async fn gathers(&self, view: &View<'_, Wire>, keys: &[Key]) -> Result<Seen, Miss> {
        let mut facts = vec![(Key::Catalogue, view.catalogue().realm_name.parse().unwrap())];
        for &key in keys {
            self.wire.pause(self.world.roll(2)).await;
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

    pub(super) fn place(&self) -> String {
        format!("seed {}, tick {}, replica {}", self.world.seed, self.world.now(), self.number)
    }

    /// Hangs up after so many ticks.
    async fn unless_it_takes<T>(&self, ticks: u64, call: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            answer = call => Some(answer),
            () = self.wire.pause(ticks.min(1_000_000)) => None,
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

/// An API key of a realm, which its last byte tells.
pub(super) fn credential(n: u8, realm: usize) -> Key {
    let mut hash = [n; 32];
    hash[31] = u8::try_from(realm).unwrap();
    Key::Credential(hash)
}

/// Every fact that there is in a realm.
pub(super) fn keys(realm: usize) -> Vec<Key> {
    let credentials = [credential(1, realm), credential(2, realm), Key::Catalogue];
    (0..3).map(principal).chain((0..2).map(organization)).chain(credentials).collect()
}
