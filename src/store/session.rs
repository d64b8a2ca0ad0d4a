//! Sessions, what a sign-in writes beside them, and the single-use codes in mails.

use sea_orm::{ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter};

use super::entity::{codes, sessions, users};
use super::error::Result;
use super::rows::Rows;
use crate::domain::ids::{CodeId, SessionId, UserId};
use crate::domain::time::Timestamp;

/// One sign-in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionRow {
    pub id: SessionId,
    pub user: UserId,
    /// The service account that called SignIn, or `public`.
    pub client: String,
    /// The account's epoch at sign-in; a later one ends the session.
    pub epoch: i64,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

/// What is known of a code; the code itself is derived from the root key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CodeRow {
    pub id: CodeId,
    pub user: UserId,
    pub purpose: String,
    /// The address that it was mailed to, as an identity.
    pub address: String,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    /// When it was used, or voided by a newer one.
    pub spent_at: Option<Timestamp>,
}

impl<C: ConnectionTrait> Rows<'_, C> {
    /// Keeps a new session.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn insert_session(&self, session: &SessionRow) -> Result<()> {
        let row = sessions::ActiveModel {
            id: Set(session.id.0),
            realm_id: Set(self.realm.0),
            user_id: Set(session.user.0),
            client_id: Set(session.client.clone()),
            epoch: Set(session.epoch),
            created_at: Set(session.created_at.0),
            expires_at: Set(session.expires_at.0),
            ended_at: Set(None),
        };
        row.insert(self.conn).await?;
        Ok(())
    }

    /// Replaces a password's hash by a stronger one of the same password, unless it changed meanwhile.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn strengthen_password(&self, user: UserId, from: &str, to: &str) -> Result<()> {
        users::Entity::update_many()
            .col_expr(users::Column::PasswordHash, Some(to.to_owned()).into())
            .filter(users::Column::RealmId.eq(self.realm.0))
            .filter(users::Column::Id.eq(user.0))
            .filter(users::Column::PasswordHash.eq(from))
            .exec(self.conn)
            .await?;
        Ok(())
    }

    /// Keeps a new code, and voids the account's older ones of the same purpose.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn insert_code(&self, code: &CodeRow) -> Result<()> {
        self.void_codes(code.user, &code.purpose, code.created_at).await?;
        let row = codes::ActiveModel {
            id: Set(code.id.0),
            realm_id: Set(self.realm.0),
            user_id: Set(code.user.0),
            purpose: Set(code.purpose.clone()),
            address: Set(code.address.clone()),
            created_at: Set(code.created_at.0),
            expires_at: Set(code.expires_at.0),
            spent_at: Set(None),
        };
        row.insert(self.conn).await?;
        Ok(())
    }

    /// The code of that id.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn code(&self, id: CodeId) -> Result<Option<CodeRow>> {
        let row =
            codes::Entity::find_by_id(id.0).filter(codes::Column::RealmId.eq(self.realm.0)).one(self.conn).await?;
        Ok(row.map(code))
    }

    /// Uses a code up. False if somebody was first.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn spend_code(&self, id: CodeId, now: Timestamp) -> Result<bool> {
        let done = codes::Entity::update_many()
            .col_expr(codes::Column::SpentAt, Some(now.0).into())
            .filter(codes::Column::RealmId.eq(self.realm.0))
            .filter(codes::Column::Id.eq(id.0))
            .filter(codes::Column::SpentAt.is_null())
            .exec(self.conn)
            .await?;
        Ok(done.rows_affected == 1)
    }

    /// Voids an account's unused codes of a purpose.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn void_codes(&self, user: UserId, purpose: &str, now: Timestamp) -> Result<()> {
        codes::Entity::update_many()
            .col_expr(codes::Column::SpentAt, Some(now.0).into())
            .filter(codes::Column::RealmId.eq(self.realm.0))
            .filter(codes::Column::UserId.eq(user.0))
            .filter(codes::Column::Purpose.eq(purpose))
            .filter(codes::Column::SpentAt.is_null())
            .exec(self.conn)
            .await?;
        Ok(())
    }
}

fn code(row: codes::Model) -> CodeRow {
    let codes::Model { id, realm_id: _, user_id, purpose, address, created_at, expires_at, spent_at } = row;
    CodeRow {
        id: CodeId(id),
        user: UserId(user_id),
        purpose,
        address,
        created_at: Timestamp(created_at),
        expires_at: Timestamp(expires_at),
        spent_at: spent_at.map(Timestamp),
    }
}
