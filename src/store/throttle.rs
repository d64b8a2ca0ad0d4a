//! Tallies of failed attempts at accounts: one row for the account, and one for each place that is known to be the
//! person's. Both are named by digests, so that the record holds no address of a stranger and of nobody.

use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter};

use super::Store;
use super::entity::throttles;
use super::error::{Result, corrupt};
use super::rows::{Rows, statement};
use crate::domain::throttle::{Tally, Throttle};
use crate::domain::time::Timestamp;

/// Whose attempts are counted, and where they come from: digests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ThrottleKey {
    pub account: [u8; 32],
    pub source: [u8; 32],
}

/// In the place of a source: the row of the account itself.
const ACCOUNT: &[u8] = &[];

impl<C: ConnectionTrait> Rows<'_, C> {
    /// What is known of an account and a place.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn throttle(&self, key: &ThrottleKey) -> Result<Throttle> {
        let rows = throttles::Entity::find().filter(self.attempts_at(key)).all(self.conn).await?;
        let mut throttle = Throttle::default();
        for row in rows {
            let (of_account, tally) = (row.source == ACCOUNT, tally(&row)?);
            if of_account { throttle.account = tally } else { throttle.own = Some(tally) }
        }
        Ok(throttle)
    }

    /// As [`Rows::throttle`], with whoever else counts attempts at the account waiting for the end of this transaction.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn lock_throttle(&self, key: &ThrottleKey, now: Timestamp) -> Result<Throttle> {
        // One statement that makes the row or takes it, on both databases.
        let sql = "INSERT INTO throttles (realm_id, account, source, failures, next_attempt_at, touched_at) \
                   VALUES ($1, $2, $3, 0, 0, $4) \
                   ON CONFLICT (realm_id, account, source) DO UPDATE SET touched_at = $4";
        let values = [self.realm.0.into(), key.account.to_vec().into(), ACCOUNT.to_vec().into(), now.0.into()];
        self.conn.execute_raw(statement(self.conn, sql, values)).await?;
        self.throttle(key).await
    }

    /// Writes the tallies of an account and a place.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn save_throttle(&self, key: &ThrottleKey, throttle: &Throttle, now: Timestamp) -> Result<()> {
        let row = |source: &[u8], tally: &Tally| throttles::ActiveModel {
            realm_id: Set(self.realm.0),
            account: Set(key.account.to_vec()),
            source: Set(source.to_vec()),
            failures: Set(i32::try_from(tally.failures).unwrap_or(i32::MAX)),
            next_attempt_at: Set(tally.next_attempt_at.0),
            touched_at: Set(now.0),
            under_way: Set(i32::try_from(tally.under_way).unwrap_or(i32::MAX)),
            under_way_until: Set(tally.under_way_until.0),
        };
        let rows = std::iter::once(row(ACCOUNT, &throttle.account))
            .chain(throttle.own.as_ref().map(|own| row(key.source.as_slice(), own)));
        let key = [throttles::Column::RealmId, throttles::Column::Account, throttles::Column::Source];
        use throttles::Column::{Failures, NextAttemptAt, TouchedAt, UnderWay, UnderWayUntil};
        let written = [Failures, NextAttemptAt, TouchedAt, UnderWay, UnderWayUntil];
        throttles::Entity::insert_many(rows)
            .on_conflict(OnConflict::columns(key).update_columns(written).to_owned())
            .exec_without_returning(self.conn)
            .await?;
        Ok(())
    }

    /// Forgets what failed at an account, but not which places are known to be the person's.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn clear_throttle(&self, account: &[u8; 32]) -> Result<()> {
        throttles::Entity::update_many()
            .col_expr(throttles::Column::Failures, 0.into())
            .col_expr(throttles::Column::NextAttemptAt, 0_i64.into())
            .filter(throttles::Column::RealmId.eq(self.realm.0))
            .filter(throttles::Column::Account.eq(account.to_vec()))
            .exec(self.conn)
            .await?;
        Ok(())
    }

    /// Forgets everything about attempts at an account.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn forget_throttle(&self, account: &[u8; 32]) -> Result<()> {
        throttles::Entity::delete_many()
            .filter(throttles::Column::RealmId.eq(self.realm.0))
            .filter(throttles::Column::Account.eq(account.to_vec()))
            .exec(self.conn)
            .await?;
        Ok(())
    }

    fn attempts_at(&self, key: &ThrottleKey) -> Expr {
        let sources = [ACCOUNT.to_vec(), key.source.to_vec()];
        throttles::Column::RealmId
            .eq(self.realm.0)
            .and(throttles::Column::Account.eq(key.account.to_vec()))
            .and(throttles::Column::Source.is_in(sources))
    }
}

impl Store {
    /// Forgets the tallies that nothing was added to since `until`.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn forget_throttles(&self, until: Timestamp) -> Result<u64> {
        let old = throttles::Entity::delete_many().filter(throttles::Column::TouchedAt.lt(until.0));
        Ok(old.exec(&self.write).await?.rows_affected)
    }
}

fn tally(row: &throttles::Model) -> Result<Tally> {
    let number = |count: i32| u32::try_from(count).map_err(|_| corrupt("tally"));
    Ok(Tally {
        failures: number(row.failures)?,
        next_attempt_at: Timestamp(row.next_attempt_at),
        under_way: number(row.under_way)?,
        under_way_until: Timestamp(row.under_way_until),
    })
}
