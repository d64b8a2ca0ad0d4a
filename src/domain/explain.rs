//! Why a decision is what it is: the chain that allowed it, or what each entry that comes near lacks.
//!
//! Walks every entry of the subject with the tests that [`super::decision`] uses, and so arrives at the same answer.
//! Costs more: only asked for on demand.

use std::cmp::Reverse;

use super::account::Gate;
use super::catalogue::{CompiledRole, RoleIndex};
use super::decision::confer::{Lack, Standing, confers, lacking, standing};
use super::decision::{Decision, Found, Needs, Place, Question, ResourceRef, World};
use super::ids::{EntryId, RoleId};
use super::permission::{Pattern, Reach, Reaches};
use super::snapshot::{Confers, Entry, Scope, Window};
use super::time::Timestamp;

/// A decision with its reason.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Explanation {
    Allowed(Chain),
    /// Every gate that fails; the first is the answer.
    Gates(Vec<Gate>),
    OrganizationUnknown,
    PermissionRetired,
    /// What comes near, the nearest first, at most [`MISSES_MAX`] and never none; how many more there are.
    Misses {
        near: Vec<Miss>,
        left_off: usize,
    },
}

/// How one entry covers a permission.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chain {
    pub entry: EntryId,
    pub scope: Scope,
    pub window: Window,
    /// From the assigned role to the included one that the pattern stands in; empty for a grant.
    pub path: Vec<RoleId>,
    pub pattern: Pattern,
    /// Without effect where the entry names a resource.
    pub reach: Reach,
}

/// A chain that covers the permission and does not open it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Miss {
    pub kind: MissKind,
    /// Absent where no entry covers the permission at all.
    pub chain: Option<Chain>,
}

/// How far an entry came: the later, the nearer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MissKind {
    NoSuchEntry,
    WrongOrganization,
    OutOfReach,
    OtherResource,
    NotConferred(Vec<Missing>),
    NotYet(Timestamp),
    Expired(Timestamp),
    /// All would be well if the organization were not suspended.
    OrganizationSuspended,
}

/// What an entry needs in order to confer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Missing {
    /// An ACTIVE membership in the entry's organization.
    Membership,
    /// An organization of one of these kinds, or an ACTIVE membership in one.
    Kind(Vec<String>),
    /// The organization licenses one of these products.
    Entitlement(Vec<String>),
    /// The membership carries this attribute.
    Attribute(String),
    /// This role beside it.
    Role(RoleId),
}

/// The most misses that an explanation lists.
pub const MISSES_MAX: usize = 16;

impl Explanation {
    /// The decision that this explains.
    #[must_use]
    pub fn decision(&self) -> Decision {
        match self {
            Self::Allowed(_) => Decision::Allowed,
            Self::Gates(_) | Self::OrganizationUnknown | Self::PermissionRetired | Self::Misses { .. } => {
                Decision::Denied
            }
        }
    }
}

/// What must still be gathered before [`explain`] tells the nearest miss: more than the decision may have needed, since an
/// entry that lacks something decides nothing by its reach.
#[must_use]
pub fn needs(world: &World<'_>, question: &Question<'_>) -> Option<Needs> {
    (world.owner_managers.is_none() && world.may_lead(question.owner)).then_some(Needs::OwnerManagers)
}

/// Explains what [`super::decision::decide`] answers in the same world, once neither it nor [`needs`] asks for more.
#[must_use]
pub fn explain(world: &World<'_>, question: &Question<'_>, now: Timestamp) -> Explanation {
    let gates: Vec<_> = world.gates(now).collect();
    if !gates.is_empty() {
        return Explanation::Gates(gates);
    }
    let Found::Place(place) = world.find(question.organization) else { return Explanation::OrganizationUnknown };
    if world.is_retired(question.permission) {
        return Explanation::PermissionRetired;
    }
    let inquiry = Inquiry { world, question, place, wanted: world.wanted(question.owner), now };
    let mut near = Vec::new();
    for entry in &world.subject.principal().entries {
        match inquiry.progress(entry) {
            None => {}
            Some(progress) => near.push((progress, entry)),
        }
    }
    near.sort_by_key(|(progress, _)| Reverse(*progress));
    if let Some((Progress::Opens, entry)) = near.first()
        && let Some(chain) = inquiry.chain(entry)
    {
        return Explanation::Allowed(chain);
    }
    let left_off = near.len().saturating_sub(MISSES_MAX);
    near.truncate(MISSES_MAX);
    let mut misses: Vec<_> = near.into_iter().map(|(progress, entry)| inquiry.miss(progress, entry)).collect();
    if misses.is_empty() {
        misses.push(Miss { kind: MissKind::NoSuchEntry, chain: None });
    }
    Explanation::Misses { near: misses, left_off }
}

/// How far an entry that covers the permission comes; ordered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Progress {
    WrongOrganization,
    OutOfReach,
    OtherResource,
    NotConferred,
    OutOfTime,
    OrganizationSuspended,
    Opens,
}

/// One question on its way through the entries.
struct Inquiry<'a> {
    world: &'a World<'a>,
    question: &'a Question<'a>,
    place: Place<'a>,
    wanted: Reaches,
    now: Timestamp,
}

impl Inquiry<'_> {
    /// How far the entry comes; `None` if it does not cover the permission at all.
    fn progress(&self, entry: &Entry) -> Option<Progress> {
        let reaches = self.reaches(entry);
        if reaches == Reaches::NONE {
            return None;
        }
        let resource = entry.resource.as_deref().map(ResourceRef::from);
        Some(if !entry.scope.covers(self.question.organization) {
            Progress::WrongOrganization
        } else if !reaches.meets(self.wanted_of(entry)) {
            Progress::OutOfReach
        } else if resource.is_some() && resource != self.question.resource {
            Progress::OtherResource
        } else if !self.standing(entry).is_sound(self.place.organization()) || !self.some_path_confers(entry) {
            Progress::NotConferred
        } else if !entry.window.contains(self.now) {
            Progress::OutOfTime
        } else if entry.scope != Scope::Realm && self.place.is_suspended() {
            Progress::OrganizationSuspended
        } else {
            Progress::Opens
        })
    }

    fn miss(&self, progress: Progress, entry: &Entry) -> Miss {
        let (chain, mut lacks) = self.nearest_chain(progress, entry).unzip();
        let kind = match progress {
            Progress::WrongOrganization => MissKind::WrongOrganization,
            Progress::OutOfReach => MissKind::OutOfReach,
            Progress::OtherResource => MissKind::OtherResource,
            Progress::NotConferred => {
                let mut missing = self.missing_standing(entry);
                missing.append(lacks.get_or_insert_default());
                MissKind::NotConferred(missing)
            }
            Progress::OutOfTime => match entry.window.not_before().filter(|from| self.now < *from) {
                Some(from) => MissKind::NotYet(from),
                None => MissKind::Expired(entry.window.expires_at().unwrap_or(self.now)),
            },
            Progress::OrganizationSuspended | Progress::Opens => MissKind::OrganizationSuspended,
        };
        Miss { kind, chain }
    }

    /// An entry that names a resource has no reach: any of its patterns will do.
    fn wanted_of(&self, entry: &Entry) -> Reaches {
        if entry.resource.is_some() { Reaches::EVERY } else { self.wanted }
    }

    /// The reaches at which the entry covers the permission, conditions aside.
    fn reaches(&self, entry: &Entry) -> Reaches {
        match &entry.confers {
            Confers::Role(role) => {
                let role = self.world.catalogue.compiled(*role);
                role.map(|role| role.reaches(self.question.permission)).unwrap_or_default()
            }
            Confers::Grant { pattern, reach } if self.covers(pattern) => (*reach).into(),
            Confers::Grant { .. } => Reaches::NONE,
        }
    }

    fn covers(&self, pattern: &Pattern) -> bool {
        let name = self.world.catalogue.permission(self.question.permission).map(|row| &row.name);
        self.world.subject.is_platform_operator() && name.is_some_and(|name| name.is_reserved())
            || name.is_some_and(|name| pattern.covers(name))
    }

    fn standing(&self, entry: &Entry) -> Standing<'_> {
        standing(self.world.catalogue, self.world.subject.principal(), entry)
    }

    fn missing_standing(&self, entry: &Entry) -> Vec<Missing> {
        match self.standing(entry) {
            standing if standing.is_sound(self.place.organization()) => vec![],
            Standing::WrongKind(kinds) | Standing::AskKind(kinds) => vec![Missing::Kind(kinds.to_vec())],
            Standing::NoMembership | Standing::Sound => vec![Missing::Membership],
        }
    }

    fn confers(&self, role: RoleIndex) -> bool {
        confers(&self.world.catalogue.at(role).role, self.world.subject, self.place, self.now)
    }

    /// Whether every role on some path to a covering pattern confers.
    fn some_path_confers(&self, entry: &Entry) -> bool {
        let Confers::Role(role) = entry.confers else { return true };
        let Some((root, compiled)) = self.root(role) else { return false };
        let (permission, wanted) = (self.question.permission.0, self.wanted_of(entry));
        let opens = |role: &&RoleIndex| self.world.catalogue.at(**role).own.reaches(permission).meets(wanted);
        compiled.free.reaches(permission).meets(wanted)
            || compiled.bound.iter().filter(opens).any(|included| self.conferring_path(root, *included).is_some())
    }

    fn root(&self, role: RoleId) -> Option<(RoleIndex, &CompiledRole)> {
        let root = self.world.catalogue.index(role)?;
        Some((root, self.world.catalogue.at(root)))
    }

    fn conferring_path(&self, from: RoleIndex, to: RoleIndex) -> Option<Vec<RoleIndex>> {
        self.world.catalogue.path(from, to, |role| self.confers(role))
    }

    /// The chain of an entry that opens the permission.
    fn chain(&self, entry: &Entry) -> Option<Chain> {
        self.nearest_chain(Progress::Opens, entry).map(|(chain, _)| chain)
    }

    /// Of the entry's chains the one that lacks least, with what it lacks.
    fn nearest_chain(&self, progress: Progress, entry: &Entry) -> Option<(Chain, Vec<Missing>)> {
        let wanted = if progress <= Progress::OutOfReach { Reaches::EVERY } else { self.wanted_of(entry) };
        let chain = |path: &[RoleIndex], pattern: &Pattern, reach| Chain {
            entry: entry.id,
            scope: entry.scope,
            window: entry.window,
            path: path.iter().map(|role| self.world.catalogue.at(*role).role.id).collect(),
            pattern: pattern.clone(),
            reach,
        };
        let role = match &entry.confers {
            Confers::Role(role) => *role,
            Confers::Grant { pattern, reach } => return Some((chain(&[], pattern, *reach), vec![])),
        };
        let (root, compiled) = self.root(role)?;
        let written = compiled.closure.iter().filter_map(|included| {
            let grants = &self.world.catalogue.at(*included).role.grants;
            let covers =
                |(pattern, reach): &&(Pattern, Reach)| Reaches::from(*reach).meets(wanted) && self.covers(pattern);
            grants.iter().find(covers).map(|grant| (*included, grant))
        });
        let (path, lacks, (pattern, reach)) = written
            .filter_map(|(included, grant)| self.path(root, included).map(|(path, lacks)| (path, lacks, grant)))
            .min_by_key(|(_, lacks, _)| lacks.len())?;
        Some((chain(&path, pattern, *reach), lacks))
    }

    /// A path that confers, or else the shortest one with what its roles lack.
    fn path(&self, from: RoleIndex, to: RoleIndex) -> Option<(Vec<RoleIndex>, Vec<Missing>)> {
        if let Some(path) = self.conferring_path(from, to) {
            return Some((path, vec![]));
        }
        let path = self.world.catalogue.path(from, to, |_| true)?;
        let lacks = path.iter().flat_map(|role| {
            let role = &self.world.catalogue.at(*role).role;
            lacking(role, self.world.subject, self.place, self.now).map(Missing::from)
        });
        let lacks = lacks.collect();
        Some((path, lacks))
    }
}

impl From<Lack<'_>> for Missing {
    fn from(lack: Lack<'_>) -> Self {
        match lack {
            Lack::Entitlement(products) => Self::Entitlement(products.to_vec()),
            Lack::Attribute(name) => Self::Attribute(name.to_owned()),
            Lack::Role(role) => Self::Role(role),
        }
    }
}
