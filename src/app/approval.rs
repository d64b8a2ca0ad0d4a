//! Deciding on newcomers: who waits, approving, rejecting.
//!
//! A decision writes the account's approval and the membership of one organization; of an account that is decided
//! already, the membership alone. Both are compared before they are set, at the locked revision: of two approvers one
//! decides, and the other is told how.

use super::error::{Error, Result};
use super::facts::Facts;
use super::guard::{Guard, permissions};
use super::membership::company;
use super::user::{UserView, check_etag, find_role, person, require_live};
use super::write::{Change, Done};
use super::{App, Ctx, Reason};
use crate::cache::Subject;
use crate::domain::account::{Approval, ApprovalState, User};
use crate::domain::event::Event;
use crate::domain::handle::Handle;
use crate::domain::ids::{OrganizationId, PrincipalId};
use crate::domain::organization::{Member, Organization};
use crate::domain::snapshot::{Confers, MembershipState, Principal, Scope, Window};
use crate::store::EntryFilter;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApproveRegistration {
    pub user: Handle,
    /// May be absent if the user waits in one organization or in none.
    pub organization: Option<Handle>,
    /// Roles to assign there beside the default ones.
    pub roles: Vec<Handle>,
    pub note: Option<String>,
    pub etag: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RejectRegistration {
    pub user: Handle,
    /// As in [`ApproveRegistration`].
    pub organization: Option<Handle>,
    pub reason: String,
    pub etag: Option<String>,
}

/// What is decided on, once the caller may: an account, and its membership in one organization, if it has any.
struct Case {
    user: User,
    membership: Option<(Member, Organization)>,
}

impl App {
    /// Approves a registration, or a later membership.
    ///
    /// # Errors
    /// NOT_FOUND, NOT_ON_ONESELF, a nearest miss, ALREADY_DECIDED, ORGANIZATION_REQUIRED, ETAG_MISMATCH, ETAG_REQUIRED;
    /// what keeps somebody from becoming a member; for extra roles whatever keeps the caller from assigning them.
    pub async fn approve_registration(&self, ctx: &Ctx, cmd: &ApproveRegistration) -> Result<Done<UserView>> {
        self.write(ctx, async |change: &mut Change<'_>| {
            let case = change.case(&cmd.user, cmd.organization.as_ref(), cmd.etag.as_deref()).await?;
            if case.user.approval.state == ApprovalState::Expired {
                return Err(case.already_decided());
            }
            let user = if case.is_approved() {
                change.require_same_roles(&case, &cmd.roles).await?;
                case.user
            } else {
                case.require_read_anew(cmd.etag.as_deref())?;
                change.approve(case, cmd).await?
            };
            change.user_view(user).await
        })
        .await
    }

    /// Rejects a registration, or a later membership.
    ///
    /// # Errors
    /// As [`App::approve_registration`], roles and memberships aside.
    pub async fn reject_registration(&self, ctx: &Ctx, cmd: &RejectRegistration) -> Result<Done<UserView>> {
        self.write(ctx, async |change: &mut Change<'_>| {
            let case = change.case(&cmd.user, cmd.organization.as_ref(), cmd.etag.as_deref()).await?;
            if case.user.approval.state == ApprovalState::Expired || case.is_approved() {
                return Err(case.already_decided());
            }
            let user = if case.is_rejected() { case.user } else { change.reject(case, &cmd.reason).await? };
            change.user_view(user).await
        })
        .await
    }
}

impl Change<'_> {
    /// The registration that a call decides on, once it may: known to the caller, not its own, reached, as last seen.
    async fn case(&self, user: &Handle, organization: Option<&Handle>, etag: Option<&str>) -> Result<Case> {
        let mut guard = self.guard().await?;
        let (user, subject) = self.found_user(user, "user").await?;
        if !guard.reads_user(subject.principal()).await? && !decides_somewhere(&mut guard, subject.principal()).await? {
            return Err(Error::not_found("user"));
        }
        self.require_not_on_oneself(subject.principal()).await?;
        let memberships = self.rows().memberships(user.id).await?;
        let membership = match organization {
            Some(handle) => Some(self.named_membership(&mut guard, &subject, memberships, handle).await?),
            None => decided_membership(&mut guard, &subject, memberships).await?,
        };
        let place = membership.as_ref().map(|member| member.organization);
        guard.require_approves(subject.principal(), place).await?;
        check_etag(etag, &user.etag())?;
        // Who expired is told how it was decided, whatever became of the rest.
        if user.deleted_at.is_some() {
            require_live(&user)?;
        }
        let membership = match membership {
            Some(member) => {
                let organization = self.rows().organization(member.organization).await?;
                Some((member, organization.ok_or_else(|| Error::not_found("organization"))?))
            }
            None => None,
        };
        Ok(Case { user, membership })
    }

    async fn named_membership(
        &self,
        guard: &mut Guard<'_, Self>,
        subject: &Subject,
        memberships: Vec<Member>,
        handle: &Handle,
    ) -> Result<Member> {
        let found = match handle {
            Handle::Id(id) => self.rows().organization(OrganizationId(*id)).await?,
            Handle::Natural(slug) => self.rows().organization_by_slug(slug).await?,
        };
        let named = found.and_then(|found| memberships.into_iter().find(|held| held.organization == found.id));
        let member = named.ok_or_else(|| Error::not_found("organization"))?;
        let known = guard.reads_organization(member.organization).await?
            || guard.approves(subject.principal(), Some(member.organization)).await?;
        if known { Ok(member) } else { Err(Error::not_found("organization")) }
    }

    async fn approve(&mut self, case: Case, cmd: &ApproveRegistration) -> Result<User> {
        let Case { mut user, membership } = case;
        if user.approval.state != ApprovalState::Approved {
            let (at, by) = (self.ctx.now, self.ctx.actor.id());
            user.approval = Approval::decided(ApprovalState::Approved, at, by, cmd.note.clone());
        }
        let to_set_password = !user.has_proven();
        self.clear_unproven_password(&mut user, true).await?;
        self.save_user(&mut user).await?;
        let organization = membership.map(|(_, organization)| organization);
        if let Some(organization) = &organization {
            self.activate_membership(&user, organization).await?;
        }
        self.record(Event::RegistrationApproved {
            person: person(&user),
            organization: organization.as_ref().map(company),
            to_set_password,
        });
        self.give_extra_roles(&user, organization.as_ref(), &cmd.roles).await?;
        Ok(user)
    }

    /// Each is given as by AssignRole, the permission that this needs included.
    async fn give_extra_roles(&mut self, to: &User, there: Option<&Organization>, roles: &[Handle]) -> Result<()> {
        let scope = scope(there.map(|organization| organization.id));
        for role in roles {
            let role = find_role(self.catalogue(), role).ok_or_else(|| Error::not_found("roles"))?;
            let receiver: PrincipalId = to.id.into();
            self.guard().await?.require(permissions::ASSIGN, scope.organization(), Some(receiver)).await?;
            let receiver = self.receiver_of(receiver).await?.ok_or_else(|| Error::not_found("user"))?;
            self.confer_role(&receiver, role, scope, None, Window::ALWAYS).await?;
        }
        Ok(())
    }

    /// Approving again is no error as long as it asks for nothing new.
    async fn require_same_roles(&self, case: &Case, roles: &[Handle]) -> Result<()> {
        let scope = scope(case.membership.as_ref().map(|(member, _)| member.organization));
        let (principal, there) = (Some(case.user.id.into()), Some(scope));
        let held = self.rows().entries(&EntryFilter { principal, scope: there, ..EntryFilter::default() }).await?;
        for role in roles {
            let role = find_role(self.catalogue(), role).ok_or_else(|| Error::not_found("roles"))?;
            if !held.iter().any(|row| row.entry.confers == Confers::Role(role)) {
                return Err(case.already_decided());
            }
        }
        Ok(())
    }

    async fn reject(&mut self, case: Case, reason: &str) -> Result<User> {
        let Case { mut user, membership } = case;
        let (now, by) = (self.ctx.now, self.ctx.actor.id());
        if user.approval.state == ApprovalState::Pending {
            user.approval = Approval::decided(ApprovalState::Rejected, now, by, Some(reason.to_owned()));
        }
        if let Some((member, _)) = membership.as_ref().filter(|(member, _)| member.state == MembershipState::Pending) {
            let rejected = MembershipState::Rejected;
            let member = Member { state: rejected, decided_at: Some(now), decided_by: by, ..member.clone() };
            self.rows().save_membership(&member).await?;
        }
        self.save_user(&mut user).await?;
        self.record(Event::RegistrationRejected {
            person: person(&user),
            organization: membership.map(|(_, organization)| company(&organization)),
            reason: reason.to_owned(),
        });
        Ok(user)
    }
}

impl Case {
    /// Requires that whoever approves has read what was registered last, where the address was registered again and
    /// nobody proved it: the one that they know may not be the one that would get in.
    fn require_read_anew(&self, etag: Option<&str>) -> Result<()> {
        if etag.is_some() || !self.user.was_registered_again() {
            return Ok(());
        }
        let count = self.user.registrations;
        let message = format!("the address was registered {count} times; read the registration and give its etag");
        Err(Error::refused_with(Reason::EtagRequired, message, vec![("registrations", count.to_string())]))
    }

    fn membership_is(&self, state: MembershipState) -> bool {
        self.membership.as_ref().is_none_or(|(member, _)| member.state == state)
    }

    fn is_approved(&self) -> bool {
        self.user.approval.state == ApprovalState::Approved && self.membership_is(MembershipState::Active)
    }

    fn is_rejected(&self) -> bool {
        let account = self.user.approval.state;
        match &self.membership {
            // A later membership was decided by itself.
            Some((member, _)) if account == ApprovalState::Approved => member.state == MembershipState::Rejected,
            _ => account == ApprovalState::Rejected,
        }
    }

    /// Says how it was decided, when and by whom.
    fn already_decided(&self) -> Error {
        let account = &self.user.approval;
        let decided = self.membership.as_ref().filter(|(member, _)| member.decided_at.is_some());
        let (at, by) = match decided {
            Some((member, _)) if account.state == ApprovalState::Approved => (member.decided_at, member.decided_by),
            _ => (account.at, account.by),
        };
        let state = match account.state {
            ApprovalState::Pending => "PENDING",
            ApprovalState::Approved => "APPROVED",
            ApprovalState::Rejected => "REJECTED",
            ApprovalState::Expired => "EXPIRED",
        };
        let mut facts = vec![("state", state.to_owned())];
        facts.extend(at.map(|at| ("at", at.to_string())));
        facts.extend(by.map(|by| ("by", by.to_string())));
        Error::refused_with(Reason::AlreadyDecided, format!("the registration is {state} already"), facts)
    }
}

/// Whether the caller decides on newcomers in an organization of this user, whatever became of the user there.
async fn decides_somewhere<F: Facts>(guard: &mut Guard<'_, F>, user: &Principal) -> Result<bool>
where
    Error: From<F::Fault>,
{
    for held in &user.memberships {
        if guard.approves(user, Some(held.organization)).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The membership that a call means which names none: the one that waits; else the one that was rejected; else the one
/// that is ACTIVE. `None` for who belongs to no organization.
///
/// # Errors
/// ORGANIZATION_REQUIRED if there are several, as far as the caller decides on them.
async fn decided_membership<F: Facts>(
    guard: &mut Guard<'_, F>,
    subject: &Subject,
    memberships: Vec<Member>,
) -> Result<Option<Member>>
where
    Error: From<F::Fault>,
{
    let mut mine = vec![];
    for member in &memberships {
        if guard.approves(subject.principal(), Some(member.organization)).await? {
            mine.push(member);
        }
    }
    for state in [MembershipState::Pending, MembershipState::Rejected, MembershipState::Active] {
        let mut found = mine.iter().filter(|member| member.state == state);
        match (found.next(), found.next()) {
            (Some(_), Some(_)) => {
                let message = "the user waits in several organizations; name one";
                return Err(Error::refused(Reason::OrganizationRequired, message));
            }
            (Some(only), None) => return Ok(Some((*only).clone())),
            (None, _) => {}
        }
    }
    // Nothing that the caller decides on: where it would have to is what the refusal names.
    Ok(memberships.into_iter().next())
}

fn scope(organization: Option<OrganizationId>) -> Scope {
    organization.map_or(Scope::Realm, Scope::Organization)
}
