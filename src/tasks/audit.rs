//! Giving the lines of the audit log that are committed the positions by which they are followed.

use std::sync::Arc;

use super::runner::{Fault, Next, Round};
use crate::app::App;

/// So many lines get their position in one transaction: others wait for no more than that.
const PLACED_AT_ONCE: u64 = 1_000;

/// Places whatever is committed.
pub(super) struct Audit {
    app: Arc<App>,
}

impl Audit {
    pub(super) fn new(app: Arc<App>) -> Self {
        Self { app }
    }
}

impl Round for Audit {
    async fn round(&self) -> Result<Next, Fault> {
        while self.app.store().place_audit(PLACED_AT_ONCE).await? == PLACED_AT_ONCE {}
        Ok(Next::AfterPeriod)
    }
}
