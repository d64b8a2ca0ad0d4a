//! Writing down when API keys were used last.

use std::sync::Arc;

use super::runner::{Fault, Next, Round};
use crate::app::App;

/// Writes what the calls since the last round noted.
pub(super) struct KeyUse {
    app: Arc<App>,
}

impl KeyUse {
    pub(super) fn new(app: Arc<App>) -> Self {
        Self { app }
    }
}

impl Round for KeyUse {
    async fn round(&self) -> Result<Next, Fault> {
        let keys = self.app.write_key_uses().await?;
        tracing::debug!(keys, "uses of API keys were written down");
        Ok(Next::AfterPeriod)
    }
}
