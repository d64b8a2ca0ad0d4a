//! The audit log: one line per thing that was done, or refused.

use serde_json::Value;
use uuid::Uuid;

use super::ids::{EventId, OrganizationId, PrincipalId};
use super::time::Timestamp;

/// Whether the call went through.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Outcome {
    Done,
    /// Refused by permission, reach or rule; `reason` says which.
    Refused,
}

/// One line, as it is written.
#[derive(Clone, PartialEq, Debug)]
pub struct AuditLine {
    pub id: EventId,
    pub at: Timestamp,
    /// The RPC.
    pub action: String,
    pub organization: Option<OrganizationId>,
    pub actor: Option<PrincipalId>,
    pub impersonator: Option<PrincipalId>,
    pub target: Option<Uuid>,
    pub outcome: Outcome,
    /// The public error reason of a refusal.
    pub reason: Option<String>,
    /// What changed; never a secret.
    pub details: Value,
    pub peer: Option<String>,
    pub request_id: Option<String>,
    pub trace_id: Option<String>,
}

/// One line, as it is read.
#[derive(Clone, PartialEq, Debug)]
pub struct AuditEvent {
    /// Counts the lines as they are written, which is not the order in which they are committed.
    pub sequence: i64,
    /// Its place among the lines that are committed; absent until it has one.
    pub position: Option<i64>,
    pub line: AuditLine,
}
