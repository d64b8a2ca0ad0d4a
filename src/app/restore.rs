//! A database that was put back from a copy. What happened since the copy was made is lost: a session that was ended, a
//! refresh token that was exchanged, a code that was used would be as good as new.

use super::App;
use super::begin::IDENTITY;
use super::error::Result;
use super::write::Change;
use crate::crypto::random_mark;
use crate::domain::event::Event;

impl App {
    /// Ends what a copy must not bring back, realm by realm: every session with its refresh tokens, and every mailed code;
    /// and every API key if `revoke_api_keys`, those of the platform included. Processes that run on the database
    /// meanwhile empty their caches, and tokens of consistency from before ask for everything. Stopped half-way, it is
    /// done again from the beginning.
    ///
    /// # Errors
    /// UNAVAILABLE.
    pub async fn restored(&self, revoke_api_keys: bool) -> Result<()> {
        for realm in self.store.realms().await? {
            let ctx = self.own_call(realm.id, "Restore");
            self.write(&ctx, async |change: &mut Change<'_>| {
                change.tx().void_what_may_be_spent(change.ctx.now).await?;
                if revoke_api_keys {
                    change.tx().revoke_every_api_key(change.ctx.now).await?;
                }
                change.tx().begin_another_history(random_mark()).await?;
                change.record(Event::RealmRestored { realm: realm.id });
                Ok(())
            })
            .await?;
        }
        if let Some(identity) = self.store.identity().await? {
            self.store.replace(IDENTITY, identity).await?;
        }
        Ok(())
    }
}
