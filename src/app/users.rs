//! Listing users: a query narrows, and each of whom it finds is still decided by itself.

use std::collections::BTreeSet;

use super::error::{Error, Result};
use super::facts::Facts;
use super::guard::{Guard, permissions};
use super::paging::{Page, Paging};
use super::read::again;
use super::user::{UserView, find_role, user_view};
use super::{App, Ctx};
use crate::cache::Freshness;
use crate::domain::account::Status;
use crate::domain::handle::Handle;
use crate::domain::ids::UserId;
use crate::domain::policy::Team;
use crate::store::{ReadRows, UserFilter};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListUsers {
    /// Part of the address, or the whole of it.
    pub email: String,
    /// Part of the name.
    pub display_name: String,
    pub status: Option<Status>,
    pub organization: Option<Handle>,
    pub role: Option<Handle>,
    pub manager: Option<Handle>,
    pub held: bool,
    pub unverified: bool,
    pub page: Paging,
}

impl App {
    /// A page of the users that the caller may read, by id.
    ///
    /// # Errors
    /// PAGE_TOKEN_INVALID; NOT_FOUND for an organization, role or manager that the caller can't read.
    pub async fn list_users(&self, ctx: &Ctx, cmd: &ListUsers) -> Result<Page<UserView>> {
        again(|| self.list_users_once(ctx, cmd)).await
    }

    async fn list_users_once(&self, ctx: &Ctx, cmd: &ListUsers) -> Result<Page<UserView>> {
        let view = self.view(ctx, Freshness::Latest).await?;
        let mut guard = self.guard(ctx, &view).await?;
        let rows = self.store.rows(ctx.realm);
        let after = self.cursor(ctx, &cmd.page)?;
        let mut filter = UserFilter { after, status: cmd.status, ..UserFilter::default() };
        filter.held = cmd.held.then_some(true);
        filter.unverified = cmd.unverified.then_some(true);
        filter.email = Some(cmd.email.clone()).filter(|text| !text.is_empty());
        filter.name = Some(cmd.display_name.clone()).filter(|text| !text.is_empty());
        filter.organization = match &cmd.organization {
            Some(handle) => Some(self.readable_organization(&mut guard, handle).await?),
            None => None,
        };
        filter.role = match &cmd.role {
            Some(handle) => Some(find_role(view.catalogue(), handle).ok_or_else(|| Error::not_found("role"))?),
            None => None,
        };
        filter.manager = match &cmd.manager {
            Some(handle) => Some(self.readable_person(rows, &mut guard, handle, "manager").await?.id),
            None => None,
        };
        let reading = [permissions::READ_USERS, permissions::APPROVE];
        narrow_to_reach(rows, &mut guard, &reading, &mut filter).await?;
        self.page_of_users(ctx, rows, &mut guard, filter, &cmd.page).await
    }

    /// Reads on until the page is full: who is in the filter but out of the caller's reach is passed over.
    async fn page_of_users<F: Facts>(
        &self,
        ctx: &Ctx,
        rows: ReadRows<'_>,
        guard: &mut Guard<'_, F>,
        mut filter: UserFilter,
        page: &Paging,
    ) -> Result<Page<UserView>>
    where
        Error: From<F::Fault>,
    {
        let mut items = vec![];
        loop {
            let found = rows.list_users(&filter, page.size + 1).await?;
            let more = found.len() as u64 > page.size;
            for user in found.into_iter().take(usize::try_from(page.size).unwrap_or(usize::MAX)) {
                let id = user.id;
                filter.after = Some(id);
                let subject = guard.facts.principal(id.into()).await?;
                let readable = match &subject {
                    Some(subject) => guard.reads_user(subject.principal()).await?,
                    None => false,
                };
                if readable {
                    items.push(user_view(rows, guard, user).await?);
                }
                if items.len() as u64 == page.size {
                    let next = self.next_token(ctx, page, &id)?;
                    let next = if more { next } else { String::new() };
                    return Ok(Page { items, next });
                }
            }
            if !more {
                return Ok(Page { items, next: String::new() });
            }
        }
    }
}

/// Leaves only people whom the caller may reach by one of these permissions, as far as a query can say it; each is still
/// decided by itself.
pub(super) async fn narrow_to_reach<F: Facts>(
    rows: ReadRows<'_>,
    guard: &mut Guard<'_, F>,
    by: &[&str],
    filter: &mut UserFilter,
) -> Result<()>
where
    Error: From<F::Fault>,
{
    for permission in by {
        if guard.allows(permission, None, None).await? {
            return Ok(());
        }
    }
    let actor = guard.actor.principal().id;
    let mut people = vec![UserId(actor.0)];
    people.extend(team(rows, UserId(actor.0), guard.facts.catalogue().policy.team).await?);
    let scopes = guard.actor.principal().entries.iter().filter_map(|entry| entry.scope.organization());
    filter.within = Some(scopes.collect());
    filter.people = Some(people);
    Ok(())
}

/// Everybody in somebody's team, read level by level.
pub(super) async fn team(rows: ReadRows<'_>, leader: UserId, team: Team) -> Result<Vec<UserId>> {
    let mut members = BTreeSet::new();
    let mut level = vec![leader];
    while !level.is_empty() {
        level = rows.direct_reports(&level).await?;
        level.retain(|report| *report != leader && members.insert(*report));
        if team == Team::Direct {
            break;
        }
    }
    Ok(members.into_iter().collect())
}
