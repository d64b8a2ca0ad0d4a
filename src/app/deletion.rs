//! Deleting an account, and bringing it back while its data is there.
//!
//! A deleted account keeps what it had: approval, holds, memberships, entries. Its one more gate is what keeps it out, and
//! a tombstone keeps its address from becoming somebody else's. What time erases is `expiry`'s.

use super::error::{Error, Result};
use super::facts::Facts;
use super::guard::permissions;
use super::keys_left::KeptOut;
use super::user::{UserView, find_user, person, require_live};
use super::write::{Change, Done, taken};
use super::{App, Ctx, Reason};
use crate::cache::Subject;
use crate::domain::account::User;
use crate::domain::email::identity;
use crate::domain::event::Event;
use crate::domain::handle::Handle;
use crate::domain::ids::UserId;
use crate::domain::time::days;
use crate::store::Constraint;

/// More people than this are not moved to another manager in one change: it holds the realm for as long.
const TEAM_MOVED_MAX: usize = 1000;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeleteUser {
    pub user: Handle,
    /// Who leads the user's team from now on.
    pub new_manager: Option<Handle>,
    pub note: Option<String>,
    /// Whether the keys that the user made are revoked.
    pub revoke_keys: bool,
    pub etag: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RestoreUser {
    /// By the address, the account that was deleted last.
    pub user: Handle,
    pub note: Option<String>,
    pub etag: Option<String>,
}

impl App {
    /// Deletes an account and ends every session of it.
    ///
    /// # Errors
    /// NOT_FOUND, NOT_ON_ONESELF, a nearest miss, REACHES_UP, ETAG_MISMATCH, WOULD_ORPHAN, TEAM_REMAINS; what keeps the
    /// caller from moving the team.
    pub async fn delete_user(&self, ctx: &Ctx, cmd: &DeleteUser) -> Result<Done<KeptOut>> {
        self.write(ctx, async |change: &mut Change<'_>| {
            let found = change.found_user(&cmd.user, "user").await?;
            let mut user = change.account_to_act_on(found, permissions::DELETE, cmd.etag.as_deref()).await?;
            if user.deleted_at.is_none() {
                require_live(&user)?;
                change.require_no_orphaning(user.id, None).await?;
                change.move_team(&user, cmd.new_manager.as_ref()).await?;
                user.deleted_at = Some(change.ctx.now);
                user.deleted_by = ctx.actor.id();
                user.session_epoch += 1;
                change.save_user(&mut user).await?;
                change.rows().void_all_codes(user.id, change.ctx.now).await?;
                change.put_tombstone(&user).await?;
                let organization = change.organization_of_record(user.id).await?;
                change.record(Event::UserDeleted { person: person(&user), organization, note: cmd.note.clone() });
            }
            let deleted = user.id;
            let view = change.user_view(user).await?;
            change.kept_out(deleted, view, cmd.revoke_keys).await
        })
        .await
    }

    /// Brings a deleted account back as it was.
    ///
    /// # Errors
    /// As [`App::delete_user`], orphaning and the team aside; ERASED, ALREADY_EXISTS.
    pub async fn restore_user(&self, ctx: &Ctx, cmd: &RestoreUser) -> Result<Done<UserView>> {
        self.write(ctx, async |change: &mut Change<'_>| {
            let found = change.deleted_user(&cmd.user).await?;
            let mut user = change.account_to_act_on(found, permissions::RESTORE, cmd.etag.as_deref()).await?;
            if let Some(deleted_at) = user.deleted_at {
                let until = deleted_at.after(days(change.catalogue().policy.retention_days));
                if user.is_erased() || change.ctx.now >= until {
                    let message = format!("what was deleted could be restored until {until}");
                    return Err(Error::refused(Reason::Erased, message));
                }
                change.require_free_address(&user.email, &user.identity, Some(user.id)).await?;
                user.deleted_at = None;
                user.deleted_by = None;
                user.session_epoch += 1;
                user.version += 1;
                // Somebody may register with the address at this very moment.
                taken(change.rows().update_user(&user).await, Constraint::Identity, "email", &user.email)?;
                change.forget_facts();
                change.remove_tombstone(&user.identity).await?;
                let organization = change.organization_of_record(user.id).await?;
                change.record(Event::UserRestored { person: person(&user), organization, note: cmd.note.clone() });
            }
            change.user_view(user).await
        })
        .await
    }
}

impl Change<'_> {
    /// The account that a call restores: of an address, the one that was deleted last, or else the one that has it.
    async fn deleted_user(&self, handle: &Handle) -> Result<(User, Subject)> {
        let missing = || Error::not_found("user");
        let deleted = match handle {
            Handle::Id(_) => None,
            Handle::Natural(email) => self.rows().deleted_user(&identity(email)).await?,
        };
        let user = match deleted {
            Some(user) => user,
            None => find_user(self.rows(), handle).await?.ok_or_else(missing)?,
        };
        let subject = self.principal(user.id.into()).await?.ok_or_else(missing)?;
        Ok((user, subject))
    }

    /// Puts the team of who leaves below somebody else, each as by SetManager, and all in a handful of statements. Who is
    /// one of them takes the place: led by whoever led before.
    async fn move_team(&mut self, leaves: &User, new_manager: Option<&Handle>) -> Result<()> {
        let mut team = self.rows().team_of(leaves.id).await?;
        if team.is_empty() {
            return Ok(());
        }
        let Some(handle) = new_manager else {
            return Err(Error::refused(Reason::TeamRemains, "the user leads others, and nobody is named to lead them"));
        };
        if team.len() > TEAM_MOVED_MAX {
            let message = format!("the user leads {} people, at most {TEAM_MOVED_MAX} are moved at once", team.len());
            let limit = vec![("limit", TEAM_MOVED_MAX.to_string())];
            return Err(Error::refused_with(Reason::LimitReached, message, limit));
        }
        let successor = self.readable_user(handle, "new_manager").await?;
        require_live(&successor)?;
        if successor.id == leaves.id {
            return Err(Error::refused(Reason::TeamRemains, "the user leads others, and can't go on leading them"));
        }
        // First, so that nobody is put below who is still below the one that leaves.
        if team.contains(&successor.id) {
            let successor = self.user_to_act_on(&Handle::Id(successor.id.0), permissions::SET_MANAGER, None).await?;
            team.retain(|member| *member != successor.id);
            self.lead(successor, leaves.manager).await?;
        }
        self.put_below(&team, leaves, successor.id).await
    }

    /// Puts everybody whom who leaves still leads below the successor.
    async fn put_below(&mut self, team: &[UserId], leaves: &User, successor: UserId) -> Result<()> {
        if team.is_empty() {
            return Ok(());
        }
        let members = self.rows().users_of(team).await?;
        self.gather(team.iter().map(|member| (*member).into())).await?;
        self.require_no_growing_team(&members, Some(successor)).await?;
        for member in &members {
            let subject = self.principal(member.id.into()).await?.ok_or_else(|| Error::not_found("user"))?;
            let reached = self.account_to_act_on((member.clone(), subject), permissions::SET_MANAGER, None).await;
            reached.map_err(beyond_the_caller)?;
        }
        self.require_may_lead(&members, Some(leaves.id), Some(successor)).await?;
        self.rows().move_team(leaves.id, successor).await?;
        self.forget_facts();
        for member in team {
            let (before, after) = (Some(leaves.id), Some(successor));
            self.record(Event::ManagerSet { user: *member, before, after });
        }
        Ok(())
    }
}

/// The refusal of a team with somebody in it whom the caller can't read: that there is one, and not who.
fn beyond_the_caller(error: Error) -> Error {
    match error.reason() {
        Reason::NotFound => Error::refused(Reason::TeamRemains, "the user leads others whom the caller can't move"),
        _ => error,
    }
}
