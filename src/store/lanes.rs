//! Connections in lanes: what keeps checks alive never waits for what is slow.
//!
//! | lane | carries | of 20 connections |
//! |---|---|---|
//! | [`Tail`] | the change log; whether the database is well | 2 |
//! | [`Loads`] | what a check or an authentication is computed from | 5 |
//! | [`Reads`] | lists, and whatever else only reads | 5 |
//! | [`Writes`] | changes that lock their realm's row; housekeeping | 5 |
//! | [`Appends`] | short changes that lock no realm: signing in, the outbox, refusals in the audit log | 3 |
//!
//! Which lane a query is on is its type, so that a load can't run among the lists by mistake. On SQLite the first three
//! read, and the last two are the one connection that writes. Every statement ends within its lane's time: on PostgreSQL
//! the server ends it, on either database this process stops to wait. Only this module opens connections.

use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sea_orm::prelude::async_trait::async_trait;
use sea_orm::{
    ConnAcquireErr, ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, DbBackend,
    DbErr, ExecResult, QueryResult, SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait,
};

use super::error::{Error, Result, corrupt};
use super::primary::{CLOSED, Primary};
use super::turns::Turns;
use super::{Store, postgres, sqlite};
use crate::telemetry::metrics;

/// The lane of the change log and of the look whether the database is well.
#[derive(Clone, Copy, Debug)]
pub enum Tail {}
/// The lane of what checks and authentications are computed from.
#[derive(Clone, Copy, Debug)]
pub enum Loads {}
/// The lane of everything else that only reads.
#[derive(Clone, Copy, Debug)]
pub enum Reads {}
/// The lane of changes that lock a realm's row.
#[derive(Clone, Copy, Debug)]
pub enum Writes {}
/// The lane of short changes that lock no realm.
#[derive(Clone, Copy, Debug)]
pub enum Appends {}

/// What decides is loaded on the lane that is kept for it, or within the change that it guards.
pub trait Loading: ConnectionTrait {}

impl Loading for Lane<Loads> {}
impl Loading for DatabaseTransaction {}

/// How long a lane's statements may take, waiting for a connection included. Those of the tail and of loads are what the
/// cache waits for at most (`TAIL_DEADLINE`, `LOAD_DEADLINE`); a list or a change that takes ten seconds is lost.
pub(super) const TAIL_TIME: Duration = Duration::from_secs(1);
pub(super) const LOAD_TIME: Duration = Duration::from_secs(2);
pub(super) const READ_TIME: Duration = Duration::from_secs(10);
pub(super) const WRITE_TIME: Duration = Duration::from_secs(10);
pub(super) const APPEND_TIME: Duration = Duration::from_secs(5);

/// Some of the connections to the database, for one purpose. Cheap to clone.
#[derive(Debug)]
pub struct Lane<K> {
    pool: DatabaseConnection,
    time: Duration,
    primary: Arc<Primary>,
    carries: PhantomData<fn() -> K>,
}

impl<K> Clone for Lane<K> {
    fn clone(&self) -> Self {
        let Self { pool, time, primary, carries } = self;
        Self { pool: pool.clone(), time: *time, primary: Arc::clone(primary), carries: *carries }
    }
}

/// How many connections each lane has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Sizes {
    pub(super) tail: u32,
    pub(super) loads: u32,
    pub(super) reads: u32,
    pub(super) writes: u32,
    pub(super) appends: u32,
}

impl Sizes {
    /// Splits so many connections, of which each lane has one at least.
    pub(super) fn of(connections: u32) -> Self {
        let tail = if connections < 10 { 1 } else { 2 };
        let rest = connections.saturating_sub(tail);
        let appends = (rest / 6).max(1);
        let third = (rest.saturating_sub(appends) / 3).max(1);
        let writes = rest.saturating_sub(appends + 2 * third).max(1);
        Self { tail, loads: third, reads: third, writes, appends }
    }
}

impl Store {
    /// Opens a PostgreSQL database, once it has shown that it is the primary and takes the time-outs.
    pub(super) async fn on_postgres(url: &str, connections: u32) -> Result<Self> {
        postgres::probe(url).await?;
        let (sizes, primary) = (Sizes::of(connections), Arc::new(Primary::default()));
        let statements = Arc::default();
        let pool = async |size, time| Database::connect(postgres::lane(url, size, time, &primary)).await;
        Ok(Self {
            tail: Lane::new(pool(sizes.tail, TAIL_TIME).await?, TAIL_TIME, &primary),
            loads: Lane::new(pool(sizes.loads, LOAD_TIME).await?, LOAD_TIME, &primary),
            read: Lane::new(pool(sizes.reads, READ_TIME).await?, READ_TIME, &primary),
            write: Lane::new(counted(pool(sizes.writes, WRITE_TIME).await?, &statements), WRITE_TIME, &primary),
            append: Lane::new(counted(pool(sizes.appends, APPEND_TIME).await?, &statements), APPEND_TIME, &primary),
            // One of a realm that works, and one that has the realm's row as soon as it is free.
            writing: Turns::new(2),
            // One realm leaves a connection to the others.
            appending: Turns::new((sizes.appends - 1) as usize),
            statements,
            locked: metrics::Database::register().locked,
        })
    }

    /// Opens a SQLite file, and makes it if it is missing.
    pub(super) async fn on_sqlite(file: &Path, connections: u32) -> Result<Self> {
        let writing = Database::connect(sqlite::writing(file)).await?;
        Self::over(writing, Sizes::of(connections), |size| sqlite::reading(file, size)).await
    }

    /// Opens a SQLite file to read it.
    pub(super) async fn on_sqlite_untouched(file: &Path) -> Result<Self> {
        let only = Database::connect(sqlite::untouched(file)).await?;
        Self::over(only, Sizes::of(1), |_| sqlite::untouched(file)).await
    }

    async fn over(one: DatabaseConnection, sizes: Sizes, reading: impl Fn(u32) -> ConnectOptions) -> Result<Self> {
        let (primary, statements) = (&Arc::new(Primary::default()), Arc::default());
        let one = counted(one, &statements);
        Ok(Self {
            tail: Lane::new(Database::connect(reading(sizes.tail)).await?, TAIL_TIME, primary),
            loads: Lane::new(Database::connect(reading(sizes.loads)).await?, LOAD_TIME, primary),
            read: Lane::new(Database::connect(reading(sizes.reads)).await?, READ_TIME, primary),
            write: Lane::new(one.clone(), WRITE_TIME, primary),
            append: Lane::new(one, APPEND_TIME, primary),
            writing: Turns::new(2),
            appending: Turns::new(2),
            statements,
            locked: metrics::Database::register().locked,
        })
    }

    /// Connections in use and connections at rest.
    #[must_use]
    pub fn connections(&self) -> (u32, u32) {
        let reading = [&self.tail.pool, &self.loads.pool, &self.read.pool, &self.write.pool];
        let appending = self.is_shared().then_some(&self.append.pool);
        let count = |pool: &DatabaseConnection| match pool.get_database_backend() {
            DbBackend::Postgres => used_and_idle(pool.get_postgres_connection_pool()),
            _ => used_and_idle(pool.get_sqlite_connection_pool()),
        };
        let counted = reading.into_iter().chain(appending).map(count);
        counted.fold((0, 0), |(used, idle), (more, rest)| (used.saturating_add(more), idle.saturating_add(rest)))
    }

    /// Closes every lane; what runs still finishes.
    pub async fn close(&self) {
        let Self { tail, loads, read, write, append, .. } = self;
        for pool in [&write.pool, &append.pool, &read.pool, &loads.pool, &tail.pool] {
            if let Err(error) = pool.clone().close().await {
                tracing::debug!(%error, "closing a database pool failed");
            }
        }
    }
}

impl<K> Lane<K> {
    fn new(pool: DatabaseConnection, time: Duration, primary: &Arc<Primary>) -> Self {
        Self { pool, time, primary: Arc::clone(primary), carries: PhantomData }
    }

    /// The only place that begins a transaction.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub(super) async fn begin(&self) -> Result<DatabaseTransaction> {
        let immediate = self.get_database_backend() == DbBackend::Sqlite;
        let options = TransactionOptions {
            sqlite_transaction_mode: immediate.then_some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        #[expect(clippy::disallowed_methods, reason = "the one place that begins a transaction")]
        Ok(self.bounded(self.pool.begin_with_options(options)).await?)
    }

    /// Hands an answer on, unless it takes too long, and takes note of one that says something of the connections.
    pub(super) async fn bounded<T>(
        &self,
        answer: impl Future<Output = std::result::Result<T, DbErr>>,
    ) -> std::result::Result<T, DbErr> {
        let late = || DbErr::ConnectionAcquire(ConnAcquireErr::Timeout);
        let answer = tokio::time::timeout(self.time, answer).await.unwrap_or_else(|_| Err(late()));
        answer.inspect_err(|error| self.primary.doubt_after(error))
    }

    /// The lane's connections without its bound, for work on a whole SQLite file.
    pub(super) fn unhurried(&self) -> &DatabaseConnection {
        &self.pool
    }

    /// Asks whether the server is the primary and takes changes. If not, no connection made before is used again.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub(super) async fn require_primary(&self) -> Result<()> {
        if self.get_database_backend() != DbBackend::Postgres {
            self.execute_unprepared("SELECT 1").await?;
            return Ok(());
        }
        let row = self.query_one_raw(Statement::from_string(DbBackend::Postgres, format!("SELECT {CLOSED}"))).await?;
        let closed: bool = row.ok_or_else(|| corrupt("state of the server"))?.try_get_by_index(0)?;
        if closed { Err(self.is_closed()) } else { Ok(()) }
    }

    /// What to answer where the server turned out not to be the primary.
    pub(super) fn is_closed(&self) -> Error {
        self.primary.doubt();
        Error::NotPrimary
    }
}

#[async_trait]
impl<K> ConnectionTrait for Lane<K> {
    fn get_database_backend(&self) -> DbBackend {
        self.pool.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> std::result::Result<ExecResult, DbErr> {
        self.bounded(self.pool.execute_raw(statement)).await
    }

    async fn execute_unprepared(&self, sql: &str) -> std::result::Result<ExecResult, DbErr> {
        self.bounded(self.pool.execute_unprepared(sql)).await
    }

    async fn query_one_raw(&self, statement: Statement) -> std::result::Result<Option<QueryResult>, DbErr> {
        self.bounded(self.pool.query_one_raw(statement)).await
    }

    async fn query_all_raw(&self, statement: Statement) -> std::result::Result<Vec<QueryResult>, DbErr> {
        self.bounded(self.pool.query_all_raw(statement)).await
    }
}

/// The pool, with its statements counted.
fn counted(mut pool: DatabaseConnection, statements: &Arc<AtomicU64>) -> DatabaseConnection {
    let counted = Arc::clone(statements);
    pool.set_metric_callback(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    pool
}

fn used_and_idle<D: sea_orm::sqlx::Database>(pool: &sea_orm::sqlx::Pool<D>) -> (u32, u32) {
    let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
    (pool.size().saturating_sub(idle), idle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lane_has_a_connection_and_all_of_them_are_handed_out() {
        for connections in 1..100 {
            let Sizes { tail, loads, reads, writes, appends } = Sizes::of(connections);
            assert!([tail, loads, reads, writes, appends].iter().all(|size| *size >= 1), "{connections}");
            assert_eq!(tail + loads + reads + writes + appends, connections.max(5), "{connections}");
        }
        assert_eq!(Sizes::of(20), Sizes { tail: 2, loads: 5, reads: 5, writes: 5, appends: 3 });
    }
}
