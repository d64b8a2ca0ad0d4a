//! One change: its rows, and everything that the events which it records imply, in one transaction.

use std::time::Instant;

use metrics::Histogram;
use sea_orm::{
    ActiveValue::Set, DatabaseTransaction, EntityTrait, SqliteTransactionMode, TransactionOptions, TransactionTrait,
};

use super::entity::{changes, realms};
use super::error::{Result, corrupt};
use super::rows::{Rows, is_postgres, statement};
use super::{Error, Store};
use crate::domain::change::{Committed, Key};
use crate::domain::ids::{Mark, RealmId, Revision};
use crate::domain::realm::{Position, Realm};
use crate::domain::time::Timestamp;
use sea_orm::{ColumnTrait, ConnectionTrait, QueryFilter};

/// Lines of the change log that one statement writes: a statement of SQLite takes 32,766 values.
const LINES_AT_ONCE: usize = 1_000;

/// Whether a transaction waits for its turn among those that change decisions in the realm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lock {
    /// It can change a decision: the realm's row is locked first, so that such changes are serial in the order of
    /// their revisions.
    Realm,
    /// It can't: registering, signing in, audit lines of refusals.
    Nothing,
}

/// A running transaction in one realm.
#[derive(Debug)]
pub struct Tx {
    inner: DatabaseTransaction,
    realm: RealmId,
    position: Position,
    catalogue_revision: Revision,
    /// Dropped once the transaction has ended.
    locked: Option<Locked>,
}

/// Measures for how long a realm's row is held.
#[derive(Debug)]
struct Locked {
    since: Instant,
    held: Histogram,
}

impl Locked {
    #[expect(clippy::disallowed_methods, reason = "a measurement, and no rule")]
    fn now(held: &Histogram) -> Self {
        Self { since: Instant::now(), held: held.clone() }
    }
}

impl Drop for Locked {
    #[expect(clippy::disallowed_methods, reason = "a measurement, and no rule")]
    fn drop(&mut self) {
        self.held.record(self.since.elapsed());
    }
}

impl Store {
    /// Begins a change in a realm.
    ///
    /// # Errors
    /// [`Error::Unavailable`]; [`Error::Corrupt`] if the realm is not there.
    pub async fn begin(&self, realm: RealmId, lock: Lock) -> Result<Tx> {
        let inner = self.transaction().await?;
        let clause = if lock == Lock::Realm && is_postgres(&inner) { " FOR NO KEY UPDATE" } else { "" };
        let sql = format!("SELECT revision, mark, catalogue_revision FROM realms WHERE id = $1{clause}");
        let row =
            inner.query_one_raw(statement(&inner, sql, [realm.0.into()])).await?.ok_or_else(|| corrupt("realm"))?;
        let position =
            Position { revision: Revision(row.try_get("", "revision")?), mark: Mark(row.try_get("", "mark")?) };
        let catalogue_revision = Revision(row.try_get("", "catalogue_revision")?);
        let locked = (lock == Lock::Realm).then(|| Locked::now(&self.locked));
        Ok(Tx { inner, realm, position, catalogue_revision, locked })
    }

    /// Begins a change in a realm that this very change makes.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub(in crate::store) async fn begin_new(&self, realm: &Realm) -> Result<Tx> {
        let Realm { id, position, catalogue_revision, .. } = realm;
        let inner = self.transaction().await?;
        let locked = Some(Locked::now(&self.locked));
        Ok(Tx { inner, realm: *id, position: *position, catalogue_revision: *catalogue_revision, locked })
    }

    /// The only place that begins a transaction.
    pub(in crate::store) async fn transaction(&self) -> Result<DatabaseTransaction> {
        let options = TransactionOptions {
            sqlite_transaction_mode: (!self.is_shared()).then_some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        #[expect(clippy::disallowed_methods, reason = "the one place that begins a transaction")]
        Ok(self.write.begin_with_options(options).await?)
    }
}

impl Tx {
    /// The realm's rows, as this transaction sees them.
    #[must_use]
    pub fn rows(&self) -> Rows<'_, DatabaseTransaction> {
        Rows { conn: &self.inner, realm: self.realm }
    }

    /// The rows of a realm that this very transaction makes.
    #[must_use]
    pub fn rows_of(&self, realm: RealmId) -> Rows<'_, DatabaseTransaction> {
        Rows { conn: &self.inner, realm }
    }

    /// The position that the change is made on. It stands still only if the realm is locked.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }

    /// The revision at which the catalogue changed last.
    #[must_use]
    pub fn catalogue_revision(&self) -> Revision {
        self.catalogue_revision
    }

    /// Moves the realm by one revision, logs what went stale, and commits.
    ///
    /// # Errors
    /// [`Error::Unavailable`] may mean that the change was made all the same: the caller has to look.
    pub async fn commit(self, mut keys: Vec<Key>, mark: Mark, now: Timestamp) -> Result<Committed> {
        keys.sort_unstable();
        keys.dedup();
        let before = self.position;
        let mut position = before;
        if !keys.is_empty() {
            // INVARIANT: only a transaction that holds the realm's row moves its revision.
            if self.locked.is_none() {
                return Err(Error::Corrupt("a change of decisions without the realm's lock".into()));
            }
            position = Position { revision: Revision(before.revision.0 + 1), mark };
            self.log(&keys, position, now).await?;
        }
        self.inner.commit().await?;
        Ok(Committed { realm: self.realm, position, before, keys })
    }

    /// Takes everything back.
    pub async fn rollback(self) {
        if let Err(error) = self.inner.rollback().await {
            tracing::debug!(%error, "rolling back failed; the connection is dropped");
        }
    }

    async fn log(&self, keys: &[Key], position: Position, now: Timestamp) -> Result<()> {
        let mut realm = realms::Entity::update_many()
            .col_expr(realms::Column::Revision, position.revision.0.into())
            .col_expr(realms::Column::Mark, position.mark.0.into())
            .filter(realms::Column::Id.eq(self.realm.0));
        if keys.contains(&Key::Catalogue) {
            realm = realm.col_expr(realms::Column::CatalogueRevision, position.revision.0.into());
        }
        realm.exec(&self.inner).await?;
        let line = |key: &Key| changes::ActiveModel {
            realm_id: Set(self.realm.0),
            revision: Set(position.revision.0),
            key: Set(key.to_string()),
            mark: Set(position.mark.0),
            at: Set(now.0),
        };
        for some in keys.chunks(LINES_AT_ONCE) {
            changes::Entity::insert_many(some.iter().map(line)).exec_without_returning(&self.inner).await?;
        }
        Ok(())
    }
}
