//! Writing down what was counted of refused public calls.

use std::sync::Arc;

use super::runner::{Fault, Next, Round};
use crate::app::App;

/// Writes the lines of minutes that are over.
pub(super) struct Refusals {
    app: Arc<App>,
}

impl Refusals {
    pub(super) fn new(app: Arc<App>) -> Self {
        Self { app }
    }
}

impl Round for Refusals {
    async fn round(&self) -> Result<Next, Fault> {
        self.app.write_refusals(self.app.clock().now()).await?;
        Ok(Next::AfterPeriod)
    }
}
