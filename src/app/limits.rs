//! Limits of public calls: per source and per mailbox, in this process.
//!
//! They keep a stranger from filling somebody's mailbox or the outbox; what they can't do is stop the owner of the
//! mailbox for longer than a minute. Each replica counts for itself. Calls that must not tell whose a mailbox is take the
//! same time, too: [`in_even_time`].

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use parking_lot::RwLock;

use super::clock::Clock;
use super::error::{Error, Result};
use super::{Ctx, Reason};
use crate::domain::ids::RealmId;

/// When a call answers that must not tell by its time what it found: later than what it does takes on a database that is
/// well, and soon enough for a person.
pub const EVEN_TIME: Duration = Duration::from_millis(100);

/// How long no key that is not in use here is looked up for a source that tried too many.
const EXHAUSTED_FOR: Duration = Duration::from_secs(10);

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

/// How many public calls go through in a minute. `None` = as many as come.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    pub per_source: Option<NonZeroU32>,
    pub per_mailbox: Option<NonZeroU32>,
    /// How many keys that nobody has are looked up for one source.
    pub unknown_keys_per_source: Option<NonZeroU32>,
}

/// Who called lately, and about whom.
#[derive(Debug)]
pub(super) struct Limits {
    sources: Option<DefaultKeyedRateLimiter<IpAddr>>,
    mailboxes: Option<DefaultKeyedRateLimiter<(RealmId, String)>>,
    unknown_keys: Option<DefaultKeyedRateLimiter<IpAddr>>,
    /// Sources that used up theirs, and until when.
    exhausted: RwLock<HashMap<IpAddr, Duration>>,
}

impl Limits {
    pub(super) fn new(rates: Rates) -> Self {
        Self {
            sources: rates.per_source.map(|rate| RateLimiter::keyed(Quota::per_minute(rate))),
            mailboxes: rates.per_mailbox.map(|rate| RateLimiter::keyed(Quota::per_minute(rate))),
            unknown_keys: rates.unknown_keys_per_source.map(|rate| RateLimiter::keyed(Quota::per_minute(rate))),
            exhausted: RwLock::default(),
        }
    }

    /// Counts a public call about a mailbox; `None` = it names none that can be.
    ///
    /// # Errors
    /// RATE_LIMITED, with the time after which it goes through.
    pub(super) fn admit(&self, ctx: &Ctx, mailbox: Option<&str>) -> Result<()> {
        self.admit_source(ctx)?;
        mailbox.map_or(Ok(()), |mailbox| self.admit_mailbox(ctx, mailbox.to_owned()))
    }

    /// Counts an attempt at the password of a mailbox: those from one source do not use up what others have.
    ///
    /// # Errors
    /// As [`Limits::admit`].
    pub(super) fn admit_attempt(&self, ctx: &Ctx, mailbox: &str) -> Result<()> {
        self.admit_source(ctx)?;
        let peer = ctx.peer.map(|peer| peer.to_string()).unwrap_or_default();
        self.admit_mailbox(ctx, format!("{mailbox} from {peer}"))
    }

    /// Counts a request for a reset: attempts at the password do not use up what it has.
    ///
    /// # Errors
    /// As [`Limits::admit`].
    pub(super) fn admit_reset(&self, ctx: &Ctx, mailbox: &str) -> Result<()> {
        self.admit_source(ctx)?;
        self.admit_mailbox(ctx, format!("reset of {mailbox}"))
    }

    /// Counts a public call that is not about a mailbox that anybody could name.
    ///
    /// # Errors
    /// As [`Limits::admit`].
    pub(super) fn admit_source(&self, ctx: &Ctx) -> Result<()> {
        if let Some((sources, peer)) = self.sources.as_ref().zip(ctx.peer) {
            sources.check_key(&peer).map_err(|full| too_many(&full))?;
        }
        Ok(())
    }

    /// Lets a key be looked up that is not in use here, unless its source has tried too many that nobody has.
    ///
    /// # Errors
    /// RATE_LIMITED, with the time after which it is looked up.
    pub(super) fn admit_unknown_key(&self, source: Option<IpAddr>) -> Result<()> {
        let until = source.and_then(|source| self.exhausted.read().get(&source).copied());
        match until.map(|until| until.saturating_sub(Clock::elapsed())) {
            Some(retry_after) if !retry_after.is_zero() => {
                Err(Error::Later { reason: Reason::RateLimited, retry_after })
            }
            _ => Ok(()),
        }
    }

    /// Counts a key that nobody has.
    pub(super) fn count_unknown_key(&self, source: Option<IpAddr>) {
        if let Some((keys, source)) = self.unknown_keys.as_ref().zip(source)
            && keys.check_key(&source).is_err()
        {
            self.exhausted.write().insert(source, Clock::elapsed() + EXHAUSTED_FOR);
        }
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
        if let Some(keys) = &self.unknown_keys {
            keys.retain_recent();
        }
        self.exhausted.write().retain(|_, until| *until > Clock::elapsed());
    }
}

fn too_many(full: &governor::NotUntil<governor::clock::QuantaInstant>) -> Error {
    use governor::clock::Clock;
    let retry_after = full.wait_time_from(governor::clock::QuantaClock::default().now());
    Error::Later { reason: Reason::RateLimited, retry_after: retry_after.max(Duration::from_millis(1)) }
}
