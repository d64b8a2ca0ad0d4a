//! Look-ups that a call causes before anybody is known: of a credential or of a realm that this process has not seen.
//!
//! Each costs a query, and anybody can make up as many as they like. So those that find nothing are limited by source.
//! What is known is remembered elsewhere and never asks here; what is found gives its look-up back.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use parking_lot::Mutex;

use super::clock::Clock;
use super::error::{Error, Result};
use super::{App, Reason};
use crate::domain::source::{Network, Source};

const MINUTE: f64 = 60.;

/// What each source has left.
#[derive(Debug)]
pub(super) struct Lookups {
    per_minute: f64,
    sources: Mutex<HashMap<Network, Left>>,
}

#[derive(Clone, Copy, Debug)]
struct Left {
    lookups: f64,
    /// Since the machine started.
    as_of: Duration,
}

/// A look-up under way. Counts unless it finds something.
#[must_use]
pub(super) struct Lookup<'a> {
    of: &'a Lookups,
    source: Option<Network>,
}

impl Lookups {
    /// `None` = as many as come.
    pub(super) fn new(per_minute: Option<NonZeroU32>) -> Self {
        Self { per_minute: per_minute.map_or(f64::INFINITY, |rate| f64::from(rate.get())), sources: Mutex::default() }
    }

    /// Begins a look-up for a source; `None` = the service's own.
    ///
    /// # Errors
    /// RATE_LIMITED, with the time after which there is one left.
    pub(super) fn begin(&self, source: Option<Source>) -> Result<Lookup<'_>> {
        let source = source.map(Source::network);
        if let Some(source) = source {
            self.take(source, Clock::elapsed())?;
        }
        Ok(Lookup { of: self, source })
    }

    fn take(&self, source: Network, now: Duration) -> Result<()> {
        let mut sources = self.sources.lock();
        let left = sources.entry(source).or_insert(Left { lookups: self.per_minute, as_of: now });
        *left = self.at(*left, now);
        if left.lookups < 1. {
            let retry_after = Duration::from_secs_f64((1. - left.lookups) * MINUTE / self.per_minute);
            return Err(Error::Later { reason: Reason::RateLimited, retry_after });
        }
        left.lookups -= 1.;
        Ok(())
    }

    fn at(&self, left: Left, now: Duration) -> Left {
        let gained = now.saturating_sub(left.as_of).as_secs_f64() * self.per_minute / MINUTE;
        Left { lookups: (left.lookups + gained).min(self.per_minute), as_of: now }
    }

    /// Forgets the sources that have all of their look-ups left.
    pub(super) fn forget_idle(&self) {
        let now = Clock::elapsed();
        self.sources.lock().retain(|_, left| self.at(*left, now).lookups < self.per_minute);
    }
}

impl Lookup<'_> {
    /// Something was found, or nothing could be known: it does not count.
    pub(super) fn give_back(self) {
        if let Some(source) = self.source
            && let Some(left) = self.of.sources.lock().get_mut(&source)
        {
            left.lookups += 1.;
        }
    }

    /// Does not count unless the answer is that there is nothing.
    pub(super) fn settle<T>(self, answer: Result<Option<T>>) -> Result<Option<T>> {
        if !matches!(answer, Ok(None)) {
            self.give_back();
        }
        answer
    }
}

impl App {
    /// Looks something up that a call named and this process does not know.
    ///
    /// # Errors
    /// RATE_LIMITED if the source asked for too much that there is not; what the look-up fails with.
    pub(super) async fn look_up<T>(
        &self,
        source: Option<Source>,
        look: impl Future<Output = Result<Option<T>>>,
    ) -> Result<Option<T>> {
        let lookup = self.lookups.begin(source)?;
        lookup.settle(look.await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_finds_nothing_counts_and_only_for_its_source() {
        let lookups = Lookups::new(NonZeroU32::new(2));
        let [near, far] = ["192.0.2.1", "198.51.100.1"].map(Source::parse);
        for _ in 0..10 {
            assert_eq!(lookups.begin(near).unwrap().settle(Ok(Some(1))).unwrap(), Some(1));
            assert!(lookups.begin(near).unwrap().settle::<()>(Err(Error::unavailable())).is_err());
        }
        for _ in 0..2 {
            assert_eq!(lookups.begin(near).unwrap().settle::<()>(Ok(None)).unwrap(), None);
        }
        let limited = lookups.begin(near).err().unwrap();
        assert_eq!(limited.reason(), Reason::RateLimited);
        assert!(matches!(limited, Error::Later { retry_after, .. } if retry_after <= Duration::from_secs(30)));
        assert!(lookups.begin(far).is_ok());
        assert!(lookups.begin(None).is_ok());
    }

    #[test]
    fn a_minute_later_a_source_has_all_its_look_ups_again() {
        let lookups = Lookups::new(NonZeroU32::new(2));
        let source = Source::parse("192.0.2.1").unwrap().network();
        let mut now = Duration::from_secs(1_000);
        for _ in 0..2 {
            assert_eq!([(); 3].map(|()| lookups.take(source, now).is_ok()), [true, true, false]);
            now += Duration::from_secs(60);
        }
    }
}
