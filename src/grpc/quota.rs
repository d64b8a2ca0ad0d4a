//! What one source, and all sources together, may hold of something: connections, bytes, streams.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::domain::source::Network;

/// A bound on something that is held for a while. What is held is counted by source and in all.
#[derive(Debug)]
pub(super) struct Quota {
    per_source: usize,
    total: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    total: usize,
    sources: HashMap<Network, usize>,
}

/// Whose bound is reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Full {
    Source,
    Process,
}

/// What a holder has of a quota, until it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    quota: Arc<Quota>,
    source: Network,
    amount: usize,
}

impl Quota {
    pub(super) fn new(per_source: usize, total: usize) -> Arc<Self> {
        Arc::new(Self { per_source, total, held: Mutex::default() })
    }

    /// Takes an amount for a source.
    ///
    /// # Errors
    /// [`Full`]; then nothing is taken.
    pub(super) fn take(self: &Arc<Self>, source: Network, amount: usize) -> Result<Share, Full> {
        self.add(source, amount)?;
        Ok(Share { quota: Arc::clone(self), source, amount })
    }

    fn add(&self, source: Network, amount: usize) -> Result<(), Full> {
        let mut held = self.held.lock();
        if held.total + amount > self.total {
            return Err(Full::Process);
        }
        let of_source = held.sources.get(&source).map_or(0, |held| *held);
        if of_source + amount > self.per_source {
            return Err(Full::Source);
        }
        held.sources.insert(source, of_source + amount);
        held.total += amount;
        Ok(())
    }

    fn give_back(&self, source: Network, amount: usize) {
        let mut held = self.held.lock();
        held.total -= amount;
        if let Entry::Occupied(mut of_source) = held.sources.entry(source) {
            *of_source.get_mut() -= amount;
            if *of_source.get() == 0 {
                of_source.remove();
            }
        }
    }
}

impl Share {
    /// Holds at least this amount from now on.
    ///
    /// # Errors
    /// [`Full`]; then what was held before is still held.
    pub(super) fn grow_to(&mut self, amount: usize) -> Result<(), Full> {
        let more = amount.saturating_sub(self.amount);
        if more > 0 {
            self.quota.add(self.source, more)?;
            self.amount += more;
        }
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.quota.give_back(self.source, self.amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::source::Source;

    #[test]
    fn one_source_never_takes_all_and_what_is_dropped_is_free_again() {
        let [near, far, third] =
            ["192.0.2.1", "198.51.100.1", "203.0.113.1"].map(|text| Source::parse(text).unwrap().network());
        let quota = Quota::new(2, 3);
        let mut first = quota.take(near, 1).unwrap();
        assert_eq!(first.grow_to(3).unwrap_err(), Full::Source);
        first.grow_to(2).unwrap();
        assert_eq!(quota.take(near, 1).unwrap_err(), Full::Source);
        let second = quota.take(far, 1).unwrap();
        assert_eq!(quota.take(third, 1).unwrap_err(), Full::Process);
        drop(first);
        let _third = quota.take(third, 2).unwrap();
        drop(second);
        assert_eq!(quota.held.lock().sources.len(), 1);
    }
}
