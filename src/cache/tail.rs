//! Reading the change log, and knowing of each realm how long ago that was.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::Mutex;

use super::realm::{Continues, RealmCache};
use super::{Answer, Snapshots, Source, TAIL_DEADLINE, TAIL_FRESH, Unavailable};
use crate::domain::change::Line;
use crate::domain::ids::RealmId;
use crate::domain::realm::Position;

/// So many realms are read by one statement.
const REALMS_AT_ONCE: usize = 100;
/// So many revisions are read by one statement, of all its realms together. Each reading is applied before the next, so
/// that whoever gives up waiting leaves the log shorter than it was: at 10,000 lines a second, a twentieth of a second.
const REVISIONS_AT_ONCE: i64 = 500;
/// A realm that is so many revisions behind starts over: to load what is asked for costs less than to read what is not.
const LAG_MAX: i64 = 20_000;

/// An instant of the source's own clock in microseconds, counted from 1; 0 = never.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) struct Instant(pub(super) u64);

impl Instant {
    pub(super) fn at(elapsed: Duration) -> Self {
        Self(u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX - 1) + 1)
    }

    /// How long ago; `None` = never.
    pub(super) fn age(self, now: Duration) -> Option<Duration> {
        (self.0 > 0).then(|| Duration::from_micros(Self::at(now).0.saturating_sub(self.0)))
    }
}

/// What a reading knows that succeeds: when it began, and after how many doubts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stand {
    pub(super) began: Instant,
    pub(super) doubts: u64,
}

/// When the log was read last.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// When the last successful reading began.
    began: AtomicU64,
    /// How often something may have been committed here that was not applied. Each realm knows how many are settled.
    doubts: AtomicU64,
    /// How many of them had come up when the last successful reading began.
    settled: AtomicU64,
    /// Whether the last reading failed.
    failing: AtomicBool,
    /// When the last reading began, successful or not, and whether it was. Held while the log is read.
    running: Mutex<Option<(Duration, Answer<()>)>>,
}

impl Tail {
    pub(super) fn distrust(&self) {
        self.doubts.fetch_add(1, Ordering::AcqRel);
    }

    fn doubts(&self) -> u64 {
        self.doubts.load(Ordering::Acquire)
    }
}

/// A realm of this process, and the newest position known of it before the database was asked.
struct Followed<E> {
    realm: Arc<RealmCache<E>>,
    before: Position,
}

/// What the database says of where a realm stands.
enum Found {
    /// As it is kept here.
    Level,
    /// Ahead: the log has to be read.
    Ahead,
    /// Behind what was answered here, on the same history: that is not the database that was written to.
    Behind,
    /// On another history, or too far ahead.
    Elsewhere,
}

impl<E> Followed<E> {
    fn compare(&self, at: Position) -> Found {
        let ledger = self.realm.ledger();
        if at.revision < self.before.revision {
            // Of positions from before its memory and of those that it has not applied yet the ledger knows nothing. A
            // history that was lost is found out as soon as the other one has gone on for as long.
            let unknown = ledger.is_before_memory(at) || at.revision > ledger.position().revision;
            let same = unknown || ledger.remembers(at);
            return if same { Found::Behind } else { Found::Elsewhere };
        }
        if ledger.remembers(at) {
            return Found::Level;
        }
        let lag = at.revision.0 - ledger.position().revision.0;
        if (1..=LAG_MAX).contains(&lag) { Found::Ahead } else { Found::Elsewhere }
    }
}

impl<S: Source> Snapshots<S> {
    /// Whether what is kept of a realm may serve a request that began before this call.
    ///
    /// A process that is alone knows every change by itself. One among several must have read the log lately; while the
    /// database can't be asked, the grace decides.
    pub(super) fn is_fresh(&self, realm: &RealmCache<S::Extra>) -> bool {
        if !realm.is_trusted(self.tail.doubts()) {
            return false;
        }
        let recent = || realm.age(self.source.elapsed()).is_some_and(|age| age <= TAIL_FRESH);
        // A database that is lost for a while is asked in the background; a check need not wait for each answer that is
        // none.
        !self.options.shared || recent() || (self.tail.failing.load(Ordering::Acquire) && self.within_grace(realm))
    }

    fn within_grace(&self, realm: &RealmCache<S::Extra>) -> bool {
        let age = realm.age(self.source.elapsed());
        realm.is_trusted(self.tail.doubts()) && age.is_some_and(|age| age <= self.options.database_lost_grace)
    }

    /// A reading of the database that begins now.
    pub(super) fn stand(&self) -> Stand {
        Stand { began: Instant::at(self.source.elapsed()), doubts: self.tail.doubts() }
    }

    /// The realm once a reading that began after this call has vouched for it, or the grace lets it serve. `None` = there
    /// is no such realm.
    pub(super) async fn caught_up(&self, id: RealmId) -> Answer<Option<Arc<RealmCache<S::Extra>>>> {
        match self.read_since(id, self.source.elapsed()).await {
            Err(fault) => self.known(id).filter(|realm| self.within_grace(realm)).map(Some).ok_or(fault),
            read => read,
        }
    }

    /// As [`caught_up`](Self::caught_up), whatever the grace.
    pub(super) async fn read_since(&self, id: RealmId, asked: Duration) -> Answer<Option<Arc<RealmCache<S::Extra>>>> {
        // A reading that others began may not have known of the realm yet: the next one does.
        for _ in 0..2 {
            self.tail_after(self.source.elapsed()).await?;
            // One that was let go meanwhile begins anew.
            let realm = match self.known(id) {
                Some(realm) => realm,
                None => match self.begun_here(id).await? {
                    Some(realm) => realm,
                    None => return Ok(None),
                },
            };
            if realm.is_vouched_since(asked) && realm.is_trusted(self.tail.doubts()) {
                return Ok(Some(realm));
            }
        }
        Err(Unavailable)
    }

    /// Reads the log once, for everybody who asked before the reading began. Waits a second at most.
    ///
    /// # Errors
    /// [`Unavailable`] if the database can't be asked in time.
    pub async fn tail_now(&self) -> Answer<()> {
        self.tail_after(self.source.elapsed()).await
    }

    /// Makes sure that a reading that began at `asked` or later has succeeded. Boxed, so that a check, which hardly ever
    /// reads the log, is not as large as if it did.
    pub(super) fn tail_after(&self, asked: Duration) -> BoxFuture<'_, Answer<()>> {
        let reading = async move {
            let mut running = self.tail.running.lock().await;
            if let Some((began, outcome)) = *running
                && began >= asked
            {
                return outcome;
            }
            let began = self.source.elapsed();
            // Doubts last until a reading has succeeded: this one may fail, or be given up by whoever waits for it.
            let stand = Stand { began: Instant::at(began), doubts: self.tail.doubts() };
            let outcome = self.read_log(stand).await;
            if outcome.is_ok() {
                self.tail.settled.store(stand.doubts, Ordering::Release);
                self.tail.began.store(stand.began.0, Ordering::Release);
                self.moved.notify_waiters();
            }
            *running = Some((began, outcome));
            outcome
        };
        let bounded = async {
            let outcome = tokio::time::timeout(TAIL_DEADLINE, reading).await.unwrap_or(Err(Unavailable));
            self.tail.failing.store(outcome.is_err(), Ordering::Release);
            outcome
        };
        Box::pin(bounded)
    }

    /// Whether what is kept may serve just now, without a look at the log.
    #[must_use]
    pub fn may_serve(&self) -> bool {
        let age = Instant(self.tail.began.load(Ordering::Acquire)).age(self.source.elapsed());
        let may = |most: Duration| age.is_some_and(|age| age <= most);
        let trusted = self.tail.settled.load(Ordering::Acquire) == self.tail.doubts();
        trusted && (!self.options.shared || may(TAIL_FRESH) || may(self.options.database_lost_grace))
    }

    /// Asks where all realms stand, and reads the log of those that moved.
    async fn read_log(&self, stand: Stand) -> Answer<()> {
        let followed = |realm: &Arc<_>| Followed { realm: Arc::clone(realm), before: realm.ledger().known() };
        let followed: Vec<_> = self.realms.read().values().map(followed).collect();
        let found: HashMap<RealmId, Position> = self.source.positions().await?.into_iter().collect();
        let mut ahead = vec![];
        for one in followed {
            let Some(at) = found.get(&one.realm.id).copied() else {
                self.leave(&mut self.realms.write(), one.realm.id);
                continue;
            };
            match one.compare(at) {
                Found::Level => one.realm.vouch(stand),
                Found::Ahead => ahead.push((one, at)),
                Found::Behind => tracing::warn!(
                    realm = %one.realm.id, revision = one.before.revision.0, database = at.revision.0,
                    "the database is behind what was answered here: a standby, or one that lost changes"
                ),
                Found::Elsewhere => self.start_over(&one).await?,
            }
        }
        while !ahead.is_empty() {
            let rest = ahead.len().saturating_sub(REALMS_AT_ONCE);
            self.read_ahead(ahead.split_off(rest), stand).await?;
        }
        Ok(())
    }

    /// Reads the log of some realms up to where they were found to stand, and applies it piece by piece.
    async fn read_ahead(&self, mut left: Vec<(Followed<S::Extra>, Position)>, stand: Stand) -> Answer<()> {
        while !left.is_empty() {
            let each = (REVISIONS_AT_ONCE / i64::try_from(left.len()).unwrap_or(i64::MAX)).max(2);
            let from: Vec<_> = left.iter().map(|(one, _)| one.realm.position()).collect();
            let asked = left.iter().zip(&from).map(|((one, _), at)| (one.realm.id, at.revision)).collect();
            let lines = self.source.log(asked, each).await?;
            self.unknown_credentials.introduced(lines.iter().filter_map(|line| line.key.as_ref()));
            let mut of_realm: HashMap<RealmId, Vec<Line>> = HashMap::new();
            lines.into_iter().for_each(|line| of_realm.entry(line.realm).or_default().push(line));
            let mut next = vec![];
            for ((one, at), from) in left.into_iter().zip(from) {
                let lines = of_realm.get(&one.realm.id).map_or(&[][..], Vec::as_slice);
                match one.realm.apply_log(from, lines) {
                    Continues::Yes if one.realm.applied() >= at.revision => one.realm.vouch(stand),
                    Continues::Yes if one.realm.applied() > from.revision => next.push((one, at)),
                    // A log that ends early has a hole, or is another database's.
                    Continues::Yes | Continues::Nothing | Continues::No => self.start_over(&one).await?,
                }
            }
            left = next;
        }
        Ok(())
    }

    /// Puts an empty cache in the place of the realm's, unless the database is merely behind it. Who still has the old
    /// one, a load say, keeps nothing by it.
    async fn start_over(&self, one: &Followed<S::Extra>) -> Answer<()> {
        let id = one.realm.id;
        self.unknown_credentials.forget();
        let stand = self.stand();
        let position = self.source.position(id).await?;
        let mut realms = self.realms.write();
        // What became known since this reading began counts, too.
        let known = Followed { realm: Arc::clone(&one.realm), before: one.realm.ledger().known() };
        match position {
            Some(at) if matches!(known.compare(at), Found::Behind) => {}
            Some(at) => {
                tracing::warn!(realm = %id, "the change log does not continue what is kept; starting over");
                realms.insert(id, self.begin(id, at, stand));
            }
            None => self.leave(&mut realms, id),
        }
        Ok(())
    }
}
