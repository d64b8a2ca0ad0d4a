//! When API keys were used last: remembered in memory by whoever signs in, written down by a task.

use std::collections::HashMap;

use parking_lot::{Mutex, RwLock};
use rustc_hash::FxBuildHasher;
use std::time::Duration;

use super::App;
use crate::domain::time::Timestamp;
use crate::store;

/// A use is noted if the last one that was noted is so long ago.
const COARSE: Duration = Duration::from_secs(3_600);

/// Uses by the hash of the key. Hashes of secrets are random enough for a fast hash of theirs.
#[derive(Debug, Default)]
pub(super) struct KeyUses {
    noted: RwLock<HashMap<[u8; 32], Timestamp, FxBuildHasher>>,
    unwritten: Mutex<Vec<([u8; 32], Timestamp)>>,
}

impl KeyUses {
    /// Notes that a good key was used. All but one call an hour find that it was, and leave.
    pub(super) fn note(&self, hash: &[u8; 32], now: Timestamp) {
        if self.noted.read().get(hash).is_some_and(|at| is_recent(*at, now)) {
            return;
        }
        let before = self.noted.write().insert(*hash, now);
        if before.is_none_or(|at| !is_recent(at, now)) {
            self.unwritten.lock().push((*hash, now));
        }
    }
}

impl App {
    /// Writes down which keys were used. Answers how many.
    ///
    /// # Errors
    /// [`store::Error::Unavailable`]; nothing is forgotten then.
    pub async fn write_key_uses(&self) -> store::Result<usize> {
        let now = self.clock.now();
        self.key_uses.noted.write().retain(|_, at| is_recent(*at, now));
        let uses = std::mem::take(&mut *self.key_uses.unwritten.lock());
        match self.store.note_uses(&uses).await {
            Ok(()) => Ok(uses.len()),
            Err(fault) => {
                self.key_uses.unwritten.lock().extend(uses);
                Err(fault)
            }
        }
    }
}

fn is_recent(at: Timestamp, now: Timestamp) -> bool {
    at > now.before(COARSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_use_an_hour_is_noted() {
        let (uses, start) = (KeyUses::default(), Timestamp(0));
        for minutes in [0, 1, 59, 60, 61, 120] {
            uses.note(&[7; 32], start.after(Duration::from_secs(60 * minutes)));
        }
        uses.note(&[8; 32], start);
        let noted: Vec<_> = uses.unwritten.lock().iter().map(|(hash, at)| (hash[0], at.0 / 60_000_000)).collect();
        assert_eq!(noted, [(7, 0), (7, 60), (7, 120), (8, 0)]);
    }
}
