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
mod kept;
mod ledger;
mod read_set;
mod realm;
mod single_flight;
mod tail;
mod view;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use rustc_hash::FxBuildHasher;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

pub use read_set::ReadSet;
pub use view::{Freshness, View};

use crate::domain::catalogue::Catalogue;
use crate::domain::change::{Committed, Line, Loaded};
use crate::domain::decision::CompiledPrincipal;
use crate::domain::ids::{OrganizationId, PrincipalId, RealmId, Revision};
use crate::domain::realm::Position;
use crate::domain::service_account::Credential;
use crate::domain::snapshot::{Organization, Principal};
use crate::domain::workload::Presented;
use credential::UnknownCredentials;
use kept::Caches;
use realm::RealmCache;
use tail::Stand;

/// Where snapshots come from: the database and the clock.
pub trait Source: Send + Sync + 'static {
    /// Something of the realm that is compiled along with its catalogue and goes stale with it.
    type Extra: Send + Sync + 'static;

    /// Principals of a realm, each named once, in their order; in as few trips as it takes.
    fn principals(
        &self,
        realm: RealmId,
        ids: Vec<PrincipalId>,
    ) -> impl Future<Output = Answer<Vec<Loaded<Principal>>>> + Send;
    /// As [`principals`](Self::principals).
    fn organizations(
        &self,
        realm: RealmId,
        ids: Vec<OrganizationId>,
    ) -> impl Future<Output = Answer<Vec<Loaded<Organization>>>> + Send;
    /// In any realm: a credential names its realm. `None` = unknown, in no realm at all; one that is revoked stands for
    /// nobody, in its realm.
    fn credential(&self, presented: &Presented) -> impl Future<Output = Answer<Option<Loaded<Credential>>>> + Send;
    fn catalogue(&self, realm: RealmId) -> impl Future<Output = Answer<RealmCatalogue<Self::Extra>>> + Send;
    /// Where a realm stands; `None` = there is no such realm.
    fn position(&self, realm: RealmId) -> impl Future<Output = Answer<Option<Position>>> + Send;
    /// Where every realm stands.
    fn positions(&self) -> impl Future<Output = Answer<Vec<(RealmId, Position)>>> + Send;
    /// The log of up to a hundred realms, each from a revision on, that one included, over so many revisions; a realm's
    /// lines in their order.
    fn log(&self, from: Vec<(RealmId, Revision)>, revisions: i64) -> impl Future<Output = Answer<Vec<Line>>> + Send;
    /// A clock that only goes forward, also while the machine sleeps.
    fn elapsed(&self) -> Duration;
}

/// What a source answers.
pub type Answer<T> = Result<T, Unavailable>;

/// The database can't be asked just now. Nobody may conclude anything from it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the database is unavailable")]
pub struct Unavailable;

/// Why a view could not answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Miss {
    /// A fact changed while it was gathered with others: gather again.
    #[error("a fact changed while it was read")]
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
    /// Whether other processes write to the same database. If not, this process knows of every change by itself.
    pub shared: bool,
    /// How long kept snapshots serve after the last successful tail, while the database can't be asked.
    pub database_lost_grace: Duration,
    /// Principals kept, in all realms: so many with five entries each, fewer larger ones. The least useful give way.
    pub principals: usize,
    pub remembered: Remembered,
}

/// How much of what happened this process remembers. Less means that more is read again, never that something stale
/// serves.
#[derive(Clone, Copy, Debug)]
pub struct Remembered {
    /// So many of a realm's newest positions, to tell its history from another one: more than a failover loses.
    pub positions: usize,
    /// So many keys as changed, in all realms.
    pub keys: usize,
}

impl Default for Remembered {
    /// 64 KiB of positions per realm that moves, and some 8 MB of keys.
    fn default() -> Self {
        Self { positions: 4_096, keys: 100_000 }
    }
}

/// Kept snapshots may serve while the last successful tail began at most so long ago.
pub const TAIL_FRESH: Duration = Duration::from_millis(500);
/// How long a check waits for a tail before it answers UNAVAILABLE.
pub const TAIL_DEADLINE: Duration = Duration::from_secs(1);
/// How long a load may take before those who wait for it are told that the database is unavailable.
pub const LOAD_DEADLINE: Duration = Duration::from_secs(2);
/// How often facts are gathered again because the realm moved on meanwhile.
pub const GATHER_AGAIN: usize = 3;
/// How often a long read begins again, with all that it has read so far: each time only what changed since is loaded.
pub const READ_AGAIN: usize = 10;

/// Keyed by what the server made: a fast hash will do.
type Realms<E> = HashMap<RealmId, Arc<RealmCache<E>>, FxBuildHasher>;

/// Every snapshot that this process keeps.
#[derive(Debug)]
pub struct Snapshots<S: Source> {
    source: Arc<S>,
    options: Options,
    realms: RwLock<Realms<S::Extra>>,
    /// How far this process knew the realms that it let go.
    left_at: Mutex<HashMap<RealmId, Position>>,
    caches: Arc<Caches>,
    /// How many caches of realms have begun.
    generations: AtomicU64,
    /// To which realm a credential belonged when it was looked up last.
    credential_realms: quick_cache::sync::Cache<[u8; 32], RealmId>,
    unknown_credentials: UnknownCredentials,
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
            left_at: Mutex::default(),
            caches: Arc::new(Caches::new(options.principals)),
            generations: AtomicU64::new(0),
            credential_realms: quick_cache::sync::Cache::new(options.principals.max(1)),
            unknown_credentials: UnknownCredentials::new(options.principals.max(1)),
            tail: tail::Tail::default(),
            moved: Notify::new(),
            counters: Counters::default(),
        }
    }

    /// Snapshots found in this process so far, and loaded from the database so far.
    #[must_use]
    pub fn hits_and_loads(&self) -> (u64, u64) {
        (self.counters.hits.load(Ordering::Relaxed), self.counters.loads.load(Ordering::Relaxed))
    }

    /// How many principals this process keeps.
    #[must_use]
    pub fn kept(&self) -> u64 {
        self.caches.kept_principals()
    }

    /// Lets go of realms that nobody has asked about since this was called last. Who asks again begins anew.
    pub fn forget_idle(&self) {
        let mut realms = self.realms.write();
        let idle: Vec<_> = realms.iter().filter(|(_, realm)| realm.is_idle()).map(|(id, _)| *id).collect();
        idle.into_iter().for_each(|id| self.leave(&mut realms, id));
    }

    /// Lets go of a realm. How far this process knew it stays known: it never answers from behind that.
    fn leave(&self, realms: &mut Realms<S::Extra>, id: RealmId) {
        if let Some(realm) = realms.remove(&id) {
            self.left_at.lock().insert(id, realm.ledger().known());
        }
    }

    /// How many realms this process follows.
    #[must_use]
    pub fn followed(&self) -> usize {
        self.realms.read().len()
    }

    /// Applies a change that was committed here, so that a check that begins from now on sees it.
    ///
    /// What can't be applied in order makes this process look at the log first; if it can't, kept snapshots stay out of
    /// use until it could.
    pub async fn committed(&self, change: &Committed) {
        // A realm that nobody asked about yet begins here, not where somebody may have seen it just before the change.
        let realm =
            self.begun(change.realm, change.position, Stand { began: tail::Instant::default(), ..self.stand() });
        self.unknown_credentials.introduced(&change.keys);
        let seen = match change.keys.is_empty() {
            true => realm.ledger().remembers(change.before),
            false => realm.apply_next(change),
        };
        if !seen {
            realm.ledger().owe(change.position);
            // The realm may have started over just now.
            if let Some(realm) = self.known(change.realm) {
                realm.ledger().owe(change.position);
            }
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
        self.unknown_credentials.forget();
        self.tail.distrust();
    }

    /// The catalogue that is kept of a realm, if it is what a transaction at that position has, where the catalogue changed
    /// last at `changed`. That its revision is as high does not say so: after a failover that lost changes, the same
    /// numbers stand for others. So the transaction's log must have (`has`) the position at which the catalogue is known to
    /// be valid, or this process must have gone past the transaction's position with the catalogue as it is.
    ///
    /// # Errors
    /// Those of `has`.
    pub async fn catalogue_for<F>(
        &self,
        realm: RealmId,
        at: Position,
        changed: Revision,
        has: impl AsyncFnOnce(Position) -> Result<bool, F>,
    ) -> Result<Option<Arc<RealmCatalogue<S::Extra>>>, F> {
        let Some(home) = self.known(realm) else { return Ok(None) };
        let Some((kept, valid_at)) = home.catalogue_at().filter(|(kept, _)| kept.as_of.revision >= changed) else {
            return Ok(None);
        };
        // What is kept is valid from where it was read to `valid_at`, on the history that is known here.
        let same = match valid_at.revision <= at.revision {
            true => valid_at == at || has(valid_at).await?,
            false => kept.as_of.revision <= at.revision && home.ledger().remembers(at),
        };
        Ok(same.then_some(kept))
    }

    /// Whether this process follows a realm: it has seen that there is one.
    #[must_use]
    pub fn follows(&self, realm: RealmId) -> bool {
        self.realms.read().contains_key(&realm)
    }

    fn known(&self, realm: RealmId) -> Option<Arc<RealmCache<S::Extra>>> {
        self.realms.read().get(&realm).cloned()
    }

    /// The cache of a realm, fit to serve a request that began before this call. `None` = there is no such realm.
    async fn realm(&self, id: RealmId) -> Answer<Option<Arc<RealmCache<S::Extra>>>> {
        match self.known(id) {
            Some(known) if self.is_fresh(&known) => {
                known.ask();
                Ok(Some(known))
            }
            Some(_) => Box::pin(self.caught_up(id)).await,
            None => Box::pin(self.first_seen(id)).await,
        }
    }

    async fn first_seen(&self, id: RealmId) -> Answer<Option<Arc<RealmCache<S::Extra>>>> {
        match self.begun_here(id).await? {
            Some(realm) if self.is_fresh(&realm) => Ok(Some(realm)),
            Some(_) => self.caught_up(id).await,
            None => Ok(None),
        }
    }

    /// The cache of a realm, begun at the position that the database has now. Its freshness counts from before that was
    /// asked: a process that is stopped in between follows the realm from where it stood then.
    async fn begun_here(&self, id: RealmId) -> Answer<Option<Arc<RealmCache<S::Extra>>>> {
        let stand = self.stand();
        let Some(position) = self.source.position(id).await? else { return Ok(None) };
        if self.left_at.lock().get(&id).is_some_and(|left_at| position.revision < left_at.revision) {
            return Err(Unavailable);
        }
        Ok(Some(self.begun(id, position, stand)))
    }

    /// The cache of a realm, begun at this position unless it had begun before.
    fn begun(&self, id: RealmId, position: Position, stand: Stand) -> Arc<RealmCache<S::Extra>> {
        self.known(id).unwrap_or_else(|| {
            let mut realms = self.realms.write();
            Arc::clone(realms.entry(id).or_insert_with(|| self.begin(id, position, stand)))
        })
    }

    fn begin(&self, id: RealmId, position: Position, stand: Stand) -> Arc<RealmCache<S::Extra>> {
        let generation = self.generations.fetch_add(1, Ordering::Relaxed);
        let room = (Arc::clone(&self.caches), self.options.remembered);
        let realm = RealmCache::new((id, generation), position, stand, room);
        if let Some(left_at) = self.left_at.lock().remove(&id) {
            realm.ledger().owe(left_at);
        }
        Arc::new(realm)
    }
}

/// What a view hands out: the snapshot with its index.
pub type Subject = Arc<CompiledPrincipal>;
