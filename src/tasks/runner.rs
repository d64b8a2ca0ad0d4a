//! One loop for every task: wait, do a round, obey the table when it fails or the process stops.

use std::error::Error;
use std::future::pending;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{OnError, OnShutdown, Task};

/// Why a round failed.
pub(super) type Fault = Box<dyn Error + Send + Sync>;

/// When the next round begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Next {
    AtOnce,
    /// After the period, or when the task is woken.
    AfterPeriod,
}

/// What a task does again and again.
pub(super) trait Round: Send + Sync + 'static {
    /// Does it once.
    fn round(&self) -> impl Future<Output = Result<Next, Fault>> + Send;

    /// Ends when a round is worth beginning before its period is over.
    fn woken(&self) -> impl Future<Output = ()> + Send {
        pending()
    }
}

/// Runs a task until it is told to stop. The first round begins at once.
pub(super) async fn run<R: Round>(task: Task, work: R, stop: CancellationToken) {
    let mut failures = 0;
    while !stop.is_cancelled() {
        let Some(outcome) = one_round(task, &work, &stop).await else { return };
        match outcome {
            Ok(next) => {
                if failures > 0 {
                    tracing::info!(task = task.name, failures, "a background task works again");
                }
                failures = 0;
                if next == Next::AtOnce {
                    continue;
                }
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = work.woken() => {}
                    () = tokio::time::sleep(task.period) => {}
                }
            }
            Err(fault) => {
                if failures == 0 {
                    tracing::warn!(task = task.name, error = &*fault as &dyn Error, "a background task fails");
                }
                failures += 1;
                // Nothing wakes it here: who can't be served now must not be asked at every call.
                stop.run_until_cancelled(tokio::time::sleep(pause(task, failures))).await;
            }
        }
    }
}

/// One round; `None` = it was dropped because the process stops.
async fn one_round<R: Round>(task: Task, work: &R, stop: &CancellationToken) -> Option<Result<Next, Fault>> {
    match task.on_shutdown {
        OnShutdown::FinishRound => Some(work.round().await),
        OnShutdown::DropRound => stop.run_until_cancelled(work.round()).await,
    }
}

/// How long a task rests after that many failures in a row.
fn pause(task: Task, failures: u32) -> Duration {
    match task.on_error {
        OnError::NextPeriod => task.period,
        OnError::BackOff { at_most } => {
            task.period.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))).min(at_most)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Notify;
    use tokio::task::JoinHandle;

    use super::super::{OUTBOX, TAIL};
    use super::*;

    /// Counts the rounds that it begins and ends, and fails if told so.
    #[derive(Default)]
    struct Seen {
        begun: AtomicU32,
        ended: AtomicU32,
        wake: Notify,
    }

    struct Counting {
        seen: Arc<Seen>,
        fails: bool,
        takes: Duration,
    }

    impl Round for Counting {
        async fn round(&self) -> Result<Next, Fault> {
            self.seen.begun.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(self.takes).await;
            self.seen.ended.fetch_add(1, Ordering::Relaxed);
            if self.fails { Err("down".into()) } else { Ok(Next::AfterPeriod) }
        }

        async fn woken(&self) {
            self.seen.wake.notified().await;
        }
    }

    impl Seen {
        async fn begins(&self, rounds: u32) {
            while self.begun.load(Ordering::Relaxed) < rounds {
                tokio::time::sleep(SHORT).await;
            }
        }
    }

    const SHORT: Duration = Duration::from_millis(1);
    const LONG: Duration = Duration::from_secs(3_600);

    fn start(task: Task, fails: bool, takes: Duration) -> (Arc<Seen>, CancellationToken, JoinHandle<()>) {
        let (seen, stop) = (Arc::<Seen>::default(), CancellationToken::new());
        let work = Counting { seen: Arc::clone(&seen), fails, takes };
        let running = tokio::spawn(run(task, work, stop.clone()));
        (seen, stop, running)
    }

    #[tokio::test]
    async fn a_task_runs_at_once_and_by_its_period() {
        let (seen, ..) = start(Task { period: SHORT, ..OUTBOX }, false, Duration::ZERO);
        seen.begins(3).await;
    }

    #[tokio::test]
    async fn a_task_that_is_woken_does_not_wait_for_its_period() {
        let (seen, ..) = start(Task { period: LONG, ..OUTBOX }, false, Duration::ZERO);
        seen.begins(1).await;
        seen.wake.notify_one();
        seen.begins(2).await;
    }

    #[tokio::test]
    async fn a_task_that_fails_is_not_woken() {
        let (seen, ..) = start(Task { period: LONG, ..OUTBOX }, true, Duration::ZERO);
        seen.begins(1).await;
        seen.wake.notify_one();
        tokio::time::sleep(20 * SHORT).await;
        assert_eq!(seen.begun.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_task_that_fails_goes_on() {
        let (seen, ..) = start(Task { period: SHORT, ..TAIL }, true, Duration::ZERO);
        seen.begins(3).await;
    }

    #[test]
    fn a_task_that_backs_off_rests_longer_and_longer() {
        let seconds: Vec<_> = (1..8).map(|failures| pause(OUTBOX, failures).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(pause(OUTBOX, u32::MAX), Duration::from_secs(30));
        assert_eq!(pause(TAIL, u32::MAX), TAIL.period);
    }

    #[tokio::test]
    async fn a_round_under_way_is_finished_or_dropped_as_the_table_says() {
        for (task, finished) in [(OUTBOX, 1), (TAIL, 0)] {
            let (seen, stop, running) = start(task, false, 100 * SHORT);
            seen.begins(1).await;
            stop.cancel();
            running.await.unwrap();
            assert_eq!(seen.ended.load(Ordering::Relaxed), finished, "{}", task.name);
        }
    }
}
