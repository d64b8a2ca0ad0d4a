//! Lists of organizations: which, from where on.

use sea_orm::sea_query::{Expr, ExprTrait, LikeExpr, Query};
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::entity::{identifiers, organizations};
use super::error::Result;
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

/// Where a caller may read something at all.
#[derive(Clone, Default, Debug)]
pub struct Within {
    pub organizations: Vec<OrganizationId>,
    /// Or wherever one of these products is licensed.
    pub licensed: Vec<String>,
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
            .add_option(within.as_ref().map(|Within { organizations, licensed }| {
                let named = Condition::any().add(Id.is_in(organizations.iter().map(|id| id.0)));
                licensed.iter().fold(named, |any, product| any.add(licensing(product)))
            }))
            .add_option(after.map(|after| Id.gt(after.0)))
    }
}

/// The organizations that license the product: its name, in quotes, is in the document. Names have nothing to escape in a
/// document, and of a pattern `_` alone.
fn licensing(product: &str) -> Expr {
    let quoted = format!("%\"{}\"%", product.replace('_', "\\_"));
    organizations::Column::Entitlements.like(LikeExpr::new(quoted).escape('\\'))
}
