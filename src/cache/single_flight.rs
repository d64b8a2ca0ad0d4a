//! One load for any number of waiters.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use parking_lot::Mutex;

use super::{Answer, LOAD_DEADLINE, Unavailable};
use crate::domain::ids::Revision;

/// The loads that are under way. A load belongs to the key *and* to the revision at which the key had last changed when
/// it started: who comes after a later change does not join, because the load may have read what was before.
#[derive(Debug)]
pub(super) struct SingleFlight<K, V: Clone>(Running<K, V>);

type Running<K, V> = Arc<Mutex<HashMap<(K, Revision), Load<V>>>>;

/// A load, as everybody who waits for it holds it.
type Load<V> = Shared<BoxFuture<'static, Answer<V>>>;

impl<K, V: Clone> Default for SingleFlight<K, V> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K, V> SingleFlight<K, V>
where
    K: Hash + Eq + Copy + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Joins the load of this key, or starts it. It runs in a task of its own, and is over for those who come later as
    /// soon as it has ended, whether anybody still waits for it or not. A failed load is passed on to everybody who waits
    /// and never kept.
    pub(super) async fn join<F>(&self, key: K, changed: Revision, load: impl FnOnce() -> F) -> Answer<V>
    where
        F: Future<Output = Answer<V>> + Send + 'static,
    {
        let joined = {
            let mut running = self.0.lock();
            running.entry((key, changed)).or_insert_with(|| self.start((key, changed), load())).clone()
        };
        joined.await
    }

    fn start(&self, key: (K, Revision), load: impl Future<Output = Answer<V>> + Send + 'static) -> Load<V> {
        let ends = Ends { running: Arc::clone(&self.0), key };
        let task = tokio::spawn(async move {
            let answer = tokio::time::timeout(LOAD_DEADLINE, load).await;
            drop(ends);
            answer
        });
        async move {
            match task.await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) | Err(_) => Err(Unavailable),
            }
        }
        .boxed()
        .shared()
    }

    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }
}

/// Takes a load out of those under way, however it ends.
struct Ends<K: Hash + Eq, V: Clone> {
    running: Running<K, V>,
    key: (K, Revision),
}

impl<K: Hash + Eq, V: Clone> Drop for Ends<K, V> {
    fn drop(&mut self) {
        let ended = self.running.lock().remove(&self.key);
        // Outside of the lock: what waiters hold of it may be the last there is.
        drop(ended);
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    /// Waits until whatever runs has run.
    async fn settled(loads: &SingleFlight<u8, u8>) {
        while !loads.is_empty() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_load_whose_only_waiter_was_cancelled_leaves_neither_itself_nor_its_fault() {
        let loads = SingleFlight::<u8, u8>::default();
        let (fail, failing) = oneshot::channel::<()>();
        let load = async move {
            let _ = failing.await;
            Err(Unavailable)
        };
        let waiter = loads.join(1, Revision(1), || load);
        assert!(waiter.now_or_never().is_none(), "the waiter hangs up");
        assert!(!loads.is_empty(), "the load goes on");
        fail.send(()).unwrap();
        settled(&loads).await;
        let again = loads.join(1, Revision(1), || async { Ok(7) }).await;
        assert_eq!(again, Ok(7), "the next caller gets an answer of its own");
        settled(&loads).await;
    }

    #[tokio::test]
    async fn all_who_wait_share_one_load() {
        let loads = SingleFlight::<u8, u8>::default();
        let (go, held) = oneshot::channel::<()>();
        let first = loads.join(1, Revision(1), || async move {
            let _ = held.await;
            Ok(1)
        });
        let second = loads.join(1, Revision(1), || async { Ok(2) });
        let later = loads.join(1, Revision(2), || async { Ok(3) });
        let release = async {
            tokio::task::yield_now().await;
            go.send(()).unwrap();
        };
        let (first, second, later, ()) = tokio::join!(first, second, later, release);
        assert_eq!((first, second, later), (Ok(1), Ok(1), Ok(3)));
    }
}
