//! Setting a new password by proving the mailbox: asking for the link, and using its code.
//!
//! Whether an address is somebody's, and whether a link went out, the caller does not learn. Completing a reset opens
//! nothing but what it proves: the address, and that who failed to sign in was not the owner of the mailbox.

use super::admission::{FailingGate, gates};
use super::error::Result;
use super::facts::Facts as _;
use super::limits::in_even_time;
use super::password::NEW_PASSWORD;
use super::throttle::{Place, aim};
use super::user::person;
use super::verification::{Held, invalid};
use super::write::{Change, Done};
use super::{App, Ctx};
use crate::crypto::Secret;
use crate::crypto::code::{PresentedCode, Purpose};
use crate::domain::account::{Gate, HoldCause, User, VerifiedHow};
use crate::domain::email::Email;
use crate::domain::event::{Event, Person};
use crate::store::{CodeRow, Credentials};

/// A code from a mail, and the password from now on.
#[derive(Clone, Debug)]
pub struct ResetPassword {
    pub code: Secret<String>,
    pub new: Secret<String>,
}

impl App {
    /// Sends a link that sets a new password, if the address is somebody's who may complete it; of any other, nothing can
    /// be seen from outside.
    ///
    /// # Errors
    /// RATE_LIMITED.
    pub async fn request_password_reset(&self, ctx: &Ctx, email: &Email) -> Result<()> {
        self.limits.admit_reset(ctx, email.identity())?;
        let asked = self.append(ctx, async |change: &mut Change<'_>| {
            let user = change.rows().user_by_identity(email.identity()).await?;
            match user {
                Some(user) if change.may_complete(&user).await? => change.send_reset(&user).await?,
                user => change.record(Event::PasswordResetAsked { user: user.map(|user| user.id) }),
            }
            Ok(())
        });
        in_even_time(asked).await.map(drop)
    }

    /// Sets a new password by the code from the mail, and answers what still keeps the person out.
    ///
    /// A right code is never throttled: that is how the owner of a mailbox gets in whatever strangers do. A wrong one
    /// counts as a failure to sign in.
    ///
    /// # Errors
    /// INVALID_FIELDS; CODE_INVALID, whatever is wrong with the code or keeps the account; RATE_LIMITED, OVERLOADED.
    pub async fn reset_password(&self, ctx: &Ctx, cmd: &ResetPassword) -> Result<Done<Vec<FailingGate>>> {
        let held = match PresentedCode::parse(cmd.code.expose()) {
            Some(presented) => self.held_code(ctx, &presented, Purpose::ResetPassword).await?,
            None => Held::Nothing,
        };
        let (code, account) = match held {
            Held::Proven(proven) => *proven,
            Held::Guessed(account) => {
                let policy = self.policy(ctx).await?;
                let aim = aim(Some(&account.user), &account.user.identity, &policy);
                let attempt = self.attempt(ctx, aim, Place::Source).await?;
                self.failed_attempt(ctx, &attempt, &policy).await?;
                return Err(invalid());
            }
            Held::Nothing => return Err(invalid()),
        };
        let new = self.password_for(ctx, &account.user, &cmd.new, NEW_PASSWORD).await?;
        let new = self.hasher.hash(ctx.network(), new).await?.expose();
        self.write(ctx, async |change: &mut Change<'_>| {
            let user = change.spend_reset(&code, &account).await?;
            change.reset_password(user, &new).await
        })
        .await
    }
}

impl Change<'_> {
    async fn send_reset(&mut self, user: &User) -> Result<()> {
        let sent = self.new_reset(user).await?;
        self.record(match sent {
            Some(reset) => Event::PasswordResetSent { person: person(user), reset },
            None => Event::PasswordResetAsked { user: Some(user.id) },
        });
        Ok(())
    }

    /// Whether nothing keeps the account from what the mailbox proves, once nobody else can change that.
    async fn may_complete(&self, user: &User) -> Result<bool> {
        self.rows().lock_user(user.id).await?;
        let Some(subject) = self.principal(user.id.into()).await? else { return Ok(false) };
        let failing = gates(self, &subject, self.ctx.now).await?;
        Ok(!failing.into_iter().any(Gate::closes_completion))
    }

    /// Uses the code up, if the account still has its address and nothing keeps it.
    async fn spend_reset(&self, code: &CodeRow, account: &Credentials) -> Result<User> {
        self.rows().lock_user(code.user).await?;
        let user = self.rows().user_by_identity(&account.user.identity).await?;
        let same = |user: &User| user.id == code.user && user.email == account.user.email;
        let user = user.filter(same).ok_or_else(invalid)?;
        let good = self.may_complete(&user).await? && self.rows().spend_code(code.id, self.ctx.now).await?;
        if good { Ok(user) } else { Err(invalid()) }
    }

    async fn reset_password(&mut self, mut user: User, new: &str) -> Result<Vec<FailingGate>> {
        let lifts = |cause: HoldCause| cause == HoldCause::FailedSignIns;
        let lifted: Vec<_> = user.holds.iter().map(|hold| hold.cause).filter(|cause| lifts(*cause)).collect();
        user.holds.retain(|hold| !lifts(hold.cause));
        self.set_password(&mut user, new).await?;
        self.rows().void_codes(user.id, Purpose::VerifyEmail.text(), self.ctx.now).await?;
        // Whatever it was before: the mailbox is proven now.
        let person = Person { verified: true, ..person(&user) };
        self.record(Event::PasswordChanged { person, by_reset: true, lifted });
        if !user.has_proven() {
            return self.verify(user, VerifiedHow::Reset).await;
        }
        self.save_user(&mut user).await?;
        self.begin_throttle_anew(&user).await?;
        self.failing_gates(&user).await
    }
}
