//! Listing the members of an organization: a query narrows, and each is still decided by itself.

use std::collections::BTreeMap;

use super::error::{Error, Result};
use super::facts::Facts;
use super::guard::{Guard, permissions};
use super::organization::MemberView;
use super::paging::{Page, Paging};
use super::read::again;
use super::user::find_role;
use super::users::team;
use super::{App, Ctx, Name};
use crate::cache::Freshness;
use crate::domain::account::User;
use crate::domain::handle::Handle;
use crate::domain::ids::{OrganizationId, UserId};
use crate::domain::organization::Member;
use crate::domain::snapshot::MembershipState;
use crate::store::{MemberFilter, ReadRows};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListMembers {
    pub organization: Handle,
    pub state: Option<MembershipState>,
    pub role: Option<Handle>,
    pub page: Paging,
}

/// A member, with the name that people see.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedMember {
    pub member: MemberView,
    pub display_name: String,
}

impl App {
    /// A page of those members whom the caller may read there, by user.
    ///
    /// # Errors
    /// PAGE_TOKEN_INVALID; NOT_FOUND for an organization that the caller does not know of, and for a role.
    pub async fn list_members(&self, ctx: &Ctx, cmd: &ListMembers) -> Result<Page<ListedMember>> {
        again(|| self.list_members_once(ctx, cmd)).await
    }

    async fn list_members_once(&self, ctx: &Ctx, cmd: &ListMembers) -> Result<Page<ListedMember>> {
        let view = self.view(ctx, Freshness::Latest).await?;
        let mut guard = self.guard(ctx, &view).await?;
        let rows = self.store.rows(ctx.realm);
        let organization = self.readable_organization(&mut guard, &cmd.organization).await?;
        let role = match &cmd.role {
            Some(handle) => Some(find_role(view.catalogue(), handle).ok_or_else(|| Error::not_found("role"))?),
            None => None,
        };
        let people = reached_alone(rows, &mut guard, organization).await?;
        let after = self.cursor(ctx, &cmd.page)?;
        let filter = MemberFilter { organization, state: cmd.state, role, people, after };
        self.page_of_members(ctx, rows, &mut guard, filter, &cmd.page).await
    }

    /// Reads on until the page is full: who is in the filter but out of the caller's reach is passed over.
    async fn page_of_members<F: Facts>(
        &self,
        ctx: &Ctx,
        rows: ReadRows<'_>,
        guard: &mut Guard<'_, F>,
        mut filter: MemberFilter,
        page: &Paging,
    ) -> Result<Page<ListedMember>>
    where
        Error: From<F::Fault>,
    {
        let slug = rows.slugs(&[filter.organization]).await?.remove(&filter.organization).unwrap_or_default();
        let mut items = vec![];
        loop {
            let mut found = rows.list_members(&filter, page.size + 1).await?;
            let more = found.len() as u64 > page.size;
            found.truncate(usize::try_from(page.size).unwrap_or(usize::MAX));
            let ids: Vec<_> = found.iter().map(|member| member.user).collect();
            let users = rows.users_of(&ids).await?.into_iter().filter(|user| user.deleted_at.is_none());
            let mut users: BTreeMap<UserId, User> = users.map(|user| (user.id, user)).collect();
            for member in found {
                let id = member.user;
                filter.after = Some(id);
                if let Some(user) = users.remove(&id)
                    && is_shown(guard, &member).await?
                {
                    let (name, slug) = (Name { person: true, handle: user.email }, slug.clone());
                    let member = MemberView { member, slug, user: name };
                    items.push(ListedMember { member, display_name: user.display_name });
                }
                if items.len() as u64 == page.size {
                    let next = if more { self.next_token(ctx, page, &id)? } else { String::new() };
                    return Ok(Page { items, next });
                }
            }
            if !more {
                return Ok(Page { items, next: String::new() });
            }
        }
    }
}

/// Whether the caller may see this membership: an ACTIVE one is a user's to read, another one an approver's.
async fn is_shown<F: Facts>(guard: &mut Guard<'_, F>, member: &Member) -> Result<bool>
where
    Error: From<F::Fault>,
{
    let (place, user) = (Some(member.organization), member.user.into());
    if member.state == MembershipState::Active {
        return guard.allows(permissions::READ_USERS, place, Some(user)).await;
    }
    match guard.facts.principal(user).await? {
        Some(newcomer) => guard.approves(newcomer.principal(), place).await,
        None => Ok(false),
    }
}

/// The people whom alone the caller may see there: themself and their team. `None` = anybody, each decided by itself.
async fn reached_alone<F: Facts>(
    rows: ReadRows<'_>,
    guard: &mut Guard<'_, F>,
    organization: OrganizationId,
) -> Result<Option<Vec<UserId>>>
where
    Error: From<F::Fault>,
{
    for (permission, place) in [
        (permissions::READ_USERS, Some(organization)),
        (permissions::APPROVE, Some(organization)),
        (permissions::APPROVE, None),
    ] {
        if guard.allows(permission, place, None).await? {
            return Ok(None);
        }
    }
    let caller = UserId(guard.actor.principal().id.0);
    let mut people = team(rows, caller, guard.facts.catalogue().policy.team).await?;
    people.push(caller);
    Ok(Some(people))
}
