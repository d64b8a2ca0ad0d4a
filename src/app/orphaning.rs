//! No orphaning: an organization keeps somebody who can assign its roles.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::error::{Error, Result};
use super::facts::{Basket, Facts, decide, reserved};
use super::guard::permissions;
use super::write::Change;
use super::{Actor, Reason};
use crate::cache::Subject;
use crate::domain::decision::{CompiledPrincipal, Question, opens_within};
use crate::domain::ids::{EntryId, OrganizationId, PrincipalId, UserId};
use crate::domain::permission::{PermissionName, Reach};
use crate::domain::snapshot::{Entry, Principal};
use crate::store::ManagingQuery;

/// Who might be left to assign roles is asked in so many at first, and then in so many at once.
const FEW: u64 = 4;
const MANY: u64 = 256;

impl Change<'_> {
    /// Requires that somebody is left who can assign roles in each organization where this user can, once the user is
    /// held or removed. Only actors scoped to an organization are bound by it.
    pub(super) async fn require_no_orphaning(&self, user: UserId, within: Option<OrganizationId>) -> Result<()> {
        self.require_somebody_left(user.into(), within, |_| false).await
    }

    /// Requires that the actor could lift the suspension of an organization that it is about to suspend: by something that
    /// is not scoped to it.
    pub(super) async fn require_may_lift_suspension(&self, organization: OrganizationId) -> Result<()> {
        if matches!(self.ctx.actor, Actor::Platform { .. }) {
            return Ok(());
        }
        let actor = self.actor().await?;
        let left = compiled(self, actor.principal(), |entry| entry.scope.organization() != Some(organization));
        let question = question(self, permissions::SUSPEND_ORGANIZATIONS, organization)?;
        if decide(self, &mut Basket::default(), &left, &question, self.ctx.now).await?.is_allowed() {
            return Ok(());
        }
        Err(Error::refused_with(
            Reason::WouldOrphan,
            "the suspension would take from the caller what lifts it",
            vec![("organization", organization.to_string())],
        ))
    }

    /// As [`Change::require_no_orphaning`], once the user is stripped of these entries alone.
    pub(super) async fn require_no_stripping(&self, principal: PrincipalId, entries: &[EntryId]) -> Result<()> {
        self.require_somebody_left(principal, None, |entry| !entries.contains(&entry.id)).await
    }

    /// The organizations in which one of these principals can assign roles and which the actor must not leave without
    /// anybody who can: asked before a change, for [`Change::require_still_assigned`] after it.
    pub(super) async fn to_stay_assigned(
        &self,
        principals: &BTreeSet<PrincipalId>,
    ) -> Result<BTreeSet<OrganizationId>> {
        let mut found = BTreeSet::new();
        for principal in principals {
            let subject = self.principal(*principal).await?.filter(|subject| subject.principal().is_user());
            let Some(subject) = subject else { continue };
            for organization in subject.principal().entries.iter().filter_map(|entry| entry.scope.organization()) {
                if !found.contains(&organization)
                    && !self.acts_realm_wide(organization).await?
                    && self.assigns_there(&subject, organization, |_| true).await?
                {
                    found.insert(organization);
                }
            }
        }
        Ok(found)
    }

    /// Requires that, as things are now, somebody can assign roles in each of these organizations.
    ///
    /// # Errors
    /// WOULD_ORPHAN.
    pub(super) async fn require_still_assigned(&self, organizations: BTreeSet<OrganizationId>) -> Result<()> {
        for organization in organizations {
            if !self.another_assigns(organization, None).await? {
                return Err(would_orphan(organization));
            }
        }
        Ok(())
    }

    async fn require_somebody_left(
        &self,
        leaving: PrincipalId,
        within: Option<OrganizationId>,
        left_with: impl Fn(&Entry) -> bool,
    ) -> Result<()> {
        let Some(subject) = self.principal(leaving).await?.filter(|subject| subject.principal().is_user()) else {
            return Ok(());
        };
        let scopes: BTreeSet<_> =
            subject.principal().entries.iter().filter_map(|entry| entry.scope.organization()).collect();
        for organization in scopes.into_iter().filter(|id| within.is_none_or(|within| within == *id)) {
            if self.acts_realm_wide(organization).await? {
                continue;
            }
            let loses = self.assigns_there(&subject, organization, |_| true).await?
                && !self.assigns_there(&subject, organization, &left_with).await?;
            if loses && !self.another_assigns(organization, Some(leaving)).await? {
                return Err(would_orphan(organization));
            }
        }
        Ok(())
    }

    /// Whether the user's entries in the organization let them assign roles there.
    pub(super) async fn assigns_roles_in(&self, user: UserId, organization: OrganizationId) -> Result<bool> {
        match self.principal(user.into()).await? {
            Some(subject) => self.assigns_there(&subject, organization, |_| true).await,
            None => Ok(false),
        }
    }

    /// Whether the actor is bound not to orphan the organization, and there is somebody who can assign roles there.
    pub(super) async fn might_orphan(&self, organization: OrganizationId) -> Result<bool> {
        Ok(!self.acts_realm_wide(organization).await? && self.somebody_assigns(organization).await?)
    }

    /// Requires that somebody can assign roles in the organization.
    pub(super) async fn require_not_orphaned(&self, organization: OrganizationId) -> Result<()> {
        if self.somebody_assigns(organization).await? { Ok(()) } else { Err(would_orphan(organization)) }
    }

    async fn somebody_assigns(&self, organization: OrganizationId) -> Result<bool> {
        self.another_assigns(organization, None).await
    }

    /// Requires that somebody but this user can assign roles in the organization, unless the actor is not bound by it.
    pub(super) async fn require_another_who_assigns(&self, user: UserId, organization: OrganizationId) -> Result<()> {
        if self.acts_realm_wide(organization).await? || self.another_assigns(organization, Some(user.into())).await? {
            return Ok(());
        }
        Err(would_orphan(organization))
    }

    /// Whether the actor reaches the organization by more than entries scoped to it.
    async fn acts_realm_wide(&self, organization: OrganizationId) -> Result<bool> {
        if matches!(self.ctx.actor, Actor::Platform { .. }) {
            return Ok(true);
        }
        let actor = self.actor().await?;
        let permission = [permissions::ASSIGN, permissions::SUSPEND, permissions::APPROVE];
        let mut basket = Basket::default();
        let beyond = compiled(self, actor.principal(), |entry| entry.scope.organization().is_none());
        for name in permission {
            let question = question(self, name, organization)?;
            if decide(self, &mut basket, &beyond, &question, self.ctx.now).await?.is_allowed() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a member other than the one that leaves can assign roles in the organization. Asks the first few who might,
    /// since one is enough, then ever more of them at once.
    async fn another_assigns(&self, organization: OrganizationId, leaving: Option<PrincipalId>) -> Result<bool> {
        let Some(facts) = self.organization(organization).await? else { return Ok(false) };
        let permission = reserved(self.catalogue(), permissions::ASSIGN)?;
        let name = self.catalogue().permission(permission).map(|row| &row.name);
        let query = ManagingQuery {
            organization,
            roles: self.catalogue().roles_opening(permission, Reach::All, &facts).collect(),
            patterns: name.into_iter().flat_map(PermissionName::covering).collect(),
            now: self.ctx.now,
        };
        let (mut after, mut size) = (None, FEW);
        loop {
            let candidates = self.rows().members_with(&query, after, size).await?;
            let ended = (candidates.len() as u64) < size;
            self.gather(candidates.iter().copied()).await?;
            for candidate in candidates {
                after = Some(candidate);
                if Some(candidate) != leaving
                    && let Some(subject) = self.principal(candidate).await?
                    && self.assigns_there(&subject, organization, |_| true).await?
                {
                    return Ok(true);
                }
            }
            if ended {
                return Ok(false);
            }
            size = MANY;
        }
    }

    /// Whether a member's entries scoped to the organization give the right to assign roles there, at ALL. Gates and
    /// conditions are asked of all that the member holds.
    async fn assigns_there(
        &self,
        subject: &Subject,
        organization: OrganizationId,
        counts: impl Fn(&Entry) -> bool,
    ) -> Result<bool> {
        let subject = compiled(self, subject.principal(), counts);
        let question = question(self, permissions::ASSIGN, organization)?;
        let mut basket = Basket::default();
        if !decide(self, &mut basket, &subject, &question, self.ctx.now).await?.is_allowed() {
            return Ok(false);
        }
        let world = basket.world(self.catalogue(), &subject, None);
        Ok(opens_within(&world, question.permission, organization, self.ctx.now))
    }
}

fn would_orphan(organization: OrganizationId) -> Error {
    Error::refused_with(
        Reason::WouldOrphan,
        "nobody would be left who can assign roles in this organization",
        vec![("organization", organization.to_string())],
    )
}

fn question<'a>(change: &Change<'_>, name: &str, organization: OrganizationId) -> Result<Question<'a>> {
    let permission = reserved(change.catalogue(), name)?;
    Ok(Question { permission, organization: Some(organization), owner: None, resource: None })
}

/// The principal with some of its entries only.
fn compiled(change: &Change<'_>, principal: &Principal, counts: impl Fn(&Entry) -> bool) -> CompiledPrincipal {
    let entries = principal.entries.iter().filter(|entry| counts(entry)).cloned().collect();
    CompiledPrincipal::compile(Arc::new(Principal { entries, ..principal.clone() }), change.catalogue())
}
