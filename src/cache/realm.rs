//! What this process keeps of one realm, and the ledger that says whether it may.

use std::collections::HashMap;
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

/// A kept snapshot, or the kept knowledge that there is none.
#[derive(Debug)]
pub(super) struct Kept<T> {
    pub(super) as_of: Revision,
    pub(super) value: Option<T>,
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
    /// When each key changed last; what is not listed changed at `floor` or before.
    last_changed: HashMap<Key, Revision>,
    floor: Revision,
}

/// Everything kept of one realm.
///
/// INVARIANT: what is kept under a key is valid at every revision from its `as_of` to `applied`. A change drops the key
/// under the ledger's lock before `applied` moves, and a load is kept, under the same lock, only if it read the record
/// at or after the key's last change.
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
            ledger: Mutex::new(Ledger { position, last_changed: HashMap::new(), floor: position.revision }),
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

    /// When the key changed last, as far as it matters: a load must have read the record at or after that.
    pub(super) fn last_changed(&self, key: &Key) -> Revision {
        let ledger = self.ledger.lock();
        ledger.last_changed.get(key).copied().unwrap_or(ledger.floor)
    }

    /// Keeps what was loaded, unless the key changed after it was read. Answers it either way.
    pub(super) fn keep<K, T>(&self, shelf: &Shelf<K, T>, slot: K, key: &Key, loaded: Loaded<T>) -> Arc<Kept<T>>
    where
        K: Hash + Eq + Copy + Send + 'static,
        T: Send + Sync + 'static,
    {
        let kept = Arc::new(Kept { as_of: loaded.as_of, value: loaded.value });
        let ledger = self.ledger.lock();
        if kept.as_of >= ledger.last_changed.get(key).copied().unwrap_or(ledger.floor) {
            shelf.kept.insert(slot, Arc::clone(&kept));
        }
        kept
    }

    pub(super) fn catalogue(&self) -> Option<Arc<RealmCatalogue<E>>> {
        self.catalogue.load_full()
    }

    pub(super) fn keep_catalogue(&self, loaded: &Arc<RealmCatalogue<E>>) {
        let ledger = self.ledger.lock();
        let changed = ledger.last_changed.get(&Key::Catalogue).copied().unwrap_or(ledger.floor);
        if loaded.catalogue.as_of >= changed {
            self.catalogue.store(Some(Arc::clone(loaded)));
        }
    }

    /// Applies a change made here if it is the next one. If it is not, its keys are dropped all the same, and `false`
    /// says that the log has to be read.
    pub(super) fn apply_next(&self, change: &Committed) -> bool {
        let mut ledger = self.ledger.lock();
        if change.position.revision <= ledger.position.revision {
            return change.position == ledger.position || ledger.position.revision > change.position.revision;
        }
        for key in &change.keys {
            self.drop_key(&mut ledger, *key, change.position.revision);
        }
        let next = change.before == ledger.position;
        if next {
            self.advance(&mut ledger, change.position);
        }
        next
    }

    /// Applies what the log holds from `applied` on, that revision included. `false` = the log does not continue what
    /// is kept here: the mark is another one, or lines are missing.
    pub(super) fn apply_log(&self, lines: &[Line]) -> bool {
        let mut ledger = self.ledger.lock();
        let from = ledger.position.revision;
        let mut lines = lines.iter().skip_while(|line| line.position.revision < from).peekable();
        if lines.peek().is_none_or(|line| line.position != ledger.position) {
            return false;
        }
        for line in lines {
            let (Revision(at), Revision(applied)) = (line.position.revision, ledger.position.revision);
            if (at == applied && line.position.mark != ledger.position.mark) || at > applied + 1 {
                return false;
            }
            self.drop_key(&mut ledger, line.key, line.position.revision);
            if at > applied {
                ledger.position = line.position;
            }
        }
        let position = ledger.position;
        self.advance(&mut ledger, position);
        true
    }

    /// Forgets everything and begins again at that position.
    pub(super) fn restart(&self, position: Position) {
        let mut ledger = self.ledger.lock();
        ledger.last_changed.clear();
        ledger.floor = position.revision;
        self.principals.kept.clear();
        self.organizations.kept.clear();
        self.credentials.kept.clear();
        self.catalogue.store(None);
        self.advance(&mut ledger, position);
    }

    fn advance(&self, ledger: &mut Ledger, position: Position) {
        ledger.position = position;
        if ledger.last_changed.len() > LEDGER_KEYS_MAX {
            ledger.last_changed.clear();
            ledger.floor = position.revision;
        }
        self.applied.store(position.revision.0, Ordering::Release);
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
    if shelf.kept.get(slot).is_some_and(|kept| kept.as_of < at) {
        shelf.kept.remove(slot);
    }
}
