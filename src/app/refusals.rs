//! Refused calls, counted: what may come a thousand times a minute is a line or two of the log.
//!
//! A line says how often one RPC was refused for one reason, of one account, or from one source without a credential, and
//! about which account as far as a public call is about one, within one minute. It is written when the minute is over; a
//! process that is killed loses what it counted in that minute, and no more. Of calls that are not public the first refusal
//! of an account is not counted: it is a line by itself, with the id of its request, and written at once.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::json;

use super::{App, Ctx, Reason};
use crate::crypto::random_mark;
use crate::domain::audit::{AuditLine, Outcome};
use crate::domain::ids::{EventId, PrincipalId, RealmId, UserId};
use crate::domain::source::Network;
use crate::domain::time::Timestamp;
use crate::store::{self, Lock};

/// What one line counts.
const MINUTE: Duration = Duration::from_secs(60);
/// So many lines are counted at once; what is refused beyond them is counted together.
const LINES_MAX: usize = 10_000;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Line {
    realm: RealmId,
    rpc: &'static str,
    reason: Reason,
    whom: Whom,
    /// Whom a public call was about.
    about: Option<UserId>,
    minute: i64,
}

/// Who was refused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Whom {
    Source(Network),
    Account(PrincipalId),
    /// So many were refused at once that they are not told apart.
    Anybody,
}

/// What was refused lately.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<HashMap<Line, u64>>);

impl Refusals {
    /// What was counted in minutes that were over at that instant.
    fn over(&self, at: Timestamp) -> Vec<(Line, u64)> {
        let minute = minute(at);
        let over: Vec<_> = self.0.lock().extract_if(|line, _| line.minute < minute).collect();
        over.into_iter().filter(|(_, count)| *count > 0).collect()
    }

    /// Whether this is the first of its line, which is then not counted.
    fn is_first(&self, line: Line) -> bool {
        let mut counted = self.0.lock();
        let first = counted.len() < LINES_MAX && !counted.contains_key(&line);
        if first {
            counted.insert(line, 0);
        }
        first
    }

    fn add(&self, mut line: Line, count: u64) {
        let mut counted = self.0.lock();
        if counted.len() >= LINES_MAX && !counted.contains_key(&line) {
            (line.whom, line.about) = (Whom::Anybody, None);
        }
        *counted.entry(line).or_insert(0) += count;
    }
}

impl App {
    /// Counts a refused public call, whoever makes it; of others, see `App::note_refusal`.
    pub fn count_refusal(&self, ctx: &Ctx, reason: Reason) {
        if ctx.aimed.is_public() {
            let source = ctx.network().map_or(Whom::Anybody, Whom::Source);
            let whom = ctx.actor.id().map_or(source, Whom::Account);
            self.refusals.add(Line { about: ctx.aimed.at(), ..Line::of(ctx, reason, whom) }, 1);
        }
    }

    /// Whether the refused call of an account is to be a line by itself; it is counted if not.
    pub(super) fn is_first_refusal(&self, ctx: &Ctx, account: PrincipalId, reason: Reason) -> bool {
        let line = Line::of(ctx, reason, Whom::Account(account));
        let first = self.refusals.is_first(line);
        if !first {
            self.refusals.add(line, 1);
        }
        first
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
        let Line { realm, rpc, reason, whom, about, minute } = *line;
        let (source, account) = match whom {
            Whom::Source(source) => (Some(source), None),
            Whom::Account(account) => (None, Some(account)),
            Whom::Anybody => (None, None),
        };
        let at = Timestamp(minute.saturating_mul(micros(MINUTE)));
        let event = AuditLine {
            id: EventId(self.clock.new_id()),
            at,
            action: rpc.to_owned(),
            organization: None,
            actor: account,
            impersonator: None,
            target: about.map(|user| user.0),
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

impl Line {
    fn of(ctx: &Ctx, reason: Reason, whom: Whom) -> Self {
        Self { realm: ctx.realm, rpc: ctx.rpc, reason, whom, about: None, minute: minute(ctx.now) }
    }
}

/// The number of the minute of an instant.
fn minute(at: Timestamp) -> i64 {
    at.0.div_euclid(micros(MINUTE))
}

fn micros(of: Duration) -> i64 {
    i64::try_from(of.as_micros()).unwrap_or(i64::MAX)
}
