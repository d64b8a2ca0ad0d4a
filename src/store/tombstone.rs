//! Tombstones, and the sealed key that a realm makes them with.

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder,
    sea_query::{ExprTrait, OnConflict},
};

use super::Store;
use super::entity::{tombstone_keys, tombstones, users};
use super::error::Result;
use super::rows::Rows;
use crate::domain::account::User;
use crate::domain::ids::{RealmId, UserId};
use crate::domain::time::Timestamp;

impl<C: ConnectionTrait> Rows<'_, C> {
    /// The sealed key of the realm's tombstones; `None` while it never had one.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn tombstone_key(&self) -> Result<Option<Vec<u8>>> {
        let row = tombstone_keys::Entity::find_by_id(self.realm.0).one(self.conn).await?;
        Ok(row.map(|row| row.sealed_key))
    }

    /// Keeps the key of the realm's tombstones.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn insert_tombstone_key(&self, sealed: Vec<u8>, now: Timestamp) -> Result<()> {
        let row = tombstone_keys::ActiveModel {
            realm_id: Set(self.realm.0),
            sealed_key: Set(sealed),
            created_at: Set(now.0),
        };
        tombstone_keys::Entity::insert(row).exec_without_returning(self.conn).await?;
        Ok(())
    }

    /// Whose deletion the tombstone is of; `None` if none stands.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn tombstone(&self, digest: &[u8; 32]) -> Result<Option<UserId>> {
        let found = tombstones::Entity::find_by_id((self.realm.0, digest.to_vec())).one(self.conn).await?;
        Ok(found.map(|row| UserId(row.user_id)))
    }

    /// Puts up a tombstone, in the place of an older one of the same identity.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn put_tombstone(&self, digest: &[u8; 32], user: UserId, now: Timestamp) -> Result<()> {
        let row = tombstones::ActiveModel {
            realm_id: Set(self.realm.0),
            digest: Set(digest.to_vec()),
            user_id: Set(user.0),
            created_at: Set(now.0),
        };
        let known = [tombstones::Column::RealmId, tombstones::Column::Digest];
        let written = [tombstones::Column::UserId, tombstones::Column::CreatedAt];
        let replace = OnConflict::columns(known).update_columns(written).to_owned();
        tombstones::Entity::insert(row).on_conflict(replace).exec_without_returning(self.conn).await?;
        Ok(())
    }

    /// Takes a tombstone away.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn remove_tombstone(&self, digest: &[u8; 32]) -> Result<()> {
        tombstones::Entity::delete_many()
            .filter(tombstones::Column::RealmId.eq(self.realm.0))
            .filter(tombstones::Column::Digest.eq(digest.to_vec()))
            .exec(self.conn)
            .await?;
        Ok(())
    }

    /// The account of that identity which was deleted last.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn deleted_user(&self, identity: &str) -> Result<Option<User>> {
        let deleted = users::Column::Identity.eq(identity).and(users::Column::DeletedAt.is_not_null());
        let row = self.users().filter(deleted).order_by_desc(users::Column::DeletedAt).one(self.conn).await?;
        Ok(self.with_holds(row.into_iter().collect()).await?.pop().map(|found| found.user))
    }
}

impl Store {
    /// Replaces the sealed key of a realm's tombstones.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn reseal_tombstone_key(&self, realm: RealmId, sealed: Vec<u8>) -> Result<()> {
        tombstone_keys::Entity::update_many()
            .col_expr(tombstone_keys::Column::SealedKey, sealed.into())
            .filter(tombstone_keys::Column::RealmId.eq(realm.0))
            .exec(&self.write)
            .await?;
        Ok(())
    }
}
