//! Reading users, holding them and letting them go, and who leads whom.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::error::{Error, Result};
use super::facts::{Facts, MANAGERS_MAX};
use super::guard::{Guard, Through, not_on_oneself, permissions};
use super::read::again;
use super::write::{Change, Done};
use super::{App, Ctx, Reason};
use crate::cache::{Freshness, Subject};
use crate::crypto::page_token;
use crate::domain::account::{Hold, HoldCause, Status, User};
use crate::domain::email::identity;
use crate::domain::event::{Event, Person};
use crate::domain::handle::Handle;
use crate::domain::ids::{OrganizationId, PrincipalId, RoleId, UserId};
use crate::domain::organization::Member;
use crate::domain::policy::Team;
use crate::domain::snapshot::MembershipState;
use crate::store::{ReadRows, Rows, UserFilter};

/// A user as a caller may see it: with the names of what it refers to.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct UserView {
    pub user: User,
    pub memberships: Vec<(Member, String)>,
    pub names: BTreeMap<PrincipalId, Name>,
}

/// The natural handle of a principal, and whether it is a person's.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Name {
    pub person: bool,
    pub handle: String,
}

/// A page of a list.
#[derive(Clone, PartialEq, Debug)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Empty at the end.
    pub next: String,
}

/// What to list, and how much of it at once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Paging {
    pub size: u64,
    pub token: String,
    /// What the token is bound to: everything in the request but the page's own fields.
    pub query: Vec<u8>,
}

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

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SuspendUser {
    pub user: Handle,
    pub reason: String,
    pub etag: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReinstateUser {
    pub user: Handle,
    pub note: Option<String>,
    pub etag: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SetManager {
    pub user: Handle,
    /// `None` = nobody from now on.
    pub manager: Option<Handle>,
    pub etag: Option<String>,
}

impl App {
    /// A user, as the caller may see it.
    ///
    /// # Errors
    /// NOT_FOUND, also for a user that the caller may not read.
    pub async fn get_user(&self, ctx: &Ctx, handle: &Handle) -> Result<UserView> {
        again(|| async {
            let view = self.view(ctx, Freshness::Latest).await?;
            let mut guard = self.guard(ctx, &view).await?;
            let rows = self.store.rows(ctx.realm);
            let user = find_user(rows, handle).await?.ok_or_else(|| Error::not_found("user"))?;
            let subject = view.principal(user.id.into()).await?.ok_or_else(|| Error::not_found("user"))?;
            if !guard.reads_user(subject.principal()).await? {
                return Err(Error::not_found("user"));
            }
            user_view(rows, &mut guard, user).await
        })
        .await
    }

    /// Suspends a user and ends every session of theirs.
    ///
    /// # Errors
    /// NOT_FOUND, NOT_ON_ONESELF, a nearest miss, REACHES_UP, WOULD_ORPHAN, ETAG_MISMATCH.
    pub async fn suspend_user(&self, ctx: &Ctx, cmd: &SuspendUser) -> Result<Done<UserView>> {
        self.write(ctx, async |change: &mut Change<'_>| {
            let mut user = change.user_to_act_on(&cmd.user, permissions::SUSPEND, cmd.etag.as_deref()).await?;
            if user.hold(HoldCause::Administrator).is_none() {
                change.require_no_orphaning(user.id, None).await?;
                let hold = Hold {
                    cause: HoldCause::Administrator,
                    at: ctx.now,
                    by: ctx.actor.id(),
                    note: Some(cmd.reason.clone()),
                };
                user.holds.push(hold);
                user.session_epoch += 1;
                change.save_user(&mut user).await?;
                let organization = change.organization_of_record(user.id).await?;
                let reason = cmd.reason.clone();
                change.record(Event::UserSuspended { person: person(&user), organization, reason });
            }
            change.user_view(user).await
        })
        .await
    }

    /// Lifts every hold but the block.
    ///
    /// # Errors
    /// As [`App::suspend_user`], no orphaning aside.
    pub async fn reinstate_user(&self, ctx: &Ctx, cmd: &ReinstateUser) -> Result<Done<UserView>> {
        self.write(ctx, async |change: &mut Change<'_>| {
            let mut user = change.user_to_act_on(&cmd.user, permissions::SUSPEND, cmd.etag.as_deref()).await?;
            let lifts = |hold: &Hold| hold.cause != HoldCause::Blocked;
            let lifted: Vec<_> = user.holds.iter().filter(|hold| lifts(hold)).map(|hold| hold.cause).collect();
            if !lifted.is_empty() {
                user.holds.retain(|hold| !lifts(hold));
                user.session_epoch += 1;
                change.save_user(&mut user).await?;
                let organization = change.organization_of_record(user.id).await?;
                change.record(Event::UserReinstated { person: person(&user), organization, lifted });
            }
            change.user_view(user).await
        })
        .await
    }

    /// Sets or clears a user's manager.
    ///
    /// # Errors
    /// As [`App::suspend_user`]; the caller has to reach the old and the new manager too. MANAGER_CYCLE,
    /// MANAGER_CHAIN_TOO_DEEP, ACTOR_WOULD_GAIN.
    pub async fn set_manager(&self, ctx: &Ctx, cmd: &SetManager) -> Result<Done<UserView>> {
        self.write(ctx, async |change: &mut Change<'_>| {
            let mut user = change.user_to_act_on(&cmd.user, permissions::SET_MANAGER, cmd.etag.as_deref()).await?;
            let after = match &cmd.manager {
                Some(handle) => Some(change.readable_user(handle, "manager").await?.id),
                None => None,
            };
            if user.manager != after {
                change.require_reach_over_managers(&user, after).await?;
                change.require_no_manager_cycle(user.id, after).await?;
                let before = std::mem::replace(&mut user.manager, after);
                change.save_user(&mut user).await?;
                change.record(Event::ManagerSet { user: user.id, before, after });
            }
            change.user_view(user).await
        })
        .await
    }

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

    /// Where a list goes on.
    pub(super) fn cursor<T: serde::de::DeserializeOwned>(&self, ctx: &Ctx, page: &Paging) -> Result<Option<T>> {
        if page.token.is_empty() {
            return Ok(None);
        }
        let binding =
            page_token::Binding { realm: ctx.realm, caller: ctx.actor_id()?, rpc: ctx.rpc, query: &page.query };
        let cursor = binding.open(&self.keys, &page.token);
        cursor.map(Some).map_err(|_| {
            let violation = super::Violation {
                field: "page_token".to_owned(),
                description: "was not made for this caller and this query".to_owned(),
                reason: Some(Reason::PageTokenInvalid),
            };
            Error::Invalid(vec![violation])
        })
    }

    /// The token of the next page.
    pub(super) fn next_token<T: Serialize>(&self, ctx: &Ctx, page: &Paging, cursor: &T) -> Result<String> {
        let binding =
            page_token::Binding { realm: ctx.realm, caller: ctx.actor_id()?, rpc: ctx.rpc, query: &page.query };
        binding.seal(&self.keys, cursor).map_err(Error::internal)
    }

    pub(super) async fn readable_person<F: Facts>(
        &self,
        rows: ReadRows<'_>,
        guard: &mut Guard<'_, F>,
        handle: &Handle,
        field: &str,
    ) -> Result<User>
    where
        Error: From<F::Fault>,
    {
        let user = find_user(rows, handle).await?.ok_or_else(|| Error::not_found(field))?;
        let subject = guard.facts.principal(user.id.into()).await?.ok_or_else(|| Error::not_found(field))?;
        if guard.reads_user(subject.principal()).await? { Ok(user) } else { Err(Error::not_found(field)) }
    }

    /// An organization that the caller may read something of.
    pub(super) async fn readable_organization<F: Facts>(
        &self,
        guard: &mut Guard<'_, F>,
        handle: &Handle,
    ) -> Result<OrganizationId>
    where
        Error: From<F::Fault>,
    {
        let rows = self.store.rows(guard.facts.catalogue().realm);
        let found = match handle {
            Handle::Id(id) => rows.organization(OrganizationId(*id)).await?,
            Handle::Natural(slug) => rows.organization_by_slug(slug).await?,
        };
        let organization = found.ok_or_else(|| Error::not_found("organization"))?;
        if guard.reads_organization(organization.id).await? {
            Ok(organization.id)
        } else {
            Err(Error::not_found("organization"))
        }
    }
}

impl Change<'_> {
    /// The user that a call acts on, once it may: readable, not oneself, reached, not above the caller, as last seen.
    pub(super) async fn user_to_act_on(
        &self,
        handle: &Handle,
        permission: &'static str,
        etag: Option<&str>,
    ) -> Result<User> {
        let mut guard = self.guard().await?;
        let (user, subject) = self.found_user(handle, "user").await?;
        let reaches = guard.allows_in_one(permission, subject.principal(), Through::Active).await?;
        if !reaches && !guard.reads_user(subject.principal()).await? {
            return Err(Error::not_found("user"));
        }
        not_on_oneself(guard.actor.principal().id, user.id.into())?;
        guard.require_over_account(permission, subject.principal()).await?;
        guard.require_not_reaching_up(subject.principal(), None).await?;
        check_etag(etag, &user.etag())?;
        Ok(user)
    }

    /// A user that the caller may read.
    pub(super) async fn readable_user(&self, handle: &Handle, field: &str) -> Result<User> {
        let mut guard = self.guard().await?;
        let (user, subject) = self.found_user(handle, field).await?;
        if guard.reads_user(subject.principal()).await? { Ok(user) } else { Err(Error::not_found(field)) }
    }

    /// A user and its facts, without asking whether the caller may know of it.
    pub(super) async fn found_user(&self, handle: &Handle, field: &str) -> Result<(User, Subject)> {
        let user = find_user(self.rows(), handle).await?.ok_or_else(|| Error::not_found(field))?;
        let subject = self.principal(user.id.into()).await?.ok_or_else(|| Error::not_found(field))?;
        Ok((user, subject))
    }

    /// Writes an account as a next version.
    pub(super) async fn save_user(&mut self, user: &mut User) -> Result<()> {
        user.version += 1;
        self.rows().update_user(user).await?;
        self.forget_facts();
        Ok(())
    }

    /// The user as the caller may see it after this change.
    pub(super) async fn user_view(&self, user: User) -> Result<UserView> {
        user_view(self.rows(), &mut self.guard().await?, user).await
    }

    /// The one organization that a change of an account is filed under in the audit log.
    pub(super) async fn organization_of_record(&self, user: UserId) -> Result<Option<OrganizationId>> {
        let memberships = self.rows().memberships(user).await?;
        let active = memberships.iter().find(|member| member.state == MembershipState::Active);
        Ok(active.or(memberships.first()).map(|member| member.organization))
    }

    async fn require_reach_over_managers(&self, user: &User, after: Option<UserId>) -> Result<()> {
        let mut guard = self.guard().await?;
        let me = guard.actor.principal().id;
        if after.map(PrincipalId::from) == Some(me) && !guard.leads(user.id.into()).await? {
            return Err(Error::refused(Reason::ActorWouldGain, "nobody makes themself a manager of others"));
        }
        for manager in user.manager.iter().chain(&after).filter(|manager| PrincipalId::from(**manager) != me) {
            if let Some(subject) = self.principal((*manager).into()).await? {
                guard.require_over_account(permissions::SET_MANAGER, subject.principal()).await?;
            }
        }
        Ok(())
    }

    async fn require_no_manager_cycle(&self, user: UserId, after: Option<UserId>) -> Result<()> {
        let below = depth_below(self.rows(), user).await?;
        let mut above = 0;
        let mut next = after;
        while let Some(manager) = next {
            if manager == user {
                return Err(Error::refused(Reason::ManagerCycle, "nobody leads somebody who leads them"));
            }
            above += 1;
            if above + below > MANAGERS_MAX {
                let message = format!("a chain of managers would be longer than {MANAGERS_MAX}");
                return Err(Error::refused(Reason::ManagerChainTooDeep, message));
            }
            next = self.rows().user(manager).await?.and_then(|manager| manager.manager);
        }
        Ok(())
    }
}

/// An account as mails and the audit log name it.
pub(super) fn person(user: &User) -> Person {
    Person { id: user.id, email: user.email.clone(), name: user.display_name.clone() }
}

/// A stale etag is refused; none asks nothing.
pub(super) fn check_etag(given: Option<&str>, current: &str) -> Result<()> {
    match given {
        Some(given) if given != current => Err(Error::refused_with(
            Reason::EtagMismatch,
            format!("the etag is {current}, not {given}"),
            vec![("etag", current.to_owned())],
        )),
        _ => Ok(()),
    }
}

/// The user of that handle, a deleted one only by its id.
pub(super) async fn find_user<C: crate::store::Connection>(rows: Rows<'_, C>, handle: &Handle) -> Result<Option<User>> {
    Ok(match handle {
        Handle::Id(id) => rows.user(UserId(*id)).await?,
        Handle::Natural(email) => rows.user_by_identity(&identity(email)).await?,
    })
}

/// The role of that handle.
pub(super) fn find_role(catalogue: &crate::domain::catalogue::Catalogue, handle: &Handle) -> Option<RoleId> {
    match handle {
        Handle::Id(id) => catalogue.role(RoleId(*id)),
        Handle::Natural(name) => catalogue.role_named(name),
    }
    .map(|role| role.id)
}

/// The user with the names of what it refers to; other organizations are shown to those who may read the user there.
pub(super) async fn user_view<C: crate::store::Connection, F: Facts>(
    rows: Rows<'_, C>,
    guard: &mut Guard<'_, F>,
    user: User,
) -> Result<UserView>
where
    Error: From<F::Fault>,
{
    let mine = guard.actor.principal().id == PrincipalId::from(user.id);
    let mut memberships = vec![];
    for member in rows.memberships(user.id).await? {
        let permission = match member.state {
            MembershipState::Active => permissions::READ_USERS,
            MembershipState::Pending | MembershipState::Rejected => permissions::APPROVE,
        };
        if mine || guard.allows(permission, Some(member.organization), Some(user.id.into())).await? {
            memberships.push(member);
        }
    }
    let organizations: Vec<_> = memberships.iter().map(|member| member.organization).collect();
    let slugs = rows.slugs(&organizations).await?;
    let memberships = memberships
        .into_iter()
        .map(|member| {
            let slug = slugs.get(&member.organization).cloned().unwrap_or_default();
            (member, slug)
        })
        .collect();
    let mut referred: Vec<PrincipalId> = user.holds.iter().filter_map(|hold| hold.by).collect();
    referred.extend(user.approval.by);
    referred.extend(user.deleted_by);
    referred.extend(user.manager.map(PrincipalId::from));
    let names = rows.names(&referred).await?;
    let names = names.into_iter().map(|(id, person, handle)| (id, Name { person, handle })).collect();
    Ok(UserView { user, memberships, names })
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

/// Everybody in somebody's team.
pub(super) async fn team(rows: ReadRows<'_>, leader: UserId, team: Team) -> Result<Vec<UserId>> {
    let mut members = rows.direct_reports(leader).await?;
    let mut asked = 0;
    while team == Team::Chain && asked < members.len() {
        let next = members[asked];
        asked += 1;
        for report in rows.direct_reports(next).await? {
            if report != leader && !members.contains(&report) {
                members.push(report);
            }
        }
    }
    Ok(members)
}

/// How many levels of people there are below somebody, themself counted.
async fn depth_below<C: crate::store::Connection>(rows: Rows<'_, C>, user: UserId) -> Result<usize> {
    let mut level = vec![user];
    let mut depth = 0;
    while !level.is_empty() && depth <= MANAGERS_MAX {
        depth += 1;
        let mut next = vec![];
        for manager in level {
            next.extend(rows.direct_reports(manager).await?);
        }
        level = next;
    }
    Ok(depth)
}
