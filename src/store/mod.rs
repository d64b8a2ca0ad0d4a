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
mod members;
mod message;
mod organization;
mod organizations;
mod outbox;
mod policy;
mod realm;
mod registration;
mod role;
mod rows;
mod schema;
mod service_account;
mod session;
mod snapshot;
mod throttle;
mod tombstone;
mod unit_of_work;
mod user;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ::metrics::Histogram;
use sea_orm::sqlx::Connection as _;
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sea_orm::{ConnectOptions, Database, DatabaseConnection, DbBackend, Statement};

use crate::domain::time::Timestamp;
use crate::telemetry::metrics;

pub use access::EntryFilter;
pub use audit::{AuditFilter, Before};
pub use entry::{EntryQuery, EntryReach};
pub use error::{Constraint, Error, Result};
pub use holders::{HolderQuery, ManagingQuery, Places};
pub use idempotency::Answer;
pub use members::MemberFilter;
pub use message::MessageFilter;
pub use organizations::{OrganizationFilter, Within};
pub use outbox::{Due, Letter};
pub use registration::GivenCodes;
pub use role::Forbidden;
pub use rows::{ReadRows, Rows, TxRows};
pub use schema::{Schema, SchemaChange};
/// A pool or a transaction: what rows are asked on.
pub use sea_orm::ConnectionTrait as Connection;
pub use service_account::ServiceAccountFilter;
pub use session::{CodeRow, LiveSessions};
pub use throttle::ThrottleKey;
pub use unit_of_work::{Lock, Tx};
pub use user::{Credentials, NewUser, UserFilter};

/// A connection that sat idle for longer is pinged before it is used; others are not, so that a miss costs one trip.
const PING_AFTER_IDLE: Duration = Duration::from_secs(5);
/// How long a call waits for a connection before it is told that the database is unavailable.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long SQLite waits for another connection of this process.
const SQLITE_BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the record is.
#[derive(Clone, PartialEq, Eq)]
pub enum Location<'a> {
    /// A SQLite file, made if it is missing. Its folder must be there.
    Sqlite(&'a Path),
    /// A `postgres://` URL, which may hold a password.
    Postgres(&'a str),
}

/// The two pools of the record. On SQLite the writing one has a single connection; on PostgreSQL both are the same.
#[derive(Clone, Debug)]
pub struct Store {
    write: DatabaseConnection,
    read: DatabaseConnection,
    /// Statements sent on the writing pool.
    statements: Arc<AtomicU64>,
    /// How long changes hold their realm's row.
    locked: Histogram,
}

impl Store {
    /// Opens the record without touching its schema.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if it can't be reached.
    pub async fn open(location: Location<'_>, connections: u32) -> Result<Self> {
        match location {
            Location::Sqlite(file) => {
                let write = Database::connect(sqlite(file, 1, false)).await?;
                let read = Database::connect(sqlite(file, connections, true)).await?;
                Ok(Self::counting(write, Some(read)))
            }
            Location::Postgres(url) => {
                let both = Database::connect(postgres(url, connections)).await?;
                Ok(Self::counting(both, None))
            }
        }
    }

    /// On a writing pool whose statements are counted, and a reading one; without, one for both.
    fn counting(mut write: DatabaseConnection, read: Option<DatabaseConnection>) -> Self {
        let statements = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&statements);
        write.set_metric_callback(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        let read = read.unwrap_or_else(|| write.clone());
        Self { write, read, statements, locked: metrics::Database::register().locked }
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

    /// Connections in use and connections at rest, of both pools.
    #[must_use]
    pub fn connections(&self) -> (u32, u32) {
        let pools = if self.is_shared() { vec![&self.read] } else { vec![&self.read, &self.write] };
        let count = |pool: &DatabaseConnection| match pool.get_database_backend() {
            DbBackend::Postgres => sizes(pool.get_postgres_connection_pool()),
            _ => sizes(pool.get_sqlite_connection_pool()),
        };
        pools.into_iter().map(count).fold((0, 0), |(used, idle), (more, rest)| (used + more, idle + rest))
    }

    /// Whether the record answers.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn ping(&self) -> Result<()> {
        Ok(self.read.ping().await?)
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
        let row = self.read.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await?;
        Ok(row.map(|row| row.try_get("", "now")).transpose()?.map(Timestamp))
    }

    /// Closes both pools; what runs still finishes.
    pub async fn close(&self) {
        for pool in [&self.write, &self.read] {
            if let Err(error) = pool.clone().close().await {
                tracing::debug!(%error, "closing a database pool failed");
            }
        }
    }

    fn backend(&self) -> DbBackend {
        self.write.get_database_backend()
    }
}

fn sizes<D: sea_orm::sqlx::Database>(pool: &sea_orm::sqlx::Pool<D>) -> (u32, u32) {
    let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
    (pool.size().saturating_sub(idle), idle)
}

fn sqlite(file: &Path, connections: u32, read_only: bool) -> ConnectOptions {
    let mut options = ConnectOptions::new("sqlite://");
    let file = file.to_owned();
    options.map_sqlx_sqlite_opts(move |_| {
        SqliteConnectOptions::new()
            .filename(&file)
            .create_if_missing(!read_only)
            .read_only(read_only)
            .journal_mode(SqliteJournalMode::Wal)
            // An acknowledged change survives a crash of the machine, not only of the process.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(SQLITE_BUSY_TIMEOUT)
    });
    common(&mut options, connections);
    if !read_only {
        // A commit that failed, on a full disk say, may leave its transaction open, or counted as open. The next one on that
        // connection would be a part of it, and whatever it acknowledged would never be written.
        options.map_sqlx_sqlite_before_acquire(|connection, _| Box::pin(has_nothing_open(connection)));
    }
    options
}

/// Whether no transaction is open, once what is queued was rolled back. A connection with one is closed, not handed out.
async fn has_nothing_open(connection: &mut SqliteConnection) -> std::result::Result<bool, sea_orm::sqlx::Error> {
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}

fn postgres(url: &str, connections: u32) -> ConnectOptions {
    let mut options = ConnectOptions::new(url);
    options.set_application_name("countersign");
    common(&mut options, connections);
    options
}

fn common(options: &mut ConnectOptions, connections: u32) {
    options
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire_if_idle_for(PING_AFTER_IDLE)
        .sqlx_logging(false)
        // SQL text does not belong in an identity service's traces.
        .record_stmt_in_spans(false);
}
