//! The record: SeaORM on SQLite and PostgreSQL, one set of queries for both.
//!
//! [`Store`] opens and begins; [`Rows`] asks about one realm and can't ask about another; [`Tx`] is one change with its
//! consequences. Only `app` and `tasks` call in here; nothing of SeaORM leaves.

mod access;
mod audit;
mod backup;
mod change;
mod entity;
mod entry;
mod erasure;
mod error;
mod holders;
mod idempotency;
mod identities;
mod lanes;
mod members;
mod message;
mod organization;
mod organizations;
mod outbox;
mod policy;
mod postgres;
mod primary;
mod reach;
mod realm;
mod registration;
mod role;
mod rows;
mod schema;
mod service_account;
mod session;
mod snapshot;
mod sqlite;
mod throttle;
mod tombstone;
mod turns;
mod unit_of_work;
mod user;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ::metrics::Histogram;
use sea_orm::{DbBackend, Statement};

use crate::domain::time::Timestamp;

pub use access::EntryFilter;
pub use audit::{AuditFilter, Before};
pub use entry::{EntryQuery, EntryReach};
pub use error::{Constraint, Error, Result};
pub use holders::{HolderQuery, ManagingQuery, Places};
pub use idempotency::Answer;
pub use lanes::{Appends, Lane, Loading, Loads, Reads, Tail, Writes};
pub use members::MemberFilter;
pub use message::MessageFilter;
pub use organizations::OrganizationFilter;
pub use outbox::{Due, Letter};
pub use reach::{Reach, Within};
pub use registration::GivenCodes;
pub use role::Forbidden;
pub use rows::{LoadRows, ReadRows, Rows, TxRows};
pub use schema::{Schema, SchemaChange};
/// A pool or a transaction: what rows are asked on.
pub use sea_orm::ConnectionTrait as Connection;
pub use service_account::{ApiKeyFilter, ServiceAccountFilter};
pub use session::{CodeRow, LiveSessions};
pub use throttle::ThrottleKey;
use turns::Turns;
pub use unit_of_work::{Lock, Tx};
pub use user::{Credentials, NewUser, UserFilter};

/// Where the record is.
#[derive(Clone, PartialEq, Eq)]
pub enum Location<'a> {
    /// A SQLite file, made if it is missing. Its folder must be there.
    Sqlite(&'a Path),
    /// A `postgres://` URL, which may hold a password.
    Postgres(&'a str),
}

/// The database, by lanes.
#[derive(Clone, Debug)]
pub struct Store {
    tail: Lane<Tail>,
    loads: Lane<Loads>,
    read: Lane<Reads>,
    write: Lane<Writes>,
    append: Lane<Appends>,
    /// Whose turn it is on the lane of `write`, and on that of `append`.
    writing: Turns,
    appending: Turns,
    /// Statements sent on the lanes that write.
    statements: Arc<AtomicU64>,
    /// How long changes hold their realm's row.
    locked: Histogram,
}

impl Store {
    /// Opens the database without touching its schema. So many connections are the most that this process makes; on SQLite
    /// they read, beside the one that writes.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if it can't be reached, or is not the primary; [`Error::Unusable`] behind a pooler.
    pub async fn open(location: Location<'_>, connections: u32) -> Result<Self> {
        match location {
            Location::Sqlite(file) => Self::on_sqlite(file, connections).await,
            Location::Postgres(url) => Self::on_postgres(url, connections).await,
        }
    }

    /// Statements that were sent so far on the connections that changes are made on.
    #[must_use]
    pub fn statements(&self) -> u64 {
        self.statements.load(Ordering::Relaxed)
    }

    /// Whether other processes may write to the same record.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.backend() == DbBackend::Postgres
    }

    /// Whether the database answers, is the primary, and takes changes.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn ping(&self) -> Result<()> {
        self.tail.require_primary().await
    }

    /// What the database's clock says; `None` on SQLite, which has that of this machine.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn clock(&self) -> Result<Option<Timestamp>> {
        if !self.is_shared() {
            return Ok(None);
        }
        let sql = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint) AS now";
        let row = self.tail.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await?;
        Ok(row.map(|row| row.try_get("", "now")).transpose()?.map(Timestamp))
    }

    fn backend(&self) -> DbBackend {
        self.write.get_database_backend()
    }
}
