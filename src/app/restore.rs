//! A record that is put back from a copy. What happened since the copy was made is lost: a session that was ended, a
//! refresh token that was replaced, a code that was used would be as good as new.

use super::App;
use super::begin::ROOT_KEY;
use super::error::{Error, Result};
use super::write::Change;
use crate::domain::event::Event;

impl App {
    /// Whether the root key opens this record, which is only looked at.
    ///
    /// # Errors
    /// UNAVAILABLE; another root key, or no record.
    pub async fn require_own(&self) -> Result<()> {
        let kept = self.store.fact(ROOT_KEY).await?.ok_or_else(|| Error::internal(Foreign::Empty))?;
        self.keys.opens(&kept).map(drop).ok_or_else(|| Error::internal(Foreign::RootKey))
    }

    /// Ends what a copy must not bring back: every session and every mailed code. People sign in again; API keys stay
    /// what they were when the copy was made.
    ///
    /// # Errors
    /// UNAVAILABLE.
    pub async fn restored(&self) -> Result<()> {
        let platform = self.platform_realm().await?.ok_or_else(|| Error::internal(Foreign::Empty))?;
        let ctx = self.own_call(platform, "Restore");
        self.write(&ctx, async |change: &mut Change<'_>| {
            change.tx().void_what_may_be_spent(ctx.now).await?;
            change.record(Event::RecordRestored { realm: platform });
            Ok(())
        })
        .await?;
        Ok(())
    }
}

/// Why a copy is not this server's.
#[derive(Debug, thiserror::Error)]
enum Foreign {
    #[error("it is under another root key")]
    RootKey,
    #[error("it was never begun")]
    Empty,
}
