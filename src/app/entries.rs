//! Listing assignments and grants: a query narrows, and each entry that it finds is still decided by itself.

use super::entry::{EntryView, views};
use super::error::{Error, Result};
use super::facts::Facts;
use super::guard::{Guard, permissions};
use super::paging::{Listing, Page, Paging, Weighed};
use super::reachable::{reachable, reachable_people};
use super::read::{Reader, again};
use super::receiver::Place;
use super::service_accounts::readable_account;
use super::user::find_role;
use super::{App, Ctx};
use crate::cache::Freshness;
use crate::domain::entry::{EntryRow, EntryState};
use crate::domain::handle::Handle;
use crate::domain::ids::{EntryId, PrincipalId};
use crate::domain::permission::Pattern;
use crate::domain::snapshot::{Confers, PrincipalKind, Resource};
use crate::store::{EntryQuery, EntryReach, ReadRows};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListEntries {
    pub which: Which,
    pub principal: Option<Handle>,
    pub place: Option<Place>,
    pub resource: Option<Resource>,
    pub state: Option<EntryState>,
    pub page: Paging,
}

/// Assignments or grants, narrowed by what they confer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Which {
    Assignments { role: Option<Handle> },
    Grants { pattern: Option<Pattern> },
}

impl App {
    /// A page of the assignments or grants that the caller may read, by id.
    ///
    /// # Errors
    /// PAGE_TOKEN_INVALID; NOT_FOUND for a principal, role or organization that the caller can't read.
    pub async fn list_entries<T: Weighed + Send>(
        &self,
        ctx: &Ctx,
        cmd: &ListEntries,
        print: impl Fn(EntryView) -> T + Sync,
    ) -> Result<Page<T>> {
        again(|| self.list_entries_once(ctx, cmd, &print)).await
    }

    async fn list_entries_once<T: Weighed + Send>(
        &self,
        ctx: &Ctx,
        cmd: &ListEntries,
        print: &(impl Fn(EntryView) -> T + Sync),
    ) -> Result<Page<T>> {
        let view = self.view(ctx, Freshness::Latest).await?;
        let mut guard = self.guard(ctx, &view).await?;
        let rows = self.store.rows(ctx.realm);
        let ListEntries { which, principal, place, resource, state, page } = cmd;
        let mut query = EntryQuery {
            resource: resource.clone(),
            state: state.map(|state| (state, ctx.now)),
            ..EntryQuery::default()
        };
        match which {
            Which::Grants { pattern } => (query.grants, query.pattern) = (true, pattern.clone()),
            Which::Assignments { role: Some(role) } => {
                query.role = Some(find_role(view.catalogue(), role).ok_or_else(|| Error::not_found("role"))?);
            }
            Which::Assignments { role: None } => {}
        }
        if let Some(handle) = principal {
            query.principal = Some(self.readable_principal(rows, &mut guard, handle).await?);
        }
        match place {
            Some(Place::Organization(handle)) => {
                query.organization = Some(self.readable_organization(&mut guard, handle).await?);
            }
            Some(Place::Realm) => query.realm_wide = true,
            None => {}
        }
        if query.principal.is_none() {
            query.reach = reach(&mut guard).await?;
        }
        self.page(ctx, page, Entries { rows, guard: &mut guard, query }, print).await
    }

    /// A user whom the caller reads, or a service account that it manages.
    async fn readable_principal<F: Facts>(
        &self,
        rows: ReadRows<'_>,
        guard: &mut Guard<'_, F>,
        handle: &Handle,
    ) -> Result<PrincipalId>
    where
        Error: From<F::Fault>,
    {
        let is_account = match handle {
            Handle::Id(id) => {
                guard.facts.principal(PrincipalId(*id)).await?.is_some_and(|it| !it.principal().is_user())
            }
            Handle::Natural(text) => !text.contains('@'),
        };
        let found = match is_account {
            true => readable_account(rows, guard, handle).await.map(|account| account.id.into()),
            false => self.readable_person(rows, guard, handle, "principal").await.map(|user| user.id.into()),
        };
        match found {
            Err(Error::Refused(refusal)) if refusal.reason == super::Reason::NotFound => {
                Err(Error::not_found("principal"))
            }
            outcome => outcome,
        }
    }
}

/// Entries, by id.
struct Entries<'a, 'v> {
    rows: ReadRows<'a>,
    guard: &'a mut Reader<'v>,
    query: EntryQuery,
}

impl Listing for Entries<'_, '_> {
    type At = EntryId;
    type Row = EntryRow;
    type Item = EntryView;

    async fn read(&mut self, after: Option<&EntryId>, limit: u64) -> Result<Vec<EntryRow>> {
        self.query.after = after.copied();
        Ok(self.rows.list_entries(&self.query, limit).await?)
    }

    fn at(row: &EntryRow) -> EntryId {
        row.entry.id
    }

    async fn is_seen(&mut self, row: &EntryRow) -> Result<bool> {
        is_readable(self.guard, row).await
    }

    async fn view(&mut self, rows: Vec<EntryRow>) -> Result<Vec<EntryView>> {
        views(self.rows, self.guard.facts.catalogue(), rows).await
    }
}

/// Whether the caller reads the holder where the entry is, or manages the account that has it. Of a role that is gone
/// nothing is left to read.
async fn is_readable<F: Facts>(guard: &mut Guard<'_, F>, row: &EntryRow) -> Result<bool>
where
    Error: From<F::Fault>,
{
    if let Confers::Role(role) = row.entry.confers
        && guard.facts.catalogue().role(role).is_none()
    {
        return Ok(false);
    }
    let Some(holder) = guard.facts.principal(row.principal).await? else { return Ok(false) };
    match holder.principal().kind {
        PrincipalKind::User(_) => {
            let place = row.entry.scope.organization();
            guard.allows(permissions::READ_USERS, place, Some(row.principal)).await
        }
        PrincipalKind::ServiceAccount { organization, disabled: _ } => {
            guard.allows(permissions::MANAGE_SERVICE_ACCOUNTS, organization, None).await
        }
    }
}

/// Which entries the caller may reach; absent = all.
async fn reach<F: Facts>(guard: &mut Guard<'_, F>) -> Result<Option<EntryReach>>
where
    Error: From<F::Fault>,
{
    let Some(people) = reachable_people(guard, &[permissions::READ_USERS]).await? else { return Ok(None) };
    Ok(Some(EntryReach { people, accounts: reachable(guard, &[permissions::MANAGE_SERVICE_ACCOUNTS]).await? }))
}
