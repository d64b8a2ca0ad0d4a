//! Counting attempts at passwords, and suspending whom the policy suspends for them.
//!
//! An attempt is counted in the record before anything is compared, and taken back once it was found right: attempts at
//! the same time on several replicas are as many as one after the other. Addresses that are nobody's are counted alike.

use super::error::{Error, Result};
use super::user::person;
use super::write::Change;
use super::{App, Ctx, Reason};
use crate::crypto::random_mark;
use crate::crypto::throttle;
use crate::domain::account::{Hold, HoldCause, User};
use crate::domain::event::Event;
use crate::domain::ids::{SessionId, UserId};
use crate::domain::throttle::{Tally, Throttle};
use crate::store::{Lock, ThrottleKey};

/// Where an attempt comes from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// The address of the call. It is the person's own once they got in from there.
    Source,
    /// A session of the person, or what a sign-in of theirs answered: their own from the start.
    Session(Option<SessionId>),
}

/// One attempt that was counted as a failure, which it is unless somebody says otherwise.
#[derive(Debug)]
pub(super) struct Attempt {
    key: ThrottleKey,
    before: Throttle,
    after: Throttle,
}

impl App {
    /// Counts an attempt at an address, before anything is compared.
    ///
    /// # Errors
    /// RATE_LIMITED, with the time to wait.
    pub(super) async fn attempt(&self, ctx: &Ctx, identity: &str, place: Place) -> Result<Attempt> {
        let key = self.throttle_key(ctx, identity, place);
        // Who has to wait does not wait for their turn to write.
        next(self.store.rows(ctx.realm).throttle(&key).await?, place, ctx)?;
        let tx = self.store.begin(ctx.realm, Lock::Nothing).await?;
        let known = tx.rows().lock_throttle(&key, ctx.now).await?;
        let (before, after) = match next(known, place, ctx) {
            Ok(counted) => counted,
            Err(refused) => {
                tx.rollback().await;
                return Err(refused);
            }
        };
        tx.rows().save_throttle(&key, &after, ctx.now).await?;
        tx.commit(vec![], random_mark(), ctx.now).await?;
        Ok(Attempt { key, before, after })
    }

    /// Takes back an attempt that was counted and then not made.
    pub(super) async fn give_back(&self, ctx: &Ctx, attempt: &Attempt) {
        let given = async {
            let tx = self.store.begin(ctx.realm, Lock::Nothing).await?;
            tx.rows().uncount_attempt(&attempt.key, &attempt.before, &attempt.after).await?;
            tx.commit(vec![], random_mark(), ctx.now).await
        };
        if let Err(error) = given.await {
            tracing::warn!(error = &error as &dyn std::error::Error, "an attempt that was not made stays counted");
        }
    }

    /// Leaves an attempt counted, and suspends whom the policy suspends for so many in a row. An address that is nobody's
    /// costs the same.
    ///
    /// # Errors
    /// UNAVAILABLE.
    pub(super) async fn failed_attempt(&self, ctx: &Ctx, attempt: &Attempt, account: Option<UserId>) -> Result<()> {
        let realm = self.store.rows(ctx.realm).realm().await?;
        let limit = realm.map_or(0, |realm| realm.policy.failed_sign_ins);
        let failures = attempt.after.account.failures;
        if limit == 0 || failures < limit {
            return Ok(());
        }
        let held = self.write(ctx, async |change: &mut Change<'_>| change.hold_for_failures(account, failures).await);
        held.await.map(drop)
    }

    fn throttle_key(&self, ctx: &Ctx, identity: &str, place: Place) -> ThrottleKey {
        let place = match place {
            Place::Source => format!("source {}", ctx.peer.map(|peer| peer.to_string()).unwrap_or_default()),
            Place::Session(Some(session)) => format!("session {session}"),
            Place::Session(None) => "password change".to_owned(),
        };
        ThrottleKey {
            account: throttle::account(&self.keys, ctx.realm, identity),
            source: throttle::source(&self.keys, ctx.realm, identity, place.as_bytes()),
        }
    }
}

impl Change<'_> {
    /// Forgets the failures of an attempt that was right. The place is known to be the person's from now on.
    pub(super) async fn attempt_was_right(&self, attempt: &Attempt) -> Result<()> {
        let own = Throttle { account: Tally::default(), own: Some(Tally::default()) };
        Ok(self.rows().save_throttle(&attempt.key, &own, self.ctx.now).await?)
    }

    /// Forgets the failures at an account; which places are known to be the person's stays.
    pub(super) async fn forgive_failures(&self, user: &User) -> Result<()> {
        let account = throttle::account(&self.app.keys, self.ctx.realm, &user.identity);
        Ok(self.rows().clear_throttle(&account).await?)
    }

    /// Forgets everything about attempts at an account, but that where this call comes from is the person's place: whoever
    /// goes on guessing elsewhere does not stop them from signing in next.
    pub(super) async fn begin_throttle_anew(&self, user: &User) -> Result<()> {
        let key = self.app.throttle_key(self.ctx, &user.identity, Place::Source);
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

/// The tallies before and after one more attempt.
fn next(mut known: Throttle, place: Place, ctx: &Ctx) -> Result<(Throttle, Throttle)> {
    if let Place::Session(_) = place {
        known.own = known.own.or(Some(Tally::default()));
    }
    let refused = |retry_after| Error::Later { reason: Reason::RateLimited, retry_after };
    Ok((known, known.attempt(ctx.now).map_err(refused)?))
}
