//! Blocking an account, a hold of its own: no other lifts with it, and none but UnblockUser lifts it.

use super::error::Result;
use super::guard::permissions;
use super::keys_left::KeptOut;
use super::user::UserView;
use super::write::{Change, Done};
use super::{App, Ctx};
use crate::domain::account::{Hold, HoldCause};
use crate::domain::event::Event;
use crate::domain::handle::Handle;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BlockUser {
    pub user: Handle,
    pub reason: String,
    /// Whether the keys that the user made are revoked.
    pub revoke_keys: bool,
    pub etag: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnblockUser {
    pub user: Handle,
    pub note: Option<String>,
    pub etag: Option<String>,
}

impl App {
    /// Blocks a user and ends every session of theirs. The keys that they made go on, unless they are to be revoked.
    ///
    /// # Errors
    /// As [`App::suspend_user`].
    pub async fn block_user(&self, ctx: &Ctx, cmd: &BlockUser) -> Result<Done<KeptOut>> {
        self.write(ctx, async |change: &mut Change<'_>| {
            let mut user = change.user_to_act_on(&cmd.user, permissions::BLOCK, cmd.etag.as_deref()).await?;
            if user.hold(HoldCause::Blocked).is_none() {
                change.require_no_orphaning(user.id, None).await?;
                let (cause, reason) = (HoldCause::Blocked, cmd.reason.clone());
                user.holds.push(Hold { cause, at: change.ctx.now, by: ctx.actor.id(), note: Some(reason.clone()) });
                user.session_epoch += 1;
                change.save_user(&mut user).await?;
                let organization = change.organization_of_record(user.id).await?;
                change.record(Event::UserBlocked { user: user.id, organization, reason });
            }
            let blocked = user.id;
            let view = change.user_view(user).await?;
            change.kept_out(blocked, view, cmd.revoke_keys).await
        })
        .await
    }

    /// Lifts the block, and no other hold.
    ///
    /// # Errors
    /// As [`App::suspend_user`], no orphaning aside.
    pub async fn unblock_user(&self, ctx: &Ctx, cmd: &UnblockUser) -> Result<Done<UserView>> {
        self.write(ctx, async |change: &mut Change<'_>| {
            let mut user = change.user_to_act_on(&cmd.user, permissions::BLOCK, cmd.etag.as_deref()).await?;
            if user.hold(HoldCause::Blocked).is_some() {
                user.holds.retain(|hold| hold.cause != HoldCause::Blocked);
                user.session_epoch += 1;
                change.save_user(&mut user).await?;
                let organization = change.organization_of_record(user.id).await?;
                change.record(Event::UserUnblocked { user: user.id, organization, note: cmd.note.clone() });
            }
            change.user_view(user).await
        })
        .await
    }
}
