//! Changing one's own password, by the one before.

use serde::{Deserialize, Serialize};

use super::admission::{FailingGate, gates};
use super::error::{Error, Result, Violation};
use super::facts::Facts;
use super::session::{Entered, MustChange, SignedIn};
use super::throttle::{Attempt, Place};
use super::user::person;
use super::write::{Change, Done};
use super::{Actor, App, Ctx, Reason};
use crate::crypto::Secret;
use crate::crypto::code::Purpose;
use crate::crypto::password::{Password, PasswordHash, Verified, are_same};
use crate::crypto::password_change::PasswordChangeToken;
use crate::crypto::throttle::Aim;
use crate::domain::account::{Gate, User};
use crate::domain::event::Event;
use crate::domain::ids::UserId;
use crate::domain::password::CHANGE_TOKEN_TTL;
use crate::domain::session::PUBLIC_CLIENT;
use crate::store::Credentials;

/// The field of a request that a new password comes in beside another one, or beside a code.
pub(super) const NEW_PASSWORD: &str = "new_password";

/// The password until now, and the one from now on.
#[derive(Clone, Debug)]
pub struct ChangePassword {
    pub current: Secret<String>,
    pub new: Secret<String>,
}

/// The password was changed and every session ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PasswordChanged {
    /// The session that goes on instead, unless something still keeps the person out.
    pub session: Option<SignedIn>,
    pub gates: Vec<FailingGate>,
}

impl App {
    /// Changes the caller's password, ends every session, and begins one for the caller.
    ///
    /// # Errors
    /// NOT_FOUND for a service account; INVALID_FIELDS, PASSWORD_WRONG, a gate, RATE_LIMITED, OVERLOADED.
    pub async fn change_password(&self, ctx: &Ctx, cmd: &ChangePassword) -> Result<Done<PasswordChanged>> {
        let account = self.own_account(ctx).await?;
        self.hasher.require_room(ctx.network())?;
        let policy = self.policy(ctx).await?;
        let session = match ctx.actor {
            Actor::Principal { session, .. } => session,
            Actor::Anonymous | Actor::Platform { .. } => None,
        };
        let attempt = self.attempt(ctx, Aim::Account(account.user.id), Place::Session(session)).await?;
        let hash = account.password_hash.as_deref().and_then(PasswordHash::parse);
        if !self.compare(ctx, &attempt, &cmd.current, hash.as_ref()).await?.matches {
            self.failed_attempt(ctx, &attempt, &policy).await?;
            let wrong = Error::refused(Reason::PasswordWrong, "the current password is not the account's");
            self.note_refusal(ctx, &wrong).await;
            return Err(wrong);
        }
        // What comes of the new one does not make the current one a guess.
        self.right_attempt(ctx, &attempt).await?;
        if are_same(cmd.current.expose(), cmd.new.expose()) {
            return Err(Error::field(NEW_PASSWORD, "is the current password"));
        }
        let new = self.password_for(ctx, &account.user, &cmd.new, NEW_PASSWORD).await?;
        let new = self.hasher.hash(ctx.network(), new).await?.expose();
        self.write(ctx, async |change: &mut Change<'_>| change.change_password(account, new).await).await
    }

    /// Compares what was typed, in an attempt that was counted. One that nobody gets round to is taken back.
    ///
    /// # Errors
    /// OVERLOADED.
    pub(super) async fn compare(
        &self,
        ctx: &Ctx,
        attempt: &Attempt,
        typed: &Secret<String>,
        hash: Option<&PasswordHash>,
    ) -> Result<Verified> {
        match self.hasher.verify(ctx.network(), typed.expose(), hash).await {
            Ok(verified) => Ok(verified),
            Err(error) => {
                self.give_back(ctx, attempt).await;
                Err(error.into())
            }
        }
    }

    /// Parses the new password of an account, which came in that field: it must not be made of the names that go with
    /// the account, nor of the realm's.
    ///
    /// # Errors
    /// INVALID_FIELDS with everything that is wrong with it; OVERLOADED.
    pub(super) async fn password_for(
        &self,
        ctx: &Ctx,
        user: &User,
        typed: &Secret<String>,
        field: &str,
    ) -> Result<Password> {
        let rows = self.store.rows(ctx.realm);
        let memberships = rows.memberships(user.id).await?;
        let ids: Vec<_> = memberships.iter().map(|member| member.organization).collect();
        let organizations = rows.organizations_of(&ids).await?;
        let mut names = vec![user.display_name.clone(), user.email.clone()];
        names.extend(organizations.into_iter().map(|organization| organization.title));
        let realm = rows.realm().await?;
        names.extend(realm.into_iter().flat_map(|realm| [realm.title, realm.name]));
        let in_its_field = |wrong: Violation| Violation { field: field.to_owned(), ..wrong };
        let checked = self.new_password(ctx, typed, names).await?;
        checked.map_err(|wrong| Error::Invalid(wrong.into_iter().map(in_its_field).collect()))
    }

    /// The account of the person who calls, with its secret half.
    async fn own_account(&self, ctx: &Ctx) -> Result<Credentials> {
        let rows = self.store.rows(ctx.realm);
        let id = UserId(ctx.actor_id()?.0);
        let user = rows.user(id).await?.ok_or_else(|| Error::not_found("user"))?;
        let account = rows.credentials(&user.identity).await?.filter(|account| account.user.id == id);
        account.ok_or_else(|| Error::not_found("user"))
    }
}

impl Change<'_> {
    /// Answers a token for ChangePassword to whom the password alone keeps out; else the gate is the answer.
    pub(super) fn demand_new_password(&mut self, account: &Credentials, gate: Gate) -> Result<Entered> {
        if gate != Gate::PasswordMustChange {
            return Err(self.app.gated(self, gate));
        }
        let user = &account.user;
        let expires_at = self.ctx.now.after(CHANGE_TOKEN_TTL);
        let token = PasswordChangeToken { realm: self.ctx.realm, user: user.id, epoch: user.session_epoch, expires_at };
        self.record(Event::PasswordChangeDemanded { user: user.id });
        let token = Some(token.print(&self.app.keys));
        let gate = FailingGate::new(&self.catalogue().policy, gate);
        Ok(Entered::MustChange(MustChange { token, expires_at, gate }))
    }

    /// Sets the password of an account that is still what it was when the one before was compared.
    async fn change_password(&mut self, account: Credentials, new: String) -> Result<PasswordChanged> {
        let now = self.rows().credentials(&account.user.identity).await?;
        let same = |now: &Credentials| {
            now.user.id == account.user.id
                && now.password_hash == account.password_hash
                && now.user.session_epoch == account.user.session_epoch
        };
        let ended = || Error::refused(Reason::PasswordWrong, "the password was changed meanwhile");
        let Credentials { mut user, .. } = now.filter(same).ok_or_else(ended)?;
        self.set_password(&mut user, &new).await?;
        self.save_user(&mut user).await?;
        self.record(Event::PasswordChanged { person: person(&user), by_reset: false, lifted: vec![] });
        let subject = self.principal(user.id.into()).await?.ok_or_else(|| Error::internal("the account is gone"))?;
        let failing = gates(self, &subject, self.ctx.now).await?;
        if failing.iter().any(|gate| *gate != Gate::BasicAccessMissing) {
            return Err(self.app.gated(self, failing[0]));
        }
        let session = if failing.is_empty() {
            let account = Credentials { user, password_hash: Some(new) };
            Some(self.begin_session(&account, PUBLIC_CLIENT.to_owned()).await?)
        } else {
            None
        };
        let policy = &self.catalogue().policy;
        let gates = failing.into_iter().map(|gate| FailingGate::new(policy, gate)).collect();
        Ok(PasswordChanged { session, gates })
    }

    /// Sets a password that its owner chose: every session ends, and so does every link that would set another one.
    pub(super) async fn set_password(&mut self, user: &mut User, hash: &str) -> Result<()> {
        user.password_set = true;
        user.password_must_change = false;
        user.session_epoch += 1;
        self.rows().set_password(user.id, hash, self.ctx.now).await?;
        Ok(self.rows().void_codes(user.id, Purpose::ResetPassword.text(), self.ctx.now).await?)
    }
}
