//! Reading the change log, and knowing how long ago that was.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::Mutex;

use super::{Answer, Snapshots, Source, TAIL_DEADLINE, TAIL_FRESH, Unavailable};
use crate::domain::change::Line;
use crate::domain::ids::RealmId;

/// When the log was read last. Instants are microseconds of the source's own clock, counted from 1; 0 = never.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// When the last successful reading began.
    began: AtomicU64,
    /// How often something may have been committed here that was not applied.
    doubts: AtomicU64,
    /// How many of these doubts came before the last successful reading began.
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

    fn trusted(&self) -> bool {
        self.settled.load(Ordering::Acquire) == self.doubts.load(Ordering::Acquire)
    }

    /// A reading that began then, after so many doubts, has succeeded.
    fn succeeded(&self, began: Duration, doubts: u64) {
        self.settled.store(doubts, Ordering::Release);
        self.began.store(micros(began) + 1, Ordering::Release);
    }

    /// How long ago the last successful reading began; `None` = there was none.
    fn age(&self, now: Duration) -> Option<Duration> {
        let began = self.began.load(Ordering::Acquire);
        (began > 0).then(|| Duration::from_micros((micros(now) + 1).saturating_sub(began)))
    }
}

fn micros(of: Duration) -> u64 {
    u64::try_from(of.as_micros()).unwrap_or(u64::MAX - 1)
}

impl<S: Source> Snapshots<S> {
    /// Makes sure that kept snapshots may serve a request that began before this call.
    ///
    /// A process that is alone knows every change by itself. One among several must have read the log lately; while the
    /// record can't be asked, the grace decides.
    pub(super) async fn keep_up(&self) -> Answer<()> {
        if self.tail.trusted() {
            if !self.options.shared {
                return Ok(());
            }
            let age = self.tail.age(self.source.elapsed());
            if age.is_some_and(|age| age <= TAIL_FRESH) {
                return Ok(());
            }
            // Who is lost for a while is asked in the background; a check need not wait for each answer that is none.
            if self.tail.failing.load(Ordering::Acquire) && self.within_grace() {
                return Ok(());
            }
        }
        let read = self.tail_after(self.source.elapsed()).await;
        if read.is_err() && self.within_grace() { Ok(()) } else { read }
    }

    /// Reads the log once, for everybody who asked before the reading began. Waits a second at most.
    ///
    /// # Errors
    /// [`Unavailable`] if the record can't be asked in time.
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
            let doubts = self.tail.doubts.load(Ordering::Acquire);
            let outcome = self.read_log().await;
            if outcome.is_ok() {
                self.tail.succeeded(began, doubts);
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
        let fresh = || self.tail.age(self.source.elapsed()).is_some_and(|age| age <= TAIL_FRESH);
        self.tail.trusted() && (!self.options.shared || fresh() || self.within_grace())
    }

    fn within_grace(&self) -> bool {
        let age = self.tail.age(self.source.elapsed());
        self.tail.trusted() && age.is_some_and(|age| age <= self.options.database_lost_grace)
    }

    async fn read_log(&self) -> Answer<()> {
        let realms: Vec<_> = self.realms.read().values().map(|realm| (Arc::clone(realm), realm.position())).collect();
        let lines = self.source.tail(realms.iter().map(|(realm, from)| (realm.id, from.revision)).collect()).await?;
        let mut of_realm: HashMap<RealmId, Vec<Line>> = HashMap::new();
        self.strangers.introduced(lines.iter().map(|line| &line.key));
        for line in lines {
            of_realm.entry(line.realm).or_default().push(line);
        }
        for (realm, from) in realms {
            let continues = realm.apply_log(from, of_realm.get(&realm.id).map_or(&[], Vec::as_slice));
            if !continues {
                tracing::warn!(realm = %realm.id, "the change log does not continue what is kept; starting over");
                self.start_over(realm.id).await?;
            }
        }
        Ok(())
    }

    /// Puts an empty cache in the place of the realm's. Who still has the old one, a load say, keeps nothing by it.
    async fn start_over(&self, id: RealmId) -> Answer<()> {
        self.strangers.forget();
        let position = self.source.position(id).await?;
        let mut realms = self.realms.write();
        match position {
            Some(position) => drop(realms.insert(id, self.begin(id, position))),
            None => drop(realms.remove(&id)),
        }
        Ok(())
    }
}
