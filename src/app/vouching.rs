//! An administrator's word for an address: it opens the gate of verification, and nothing that asks for the person's own
//! proof. It approves nobody and founds nothing, or whoever may vouch could take an organization over; and whoever chose
//! the password with the registration does not get in by it.

use super::error::Result;
use super::guard::permissions;
use super::user::{UserView, person};
use super::write::{Change, Done};
use super::{App, Ctx};
use crate::domain::account::{ApprovalState, Verified, VerifiedHow};
use crate::domain::event::Event;
use crate::domain::handle::Handle;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MarkEmailVerified {
    pub user: Handle,
    pub etag: Option<String>,
}

impl App {
    /// Vouches for an address that nobody proved. Whoever decides on the newcomer hears of it as if it were proven.
    ///
    /// # Errors
    /// As [`App::suspend_user`], no orphaning aside.
    pub async fn mark_email_verified(&self, ctx: &Ctx, cmd: &MarkEmailVerified) -> Result<Done<UserView>> {
        self.write(ctx, async |change: &mut Change<'_>| {
            let mut user = change.user_to_act_on(&cmd.user, permissions::VERIFY_EMAIL, cmd.etag.as_deref()).await?;
            if user.verified.is_none() {
                let how = VerifiedHow::Administrator;
                user.verified = Some(Verified { at: change.ctx.now, how });
                change.clear_unproven_password(&mut user, false).await?;
                change.save_user(&mut user).await?;
                let (person, organization) = (person(&user), None);
                let awaits_approval = false;
                change.record(Event::EmailVerified { person, how, approved: false, awaits_approval, organization });
                if user.approval.state == ApprovalState::Pending {
                    change.tell_approvers(&user).await?;
                }
            }
            change.user_view(user).await
        })
        .await
    }
}
