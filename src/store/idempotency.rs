//! The first answer under a `request_id`, kept so that a repeated call gets the same one.

use sea_orm::{ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter};

use super::Store;
use super::entity::answers;
use super::error::{Result, corrupt};
use super::rows::Rows;
use crate::domain::ids::{PrincipalId, Revision};
use crate::domain::time::Timestamp;

/// An answer that was given; it never holds a secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    pub actor: PrincipalId,
    pub rpc: String,
    pub request_id: String,
    /// A keyed digest of the request: another body under the same id is an error.
    pub body_digest: [u8; 32],
    pub answer: String,
    /// The revision that the change was made at.
    pub revision: Revision,
    pub created_at: Timestamp,
}

impl<C: ConnectionTrait> Rows<'_, C> {
    /// The answer that was given under this id.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn answer(&self, actor: PrincipalId, rpc: &str, request_id: &str) -> Result<Option<Answer>> {
        let id = (self.realm.0, actor.0, rpc.to_owned(), request_id.to_owned());
        answers::Entity::find_by_id(id).one(self.conn).await?.map(answer).transpose()
    }

    /// Keeps an answer.
    ///
    /// # Errors
    /// [`super::Constraint::RequestId`] if another call was first.
    pub async fn keep_answer(&self, answer: &Answer) -> Result<()> {
        let row = answers::ActiveModel {
            realm_id: Set(self.realm.0),
            actor_id: Set(answer.actor.0),
            rpc: Set(answer.rpc.clone()),
            request_id: Set(answer.request_id.clone()),
            body_digest: Set(answer.body_digest.to_vec()),
            answer: Set(answer.answer.clone()),
            revision: Set(answer.revision.0),
            created_at: Set(answer.created_at.0),
        };
        row.insert(self.conn).await?;
        Ok(())
    }
}

impl Store {
    /// Forgets the answers from before `until`.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn forget_answers(&self, until: Timestamp) -> Result<u64> {
        let done =
            answers::Entity::delete_many().filter(answers::Column::CreatedAt.lt(until.0)).exec(&self.write).await?;
        Ok(done.rows_affected)
    }
}

fn answer(row: answers::Model) -> Result<Answer> {
    let answers::Model { realm_id: _, actor_id, rpc, request_id, body_digest, answer, revision, created_at } = row;
    Ok(Answer {
        actor: PrincipalId(actor_id),
        rpc,
        request_id,
        body_digest: body_digest.try_into().map_err(|_| corrupt("digest of a request"))?,
        answer,
        revision: Revision(revision),
        created_at: Timestamp(created_at),
    })
}
