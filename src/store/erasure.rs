//! What time does to people: registrations that nobody decided, and what is erased of whom.
//!
//! Each query has an index of its own and a limit; its conditions stand in the text as the index has them, so that both
//! databases see that it serves.

use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, Value};

use super::Store;
use super::entity::{codes, entries, holds, memberships, users};
use super::error::Result;
use super::rows::{Rows, statement};
use crate::domain::account::User;
use crate::domain::ids::{OrganizationId, RealmId, UserId};
use crate::domain::time::Timestamp;

const UNDECIDED_USERS: &str = "
SELECT id AS user_id FROM users
WHERE realm_id = $1 AND approval = 'Pending' AND deleted_at IS NULL AND created_at <= $2
ORDER BY created_at LIMIT $3";

/// Of accounts that were decided: a later membership waits by itself.
const UNDECIDED_MEMBERSHIPS: &str = "
SELECT m.user_id, m.organization_id FROM memberships m JOIN users u ON u.id = m.user_id
WHERE m.realm_id = $1 AND m.state = 'Pending' AND m.created_at <= $2
AND u.approval <> 'Pending' AND u.deleted_at IS NULL
ORDER BY m.created_at LIMIT $3";

const UNERASED_USERS: &str = "
SELECT id AS user_id FROM users
WHERE realm_id = $1 AND deleted_at IS NOT NULL AND email <> '' AND deleted_at <= $2
ORDER BY deleted_at LIMIT $3";

const FORGET_LETTERS: &str = "
DELETE FROM outbox WHERE id IN
(SELECT id FROM outbox WHERE realm_id = $1 AND delivered_at IS NOT NULL AND delivered_at <= $2
ORDER BY delivered_at LIMIT $3)";

impl<C: ConnectionTrait> Rows<'_, C> {
    /// Accounts that registered until then and wait for a decision, the oldest first.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn undecided_users(&self, until: Timestamp, limit: u64) -> Result<Vec<UserId>> {
        self.found(UNDECIDED_USERS, until, limit).await
    }

    /// Later memberships that were asked for until then and wait for a decision, the oldest first.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn undecided_memberships(&self, until: Timestamp, limit: u64) -> Result<Vec<(UserId, OrganizationId)>> {
        let asked = statement(self.conn, UNDECIDED_MEMBERSHIPS, self.values(until, limit));
        let rows = self.conn.query_all_raw(asked).await?;
        rows.iter()
            .map(|row| Ok((UserId(row.try_get("", "user_id")?), OrganizationId(row.try_get("", "organization_id")?))))
            .collect()
    }

    /// Accounts that were deleted until then and are not erased, the oldest deletion first.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn unerased_users(&self, until: Timestamp, limit: u64) -> Result<Vec<UserId>> {
        self.found(UNERASED_USERS, until, limit).await
    }

    /// Writes an account whose personal data is gone, and takes what hangs on it: password, holds, memberships, entries,
    /// the addresses of its codes, and its place above others.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn erase_user(&self, erased: &User) -> Result<()> {
        let id = erased.id.0;
        self.update_user(erased).await?;
        users::Entity::update_many()
            .col_expr(users::Column::PasswordHash, Expr::value(None::<String>))
            .col_expr(users::Column::PasswordSetAt, Expr::value(None::<i64>))
            .filter(users::Column::RealmId.eq(self.realm.0).and(users::Column::Id.eq(id)))
            .exec(self.conn)
            .await?;
        users::Entity::update_many()
            .col_expr(users::Column::ManagerId, Expr::value(None::<uuid::Uuid>))
            .filter(users::Column::RealmId.eq(self.realm.0).and(users::Column::ManagerId.eq(id)))
            .exec(self.conn)
            .await?;
        codes::Entity::update_many()
            .col_expr(codes::Column::Address, Expr::value(String::new()))
            .filter(codes::Column::RealmId.eq(self.realm.0).and(codes::Column::UserId.eq(id)))
            .exec(self.conn)
            .await?;
        let mine = holds::Column::RealmId.eq(self.realm.0).and(holds::Column::UserId.eq(id));
        holds::Entity::delete_many().filter(mine).exec(self.conn).await?;
        let mine = memberships::Column::RealmId.eq(self.realm.0).and(memberships::Column::UserId.eq(id));
        memberships::Entity::delete_many().filter(mine).exec(self.conn).await?;
        let mine = entries::Column::RealmId.eq(self.realm.0).and(entries::Column::PrincipalId.eq(id));
        entries::Entity::delete_many().filter(mine).exec(self.conn).await?;
        Ok(())
    }

    async fn found(&self, sql: &str, until: Timestamp, limit: u64) -> Result<Vec<UserId>> {
        let rows = self.conn.query_all_raw(statement(self.conn, sql, self.values(until, limit))).await?;
        rows.iter().map(|row| Ok(UserId(row.try_get("", "user_id")?))).collect()
    }

    fn values(&self, until: Timestamp, limit: u64) -> [Value; 3] {
        [self.realm.0.into(), until.0.into(), i64::try_from(limit).unwrap_or(i64::MAX).into()]
    }
}

impl Store {
    /// Drops mails of a realm that were delivered until then; answers how many. They name people.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn forget_letters(&self, realm: RealmId, until: Timestamp, limit: u64) -> Result<u64> {
        let values: [Value; 3] = [realm.0.into(), until.0.into(), i64::try_from(limit).unwrap_or(i64::MAX).into()];
        Ok(self.write.execute_raw(statement(&self.write, FORGET_LETTERS, values)).await?.rows_affected())
    }
}
