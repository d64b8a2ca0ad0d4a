//! Keeping up with what other processes commit.

use std::sync::Arc;

use super::runner::{Fault, Next, Round};
use crate::app::App;

/// Reads the change log, so that a check seldom has to.
pub(super) struct Tail {
    app: Arc<App>,
}

impl Tail {
    pub(super) fn new(app: Arc<App>) -> Self {
        Self { app }
    }
}

impl Round for Tail {
    async fn round(&self) -> Result<Next, Fault> {
        self.app.snapshots().tail_now().await?;
        Ok(Next::AfterPeriod)
    }
}
