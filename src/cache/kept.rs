//! Everything that this process keeps of all realms, in one budget.
//!
//! What is kept is filed under the generation of its realm's cache and its own id: a realm that starts over has a new
//! generation, and nobody finds what was kept under the old one, which gives way in time.

use std::hash::Hash;
use std::mem::size_of;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use arc_swap::ArcSwapOption;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::single_flight::SingleFlight;
use crate::domain::change::Loaded;
use crate::domain::decision::CompiledPrincipal;
use crate::domain::ids::{OrganizationId, PrincipalId};
use crate::domain::realm::Position;
use crate::domain::service_account::Credential;
use crate::domain::snapshot::{Entry, Membership, Organization, Principal};

/// What a principal with five entries takes, with its index and its place in the cache.
const BYTES_PER_PRINCIPAL: u64 = 1_024;
/// The least that a budget is, so that whatever is small finds room in any part of it.
const BUDGET_MIN: u64 = 1 << 20;
/// A snapshot counts for at most this part of the budget: the cache is in up to a thousand parts, each with its share,
/// and what does not fit into one would never be kept.
const WEIGHT_PART: u64 = 2_048;

/// Numbers the caches of realms: no two that ever were have the same.
pub(super) type Generation = u64;

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

impl From<Principal> for KeptPrincipal {
    fn from(snapshot: Principal) -> Self {
        Self { snapshot: Arc::new(snapshot), compiled: None.into() }
    }
}

/// What something takes, in bytes, as far as that differs from one to the next.
pub(super) trait Weigh {
    fn bytes(&self) -> usize;
}

impl Weigh for KeptPrincipal {
    fn bytes(&self) -> usize {
        let Principal { memberships, entries, ended_sessions, .. } = &*self.snapshot;
        let membership = |held: &Membership| {
            let attributes = held.attributes.iter().map(|(name, value)| name.len() + value.len() + 64);
            size_of::<Membership>() + attributes.sum::<usize>()
        };
        let resource = |entry: &Entry| entry.resource.as_ref().map_or(0, |on| 64 + on.kind.len() + on.id.len());
        // Each entry stands in the index as well.
        let entry = |entry: &Entry| 2 * size_of::<Entry>() + resource(entry);
        2 * size_of::<Principal>()
            + memberships.iter().map(membership).sum::<usize>()
            + entries.iter().map(entry).sum::<usize>()
            + 16 * ended_sessions.len()
    }
}

impl Weigh for Arc<Organization> {
    fn bytes(&self) -> usize {
        size_of::<Organization>() + self.kind.len() + self.entitlements.iter().map(|one| 24 + one.len()).sum::<usize>()
    }
}

impl Weigh for Credential {
    fn bytes(&self) -> usize {
        size_of::<Self>()
    }
}

/// Weighs what is kept, so that one tenant's large snapshots take no more room than many small ones.
#[derive(Clone, Debug)]
struct Scales {
    /// The most that one snapshot counts for.
    most: u64,
}

impl<K, T: Weigh> Weighter<K, Arc<Kept<T>>> for Scales {
    fn weight(&self, _key: &K, kept: &Arc<Kept<T>>) -> u64 {
        let own = size_of::<K>() + size_of::<Kept<T>>() + 64;
        let bytes = own + kept.value.as_ref().map_or(0, Weigh::bytes);
        u64::try_from(bytes).unwrap_or(u64::MAX).min(self.most)
    }
}

/// The snapshots of one kind, with the loads of them that are under way.
#[derive(Debug)]
pub(super) struct Kind<K: Hash + Eq, T: Weigh> {
    kept: Cache<(Generation, K), Arc<Kept<T>>, Scales>,
    /// Of a load that read the database from before what this process has applied: nothing.
    pub(super) loads: SingleFlight<(Generation, K), Option<Arc<Kept<T>>>>,
}

impl<K, T> Kind<K, T>
where
    K: Hash + Eq + Copy + Send + 'static,
    T: Weigh + Send + Sync + 'static,
{
    fn new(items: usize, budget: u64) -> Self {
        let budget = budget.max(BUDGET_MIN);
        let scales = Scales { most: (budget / WEIGHT_PART).max(512) };
        Self { kept: Cache::with_weighter(items.max(16), budget, scales), loads: SingleFlight::default() }
    }

    pub(super) fn get(&self, slot: &(Generation, K)) -> Option<Arc<Kept<T>>> {
        self.kept.get(slot)
    }

    pub(super) fn insert(&self, slot: (Generation, K), kept: Arc<Kept<T>>) {
        self.kept.insert(slot, kept);
    }

    pub(super) fn remove(&self, slot: &(Generation, K)) {
        self.kept.remove(slot);
    }
}

/// What this process keeps, of all kinds and realms.
#[derive(Debug)]
pub(super) struct Caches {
    pub(super) principals: Kind<PrincipalId, KeptPrincipal>,
    pub(super) organizations: Kind<OrganizationId, Arc<Organization>>,
    pub(super) credentials: Kind<[u8; 32], Credential>,
    /// Caches of realms that are in use, and the keys that their ledgers list.
    pub(super) realms: AtomicUsize,
    pub(super) ledger_keys: AtomicUsize,
}

impl Caches {
    /// Room for so many principals with five entries each, and a fourth of it for organizations and for credentials.
    pub(super) fn new(principals: usize) -> Self {
        let budget = BYTES_PER_PRINCIPAL * principals as u64;
        Self {
            principals: Kind::new(principals, budget),
            organizations: Kind::new(principals / 4, budget / 8),
            credentials: Kind::new(principals / 4, budget / 8),
            realms: AtomicUsize::new(0),
            ledger_keys: AtomicUsize::new(0),
        }
    }

    pub(super) fn kept_principals(&self) -> u64 {
        u64::try_from(self.principals.kept.len()).unwrap_or(u64::MAX)
    }
}
