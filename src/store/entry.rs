//! Lists of entries, in pages. Each query goes along an index, so that a list of ten million is read as one of ten.

use std::collections::BTreeMap;

use sea_orm::sea_query::{IntoCondition, Query};
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::access::entry;
use super::entity::{entries, service_accounts};
use super::error::Result;
use super::reach::{Reach, Within};
use super::rows::Rows;
use crate::domain::entry::{EntryRow, EntryState};
use crate::domain::ids::{EntryId, OrganizationId, PrincipalId, RoleId};
use crate::domain::permission::Pattern;
use crate::domain::snapshot::Resource;
use crate::domain::time::Timestamp;

/// Which entries to list. Empty fields do not narrow.
#[derive(Clone, Default, Debug)]
pub struct EntryQuery {
    /// Grants; else assignments.
    pub grants: bool,
    pub principal: Option<PrincipalId>,
    pub role: Option<RoleId>,
    pub pattern: Option<Pattern>,
    /// Entries scoped to this organization, and not the realm-wide ones.
    pub organization: Option<OrganizationId>,
    /// Only realm-wide entries.
    pub realm_wide: bool,
    pub resource: Option<Resource>,
    /// Only those in this state at that instant.
    pub state: Option<(EntryState, Timestamp)>,
    /// Only what one of these lets through; absent = all.
    pub reach: Option<EntryReach>,
    /// Only entries after this one.
    pub after: Option<EntryId>,
}

/// Which entries a caller may reach.
#[derive(Clone, Debug)]
pub struct EntryReach {
    /// What is scoped to its organizations, and what it and its team hold.
    pub people: Reach,
    /// What service accounts of these organizations hold; absent = all service accounts.
    pub accounts: Option<Within>,
}

impl<C: ConnectionTrait> Rows<'_, C> {
    /// A page of entries, the oldest first.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn list_entries(&self, query: &EntryQuery, limit: u64) -> Result<Vec<EntryRow>> {
        let mut found = BTreeMap::new();
        // One query for each way to reach an entry: one with all of them would go along no index.
        for way in query.reach.as_ref().map_or_else(|| vec![Condition::all()], |reach| self.ways(reach)) {
            let page = entries::Entity::find()
                .filter(self.listed(query))
                .filter(way)
                .order_by_asc(entries::Column::Id)
                .limit(limit);
            found.extend(page.all(self.conn).await?.into_iter().map(|row| (row.id, row)));
        }
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        found.into_values().take(most).map(entry).collect()
    }

    fn ways(&self, reach: &EntryReach) -> Vec<Condition> {
        let EntryReach { people, accounts } = reach;
        let theirs = accounts.as_ref().map(|within| self.within(within, service_accounts::Column::OrganizationId));
        let accounts = Query::select()
            .column(service_accounts::Column::Id)
            .from(service_accounts::Entity)
            .and_where(service_accounts::Column::RealmId.eq(self.realm.0))
            .cond_where(Condition::all().add_option(theirs))
            .take();
        [
            self.within(&people.within, entries::Column::OrganizationId),
            entries::Column::PrincipalId.in_subquery(self.team_of_caller(people)),
            entries::Column::PrincipalId.in_subquery(accounts),
        ]
        .map(IntoCondition::into_condition)
        .into()
    }

    fn listed(&self, query: &EntryQuery) -> Condition {
        let EntryQuery { grants, principal, role, pattern, organization, realm_wide, resource, state, reach: _, after } =
            query;
        let kind = match grants {
            true => entries::Column::RoleId.is_null(),
            false => entries::Column::RoleId.is_not_null(),
        };
        Condition::all()
            .add(entries::Column::RealmId.eq(self.realm.0))
            .add(kind)
            .add_option(principal.map(|id| entries::Column::PrincipalId.eq(id.0)))
            .add_option(role.map(|id| entries::Column::RoleId.eq(id.0)))
            .add_option(pattern.as_ref().map(|pattern| entries::Column::Pattern.eq(pattern.as_str())))
            .add_option(organization.map(|id| entries::Column::OrganizationId.eq(id.0)))
            .add_option(realm_wide.then(|| entries::Column::OrganizationId.is_null()))
            .add_option(resource.as_ref().map(|resource| entries::Column::ResourceType.eq(resource.kind.as_str())))
            .add_option(resource.as_ref().map(|resource| entries::Column::ResourceId.eq(resource.id.as_str())))
            .add_option(state.map(|(state, now)| in_state(state, now)))
            .add_option(after.map(|after| entries::Column::Id.gt(after.0)))
    }
}

/// See `Window::contains`.
pub(in crate::store) fn in_state(state: EntryState, now: Timestamp) -> Condition {
    let expired = entries::Column::ExpiresAt.lte(now.0);
    let lasting = Condition::any().add(entries::Column::ExpiresAt.is_null()).add(entries::Column::ExpiresAt.gt(now.0));
    let begun = Condition::any().add(entries::Column::NotBefore.is_null()).add(entries::Column::NotBefore.lte(now.0));
    match state {
        EntryState::Expired => expired.into_condition(),
        EntryState::Active => Condition::all().add(begun).add(lasting),
        EntryState::NotYet => Condition::all().add(entries::Column::NotBefore.gt(now.0)).add(lasting),
    }
}
