//! Entries as the record keeps them: with whose they are and how they came about, which no decision asks.

use serde::{Deserialize, Serialize};

use super::ids::PrincipalId;
use super::snapshot::Entry;
use super::time::Timestamp;

/// Whether an entry counts, as far as time goes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EntryState {
    Active,
    NotYet,
    Expired,
}

/// How an entry came about.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Origin {
    /// Somebody assigned or granted it.
    Actor,
    /// It came with a membership.
    Default,
    /// It came with founding an organization.
    Founding,
    /// It was there at the first start.
    Bootstrap,
}

/// An entry, whose it is, and who made it, when and how.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EntryRow {
    pub principal: PrincipalId,
    pub entry: Entry,
    /// Absent where the realm's policy conferred it.
    pub assigned_by: Option<PrincipalId>,
    pub assigned_at: Timestamp,
    pub origin: Origin,
}
