//! What a registration leaves beside the account and its membership: the codes given, and the organization that it made.

use std::collections::BTreeMap;

use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect};

use super::entity::{memberships, organizations, users};
use super::error::Result;
use super::rows::{Rows, document, is_postgres, read};
use crate::domain::ids::{OrganizationId, UserId};

/// Codes as a newcomer gave them: scheme to value.
pub type GivenCodes = BTreeMap<String, String>;

impl<C: ConnectionTrait> Rows<'_, C> {
    /// Keeps the codes that a membership was registered with.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn keep_codes(&self, user: UserId, organization: OrganizationId, codes: &GivenCodes) -> Result<()> {
        memberships::Entity::update_many()
            .col_expr(memberships::Column::Codes, Some(document(codes)?).into())
            .filter(memberships::Column::RealmId.eq(self.realm.0))
            .filter(memberships::Column::UserId.eq(user.0))
            .filter(memberships::Column::OrganizationId.eq(organization.0))
            .exec(self.conn)
            .await?;
        Ok(())
    }

    /// The codes that these users' memberships were registered with; those that somebody added have none.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn codes_of(&self, users: &[UserId]) -> Result<BTreeMap<(UserId, OrganizationId), GivenCodes>> {
        use memberships::Column as Of;
        let rows: Vec<(uuid::Uuid, uuid::Uuid, Option<String>)> = memberships::Entity::find()
            .select_only()
            .columns([Of::UserId, Of::OrganizationId, Of::Codes])
            .filter(Of::RealmId.eq(self.realm.0))
            .filter(Of::UserId.is_in(users.iter().map(|id| id.0)))
            .filter(memberships::Column::Codes.is_not_null())
            .into_tuple()
            .all(self.conn)
            .await?;
        let given = |(user, organization, codes): (uuid::Uuid, uuid::Uuid, Option<String>)| {
            Ok(((UserId(user), OrganizationId(organization)), read(&codes.unwrap_or_default(), "codes")?))
        };
        rows.into_iter().map(given).collect()
    }

    /// Notes whose registration made an organization.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn note_registrant(&self, organization: OrganizationId, user: UserId) -> Result<()> {
        organizations::Entity::update_many()
            .col_expr(organizations::Column::RegisteredBy, Some(user.0).into())
            .filter(organizations::Column::RealmId.eq(self.realm.0))
            .filter(organizations::Column::Id.eq(organization.0))
            .exec(self.conn)
            .await?;
        Ok(())
    }

    /// Whether a registration made the organization.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn is_by_registration(&self, organization: OrganizationId) -> Result<bool> {
        let found = organizations::Entity::find()
            .filter(organizations::Column::RealmId.eq(self.realm.0))
            .filter(organizations::Column::Id.eq(organization.0))
            .filter(organizations::Column::RegisteredBy.is_not_null())
            .one(self.conn)
            .await?;
        Ok(found.is_some())
    }

    /// Whether an organization has an active member beside this user.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn has_other_members(&self, organization: OrganizationId, user: UserId) -> Result<bool> {
        let other = memberships::Entity::find()
            .filter(memberships::Column::RealmId.eq(self.realm.0))
            .filter(memberships::Column::OrganizationId.eq(organization.0))
            .filter(memberships::Column::State.eq("Active"))
            .filter(memberships::Column::UserId.ne(user.0))
            .one(self.conn)
            .await?;
        Ok(other.is_some())
    }

    /// Has whoever else locks or writes this account wait for the end of this transaction. For changes that do not hold
    /// the realm; on SQLite there is one writer anyway.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn lock_user(&self, user: UserId) -> Result<()> {
        if is_postgres(self.conn) {
            let mine = users::Entity::find_by_id(user.0).filter(users::Column::RealmId.eq(self.realm.0));
            mine.lock_exclusive().one(self.conn).await?;
        }
        Ok(())
    }
}
