//! Lists of organizations: which, from where on.

use sea_orm::sea_query::{Expr, ExprTrait, Query};
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::entity::{identifiers, organizations};
use super::error::Result;
use super::reach::{Within, licensing};
use super::rows::{Rows, matching};
use crate::domain::ids::OrganizationId;
use crate::domain::organization::{Identifier, Organization};

/// Which organizations to list. Empty fields do not narrow.
#[derive(Clone, Default, Debug)]
pub struct OrganizationFilter {
    /// Part of the slug or of the title, in any case.
    pub name: Option<String>,
    pub kind: Option<String>,
    pub suspended: Option<bool>,
    /// In the canonical form of its scheme.
    pub identifier: Option<Identifier>,
    pub entitlement: Option<String>,
    /// Only these; absent = every one.
    pub within: Option<Within>,
    /// Only organizations after this one.
    pub after: Option<OrganizationId>,
}

impl<C: ConnectionTrait> Rows<'_, C> {
    /// A page of organizations, by id.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn list_organizations(&self, filter: &OrganizationFilter, limit: u64) -> Result<Vec<Organization>> {
        let rows = organizations::Entity::find()
            .filter(organizations::Column::RealmId.eq(self.realm.0))
            .filter(self.condition_of(filter))
            .order_by_asc(organizations::Column::Id)
            .limit(limit)
            .all(self.conn)
            .await?;
        self.with_identifiers(rows).await
    }

    fn condition_of(&self, filter: &OrganizationFilter) -> Condition {
        use organizations::Column::{Id, Kind, Search, Suspended};
        let OrganizationFilter { name, kind, suspended, identifier, entitlement, within, after } = filter;
        let carriers = identifier.as_ref().map(|identifier| {
            Query::select()
                .column(identifiers::Column::OrganizationId)
                .from(identifiers::Entity)
                .and_where(identifiers::Column::RealmId.eq(self.realm.0))
                .and_where(identifiers::Column::Scheme.eq(identifier.scheme.as_str()))
                .and_where(identifiers::Column::Value.eq(identifier.value.as_str()))
                .take()
        });
        // The bare column, as the index of those that are suspended has it.
        let is_suspended = Expr::col((organizations::Entity, Suspended));
        Condition::all()
            .add_option(name.as_ref().map(|part| Search.like(matching("%", part))))
            .add_option(kind.as_ref().map(|kind| Kind.eq(kind.as_str())))
            .add_option(suspended.map(|wanted| if wanted { is_suspended } else { is_suspended.not() }))
            .add_option(carriers.map(|carriers| Id.in_subquery(carriers)))
            .add_option(entitlement.as_ref().map(|product| licensing(product)))
            .add_option(within.as_ref().map(|within| self.within(within, Id)))
            .add_option(after.map(|after| Id.gt(after.0)))
    }
}
