//! One load for any number of waiters.

use std::collections::HashMap;
use std::hash::Hash;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use parking_lot::Mutex;

use super::{Answer, LOAD_DEADLINE, Unavailable};
use crate::domain::ids::Revision;

/// The loads that are under way. A load belongs to the key *and* to the revision at which the key had last changed when
/// it started: who comes after a later change does not join, because the load may have read what was before.
#[derive(Debug)]
pub(super) struct Flights<K, V: Clone>(Mutex<HashMap<(K, Revision), Flight<V>>>);

/// A load, as everybody who waits for it holds it.
type Flight<V> = Shared<BoxFuture<'static, Answer<V>>>;

impl<K, V: Clone> Default for Flights<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K, V> Flights<K, V>
where
    K: Hash + Eq + Copy + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Joins the load of this key, or starts it. It runs in a task of its own: a caller that hangs up takes nothing with
    /// it. A failed load is passed on to everybody who waits and never kept.
    pub(super) async fn join<F>(&self, key: K, changed: Revision, load: impl FnOnce() -> F) -> Answer<V>
    where
        F: Future<Output = Answer<V>> + Send + 'static,
    {
        let flight = {
            let mut flights = self.0.lock();
            flights.entry((key, changed)).or_insert_with(|| start(load())).clone()
        };
        let answer = flight.clone().await;
        let mut flights = self.0.lock();
        if flights.get(&(key, changed)).is_some_and(|running| running.ptr_eq(&flight)) {
            flights.remove(&(key, changed));
        }
        answer
    }
}

fn start<V: Clone + Send + Sync + 'static>(load: impl Future<Output = Answer<V>> + Send + 'static) -> Flight<V> {
    let task = tokio::spawn(tokio::time::timeout(LOAD_DEADLINE, load));
    async move {
        match task.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => Err(Unavailable),
        }
    }
    .boxed()
    .shared()
}
