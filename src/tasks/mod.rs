//! What runs beside the calls. The table says all that matters about a task; `runner` obeys it, and the other files
//! say what one round of a task does.
//!
//! | task | round |
//! |---|---|
//! | `audit` | gives new lines of the audit log the positions by which they are followed |
//! | `certificates` | looks whether the files of TLS have changed; only where there is TLS |
//! | `expiry` | has registrations expire that nobody decided, erases who was deleted long ago, drops old mails |
//! | `gauges` | brings metrics up to date that are read off: cache, hash pool, outbox, connections |
//! | `housekeeping` | drops what nobody asks for any more: old lines of both logs, old answers, run-out sessions |
//! | `refusals` | writes what was counted of refused public calls into the audit log |
//! | `key-use` | writes down which API keys were used |
//! | `outbox` | claims due mails, delivers them, writes down what became of them |
//! | `tail` | reads the change log; only where other processes write to the same record |
//!
//! `serve` starts them ([`spawn_all`]), ends the process when a vital one dies ([`Tasks::died`]), and stops them in
//! reverse order ([`Tasks::stop`]).

mod audit;
mod certificates;
mod expiry;
mod gauges;
mod housekeeping;
mod key_use;
mod outbox;
mod refusals;
mod runner;
mod tail;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::mail::Mailer;
pub use certificates::Look;
use runner::{Round, run};

/// A background task, as `serve` and its readers know it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Task {
    pub name: &'static str,
    /// From the end of one round to the next, unless something wakes the task earlier.
    pub period: Duration,
    pub on_error: OnError,
    pub on_shutdown: OnShutdown,
    /// Whether the process must not live on without it.
    pub vital: bool,
}

/// When a task goes on after a round that failed. The log hears of the first failure in a row, and of its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnError {
    /// After its period, as ever.
    NextPeriod,
    /// After its period, then after twice as long with each further failure, up to this; nothing wakes it earlier.
    BackOff { at_most: Duration },
}

/// What becomes of a round that is under way when the process stops.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnShutdown {
    /// It ends where it stands; nothing is lost by that.
    DropRound,
    /// It is waited for.
    FinishRound,
}

/// Makes new lines of the audit log ready to be followed, within two rounds of their commit.
pub const AUDIT: Task = Task {
    name: "audit",
    period: Duration::from_secs(1),
    on_error: OnError::NextPeriod,
    on_shutdown: OnShutdown::DropRound,
    vital: false,
};

/// Serves new certificates without a restart. Files that can't be used leave the old ones, and are looked at again.
pub const CERTIFICATES: Task = Task {
    name: "certificates",
    period: Duration::from_secs(2),
    on_error: OnError::NextPeriod,
    on_shutdown: OnShutdown::DropRound,
    vital: false,
};

/// Lets time pass. Rules are in days; what a round that ends with the process did not do, the next one does.
pub const EXPIRY: Task = Task {
    name: "expiry",
    period: Duration::from_secs(60),
    on_error: OnError::NextPeriod,
    on_shutdown: OnShutdown::DropRound,
    vital: false,
};

/// Shows what goes on. A scrape may see what is five seconds old.
pub const GAUGES: Task = Task {
    name: "gauges",
    period: Duration::from_secs(5),
    on_error: OnError::NextPeriod,
    on_shutdown: OnShutdown::DropRound,
    vital: false,
};

/// Drops what is old. Whatever it missed, the next round gets.
pub const HOUSEKEEPING: Task = Task {
    name: "housekeeping",
    period: Duration::from_secs(600),
    on_error: OnError::NextPeriod,
    on_shutdown: OnShutdown::DropRound,
    vital: false,
};

/// Writes down uses of API keys, of which one an hour is noted. What a process that dies had not written is lost.
pub const KEY_USE: Task = Task {
    name: "key-use",
    period: Duration::from_secs(300),
    on_error: OnError::NextPeriod,
    on_shutdown: OnShutdown::FinishRound,
    vital: false,
};

/// Delivers mails. A batch under way is finished, so that no delivery has to be repeated because of a restart.
pub const OUTBOX: Task = Task {
    name: "outbox",
    period: Duration::from_secs(1),
    on_error: OnError::BackOff { at_most: Duration::from_secs(30) },
    on_shutdown: OnShutdown::FinishRound,
    vital: true,
};

/// Writes down what was refused. A round under way is finished, so that nothing counted is lost by a restart.
pub const REFUSALS: Task = Task {
    name: "refusals",
    period: Duration::from_secs(10),
    on_error: OnError::NextPeriod,
    on_shutdown: OnShutdown::FinishRound,
    vital: false,
};

/// Keeps up with the change log. Kept snapshots may serve for 500 ms after a reading, hence five tries in that time.
pub const TAIL: Task = Task {
    name: "tail",
    period: Duration::from_millis(100),
    on_error: OnError::NextPeriod,
    on_shutdown: OnShutdown::DropRound,
    vital: true,
};

/// The tasks that run.
#[derive(Debug, Default)]
pub struct Tasks {
    running: JoinSet<()>,
    /// In the order in which they were started.
    started: Vec<Started>,
}

#[derive(Debug)]
struct Started {
    task: Task,
    id: Id,
    stop: CancellationToken,
}

/// Starts every task that this process needs. Cancelling `all` stops them all at once; [`Tasks::stop`] does it in
/// order.
#[must_use]
pub fn spawn_all(app: &Arc<App>, mailer: Mailer, certificates: Option<Look>, all: &CancellationToken) -> Tasks {
    let mut tasks = Tasks::default();
    if let Some(look) = certificates {
        tasks.spawn(CERTIFICATES, certificates::Certificates(look), all);
    }
    tasks.spawn(AUDIT, audit::Audit::new(Arc::clone(app)), all);
    tasks.spawn(EXPIRY, expiry::Expiry::new(Arc::clone(app)), all);
    tasks.spawn(GAUGES, gauges::Gauges::new(Arc::clone(app)), all);
    tasks.spawn(HOUSEKEEPING, housekeeping::Housekeeping::new(Arc::clone(app)), all);
    tasks.spawn(REFUSALS, refusals::Refusals::new(Arc::clone(app)), all);
    tasks.spawn(KEY_USE, key_use::KeyUse::new(Arc::clone(app)), all);
    tasks.spawn(OUTBOX, outbox::Outbox::new(Arc::clone(app), mailer), all);
    if app.store().is_shared() {
        tasks.spawn(TAIL, tail::Tail::new(Arc::clone(app)), all);
    }
    tasks
}

impl Tasks {
    fn spawn(&mut self, task: Task, round: impl Round, all: &CancellationToken) {
        let stop = all.child_token();
        let id = self.running.spawn(run(task, round, stop.clone())).id();
        self.started.push(Started { task, id, stop });
    }

    /// Waits until a vital task has died, and names it. A lesser one that dies is only logged.
    pub async fn died(&mut self) -> &'static str {
        while let Some(ended) = self.ended().await {
            if ended.task.vital && !ended.stop.is_cancelled() {
                return ended.task.name;
            }
        }
        std::future::pending().await
    }

    /// Stops the tasks one by one, the last started first. Whoever drops this future ends the rest where they stand.
    pub async fn stop(mut self) {
        while let Some(last) = self.started.last() {
            last.stop.cancel();
            if self.ended().await.is_none() {
                break;
            }
        }
    }

    /// Waits for the next task that ends, of whatever cause.
    async fn ended(&mut self) -> Option<Started> {
        let (id, fault) = match self.running.join_next_with_id().await? {
            Ok((id, ())) => (id, None),
            Err(fault) => (fault.id(), Some(fault)),
        };
        let at = self.started.iter().position(|started| started.id == id)?;
        let ended = self.started.remove(at);
        if let Some(fault) = fault {
            tracing::error!(task = ended.task.name, vital = ended.task.vital, %fault, "a background task died");
        }
        Some(ended)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::runner::{Fault, Next};
    use super::*;

    /// Says when it ended.
    struct Sleeper(&'static str, Arc<Mutex<Vec<&'static str>>>);

    impl Drop for Sleeper {
        fn drop(&mut self) {
            self.1.lock().unwrap().push(self.0);
        }
    }

    impl Round for Sleeper {
        async fn round(&self) -> Result<Next, Fault> {
            Ok(Next::AfterPeriod)
        }
    }

    struct Bomb;

    impl Round for Bomb {
        async fn round(&self) -> Result<Next, Fault> {
            panic!("bang")
        }
    }

    #[tokio::test]
    async fn tasks_stop_in_reverse_order() {
        let (log, mut tasks) = (Arc::new(Mutex::new(vec![])), Tasks::default());
        for name in ["first", "second", "third"] {
            tasks.spawn(OUTBOX, Sleeper(name, Arc::clone(&log)), &CancellationToken::new());
        }
        tasks.stop().await;
        assert_eq!(*log.lock().unwrap(), ["third", "second", "first"]);
    }

    #[tokio::test]
    async fn the_death_of_a_vital_task_is_told_and_of_a_lesser_one_is_not() {
        let (all, mut tasks) = (CancellationToken::new(), Tasks::default());
        tasks.spawn(HOUSEKEEPING, Bomb, &all);
        let quiet = tokio::time::timeout(Duration::from_millis(50), tasks.died()).await;
        assert!(quiet.is_err(), "{quiet:?}");
        tasks.spawn(TAIL, Bomb, &all);
        assert_eq!(tasks.died().await, "tail");
    }

    #[tokio::test]
    async fn a_task_that_was_told_to_stop_has_not_died() {
        let (all, mut tasks) = (CancellationToken::new(), Tasks::default());
        tasks.spawn(OUTBOX, Sleeper("outbox", Arc::default()), &all);
        all.cancel();
        let quiet = tokio::time::timeout(Duration::from_millis(50), tasks.died()).await;
        assert!(quiet.is_err(), "{quiet:?}");
    }
}
