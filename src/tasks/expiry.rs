//! Letting time pass: registrations expire, what was deleted is erased.

use std::sync::Arc;

use super::runner::{Fault, Next, Round};
use crate::app::App;

/// Expires and erases what is due.
pub(super) struct Expiry {
    app: Arc<App>,
}

impl Expiry {
    pub(super) fn new(app: Arc<App>) -> Self {
        Self { app }
    }
}

impl Round for Expiry {
    async fn round(&self) -> Result<Next, Fault> {
        let more = self.app.let_time_pass().await?;
        Ok(if more { Next::AtOnce } else { Next::AfterPeriod })
    }
}
