//! What is there already that a new policy could contradict. Each query walks the realm; policies change rarely.

use std::collections::BTreeSet;

use sea_orm::sea_query::{ExprTrait, Func, Query};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect};

use super::entity::{identifiers, memberships, organizations};
use super::error::Result;
use super::rows::{Rows, statement};
use crate::domain::ids::OrganizationId;
use crate::domain::organization::Claim;

/// Somebody who is a member of an organization of this kind and of one of another kind. $1 = realm, $2 = kind.
const MIXED: &str = "
SELECT 1 AS found FROM memberships a
JOIN organizations oa ON oa.id = a.organization_id AND oa.kind = $2
JOIN memberships b ON b.user_id = a.user_id AND b.state <> 'Rejected'
JOIN organizations ob ON ob.id = b.organization_id AND ob.kind <> $2
WHERE a.realm_id = $1 AND a.state <> 'Rejected' LIMIT 1";

impl<C: ConnectionTrait> Rows<'_, C> {
    /// Another organization that has the same claim.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn rival(&self, claim: &Claim<'_>, of: OrganizationId) -> Result<Option<OrganizationId>> {
        let carriers = || {
            Query::select()
                .column(identifiers::Column::OrganizationId)
                .from(identifiers::Entity)
                .and_where(identifiers::Column::RealmId.eq(self.realm.0))
                .take()
        };
        let mut rivals = organizations::Entity::find()
            .select_only()
            .column(organizations::Column::Id)
            .filter(organizations::Column::RealmId.eq(self.realm.0))
            .filter(organizations::Column::Id.ne(of.0));
        for (scheme, values) in &claim.values {
            let same = carriers()
                .and_where(identifiers::Column::Scheme.eq(*scheme))
                .and_where(identifiers::Column::Value.is_in(values.iter().copied()))
                .take();
            rivals = rivals.filter(organizations::Column::Id.in_subquery(same));
        }
        for scheme in &claim.without {
            let any = carriers().and_where(identifiers::Column::Scheme.eq(*scheme)).take();
            rivals = rivals.filter(organizations::Column::Id.not_in_subquery(any));
        }
        let found: Option<uuid::Uuid> = rivals.limit(1).into_tuple().one(self.conn).await?;
        Ok(found.map(OrganizationId))
    }

    /// The kinds of which there are organizations.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn kinds_in_use(&self) -> Result<BTreeSet<String>> {
        let kinds: Vec<String> = organizations::Entity::find()
            .select_only()
            .column(organizations::Column::Kind)
            .distinct()
            .filter(organizations::Column::RealmId.eq(self.realm.0))
            .into_tuple()
            .all(self.conn)
            .await?;
        Ok(kinds.into_iter().collect())
    }

    /// The schemes in which organizations carry identifiers.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn schemes_in_use(&self) -> Result<BTreeSet<String>> {
        let schemes: Vec<String> = identifiers::Entity::find()
            .select_only()
            .column(identifiers::Column::Scheme)
            .distinct()
            .filter(identifiers::Column::RealmId.eq(self.realm.0))
            .into_tuple()
            .all(self.conn)
            .await?;
        Ok(schemes.into_iter().collect())
    }

    /// Whether several organizations carry one value of the scheme.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn is_shared(&self, scheme: &str) -> Result<bool> {
        let several = Func::count(sea_orm::sea_query::Expr::col(identifiers::Column::OrganizationId)).gt(1);
        let shared: Option<String> = identifiers::Entity::find()
            .select_only()
            .column(identifiers::Column::Value)
            .filter(identifiers::Column::RealmId.eq(self.realm.0))
            .filter(identifiers::Column::Scheme.eq(scheme))
            .group_by(identifiers::Column::Value)
            .having(several)
            .limit(1)
            .into_tuple()
            .one(self.conn)
            .await?;
        Ok(shared.is_some())
    }

    /// Whether somebody is a member, or waits to be, of an organization of this kind and of one of another kind.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn is_mixed(&self, kind: &str) -> Result<bool> {
        let found = self.conn.query_one_raw(statement(self.conn, MIXED, [self.realm.0.into(), kind.into()])).await?;
        Ok(found.is_some())
    }

    /// Whether somebody is a member, or waits to be, of two organizations.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn somebody_in_two(&self) -> Result<bool> {
        let several = Func::count(sea_orm::sea_query::Expr::col(memberships::Column::OrganizationId)).gt(1);
        let found: Option<uuid::Uuid> = memberships::Entity::find()
            .select_only()
            .column(memberships::Column::UserId)
            .filter(memberships::Column::RealmId.eq(self.realm.0))
            .filter(memberships::Column::State.ne("Rejected"))
            .group_by(memberships::Column::UserId)
            .having(several)
            .limit(1)
            .into_tuple()
            .one(self.conn)
            .await?;
        Ok(found.is_some())
    }
}
