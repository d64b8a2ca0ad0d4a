//! What this process keeps of one realm, and whether it may be used.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use parking_lot::{Mutex, MutexGuard};

use super::kept::{Caches, Generation, Kept, Kind, Weigh};
use super::ledger::Ledger;
use super::single_flight::SingleFlight;
use super::tail::{Instant, Stand};
use super::{RealmCatalogue, Remembered};
use crate::domain::change::{Committed, Key, Line, Loaded};
use crate::domain::ids::{RealmId, Revision};
use crate::domain::realm::Position;

/// How a reading of the log went on from what is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Continues {
    /// The lines were applied.
    Yes,
    /// There was nothing to read, not even the line of the position itself.
    Nothing,
    /// A mark is another one, lines are missing, or one can't be read: the realm has to start over.
    No,
}

/// Everything kept of one realm.
///
/// INVARIANT: what is kept under a key is valid at every revision from its `as_of` to `applied`. A change drops the key
/// under the ledger's lock before `applied` moves, and a load is kept, under the same lock, only if it read the database
/// between the key's last change and `applied`, at a position that the log has. `applied` never goes back: a realm whose
/// history was lost gets another cache.
#[derive(Debug)]
pub(super) struct RealmCache<E> {
    pub(super) id: RealmId,
    pub(super) generation: Generation,
    caches: Arc<Caches>,
    limits: Remembered,
    applied: AtomicI64,
    ledger: Mutex<Ledger>,
    /// When the last reading began that found this realm as it is kept here; 0 = none did.
    vouched: AtomicU64,
    /// How many of the process's doubts had come up before that.
    settled: AtomicU64,
    /// Whether anybody asked since idle realms were let go last.
    asked: AtomicBool,
    catalogue: ArcSwapOption<RealmCatalogue<E>>,
    pub(super) catalogue_loads: SingleFlight<(), Option<Arc<RealmCatalogue<E>>>>,
}

impl<E> RealmCache<E> {
    /// An empty cache at a position. Nothing vouches for it but what `stand` says.
    pub(super) fn new(
        (id, generation): (RealmId, Generation),
        position: Position,
        stand: Stand,
        (caches, limits): (Arc<Caches>, Remembered),
    ) -> Self {
        caches.realms.fetch_add(1, Ordering::Relaxed);
        Self {
            id,
            generation,
            caches,
            limits,
            applied: AtomicI64::new(position.revision.0),
            ledger: Mutex::new(Ledger::new(position, limits)),
            vouched: AtomicU64::new(stand.began.0),
            settled: AtomicU64::new(stand.doubts),
            asked: AtomicBool::new(true),
            catalogue: ArcSwapOption::empty(),
            catalogue_loads: SingleFlight::default(),
        }
    }

    /// The revision up to which every change has been applied here.
    pub(super) fn applied(&self) -> Revision {
        Revision(self.applied.load(Ordering::Acquire))
    }

    pub(super) fn position(&self) -> Position {
        self.ledger.lock().position()
    }

    /// For several questions about one instant.
    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock()
    }

    /// A reading of the log that began there found this realm as it is kept here.
    pub(super) fn vouch(&self, stand: Stand) {
        self.settled.fetch_max(stand.doubts, Ordering::AcqRel);
        self.vouched.fetch_max(stand.began.0, Ordering::AcqRel);
    }

    /// Whether all doubts were settled since they came up.
    pub(super) fn is_trusted(&self, doubts: u64) -> bool {
        self.settled.load(Ordering::Acquire) == doubts
    }

    /// How long ago the last reading began that vouched for this realm; `None` = there was none.
    pub(super) fn age(&self, now: Duration) -> Option<Duration> {
        Instant(self.vouched.load(Ordering::Acquire)).age(now)
    }

    /// Whether a reading that began then or later vouched for this realm.
    pub(super) fn is_vouched_since(&self, asked: Duration) -> bool {
        self.vouched.load(Ordering::Acquire) >= Instant::at(asked).0
    }

    /// Notes that somebody asked; a check writes no shared memory for it but once in a while.
    pub(super) fn ask(&self) {
        if !self.asked.load(Ordering::Relaxed) {
            self.asked.store(true, Ordering::Relaxed);
        }
    }

    /// Whether nobody asked since this was asked last.
    pub(super) fn is_idle(&self) -> bool {
        !self.asked.swap(false, Ordering::Relaxed)
    }

    /// Whether what was read of a key at `as_of` is what a view of that revision shows: the log has it, the key has not
    /// changed since it was read, nor between the view and the reading.
    pub(super) fn fits(&self, view: Revision, key: &Key, as_of: Position) -> bool {
        let ledger = self.ledger.lock();
        ledger.vouches_for(key, as_of) && (as_of.revision <= view || ledger.last_changed(key) <= view)
    }

    /// Whether what was read of a key at that position is what this history has of it now.
    pub(super) fn vouches_for(&self, key: &Key, as_of: Position) -> bool {
        self.ledger.lock().vouches_for(key, as_of)
    }

    /// Whether what was read of a key at that position is older than what is known here, or of another history.
    pub(super) fn knows_better(&self, key: &Key, as_of: Position) -> bool {
        let ledger = self.ledger.lock();
        as_of.revision <= ledger.position().revision && !ledger.vouches_for(key, as_of)
    }

    /// Whether a kept snapshot from after a view is what that view shows: the key has not changed in between.
    pub(super) fn stood_still(&self, view: Revision, key: &Key) -> bool {
        self.ledger.lock().last_changed(key) <= view
    }

    /// Where a kind has something of this realm.
    pub(super) fn slot<K>(&self, id: K) -> (Generation, K) {
        (self.generation, id)
    }

    /// Keeps what was loaded, unless the key changed after it was read, or the log does not have what it was read at:
    /// the log was not yet read that far, or it is of a history that was lost.
    pub(super) fn keep<K, T>(&self, kind: &Kind<K, T>, id: K, key: &Key, loaded: &Arc<Kept<T>>)
    where
        K: Hash + Eq + Copy + Send + 'static,
        T: Weigh + Send + Sync + 'static,
    {
        let ledger = self.ledger.lock();
        if ledger.vouches_for(key, loaded.as_of) {
            kind.insert(self.slot(id), Arc::clone(loaded));
        }
    }

    /// Takes in what was loaded, and keeps it if it may. `None` = it was read from before what had been applied here when
    /// the load began: another database answered than the one that was written to.
    pub(super) fn take<K, T, R>(
        &self,
        kind: &Kind<K, T>,
        id: K,
        key: &Key,
        before: Revision,
        loaded: Loaded<R>,
        make: fn(R) -> T,
    ) -> Option<Arc<Kept<T>>>
    where
        K: Hash + Eq + Copy + Send + 'static,
        T: Weigh + Send + Sync + 'static,
    {
        let Loaded { as_of, value } = loaded;
        if as_of.revision < before {
            return None;
        }
        let loaded = Arc::new(Kept { as_of, value: value.map(make) });
        self.keep(kind, id, key, &loaded);
        Some(loaded)
    }

    pub(super) fn catalogue(&self) -> Option<Arc<RealmCatalogue<E>>> {
        self.catalogue.load_full()
    }

    /// The catalogue that is kept, and the position at which it is valid.
    pub(super) fn catalogue_at(&self) -> Option<(Arc<RealmCatalogue<E>>, Position)> {
        let ledger = self.ledger.lock();
        self.catalogue.load_full().map(|kept| (kept, ledger.position()))
    }

    /// Keeps a loaded catalogue, as [`keep`](Self::keep) does. Answers the position at which it is valid, if it is.
    pub(super) fn keep_catalogue(&self, loaded: &Arc<RealmCatalogue<E>>) -> Option<Position> {
        let ledger = self.ledger.lock();
        let valid = ledger.vouches_for(&Key::Catalogue, loaded.as_of);
        if valid {
            self.catalogue.store(Some(Arc::clone(loaded)));
        }
        valid.then(|| ledger.position())
    }

    /// Applies a change made here if it is the next one. `false` = the log has to be read: others came between, or what
    /// is kept here is not of the history that the change was made on.
    pub(super) fn apply_next(&self, change: &Committed) -> bool {
        let mut ledger = self.ledger.lock();
        let next = change.before == ledger.position();
        if next {
            change.keys.iter().for_each(|key| self.drop_key(&mut ledger, *key, change.position.revision));
            ledger.move_to(change.position);
            self.publish(&mut ledger);
        }
        next || ledger.remembers(change.position)
    }

    /// Applies what the log holds, read from `from` on, that position included. Changes made here may have been applied
    /// since it was read.
    pub(super) fn apply_log(&self, from: Position, lines: &[Line]) -> Continues {
        let mut ledger = self.ledger.lock();
        let mut last = None;
        for line in lines {
            let (at, applied) = (line.position, ledger.position());
            let follows = match last {
                None => at == from,
                Some(last) => at == last || at.revision.0 == last.revision.0 + 1,
            };
            if !follows || (at.revision == applied.revision && at.mark != applied.mark) {
                return Continues::No;
            }
            if at.revision >= applied.revision {
                let Some(key) = line.key else { return Continues::No };
                self.drop_key(&mut ledger, key, at.revision);
                ledger.move_to(at);
            }
            last = Some(at);
        }
        self.publish(&mut ledger);
        if last.is_some() { Continues::Yes } else { Continues::Nothing }
    }

    /// Shows what was applied, and keeps the ledgers of the process within their bound: the one that grows gives way if
    /// it is larger than most.
    fn publish(&self, ledger: &mut Ledger) {
        let listed = self.caches.ledger_keys.load(Ordering::Relaxed);
        let share = listed / self.caches.realms.load(Ordering::Relaxed).max(1);
        if listed > self.limits.keys && ledger.keys() >= share {
            forget(&self.caches.ledger_keys, ledger);
        }
        self.applied.store(ledger.position().revision.0, Ordering::Release);
    }

    fn drop_key(&self, ledger: &mut Ledger, key: Key, at: Revision) {
        if ledger.changed(key, at) {
            self.caches.ledger_keys.fetch_add(1, Ordering::Relaxed);
        }
        match key {
            Key::Principal(id) => drop_older(&self.caches.principals, &self.slot(id), at),
            Key::Organization(id) => drop_older(&self.caches.organizations, &self.slot(id), at),
            Key::Credential(hash) => drop_older(&self.caches.credentials, &self.slot(hash), at),
            Key::Catalogue => {
                if self.catalogue.load().as_ref().is_some_and(|kept| kept.as_of.revision < at) {
                    self.catalogue.store(None);
                }
            }
        }
    }
}

impl<E> Drop for RealmCache<E> {
    fn drop(&mut self) {
        forget(&self.caches.ledger_keys, self.ledger.get_mut());
        self.caches.realms.fetch_sub(1, Ordering::Relaxed);
    }
}

fn forget(listed: &AtomicUsize, ledger: &mut Ledger) {
    listed.fetch_sub(ledger.forget_keys(), Ordering::Relaxed);
}

/// Drops a snapshot unless it was read after the change.
fn drop_older<K, T>(kind: &Kind<K, T>, slot: &(Generation, K), at: Revision)
where
    K: Hash + Eq + Copy + Send + 'static,
    T: Weigh + Send + Sync + 'static,
{
    if kind.get(slot).is_some_and(|kept| kept.as_of.revision < at) {
        kind.remove(slot);
    }
}
