//! Reading users, holding them and letting them go, and who leads whom.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::error::{Error, Result};
use super::facts::Facts;
use super::guard::{Guard, NOBODY, Through, permissions};
use super::read::again;
use super::resolve::organization_id;
use super::write::{Change, Done};
use super::{App, Ctx, Reason};
use crate::cache::{Freshness, Subject};
use crate::domain::account::{Hold, HoldCause, User};
use crate::domain::email::identity;
use crate::domain::event::{Event, Person};
use crate::domain::handle::Handle;
use crate::domain::ids::{OrganizationId, PrincipalId, RoleId, UserId};
use crate::domain::organization::Member;
use crate::domain::snapshot::MembershipState;
use crate::store::{ReadRows, Rows};

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

impl App {
    /// A user, as the caller may see it.
    ///
    /// # Errors
    /// NOT_FOUND, also for a user that the caller may not read.
    pub async fn get_user(&self, ctx: &Ctx, handle: Option<&Handle>) -> Result<UserView> {
        let caller = Handle::Id(ctx.actor_id()?.0);
        let handle = handle.unwrap_or(&caller);
        again(|| async {
            let view = self.view(ctx, Freshness::Latest).await?;
            let mut guard = self.guard(ctx, &view).await?;
            let rows = self.store.rows(ctx.realm);
            let Some(user) = find_user(rows, handle).await? else {
                return Err(nobody(rows, &mut guard, "user").await?);
            };
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
                    at: change.ctx.now,
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
                // Or the next failure would suspend again.
                change.forgive_failures(&user).await?;
                let organization = change.organization_of_record(user.id).await?;
                change.record(Event::UserReinstated { person: person(&user), organization, lifted });
            }
            change.user_view(user).await
        })
        .await
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
        let Some(user) = find_user(rows, handle).await? else { return Err(nobody(rows, guard, field).await?) };
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
        let unknown = || Error::not_found("organization");
        let rows = self.store.rows(guard.facts.catalogue().realm);
        let organization = organization_id(rows, handle).await?.ok_or_else(unknown)?;
        if guard.reads_organization(organization).await? { Ok(organization) } else { Err(unknown()) }
    }
}

impl Change<'_> {
    /// The user that a call acts on, once it may: readable, not oneself, reached, not above the caller, as last seen,
    /// and not deleted.
    pub(super) async fn user_to_act_on(
        &self,
        handle: &Handle,
        permission: &'static str,
        etag: Option<&str>,
    ) -> Result<User> {
        let user = self.account_to_act_on(self.found_user(handle, "user").await?, permission, etag).await?;
        require_live(&user)?;
        Ok(user)
    }

    /// As [`Change::user_to_act_on`], of an account that was found, deleted or not.
    pub(super) async fn account_to_act_on(
        &self,
        (user, subject): (User, Subject),
        permission: &'static str,
        etag: Option<&str>,
    ) -> Result<User> {
        let mut guard = self.guard().await?;
        let reaches = guard.allows_in_one(permission, subject.principal(), Through::Active).await?;
        if !reaches && !guard.reads_user(subject.principal()).await? {
            return Err(Error::not_found("user"));
        }
        self.require_not_on_oneself(subject.principal()).await?;
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
        let Some(user) = find_user(self.rows(), handle).await? else {
            return Err(nobody(self.rows(), &mut self.guard().await?, field).await?);
        };
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
}

/// The names of these principals, as far as there are any.
pub(super) async fn names<C: crate::store::Connection>(
    rows: Rows<'_, C>,
    ids: &[PrincipalId],
) -> Result<BTreeMap<PrincipalId, Name>> {
    let found = rows.names(ids).await?;
    Ok(found.into_iter().map(|(id, person, handle)| (id, Name { person, handle })).collect())
}

/// An account as mails and the audit log name it.
pub(super) fn person(user: &User) -> Person {
    let verified = user.verified.is_some();
    Person { id: user.id, email: user.email.clone(), name: user.display_name.clone(), verified }
}

/// Of a deleted account nothing is changed but that.
pub(super) fn require_live(user: &User) -> Result<()> {
    if user.is_erased() {
        return Err(Error::refused(Reason::Erased, "the account's personal data is erased"));
    }
    if user.deleted_at.is_some() {
        return Err(Error::refused(Reason::AccountDeleted, "the account is deleted"));
    }
    Ok(())
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

/// The refusal of a handle that nobody has, after as much work as of somebody whom the caller does not read.
pub(super) async fn nobody<C: crate::store::Connection, F: Facts>(
    rows: Rows<'_, C>,
    guard: &mut Guard<'_, F>,
    field: &str,
) -> Result<Error>
where
    Error: From<F::Fault>,
{
    // In place of the holds of whom there is.
    rows.user(UserId(NOBODY.0)).await?;
    guard.asks_of_nobody().await?;
    Ok(Error::not_found(field))
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
    let view = user_views(rows, guard, vec![user]).await?.pop();
    view.ok_or_else(|| Error::internal("a user got lost"))
}

/// As [`user_view`], each in its place; three statements for all.
pub(super) async fn user_views<C: crate::store::Connection, F: Facts>(
    rows: Rows<'_, C>,
    guard: &mut Guard<'_, F>,
    users: Vec<User>,
) -> Result<Vec<UserView>>
where
    Error: From<F::Fault>,
{
    let ids: Vec<_> = users.iter().map(|user| user.id).collect();
    let mut memberships: BTreeMap<UserId, Vec<Member>> = BTreeMap::new();
    for member in rows.memberships_of(&ids).await? {
        let permission = match member.state {
            MembershipState::Active => permissions::READ_USERS,
            MembershipState::Pending | MembershipState::Rejected => permissions::APPROVE,
        };
        let (user, organization) = (PrincipalId::from(member.user), member.organization);
        let mine = guard.actor.principal().id == user;
        if mine || guard.allows(permission, Some(organization), Some(user)).await? {
            memberships.entry(member.user).or_default().push(member);
        }
    }
    let organizations: BTreeSet<_> = memberships.values().flatten().map(|member| member.organization).collect();
    let slugs = rows.slugs(&organizations.into_iter().collect::<Vec<_>>()).await?;
    let referred: BTreeSet<_> = users.iter().flat_map(referred).collect();
    let names = names(rows, &referred.into_iter().collect::<Vec<_>>()).await?;
    let slug = |member: Member| {
        let slug = slugs.get(&member.organization).cloned().unwrap_or_default();
        (member, slug)
    };
    let view = |user: User| UserView {
        memberships: memberships.remove(&user.id).into_iter().flatten().map(slug).collect(),
        names: referred_names(&user, &names),
        user,
    };
    Ok(users.into_iter().map(view).collect())
}

/// Whom an account refers to.
fn referred(user: &User) -> impl Iterator<Item = PrincipalId> {
    let held_by = user.holds.iter().filter_map(|hold| hold.by);
    held_by.chain(user.approval.by).chain(user.deleted_by).chain(user.manager.map(PrincipalId::from))
}

fn referred_names(user: &User, names: &BTreeMap<PrincipalId, Name>) -> BTreeMap<PrincipalId, Name> {
    referred(user).filter_map(|id| names.get(&id).map(|name| (id, name.clone()))).collect()
}
