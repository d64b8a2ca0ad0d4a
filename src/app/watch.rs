//! Following what changes decisions: the change log, handed out in its order, from where a caller left off.
//!
//! Every step stands in the log before it is told and is told with a token to resume from, so that whatever happens to
//! the caller, the connection or this process, nothing is missed and nothing comes twice. The log is read once for all
//! who follow a realm ([`feed`](super::feed)). Whether the caller may still follow is asked again, as for a call that came
//! in just now, before a step that may concern that is told, and every half second.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::admission::Requirement;
use super::clock::Clock;
use super::error::{Error, Result};
use super::feed::{After, Feed, Shared};
use super::guard::permissions;
use super::seats::Seat;
use super::{App, Ctx, Reason, Secret};
use crate::cache::Freshness;
use crate::domain::ids::{OrganizationId, PrincipalId};
use crate::domain::realm::Position;
use crate::domain::workload::Workload;

/// A caller who would else hear nothing is told where the log stands after so long.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a follower rests who was not woken: how late it may learn that it may no longer follow.
pub(super) const LOOK: Duration = Duration::from_millis(500);
/// How long a caller waits who finds every seat taken, or the server stopping.
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
    feed: Arc<Feed>,
    after: Position,
    pending: VecDeque<Arc<Shared>>,
    /// When the caller was told something last.
    told: Option<Duration>,
    /// When it was last found that the caller may follow.
    admitted: Duration,
    _seat: Seat,
}

impl App {
    /// Begins to follow after a position, or from now on. What was presented is asked about again and again; `closing`
    /// ends it.
    ///
    /// # Errors
    /// TOO_MANY_FOLLOWERS; a nearest miss; UNAVAILABLE, also if the log does not reach the position yet.
    pub async fn watch(
        self: &Arc<Self>,
        ctx: &Ctx,
        after: Option<Position>,
        presented: Presented,
        closing: CancellationToken,
    ) -> Result<Watch> {
        let full = || Error::Later { reason: Reason::TooManyFollowers, retry_after: RETRY_AFTER };
        let seat = self.feeds.seats.take(ctx.realm, ctx.actor_id()?).ok_or_else(full)?;
        let here = self.may_watch(ctx, after.map_or(Freshness::Latest, Freshness::AtLeast)).await?;
        Ok(Watch {
            app: Arc::clone(self),
            ctx: ctx.clone(),
            presented,
            feed: self.feed(ctx.realm, here, &closing),
            closing,
            after: after.unwrap_or(here),
            pending: VecDeque::new(),
            told: None,
            admitted: Clock::elapsed(),
            _seat: seat,
        })
    }

    /// Requires that the caller may follow; answers where the log stands.
    async fn may_watch(&self, ctx: &Ctx, freshness: Freshness) -> Result<Position> {
        super::read::again(|| async {
            let view = self.view(ctx, freshness).await?;
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
    /// CHANGES_MISSED; SHUTTING_DOWN when the process stops; UNAVAILABLE when the log can't be read; what a call of this
    /// caller would be refused with now.
    pub async fn next(&mut self) -> Result<Step> {
        loop {
            if self.closing.is_cancelled() {
                return Err(Error::Later { reason: Reason::ShuttingDown, retry_after: RETRY_AFTER });
            }
            if let Some(shared) = self.pending.pop_front() {
                return self.tell(shared).await;
            }
            let feed = Arc::clone(&self.feed);
            // Heard from here on, so that what comes between the look and the rest is not slept through.
            let mut grown = std::pin::pin!(feed.grown.notified());
            grown.as_mut().enable();
            match feed.after(self.after) {
                After::Steps(steps) => self.pending.extend(steps),
                After::Elsewhere => self.catch_up().await?,
                After::Nothing => {}
            }
            if !self.pending.is_empty() {
                continue;
            }
            let since = self.told.map(|told| Clock::elapsed().saturating_sub(told));
            if since.is_none_or(|since| since >= HEARTBEAT) {
                self.told = Some(Clock::elapsed());
                return Ok(Step { position: self.after, changed: vec![] });
            }
            self.look().await?;
            tokio::select! {
                () = self.closing.cancelled() => {}
                () = grown => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    async fn tell(&mut self, shared: Arc<Shared>) -> Result<Step> {
        if shared.concerns(self.ctx.actor_id()?) {
            self.admit().await?;
        }
        self.look().await?;
        self.told = Some(Clock::elapsed());
        self.after = shared.step.position;
        Ok(shared.step.clone())
    }

    /// Reads what is no longer at hand. If it is not there yet, it will be.
    async fn catch_up(&mut self) -> Result<()> {
        let steps = self.app.steps_after(self.ctx.realm, self.after).await?;
        self.pending.extend(steps.into_iter().map(Arc::new));
        Ok(())
    }

    /// Asks again whether the caller may follow, if that was asked long ago.
    async fn look(&mut self) -> Result<()> {
        if Clock::elapsed().saturating_sub(self.admitted) < LOOK { Ok(()) } else { self.admit().await }
    }

    /// Asks what the authentication layer asks, and whether the caller may follow.
    async fn admit(&mut self) -> Result<()> {
        let now = self.app.clock.now();
        let Presented { bearer, workload } = &self.presented;
        let bearer = bearer.as_ref().map(|bearer| bearer.expose().as_str());
        let caller = self.app.caller(bearer, workload.as_ref(), self.ctx.peer).await?.ok_or_else(nobody)?;
        let needs = Requirement::Any { permissions: vec![permissions::WATCH.to_owned()], own: false };
        self.app.admit(&caller, self.ctx.realm, &needs, now).await?;
        self.app.may_watch(&Ctx { now, ..self.ctx.clone() }, Freshness::Latest).await?;
        self.admitted = Clock::elapsed();
        Ok(())
    }
}

fn nobody() -> Error {
    Error::refused(Reason::CredentialMissing, "a credential is required")
}
