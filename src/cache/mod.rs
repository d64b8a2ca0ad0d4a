//! Snapshots in this process: fast, and never wrong for longer than promised.
//!
//! [`Snapshots`] hands out a [`View`]: everything that one decision gathers is of the one revision that the view names.
//! What went stale is learned from the change log (`tail`) or, for a change made here, at its commit. This floor
//! knows no store: `app` implements [`Source`] over it, and tests over whatever they like.
//!
//! ```text
//! check ──► view(freshness) ──► principal(id) ──► kept? ──► decide
//!                │                    └─ else one load for all who wait
//!                └─ tail first, if this process may be behind
//! commit ──► committed() ──► drop the keys, move on ──► acknowledge
//! ```

mod credential;
mod flights;
mod realm;
mod tail;
mod view;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use parking_lot::RwLock;
use rustc_hash::FxBuildHasher;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

pub use view::{Freshness, View};

use crate::domain::catalogue::Catalogue;
use crate::domain::change::{Committed, Line, Loaded};
use crate::domain::decision::CompiledPrincipal;
use crate::domain::ids::{OrganizationId, PrincipalId, RealmId, Revision};
use crate::domain::realm::Position;
use crate::domain::service_account::Credential;
use crate::domain::snapshot::{Organization, Principal};
use crate::domain::workload::Presented;
use credential::Strangers;
use realm::RealmCache;

/// Where snapshots come from: the record and the clock.
pub trait Source: Send + Sync + 'static {
    /// Something of the realm that is compiled along with its catalogue and goes stale with it.
    type Extra: Send + Sync + 'static;

    fn principal(&self, realm: RealmId, id: PrincipalId) -> impl Future<Output = Answer<Loaded<Principal>>> + Send;
    fn organization(
        &self,
        realm: RealmId,
        id: OrganizationId,
    ) -> impl Future<Output = Answer<Loaded<Organization>>> + Send;
    /// In any realm: a credential names its realm. `None` = unknown, in no realm at all; one that is revoked stands for
    /// nobody, in its realm.
    fn credential(&self, presented: &Presented) -> impl Future<Output = Answer<Option<Loaded<Credential>>>> + Send;
    fn catalogue(&self, realm: RealmId) -> impl Future<Output = Answer<RealmCatalogue<Self::Extra>>> + Send;
    /// Where a realm stands; `None` = there is no such realm.
    fn position(&self, realm: RealmId) -> impl Future<Output = Answer<Option<Position>>> + Send;
    /// The log from each realm's revision on, that one included.
    fn tail(&self, from: Vec<(RealmId, Revision)>) -> impl Future<Output = Answer<Vec<Line>>> + Send;
    /// A clock that only goes forward, also while the machine sleeps.
    fn elapsed(&self) -> Duration;
}

/// What a source answers.
pub type Answer<T> = Result<T, Unavailable>;

/// The record can't be asked just now. Nobody may conclude anything from it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the record is unavailable")]
pub struct Unavailable;

/// Why a view could not answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Miss {
    /// The realm moved on while facts were gathered: gather again.
    #[error("the realm moved on")]
    Moved,
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// A compiled catalogue with what goes stale along with it.
#[derive(Debug)]
pub struct RealmCatalogue<E> {
    /// The position that it was read at.
    pub as_of: Position,
    pub catalogue: Catalogue,
    pub extra: E,
}

/// How this process keeps up, and how much it keeps.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whether other processes write to the same record. If not, this process knows of every change by itself.
    pub shared: bool,
    /// How long kept snapshots serve after the last successful tail, while the record can't be asked.
    pub database_lost_grace: Duration,
    /// Principals kept per realm; the least useful ones give way.
    pub principals: usize,
}

/// Kept snapshots may serve while the last successful tail began at most so long ago.
pub const TAIL_FRESH: Duration = Duration::from_millis(500);
/// How long a check waits for a tail before it answers UNAVAILABLE.
pub const TAIL_DEADLINE: Duration = Duration::from_secs(1);
/// How long a load may take before those who wait for it are told that the record is unavailable.
pub const LOAD_DEADLINE: Duration = Duration::from_secs(2);
/// How often facts are gathered again because the realm moved on meanwhile.
pub const GATHER_AGAIN: usize = 3;

/// Keyed by what the server made: a fast hash will do.
type Realms<E> = HashMap<RealmId, Arc<RealmCache<E>>, FxBuildHasher>;

/// Every snapshot that this process keeps.
#[derive(Debug)]
pub struct Snapshots<S: Source> {
    source: Arc<S>,
    options: Options,
    realms: RwLock<Realms<S::Extra>>,
    /// To which realm a credential belonged when it was looked up last.
    credential_realms: quick_cache::sync::Cache<[u8; 32], RealmId>,
    strangers: Strangers,
    tail: tail::Tail,
    /// Told whenever a change may have been applied.
    moved: Notify,
    counters: Counters,
}

/// How often snapshots were found here, and how often they had to be loaded.
#[derive(Debug, Default)]
pub struct Counters {
    hits: AtomicU64,
    loads: AtomicU64,
}

impl<S: Source> Snapshots<S> {
    /// An empty cache over a source.
    #[must_use]
    pub fn new(source: Arc<S>, options: Options) -> Self {
        Self {
            source,
            options,
            realms: RwLock::default(),
            credential_realms: quick_cache::sync::Cache::new(options.principals.max(1)),
            strangers: Strangers::new(options.principals.max(1)),
            tail: tail::Tail::default(),
            moved: Notify::new(),
            counters: Counters::default(),
        }
    }

    /// Snapshots found in this process so far, and loaded from the record so far.
    #[must_use]
    pub fn hits_and_loads(&self) -> (u64, u64) {
        use std::sync::atomic::Ordering::Relaxed;
        (self.counters.hits.load(Relaxed), self.counters.loads.load(Relaxed))
    }

    /// How many principals this process keeps.
    #[must_use]
    pub fn kept(&self) -> u64 {
        self.realms.read().values().map(|realm| realm.principals.len()).sum()
    }

    /// Applies a change that was committed here, so that whoever asks from now on sees it.
    ///
    /// What can't be applied in order makes this process look at the log first; if it can't, kept snapshots stay out of
    /// use until it could.
    pub async fn committed(&self, change: &Committed) {
        // A realm that nobody asked about yet begins here, not where somebody may have seen it just before the change.
        let realm = self.begun(change.realm, change.position);
        self.strangers.introduced(&change.keys);
        let seen = if change.keys.is_empty() { realm.has_reached(change.before) } else { realm.apply_next(change) };
        if !seen {
            self.look_again().await;
        }
        self.moved.notify_waiters();
    }

    /// Waits until a change may have been applied here, in any realm.
    pub fn moved(&self) -> Notified<'_> {
        self.moved.notified()
    }

    /// Looks at the log before anything kept is used again: the outcome of a commit is unknown.
    pub async fn look_again(&self) {
        self.distrust();
        if self.tail_after(self.source.elapsed()).await.is_err() {
            tracing::warn!("the change log can't be read; kept snapshots are out of use until it can");
        }
    }

    /// Makes the next check look at the log first. For whoever can't wait: a change whose caller is gone.
    pub fn distrust(&self) {
        self.strangers.forget();
        self.tail.distrust();
    }

    /// The catalogue that is kept of a realm, of whatever revision. For a change, which knows which one it needs.
    #[must_use]
    pub fn kept_catalogue(&self, realm: RealmId) -> Option<Arc<RealmCatalogue<S::Extra>>> {
        self.known(realm).and_then(|realm| realm.catalogue())
    }

    /// Whether this process follows a realm: it has seen that there is one.
    #[must_use]
    pub fn follows(&self, realm: RealmId) -> bool {
        self.realms.read().contains_key(&realm)
    }

    fn known(&self, realm: RealmId) -> Option<Arc<RealmCache<S::Extra>>> {
        self.realms.read().get(&realm).cloned()
    }

    /// The cache of a realm, begun at the position that the record has now. `None` = there is no such realm.
    async fn realm(&self, id: RealmId) -> Answer<Option<Arc<RealmCache<S::Extra>>>> {
        if let Some(known) = self.known(id) {
            return Ok(Some(known));
        }
        let position = Box::pin(self.source.position(id)).await?;
        Ok(position.map(|position| self.begun(id, position)))
    }

    /// The cache of a realm, begun at this position unless it had begun before.
    fn begun(&self, id: RealmId, position: Position) -> Arc<RealmCache<S::Extra>> {
        self.known(id).unwrap_or_else(|| {
            let mut realms = self.realms.write();
            Arc::clone(realms.entry(id).or_insert_with(|| self.begin(id, position)))
        })
    }

    fn begin(&self, id: RealmId, position: Position) -> Arc<RealmCache<S::Extra>> {
        Arc::new(RealmCache::new(id, position, self.options.principals))
    }
}

/// What a view hands out: the snapshot with its index.
pub type Subject = Arc<CompiledPrincipal>;
