//! Tombstones: whether an address may be somebody's again, and how support frees one.
//!
//! A realm's key for them is made with its first deletion; where there is none, no tombstone stands.

use super::error::{Error, Result};
use super::facts::Facts;
use super::guard::permissions;
use super::write::{Change, Done};
use super::{App, Ctx, Reason};
use crate::crypto::root_key::RootKeys;
use crate::crypto::tombstone::TombstoneKey;
use crate::domain::account::User;
use crate::domain::email::Email;
use crate::domain::event::Event;
use crate::domain::ids::UserId;
use crate::store::{Connection, Rows};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClearTombstone {
    pub email: Email,
    /// Where the case is written down.
    pub ticket: String,
}

impl App {
    /// Frees the address of a deleted account.
    ///
    /// # Errors
    /// A nearest miss; NOT_FOUND if no tombstone stands.
    pub async fn clear_tombstone(&self, ctx: &Ctx, cmd: &ClearTombstone) -> Result<Done<()>> {
        self.write(ctx, async |change: &mut Change<'_>| {
            change.guard().await?.require(permissions::CLEAR_TOMBSTONE, None, None).await?;
            let found = tombstone_of(self, change.rows(), cmd.email.identity()).await?;
            let user = found.ok_or_else(|| Error::not_found("email"))?;
            change.remove_tombstone(cmd.email.identity()).await?;
            change.record(Event::TombstoneCleared { user, ticket: cmd.ticket.clone() });
            Ok(())
        })
        .await
    }
}

impl Change<'_> {
    /// Requires that the address can become this user's (`None`: a new one's): no other live account has it, and no
    /// tombstone of another one keeps it from being anybody's. Which of the two it is, is not told.
    ///
    /// # Errors
    /// ALREADY_EXISTS.
    pub(super) async fn require_free_address(&self, email: &str, identity: &str, user: Option<UserId>) -> Result<()> {
        let owner = self.rows().user_by_identity(identity).await?.map(|owner| owner.id);
        let barred = match self.catalogue().policy.reregistration_after_delete {
            true => None,
            false => tombstone_of(self.app, self.rows(), identity).await?,
        };
        if owner.into_iter().chain(barred).any(|other| Some(other) != user) {
            let message = format!("email {email:?} is taken");
            return Err(Error::refused_with(Reason::AlreadyExists, message, vec![("field", "email".to_owned())]));
        }
        Ok(())
    }

    /// Has nobody take the address of an account that is deleted.
    pub(super) async fn put_tombstone(&self, user: &User) -> Result<()> {
        let rows = self.rows();
        let key = match rows.tombstone_key().await? {
            Some(sealed) => opened(&self.app.keys, rows, &sealed)?,
            None => {
                let key = TombstoneKey::generate();
                rows.insert_tombstone_key(key.seal(&self.app.keys, rows.realm_id()), self.ctx.now).await?;
                key
            }
        };
        Ok(rows.put_tombstone(&key.tombstone(&user.identity), user.id, self.ctx.now).await?)
    }

    pub(super) async fn remove_tombstone(&self, identity: &str) -> Result<()> {
        if let Some(key) = key_of(&self.app.keys, self.rows()).await? {
            self.rows().remove_tombstone(&key.tombstone(identity)).await?;
        }
        Ok(())
    }
}

/// Whose deletion keeps an address from being anybody's; `None` if nobody's does.
pub(super) async fn tombstone_of<C: Connection>(
    app: &App,
    rows: Rows<'_, C>,
    identity: &str,
) -> Result<Option<UserId>> {
    match key_of(&app.keys, rows).await? {
        Some(key) => Ok(rows.tombstone(&key.tombstone(identity)).await?),
        None => Ok(None),
    }
}

async fn key_of<C: Connection>(keys: &RootKeys, rows: Rows<'_, C>) -> Result<Option<TombstoneKey>> {
    match rows.tombstone_key().await? {
        Some(sealed) => opened(keys, rows, &sealed).map(Some),
        None => Ok(None),
    }
}

/// A key that does not open is a fault: without it every tombstone would seem to be gone.
fn opened<C: Connection>(keys: &RootKeys, rows: Rows<'_, C>, sealed: &[u8]) -> Result<TombstoneKey> {
    let key = TombstoneKey::open(keys, rows.realm_id(), sealed);
    key.ok_or_else(|| Error::internal("the key of the realm's tombstones does not open under the root key"))
}
