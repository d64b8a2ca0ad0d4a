//! Dropping what nobody asks for any more.

use std::sync::Arc;
use std::time::Duration;

use super::runner::{Fault, Next, Round};
use crate::app::{ACCESS_TOKEN_TTL, App};
use crate::domain::throttle;

/// How long the change log goes back. A process that was away for longer starts over with empty hands.
const LOG_KEPT: Duration = Duration::from_secs(3_600);
/// How long a repeated call gets the first answer.
const ANSWERS_KEPT: Duration = Duration::from_secs(24 * 3_600);

/// How long a session that ran out is kept, however far the clocks of replicas are apart: none of its tokens is alive.
const SESSIONS_KEPT: Duration = ACCESS_TOKEN_TTL.saturating_mul(2);
/// So many assignments of a deleted role go in one statement: others wait for no more than that.
const TIDIED_AT_ONCE: u64 = 1_000;

/// Prunes the change log and the audit log, forgets answers, sessions and old tallies of failed sign-ins, tidies what deleted roles left.
pub(super) struct Housekeeping {
    app: Arc<App>,
}

impl Housekeeping {
    pub(super) fn new(app: Arc<App>) -> Self {
        Self { app }
    }
}

impl Round for Housekeeping {
    async fn round(&self) -> Result<Next, Fault> {
        let now = self.app.clock().now();
        let lines = self.app.store().prune_log(now.before(LOG_KEPT)).await?;
        let answers = self.app.store().forget_answers(now.before(ANSWERS_KEPT)).await?;
        let sessions = self.app.store().forget_sessions(now.before(SESSIONS_KEPT)).await?;
        let tallies = self.app.store().forget_throttles(now.before(throttle::FORGOTTEN_AFTER)).await?;
        let events = self.app.forget_audit(now).await?;
        let mut tidied = 0;
        while let gone @ 1.. = self.app.store().tidy_roles(TIDIED_AT_ONCE).await? {
            tidied += gone;
        }
        self.app.forget_idle_callers();
        self.app.snapshots().forget_idle();
        tracing::debug!(lines, answers, sessions, tallies, events, tidied, "what nobody asks for any more was dropped");
        Ok(Next::AfterPeriod)
    }
}
