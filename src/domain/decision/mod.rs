//! The decision: may this subject do this, here, to what belongs to that owner?
//!
//! Pure. The caller gathers snapshots of one revision into a [`World`]; [`try_decide`] answers, or says what else to
//! gather; [`decide`] answers from what is there. Why is [`super::explain`]'s business, and costs more.

mod basic;
pub(crate) mod confer;
mod index;

use std::sync::Arc;

use smallvec::SmallVec;

use self::index::Ask;
use super::account::{Gate, gates};
use super::catalogue::{Catalogue, PermissionId};
use super::ids::{OrganizationId, PrincipalId, UserId};
use super::permission::{Reach, Reaches};
use super::policy::Team;
use super::snapshot::{Organization, PrincipalKind, Resource};
use super::time::Timestamp;

pub use self::index::CompiledPrincipal;
pub(crate) use self::index::{Holding, Slot};

/// What is asked. The organization is the one that the question is about, a user's own already put in
/// ([`Catalogue::effective_organization`]).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Question<'a> {
    pub permission: PermissionId,
    pub organization: Option<OrganizationId>,
    pub owner: Option<PrincipalId>,
    pub resource: Option<ResourceRef<'a>>,
}

/// A resource as a question names it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ResourceRef<'a> {
    pub kind: &'a str,
    pub id: &'a str,
}

impl<'a> From<&'a Resource> for ResourceRef<'a> {
    fn from(resource: &'a Resource) -> Self {
        Self { kind: &resource.kind, id: &resource.id }
    }
}

/// The answer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Decision {
    Allowed,
    Denied,
}

impl Decision {
    #[must_use]
    pub fn is_allowed(self) -> bool {
        self == Self::Allowed
    }
}

/// An organization that was looked up: its snapshot, or that the realm has none of this id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gathered {
    pub id: OrganizationId,
    pub organization: Option<Arc<Organization>>,
}

/// Everything that a decision is computed from, at one revision of the realm.
#[derive(Clone, Copy, Debug)]
pub struct World<'a> {
    pub catalogue: &'a Catalogue,
    /// Compiled for that very catalogue.
    pub subject: &'a CompiledPrincipal,
    pub organizations: &'a [Gathered],
    /// The owner's manager, then that one's, upwards; in a DIRECT realm the first counts alone. `None`: not looked up.
    pub owner_managers: Option<&'a [UserId]>,
}

/// What must be gathered before a decision can be made. Gather it, and ask again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Needs {
    Organizations(SmallVec<[OrganizationId; 4]>),
    OwnerManagers,
}

/// Where a question is about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place<'a> {
    /// What belongs to no organization.
    Nowhere,
    In(&'a Organization),
}

impl<'a> Place<'a> {
    pub(crate) fn organization(self) -> Option<&'a Organization> {
        match self {
            Self::Nowhere => None,
            Self::In(organization) => Some(organization),
        }
    }

    pub(crate) fn id(self) -> Option<OrganizationId> {
        self.organization().map(|organization| organization.id)
    }

    /// Whether what is scoped to this organization confers nothing now.
    pub(crate) fn is_suspended(self) -> bool {
        self.organization().is_some_and(|organization| organization.suspended)
    }
}

/// Where a look-up of an organization ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Found<'a> {
    Place(Place<'a>),
    Unknown,
    NotGathered(OrganizationId),
}

/// Decides from what was gathered; what was not counts as not being there.
#[must_use]
pub fn decide(world: &World<'_>, question: &Question<'_>, now: Timestamp) -> Decision {
    try_decide(world, question, now).unwrap_or(Decision::Denied)
}

/// What must still be gathered before [`decide`] can be believed; `None` once nothing is.
#[must_use]
pub fn needs(world: &World<'_>, question: &Question<'_>, now: Timestamp) -> Option<Needs> {
    try_decide(world, question, now).err()
}

/// Decides, unless something that the answer hangs on was not gathered.
///
/// # Errors
/// What to gather. It shrinks with every call, so gathering and asking again ends.
pub fn try_decide(world: &World<'_>, question: &Question<'_>, now: Timestamp) -> Result<Decision, Needs> {
    if world.gates_but_basic(now).next().is_some() {
        return Ok(Decision::Denied);
    }
    let place = match world.find(question.organization) {
        Found::Place(place) => place,
        Found::Unknown => return Ok(Decision::Denied),
        Found::NotGathered(organization) => return Err(Needs::Organizations([organization].into_iter().collect())),
    };
    if !world.try_holds_basic(now)? || world.is_retired(question.permission) {
        return Ok(Decision::Denied);
    }
    let ask = |wanted| Ask { permission: question.permission, wanted, place, now };
    let wanted = world.wanted(question.owner);
    if world.subject.allows(world, &ask(wanted), question.resource) {
        return Ok(Decision::Allowed);
    }
    let might_be_team = world.owner_managers.is_none() && world.may_lead(question.owner);
    if might_be_team && world.subject.allows(world, &ask(Reach::Team.into()), question.resource) {
        return Err(Needs::OwnerManagers);
    }
    Ok(Decision::Denied)
}

/// Whether entries scoped to the organization alone open this there, at ALL. Gates aside; what conditions ask for may
/// be held anywhere.
#[must_use]
pub fn opens_within(world: &World<'_>, permission: PermissionId, organization: OrganizationId, now: Timestamp) -> bool {
    let Found::Place(place) = world.find(Some(organization)) else { return false };
    let ask = Ask { permission, wanted: Reach::All.into(), place, now };
    let mut slots = world.subject.slots_without_resource(place);
    slots.any(|slot| {
        let scoped = world.subject.entry(slot).scope.organization() == Some(organization);
        scoped && world.subject.slot_allows(world, slot, &ask)
    })
}

impl<'a> World<'a> {
    /// Every gate of the subject that fails, in their order. Basic access that would need more to be gathered counts as
    /// missing: see [`World::gates_need`].
    pub fn gates(&self, now: Timestamp) -> impl Iterator<Item = Gate> {
        let holds_basic = self.try_holds_basic(now).unwrap_or(false);
        self.gates_but_basic(now).chain((!holds_basic).then_some(Gate::BasicAccessMissing))
    }

    /// The gates before the last one. A platform operator has none: it is what lifts them.
    fn gates_but_basic(&self, now: Timestamp) -> impl Iterator<Item = Gate> {
        let realm = self.catalogue.realm_gates();
        let (user, own) = match &self.subject.principal().kind {
            _ if self.subject.is_platform_operator() => (None, [None, None]),
            PrincipalKind::User(facts) => (Some(gates(facts, realm, true, now)), [None, None]),
            PrincipalKind::ServiceAccount { disabled, .. } => {
                (None, [realm.suspended.then_some(Gate::RealmSuspended), disabled.then_some(Gate::Disabled)])
            }
        };
        user.into_iter().flatten().chain(own.into_iter().flatten())
    }

    pub(crate) fn find(&self, organization: Option<OrganizationId>) -> Found<'a> {
        let Some(id) = organization else { return Found::Place(Place::Nowhere) };
        match self.organizations.iter().find(|gathered| gathered.id == id) {
            None => Found::NotGathered(id),
            Some(gathered) => gathered.organization.as_deref().map_or(Found::Unknown, |it| Found::Place(Place::In(it))),
        }
    }

    pub(crate) fn is_retired(&self, permission: PermissionId) -> bool {
        self.catalogue.permission(permission).is_none_or(|row| row.retired)
    }

    /// The reaches that cover this owner for the subject. An owner whose managers were not looked up is in no team.
    pub(crate) fn wanted(&self, owner: Option<PrincipalId>) -> Reaches {
        let all = Reaches::from(Reach::All);
        match owner {
            Some(id) if id == self.subject.principal().id => all | Reach::Own.into(),
            Some(_) if self.may_lead(owner) && self.leads_owner() => all | Reach::Team.into(),
            _ => all,
        }
    }

    /// Whether the owner, whose managers these are, is in the subject's team.
    fn leads_owner(&self) -> bool {
        in_team(self.subject.principal().id, self.owner_managers.unwrap_or_default(), self.catalogue.policy.team)
    }

    /// Whether the owner could be in the subject's team, whoever its managers are.
    pub(crate) fn may_lead(&self, owner: Option<PrincipalId>) -> bool {
        let subject = self.subject.principal();
        subject.is_user() && owner.is_some_and(|owner| owner != subject.id)
    }
}

/// Whether somebody with these managers (the direct one first, then upwards) is in the leader's team.
#[must_use]
pub fn in_team(leader: PrincipalId, managers: &[UserId], team: Team) -> bool {
    let counted = match team {
        Team::Direct => 1,
        Team::Chain => managers.len(),
    };
    managers.iter().take(counted).any(|manager| PrincipalId::from(*manager) == leader)
}
