//! A realm's row, held by a session that is nobody's.

use std::time::Duration;

use sea_orm::TransactionTrait as _;
use sea_orm::{ConnectionTrait as _, Database, DatabaseConnection, DatabaseTransaction, DbBackend, Statement};

use super::app::{GLANCE, PATIENCE};

/// A lock on rows of a PostgreSQL database, held until it is let go.
pub(crate) struct RowHeld {
    server: DatabaseConnection,
    transaction: DatabaseTransaction,
}

impl RowHeld {
    /// Holds a realm's row, which every change of the realm waits for.
    pub(crate) async fn of_realm(url: &str, name: &str) -> Self {
        Self::by(url, &format!("SELECT id FROM realms WHERE name = '{name}' FOR NO KEY UPDATE")).await
    }

    /// Holds what a statement locks.
    pub(crate) async fn by(url: &str, sql: &str) -> Self {
        let server = Database::connect(url).await.unwrap();
        #[expect(clippy::disallowed_methods, reason = "whoever holds the row is not the service")]
        let transaction = server.begin().await.unwrap();
        transaction.execute_unprepared(sql).await.unwrap();
        Self { server, transaction }
    }

    /// Waits until somebody waits for a lock in this database.
    pub(crate) async fn awaited(&self) {
        let sql = "SELECT count(*) AS waiting FROM pg_stat_activity \
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let waits = tokio::time::timeout(PATIENCE, async {
            loop {
                let asked = Statement::from_string(DbBackend::Postgres, sql);
                let row = self.server.query_one_raw(asked).await.unwrap().unwrap();
                if row.try_get::<i64>("", "waiting").unwrap() > 0 {
                    return;
                }
                tokio::time::sleep(GLANCE).await;
            }
        });
        assert!(waits.await.is_ok(), "nobody waits for the row");
    }

    /// Does something else in the transaction that holds the rows. Fails rather than wait for somebody.
    pub(crate) async fn also(&self, sql: &str) {
        self.transaction.execute_unprepared(&format!("SET LOCAL lock_timeout = {}", PATIENCE_MS)).await.unwrap();
        self.transaction.execute_unprepared(sql).await.unwrap();
    }

    /// Does something else, for good.
    pub(crate) async fn commit(self, sql: &str) {
        self.also(sql).await;
        self.transaction.commit().await.unwrap();
        self.server.close().await.unwrap();
    }

    /// Lets the rows go.
    pub(crate) async fn let_go(self) {
        self.transaction.rollback().await.unwrap();
        self.server.close().await.unwrap();
    }
}

/// How long [`RowHeld::also`] waits for a row that it must get at once, before it fails: less than a deadlock takes to
/// be noticed.
const PATIENCE_MS: u128 = Duration::from_millis(700).as_millis();
