//! Refused calls of nobody in particular, counted: what may come a thousand times a minute is one line of the log.
//!
//! A line says how often one RPC was refused for one reason, from one source, within one minute. It is written when the
//! minute is over; a process that is killed loses what it counted in that minute, and no more.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::json;

use super::{Actor, App, Ctx, Reason};
use crate::crypto::random_mark;
use crate::domain::audit::{AuditLine, Outcome};
use crate::domain::ids::{EventId, RealmId};
use crate::domain::time::Timestamp;
use crate::store::{self, Lock};

/// What one line counts.
const MINUTE: Duration = Duration::from_secs(60);
/// So many lines are counted at once; what is refused beyond them is counted without its source.
const LINES_MAX: usize = 10_000;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Line {
    realm: RealmId,
    rpc: &'static str,
    reason: Reason,
    source: Option<IpAddr>,
    minute: i64,
}

/// What was refused lately.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<HashMap<Line, u64>>);

impl Refusals {
    /// What was counted in minutes that were over at that instant.
    fn over(&self, at: Timestamp) -> Vec<(Line, u64)> {
        let minute = minute(at);
        self.0.lock().extract_if(|line, _| line.minute < minute).collect()
    }

    fn add(&self, mut line: Line, count: u64) {
        let mut counted = self.0.lock();
        if counted.len() >= LINES_MAX && !counted.contains_key(&line) {
            line.source = None;
        }
        *counted.entry(line).or_insert(0) += count;
    }
}

impl App {
    /// Counts the refused public call of somebody who is not known; of others, each is a line of its own.
    pub fn count_refusal(&self, ctx: &Ctx, reason: Reason) {
        if ctx.actor == Actor::Anonymous {
            let Ctx { realm, rpc, peer, now, .. } = *ctx;
            self.refusals.add(Line { realm, rpc, reason, source: peer, minute: minute(now) }, 1);
        }
    }

    /// Writes what was counted in minutes that were over at that instant, one line each.
    ///
    /// # Errors
    /// [`store::Error::Unavailable`]; what was not written is kept for the next time.
    pub async fn write_refusals(&self, at: Timestamp) -> store::Result<()> {
        let mut left = self.refusals.over(at).into_iter();
        while let Some((line, count)) = left.next() {
            if let Err(error) = self.write_refusal(&line, count).await {
                self.refusals.add(line, count);
                left.for_each(|(line, count)| self.refusals.add(line, count));
                return Err(error);
            }
        }
        Ok(())
    }

    async fn write_refusal(&self, line: &Line, count: u64) -> store::Result<()> {
        let Line { realm, rpc, reason, source, minute } = *line;
        let at = Timestamp(minute.saturating_mul(micros(MINUTE)));
        let event = AuditLine {
            id: EventId(self.clock.new_id()),
            at,
            action: rpc.to_owned(),
            organization: None,
            actor: None,
            impersonator: None,
            target: None,
            outcome: Outcome::Refused,
            reason: Some(reason.name().to_owned()),
            details: json!({ "event": "refusals.counted", "count": count }),
            peer: source.map(|source| source.to_string()),
            request_id: None,
            trace_id: None,
        };
        let tx = self.store.begin(realm, Lock::Nothing).await?;
        tx.rows().append_audit(&[event]).await?;
        tx.commit(vec![], random_mark(), at).await.map(drop)
    }
}

/// The number of the minute of an instant.
fn minute(at: Timestamp) -> i64 {
    at.0.div_euclid(micros(MINUTE))
}

fn micros(of: Duration) -> i64 {
    i64::try_from(of.as_micros()).unwrap_or(i64::MAX)
}
