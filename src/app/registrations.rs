//! The list of those who wait for a decision, as far as the caller makes it.

use serde::{Deserialize, Serialize};

use super::error::{Error, Result};
use super::facts::Facts;
use super::guard::{Guard, permissions};
use super::paging::{Page, Paging};
use super::read::again;
use super::user::{UserView, user_view};
use super::users::narrow_to_reach;
use super::{App, Ctx};
use crate::cache::Freshness;
use crate::domain::account::{ApprovalState, User};
use crate::domain::handle::Handle;
use crate::domain::ids::{OrganizationId, UserId};
use crate::domain::organization::Member;
use crate::domain::snapshot::MembershipState;
use crate::domain::time::{Timestamp, days};
use crate::store::{GivenCodes, ReadRows, UserFilter};

/// How many users are read at once, at least: not everybody who waits is the caller's to decide on.
const READ_MIN: u64 = 50;

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
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Cursor {
    user: UserId,
    organization: Option<OrganizationId>,
}

impl App {
    /// A page of those who wait for a decision of the caller, oldest first.
    ///
    /// # Errors
    /// PAGE_TOKEN_INVALID; NOT_FOUND for an organization that the caller can't read.
    pub async fn list_registrations(&self, ctx: &Ctx, cmd: &ListRegistrations) -> Result<Page<Registration>> {
        again(|| self.list_registrations_once(ctx, cmd)).await
    }

    async fn list_registrations_once(&self, ctx: &Ctx, cmd: &ListRegistrations) -> Result<Page<Registration>> {
        let view = self.view(ctx, Freshness::Latest).await?;
        let mut guard = self.guard(ctx, &view).await?;
        let rows = self.store.rows(ctx.realm);
        let mut filter = UserFilter { pending: true, ..UserFilter::default() };
        if let Some(handle) = &cmd.organization {
            filter.organization = Some(self.readable_organization(&mut guard, handle).await?);
        }
        narrow_to_reach(rows, &mut guard, &[permissions::APPROVE], &mut filter).await?;
        let size = usize::try_from(cmd.page.size).unwrap_or(usize::MAX);
        let from = self.cursor::<Cursor>(ctx, &cmd.page)?;
        let mut found = collect(rows, &mut guard, filter, from, size).await?;
        let next = match found.get(size.saturating_sub(1)).filter(|_| found.len() > size) {
            Some((cursor, _)) => self.next_token(ctx, &cmd.page, cursor)?,
            None => String::new(),
        };
        found.truncate(size);
        Ok(Page { items: found.into_iter().map(|(_, registration)| registration).collect(), next })
    }
}

/// Reads on until there is one more than fits on the page, or nobody is left.
async fn collect<F: Facts>(
    rows: ReadRows<'_>,
    guard: &mut Guard<'_, F>,
    mut filter: UserFilter,
    from: Option<Cursor>,
    size: usize,
) -> Result<Vec<(Cursor, Registration)>>
where
    Error: From<F::Fault>,
{
    let mut found = vec![];
    if let Some(Cursor { user, organization: Some(last) }) = from
        && let Some(user) = rows.user(user).await?
    {
        let mut rest = registrations(rows, guard, &user, filter.organization).await?;
        rest.retain(|(cursor, _)| cursor.organization > Some(last));
        found.append(&mut rest);
    }
    filter.after = from.map(|cursor| cursor.user);
    let limit = u64::try_from(size).unwrap_or(u64::MAX).saturating_add(1).max(READ_MIN);
    loop {
        let users = rows.list_users(&filter, limit).await?;
        for user in &users {
            filter.after = Some(user.id);
            found.append(&mut registrations(rows, guard, user, filter.organization).await?);
            if found.len() > size {
                return Ok(found);
            }
        }
        if (users.len() as u64) < limit {
            return Ok(found);
        }
    }
}

/// Where this user waits, as far as the caller decides on it.
async fn registrations<F: Facts>(
    rows: ReadRows<'_>,
    guard: &mut Guard<'_, F>,
    user: &User,
    within: Option<OrganizationId>,
) -> Result<Vec<(Cursor, Registration)>>
where
    Error: From<F::Fault>,
{
    let Some(subject) = guard.facts.principal(user.id.into()).await? else { return Ok(vec![]) };
    let memberships = rows.memberships(user.id).await?;
    let mut found = vec![];
    for place in waits_in(user, &memberships) {
        let organization = place.map(|member| member.organization);
        let asked = within.is_none() || within == organization;
        if !asked || !guard.approves(subject.principal(), organization).await? {
            continue;
        }
        let registered_at = place.map_or(user.created_at, |member| member.created_at);
        let mut codes = rows.codes_of(user.id).await?;
        let mut slugs = rows.slugs(organization.as_slice()).await?;
        let registration = Registration {
            user: user_view(rows, guard, user.clone()).await?,
            organization: organization.map(|id| (id, slugs.remove(&id).unwrap_or_default())),
            codes: organization.and_then(|id| codes.remove(&id)).unwrap_or_default(),
            registered_at,
            expires_at: registered_at.after(days(guard.facts.catalogue().policy.registration_days)),
        };
        found.push((Cursor { user: user.id, organization }, registration));
    }
    Ok(found)
}

/// The memberships that wait; for an account that waits with none of them, those that it has, or no organization.
fn waits_in<'a>(user: &User, memberships: &'a [Member]) -> Vec<Option<&'a Member>> {
    let in_state = |state| memberships.iter().filter(move |held| held.state == state).map(Some);
    let waiting: Vec<_> = in_state(MembershipState::Pending).collect();
    match user.approval.state {
        ApprovalState::Pending if memberships.is_empty() => vec![None],
        ApprovalState::Pending if waiting.is_empty() => in_state(MembershipState::Active).collect(),
        _ => waiting,
    }
}
