//! The threads that hash: as many as there are permits, of the lowest priority, behind a bounded queue.
//!
//! Threads of our own and not tokio's blocking pool, for three reasons: a thread can keep its memory block from one hash
//! to the next; the number of hashes at a time is the number of threads, without a second limit beside it; and a thread
//! can be given the lowest priority, so that hashing takes what is left of the processor while everybody else's calls
//! go first. Sources take turns (`crypto::turns`): who sends much work waits for it, and who sends little does not.
//! Called by [`super::password`] for hashes, and through it for other slow and pure work on passwords.

use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{io, thread};

use argon2::Block;
use tokio::sync::oneshot;

use super::turns::{Source, Turns};

/// How much nicer than the rest of the process the threads are: the most there is (setpriority(2)). A nice thread gets
/// about 1.5 % of a core that others want, and all of one that nobody wants (sched(7)).
const NICENESS: i32 = 19;

/// What one hash takes of one core, rounded up: 13 to 21 ms were measured with the parameters of [`super::password`].
/// Only used to say when to come back.
const TIME_PER_HASH: Duration = Duration::from_millis(20);

/// How many hashes at a time, and how many may wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Threads, each with a memory block of its own once it has hashed. At least one.
    pub permits: usize,
    /// Calls that wait beyond those that are being worked on.
    pub queued: usize,
}

impl Limits {
    /// Calls that may wait for each permit: about one second at 17 ms for each, after which a person signs in again anyway.
    const QUEUED_PER_PERMIT: usize = 60;

    /// So many permits, and the queue that goes with them unless it is given.
    #[must_use]
    pub fn new(permits: usize, queued: Option<usize>) -> Self {
        Self { permits, queued: queued.unwrap_or(permits.saturating_mul(Self::QUEUED_PER_PERMIT)) }
    }

    /// One permit for each core.
    #[must_use]
    pub fn of_this_machine() -> Self {
        Self::new(thread::available_parallelism().map_or(1, usize::from), None)
    }
}

/// Why work was not done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HashError {
    /// The queue is full, and this source has no less of it than others. Answered at once, or when others need the room.
    #[error("{queued} calls already wait for the password hasher, the limit is {queued}")]
    Overloaded { queued: usize, retry_after: Duration },
    /// The work was given up: it panicked, or the process ends.
    #[error("the password hasher gave the work up")]
    GivenUp,
}

/// The memory of one thread: empty until its first hash, then kept, so that an idle process that never hashed is small
/// and a busy one does not allocate.
#[derive(Default)]
pub(super) struct Memory(Vec<Block>);

impl Memory {
    /// Gives `count` blocks of 1 KiB, with anything in them.
    pub(super) fn blocks(&mut self, count: usize) -> &mut [Block] {
        if self.0.len() < count {
            self.0.resize(count, Block::new());
        }
        &mut self.0[..count]
    }
}

type Work = Box<dyn FnOnce(&mut Memory) + Send>;

/// A bounded queue before threads of the lowest priority. They end, after what is queued, when this is dropped.
pub(super) struct HashPool {
    /// What has its turn: as much as there are threads, and what was cut off a moment ago.
    begun: Sender<Work>,
    turns: Arc<Turns>,
    limits: Limits,
    depth: Arc<AtomicUsize>,
}

impl HashPool {
    pub(super) fn start(limits: Limits) -> io::Result<Self> {
        let (begun, waiting) = mpsc::channel();
        let waiting = Arc::new(Mutex::new(waiting));
        for number in 0..limits.permits.max(1) {
            let waiting = Arc::clone(&waiting);
            thread::Builder::new().name(format!("hash-{number}")).spawn(move || work_through(&waiting))?;
        }
        Ok(Self { begun, turns: Turns::new(limits.permits, limits.queued), limits, depth: Arc::default() })
    }

    /// Does `work` on one of the threads, once it is the turn of one of that source. Work whose caller has gone away
    /// before its turn is not begun.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        source: Source,
        work: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> Result<T, HashError> {
        let place = Place::take(&self.depth);
        let turn = self.turns.take(source).await.map_err(|_| self.overloaded())?;
        let (answer, answered) = oneshot::channel();
        let work = Box::new(move |memory: &mut Memory| {
            if answer.is_closed() {
                return;
            }
            let done = work(memory);
            drop(place);
            // A caller that went away meanwhile has no use for the answer.
            let _ = answer.send(done);
        });
        self.begun.send(work).map_err(|_| HashError::GivenUp)?;
        let done = answered.await;
        drop(turn);
        done.map_err(|_| HashError::GivenUp)
    }

    /// Counts what waits or is being worked on.
    pub(super) fn depth(&self) -> usize {
        self.depth.load(Ordering::Relaxed)
    }

    /// Asks whether the queue has room for a source just now.
    pub(super) fn require_room(&self, source: Source) -> Result<(), HashError> {
        if self.turns.has_room(source) { Ok(()) } else { Err(self.overloaded()) }
    }

    /// Half of a full queue is worked off by the time that this names.
    fn overloaded(&self) -> HashError {
        let rounds = self.limits.queued.div_ceil(2 * self.limits.permits.max(1)).max(1);
        let retry_after = TIME_PER_HASH.saturating_mul(u32::try_from(rounds).unwrap_or(u32::MAX));
        HashError::Overloaded { queued: self.limits.queued, retry_after }
    }
}

/// One count of the depth, given back when dropped, wherever that is.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(depth: &Arc<AtomicUsize>) -> Self {
        depth.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(depth))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The life of one thread: takes work until nobody can send any.
fn work_through(waiting: &Mutex<Receiver<Work>>) {
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::warn!(%error, "hashing runs at ordinary priority, so that it may slow other calls");
    }
    let mut memory = Memory::default();
    loop {
        // Only these threads share this lock. Callers send without it and never wait for a thread of low priority.
        let work = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(work) = work else { return };
        if panic::catch_unwind(AssertUnwindSafe(|| work(&mut memory))).is_err() {
            tracing::error!("work on a password panicked, its caller is told that it was given up");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    const ONE: Limits = Limits { permits: 1, queued: 1 };

    /// Occupies the only thread of `pool` until the barrier is waited for.
    async fn occupy(pool: &Arc<HashPool>) -> (Arc<Barrier>, tokio::task::JoinHandle<Result<(), HashError>>) {
        let (begun, has_begun) = oneshot::channel();
        let barrier = Arc::new(Barrier::new(2));
        let held = Arc::clone(&barrier);
        let pool = Arc::clone(pool);
        let running = tokio::spawn(async move {
            pool.run(None, move |_| {
                let _ = begun.send(());
                held.wait();
            })
            .await
        });
        has_begun.await.unwrap();
        (barrier, running)
    }

    #[test]
    fn the_queue_follows_the_permits_unless_it_is_given() {
        assert_eq!(Limits::new(3, None), Limits { permits: 3, queued: 180 });
        assert_eq!(Limits::new(3, Some(0)), Limits { permits: 3, queued: 0 });
    }

    #[tokio::test]
    async fn beyond_the_queue_the_answer_is_overloaded_at_once() {
        let pool = Arc::new(HashPool::start(ONE).unwrap());
        let (barrier, running) = occupy(&pool).await;
        let queued = tokio::spawn({
            let pool = Arc::clone(&pool);
            async move { pool.run(None, |_| 1).await }
        });
        while pool.depth() < 2 {
            tokio::task::yield_now().await;
        }
        let refused = pool.run(None, |_| 2).await;
        assert_eq!(refused, Err(HashError::Overloaded { queued: 1, retry_after: TIME_PER_HASH }));
        barrier.wait();
        assert_eq!(running.await.unwrap(), Ok(()));
        assert_eq!(queued.await.unwrap(), Ok(1));
        assert_eq!(pool.run(None, |_| 3).await, Ok(3));
        assert_eq!(pool.depth(), 0);
    }

    #[tokio::test]
    async fn work_whose_caller_has_gone_is_not_begun() {
        let pool = Arc::new(HashPool::start(Limits { permits: 1, queued: 2 }).unwrap());
        let (barrier, running) = occupy(&pool).await;
        let begun = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&begun);
        let hung_up = pool.run(None, move |_| count.fetch_add(1, Ordering::Relaxed));
        assert!(tokio::time::timeout(Duration::from_millis(5), hung_up).await.is_err());
        barrier.wait();
        running.await.unwrap().unwrap();
        assert_eq!(pool.run(None, |_| ()).await, Ok(()));
        assert_eq!(begun.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_panic_is_told_to_its_caller_and_to_nobody_else() {
        let pool = HashPool::start(ONE).unwrap();
        assert_eq!(pool.run(None, |_| -> u8 { panic!("on purpose") }).await, Err(HashError::GivenUp));
        assert_eq!(pool.run(None, |_| 1).await, Ok(1));
    }

    #[tokio::test]
    async fn only_the_hashing_threads_are_nice() {
        let pool = HashPool::start(ONE).unwrap();
        let own = rustix::process::getpriority_process(None).unwrap();
        assert_eq!(pool.run(None, |_| rustix::process::getpriority_process(None).unwrap()).await, Ok(NICENESS));
        assert_eq!(rustix::process::getpriority_process(None).unwrap(), own);
    }
}
