//! Whose turn it is to write: so many of one realm at once, so many that wait, and none for long.
//!
//! Changes of one realm are made one after the other in any case. Without a bound here, those that wait for a realm's
//! row would hold every connection of their lane, and changes of other realms would wait with them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::{Error, Result};
use crate::domain::ids::RealmId;

/// How many of a realm may wait. At a few milliseconds each, the last one has its turn within [`WAIT`].
const WAITING_MAX: usize = 256;
/// How long a change waits for its turn; then its caller hears when to come again.
const WAIT: Duration = Duration::from_secs(4);

/// The turns of one lane, by realm.
#[derive(Clone, Debug)]
pub(super) struct Turns {
    at_once: usize,
    queues: Arc<Mutex<Queues>>,
}

/// How many hold or await a turn, and the turns. A realm that nobody writes to has no queue.
type Queues = HashMap<RealmId, (usize, Arc<Semaphore>)>;

/// A place in a realm's queue, given up when it goes.
#[derive(Debug)]
struct Place {
    queues: Arc<Mutex<Queues>>,
    realm: RealmId,
}

/// The right to write in a realm. It ends when this goes.
#[derive(Debug)]
pub(super) struct Turn {
    _permit: OwnedSemaphorePermit,
    _place: Place,
}

impl Turns {
    /// Turns of a lane of so many connections, of which one realm has at most `at_once`.
    pub(super) fn new(at_once: usize) -> Self {
        Self { at_once: at_once.max(1), queues: Arc::default() }
    }

    /// Waits for a turn.
    ///
    /// # Errors
    /// [`Error::Busy`] if too many wait already, or this one waited too long.
    pub(super) async fn next(&self, realm: RealmId) -> Result<Turn> {
        let (place, turns) = self.place(realm)?;
        let permit = tokio::time::timeout(WAIT, turns.acquire_owned()).await;
        let permit = permit.ok().and_then(std::result::Result::ok).ok_or(Error::Busy)?;
        Ok(Turn { _permit: permit, _place: place })
    }

    fn place(&self, realm: RealmId) -> Result<(Place, Arc<Semaphore>)> {
        let mut queues = self.queues.lock();
        let (taken, turns) = queues.entry(realm).or_insert_with(|| (0, Arc::new(Semaphore::new(self.at_once))));
        if *taken >= self.at_once + WAITING_MAX {
            return Err(Error::Busy);
        }
        *taken += 1;
        Ok((Place { queues: Arc::clone(&self.queues), realm }, Arc::clone(turns)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut queues = self.queues.lock();
        if let Some((taken, _)) = queues.get_mut(&self.realm) {
            *taken -= 1;
            if *taken == 0 {
                queues.remove(&self.realm);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn realm(number: u128) -> RealmId {
        RealmId(uuid::Uuid::from_u128(number))
    }

    #[tokio::test]
    async fn a_realm_that_is_held_up_keeps_no_other_and_nobody_for_long() {
        let turns = Turns::new(2);
        let held = (turns.next(realm(1)).await.unwrap(), turns.next(realm(1)).await.unwrap());
        assert!(matches!(turns.next(realm(1)).await, Err(Error::Busy)), "waited for {WAIT:?}");
        drop(turns.next(realm(2)).await.unwrap());
        drop(held);
        drop(turns.next(realm(1)).await.unwrap());
        assert!(turns.queues.lock().is_empty(), "a realm that nobody writes to is let go");
    }

    #[tokio::test]
    async fn so_many_may_wait_and_the_next_is_told_at_once() {
        let turns = Turns::new(1);
        let held = turns.next(realm(1)).await.unwrap();
        let waiting: Vec<_> = (0..WAITING_MAX).map(|_| turns.place(realm(1)).unwrap()).collect();
        assert!(matches!(turns.place(realm(1)), Err(Error::Busy)));
        drop((held, waiting));
        assert!(turns.queues.lock().is_empty());
    }
}
