//! Changing fields of an account: the name, by its person too; the time in which it may be used, and that the password has
//! to be changed, by others alone. Whatever else an account is, no field says it.

use super::error::{Error, Result};
use super::guard::permissions;
use super::user::{UserView, check_etag, require_live};
use super::write::{Change, Done};
use super::{App, Ctx};
use crate::domain::account::User;
use crate::domain::event::Event;
use crate::domain::handle::Handle;
use crate::domain::time::Timestamp;

/// What to write of a user; what is absent stays.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UpdateUser {
    /// Absent = the caller.
    pub user: Option<Handle>,
    pub display_name: Option<String>,
    /// `Some(None)` = always.
    pub valid_from: Option<Option<Timestamp>>,
    /// `Some(None)` = for ever.
    pub valid_until: Option<Option<Timestamp>>,
    /// The next sign-in asks for a new password. Nobody but the person takes that back.
    pub force_password_change: bool,
    pub etag: Option<String>,
}

impl App {
    /// Changes fields of an account. What closes or opens it ends its sessions.
    ///
    /// # Errors
    /// NOT_FOUND, NOT_ON_ONESELF for all but the name, a nearest miss, REACHES_UP, ETAG_MISMATCH, WOULD_ORPHAN;
    /// INVALID_FIELDS if the time ends before it begins.
    pub async fn update_user(&self, ctx: &Ctx, cmd: &UpdateUser) -> Result<Done<UserView>> {
        self.write(ctx, async |change: &mut Change<'_>| {
            let before = change.user_to_update(cmd).await?;
            let mut user = cmd.applied(&before)?;
            let fields = changed(&before, &user);
            if !fields.is_empty() {
                let validity = [&before, &user].map(|user| (user.valid_from, user.valid_until));
                if validity[0] != validity[1] && ends_or_waits(&user, change.ctx.now) {
                    change.require_no_orphaning(user.id, None).await?;
                }
                let closes = before.is_out_of_time(change.ctx.now) != user.is_out_of_time(change.ctx.now);
                if closes || before.password_must_change != user.password_must_change {
                    user.session_epoch += 1;
                }
                change.save_user(&mut user).await?;
                let organization = change.organization_of_record(user.id).await?;
                change.record(Event::UserUpdated { user: user.id, organization, fields, validity });
            }
            change.user_view(user).await
        })
        .await
    }
}

impl UpdateUser {
    fn applied(&self, before: &User) -> Result<User> {
        let user = User {
            display_name: self.display_name.clone().unwrap_or_else(|| before.display_name.clone()),
            valid_from: self.valid_from.unwrap_or(before.valid_from),
            valid_until: self.valid_until.unwrap_or(before.valid_until),
            password_must_change: before.password_must_change || self.force_password_change,
            ..before.clone()
        };
        match (user.valid_from, user.valid_until) {
            (Some(from), Some(until)) if until <= from => {
                Err(Error::field("valid_until", format!("is {until}, which is not after {from}")))
            }
            _ => Ok(user),
        }
    }

    /// What the caller needs over the account of somebody else.
    fn needs(&self) -> impl Iterator<Item = &'static str> {
        let updates = self.display_name.is_some() || self.valid_from.is_some() || self.valid_until.is_some();
        let update = (updates || !self.force_password_change).then_some(permissions::UPDATE_USERS);
        update.into_iter().chain(self.force_password_change.then_some(permissions::RESET_PASSWORD))
    }
}

impl Change<'_> {
    /// The account that the call changes, once it may: one's own, as far as the name goes, or one that each permission
    /// reaches.
    async fn user_to_update(&self, cmd: &UpdateUser) -> Result<User> {
        let me = self.ctx.actor_id()?;
        let own = Handle::Id(me.0);
        let handle = cmd.user.as_ref().unwrap_or(&own);
        let (user, subject) = self.found_user(handle, "user").await?;
        if subject.principal().id == me {
            if changed(&user, &cmd.applied(&user)?).iter().any(|field| *field != DISPLAY_NAME) {
                self.require_not_on_oneself(subject.principal()).await?;
            }
            check_etag(cmd.etag.as_deref(), &user.etag())?;
            return Ok(user);
        }
        for permission in cmd.needs() {
            self.account_to_act_on((user.clone(), subject.clone()), permission, cmd.etag.as_deref()).await?;
        }
        require_live(&user)?;
        Ok(user)
    }
}

const DISPLAY_NAME: &str = "display_name";

/// The names of the fields in which two states of an account differ.
fn changed(before: &User, after: &User) -> Vec<&'static str> {
    let fields = [
        (DISPLAY_NAME, before.display_name != after.display_name),
        ("valid_from", before.valid_from != after.valid_from),
        ("valid_until", before.valid_until != after.valid_until),
        ("password_must_change", before.password_must_change != after.password_must_change),
    ];
    fields.into_iter().filter_map(|(field, differs)| differs.then_some(field)).collect()
}

/// Whether the account can't be used now, or won't be some day.
fn ends_or_waits(user: &User, now: Timestamp) -> bool {
    user.valid_until.is_some() || user.is_out_of_time(now)
}
