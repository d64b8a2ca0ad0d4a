//! Limits of public calls: per source and per mailbox, in this process.
//!
//! They keep a stranger from filling somebody's mailbox or the outbox; what they can't do is stop the owner of the
//! mailbox for longer than a minute. Each replica counts for itself. Calls that must not tell whose a mailbox is take the
//! same time, too: [`in_even_time`].

use std::num::NonZeroU32;
use std::time::Duration;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::error::{Error, Result};
use super::{App, Ctx, Reason};
use crate::domain::ids::RealmId;
use crate::domain::source::Network;

/// When a call answers that must not tell by its time what it found: later than what it does takes on a database that is
/// well, and soon enough for a person.
pub const EVEN_TIME: Duration = Duration::from_millis(100);

/// Answers after [`EVEN_TIME`], or later if the work takes longer.
pub(super) async fn in_even_time<T>(work: impl Future<Output = T>) -> T {
    tokio::join!(work, tokio::time::sleep(EVEN_TIME)).0
}

/// As [`in_even_time`], of what fails for this reason: else the answer is there at once.
pub(super) async fn failing_in_even_time<T>(work: impl Future<Output = Result<T>>, reason: Reason) -> Result<T> {
    let even = tokio::time::sleep(EVEN_TIME);
    let outcome = work.await;
    if outcome.as_ref().is_err_and(|error| error.reason() == reason) {
        even.await;
    }
    outcome
}

/// How much goes through in a minute. `None` = as much as comes.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    pub per_source: Option<NonZeroU32>,
    pub per_mailbox: Option<NonZeroU32>,
    /// Look-ups for one source, of credentials and realms that there are not.
    pub unknown_per_source: Option<NonZeroU32>,
}

/// Who called lately, and about whom.
#[derive(Debug)]
pub(super) struct Limits {
    sources: Option<DefaultKeyedRateLimiter<Network>>,
    mailboxes: Option<DefaultKeyedRateLimiter<(RealmId, String)>>,
}

impl Limits {
    pub(super) fn new(rates: Rates) -> Self {
        Self {
            sources: rates.per_source.map(|rate| RateLimiter::keyed(Quota::per_minute(rate))),
            mailboxes: rates.per_mailbox.map(|rate| RateLimiter::keyed(Quota::per_minute(rate))),
        }
    }

    /// Counts what a public call does about a mailbox; `None` = it names none that can be.
    ///
    /// # Errors
    /// RATE_LIMITED, with the time after which it goes through.
    pub(super) fn admit(&self, ctx: &Ctx, mailbox: Option<&str>) -> Result<()> {
        mailbox.map_or(Ok(()), |mailbox| self.admit_mailbox(ctx, mailbox.to_owned()))
    }

    /// Counts an attempt at the password of a mailbox: those from one source do not use up what others have.
    ///
    /// # Errors
    /// As [`Limits::admit`].
    pub(super) fn admit_attempt(&self, ctx: &Ctx, mailbox: &str) -> Result<()> {
        let source = ctx.network().map(|network| network.to_string()).unwrap_or_default();
        self.admit_mailbox(ctx, format!("{mailbox} from {source}"))
    }

    /// Counts a request for a reset: attempts at the password do not use up what it has.
    ///
    /// # Errors
    /// As [`Limits::admit`].
    pub(super) fn admit_reset(&self, ctx: &Ctx, mailbox: &str) -> Result<()> {
        self.admit_mailbox(ctx, format!("reset of {mailbox}"))
    }

    /// Counts a public call, before anything but its metadata is read.
    ///
    /// # Errors
    /// As [`Limits::admit`].
    pub(super) fn admit_source(&self, ctx: &Ctx) -> Result<()> {
        if let Some((sources, peer)) = self.sources.as_ref().zip(ctx.network()) {
            sources.check_key(&peer).map_err(|full| too_many(&full))?;
        }
        Ok(())
    }

    fn admit_mailbox(&self, ctx: &Ctx, mailbox: String) -> Result<()> {
        if let Some(mailboxes) = &self.mailboxes {
            mailboxes.check_key(&(ctx.realm, mailbox)).map_err(|full| too_many(&full))?;
        }
        Ok(())
    }

    /// Forgets who has not called for a minute.
    pub(super) fn forget_idle(&self) {
        if let Some(sources) = &self.sources {
            sources.retain_recent();
        }
        if let Some(mailboxes) = &self.mailboxes {
            mailboxes.retain_recent();
        }
    }
}

impl App {
    /// Counts a public call against what its source has.
    ///
    /// # Errors
    /// RATE_LIMITED, with the time after which one goes through.
    pub fn admit_public(&self, ctx: &Ctx) -> Result<()> {
        self.limits.admit_source(ctx)
    }
}

fn too_many(full: &governor::NotUntil<governor::clock::QuantaInstant>) -> Error {
    use governor::clock::Clock;
    let retry_after = full.wait_time_from(governor::clock::QuantaClock::default().now());
    Error::Later { reason: Reason::RateLimited, retry_after: retry_after.max(Duration::from_millis(1)) }
}
