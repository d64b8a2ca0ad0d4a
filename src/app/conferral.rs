//! Giving somebody a role, whatever the call: by an assignment, with an approval.
//!
//! Rule 3 and the role's own rules live here; that the call's own permission reaches the receiver is the caller's to
//! have asked. What the realm's policy confers (default roles, the founding role) does not pass here.

use std::collections::BTreeSet;

use super::Reason;
use super::error::{Error, Result};
use super::facts::Facts;
use super::guard::{Guard, permissions};
use super::membership::company;
use super::receiver::Receiver;
use super::user::{person, require_live};
use super::write::Change;
use crate::domain::assignment::{self, ENTRIES_MAX, Opened, Unfit, opened};
use crate::domain::catalogue::Role;
use crate::domain::entry::{EntryRow, Origin};
use crate::domain::event::{Conferred, Event};
use crate::domain::ids::{EntryId, OrganizationId, PrincipalId, RoleId, UserId};
use crate::domain::snapshot::{Confers, Entry, Membership, MembershipState, Principal, Resource, Scope, Window};
use crate::store::EntryFilter;

impl Change<'_> {
    /// Gives a role, by every rule but the call's own permission. A user who is no member of the scope's organization
    /// becomes one if the actor may add members; of one who waits to be, the role waits too. What is there already, with the same window, is answered as it is.
    ///
    /// # Errors
    /// NOT_FOUND for a role, receiver or organization that is not there; ROLE_RESTRICTED, NOT_CONTAINED;
    /// ROLE_SCOPE_NOT_ALLOWED, RESOURCE_REQUIRED, KIND_NOT_ALLOWED; NOT_A_MEMBER, ACTOR_WOULD_GAIN and what keeps
    /// somebody from becoming a member; EXCLUDED_ROLES, ACCOUNT_DELETED, ERASED, LIMIT_REACHED.
    pub(super) async fn confer_role(
        &mut self,
        receiver: &Receiver,
        role: RoleId,
        scope: Scope,
        resource: Option<Resource>,
        window: Window,
    ) -> Result<EntryRow> {
        let role = self.catalogue().role(role).cloned().ok_or_else(|| Error::not_found("role"))?;
        let (principal, id) = (receiver.but_entries(), receiver.id());
        self.require_may_give(principal, role.id, scope, resource.is_some()).await?;
        assignment::fits(&role, scope, resource.as_ref()).map_err(unfit)?;
        self.require_kind(&role, principal, scope).await?;
        if self.becomes_a_member(principal, scope).await? {
            self.make_member(id, scope).await?;
        }
        let entry = Entry {
            id: EntryId(self.app.clock.new_id()),
            confers: Confers::Role(role.id),
            scope,
            resource: resource.map(Box::new),
            window,
        };
        match self.same_entry(id, &entry).await? {
            Some(there) => Ok(there),
            None => self.insert_assignment(id, &role, entry).await,
        }
    }

    /// The entry that is there with the same coordinates and window.
    pub(super) async fn same_entry(&self, principal: PrincipalId, wanted: &Entry) -> Result<Option<EntryRow>> {
        let Entry { id: _, confers, scope, resource, window: _ } = wanted;
        let (roles, pattern) = match confers {
            Confers::Role(role) => (Some(vec![*role]), None),
            Confers::Grant { pattern, reach: _ } => (None, Some(pattern.clone())),
        };
        let resource = Some(resource.as_deref().cloned());
        let filter = EntryFilter { principal: Some(principal), roles, pattern, scope: Some(*scope), resource };
        let held = self.rows().entries(&filter).await?;
        Ok(held.into_iter().find(|row| Entry { id: wanted.id, ..row.entry.clone() } == *wanted))
    }

    /// Writes an assignment beside what the principal holds already, and says so.
    ///
    /// # Errors
    /// EXCLUDED_ROLES, ACCOUNT_DELETED, ERASED, LIMIT_REACHED.
    pub(super) async fn insert_assignment(
        &mut self,
        receiver: PrincipalId,
        role: &Role,
        entry: Entry,
    ) -> Result<EntryRow> {
        self.require_no_exclusion(receiver, role, entry.scope).await?;
        let row = self.insert_entry(receiver, entry).await?;
        let conferred = self.conferred(&row, shown_title(role)).await?;
        self.record(Event::RoleAssigned(conferred));
        Ok(row)
    }

    /// Rule 3 for a role, given or taken: the actor holds what it confers, or something waives that; and so for every
    /// role of the receiver's that it opens, and for every role that it lets its holders give.
    ///
    /// # Errors
    /// ROLE_RESTRICTED, NOT_CONTAINED; the nearest miss of `countersign.roles.assign` for a role with `may_assign`.
    pub(super) async fn require_may_give(
        &self,
        receiver: &Principal,
        role: RoleId,
        scope: Scope,
        on_resource: bool,
    ) -> Result<()> {
        let mut guard = self.guard().await?;
        let to = To::Receiver(receiver);
        require_conferrable(&mut guard, &Giving { role, scope, on_resource, to }).await?;
        let waiting = self.waiting_for(receiver.id, role).await?;
        for Opened { role, scope, on_resource } in opened(self.catalogue(), &waiting, role, scope, self.ctx.now) {
            require_conferrable(&mut guard, &Giving { role, scope, on_resource, to }).await?;
        }
        let passed_on = assignment::passed_on(self.catalogue(), &[role]);
        self.require_may_pass_on(passed_on, scope, Some(receiver)).await
    }

    /// What the principal holds that may confer only beside this role.
    async fn waiting_for(&self, principal: PrincipalId, role: RoleId) -> Result<Vec<Entry>> {
        let waiting = assignment::waiting_for(self.catalogue(), role);
        if waiting.is_empty() {
            return Ok(vec![]);
        }
        let filter = EntryFilter { principal: Some(principal), roles: Some(waiting), ..EntryFilter::default() };
        Ok(self.rows().entries(&filter).await?.into_iter().map(|row| row.entry).collect())
    }

    /// Requires that the actor could itself assign each of these roles, which this holder, or whoever comes to be one,
    /// may from now on pass on.
    ///
    /// # Errors
    /// As [`Change::require_may_give`].
    pub(super) async fn require_may_pass_on(
        &self,
        passed_on: BTreeSet<RoleId>,
        scope: Scope,
        holder: Option<&Principal>,
    ) -> Result<()> {
        if passed_on.is_empty() {
            return Ok(());
        }
        let mut guard = self.guard().await?;
        guard.require(permissions::ASSIGN, scope.organization(), holder.map(|holder| holder.id)).await?;
        let to = To::WhomeverOf(holder);
        for role in passed_on {
            require_conferrable(&mut guard, &Giving { role, scope, on_resource: false, to }).await?;
        }
        Ok(())
    }

    /// Writes an entry that the actor makes, beside those that the principal holds already.
    ///
    /// # Errors
    /// ACCOUNT_DELETED, ERASED, LIMIT_REACHED.
    pub(super) async fn insert_entry(&mut self, principal: PrincipalId, entry: Entry) -> Result<EntryRow> {
        if let Some(user) = self.rows().user(UserId(principal.0)).await? {
            require_live(&user)?;
        }
        let held = self.rows().count_entries(principal).await?;
        if held >= ENTRIES_MAX {
            let message = format!("a principal holds at most {ENTRIES_MAX} entries, this one holds {held}");
            let facts = vec![("limit", ENTRIES_MAX.to_string())];
            return Err(Error::refused_with(Reason::LimitReached, message, facts));
        }
        let row = EntryRow {
            principal,
            entry,
            assigned_by: self.ctx.actor.id(),
            assigned_at: self.ctx.now,
            origin: Origin::Actor,
        };
        self.rows().insert_entry(&row).await?;
        self.forget_facts();
        Ok(row)
    }

    /// An entry as mails and the audit log name it.
    pub(super) async fn conferred(&self, row: &EntryRow, what: String) -> Result<Conferred> {
        let organization = match row.entry.scope.organization() {
            Some(id) => self.rows().organization(id).await?,
            None => None,
        };
        let role = match row.entry.confers {
            Confers::Role(role) => Some(role),
            Confers::Grant { .. } => None,
        };
        Ok(Conferred {
            entry: row.entry.id,
            principal: row.principal,
            person: self.rows().user(UserId(row.principal.0)).await?.as_ref().map(person),
            organization: organization.as_ref().map(company),
            what,
            role,
        })
    }

    /// Requires that the role is for the organization's kind, or for the receiver's.
    ///
    /// # Errors
    /// NOT_FOUND, KIND_NOT_ALLOWED.
    pub(super) async fn require_kind(&self, role: &Role, receiver: &Principal, scope: Scope) -> Result<()> {
        let organization = match scope.organization() {
            Some(id) => Some(self.organization(id).await?.ok_or_else(|| Error::not_found("organization"))?),
            None => None,
        };
        let kind = organization.as_ref().map(|organization| organization.kind.as_str());
        assignment::fits_kind(role, receiver, kind).map_err(unfit)
    }

    /// Whether the receiver has yet to become a member of the scope's organization, which the actor may make it.
    ///
    /// # Errors
    /// NOT_A_MEMBER, ACTOR_WOULD_GAIN.
    pub(super) async fn becomes_a_member(&self, receiver: &Principal, scope: Scope) -> Result<bool> {
        let Some(organization) = scope.organization().filter(|id| is_stranger(receiver, *id)) else { return Ok(false) };
        let mut guard = self.guard().await?;
        if !self.may_add_members(&mut guard, organization).await? {
            return Err(not_a_member(organization));
        }
        self.require_not_for_oneself(receiver, "nobody makes themself a member").await?;
        Ok(true)
    }

    /// Makes a user a member of the scope's organization. Whether that may be is asked before.
    ///
    /// # Errors
    /// What keeps somebody from becoming a member.
    pub(super) async fn make_member(&mut self, receiver: PrincipalId, scope: Scope) -> Result<()> {
        let Some(organization) = scope.organization() else { return Ok(()) };
        let user = self.rows().user(UserId(receiver.0)).await?.ok_or_else(|| Error::not_found("principal"))?;
        require_live(&user)?;
        let found = self.rows().organization(organization).await?.ok_or_else(|| Error::not_found("organization"))?;
        self.activate_membership(&user, &found).await?;
        self.record(Event::MemberAdded { organization, user: user.id });
        Ok(())
    }

    async fn require_no_exclusion(&self, receiver: PrincipalId, role: &Role, scope: Scope) -> Result<()> {
        if self.catalogue().exclusions.is_empty() {
            return Ok(());
        }
        let held: Vec<_> = self.rows().entries_of(receiver).await?.into_iter().map(|row| row.entry).collect();
        let Some(broken) = assignment::excluded(self.catalogue(), &held, role.id, scope, self.ctx.now) else {
            return Ok(());
        };
        let message =
            format!("the exclusion {} lets nobody hold {} of its roles in one scope", broken.name, broken.limit);
        Err(Error::refused_with(Reason::ExcludedRoles, message, vec![("exclusion", broken.name.clone())]))
    }
}

/// A role that somebody is about to get.
struct Giving<'a> {
    role: RoleId,
    scope: Scope,
    on_resource: bool,
    to: To<'a>,
}

#[derive(Clone, Copy)]
enum To<'a> {
    Receiver(&'a Principal),
    /// Any user, from a principal that is known or yet to be.
    WhomeverOf(Option<&'a Principal>),
}

impl Giving<'_> {
    /// Whether `may_assign` can be for this: it gives to users, and nothing reserved to oneself, nor to a service that
    /// might give it on to whoever made its key.
    async fn is_given_away(&self, change: &Change<'_>) -> Result<bool> {
        let reserved = assignment::confers_reserved(change.catalogue(), self.role);
        Ok(match self.to {
            To::Receiver(receiver) => receiver.is_user() && !(reserved && change.is_own(receiver).await?),
            To::WhomeverOf(holder) => !(reserved && holder.is_some_and(|holder| !holder.is_user())),
        })
    }
}

/// The containment table, and what waives it.
async fn require_conferrable(guard: &mut Guard<'_, Change<'_>>, giving: &Giving<'_>) -> Result<()> {
    let Giving { role, scope, on_resource, to } = *giving;
    if guard.facts.catalogue().role_is_restricted(role) {
        let needed = permissions::ASSIGN_RESTRICTED;
        let may = guard.allows(needed, scope.organization(), None).await?;
        return if may { Ok(()) } else { Err(restricted(guard.facts.catalogue().role(role))) };
    }
    let confers = Confers::Role(role);
    // Nobody leads themself: without a receiver, no team makes up for reach.
    let whom = match to {
        To::Receiver(receiver) => receiver.id,
        To::WhomeverOf(_) => guard.actor.principal().id,
    };
    match guard.require_contained(&confers, scope, on_resource, None, whom).await {
        Err(Error::Refused(refusal)) if refusal.reason == Reason::NotContained => {
            let waived = giving.is_given_away(guard.facts).await? && guard.may_assign(role, scope).await?;
            if waived { Ok(()) } else { Err(refusal.into()) }
        }
        outcome => outcome,
    }
}

/// The refusal of whoever lacks `countersign.roles.assign_restricted`.
pub(super) fn restricted(role: Option<&Role>) -> Error {
    let name = role.map(|role| role.name.clone()).unwrap_or_default();
    let message = format!("the role {name} is restricted, and {} is not held there", permissions::ASSIGN_RESTRICTED);
    Error::refused_with(Reason::RoleRestricted, message, vec![("role", name)])
}

/// The refusal of an entry in an organization that the user does not belong to.
pub(super) fn not_a_member(organization: OrganizationId) -> Error {
    let facts = vec![("organization", organization.to_string())];
    Error::refused_with(Reason::NotAMember, "the user is no member of the organization", facts)
}

/// Whether this is a user who is no member there and does not wait to be one: whoever waits is given what confers
/// nothing until the membership is ACTIVE.
pub(super) fn is_stranger(receiver: &Principal, organization: OrganizationId) -> bool {
    let here = |held: &&Membership| held.organization == organization && held.state != MembershipState::Rejected;
    receiver.is_user() && !receiver.memberships.iter().any(|held| here(&held))
}

/// A role as people read it.
pub(super) fn shown_title(role: &Role) -> String {
    if role.title.is_empty() { role.name.clone() } else { role.title.clone() }
}

/// The refusal of a role that can't be given like this.
pub(super) fn unfit(why: Unfit) -> Error {
    let message = why.to_string();
    match why {
        Unfit::Scope { role, scope: _ } => {
            Error::refused_with(Reason::RoleScopeNotAllowed, message, vec![("role", role)])
        }
        Unfit::Resource { role, wanted, given: _ } => {
            let facts = vec![("role", role), ("resource_type", wanted)];
            Error::refused_with(Reason::ResourceRequired, message, facts)
        }
        Unfit::Kind { role, kinds } => {
            let facts = vec![("role", role), ("kinds", kinds.join(","))];
            Error::refused_with(Reason::KindNotAllowed, message, facts)
        }
    }
}
