//! One change: its rows, and everything that the events which it records imply, in one transaction.
//!
//! INVARIANT: rows are locked in one order, so that no two changes wait for each other: the realm's, a user's, that user's
//! tallies of failed sign-ins (the account's, then the place's), everything else.

use std::time::{Duration, Instant};

use metrics::Histogram;
use sea_orm::{ActiveValue::Set, ConnAcquireErr, DatabaseTransaction, DbErr, EntityTrait};

use super::entity::{changes, realms};
use super::error::{Result, corrupt};
use super::lanes::Lane;
use super::primary::CLOSED;
use super::rows::{Rows, is_postgres, statement};
use super::turns::Turn;
use super::{Error, Store};
use crate::domain::change::{Committed, Key};
use crate::domain::ids::{Mark, RealmId, Revision};
use crate::domain::realm::{Position, Realm};
use crate::domain::time::Timestamp;
use sea_orm::{ColumnTrait, ConnectionTrait, QueryFilter};

/// Lines of the change log that one statement writes: a statement of SQLite takes 32,766 values.
const LINES_AT_ONCE: usize = 1_000;
/// How long a commit may take before nobody waits for its outcome any more, which is unknown then.
const COMMIT_TIME: Duration = Duration::from_secs(5);

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
    /// Ends with the transaction.
    _turn: Option<Turn>,
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
    /// Begins a change in a realm, once it is its turn there.
    ///
    /// # Errors
    /// [`Error::Busy`] if it was not within a few seconds; [`Error::Unavailable`], also if the realm's row was not to be
    /// had in that time; [`Error::Corrupt`] if the realm is not there.
    pub async fn begin(&self, realm: RealmId, lock: Lock) -> Result<Tx> {
        match lock {
            Lock::Realm => self.begin_on(&self.write, self.writing.next(realm).await?, realm, lock).await,
            Lock::Nothing => self.begin_on(&self.append, self.appending.next(realm).await?, realm, lock).await,
        }
    }

    async fn begin_on<K>(&self, lane: &Lane<K>, turn: Turn, realm: RealmId, lock: Lock) -> Result<Tx> {
        let inner = lane.begin().await?;
        let (closed, clause) = match (is_postgres(&inner), lock) {
            (true, Lock::Realm) => (CLOSED, " FOR NO KEY UPDATE"),
            (true, Lock::Nothing) => (CLOSED, ""),
            (false, _) => ("FALSE", ""),
        };
        let sql =
            format!("SELECT revision, mark, catalogue_revision, {closed} AS closed FROM realms WHERE id = $1{clause}");
        let asked = lane.bounded(inner.query_one_raw(statement(&inner, sql, [realm.0.into()])));
        let row = asked.await?.ok_or_else(|| corrupt("realm"))?;
        if row.try_get("", "closed")? {
            return Err(lane.is_closed());
        }
        let position =
            Position { revision: Revision(row.try_get("", "revision")?), mark: Mark(row.try_get("", "mark")?) };
        let catalogue_revision = Revision(row.try_get("", "catalogue_revision")?);
        let locked = (lock == Lock::Realm).then(|| Locked::now(&self.locked));
        Ok(Tx { inner, realm, position, catalogue_revision, locked, _turn: Some(turn) })
    }

    /// Begins a change in a realm that this very change makes.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub(in crate::store) async fn begin_new(&self, realm: &Realm) -> Result<Tx> {
        let Realm { id, position, catalogue_revision, .. } = realm;
        let inner = self.write.begin().await?;
        let (position, catalogue_revision) = (*position, *catalogue_revision);
        let locked = Some(Locked::now(&self.locked));
        Ok(Tx { inner, realm: *id, position, catalogue_revision, locked, _turn: None })
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
        let late = || DbErr::ConnectionAcquire(ConnAcquireErr::Timeout);
        tokio::time::timeout(COMMIT_TIME, self.inner.commit()).await.unwrap_or_else(|_| Err(late()))?;
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
