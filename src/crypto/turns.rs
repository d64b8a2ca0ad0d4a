//! Whose work is done next: sources take turns, however much each of them has waiting.
//!
//! Beyond what is worked on, so many wait. When the queue is full, a newcomer takes the place of the last one of the
//! source that has the most waiting, unless that is hardly more than its own: whoever floods the queue is shed, and
//! nobody else. Only callers touch this, at ordinary priority: a thread of the lowest one that held its lock would stop
//! them all.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::domain::source::Network;

/// Whom work is done for, as far as fairness goes; `None` = nobody knows from where.
pub type Source = Option<Network>;

/// Who has a turn, and who waits for one.
#[derive(Debug)]
pub(super) struct Turns {
    state: Mutex<State>,
    /// So many at a time.
    permits: usize,
    /// So many wait beyond those.
    queued: usize,
}

#[derive(Debug, Default)]
struct State {
    running: usize,
    waiting: usize,
    /// Who waits, by source, the oldest first.
    of: HashMap<Source, VecDeque<oneshot::Sender<Turn>>>,
    /// The sources that have somebody waiting, in the order of their turns.
    order: VecDeque<Source>,
}

/// A turn. The next one has it when it is dropped.
#[derive(Debug)]
pub(super) struct Turn(Option<Arc<Turns>>);

/// The queue is full, and nobody has much more of it than this source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Full;

impl Turns {
    pub(super) fn new(permits: usize, queued: usize) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), permits: permits.max(1), queued })
    }

    /// Waits for a turn.
    ///
    /// # Errors
    /// [`Full`], at once or while it waits.
    pub(super) async fn take(self: &Arc<Self>, source: Source) -> Result<Turn, Full> {
        let waits = {
            let mut state = self.state.lock();
            if state.running < self.permits {
                state.running += 1;
                return Ok(Turn(Some(Arc::clone(self))));
            }
            state.make_room(source, self.queued)?;
            state.enter(source)
        };
        waits.await.map_err(|_| Full)
    }

    /// Whether one more of that source would be let in just now.
    pub(super) fn has_room(&self, source: Source) -> bool {
        let state = self.state.lock();
        state.running < self.permits || state.waiting < self.queued || state.sheds_for(source).is_some()
    }

    /// Gives a turn to the next one that still waits.
    fn pass_on(self: &Arc<Self>) {
        loop {
            let next = {
                let mut state = self.state.lock();
                let next = state.next();
                if next.is_none() {
                    state.running -= 1;
                }
                next
            };
            let Some(next) = next else { return };
            match next.send(Turn(Some(Arc::clone(self)))) {
                Ok(()) => return,
                // Whoever has gone away has no use for it.
                Err(mut unused) => drop(unused.0.take()),
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(turns) = self.0.take() {
            turns.pass_on();
        }
    }
}

impl State {
    fn enter(&mut self, source: Source) -> oneshot::Receiver<Turn> {
        let (turn, waits) = oneshot::channel();
        let mine = self.of.entry(source).or_default();
        if mine.is_empty() {
            self.order.push_back(source);
        }
        mine.push_back(turn);
        self.waiting += 1;
        waits
    }

    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        let source = self.order.pop_front()?;
        let mine = self.of.get_mut(&source)?;
        let next = mine.pop_front();
        if mine.is_empty() {
            self.of.remove(&source);
        } else {
            self.order.push_back(source);
        }
        self.waiting -= 1;
        next
    }

    /// Makes room for one more of a source.
    fn make_room(&mut self, source: Source, queued: usize) -> Result<(), Full> {
        if self.waiting < queued {
            return Ok(());
        }
        self.forget_gone();
        if self.waiting < queued {
            return Ok(());
        }
        let heaviest = self.sheds_for(source).ok_or(Full)?;
        if self.of.get_mut(&heaviest).and_then(VecDeque::pop_back).is_some() {
            self.waiting -= 1;
        }
        Ok(())
    }

    /// The source whose last one gives way to one of this source.
    fn sheds_for(&self, source: Source) -> Option<Source> {
        let (heaviest, waits) = self.of.iter().max_by_key(|(_, waits)| waits.len())?;
        let own = self.of.get(&source).map_or(0, VecDeque::len);
        (waits.len() > own + 1).then_some(*heaviest)
    }

    fn forget_gone(&mut self) {
        self.of.retain(|_, waits| {
            waits.retain(|waits| !waits.is_closed());
            !waits.is_empty()
        });
        let of = &self.of;
        self.order.retain(|source| of.contains_key(source));
        self.waiting = self.of.values().map(VecDeque::len).sum();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn source(number: u8) -> Source {
        crate::domain::source::Source::parse(&format!("192.0.2.{number}")).map(|source| source.network())
    }

    /// Lets `count` of a source wait; each says that it had its turn, or was shed.
    fn wait(turns: &Arc<Turns>, of: u8, count: usize, told: &tokio::sync::mpsc::UnboundedSender<(u8, bool)>) {
        for _ in 0..count {
            let (turns, told) = (Arc::clone(turns), told.clone());
            tokio::spawn(async move {
                let turn = turns.take(source(of)).await;
                told.send((of, turn.is_ok())).unwrap();
            });
        }
    }

    async fn settle() {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_source_with_little_does_not_wait_for_one_with_much() {
        let turns = Turns::new(1, 20);
        let first = turns.take(source(0)).await.unwrap();
        let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
        wait(&turns, 1, 10, &told);
        settle().await;
        wait(&turns, 2, 2, &told);
        settle().await;
        drop((first, told));
        let mut order = vec![];
        while let Some((of, had)) = heard.recv().await {
            assert!(had);
            order.push(of);
        }
        assert_eq!(order, [1, 2, 1, 2, 1, 1, 1, 1, 1, 1, 1, 1]);
        assert_eq!(turns.state.lock().running, 0);
    }

    #[tokio::test]
    async fn a_full_queue_sheds_whoever_fills_it() {
        let turns = Turns::new(1, 4);
        let first = turns.take(source(0)).await.unwrap();
        let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
        wait(&turns, 1, 4, &told);
        settle().await;
        assert!(!turns.has_room(source(1)) && turns.has_room(source(2)));
        assert_eq!(turns.take(source(1)).await.unwrap_err(), Full);
        wait(&turns, 2, 2, &told);
        settle().await;
        // Two of each wait: nobody has more than another.
        assert!(!turns.has_room(source(1)) && !turns.has_room(source(2)) && turns.has_room(source(3)));
        drop((first, told));
        let mut all = vec![];
        while let Some(one) = heard.recv().await {
            all.push(one);
        }
        all.sort_unstable();
        assert_eq!(all, [(1, false), (1, false), (1, true), (1, true), (2, true), (2, true)]);
    }

    #[tokio::test]
    async fn who_has_gone_away_keeps_neither_room_nor_turn() {
        let turns = Turns::new(1, 1);
        let first = turns.take(source(0)).await.unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(5), turns.take(source(1))).await.is_err());
        let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
        wait(&turns, 1, 1, &told);
        settle().await;
        drop(first);
        assert_eq!(heard.recv().await, Some((1, true)));
        assert!(turns.take(source(2)).await.is_ok());
    }
}
