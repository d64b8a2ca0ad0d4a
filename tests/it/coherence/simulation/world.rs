//! The database of paper, and its clock.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use countersign::domain::change::{Committed, Key, Line, Loaded};
use countersign::domain::ids::{Mark, RealmId, Revision};
use countersign::domain::realm::Position;
use uuid::Uuid;

/// The realm that most is asked about.
pub(super) const REALM: RealmId = realm(0);
/// One round of everybody's turns.
pub(super) const TICK: Duration = Duration::from_millis(5);
/// How long a schedule lasts.
const END: u64 = 600;
/// A second: the longest that another replica may be behind.
pub(super) const SECOND: u64 = 200;

pub(super) const fn realm(n: usize) -> RealmId {
    RealmId(Uuid::from_u128(1 + n as u128))
}

/// How the database is reached, and what befalls it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weather {
    /// One trip in ten takes up to so many ticks, each way.
    pub(super) slow: u64,
    /// So many trips in a thousand fail.
    pub(super) failing: u64,
    /// Once, the newest changes are lost: a standby that had not received them takes over.
    pub(super) failover: bool,
    /// Processes are stopped now and then, for up to so many ticks.
    pub(super) stops: u64,
    /// A process is connected to a standby that replays nothing for a while.
    pub(super) standby: bool,
    /// One change in so many is of a newer version, with a key that this one does not know; 0 = none.
    pub(super) newer: u64,
}

impl Weather {
    pub(super) const CALM: Self = Self { slow: 3, failing: 0, failover: false, stops: 0, standby: false, newer: 0 };
    pub(super) const SLOW: Self = Self { slow: 120, ..Self::CALM };
    pub(super) const FAILING: Self = Self { slow: 20, failing: 100, ..Self::CALM };
    pub(super) const FAILOVER: Self = Self { failover: true, ..Self::CALM };
    pub(super) const STOPPING: Self = Self { stops: 2 * SECOND, ..Self::CALM };
    pub(super) const STANDBY: Self = Self { standby: true, ..Self::CALM };
    pub(super) const NEWER: Self = Self { newer: 8, ..Self::CALM };
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

/// What is true of one realm, and since when. A fact is the stamp of its last change: stamps grow, across a failover too.
#[derive(Clone)]
pub(super) struct Record {
    pub(super) realm: RealmId,
    pub(super) position: Position,
    /// When the catalogue changed last.
    pub(super) catalogue_revision: Revision,
    pub(super) log: Vec<Line>,
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
    pub(super) looks: AtomicU64,
    records: Vec<Mutex<Record>>,
    /// The locks of the realms' rows.
    pub(super) turns: Vec<tokio::sync::Mutex<()>>,
    answered: AtomicU64,
    undecided: AtomicU64,
    /// What befalls the first record as soon as the next load was answered.
    befalls: Mutex<Option<Fate>>,
}

/// Something that befalls a record.
type Fate = Box<dyn FnOnce(&mut Record) + Send>;

impl World {
    pub(super) fn new(seed: u64, weather: Weather, realms: usize) -> Self {
        Self {
            seed,
            weather,
            ticks: AtomicU64::new(0),
            dice: AtomicU64::new(seed),
            looks: AtomicU64::new(0),
            records: (0..realms).map(|n| Mutex::new(Record::new(realm(n)))).collect(),
            turns: (0..realms).map(|_| tokio::sync::Mutex::default()).collect(),
            answered: AtomicU64::new(0),
            undecided: AtomicU64::new(0),
            befalls: Mutex::default(),
        }
    }

    /// Has something befall the first record between the next answer of a load and whatever its reader does with it.
    pub(super) fn after_the_next_load(&self, fate: impl FnOnce(&mut Record) + Send + 'static) {
        *self.befalls.lock().unwrap() = Some(Box::new(fate));
    }

    pub(super) fn load_was_answered(&self) {
        let fate = self.befalls.lock().unwrap().take();
        if let Some(fate) = fate {
            fate(&mut self.record(0));
        }
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

    /// A number below `sides`: splitmix64 (Steele, Lea and Flood 2014).
    pub(super) fn roll(&self, sides: u64) -> u64 {
        let gamma = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.dice.fetch_add(gamma, Ordering::Relaxed).wrapping_add(gamma);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    pub(super) fn realms(&self) -> usize {
        self.records.len()
    }

    pub(super) fn record(&self, realm: usize) -> MutexGuard<'_, Record> {
        self.records[realm].lock().unwrap()
    }

    pub(super) fn count(&self, decided: bool) {
        let counter = if decided { &self.answered } else { &self.undecided };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Checks that were answered, and those that were not.
    pub(super) fn answers(&self) -> (u64, u64) {
        (self.answered.load(Ordering::Relaxed), self.undecided.load(Ordering::Relaxed))
    }
}

impl Record {
    fn new(realm: RealmId) -> Self {
        let mut record = Self {
            realm,
            position: Position::default(),
            catalogue_revision: Revision(0),
            log: vec![],
            facts: HashMap::new(),
            stamps: 0,
            failover: None,
            acknowledged: vec![],
        };
        record.change(&[Key::Catalogue]);
        record
    }

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
        self.change_as(keys, Some)
    }

    /// A change by a newer version, which names what it changed in words that this one does not know.
    pub(super) fn change_of_a_newer_version(&mut self, keys: &[Key]) {
        self.change_as(keys, |_| None);
    }

    fn change_as(&mut self, keys: &[Key], word: impl Fn(Key) -> Option<Key>) -> Committed {
        let before = self.position;
        self.stamps += 1;
        self.position = Position { revision: Revision(before.revision.0 + 1), mark: Mark(self.stamps) };
        for &key in keys {
            self.log.push(Line { realm: self.realm, position: self.position, key: word(key) });
            self.facts.entry(key).or_default().push((self.position.revision, self.stamps));
            if key == Key::Catalogue {
                self.catalogue_revision = self.position.revision;
            }
        }
        Committed { realm: self.realm, position: self.position, before, keys: keys.to_vec() }
    }

    /// Forgets the newest changes. Nobody is held to what was acknowledged of them.
    pub(super) fn lose(&mut self, changes: i64, now: u64) {
        let Revision(newest) = self.position.revision;
        let kept = Revision((newest - changes).max(1));
        self.log.retain(|line| line.position.revision <= kept);
        self.facts.values_mut().for_each(|history| history.retain(|(since, _)| *since <= kept));
        self.acknowledged.retain(|it| it.at.revision <= kept);
        self.position = self.log.last().unwrap().position;
        self.catalogue_revision = self.facts[&Key::Catalogue].last().unwrap().0;
        self.failover = Some(now);
    }

    pub(super) fn loaded<T>(&self, key: Key, make: impl FnOnce(i64) -> T) -> Loaded<T> {
        let (as_of, stamp) = (self.position, self.at(key, self.position.revision));
        Loaded { as_of, value: (stamp > 0).then(|| make(stamp)) }
    }
}
