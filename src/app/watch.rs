//! Following what changes decisions: the change log, handed out in its order, from where a caller left off.
//!
//! Every step stands in the log before it is told and is told with a token to resume from, so that whatever happens to
//! the caller, the connection or this process, nothing is missed and nothing comes twice. Whether the caller may still
//! follow is asked again at each look, as for a call that came in just now.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::admission::Requirement;
use super::clock::Clock;
use super::error::{Error, Result};
use super::guard::permissions;
use super::{App, Ctx, Reason, Secret};
use crate::cache::Freshness;
use crate::domain::change::{Key, Line};
use crate::domain::ids::{OrganizationId, PrincipalId};
use crate::domain::realm::Position;
use crate::domain::workload::Workload;

/// So many follow at most, in all realms of this process: each has a task's worth of memory and reads the log.
pub(super) const WATCHERS_MAX: usize = 1_000;
/// A caller who would else hear nothing is told where the log stands after so long.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a follower rests who was not woken: how late it may learn that it may no longer follow.
const LOOK: Duration = Duration::from_millis(500);
/// So many revisions are read at once.
const REVISIONS: i64 = 500;
/// How long a caller waits who finds every seat taken.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Something that decisions rest on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fact {
    Principal(PrincipalId),
    Organization(OrganizationId),
    Catalogue,
}

/// One change of the realm, or where the log stands without one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    pub position: Position,
    pub changed: Vec<Fact>,
}

/// What a caller came with: a bearer credential, or the certificate of its connection.
#[derive(Clone, Debug)]
pub struct Presented {
    pub bearer: Option<Secret<String>>,
    pub workload: Option<Arc<Workload>>,
}

/// Somebody who follows.
pub struct Watch {
    app: Arc<App>,
    ctx: Ctx,
    presented: Presented,
    closing: CancellationToken,
    after: Position,
    pending: VecDeque<Step>,
    /// When the caller was told something last.
    told: Option<Duration>,
    _seat: OwnedSemaphorePermit,
}

impl App {
    /// Begins to follow after a position, or from now on. What was presented is asked about again and again; `closing`
    /// ends it.
    ///
    /// # Errors
    /// OVERLOADED if too many follow; a nearest miss; UNAVAILABLE.
    pub async fn watch(
        self: &Arc<Self>,
        ctx: &Ctx,
        after: Option<Position>,
        presented: Presented,
        closing: CancellationToken,
    ) -> Result<Watch> {
        let full = |_| Error::Later { reason: Reason::Overloaded, retry_after: RETRY_AFTER };
        let seat = Arc::clone(&self.watchers).try_acquire_owned().map_err(full)?;
        let here = self.may_watch(ctx).await?;
        Ok(Watch {
            app: Arc::clone(self),
            ctx: ctx.clone(),
            presented,
            closing,
            after: after.unwrap_or(here),
            pending: VecDeque::new(),
            told: None,
            _seat: seat,
        })
    }

    /// Requires that the caller may follow; answers where the log stands.
    async fn may_watch(&self, ctx: &Ctx) -> Result<Position> {
        super::read::again(|| async {
            let view = self.view(ctx, Freshness::Latest).await?;
            self.guard(ctx, &view).await?.require(permissions::WATCH, None, None).await?;
            Ok(view.position())
        })
        .await
    }
}

impl Watch {
    /// The next step, as soon as there is one; where the log stands, if there is none for long.
    ///
    /// # Errors
    /// CHANGES_MISSED; UNAVAILABLE when the process stops or the record can't be read; what a call of this caller would be
    /// refused with now.
    pub async fn next(&mut self) -> Result<Step> {
        loop {
            if let Some(step) = self.pending.pop_front() {
                self.told = Some(Clock::elapsed());
                self.after = step.position;
                return Ok(step);
            }
            let app = Arc::clone(&self.app);
            // Heard from here on, so that what happens between the look and the rest is not slept through.
            let mut moved = std::pin::pin!(app.snapshots.moved());
            moved.as_mut().enable();
            let here = self.admitted().await?;
            if here != self.after {
                self.read().await?;
                continue;
            }
            let since = self.told.map(|told| Clock::elapsed().saturating_sub(told));
            if since.is_none_or(|since| since >= HEARTBEAT) {
                self.pending.push_back(Step { position: here, changed: vec![] });
                continue;
            }
            tokio::select! {
                () = self.closing.cancelled() => return Err(Error::unavailable()),
                () = moved => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Asks what the door asks, and whether the caller may follow; answers where the log stands.
    async fn admitted(&self) -> Result<Position> {
        let now = self.app.clock.now();
        let Presented { bearer, workload } = &self.presented;
        let bearer = bearer.as_ref().map(|bearer| bearer.expose().as_str());
        let caller = self.app.caller(bearer, workload.as_ref(), self.ctx.peer).await?.ok_or_else(nobody)?;
        let needs = Requirement::Any { permissions: vec![permissions::WATCH.to_owned()], own: false };
        self.app.admit(&caller, self.ctx.realm, &needs, now).await?;
        self.app.may_watch(&Ctx { now, ..self.ctx.clone() }).await
    }

    async fn read(&mut self) -> Result<()> {
        let lines = self.app.store.rows(self.ctx.realm).log(self.after.revision, REVISIONS).await?;
        let mut steps = lines.chunk_by(|one, next| one.position == next.position);
        if steps.next().and_then(|own| own.first()).is_none_or(|own| own.position != self.after) {
            let message = "the change log does not continue the token: read everything anew and follow from now";
            return Err(Error::refused(Reason::ChangesMissed, message));
        }
        self.pending.extend(steps.map(step));
        Ok(())
    }
}

fn nobody() -> Error {
    Error::refused(Reason::CredentialMissing, "a credential is required")
}

fn step(lines: &[Line]) -> Step {
    let fact = |line: &Line| match line.key {
        Key::Principal(id) => Some(Fact::Principal(id)),
        Key::Organization(id) => Some(Fact::Organization(id)),
        Key::Catalogue => Some(Fact::Catalogue),
        // Who may sign in by it is no decision about anybody.
        Key::Credential(_) => None,
    };
    Step { position: lines[0].position, changed: lines.iter().filter_map(fact).collect() }
}
