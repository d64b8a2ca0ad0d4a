//! Listing assignments and grants: a query narrows, and each entry that it finds is still decided by itself.

use super::entry::{EntryView, views};
use super::error::{Error, Result};
use super::facts::Facts;
use super::guard::{Guard, permissions};
use super::paging::{Page, Paging};
use super::read::again;
use super::receiver::Place;
use super::service_accounts::readable_account;
use super::user::find_role;
use super::users::team;
use super::{App, Ctx};
use crate::cache::Freshness;
use crate::domain::entry::{EntryRow, EntryState};
use crate::domain::handle::Handle;
use crate::domain::ids::{EntryId, PrincipalId, UserId};
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
    pub async fn list_entries(&self, ctx: &Ctx, cmd: &ListEntries) -> Result<Page<EntryView>> {
        again(|| self.list_entries_once(ctx, cmd)).await
    }

    async fn list_entries_once(&self, ctx: &Ctx, cmd: &ListEntries) -> Result<Page<EntryView>> {
        let view = self.view(ctx, Freshness::Latest).await?;
        let mut guard = self.guard(ctx, &view).await?;
        let rows = self.store.rows(ctx.realm);
        let ListEntries { which, principal, place, resource, state, page } = cmd;
        let mut query = EntryQuery {
            resource: resource.clone(),
            state: state.map(|state| (state, ctx.now)),
            after: self.cursor::<EntryId>(ctx, page)?,
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
            query.reach = reach(rows, &mut guard).await?;
        }
        self.page_of_entries(ctx, rows, &mut guard, query, page).await
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

    /// Reads on until the page is full: what is in the query but out of the caller's reach is passed over.
    async fn page_of_entries<F: Facts>(
        &self,
        ctx: &Ctx,
        rows: ReadRows<'_>,
        guard: &mut Guard<'_, F>,
        mut query: EntryQuery,
        page: &Paging,
    ) -> Result<Page<EntryView>>
    where
        Error: From<F::Fault>,
    {
        let size = usize::try_from(page.size).unwrap_or(usize::MAX);
        let mut items = vec![];
        loop {
            let found = rows.list_entries(&query, page.size + 1).await?;
            let ended = found.len() <= size;
            for row in found {
                query.after = Some(row.entry.id);
                if is_readable(guard, &row).await? {
                    items.push(row);
                }
            }
            if ended || items.len() > size {
                break;
            }
        }
        let (items, next) = self.cut(ctx, page, items, |row| row.entry.id)?;
        Ok(Page { items: views(rows, guard.facts.catalogue(), items).await?, next })
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

/// What the caller reaches, as far as a query can say it; absent = everything.
async fn reach<F: Facts>(rows: ReadRows<'_>, guard: &mut Guard<'_, F>) -> Result<Option<EntryReach>>
where
    Error: From<F::Fault>,
{
    if guard.allows(permissions::READ_USERS, None, None).await? {
        return Ok(None);
    }
    let within: Vec<_> = guard.scopes().into_iter().collect();
    let every_account = guard.allows(permissions::MANAGE_SERVICE_ACCOUNTS, None, None).await?;
    let accounts_of = (!every_account).then(|| within.clone());
    let me = guard.actor.principal().id;
    let mut people = vec![me];
    let led = team(rows, UserId(me.0), guard.facts.catalogue().policy.team).await?;
    people.extend(led.into_iter().map(PrincipalId::from));
    Ok(Some(EntryReach { within, people, accounts_of }))
}
