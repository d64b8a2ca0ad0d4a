//! Who might hold a permission: the candidates of a list, read in the order of their ids from where it left off.
//!
//! Each place and each role or pattern is an arm of its own, read from an index in that order and no further than the
//! page needs; the arms are joined and decided by whoever asked. No arm sorts or reads what is not a candidate of it.

use std::collections::BTreeSet;

use sea_orm::sea_query::{Alias, Expr, ExprTrait, Query, SelectStatement, SimpleExpr, UnionType};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QueryResult, QuerySelect};

use super::entity::{entries, holds, memberships, organizations, users};
use super::entry::in_state;
use super::error::Result;
use super::reach::Within;
use super::rows::{Rows, word};
use crate::domain::account::ApprovalState;
use crate::domain::entry::EntryState;
use crate::domain::ids::{OrganizationId, PrincipalId, RoleId};
use crate::domain::permission::{Pattern, Reach};
use crate::domain::snapshot::{MembershipState, Resource};
use crate::domain::time::Timestamp;

/// Arms of one statement; SQLite takes 500 at the most.
const ARMS_MAX: usize = 100;

/// What candidates hold, and where.
#[derive(Clone, Debug)]
pub struct HolderQuery {
    /// Those that may confer what is looked for.
    pub roles: Vec<RoleId>,
    /// Those that cover it.
    pub patterns: Vec<Pattern>,
    /// Entries bound to this resource count too; to any other, they do not.
    pub resource: Option<Resource>,
    pub places: Places,
}

/// The scopes of the entries that count.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Places {
    Everywhere,
    /// Each an organization, or `None` for realm-wide entries.
    Listed(Vec<Option<OrganizationId>>),
}

/// Members of one organization whose entries scoped to it may give them a permission there.
#[derive(Clone, Debug)]
pub struct ManagingQuery {
    pub organization: OrganizationId,
    /// Those that may confer it there.
    pub roles: Vec<RoleId>,
    /// Those that cover it, granted at ALL.
    pub patterns: Vec<Pattern>,
    /// The instant at which entries count.
    pub now: Timestamp,
}

impl<C: ConnectionTrait> Rows<'_, C> {
    /// The next of those members after one of them, each once, by id. Whom the account's state, a hold or an undecided
    /// membership keeps out for certain is left out.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn members_with(
        &self,
        query: &ManagingQuery,
        after: Option<PrincipalId>,
        limit: u64,
    ) -> Result<Vec<PrincipalId>> {
        let assigned = entries::Column::RoleId.is_in(query.roles.iter().map(|role| role.0));
        let granted = entries::Column::RoleId.is_null();
        let granted = granted.and(entries::Column::Pattern.is_in(query.patterns.iter().map(Pattern::as_str)));
        let arms = [
            assigned.and(entries::Column::Pattern.is_null()),
            granted.and(entries::Column::Reach.eq(word(Reach::All)?)),
        ];
        let mut found = BTreeSet::new();
        for arm in arms {
            let mut members = page(self.arm([in_place(Some(query.organization)), arm]), after, limit);
            members
                .and_where(entries::Column::ResourceType.is_null())
                .cond_where(in_state(EntryState::Active, query.now))
                .and_where(may_act(query.organization)?);
            for row in self.conn.query_all(&members).await? {
                found.insert(PrincipalId(row.try_get("", "principal_id")?));
            }
        }
        Ok(found.into_iter().take(usize::try_from(limit).unwrap_or(usize::MAX)).collect())
    }

    /// The next candidates after one of them, each once, by id, `limit` at the most.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn holders(
        &self,
        query: &HolderQuery,
        after: Option<PrincipalId>,
        limit: u64,
    ) -> Result<Vec<PrincipalId>> {
        let mut found = BTreeSet::new();
        for arms in self.arms(query).chunks(ARMS_MAX) {
            let mut joined: Option<SelectStatement> = None;
            for arm in arms {
                // Boxed in a select of its own: only so does SQLite take an arm with an order and a limit.
                let arm = Query::select()
                    .column(entries::Column::PrincipalId)
                    .from_subquery(page(arm.clone(), after, limit), Alias::new("arm"))
                    .take();
                joined = Some(match joined {
                    Some(mut before) => before.union(UnionType::Distinct, arm).take(),
                    None => arm,
                });
            }
            let Some(statement) = joined else { continue };
            let rows = self.conn.query_all(&statement).await?;
            let id = |row: &QueryResult| row.try_get::<uuid::Uuid>("", "principal_id").map(PrincipalId);
            for row in &rows {
                found.insert(id(row)?);
            }
        }
        Ok(found.into_iter().take(usize::try_from(limit).unwrap_or(usize::MAX)).collect())
    }

    /// The next organizations after one of them, by id: of the realm, or those within.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn organizations_after(
        &self,
        within: Option<&Within>,
        after: Option<OrganizationId>,
        limit: u64,
    ) -> Result<Vec<OrganizationId>> {
        let mut all = organizations::Entity::find()
            .select_only()
            .column(organizations::Column::Id)
            .filter(organizations::Column::RealmId.eq(self.realm.0));
        if let Some(within) = within {
            all = all.filter(self.within(within, organizations::Column::Id));
        }
        if let Some(after) = after {
            all = all.filter(organizations::Column::Id.gt(after.0));
        }
        let ids: Vec<uuid::Uuid> =
            all.order_by_asc(organizations::Column::Id).limit(limit).into_tuple().all(self.conn).await?;
        Ok(ids.into_iter().map(OrganizationId).collect())
    }

    fn arms(&self, query: &HolderQuery) -> Vec<SelectStatement> {
        let HolderQuery { roles, patterns, resource, places } = query;
        let role = |id: &RoleId| entries::Column::RoleId.eq(id.0);
        let pattern = |pattern: &Pattern| entries::Column::Pattern.eq(pattern.as_str());
        let each: Vec<SimpleExpr> = roles.iter().map(role).chain(patterns.iter().map(pattern)).collect();
        let Some(any) = each.iter().cloned().reduce(ExprTrait::or) else { return vec![] };
        let unbound = entries::Column::ResourceType.is_null();
        let mut arms = vec![];
        match places {
            Places::Everywhere => arms.extend(each.iter().map(|what| self.arm([what.clone(), unbound.clone()]))),
            Places::Listed(places) => {
                for place in places {
                    let scope = in_place(*place);
                    match place {
                        // An organization has few entries and realm-wide ones are found by what they confer.
                        Some(_) => arms.push(self.arm([scope, any.clone(), unbound.clone()])),
                        None => {
                            let one = |what: &SimpleExpr| self.arm([scope.clone(), what.clone(), unbound.clone()]);
                            arms.extend(each.iter().map(one));
                        }
                    }
                }
            }
        }
        if let Some(Resource { kind, id }) = resource {
            let bound = entries::Column::ResourceType.eq(kind).and(entries::Column::ResourceId.eq(id));
            match places {
                Places::Everywhere => arms.push(self.arm([bound, any])),
                Places::Listed(places) => {
                    arms.extend(places.iter().map(|place| self.arm([bound.clone(), in_place(*place), any.clone()])));
                }
            }
        }
        arms
    }

    fn arm(&self, all: impl IntoIterator<Item = SimpleExpr>) -> SelectStatement {
        let mut arm = Query::select();
        arm.distinct()
            .column(entries::Column::PrincipalId)
            .from(entries::Entity)
            .and_where(entries::Column::RealmId.eq(self.realm.0));
        for condition in all {
            arm.and_where(condition);
        }
        arm.take()
    }
}

/// Whether the holder of an entry is an approved user, not deleted and not held, and an ACTIVE member.
fn may_act(organization: OrganizationId) -> Result<SimpleExpr> {
    let holder = || (entries::Entity, entries::Column::PrincipalId);
    let held = Query::select()
        .column(holds::Column::UserId)
        .from(holds::Entity)
        .and_where(Expr::col((holds::Entity, holds::Column::UserId)).equals(holder()))
        .take();
    let live = Query::select()
        .column((users::Entity, users::Column::Id))
        .from(users::Entity)
        .inner_join(
            memberships::Entity,
            Expr::col((memberships::Entity, memberships::Column::UserId)).equals((users::Entity, users::Column::Id)),
        )
        .and_where(Expr::col((users::Entity, users::Column::Id)).equals(holder()))
        .and_where(users::Column::DeletedAt.is_null())
        .and_where(users::Column::Approval.eq(word(ApprovalState::Approved)?))
        .and_where(memberships::Column::OrganizationId.eq(organization.0))
        .and_where(memberships::Column::State.eq(word(MembershipState::Active)?))
        .take();
    Ok(Expr::exists(live).and(Expr::exists(held).not()))
}

fn in_place(place: Option<OrganizationId>) -> SimpleExpr {
    match place {
        Some(id) => entries::Column::OrganizationId.eq(id.0),
        None => entries::Column::OrganizationId.is_null(),
    }
}

fn page(mut arm: SelectStatement, after: Option<PrincipalId>, limit: u64) -> SelectStatement {
    if let Some(after) = after {
        arm.and_where(Expr::col(entries::Column::PrincipalId).gt(after.0));
    }
    arm.order_by(entries::Column::PrincipalId, sea_orm::Order::Asc).limit(limit).take()
}
