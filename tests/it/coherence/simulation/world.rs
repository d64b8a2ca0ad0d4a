//! The record of paper, its clock, and how badly it is reached.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use countersign::cache::{Answer, RealmCatalogue, Source, Unavailable};
use countersign::domain::catalogue::{Catalogue, CatalogueSource};
use countersign::domain::change::{Committed, Key, Line, Loaded};
use countersign::domain::ids::{Mark, OrganizationId, PrincipalId, RealmId, Revision, ServiceAccountId};
use countersign::domain::policy::Policy;
use countersign::domain::realm::Position;
use countersign::domain::service_account::Credential;
use countersign::domain::snapshot::{Organization, Principal, PrincipalKind};
use countersign::domain::time::Timestamp;
use countersign::domain::workload::Presented;
use uuid::Uuid;

pub(super) const REALM: RealmId = RealmId(Uuid::from_u128(1));
/// One round of everybody's turns.
const TICK: Duration = Duration::from_millis(5);
/// How long a schedule lasts.
const END: u64 = 600;
/// A second: the longest that another replica may be behind.
pub(super) const SECOND: u64 = 200;

/// How the record is reached.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weather {
    /// One trip in ten takes up to so many ticks, each way.
    slow: u64,
    /// So many trips in a thousand fail.
    failing: u64,
    /// Once, the newest changes are lost: a standby that had not received them takes over.
    pub(super) failover: bool,
}

impl Weather {
    pub(super) const CALM: Self = Self { slow: 3, failing: 0, failover: false };
    pub(super) const SLOW: Self = Self { slow: 120, failing: 0, failover: false };
    pub(super) const FAILING: Self = Self { slow: 20, failing: 100, failover: false };

    pub(super) fn with_a_failover(self) -> Self {
        Self { failover: true, ..self }
    }
}

/// What was told to whoever made a change.
#[derive(Clone, Copy)]
pub(super) struct Acknowledged {
    pub(super) replica: usize,
    pub(super) tick: u64,
    pub(super) at: Position,
    pub(super) key: Key,
    pub(super) stamp: i64,
}

/// What is true, and since when. A fact is the stamp of its last change: stamps grow, across a failover too.
pub(super) struct Record {
    pub(super) position: Position,
    log: Vec<Line>,
    facts: HashMap<Key, Vec<(Revision, i64)>>,
    stamps: i64,
    /// When changes were lost.
    pub(super) failover: Option<u64>,
    pub(super) acknowledged: Vec<Acknowledged>,
}

pub(super) struct World {
    pub(super) seed: u64,
    pub(super) weather: Weather,
    ticks: AtomicU64,
    dice: AtomicU64,
    looks: AtomicU64,
    record: Mutex<Record>,
    /// The lock of the realm's row.
    pub(super) turn: tokio::sync::Mutex<()>,
    answered: AtomicU64,
    undecided: AtomicU64,
    /// What befalls the record as soon as the next load was answered.
    befalls: Mutex<Option<Fate>>,
}

/// Something that befalls a record.
type Fate = Box<dyn FnOnce(&mut Record) + Send>;

impl World {
    pub(super) fn new(seed: u64, weather: Weather) -> Self {
        let mut record = Record {
            position: Position::default(),
            log: vec![],
            facts: HashMap::new(),
            stamps: 0,
            failover: None,
            acknowledged: vec![],
        };
        record.change(&[Key::Catalogue]);
        Self {
            seed,
            weather,
            ticks: AtomicU64::new(0),
            dice: AtomicU64::new(seed),
            looks: AtomicU64::new(0),
            record: Mutex::new(record),
            turn: tokio::sync::Mutex::default(),
            answered: AtomicU64::new(0),
            undecided: AtomicU64::new(0),
            befalls: Mutex::default(),
        }
    }

    /// Has something befall the record between the next answer of a load and whatever its reader does with it.
    pub(super) fn after_the_next_load(&self, fate: impl FnOnce(&mut Record) + Send + 'static) {
        *self.befalls.lock().unwrap() = Some(Box::new(fate));
    }

    /// A trip that loads a fact.
    async fn load<T>(&self, read: impl FnOnce(&Record) -> T) -> Answer<T> {
        let answer = self.trip(read).await;
        let fate = self.befalls.lock().unwrap().take();
        if let Some(fate) = fate {
            fate(&mut self.record());
        }
        answer
    }

    pub(super) fn now(&self) -> u64 {
        self.ticks.load(Ordering::Relaxed)
    }

    pub(super) fn over(&self) -> bool {
        self.now() >= END
    }

    pub(super) fn tick(&self) {
        self.ticks.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) async fn pause(&self, ticks: u64) {
        let until = self.now() + ticks;
        while self.now() < until && !self.over() {
            tokio::task::yield_now().await;
        }
    }

    /// A number below `sides`: splitmix64 (Steele, Lea and Flood 2014).
    pub(super) fn roll(&self, sides: u64) -> u64 {
        let gamma = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.dice.fetch_add(gamma, Ordering::Relaxed).wrapping_add(gamma);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    pub(super) fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap()
    }

    pub(super) fn count(&self, decided: bool) {
        let counter = if decided { &self.answered } else { &self.undecided };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Checks that were answered, and those that were not.
    pub(super) fn answers(&self) -> (u64, u64) {
        (self.answered.load(Ordering::Relaxed), self.undecided.load(Ordering::Relaxed))
    }

    /// One trip to the record and back: what is read is of one instant on the way.
    async fn trip<T>(&self, read: impl FnOnce(&Record) -> T) -> Answer<T> {
        self.pause(self.delay()).await;
        if self.roll(1000) < self.weather.failing {
            return Err(Unavailable);
        }
        let (answer, primary) = {
            let record = self.record();
            (read(&record), record.failover)
        };
        self.pause(self.delay()).await;
        // What the old primary had under way when it died never arrives.
        if self.record().failover == primary { Ok(answer) } else { Err(Unavailable) }
    }

    fn delay(&self) -> u64 {
        if self.roll(10) == 0 { self.roll(self.weather.slow) } else { self.roll(2) }
    }
}

impl Record {
    /// The stamp of a fact as of a revision; 0 = it was not there yet.
    pub(super) fn at(&self, key: Key, revision: Revision) -> i64 {
        let history = self.facts.get(&key).map_or(&[][..], Vec::as_slice);
        history.iter().rev().find(|(since, _)| *since <= revision).map_or(0, |(_, stamp)| *stamp)
    }

    /// Whether the log has this very position.
    pub(super) fn remembers(&self, at: Position) -> bool {
        self.log.iter().any(|line| line.position == at)
    }

    pub(super) fn change(&mut self, keys: &[Key]) -> Committed {
        let before = self.position;
        self.stamps += 1;
        self.position = Position { revision: Revision(before.revision.0 + 1), mark: Mark(self.stamps) };
        for &key in keys {
            self.log.push(Line { realm: REALM, position: self.position, key });
            self.facts.entry(key).or_default().push((self.position.revision, self.stamps));
        }
        Committed { realm: REALM, position: self.position, before, keys: keys.to_vec() }
    }

    /// Forgets the newest changes. Nobody is held to what was acknowledged of them.
    pub(super) fn lose(&mut self, changes: i64, now: u64) {
        let Revision(newest) = self.position.revision;
        let kept = Revision((newest - changes).max(1));
        self.log.retain(|line| line.position.revision <= kept);
        self.facts.values_mut().for_each(|history| history.retain(|(since, _)| *since <= kept));
        self.acknowledged.retain(|it| it.at.revision <= kept);
        self.position = self.log.last().unwrap().position;
        self.failover = Some(now);
    }

    fn loaded<T>(&self, key: Key, make: impl FnOnce(i64) -> T) -> Loaded<T> {
        let (as_of, stamp) = (self.position, self.at(key, self.position.revision));
        Loaded { as_of, value: (stamp > 0).then(|| make(stamp)) }
    }
}

/// A replica's way to the record.
pub(super) struct Wire(pub(super) Arc<World>);

impl Source for Wire {
    type Extra = ();

    async fn principal(&self, realm: RealmId, id: PrincipalId) -> Answer<Loaded<Principal>> {
        let make = |as_of, stamp| Principal {
            id,
            realm,
            as_of,
            kind: PrincipalKind::ServiceAccount { organization: None, disabled: false },
            memberships: vec![],
            manager: None,
            entries: vec![],
            session_epoch: stamp,
            ended_sessions: vec![],
        };
        let read = |record: &Record| record.loaded(Key::Principal(id), |stamp| make(record.position.revision, stamp));
        self.0.load(read).await
    }

    async fn organization(&self, realm: RealmId, id: OrganizationId) -> Answer<Loaded<Organization>> {
        let make = |as_of, stamp: i64| Organization {
            id,
            realm,
            as_of,
            kind: String::new(),
            suspended: false,
            entitlements: vec![stamp.to_string()],
        };
        let read =
            |record: &Record| record.loaded(Key::Organization(id), |stamp| make(record.position.revision, stamp));
        self.0.load(read).await
    }

    async fn credential(&self, presented: &Presented) -> Answer<Option<Loaded<Credential>>> {
        let make = |stamp| Credential {
            realm: REALM,
            platform: false,
            service_account: ServiceAccountId(Uuid::nil()),
            expires_at: Some(Timestamp(stamp)),
        };
        let found = self.0.load(|record| record.loaded(Key::Credential(presented.digest()), make)).await?;
        Ok(Some(found).filter(|found| found.value.is_some()))
    }

    async fn catalogue(&self, realm: RealmId) -> Answer<RealmCatalogue<()>> {
        let make = |record: &Record| CatalogueSource {
            realm,
            realm_name: record.at(Key::Catalogue, record.position.revision).to_string(),
            suspended: false,
            as_of: record.position.revision,
            policy: Arc::new(Policy::default()),
            permissions: vec![],
            roles: vec![],
            exclusions: vec![],
        };
        let (as_of, source) = self.0.load(|record| (record.position, make(record))).await?;
        Ok(RealmCatalogue { as_of, catalogue: Catalogue::compile(source), extra: () })
    }

    async fn position(&self, _realm: RealmId) -> Answer<Option<Position>> {
        self.0.trip(|record| Some(record.position)).await
    }

    async fn tail(&self, from: Vec<(RealmId, Revision)>) -> Answer<Vec<Line>> {
        let Some((_, from)) = from.first().copied() else { return Ok(vec![]) };
        let read = |record: &Record| record.log.iter().filter(|line| line.position.revision >= from).copied().collect();
        self.0.trip(read).await
    }

    fn elapsed(&self) -> Duration {
        // No two looks at a clock are simultaneous.
        let look = self.0.looks.fetch_add(1, Ordering::Relaxed);
        TICK * u32::try_from(self.0.now()).unwrap() + Duration::from_nanos(look)
    }
}
