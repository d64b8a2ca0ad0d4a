//! Rule 3, nobody grants what they do not have: the containment table, and who must not be reached up to.
//!
//! Between patterns, never between sets of declared names. Asked by the use cases that confer; what waives the table
//! (`escalate`, `assign_restricted`, `may_assign`) is theirs.

use smallvec::SmallVec;
use thiserror::Error;

use super::catalogue::{Catalogue, PermissionId, RoleIndex};
use super::decision::confer::confers;
use super::decision::{Decision, Found, Holding, Place, Question, Slot, World, try_decide};
use super::ids::{PrincipalId, RoleId};
use super::permission::{Pattern, Reach, Reaches, reserved};
use super::policy::Team;
use super::snapshot::{Confers, Entry, Principal, Scope};
use super::time::Timestamp;

/// What an entry is about to confer on somebody.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Conferral {
    pub scope: Scope,
    /// Whether the entry names a resource.
    pub on_resource: bool,
    /// The resource's owner, where the caller states one; believed of service accounts only.
    pub stated_owner: Option<PrincipalId>,
    /// Whether the receiver is in the actor's team ([`super::decision::in_team`]).
    pub in_team: bool,
}

/// The actor lacks a covering pattern.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("conferring {pattern} at reach {reach:?} needs a covering pattern there")]
pub struct NotContained {
    pub pattern: Pattern,
    pub reach: Reach,
    pub scope: Scope,
}

/// Whether the world's subject, as the actor, may confer this pattern at this reach.
///
/// The world has the scope's organization gathered, what the actor's gates need, and the managers of the stated owner.
///
/// # Errors
/// The actor's gates fail, or it holds no covering pattern in the scope or realm-wide at a sufficient reach.
pub fn contained(
    world: &World<'_>,
    (pattern, reach): (&Pattern, Reach),
    conferral: &Conferral,
    now: Timestamp,
) -> Result<(), NotContained> {
    let enough = sufficient(reach, conferral, world.catalogue.policy.team);
    if holds_pattern(world, pattern, enough, conferral.scope, now) || may_share(world, conferral, now) {
        return Ok(());
    }
    Err(NotContained { pattern: pattern.clone(), reach, scope: conferral.scope })
}

/// Whether the actor may confer everything that the role and its included roles say, conditions aside.
///
/// # Errors
/// As [`contained`], for the first pattern that fails. A role that does not exist confers nothing and passes.
pub fn role_contained(
    world: &World<'_>,
    role: RoleId,
    conferral: &Conferral,
    now: Timestamp,
) -> Result<(), NotContained> {
    let grants = world.catalogue.with_included(role).flat_map(|role| &role.grants);
    grants.into_iter().try_for_each(|(pattern, reach)| contained(world, (pattern, *reach), conferral, now))
}

/// The reaches at which the actor must hold what it confers.
fn sufficient(reach: Reach, conferral: &Conferral, team: Team) -> Reaches {
    let team_will_do = match reach {
        _ if conferral.on_resource || !conferral.in_team => false,
        Reach::Own => true,
        Reach::Team => team == Team::Chain,
        Reach::All => false,
    };
    if team_will_do { Reaches::containing(Reach::Team) } else { Reach::All.into() }
}

/// A service shares single resources on behalf of their owners.
fn may_share(world: &World<'_>, conferral: &Conferral, now: Timestamp) -> bool {
    let owner = conferral.stated_owner.filter(|_| conferral.on_resource && !world.subject.principal().is_user());
    let permission = world.catalogue.permission_id(reserved::ACCESS_SHARE);
    owner.zip(permission).is_some_and(|(owner, permission)| {
        let organization = conferral.scope.organization();
        let question = Question { permission, organization, owner: Some(owner), resource: None };
        try_decide(world, &question, now) == Ok(Decision::Allowed)
    })
}

/// Whether the world's subject passes its gates and holds, in this scope or realm-wide, a pattern that covers this one
/// at one of these reaches, conferring now. Entries that name a resource don't count.
#[must_use]
pub fn holds_pattern(world: &World<'_>, pattern: &Pattern, reaches: Reaches, scope: Scope, now: Timestamp) -> bool {
    let Found::Place(place) = world.find(scope.organization()) else { return false };
    if world.gates(now).next().is_some() {
        return false;
    }
    let sample = world.catalogue.covered(pattern).next();
    let search = Search { world, pattern, sample, reaches, place, now };
    world.subject.slots_without_resource(place).any(|slot| search.covered_by(slot))
}

/// Whether the world's subject passes its gates and holds, in this scope or realm-wide, a role that says `may_assign` of
/// this one, conferring now. Entries that name a resource don't count.
#[must_use]
pub fn may_assign(world: &World<'_>, role: RoleId, scope: Scope, now: Timestamp) -> bool {
    let Found::Place(place) = world.find(scope.organization()) else { return false };
    if world.gates(now).next().is_some() {
        return false;
    }
    let catalogue = world.catalogue;
    let names = |holder: &&RoleIndex| catalogue.at(**holder).role.may_assign.contains(&role);
    let confers = |role| confers(&catalogue.at(role).role, world.subject, place, now);
    world.subject.slots_without_resource(place).any(|slot| {
        let Holding::Role(root) = slot.holding else { return false };
        let mut naming = catalogue.at(root).closure.iter().filter(names);
        naming.any(|holder| catalogue.route(root, *holder, confers).is_some())
            && world.subject.stands(catalogue, slot, place, now)
    })
}

/// The search for a covering pattern.
struct Search<'a> {
    world: &'a World<'a>,
    pattern: &'a Pattern,
    /// A declared permission that the pattern covers, if there is one: what covers the pattern covers that too.
    sample: Option<PermissionId>,
    reaches: Reaches,
    place: Place<'a>,
    now: Timestamp,
}

impl Search<'_> {
    fn covered_by(&self, slot: &Slot) -> bool {
        let catalogue = self.world.catalogue;
        let written = match (slot.holding, &self.world.subject.entry(slot).confers) {
            (Holding::Role(root), _) => self.some_role_covers(root),
            (Holding::Grant { .. }, Confers::Grant { pattern, reach }) => self.covers(pattern, *reach),
            (Holding::Grant { .. }, Confers::Role(_)) => false,
        };
        written && self.world.subject.stands(catalogue, slot, self.place, self.now)
    }

    fn some_role_covers(&self, root: RoleIndex) -> bool {
        let catalogue = self.world.catalogue;
        let writes = |role: &&RoleIndex| {
            catalogue.at(**role).role.grants.iter().any(|(pattern, reach)| self.covers(pattern, *reach))
        };
        if self.sample.is_some_and(|sample| !catalogue.at(root).reaches(sample).meets(self.reaches)) {
            return false;
        }
        let confers = |role| confers(&catalogue.at(role).role, self.world.subject, self.place, self.now);
        let closure = &catalogue.at(root).closure;
        closure.iter().filter(writes).any(|role| catalogue.route(root, *role, confers).is_some())
    }

    fn covers(&self, pattern: &Pattern, reach: Reach) -> bool {
        self.reaches.meets(reach.into()) && pattern.covers_pattern(self.pattern)
    }
}

/// A reserved pattern that its holder has beyond its own things.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Strong<'a> {
    pub pattern: &'a Pattern,
    /// TEAM or ALL.
    pub reach: Reach,
    pub scope: Scope,
}

impl Strong<'_> {
    /// The reaches at which an actor must hold the pattern to reach up to its holder.
    #[must_use]
    pub fn sufficient(&self) -> Reaches {
        Reaches::containing(self.reach)
    }
}

/// The reserved patterns that the principal's entries say at TEAM or ALL, `countersign.requests.create` aside.
///
/// Whatever keeps them from conferring at the moment, expiry aside, is not asked (gates, memberships, conditions, a
/// start to come): a held administrator is still one when somebody resets the password.
pub fn reserved_strong<'a>(
    catalogue: &'a Catalogue,
    principal: &'a Principal,
    now: Timestamp,
) -> impl Iterator<Item = Strong<'a>> {
    principal.lasting_entries(now).filter(|entry| entry.resource.is_none()).flat_map(|entry| {
        let said = said(catalogue, entry).into_iter();
        said.filter(|(pattern, reach)| is_strong(pattern, *reach)).map(|(pattern, reach)| Strong {
            pattern,
            reach,
            scope: entry.scope,
        })
    })
}

fn is_strong(pattern: &Pattern, reach: Reach) -> bool {
    reach != Reach::Own && pattern.is_reserved() && pattern.as_str() != reserved::REQUESTS_CREATE
}

/// What an entry says: its own pattern, or those of its role and the included ones.
fn said<'a>(catalogue: &'a Catalogue, entry: &'a Entry) -> SmallVec<[(&'a Pattern, Reach); 8]> {
    match &entry.confers {
        Confers::Grant { pattern, reach } => [(pattern, *reach)].into_iter().collect(),
        Confers::Role(role) => {
            let grants = catalogue.with_included(*role).flat_map(|role| &role.grants);
            grants.map(|(pattern, reach)| (pattern, *reach)).collect()
        }
    }
}
