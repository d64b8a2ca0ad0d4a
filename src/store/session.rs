//! Sessions, what a sign-in writes beside them, and the single-use codes in mails.

use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, EntityTrait, PaginatorTrait,
    QueryFilter, QueryOrder, QuerySelect, Select,
};

use super::Store;
use super::entity::{codes, sessions, users};
use super::error::{Result, corrupt};
use super::rows::Rows;
use crate::domain::ids::{CodeId, SessionId, UserId};
use crate::domain::session::Session;
use crate::domain::time::Timestamp;

/// What is known of a code; the code itself is derived from the root key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CodeRow {
    pub id: CodeId,
    pub user: UserId,
    pub purpose: String,
    /// The address that it was mailed to, as typed.
    pub address: String,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    /// When it was used, or voided by a newer one.
    pub spent_at: Option<Timestamp>,
}

/// Which sessions are alive: those of this user and epoch that end after `now`, and were not ended.
#[derive(Clone, Copy, Debug)]
pub struct LiveSessions {
    pub user: UserId,
    pub epoch: i64,
    pub now: Timestamp,
}

impl Store {
    /// Forgets the sessions that ran out before `until`.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn forget_sessions(&self, until: Timestamp) -> Result<u64> {
        let done =
            sessions::Entity::delete_many().filter(sessions::Column::ExpiresAt.lt(until.0)).exec(&self.write).await?;
        Ok(done.rows_affected)
    }
}

impl<C: ConnectionTrait> Rows<'_, C> {
    /// Keeps a new session.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn insert_session(&self, session: &Session) -> Result<()> {
        let row = sessions::ActiveModel {
            id: Set(session.id.0),
            realm_id: Set(self.realm.0),
            user_id: Set(session.user.0),
            client_id: Set(session.client.clone()),
            epoch: Set(session.epoch),
            created_at: Set(session.created_at.0),
            expires_at: Set(session.expires_at.0),
            ended_at: Set(session.ended_at.map(|at| at.0)),
            generation: Set(session.generation),
            rotated_at: Set(session.rotated_at.map(|at| at.0)),
            token_hash: Set(session.token_hash.map(|hash| hash.to_vec())),
        };
        row.insert(self.conn).await?;
        Ok(())
    }

    /// The session of that id, be it over or not.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn session(&self, id: SessionId) -> Result<Option<Session>> {
        let row = sessions::Entity::find_by_id(id.0)
            .filter(sessions::Column::RealmId.eq(self.realm.0))
            .one(self.conn)
            .await?;
        row.map(session).transpose()
    }

    /// A page of a user's live sessions, the newest first, those before `before` alone.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn list_sessions(
        &self,
        live: LiveSessions,
        before: Option<SessionId>,
        limit: u64,
    ) -> Result<Vec<Session>> {
        let mut query = self.live(live);
        if let Some(before) = before {
            query = query.filter(sessions::Column::Id.lt(before.0));
        }
        let rows = query.order_by_desc(sessions::Column::Id).limit(limit).all(self.conn).await?;
        rows.into_iter().map(session).collect()
    }

    /// How many live sessions a user has.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn count_sessions(&self, live: LiveSessions) -> Result<u64> {
        Ok(self.live(live).count(self.conn).await?)
    }

    /// Makes a session's next generation. False if somebody was first, or ended it.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn rotate_session(&self, next: &Session) -> Result<bool> {
        let done = sessions::Entity::update_many()
            .col_expr(sessions::Column::Generation, next.generation.into())
            .col_expr(sessions::Column::RotatedAt, next.rotated_at.map(|at| at.0).into())
            .col_expr(sessions::Column::TokenHash, next.token_hash.map(|hash| hash.to_vec()).into())
            .filter(sessions::Column::RealmId.eq(self.realm.0))
            .filter(sessions::Column::Id.eq(next.id.0))
            .filter(sessions::Column::Generation.eq(next.generation - 1))
            .filter(sessions::Column::EndedAt.is_null())
            .exec(self.conn)
            .await?;
        Ok(done.rows_affected == 1)
    }

    /// Ends a session. False if it was ended before.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn end_session(&self, id: SessionId, now: Timestamp) -> Result<bool> {
        let done = sessions::Entity::update_many()
            .col_expr(sessions::Column::EndedAt, Some(now.0).into())
            .filter(sessions::Column::RealmId.eq(self.realm.0))
            .filter(sessions::Column::Id.eq(id.0))
            .filter(sessions::Column::EndedAt.is_null())
            .exec(self.conn)
            .await?;
        Ok(done.rows_affected == 1)
    }

    /// Ends a user's live sessions but one. Answers how many.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn end_sessions_but(&self, kept: SessionId, live: LiveSessions) -> Result<u64> {
        let done = sessions::Entity::update_many()
            .col_expr(sessions::Column::EndedAt, Some(live.now.0).into())
            .filter(sessions::Column::RealmId.eq(self.realm.0))
            .filter(live.condition())
            .filter(sessions::Column::Id.ne(kept.0))
            .exec(self.conn)
            .await?;
        Ok(done.rows_affected)
    }

    fn live(&self, live: LiveSessions) -> Select<sessions::Entity> {
        sessions::Entity::find().filter(sessions::Column::RealmId.eq(self.realm.0)).filter(live.condition())
    }

    /// Sets the password's hash.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn set_password(&self, user: UserId, hash: &str, now: Timestamp) -> Result<()> {
        users::Entity::update_many()
            .col_expr(users::Column::PasswordHash, Some(hash.to_owned()).into())
            .col_expr(users::Column::PasswordSetAt, Some(now.0).into())
            .filter(users::Column::RealmId.eq(self.realm.0))
            .filter(users::Column::Id.eq(user.0))
            .exec(self.conn)
            .await?;
        Ok(())
    }

    /// Takes an account's password away.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn clear_password(&self, user: UserId) -> Result<()> {
        users::Entity::update_many()
            .col_expr(users::Column::PasswordHash, None::<String>.into())
            .col_expr(users::Column::PasswordSetAt, None::<i64>.into())
            .filter(users::Column::RealmId.eq(self.realm.0))
            .filter(users::Column::Id.eq(user.0))
            .exec(self.conn)
            .await?;
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

    /// Counts the codes of a purpose that were made for an account since an instant, whatever became of them.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn codes_made(&self, user: UserId, purpose: &str, since: Timestamp) -> Result<u64> {
        let made = codes::Entity::find()
            .filter(codes::Column::RealmId.eq(self.realm.0))
            .filter(codes::Column::UserId.eq(user.0))
            .filter(codes::Column::Purpose.eq(purpose))
            .filter(codes::Column::CreatedAt.gt(since.0));
        Ok(made.count(self.conn).await?)
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

    /// Voids an account's unused codes of every purpose.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn void_all_codes(&self, user: UserId, now: Timestamp) -> Result<()> {
        codes::Entity::update_many()
            .col_expr(codes::Column::SpentAt, Some(now.0).into())
            .filter(codes::Column::RealmId.eq(self.realm.0))
            .filter(codes::Column::UserId.eq(user.0))
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

impl LiveSessions {
    fn condition(self) -> Condition {
        Condition::all()
            .add(sessions::Column::UserId.eq(self.user.0))
            .add(sessions::Column::EndedAt.is_null())
            .add(sessions::Column::Epoch.eq(self.epoch))
            .add(sessions::Column::ExpiresAt.gt(self.now.0))
    }
}

fn session(row: sessions::Model) -> Result<Session> {
    let sessions::Model {
        id,
        realm_id: _,
        user_id,
        client_id,
        epoch,
        created_at,
        expires_at,
        ended_at,
        generation,
        rotated_at,
        token_hash,
    } = row;
    let token_hash = token_hash.map(|hash| hash.try_into().map_err(|_| corrupt("hash of a refresh token")));
    Ok(Session {
        id: SessionId(id),
        user: UserId(user_id),
        client: client_id,
        epoch,
        created_at: Timestamp(created_at),
        expires_at: Timestamp(expires_at),
        ended_at: ended_at.map(Timestamp),
        generation,
        rotated_at: rotated_at.map(Timestamp),
        token_hash: token_hash.transpose()?,
    })
}
