//! The change log, read in commit order.

use sea_orm::{ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::Store;
use super::entity::{changes, realms};
use super::error::Result;
use super::rows::Rows;
use crate::domain::change::{Key, Line};
use crate::domain::ids::{Mark, RealmId, Revision};
use crate::domain::realm::Position;
use crate::domain::time::Timestamp;

impl Store {
    /// Where a realm stands; `None` = there is none.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn position(&self, realm: RealmId) -> Result<Option<Position>> {
        let row: Option<(i64, i64)> = realms::Entity::find_by_id(realm.0)
            .select_only()
            .columns([realms::Column::Revision, realms::Column::Mark])
            .into_tuple()
            .one(&self.loads)
            .await?;
        Ok(row.map(|(revision, mark)| Position { revision: Revision(revision), mark: Mark(mark) }))
    }

    /// Where every realm stands.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn positions(&self) -> Result<Vec<(RealmId, Position)>> {
        let rows: Vec<(uuid::Uuid, i64, i64)> = realms::Entity::find()
            .select_only()
            .columns([realms::Column::Id, realms::Column::Revision, realms::Column::Mark])
            .into_tuple()
            .all(&self.tail)
            .await?;
        let position =
            |(id, revision, mark)| (RealmId(id), Position { revision: Revision(revision), mark: Mark(mark) });
        Ok(rows.into_iter().map(position).collect())
    }

    /// Reads the log of several realms, each from a revision on, that one included, over so many revisions; in the order
    /// of realm and revision. One term of the statement per realm: a caller asks for a hundred at the most.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn log(&self, from: &[(RealmId, Revision)], revisions: i64) -> Result<Vec<Line>> {
        if from.is_empty() {
            return Ok(vec![]);
        }
        let wanted = from.iter().fold(Condition::any(), |any, (realm, from)| any.add(window(*realm, *from, revisions)));
        let rows = changes::Entity::find()
            .filter(wanted)
            .order_by_asc(changes::Column::RealmId)
            .order_by_asc(changes::Column::Revision)
            .all(&self.tail)
            .await?;
        Ok(rows.into_iter().map(line).collect())
    }

    /// Drops the log's lines from before `until`; a realm's newest line stays. Instants are those of the writers' clocks,
    /// which may be apart: what is dropped is the beginning of a realm's log, up to its first line that is young enough,
    /// so that the log never has a hole.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn prune_log(&self, until: Timestamp) -> Result<u64> {
        let mut pruned = 0;
        let all = realms::Entity::find().select_only().columns([realms::Column::Id, realms::Column::Revision]);
        let all: Vec<(uuid::Uuid, i64)> = all.into_tuple().all(&self.read).await?;
        for (realm, newest) in all {
            let young = changes::Entity::find()
                .filter(changes::Column::RealmId.eq(realm))
                .filter(changes::Column::At.gte(until.0))
                .order_by_asc(changes::Column::Revision)
                .one(&self.read)
                .await?;
            let kept = young.map_or(newest, |line| line.revision.min(newest));
            let done = changes::Entity::delete_many()
                .filter(changes::Column::RealmId.eq(realm))
                .filter(changes::Column::Revision.lt(kept))
                .exec(&self.write)
                .await?;
            pruned += done.rows_affected;
        }
        Ok(pruned)
    }
}

impl<C: ConnectionTrait> Rows<'_, C> {
    /// The log from a revision on, that one included, over so many revisions, in their order.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn log(&self, from: Revision, revisions: i64) -> Result<Vec<Line>> {
        let rows = changes::Entity::find()
            .filter(window(self.realm, from, revisions))
            .order_by_asc(changes::Column::Revision)
            .all(self.conn)
            .await?;
        Ok(rows.into_iter().map(line).collect())
    }

    /// Whether the log has this very position: it is of this history, and not older than the log.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn has_position(&self, position: Position) -> Result<bool> {
        let found = changes::Entity::find()
            .filter(window(self.realm, position.revision, 1))
            .filter(changes::Column::Mark.eq(position.mark.0))
            .one(self.conn)
            .await?;
        Ok(found.is_some())
    }
}

fn window(realm: RealmId, from: Revision, revisions: i64) -> Condition {
    Condition::all()
        .add(changes::Column::RealmId.eq(realm.0))
        .add(changes::Column::Revision.gte(from.0))
        .add(changes::Column::Revision.lt(from.0.saturating_add(revisions)))
}

fn line(row: changes::Model) -> Line {
    Line {
        realm: RealmId(row.realm_id),
        position: Position { revision: Revision(row.revision), mark: Mark(row.mark) },
        key: Key::parse(&row.key),
    }
}
