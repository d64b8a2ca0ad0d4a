//! What is read off rather than counted as it happens: cache, hash pool, outbox, connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::runner::{Fault, Next, Round};
use crate::app::App;
use crate::telemetry::metrics::{Database, Hashing, LocalCache, Mail};

/// Brings the metrics up to date.
pub(super) struct Gauges {
    app: Arc<App>,
    cache: LocalCache,
    hashing: Hashing,
    mail: Mail,
    database: Database,
    /// Whether the clock was off when it was last looked at.
    skewed: AtomicBool,
}

/// From here on a clock is off by more than the network explains: tokens that it makes or judges run out too early or late.
const SKEW_SECONDS: f64 = 1.0;

impl Gauges {
    pub(super) fn new(app: Arc<App>) -> Self {
        Self {
            app,
            cache: LocalCache::register(),
            hashing: Hashing::register(),
            mail: Mail::register(),
            database: Database::register(),
            skewed: AtomicBool::new(false),
        }
    }

    /// Says once that the clock is off, and once that it is right again.
    fn tell_skew(&self, seconds: f64) {
        let skewed = seconds.abs() > SKEW_SECONDS;
        match (self.skewed.swap(skewed, Ordering::Relaxed), skewed) {
            (false, true) => tracing::warn!(
                seconds,
                "this machine's clock differs from the database's: good tokens may be refused; set both by NTP"
            ),
            (true, false) => tracing::info!(seconds, "this machine's clock agrees with the database's again"),
            _ => {}
        }
    }
}

impl Round for Gauges {
    async fn round(&self) -> Result<Next, Fault> {
        let (hits, loads) = self.app.snapshots().hits_and_loads();
        self.cache.hits.absolute(hits);
        self.cache.misses.absolute(loads);
        self.cache.entries.set(gauge(self.app.snapshots().kept()));
        self.hashing.waiting.set(gauge(self.app.hasher().depth() as u64));
        self.hashing.comparisons.absolute(self.app.hasher().compared());
        let (used, idle) = self.app.store().connections();
        self.database.used.set(f64::from(used));
        self.database.idle.set(f64::from(idle));
        self.database.statements.absolute(self.app.store().statements());
        if let Some(skew) = self.app.clock_skew().await? {
            self.database.skew.set(skew);
            self.tell_skew(skew);
        }
        let (waiting, dead) = self.app.store().mails_waiting_and_dead().await?;
        self.mail.waiting.set(gauge(waiting));
        self.mail.dead.set(gauge(dead));
        Ok(Next::AfterPeriod)
    }
}

/// Gauges are floating point; what they show here is far below where that matters.
fn gauge(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}
