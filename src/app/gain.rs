//! What a change would open for whoever makes it, and they could not give: such a change is refused.
//!
//! What follows from an organization's products, codes and state, and from the realm's policy, is the policy's to confer
//! on others. On oneself it is conferred by the containment table like everything else.

use super::error::{Error, Result};
use super::facts::Facts;
use super::write::Change;
use super::{Kind, Reason};
use crate::domain::assignment::{opened, passed_on};
use crate::domain::ids::OrganizationId;
use crate::domain::policy::{OrganizationsPerUser, Policy};
use crate::domain::snapshot::{Confers, Entry, MembershipState, Principal, Scope};

/// Something that would confer from now on.
pub(super) struct Gain {
    pub(super) confers: Confers,
    pub(super) scope: Scope,
    pub(super) on_resource: bool,
}

impl From<&Entry> for Gain {
    fn from(entry: &Entry) -> Self {
        Self { confers: entry.confers.clone(), scope: entry.scope, on_resource: entry.resource.is_some() }
    }
}

/// Which organizations somebody could join.
#[derive(Clone, Copy)]
pub(super) enum Joining<'a> {
    /// One that is about to be made, of this kind.
    New(&'a str),
    Any,
}

impl Joining<'_> {
    fn is_of(self, kinds: &[String]) -> bool {
        match self {
            Self::New(kind) => kinds.iter().any(|own| own == kind),
            Self::Any => true,
        }
    }

    fn is(self, organization: OrganizationId, holder: &Principal) -> bool {
        matches!(self, Self::Any) && holder.active_membership(organization).is_none()
    }
}

impl Change<'_> {
    /// Requires that whoever stands behind the call could give themself what it opens for them.
    ///
    /// # Errors
    /// ACTOR_WOULD_GAIN, with this message.
    pub(super) async fn require_no_gain(&self, message: &str, gains: impl Fn(&Principal) -> Vec<Gain>) -> Result<()> {
        for somebody in self.behind().await? {
            let Some(subject) = self.principal(somebody).await? else { continue };
            for gain in gains(subject.principal()) {
                would_gain(self.require_may_give_oneself(subject.principal(), &gain).await, message)?;
            }
        }
        Ok(())
    }

    /// The containment table, for what comes to confer and for what it lets its holder assign.
    async fn require_may_give_oneself(&self, holder: &Principal, gain: &Gain) -> Result<()> {
        let Gain { confers, scope, on_resource } = gain;
        let mut guard = self.guard().await?;
        guard.require_contained(confers, *scope, *on_resource, None, holder.id).await?;
        let Confers::Role(role) = confers else { return Ok(()) };
        self.require_may_pass_on(passed_on(self.catalogue(), &[*role]), *scope, Some(holder)).await
    }

    /// What a user comes to hold by joining such an organization: the default roles, what those open, the realm-wide roles
    /// that wait for a membership of the kind, and what is scoped to the organization already. Nothing where one
    /// organization is all that a user may have. For one that is yet to be, the scope is the realm.
    pub(super) fn gains_by_joining(&self, holder: &Principal, policy: &Policy, where_to: Joining<'_>) -> Vec<Gain> {
        let belongs = holder.memberships.iter().any(|held| held.state != MembershipState::Rejected);
        if !holder.is_user() || (belongs && policy.organizations_per_user == OrganizationsPerUser::One) {
            return vec![];
        }
        let now = self.ctx.now;
        let role = |role, scope, on_resource| Gain { confers: Confers::Role(role), scope, on_resource };
        let comes = |kind: &str| match where_to {
            Joining::New(new) => new == kind,
            Joining::Any => true,
        };
        let kinds: Vec<_> = policy.kinds.iter().map(|kind| &*kind.name).filter(|k| comes(k)).collect();
        let default = self.catalogue().roles().filter(|role| kinds.iter().any(|kind| role.comes_with(kind)));
        let mut gains = vec![];
        for default in default {
            gains.push(role(default.id, Scope::Realm, false));
            let opened = opened(self.catalogue(), &holder.entries, default.id, Scope::Realm, now);
            let realm_wide = opened.filter(|opened| opened.scope == Scope::Realm);
            gains.extend(realm_wide.map(|opened| role(opened.role, Scope::Realm, opened.on_resource)));
        }
        let waits = |entry: &&Entry| match (entry.scope, &entry.confers) {
            (Scope::Organization(organization), _) => where_to.is(organization, holder),
            (Scope::Realm, Confers::Role(role)) => {
                let kinds = self.catalogue().role(*role).map(|role| &*role.assignable.kinds).unwrap_or_default();
                !kinds.is_empty() && where_to.is_of(kinds)
            }
            (Scope::Realm, Confers::Grant { .. }) => false,
        };
        gains.extend(holder.lasting_entries(now).filter(waits).map(Gain::from));
        gains
    }
}

/// The refusal of what the actor could not give, where it would be the actor that gets it.
fn would_gain(given: Result<()>, message: &str) -> Result<()> {
    match given {
        Err(error) if error.kind() == Kind::PermissionDenied => Err(Error::refused(Reason::ActorWouldGain, message)),
        outcome => outcome,
    }
}
