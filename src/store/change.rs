//! The change log, read in commit order.

use sea_orm::{ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder};

use super::Store;
use super::entity::{changes, realms};
use super::error::{Result, corrupt};
use super::rows::Rows;
use crate::domain::change::{Key, Line};
use crate::domain::ids::{Mark, RealmId, Revision};
use crate::domain::realm::Position;
use crate::domain::time::Timestamp;

impl Store {
    /// Reads the log from each realm's revision on, that one included, in the order of realm and revision; one query for
    /// all of them.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn tail(&self, from: &[(RealmId, Revision)]) -> Result<Vec<Line>> {
        if from.is_empty() {
            return Ok(vec![]);
        }
        let wanted = from.iter().fold(Condition::any(), |any, (realm, revision)| {
            let of_realm = Condition::all().add(changes::Column::RealmId.eq(realm.0));
            any.add(of_realm.add(changes::Column::Revision.gte(revision.0)))
        });
        let rows = changes::Entity::find()
            .filter(wanted)
            .order_by_asc(changes::Column::RealmId)
            .order_by_asc(changes::Column::Revision)
            .all(&self.tail)
            .await?;
        rows.into_iter().map(line).collect()
    }

    /// Drops the log's lines from before `until`; a realm's newest line stays.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn prune_log(&self, until: Timestamp) -> Result<u64> {
        let mut pruned = 0;
        for realm in realms::Entity::find().all(&self.read).await? {
            let done = changes::Entity::delete_many()
                .filter(changes::Column::RealmId.eq(realm.id))
                .filter(changes::Column::Revision.lt(realm.revision))
                .filter(changes::Column::At.lt(until.0))
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
            .filter(changes::Column::RealmId.eq(self.realm.0))
            .filter(changes::Column::Revision.gte(from.0))
            .filter(changes::Column::Revision.lt(from.0.saturating_add(revisions)))
            .order_by_asc(changes::Column::Revision)
            .all(self.conn)
            .await?;
        rows.into_iter().map(line).collect()
    }
}

fn line(row: changes::Model) -> Result<Line> {
    Ok(Line {
        realm: RealmId(row.realm_id),
        position: Position { revision: Revision(row.revision), mark: Mark(row.mark) },
        key: Key::parse(&row.key).ok_or_else(|| corrupt("key of the change log"))?,
    })
}
