//! What a caller may reach at all, as part of a query: lists are narrowed where their rows are, and each row that is left
//! is decided by itself.

use sea_orm::sea_query::{Alias, CommonTableExpression, Expr, ExprTrait, LikeExpr, Query, SelectStatement, UnionType};
use sea_orm::{ColumnTrait, Condition, ConnectionTrait};

use super::entity::{memberships, organizations, users};
use super::rows::Rows;
use crate::domain::ids::{OrganizationId, PrincipalId};
use crate::domain::policy::Team;

/// The organizations in which a caller may reach something.
#[derive(Clone, Default, Debug)]
pub struct Within {
    pub organizations: Vec<OrganizationId>,
    /// And those that license one of these products.
    pub licensed: Vec<String>,
}

/// The people whom a caller may reach: itself, its team, and who belongs to some organizations.
#[derive(Clone, Debug)]
pub struct Reach {
    pub caller: PrincipalId,
    pub team: Team,
    pub within: Within,
}

impl<C: ConnectionTrait> Rows<'_, C> {
    /// The ids of the people whom a caller may reach.
    pub(super) fn people_in(&self, reach: &Reach) -> SelectStatement {
        let belonging = Query::select()
            .column(memberships::Column::UserId)
            .from(memberships::Entity)
            .and_where(memberships::Column::RealmId.eq(self.realm.0))
            .and_where(self.within(&reach.within, memberships::Column::OrganizationId))
            .take();
        self.team_of_caller(reach).union(UnionType::Distinct, belonging).take()
    }

    /// The ids of a caller and its team. Who has no account in the realm has no team.
    pub(super) fn team_of_caller(&self, reach: &Reach) -> SelectStatement {
        use users::Column::{Id, ManagerId};
        let of_realm = || Query::select().from(users::Entity).and_where(users::Column::RealmId.eq(self.realm.0)).take();
        let caller = reach.caller.0;
        if reach.team == Team::Direct {
            return of_realm().column(Id).and_where(Id.eq(caller).or(ManagerId.eq(caller))).take();
        }
        let (team, id) = (Alias::new("team"), Alias::new("id"));
        let led = of_realm()
            .expr(Expr::col((users::Entity, Id)))
            .inner_join(team.clone(), Expr::col((users::Entity, ManagerId)).equals((team.clone(), id.clone())))
            .take();
        let chain = of_realm().column(Id).and_where(Id.eq(caller)).union(UnionType::Distinct, led).take();
        let chain = CommonTableExpression::new().table_name(team.clone()).column(id.clone()).query(chain).to_owned();
        let with = Query::with().recursive(true).cte(chain).to_owned();
        Query::select().column(id).from(team).with_cte(with).take()
    }

    /// Whether a column names one of these organizations.
    pub(super) fn within(&self, within: &Within, column: impl ColumnTrait) -> Expr {
        let Within { organizations, licensed } = within;
        let named = column.is_in(organizations.iter().map(|id| id.0));
        if licensed.is_empty() {
            return named;
        }
        let any = licensed.iter().fold(Condition::any(), |any, product| any.add(licensing(product)));
        let licensing = Query::select()
            .column(organizations::Column::Id)
            .from(organizations::Entity)
            .and_where(organizations::Column::RealmId.eq(self.realm.0))
            .cond_where(any)
            .take();
        named.or(column.in_subquery(licensing))
    }
}

/// Whether an organization licenses the product: its name, in quotes, is in the document. Names have nothing to escape in
/// a document, and of a pattern `_` alone.
pub(super) fn licensing(product: &str) -> Expr {
    let quoted = format!("%\"{}\"%", product.replace('_', "\\_"));
    organizations::Column::Entitlements.like(LikeExpr::new(quoted).escape('\\'))
}
