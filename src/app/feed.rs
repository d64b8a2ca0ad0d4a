//! The newest steps of a realm's log, read once for all who follow it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use super::error::{Error, Result};
use super::read::again;
use super::seats::Seats;
use super::watch::{Fact, LOOK, Step};
use super::{App, Reason};
use crate::cache::Freshness;
use crate::domain::change::{Key, Line};
use crate::domain::ids::{PrincipalId, RealmId};
use crate::domain::realm::Position;

/// So many of the newest steps are at hand; who is further behind reads the log until it is not.
const STEPS: usize = 1_000;
/// So many revisions are read at once.
const REVISIONS: i64 = 500;
/// So many who are behind read the log at the same time.
const READERS: usize = 4;

/// Everything that followers share.
#[derive(Debug)]
pub(super) struct Feeds {
    pub(super) seats: Arc<Seats>,
    by_realm: Mutex<HashMap<RealmId, Weak<Feed>>>,
    /// Those who are behind read the log one after another.
    readers: Semaphore,
}

impl Default for Feeds {
    fn default() -> Self {
        Self { seats: Arc::default(), by_realm: Mutex::default(), readers: Semaphore::new(READERS) }
    }
}

/// A step, and whether it may concern what any follower may.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) step: Step,
    concerns_all: bool,
}

impl Shared {
    /// Whether this step may have changed what that account may, or whether its credential counts.
    pub(super) fn concerns(&self, account: PrincipalId) -> bool {
        self.concerns_all || self.step.changed.contains(&Fact::Principal(account))
    }
}

/// What there is after a position.
pub(super) enum After {
    Steps(Vec<Arc<Shared>>),
    /// Nothing yet.
    Nothing,
    /// More than is at hand, or of another history: the log knows.
    Elsewhere,
}

/// The newest steps of one realm.
#[derive(Debug)]
pub(super) struct Feed {
    realm: RealmId,
    newest: Mutex<Newest>,
    pub(super) grown: Notify,
}

#[derive(Debug)]
struct Newest {
    /// Where the steps at hand begin.
    base: Position,
    steps: VecDeque<Arc<Shared>>,
}

impl Newest {
    fn head(&self) -> Position {
        self.steps.back().map_or(self.base, |last| last.step.position)
    }
}

impl Feed {
    pub(super) fn after(&self, position: Position) -> After {
        let newest = self.newest.lock();
        if position == newest.head() {
            return After::Nothing;
        }
        let ahead = usize::try_from(position.revision.0 - newest.base.revision.0).ok();
        let known = ahead.and_then(|ahead| match ahead.checked_sub(1) {
            None => Some((ahead, newest.base)),
            Some(last) => newest.steps.get(last).map(|last| (ahead, last.step.position)),
        });
        match known.filter(|(_, at)| *at == position) {
            Some((from, _)) => After::Steps(newest.steps.range(from..).cloned().collect()),
            None => After::Elsewhere,
        }
    }

    fn head(&self) -> Position {
        self.newest.lock().head()
    }

    fn grow(&self, steps: Vec<Shared>) {
        let mut newest = self.newest.lock();
        for step in steps {
            if newest.steps.len() == STEPS
                && let Some(oldest) = newest.steps.pop_front()
            {
                newest.base = oldest.step.position;
            }
            newest.steps.push_back(Arc::new(step));
        }
        drop(newest);
        self.grown.notify_waiters();
    }

    /// Begins anew from where the log stands: it does not continue what is at hand.
    fn begin_at(&self, base: Position) {
        *self.newest.lock() = Newest { base, steps: VecDeque::new() };
        self.grown.notify_waiters();
    }
}

impl App {
    /// The feed of a realm that stands there, read for as long as anybody holds it.
    pub(super) fn feed(self: &Arc<Self>, realm: RealmId, here: Position, closing: &CancellationToken) -> Arc<Feed> {
        let mut all = self.feeds.by_realm.lock();
        if let Some(feed) = all.get(&realm).and_then(Weak::upgrade) {
            return feed;
        }
        all.retain(|_, feed| feed.strong_count() > 0);
        let newest = Mutex::new(Newest { base: here, steps: VecDeque::new() });
        let feed = Arc::new(Feed { realm, newest, grown: Notify::new() });
        all.insert(realm, Arc::downgrade(&feed));
        drop(all);
        tokio::spawn(keep_reading(Arc::clone(self), Arc::downgrade(&feed), closing.clone()));
        feed
    }

    /// The steps after a position, as the log has them. In turn: some who are far behind do not keep the database from
    /// everybody else.
    pub(super) async fn steps_after(&self, realm: RealmId, position: Position) -> Result<Vec<Shared>> {
        let _turn = self.feeds.readers.acquire().await.map_err(Error::internal)?;
        self.read_steps(realm, position).await
    }

    /// The steps after a position.
    ///
    /// # Errors
    /// CHANGES_MISSED if the log does not continue the position, or has a hole; UNAVAILABLE.
    async fn read_steps(&self, realm: RealmId, position: Position) -> Result<Vec<Shared>> {
        steps(&self.store.rows(realm).log(position.revision, REVISIONS).await?, position)
    }

    /// Where the log stands, as this process knows it.
    async fn stands(&self, realm: RealmId) -> Result<Position> {
        again(|| async {
            let view = self.snapshots.view(realm, Freshness::Latest).await?;
            view.map(|view| view.position()).ok_or_else(missed)
        })
        .await
    }
}

/// Reads a realm's log as it grows, until nobody follows any more. Rests whenever nothing came.
async fn keep_reading(app: Arc<App>, feed: Weak<Feed>, closing: CancellationToken) {
    loop {
        // Heard from here on, so that what happens between the look and the rest is not slept through.
        let mut moved = std::pin::pin!(app.snapshots.moved());
        moved.as_mut().enable();
        let Some(follows) = feed.upgrade() else { return };
        let grew = read_on(&app, &follows).await;
        drop(follows);
        if grew {
            continue;
        }
        tokio::select! {
            () = closing.cancelled() => return,
            () = moved => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Reads what came; whether something did.
async fn read_on(app: &App, feed: &Feed) -> bool {
    let head = feed.head();
    let Ok(here) = app.stands(feed.realm).await else { return false };
    if here == head {
        return false;
    }
    match app.read_steps(feed.realm, head).await {
        Ok(steps) if steps.is_empty() => false,
        Ok(steps) => {
            feed.grow(steps);
            true
        }
        Err(Error::Refused(_)) => {
            feed.begin_at(here);
            true
        }
        Err(_) => false,
    }
}

fn missed() -> Error {
    let message = "the change log does not continue the token: read everything anew and follow from now";
    Error::refused(Reason::ChangesMissed, message)
}

/// The steps after a position, of the log from there on, that position included.
fn steps(log: &[Line], after: Position) -> Result<Vec<Shared>> {
    let mut last: Option<Position> = None;
    let mut steps = vec![];
    for lines in log.chunk_by(|one, next| one.position == next.position) {
        let at = lines[0].position;
        if !last.map_or(at == after, |last| at.revision.0 == last.revision.0 + 1) {
            return Err(missed());
        }
        if last.replace(at).is_some() {
            steps.push(shared(lines));
        }
    }
    if last.is_some() { Ok(steps) } else { Err(missed()) }
}

fn shared(lines: &[Line]) -> Shared {
    let fact = |line: &Line| match line.key {
        Some(Key::Principal(id)) => Some(Fact::Principal(id)),
        Some(Key::Organization(id)) => Some(Fact::Organization(id)),
        // What a newer version wrote, and this one can't read, may concern any decision.
        Some(Key::Catalogue) | None => Some(Fact::Catalogue),
        // Who may sign in by it is no decision about anybody.
        Some(Key::Credential(_)) => None,
    };
    let concerns_all = !lines.iter().all(|line| matches!(line.key, Some(Key::Principal(_))));
    Shared {
        step: Step { position: lines[0].position, changed: lines.iter().filter_map(fact).collect() },
        concerns_all,
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::ids::{Mark, Revision};

    fn at(revision: i64) -> Position {
        Position { revision: Revision(revision), mark: Mark(revision * 7) }
    }

    fn log(revisions: &[i64]) -> Vec<Line> {
        let key = Some(Key::Principal(PrincipalId(Uuid::nil())));
        revisions.iter().map(|n| Line { realm: RealmId(Uuid::nil()), position: at(*n), key }).collect()
    }

    fn told(revisions: &[i64], after: Position) -> Option<Vec<i64>> {
        let steps = steps(&log(revisions), after).ok()?;
        Some(steps.iter().map(|shared| shared.step.position.revision.0).collect())
    }

    #[test]
    fn a_hole_in_the_log_is_noticed_and_never_told_as_nothing() {
        assert_eq!(told(&[3, 4, 4, 5], at(3)), Some(vec![4, 5]));
        assert_eq!(told(&[3], at(3)), Some(vec![]));
        assert_eq!(told(&[3, 5], at(3)), None, "a line is gone");
        assert_eq!(told(&[4, 5], at(3)), None, "the beginning is gone");
        assert_eq!(told(&[], at(3)), None, "the log does not reach so far");
        assert_eq!(told(&[3, 4], Position { mark: Mark(1), ..at(3) }), None, "another history");
    }

    #[test]
    fn who_is_at_a_position_gets_what_comes_after_it_and_nothing_twice() {
        let newest = Mutex::new(Newest { base: at(3), steps: VecDeque::new() });
        let feed = Feed { realm: RealmId(Uuid::nil()), newest, grown: Notify::new() };
        assert!(matches!(feed.after(at(3)), After::Nothing));
        feed.grow(steps(&log(&[3, 4, 5, 6]), at(3)).unwrap());
        let after = |position| match feed.after(position) {
            After::Steps(steps) => steps.iter().map(|shared| shared.step.position.revision.0).collect(),
            After::Nothing => vec![],
            After::Elsewhere => vec![-1],
        };
        assert_eq!(after(at(3)), [4, 5, 6]);
        assert_eq!(after(at(5)), [6]);
        assert_eq!(after(at(6)), [] as [i64; 0]);
        let elsewhere = [at(2), at(7), Position { mark: Mark(1), ..at(5) }];
        assert!(elsewhere.into_iter().all(|position| after(position) == [-1]), "the log knows");
        let many: Vec<_> = (6..=6 + STEPS as i64).collect();
        feed.grow(steps(&log(&many), at(6)).unwrap());
        assert_eq!(after(at(5)), [-1], "no longer at hand");
        assert_eq!(after(at(6)).len(), STEPS);
    }
}
