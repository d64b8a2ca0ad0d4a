//! What this process keeps of one realm, and the ledger that says whether it may.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use quick_cache::sync::Cache;

use super::RealmCatalogue;
use super::flights::Flights;
use crate::domain::change::{Committed, Key, Line, Loaded};
use crate::domain::decision::CompiledPrincipal;
use crate::domain::ids::{OrganizationId, PrincipalId, RealmId, Revision};
use crate::domain::realm::Position;
use crate::domain::service_account::Credential;
use crate::domain::snapshot::{Organization, Principal};

/// So many keys are remembered as changed; then the ledger starts over from where it stands.
const LEDGER_KEYS_MAX: usize = 100_000;
/// So many of the newest positions are remembered, to tell this history from another one: more than a failover loses.
const POSITIONS_MAX: usize = 256;

/// A kept snapshot, or the kept knowledge that there is none.
#[derive(Debug)]
pub(super) struct Kept<T> {
    pub(super) as_of: Position,
    pub(super) value: Option<T>,
}

impl<T> From<Loaded<T>> for Kept<T> {
    fn from(Loaded { as_of, value }: Loaded<T>) -> Self {
        Self { as_of, value }
    }
}

/// A kept principal with its index, compiled for the catalogue that it was last asked under.
#[derive(Debug)]
pub(super) struct KeptPrincipal {
    pub(super) snapshot: Arc<Principal>,
    pub(super) compiled: ArcSwapOption<CompiledPrincipal>,
}

/// The snapshots of one kind, with the loads of them that are under way.
#[derive(Debug)]
pub(super) struct Shelf<K: Hash + Eq, T> {
    kept: Cache<K, Arc<Kept<T>>>,
    pub(super) flights: Flights<K, Arc<Kept<T>>>,
}

impl<K, T> Shelf<K, T>
where
    K: Hash + Eq + Copy + Send + 'static,
    T: Send + Sync + 'static,
{
    fn new(capacity: usize) -> Self {
        Self { kept: Cache::new(capacity), flights: Flights::default() }
    }

    pub(super) fn len(&self) -> u64 {
        u64::try_from(self.kept.len()).unwrap_or(u64::MAX)
    }

    pub(super) fn get(&self, key: &K) -> Option<Arc<Kept<T>>> {
        self.kept.get(key)
    }
}

/// What has happened in the realm, as far as this process knows.
#[derive(Debug)]
struct Ledger {
    position: Position,
    /// The newest positions of this history, the current one last.
    recent: VecDeque<Position>,
    /// When each key changed last; what is not listed changed at `floor` or before.
    last_changed: HashMap<Key, Revision>,
    floor: Revision,
}

impl Ledger {
    fn new(position: Position) -> Self {
        Self { position, recent: [position].into(), last_changed: HashMap::new(), floor: position.revision }
    }

    fn move_to(&mut self, position: Position) {
        if position == self.position {
            return;
        }
        if self.recent.len() == POSITIONS_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(position);
        self.position = position;
    }

    fn last_changed(&self, key: &Key) -> Revision {
        self.last_changed.get(key).copied().unwrap_or(self.floor)
    }

    /// Whether what was read of a key at that position is what this history has of it now. A position from before the
    /// oldest one remembered may be of a history that was lost: what was read there is read again.
    fn vouches_for(&self, key: &Key, as_of: Position) -> bool {
        self.last_changed(key) <= as_of.revision && self.remembers(as_of)
    }

    /// Positions from before the oldest one remembered are taken for this history's: whatever they stand for, what is
    /// kept here is newer.
    fn has_reached(&self, position: Position) -> bool {
        let oldest = self.recent.front().map_or(self.position.revision, |oldest| oldest.revision);
        position.revision < oldest || self.remembers(position)
    }

    fn remembers(&self, position: Position) -> bool {
        self.recent.iter().rev().any(|known| *known == position)
    }
}

/// Everything kept of one realm.
///
/// INVARIANT: what is kept under a key is valid at every revision from its `as_of` to `applied`. A change drops the key
/// under the ledger's lock before `applied` moves, and a load is kept, under the same lock, only if it read the record
/// between the key's last change and `applied`, at a position that the log has.
#[derive(Debug)]
pub(super) struct RealmCache<E> {
    pub(super) id: RealmId,
    applied: AtomicI64,
    ledger: Mutex<Ledger>,
    pub(super) principals: Shelf<PrincipalId, KeptPrincipal>,
    pub(super) organizations: Shelf<OrganizationId, Arc<Organization>>,
    pub(super) credentials: Shelf<[u8; 32], Credential>,
    catalogue: ArcSwapOption<RealmCatalogue<E>>,
    pub(super) catalogue_flights: Flights<(), Arc<RealmCatalogue<E>>>,
}

impl<E> RealmCache<E> {
    pub(super) fn new(id: RealmId, position: Position, principals: usize) -> Self {
        let capacity = principals.max(16);
        Self {
            id,
            applied: AtomicI64::new(position.revision.0),
            ledger: Mutex::new(Ledger::new(position)),
            principals: Shelf::new(capacity),
            organizations: Shelf::new(capacity / 4),
            credentials: Shelf::new(capacity / 4),
            catalogue: ArcSwapOption::empty(),
            catalogue_flights: Flights::default(),
        }
    }

    /// The revision up to which every change has been applied here.
    pub(super) fn applied(&self) -> Revision {
        Revision(self.applied.load(Ordering::Acquire))
    }

    pub(super) fn position(&self) -> Position {
        self.ledger.lock().position
    }

    /// Whether everything up to that position was applied here. If not, the log has to be read: it is ahead, or the
    /// position is of another history than what is kept.
    pub(super) fn has_reached(&self, position: Position) -> bool {
        self.ledger.lock().has_reached(position)
    }

    /// When the key changed last, as far as it matters: a load must have read the record at or after that.
    pub(super) fn last_changed(&self, key: &Key) -> Revision {
        self.ledger.lock().last_changed(key)
    }

    /// Whether what was read of a key at that position is what this history has of it now.
    pub(super) fn vouches_for(&self, key: &Key, as_of: Position) -> bool {
        self.ledger.lock().vouches_for(key, as_of)
    }

    /// Keeps what was loaded, unless the key changed after it was read, or the log does not have what it was read at:
    /// the log was not yet read that far, or it is of a history that was lost.
    pub(super) fn keep<K, T>(&self, shelf: &Shelf<K, T>, slot: K, key: &Key, loaded: &Arc<Kept<T>>)
    where
        K: Hash + Eq + Copy + Send + 'static,
        T: Send + Sync + 'static,
    {
        let ledger = self.ledger.lock();
        if ledger.vouches_for(key, loaded.as_of) {
            shelf.kept.insert(slot, Arc::clone(loaded));
        }
    }

    pub(super) fn catalogue(&self) -> Option<Arc<RealmCatalogue<E>>> {
        self.catalogue.load_full()
    }

    /// Keeps a loaded catalogue, as [`keep`](Self::keep) does.
    pub(super) fn keep_catalogue(&self, loaded: &Arc<RealmCatalogue<E>>) {
        let ledger = self.ledger.lock();
        if ledger.vouches_for(&Key::Catalogue, loaded.as_of) {
            self.catalogue.store(Some(Arc::clone(loaded)));
        }
    }

    /// Applies a change made here if it is the next one. `false` = the log has to be read: others came between, or what
    /// is kept here is not of the history that the change was made on.
    pub(super) fn apply_next(&self, change: &Committed) -> bool {
        let mut ledger = self.ledger.lock();
        let next = change.before == ledger.position;
        if next {
            change.keys.iter().for_each(|key| self.drop_key(&mut ledger, *key, change.position.revision));
            ledger.move_to(change.position);
            self.publish(&mut ledger);
        }
        next || ledger.has_reached(change.position)
    }

    /// Applies what the log holds, read from `from` on, that position included. Changes made here may have been applied
    /// since it was read. `false` = the log does not continue what is kept here: a mark is another one, or lines are
    /// missing.
    pub(super) fn apply_log(&self, from: Position, lines: &[Line]) -> bool {
        let mut ledger = self.ledger.lock();
        let mut last = None;
        for line in lines {
            let (at, applied) = (line.position, ledger.position);
            let follows = match last {
                None => at == from,
                Some(last) => at == last || at.revision.0 == last.revision.0 + 1,
            };
            if !follows || (at.revision == applied.revision && at.mark != applied.mark) {
                return false;
            }
            if at.revision >= applied.revision {
                self.drop_key(&mut ledger, line.key, at.revision);
                ledger.move_to(at);
            }
            last = Some(at);
        }
        self.publish(&mut ledger);
        last.is_some()
    }

    fn publish(&self, ledger: &mut Ledger) {
        let applied = ledger.position.revision;
        if ledger.last_changed.len() > LEDGER_KEYS_MAX {
            ledger.last_changed.clear();
            ledger.floor = applied;
        }
        self.applied.store(applied.0, Ordering::Release);
    }

    fn drop_key(&self, ledger: &mut Ledger, key: Key, at: Revision) {
        let changed = ledger.last_changed.entry(key).or_insert(at);
        *changed = (*changed).max(at);
        match key {
            Key::Principal(id) => drop_older(&self.principals, &id, at),
            Key::Organization(id) => drop_older(&self.organizations, &id, at),
            Key::Credential(hash) => drop_older(&self.credentials, &hash, at),
            Key::Catalogue => {
                if self.catalogue.load().as_ref().is_some_and(|kept| kept.catalogue.as_of < at) {
                    self.catalogue.store(None);
                }
            }
        }
    }
}

/// Drops a snapshot unless it was read after the change.
fn drop_older<K, T>(shelf: &Shelf<K, T>, slot: &K, at: Revision)
where
    K: Hash + Eq + Copy + Send + 'static,
    T: Send + Sync + 'static,
{
    if shelf.kept.get(slot).is_some_and(|kept| kept.as_of.revision < at) {
        shelf.kept.remove(slot);
    }
}
