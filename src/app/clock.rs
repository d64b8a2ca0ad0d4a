//! The one place that reads a clock. Rules take the time as an argument, so that tests can move it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use uuid::{NoContext, Uuid};

use crate::domain::time::Timestamp;

/// The system's clock, and how far it was moved.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    moved_micros: Arc<AtomicI64>,
}

impl Clock {
    /// The instant that rules are told.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "this is the clock")]
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let micros = i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX);
        Timestamp(micros.saturating_add(self.moved_micros.load(Ordering::Relaxed)))
    }

    /// Moves every later instant forward.
    pub fn advance(&self, by: Duration) {
        let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        self.moved_micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// A new identifier, ordered by time.
    #[must_use]
    pub fn new_id(&self) -> Uuid {
        let micros = u64::try_from(self.now().0).unwrap_or(0);
        let nanos = u32::try_from(micros % 1_000_000 * 1_000).unwrap_or(0);
        Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, micros / 1_000_000, nanos))
    }

    /// Time since the machine started. It goes on while the machine sleeps and never jumps: what ages are measured by.
    #[must_use]
    pub fn elapsed() -> Duration {
        let at = clock_gettime(ClockId::Boottime);
        Duration::new(u64::try_from(at.tv_sec).unwrap_or(0), u32::try_from(at.tv_nsec).unwrap_or(0))
    }
}
