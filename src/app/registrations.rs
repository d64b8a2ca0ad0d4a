//! The list of those who wait for a decision, as far as the caller makes it.

use serde::{Deserialize, Serialize};

use super::error::Result;
use super::guard::permissions;
use super::paging::{Listing, Page, Paging, Weighed};
use super::reachable::reachable_people;
use super::read::{Reader, again};
use super::user::{UserView, user_views};
use super::{App, Ctx};
use crate::cache::Freshness;
use crate::domain::account::{ApprovalState, User};
use crate::domain::handle::Handle;
use crate::domain::ids::{OrganizationId, UserId};
use crate::domain::organization::Member;
use crate::domain::snapshot::MembershipState;
use crate::domain::time::{Timestamp, days};
use crate::store::{GivenCodes, ReadRows, UserFilter};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListRegistrations {
    pub organization: Option<Handle>,
    pub page: Paging,
}

/// A user who waits, and where.
#[derive(Clone, PartialEq, Debug)]
pub struct Registration {
    pub user: UserView,
    /// With its slug; absent where the realm asked for none.
    pub organization: Option<(OrganizationId, String)>,
    pub codes: GivenCodes,
    pub registered_at: Timestamp,
    pub expires_at: Timestamp,
}

/// The last one of a page.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
struct Cursor {
    user: UserId,
    organization: Option<OrganizationId>,
}

impl App {
    /// A page of those who wait for a decision of the caller, oldest first.
    ///
    /// # Errors
    /// PAGE_TOKEN_INVALID; NOT_FOUND for an organization that the caller can't read.
    pub async fn list_registrations<T: Weighed + Send>(
        &self,
        ctx: &Ctx,
        cmd: &ListRegistrations,
        print: impl Fn(Registration) -> T + Sync,
    ) -> Result<Page<T>> {
        again(|| self.list_registrations_once(ctx, cmd, &print)).await
    }

    async fn list_registrations_once<T: Weighed + Send>(
        &self,
        ctx: &Ctx,
        cmd: &ListRegistrations,
        print: &(impl Fn(Registration) -> T + Sync),
    ) -> Result<Page<T>> {
        let view = self.view(ctx, Freshness::Latest).await?;
        let mut guard = self.guard(ctx, &view).await?;
        let mut filter = UserFilter { pending: true, ..UserFilter::default() };
        if let Some(handle) = &cmd.organization {
            filter.organization = Some(self.readable_organization(&mut guard, handle).await?);
        }
        filter.reach = reachable_people(&mut guard, &[permissions::APPROVE]).await?;
        let list = Registrations { rows: self.store.rows(ctx.realm), guard: &mut guard, filter };
        self.page(ctx, &cmd.page, list, print).await
    }
}

/// Who waits for a decision, and where: by user, then by organization.
struct Registrations<'a, 'v> {
    rows: ReadRows<'a>,
    guard: &'a mut Reader<'v>,
    filter: UserFilter,
}

impl Listing for Registrations<'_, '_> {
    type At = Cursor;
    type Row = (User, Option<Member>);
    type Item = Registration;

    /// Whoever waits in several organizations is several rows, so that a page may begin in the middle of them.
    async fn read(&mut self, after: Option<&Cursor>, limit: u64) -> Result<Vec<Self::Row>> {
        let mut found = vec![];
        if let Some(last) = after {
            found = self.waiting(self.rows.users_of(&[last.user]).await?).await?;
            found.retain(|row| Self::at(row) > *last);
        }
        self.filter.after = after.map(|last| last.user);
        while (found.len() as u64) < limit {
            let users = self.rows.list_users(&self.filter, limit).await?;
            let ended = (users.len() as u64) < limit;
            self.filter.after = users.last().map(|user| user.id).or(self.filter.after);
            found.append(&mut self.waiting(users).await?);
            if ended {
                break;
            }
        }
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(found)
    }

    fn at((user, member): &Self::Row) -> Cursor {
        Cursor { user: user.id, organization: member.as_ref().map(|member| member.organization) }
    }

    async fn is_seen(&mut self, (user, member): &Self::Row) -> Result<bool> {
        match self.guard.facts.principal(user.id.into()).await? {
            Some(newcomer) => {
                self.guard.approves(newcomer.principal(), member.as_ref().map(|member| member.organization)).await
            }
            None => Ok(false),
        }
    }

    async fn view(&mut self, rows: Vec<Self::Row>) -> Result<Vec<Registration>> {
        let (users, members): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
        let ids: Vec<_> = users.iter().map(|user| user.id).collect();
        let mut codes = self.rows.codes_of(&ids).await?;
        let organizations: Vec<_> = members.iter().flatten().map(|member| member.organization).collect();
        let slugs = self.rows.slugs(&organizations).await?;
        let waits = days(self.guard.facts.catalogue().policy.registration_days);
        let view = |(user, member): (UserView, Option<Member>)| {
            let organization = member.as_ref().map(|member| member.organization);
            let registered_at = member.map_or(user.user.created_at, |member| member.created_at);
            Registration {
                codes: organization.and_then(|id| codes.remove(&(user.user.id, id))).unwrap_or_default(),
                organization: organization.map(|id| (id, slugs.get(&id).cloned().unwrap_or_default())),
                registered_at,
                expires_at: registered_at.after(waits),
                user,
            }
        };
        Ok(user_views(self.rows, self.guard, users).await?.into_iter().zip(members).map(view).collect())
    }
}

impl Registrations<'_, '_> {
    /// Where these users wait, as far as it was asked for.
    async fn waiting(&self, users: Vec<User>) -> Result<Vec<(User, Option<Member>)>> {
        let ids: Vec<_> = users.iter().map(|user| user.id).collect();
        let memberships = self.rows.memberships_of(&ids).await?;
        let asked = |member: &Option<&Member>| {
            self.filter.organization.is_none_or(|asked| member.is_some_and(|member| member.organization == asked))
        };
        let living = users.into_iter().filter(|user| user.deleted_at.is_none());
        let waits = |user: User| {
            let own: Vec<_> = memberships.iter().filter(|member| member.user == user.id).collect();
            let places = waits_in(&user, &own).into_iter().filter(asked).map(Option::<&Member>::cloned);
            places.map(|place| (user.clone(), place)).collect::<Vec<_>>()
        };
        Ok(living.flat_map(waits).collect())
    }
}

/// The memberships that wait; for an account that waits with none of them, those that it has, or no organization.
fn waits_in<'a>(user: &User, memberships: &[&'a Member]) -> Vec<Option<&'a Member>> {
    let in_state = |state| memberships.iter().copied().filter(move |held| held.state == state).map(Some);
    let waiting: Vec<_> = in_state(MembershipState::Pending).collect();
    match user.approval.state {
        ApprovalState::Pending if memberships.is_empty() => vec![None],
        ApprovalState::Pending if waiting.is_empty() => in_state(MembershipState::Active).collect(),
        _ => waiting,
    }
}
