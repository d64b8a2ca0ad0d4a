//! Keeping up with what other processes commit.

use std::sync::Arc;

use super::runner::{Fault, Next, Round};
use crate::app::App;
use crate::app::clock::Clock;
use crate::telemetry::metrics;

/// Reads the change log, so that a check seldom has to.
pub(super) struct Tail {
    app: Arc<App>,
    metrics: metrics::Tail,
}

impl Tail {
    pub(super) fn new(app: Arc<App>) -> Self {
        Self { app, metrics: metrics::Tail::register() }
    }
}

impl Round for Tail {
    async fn round(&self) -> Result<Next, Fault> {
        let began = Clock::elapsed();
        let outcome = self.app.snapshots().tail_now().await;
        let took = (Clock::elapsed() - began).as_secs_f64();
        match outcome {
            Ok(()) => self.metrics.polls.record(took),
            Err(_) => self.metrics.failures.record(took),
        }
        outcome?;
        Ok(Next::AfterPeriod)
    }
}
