//! What became of mails: the outbox, read as a log. `outbox` has how they leave.

use sea_orm::{ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::entity::outbox;
use super::error::Result;
use super::reach::Reach;
use super::rows::Rows;
use crate::domain::ids::{MessageId, UserId};
use crate::domain::message::{Message, MessageState, Template};
use crate::domain::time::Timestamp;

/// Which mails to list. Empty fields do not narrow.
#[derive(Clone, Default, Debug)]
pub struct MessageFilter {
    pub state: Option<MessageState>,
    pub template: Option<Template>,
    /// Of this user's account, or to the address, if that is given too.
    pub user: Option<UserId>,
    /// To this address, as it was typed.
    pub address: Option<String>,
    /// Only of people whom a caller may reach; absent = all.
    pub reach: Option<Reach>,
    /// Only older ones: the next page, newest first.
    pub before: Option<MessageId>,
}

impl<C: ConnectionTrait> Rows<'_, C> {
    /// A page of the mails, newest first.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn list_messages(&self, filter: &MessageFilter, limit: u64) -> Result<Vec<Message>> {
        let MessageFilter { state, template, user, address, reach, before } = filter;
        let mut which = Condition::all()
            .add(outbox::Column::RealmId.eq(self.realm.0))
            .add_option(state.map(in_state))
            .add_option(template.map(|template| outbox::Column::Template.eq(template.name())))
            .add_option(before.map(|before| outbox::Column::Id.lt(before.0)));
        if user.is_some() || address.is_some() {
            which = which.add(
                Condition::any()
                    .add_option(user.map(|user| outbox::Column::UserId.eq(user.0)))
                    .add_option(address.as_ref().map(|address| outbox::Column::Recipient.eq(address.as_str()))),
            );
        }
        which = which.add_option(reach.as_ref().map(|reach| outbox::Column::UserId.in_subquery(self.people_in(reach))));
        let rows =
            outbox::Entity::find().filter(which).order_by_desc(outbox::Column::Id).limit(limit).all(self.conn).await?;
        Ok(rows.into_iter().map(message).collect())
    }

    /// A mail.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn message(&self, id: MessageId) -> Result<Option<Message>> {
        let row =
            outbox::Entity::find_by_id(id.0).filter(outbox::Column::RealmId.eq(self.realm.0)).one(self.conn).await?;
        Ok(row.map(message))
    }

    /// Makes a dead letter due at that instant, as if it had never been tried. Others stay what they are.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn put_back(&self, id: MessageId, due_at: Timestamp) -> Result<()> {
        outbox::Entity::update_many()
            .col_expr(outbox::Column::NextAttemptAt, Some(due_at.0).into())
            .col_expr(outbox::Column::Attempts, 0.into())
            .filter(outbox::Column::RealmId.eq(self.realm.0))
            .filter(outbox::Column::Id.eq(id.0))
            .filter(in_state(MessageState::Dead))
            .exec(self.conn)
            .await?;
        Ok(())
    }
}

/// The rows in that state; the indexes say it in the same words.
pub(super) fn in_state(state: MessageState) -> Condition {
    let (waits, left) = (outbox::Column::NextAttemptAt, outbox::Column::DeliveredAt);
    match state {
        MessageState::Waiting => Condition::all().add(waits.is_not_null()),
        MessageState::Delivered => Condition::all().add(left.is_not_null()),
        MessageState::Dead => Condition::all().add(waits.is_null()).add(left.is_null()),
    }
}

fn message(row: outbox::Model) -> Message {
    let outbox::Model {
        id,
        realm_id: _,
        template,
        recipient,
        user_id,
        code_id: _,
        parameters: _,
        created_at,
        next_attempt_at,
        attempts,
        delivered_at,
        last_error,
    } = row;
    let state = match (next_attempt_at, delivered_at) {
        (Some(_), _) => MessageState::Waiting,
        (None, Some(_)) => MessageState::Delivered,
        (None, None) => MessageState::Dead,
    };
    Message {
        id: MessageId(id),
        template,
        to: recipient,
        user: user_id.map(UserId),
        state,
        created_at: Timestamp(created_at),
        attempts,
        next_attempt_at: next_attempt_at.map(Timestamp),
        delivered_at: delivered_at.map(Timestamp),
        last_error,
    }
}
