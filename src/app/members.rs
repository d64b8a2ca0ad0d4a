//! Listing the members of an organization: a query narrows, and each is still decided by itself.

use std::collections::BTreeMap;

use super::error::{Error, Result};
use super::facts::Facts;
use super::guard::{Guard, permissions};
use super::organization::MemberView;
use super::paging::{Listing, Page, Paging, Weighed};
use super::read::{Reader, again};
use super::user::find_role;
use super::{App, Ctx, Name};
use crate::cache::Freshness;
use crate::domain::account::User;
use crate::domain::handle::Handle;
use crate::domain::ids::{OrganizationId, UserId};
use crate::domain::organization::Member;
use crate::domain::snapshot::MembershipState;
use crate::store::{MemberFilter, Reach, ReadRows, Within};

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
    pub async fn list_members<T: Weighed + Send>(
        &self,
        ctx: &Ctx,
        cmd: &ListMembers,
        print: impl Fn(ListedMember) -> T + Sync,
    ) -> Result<Page<T>> {
        again(|| self.list_members_once(ctx, cmd, &print)).await
    }

    async fn list_members_once<T: Weighed + Send>(
        &self,
        ctx: &Ctx,
        cmd: &ListMembers,
        print: &(impl Fn(ListedMember) -> T + Sync),
    ) -> Result<Page<T>> {
        let view = self.view(ctx, Freshness::Latest).await?;
        let mut guard = self.guard(ctx, &view).await?;
        let rows = self.store.rows(ctx.realm);
        let organization = self.readable_organization(&mut guard, &cmd.organization).await?;
        let role = match &cmd.role {
            Some(handle) => Some(find_role(view.catalogue(), handle).ok_or_else(|| Error::not_found("role"))?),
            None => None,
        };
        let team = only_team(&mut guard, organization).await?;
        let filter = MemberFilter { organization, state: cmd.state, role, team, after: None };
        let slug = rows.slugs(&[organization]).await?.remove(&organization).unwrap_or_default();
        self.page(ctx, &cmd.page, Members { rows, guard: &mut guard, filter, slug }, print).await
    }
}

/// The members of an organization, by user.
struct Members<'a, 'v> {
    rows: ReadRows<'a>,
    guard: &'a mut Reader<'v>,
    filter: MemberFilter,
    slug: String,
}

impl Listing for Members<'_, '_> {
    type At = UserId;
    type Row = Member;
    type Item = ListedMember;

    async fn read(&mut self, after: Option<&UserId>, limit: u64) -> Result<Vec<Member>> {
        self.filter.after = after.copied();
        Ok(self.rows.list_members(&self.filter, limit).await?)
    }

    fn at(member: &Member) -> UserId {
        member.user
    }

    /// An ACTIVE membership is a user's to read, another one an approver's.
    async fn is_seen(&mut self, member: &Member) -> Result<bool> {
        let (place, user) = (Some(member.organization), member.user.into());
        if member.state == MembershipState::Active {
            return self.guard.allows(permissions::READ_USERS, place, Some(user)).await;
        }
        match self.guard.facts.principal(user).await? {
            Some(newcomer) => self.guard.approves(newcomer.principal(), place).await,
            None => Ok(false),
        }
    }

    async fn view(&mut self, members: Vec<Member>) -> Result<Vec<ListedMember>> {
        let ids: Vec<_> = members.iter().map(|member| member.user).collect();
        let users = self.rows.users_of(&ids).await?.into_iter();
        let mut users: BTreeMap<UserId, User> = users.map(|user| (user.id, user)).collect();
        let view = |member: Member| {
            let user = users.remove(&member.user).ok_or_else(|| Error::internal("a member has no account"))?;
            let (name, slug) = (Name { person: true, handle: user.email }, self.slug.clone());
            Ok(ListedMember { member: MemberView { member, slug, user: name }, display_name: user.display_name })
        };
        members.into_iter().map(view).collect()
    }
}

/// The caller and its team, if it sees nobody else there; `None` = anybody, each decided by itself.
async fn only_team<F: Facts>(guard: &mut Guard<'_, F>, organization: OrganizationId) -> Result<Option<Reach>>
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
    let (caller, team) = (guard.actor.principal().id, guard.facts.catalogue().policy.team);
    Ok(Some(Reach { caller, team, within: Within::default() }))
}
