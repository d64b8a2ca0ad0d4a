//! The members of an organization: lists of them, and what goes when one leaves.

use sea_orm::sea_query::Query;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::entity::{entries, memberships, users};
use super::error::Result;
use super::organization::member;
use super::reach::Reach;
use super::rows::{Rows, word};
use crate::domain::ids::{OrganizationId, PrincipalId, RoleId, UserId};
use crate::domain::organization::Member;
use crate::domain::snapshot::MembershipState;

/// Which members to list. Empty fields do not narrow.
#[derive(Clone, Debug)]
pub struct MemberFilter {
    pub organization: OrganizationId,
    pub state: Option<MembershipState>,
    /// Assigned there, by itself.
    pub role: Option<RoleId>,
    /// Only this caller and its team.
    pub team: Option<Reach>,
    /// Only members after this one.
    pub after: Option<UserId>,
}

impl<C: ConnectionTrait> Rows<'_, C> {
    /// A page of the members of an organization, by user; those whose account is deleted are left out.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn list_members(&self, filter: &MemberFilter, limit: u64) -> Result<Vec<Member>> {
        use memberships::Column as Of;
        let living = Query::select()
            .column(users::Column::Id)
            .from(users::Entity)
            .and_where(users::Column::RealmId.eq(self.realm.0))
            .and_where(users::Column::DeletedAt.is_null())
            .take();
        let MemberFilter { organization, state, role, team, after } = filter;
        let mut found = memberships::Entity::find()
            .filter(Of::RealmId.eq(self.realm.0))
            .filter(Of::OrganizationId.eq(organization.0))
            .filter(Of::UserId.in_subquery(living))
            .order_by_asc(Of::UserId)
            .limit(limit);
        if let Some(state) = state {
            found = found.filter(Of::State.eq(word(*state)?));
        }
        if let Some(role) = role {
            let holders = Query::select()
                .column(entries::Column::PrincipalId)
                .from(entries::Entity)
                .and_where(entries::Column::RealmId.eq(self.realm.0))
                .and_where(entries::Column::RoleId.eq(role.0))
                .and_where(entries::Column::OrganizationId.eq(organization.0))
                .take();
            found = found.filter(Of::UserId.in_subquery(holders));
        }
        if let Some(reach) = team {
            found = found.filter(Of::UserId.in_subquery(self.team_of_caller(reach)));
        }
        if let Some(after) = after {
            found = found.filter(Of::UserId.gt(after.0));
        }
        found.all(self.conn).await?.into_iter().map(member).collect()
    }

    /// Removes every entry of a principal that is scoped to the organization.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn delete_entries_in(&self, principal: PrincipalId, organization: OrganizationId) -> Result<()> {
        entries::Entity::delete_many()
            .filter(entries::Column::RealmId.eq(self.realm.0))
            .filter(entries::Column::PrincipalId.eq(principal.0))
            .filter(entries::Column::OrganizationId.eq(organization.0))
            .exec(self.conn)
            .await?;
        Ok(())
    }
}
