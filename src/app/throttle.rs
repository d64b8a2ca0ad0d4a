//! Counting attempts at passwords, and suspending whom the policy suspends for them.
//!
//! An attempt is noted in the database before anything is compared, and its end after: attempts at the same time on
//! several replicas are as many as one after the other. What is counted belongs to the account whose password may be
//! found right; it ends with the account, and begins at nothing once the mailbox is proven. At any other address
//! attempts are counted by the address, for looks alone: from outside nobody can tell the one from the other.
//!
//! Locks are taken in one order: the realm's row, the user's, then the tallies.

use std::time::Duration;

use super::clock::Clock;
use super::error::{Error, Result};
use super::user::person;
use super::write::Change;
use super::{App, Ctx, Reason};
use crate::crypto::random_mark;
use crate::crypto::throttle::{self, Aim};
use crate::domain::account::{Hold, HoldCause, User};
use crate::domain::event::Event;
use crate::domain::ids::{SessionId, UserId};
use crate::domain::policy::Policy;
use crate::domain::throttle::{Outcome, Tally, Throttle, Turn};
use crate::store::{Lock, ThrottleKey};

/// How often it is looked whether those before have ended: a fraction of what one hash takes.
const GLANCE: Duration = Duration::from_millis(5);
/// How long an attempt stays behind others, at most; then its caller is told to come back.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where an attempt comes from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// The address of the call. It is the person's own once they got in from there.
    Source,
    /// A session of the person, or what a sign-in of theirs answered: their own from the start.
    Session(Option<SessionId>),
}

/// One attempt that has begun. Whoever began it says how it ended.
#[derive(Debug)]
pub(super) struct Attempt {
    key: ThrottleKey,
    /// Whether the place was known to be the person's.
    known: bool,
    /// The account that pays for failures.
    account: Option<UserId>,
}

/// What attempts at the password of this account, or of an address that is nobody's, are counted against.
pub(super) fn aim<'a>(user: Option<&User>, identity: &'a str, policy: &Policy) -> Aim<'a> {
    match user {
        Some(user) if user.password_counts(policy.verification_required) => Aim::Account(user.id),
        Some(_) | None => Aim::Address(identity),
    }
}

impl App {
    /// Begins an attempt, before anything is compared. Waits while others are under way that may all fail.
    ///
    /// # Errors
    /// RATE_LIMITED, with the time to wait.
    pub(super) async fn attempt(&self, ctx: &Ctx, aim: Aim<'_>, place: Place) -> Result<Attempt> {
        let key = self.throttle_key(ctx, aim, place);
        let until = Clock::elapsed() + PATIENCE;
        loop {
            // Who has to wait does not wait for their turn to write.
            let turn = match next(self.store.rows(ctx.realm).throttle(&key).await?, place, ctx) {
                Turn::Now(_) => self.begin_attempt(ctx, &key, place).await?,
                other => other,
            };
            match turn {
                Turn::Now(begun) => {
                    let account = match aim {
                        Aim::Account(account) => Some(account),
                        Aim::Address(_) => None,
                    };
                    return Ok(Attempt { key, known: begun.own.is_some(), account });
                }
                Turn::After(retry_after) => return Err(Error::Later { reason: Reason::RateLimited, retry_after }),
                Turn::Behind if Clock::elapsed() < until => tokio::time::sleep(GLANCE).await,
                Turn::Behind => return Err(Error::Later { reason: Reason::RateLimited, retry_after: PATIENCE }),
            }
        }
    }

    async fn begin_attempt(&self, ctx: &Ctx, key: &ThrottleKey, place: Place) -> Result<Turn> {
        let tx = self.store.begin(ctx.realm, Lock::Nothing).await?;
        let turn = next(tx.rows().lock_throttle(key, ctx.now).await?, place, ctx);
        let Turn::Now(begun) = turn else {
            tx.rollback().await;
            return Ok(turn);
        };
        tx.rows().save_throttle(key, &begun, ctx.now).await?;
        tx.commit(vec![], random_mark(), ctx.now).await?;
        Ok(turn)
    }

    /// Ends an attempt that nobody got round to make.
    pub(super) async fn give_back(&self, ctx: &Ctx, attempt: &Attempt) {
        if let Err(error) = self.end_attempt(ctx, attempt, Outcome::NotMade).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "an attempt that was not made counts as a failure"
            );
        }
    }

    /// Ends an attempt that was right, where nothing else is to be written.
    ///
    /// # Errors
    /// UNAVAILABLE.
    pub(super) async fn right_attempt(&self, ctx: &Ctx, attempt: &Attempt) -> Result<()> {
        self.end_attempt(ctx, attempt, Outcome::Right).await.map(drop)
    }

    /// Ends an attempt that was wrong, and suspends whom the policy suspends for so many in a row. An address that is
    /// nobody's costs the same.
    ///
    /// # Errors
    /// UNAVAILABLE.
    pub(super) async fn failed_attempt(&self, ctx: &Ctx, attempt: &Attempt, policy: &Policy) -> Result<()> {
        let failures = self.end_attempt(ctx, attempt, Outcome::Wrong).await?.account.failures;
        if policy.failed_sign_ins == 0 || failures < policy.failed_sign_ins {
            return Ok(());
        }
        let account = attempt.account;
        let held = self.write(ctx, async |change: &mut Change<'_>| change.hold_for_failures(account, failures).await);
        held.await.map(drop)
    }

    async fn end_attempt(&self, ctx: &Ctx, attempt: &Attempt, outcome: Outcome) -> Result<Throttle> {
        let tx = self.store.begin(ctx.realm, Lock::Nothing).await?;
        let known = tx.rows().lock_throttle(&attempt.key, ctx.now).await?;
        let ended = known.ended(outcome, attempt.known, ctx.now);
        tx.rows().save_throttle(&attempt.key, &ended, ctx.now).await?;
        tx.commit(vec![], random_mark(), ctx.now).await?;
        Ok(ended)
    }

    fn throttle_key(&self, ctx: &Ctx, aim: Aim<'_>, place: Place) -> ThrottleKey {
        let place = match place {
            Place::Source => format!("source {}", ctx.network().map(|network| network.to_string()).unwrap_or_default()),
            Place::Session(Some(session)) => format!("session {session}"),
            Place::Session(None) => "password change".to_owned(),
        };
        ThrottleKey {
            account: throttle::account(&self.keys, ctx.realm, aim),
            source: throttle::source(&self.keys, ctx.realm, aim, place.as_bytes()),
        }
    }
}

impl Change<'_> {
    /// Ends an attempt that was right, last of all that is written. The place is known to be the person's from now on.
    pub(super) async fn attempt_was_right(&self, attempt: &Attempt) -> Result<()> {
        let (rows, now) = (self.rows(), self.ctx.now);
        let known = rows.lock_throttle(&attempt.key, now).await?;
        Ok(rows.save_throttle(&attempt.key, &known.ended(Outcome::Right, attempt.known, now), now).await?)
    }

    /// Forgets the failures at an account; which places are known to be the person's stays.
    pub(super) async fn forgive_failures(&self, user: &User) -> Result<()> {
        let account = throttle::account(&self.app.keys, self.ctx.realm, Aim::Account(user.id));
        Ok(self.rows().clear_throttle(&account).await?)
    }

    /// Forgets everything about attempts at an account whose person proved the mailbox, but that where this call comes
    /// from is their place: whoever goes on guessing elsewhere does not stop them from signing in next.
    pub(super) async fn begin_throttle_anew(&self, user: &User) -> Result<()> {
        let key = self.app.throttle_key(self.ctx, Aim::Account(user.id), Place::Source);
        self.rows().forget_throttle(&key.account).await?;
        let own = Throttle { account: Tally::default(), own: Some(Tally::default()) };
        Ok(self.rows().save_throttle(&key, &own, self.ctx.now).await?)
    }

    async fn hold_for_failures(&mut self, account: Option<UserId>, failures: u32) -> Result<()> {
        let user = match account {
            Some(account) => self.rows().user(account).await?,
            None => None,
        };
        let free = |user: &User| user.hold(HoldCause::FailedSignIns).is_none() && user.deleted_at.is_none();
        let Some(mut user) = user.filter(free) else {
            self.record(Event::SignInsFailed { user: account, failures });
            return Ok(());
        };
        user.holds.push(Hold { cause: HoldCause::FailedSignIns, at: self.ctx.now, by: None, note: None });
        user.session_epoch += 1;
        self.save_user(&mut user).await?;
        let organization = self.organization_of_record(user.id).await?;
        self.record(Event::HeldForFailures { person: person(&user), organization, failures });
        Ok(())
    }
}

/// What comes of one more attempt from that place.
fn next(mut known: Throttle, place: Place, ctx: &Ctx) -> Turn {
    if let Place::Session(_) = place {
        known.own = known.own.or(Some(Tally::default()));
    }
    known.attempt(ctx.now)
}
