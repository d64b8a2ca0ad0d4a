//! People by the identity of their address, many at once.

use std::collections::HashMap;

use sea_orm::sea_query::ExprTrait;
use sea_orm::{ColumnTrait, ConnectionTrait, QueryFilter, QuerySelect};

use super::entity::users;
use super::error::Result;
use super::rows::Rows;
use crate::domain::ids::UserId;

/// Identities that one statement names.
const IDENTITIES_AT_ONCE: usize = 1_000;

impl<C: ConnectionTrait> Rows<'_, C> {
    /// The ids of the live accounts of these identities, a statement for each thousand; unknown ones are left out.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn users_by_identities(&self, identities: &[String]) -> Result<HashMap<String, UserId>> {
        let mut found = HashMap::with_capacity(identities.len());
        for some in identities.chunks(IDENTITIES_AT_ONCE) {
            let rows: Vec<(String, uuid::Uuid)> = self
                .users()
                .select_only()
                .columns([users::Column::Identity, users::Column::Id])
                .filter(users::Column::Identity.is_in(some).and(users::Column::DeletedAt.is_null()))
                .into_tuple()
                .all(self.conn)
                .await?;
            found.extend(rows.into_iter().map(|(identity, id)| (identity, UserId(id))));
        }
        Ok(found)
    }
}
