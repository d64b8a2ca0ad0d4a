//! Outgoing mails: written with what they report, delivered afterwards, kept as the log of what was delivered.

use std::collections::BTreeMap;
use std::time::Duration;

use sea_orm::sea_query::{LockBehavior, LockType};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
};

use super::entity::outbox;
use super::error::{Result, corrupt};
use super::message::in_state;
use super::rows::{Rows, document, is_postgres, read};
use super::{CodeRow, Store};
use crate::domain::ids::{CodeId, MessageId, RealmId, UserId};
use crate::domain::message::{Mail, MessageState, Template};
use crate::domain::time::Timestamp;

/// Mails that one statement writes: a statement of SQLite takes 32,766 values.
const MAILS_AT_ONCE: usize = 1_000;

/// A mail that is due.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Due {
    pub id: MessageId,
    pub realm: RealmId,
    pub mail: Mail,
    pub created_at: Timestamp,
    /// How often it was tried before.
    pub attempts: i32,
}

/// What became of an attempt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Letter {
    Delivered,
    /// Try again at that instant.
    Retry(Timestamp, String),
    /// Nobody tries again by itself.
    Dead(String),
}

impl<C: ConnectionTrait> Rows<'_, C> {
    /// Puts mails into the outbox, due at once.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn enqueue(&self, mails: &[(MessageId, Mail)], now: Timestamp) -> Result<()> {
        for some in mails.chunks(MAILS_AT_ONCE) {
            let rows = some.iter().map(|(id, mail)| self.letter(*id, mail, now)).collect::<Result<Vec<_>>>()?;
            outbox::Entity::insert_many(rows).exec_without_returning(self.conn).await?;
        }
        Ok(())
    }

    fn letter(&self, id: MessageId, mail: &Mail, now: Timestamp) -> Result<outbox::ActiveModel> {
        Ok(outbox::ActiveModel {
            id: Set(id.0),
            realm_id: Set(self.realm.0),
            template: Set(mail.template.name().to_owned()),
            recipient: Set(mail.to.clone()),
            user_id: Set(mail.user.map(|user| user.0)),
            code_id: Set(mail.code.map(|code| code.0)),
            parameters: Set(document(&mail.parameters)?),
            created_at: Set(now.0),
            next_attempt_at: Set(Some(now.0)),
            attempts: Set(0),
            delivered_at: Set(None),
            last_error: Set(None),
        })
    }

    /// Counts the mails of a kind that were written to an account since an instant, whatever became of them.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn mails_made(&self, user: UserId, template: Template, since: Timestamp) -> Result<u64> {
        let made = outbox::Entity::find()
            .filter(outbox::Column::RealmId.eq(self.realm.0))
            .filter(outbox::Column::UserId.eq(user.0))
            .filter(outbox::Column::Template.eq(template.name()))
            .filter(outbox::Column::CreatedAt.gt(since.0));
        Ok(made.count(self.conn).await?)
    }
}

impl Store {
    /// Takes due mails for this process alone, for as long as `lease`: whoever dies with one leaves it to the next.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn claim_mails(&self, now: Timestamp, lease: Duration, limit: u64) -> Result<Vec<Due>> {
        let is_due = || outbox::Entity::find().filter(outbox::Column::NextAttemptAt.lte(now.0));
        // Most looks find nothing; those must not wait for their turn to write.
        if is_due().one(&self.read).await?.is_none() {
            return Ok(vec![]);
        }
        let tx = self.append.begin().await?;
        let mut due = is_due().order_by_asc(outbox::Column::NextAttemptAt).limit(limit);
        if is_postgres(&tx) {
            due = due.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked);
        }
        let rows = due.all(&tx).await?;
        if !rows.is_empty() {
            outbox::Entity::update_many()
                .col_expr(outbox::Column::NextAttemptAt, Some(now.after(lease).0).into())
                .filter(outbox::Column::Id.is_in(rows.iter().map(|row| row.id)))
                .exec(&tx)
                .await?;
        }
        tx.commit().await?;
        let mut claimed = Vec::with_capacity(rows.len());
        for row in rows {
            let id = MessageId(row.id);
            match mail(row) {
                Ok(due) => claimed.push(due),
                // One that nobody can read must not keep the others from going out.
                Err(error) => self.settle_mail(id, Letter::Dead(error.to_string()), now).await?,
            }
        }
        Ok(claimed)
    }

    /// Makes due what a process claimed that is gone. For whoever knows that there is no other process: a claim is told
    /// from the pause before another attempt by nothing, so that whatever is due within a `lease` is due now.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn free_mails(&self, now: Timestamp, lease: Duration) -> Result<u64> {
        let freed = outbox::Entity::update_many()
            .col_expr(outbox::Column::NextAttemptAt, Some(now.0).into())
            .filter(outbox::Column::NextAttemptAt.gt(now.0))
            .filter(outbox::Column::NextAttemptAt.lte(now.after(lease).0))
            .exec(&self.append)
            .await?;
        Ok(freed.rows_affected)
    }

    /// Writes down what became of an attempt.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn settle_mail(&self, id: MessageId, letter: Letter, now: Timestamp) -> Result<()> {
        use sea_orm::sea_query::ExprTrait;
        let (next, delivered, error) = match letter {
            Letter::Delivered => (None, Some(now.0), None),
            Letter::Retry(at, error) => (Some(at.0), None, Some(error)),
            Letter::Dead(error) => (None, None, Some(error)),
        };
        outbox::Entity::update_many()
            .col_expr(outbox::Column::NextAttemptAt, next.into())
            .col_expr(outbox::Column::DeliveredAt, delivered.into())
            .col_expr(outbox::Column::LastError, error.into())
            .col_expr(outbox::Column::Attempts, sea_orm::sea_query::Expr::col(outbox::Column::Attempts).add(1))
            .filter(outbox::Column::Id.eq(id.0))
            .exec(&self.append)
            .await?;
        Ok(())
    }

    /// Takes a mail out of the outbox that is not to be sent any more.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn drop_mail(&self, id: MessageId) -> Result<()> {
        outbox::Entity::delete_by_id(id.0).exec(&self.append).await?;
        Ok(())
    }

    /// Gives back mails that were claimed and not tried: they are due at that instant.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn release_mails(&self, mails: &[MessageId], due_at: Timestamp) -> Result<()> {
        if mails.is_empty() {
            return Ok(());
        }
        outbox::Entity::update_many()
            .col_expr(outbox::Column::NextAttemptAt, Some(due_at.0).into())
            .filter(outbox::Column::Id.is_in(mails.iter().map(|mail| mail.0)))
            .filter(outbox::Column::NextAttemptAt.is_not_null())
            .exec(&self.append)
            .await?;
        Ok(())
    }

    /// How many mails wait to be delivered, and how many nobody tries any more.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn mails_waiting_and_dead(&self) -> Result<(u64, u64)> {
        let waiting = outbox::Entity::find().filter(in_state(MessageState::Waiting));
        let dead = outbox::Entity::find().filter(in_state(MessageState::Dead));
        Ok((waiting.count(&self.read).await?, dead.count(&self.read).await?))
    }

    /// The code that a mail carries.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn code_of(&self, realm: RealmId, code: CodeId) -> Result<Option<CodeRow>> {
        self.rows(realm).code(code).await
    }
}

fn mail(row: outbox::Model) -> Result<Due> {
    let outbox::Model {
        id,
        realm_id,
        template,
        recipient,
        user_id,
        code_id,
        parameters,
        created_at,
        next_attempt_at: _,
        attempts,
        delivered_at: _,
        last_error: _,
    } = row;
    Ok(Due {
        id: MessageId(id),
        realm: RealmId(realm_id),
        mail: Mail {
            template: Template::parse(&template).ok_or_else(|| corrupt("template"))?,
            to: recipient,
            user: user_id.map(UserId),
            code: code_id.map(CodeId),
            parameters: read::<BTreeMap<_, _>>(&parameters, "mail parameters")?,
        },
        created_at: Timestamp(created_at),
        attempts,
    })
}
