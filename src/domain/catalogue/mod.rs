//! A realm's catalogue: its policy, the permissions that it declares and its roles, compiled for deciding.
//!
//! Immutable; whatever changes in it makes a new one. Permissions are numbered in the order of their names and roles
//! by their place: these numbers mean something in one catalogue only and are never stored.

mod compile;
pub(crate) mod ranges;
mod restricted;
mod role;

use std::collections::HashMap;
use std::sync::Arc;

use hashbrown::HashTable;
use rustc_hash::FxBuildHasher;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use self::ranges::{Ranges, Run};
use super::account::RealmGates;
use super::ids::{OrganizationId, RealmId, Revision, RoleId};
use super::permission::{Pattern, PermissionName, Reach, Reaches, Shape, reserved};
use super::policy::{OrganizationsPerUser, Policy};
use super::snapshot::{Confers, Organization, Principal};

pub use self::role::{Assignable, Conditions, DefaultFor, Exclusion, Role, RoleRow};

/// The most permissions that a realm declares: what the service is measured at.
pub const PERMISSIONS_MAX: usize = 10_000;
/// The most roles that a realm has: what the service is measured at.
pub const ROLES_MAX: usize = 10_000;

/// A permission that the realm declares.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Permission {
    pub name: PermissionName,
    pub title: String,
    /// The section of the product that it opens.
    pub section: String,
    /// Who holds it is impersonated only by who holds it too.
    pub protected: bool,
    /// Every check of it is denied.
    pub retired: bool,
}

/// What a catalogue is compiled from, read at one revision.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CatalogueSource {
    pub realm: RealmId,
    pub realm_name: String,
    pub suspended: bool,
    pub as_of: Revision,
    pub policy: Arc<Policy>,
    /// Without the reserved ones, which every catalogue has.
    pub permissions: Vec<Permission>,
    pub roles: Vec<Role>,
    pub exclusions: Vec<Exclusion>,
}

/// A declared permission, by its number in one catalogue.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PermissionId(pub(crate) u32);

/// A role, by its place in one catalogue.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct RoleIndex(pub(crate) u32);

/// A realm's catalogue, compiled. Made by [`Catalogue::compile`].
#[derive(Debug)]
pub struct Catalogue {
    pub realm: RealmId,
    pub realm_name: String,
    pub suspended: bool,
    pub as_of: Revision,
    pub policy: Arc<Policy>,
    pub exclusions: Vec<Exclusion>,
    /// In the order of their names.
    permissions: Box<[Permission]>,
    permissions_by_name: HashTable<u32>,
    roles: Box<[CompiledRole]>,
    roles_by_id: HashMap<RoleId, RoleIndex, FxBuildHasher>,
    roles_by_name: HashMap<Box<str>, RoleIndex>,
    basic: Basic,
}

/// The realm's basic permission.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Basic {
    NotAsked,
    Asked(PermissionId),
    /// Asked for, but undeclared or retired: nobody holds it.
    HeldByNobody,
}

#[derive(Debug)]
pub(crate) struct CompiledRole {
    pub(crate) role: Role,
    /// The included roles that exist, in the order written.
    pub(crate) includes: Box<[RoleIndex]>,
    /// This role, then whatever it includes, each once, the nearest first.
    pub(crate) closure: Box<[RoleIndex]>,
    /// What the role's own patterns cover.
    pub(crate) own: Ranges<Reaches>,
    /// What it confers wherever it counts: over the paths without conditions.
    pub(crate) free: Ranges<Reaches>,
    /// The members of the closure that are reached over conditions only.
    pub(crate) bound: Box<[RoleIndex]>,
    /// What it might confer, conditions aside; absent where that is what it confers freely.
    all: Option<Ranges<Reaches>>,
    /// It, or a role that it includes, is restricted.
    restricted: bool,
}

impl CompiledRole {
    /// The reaches at which the role covers the permission, conditions aside.
    pub(crate) fn reaches(&self, permission: PermissionId) -> Reaches {
        self.all.as_ref().unwrap_or(&self.free).reaches(permission.0)
    }
}

/// A path over included roles: each with the place in the list of the one before it.
type Route = SmallVec<[(RoleIndex, u32); 16]>;

impl Catalogue {
    /// The declared permission of this name, retired ones included.
    #[must_use]
    pub fn permission_id(&self, name: &str) -> Option<PermissionId> {
        let named = |at: &u32| self.permissions.get(*at as usize).is_some_and(|row| row.name.as_str() == name);
        self.permissions_by_name.find(compile::hash(name), named).map(|at| PermissionId(*at))
    }

    /// What is declared under this number; `None` for a number of another catalogue.
    #[must_use]
    pub fn permission(&self, id: PermissionId) -> Option<&Permission> {
        self.permissions.get(id.0 as usize)
    }

    /// Every declared permission in the order of names, reserved and retired ones included.
    pub fn permissions(&self) -> impl Iterator<Item = (PermissionId, &Permission)> {
        (0..).map(PermissionId).zip(&self.permissions)
    }

    /// The declared permissions that the pattern covers, in the order of names.
    pub fn covered(&self, pattern: &Pattern) -> impl Iterator<Item = PermissionId> {
        self.runs(pattern).into_iter().flatten().map(PermissionId)
    }

    /// The declared name closest to one that is not declared, unless none is near.
    ///
    /// Compares with every name: for the error message only.
    #[must_use]
    pub fn closest(&self, name: &str) -> Option<&PermissionName> {
        const NEAR: f64 = 0.6;
        let likely = |row: &&Permission| {
            let length = row.name.as_str().len();
            !row.retired && name.len().abs_diff(length) * 5 <= name.len().max(length) * 2
        };
        let likeness = |row: &Permission| strsim::normalized_levenshtein(name, row.name.as_str());
        self.permissions
            .iter()
            .filter(likely)
            .map(|row| (likeness(row), &row.name))
            .filter(|(likeness, _)| *likeness >= NEAR)
            .max_by(|(a, _), (b, _)| a.total_cmp(b))
            .map(|(_, name)| name)
    }

    #[must_use]
    pub fn role(&self, id: RoleId) -> Option<&Role> {
        self.compiled(id).map(|compiled| &compiled.role)
    }

    /// The role of this name, in whatever case: the one that is spelled like this before another one.
    #[must_use]
    pub fn role_named(&self, name: &str) -> Option<&Role> {
        let spelled = self.roles_by_name.get(name).map(|index| &self.at(*index).role);
        let folded =
            |text: &str| text.chars().flat_map(char::to_lowercase).eq(name.chars().flat_map(char::to_lowercase));
        spelled.or_else(|| self.roles().find(|role| folded(&role.name)))
    }

    /// Every role, in the order of the source.
    pub fn roles(&self) -> impl Iterator<Item = &Role> {
        self.roles.iter().map(|compiled| &compiled.role)
    }

    /// The role and whatever it includes, each once, the nearest first; nothing for a role that does not exist.
    pub fn with_included(&self, id: RoleId) -> impl Iterator<Item = &Role> {
        let closure = self.compiled(id).map(|compiled| &*compiled.closure).unwrap_or_default();
        closure.iter().map(|index| &self.at(*index).role)
    }

    /// Whether the role confers the permission at some reach, itself or by a role that it includes, conditions aside.
    #[must_use]
    pub fn role_confers(&self, id: RoleId, permission: PermissionId) -> bool {
        self.compiled(id).is_some_and(|compiled| compiled.reaches(permission) != Reaches::NONE)
    }

    /// Whether a role of this id would include itself if it included these.
    #[must_use]
    pub fn would_cycle(&self, id: RoleId, includes: &[RoleId]) -> bool {
        includes.iter().any(|included| *included == id || self.with_included(*included).any(|role| role.id == id))
    }

    /// The roles that may confer the permission, conditions aside.
    pub fn roles_covering(&self, permission: PermissionId) -> impl Iterator<Item = RoleId> {
        let covers = move |role: &&CompiledRole| role.reaches(permission) != Reaches::NONE;
        self.roles.iter().filter(covers).map(|compiled| compiled.role.id)
    }

    /// The roles that may confer the permission at this reach when they are assigned in this organization, as far as that
    /// hangs on its kind and on what it licenses.
    pub fn roles_opening(
        &self,
        permission: PermissionId,
        reach: Reach,
        organization: &Organization,
    ) -> impl Iterator<Item = RoleId> {
        let licensed = |index: RoleIndex| {
            let products = &self.at(index).role.conditions.any_entitlement;
            products.is_empty() || organization.entitlements.iter().any(|held| products.contains(held))
        };
        let opens = move |compiled: &&CompiledRole| {
            let kinds = &compiled.role.assignable.kinds;
            let covering = |index: &&RoleIndex| self.at(**index).own.reaches(permission.0).meets(reach.into());
            compiled.reaches(permission).meets(reach.into())
                && (kinds.is_empty() || kinds.contains(&organization.kind))
                && self.index(compiled.role.id).is_some_and(|root| {
                    let mut covering = compiled.closure.iter().filter(covering);
                    covering.any(|covers| self.route(root, *covers, licensed).is_some())
                })
        };
        self.roles.iter().filter(opens).map(|compiled| compiled.role.id)
    }

    /// Whether what an entry confers may be the permission, conditions and reach aside.
    #[must_use]
    pub fn may_confer(&self, confers: &Confers, permission: PermissionId) -> bool {
        match confers {
            Confers::Role(role) => self.compiled(*role).is_some_and(|role| role.reaches(permission) != Reaches::NONE),
            Confers::Grant { pattern, .. } => self.permission(permission).is_some_and(|row| pattern.covers(&row.name)),
        }
    }

    /// What the realm contributes to the gates.
    #[must_use]
    pub fn realm_gates(&self) -> RealmGates {
        self.policy.gates(self.suspended)
    }

    /// The organization that a question is about: the named one; with none named, in a realm of one organization per
    /// user, a user's own.
    #[must_use]
    pub fn effective_organization(
        &self,
        principal: &Principal,
        named: Option<OrganizationId>,
    ) -> Option<OrganizationId> {
        let own = || match self.policy.organizations_per_user {
            OrganizationsPerUser::One if principal.is_user() => principal.active_memberships().next(),
            OrganizationsPerUser::One | OrganizationsPerUser::Many => None,
        };
        named.or_else(|| own().map(|membership| membership.organization))
    }

    pub(crate) fn basic(&self) -> Basic {
        self.basic
    }

    pub(crate) fn index(&self, id: RoleId) -> Option<RoleIndex> {
        self.roles_by_id.get(&id).copied()
    }

    pub(crate) fn compiled(&self, id: RoleId) -> Option<&CompiledRole> {
        self.index(id).map(|index| self.at(index))
    }

    pub(crate) fn at(&self, index: RoleIndex) -> &CompiledRole {
        &self.roles[index.0 as usize]
    }

    /// Searches a path from one role to another along which every role confers; both ends count.
    pub(crate) fn route(&self, from: RoleIndex, to: RoleIndex, confers: impl Fn(RoleIndex) -> bool) -> Option<Route> {
        let mut seen = Route::new();
        let mut next = 0;
        if confers(from) {
            seen.push((from, 0));
        }
        while let Some((role, _)) = seen.get(next).copied() {
            if role == to {
                seen.truncate(next + 1);
                return Some(seen);
            }
            for included in &self.at(role).includes {
                if !seen.iter().any(|(known, _)| known == included) && confers(*included) {
                    seen.push((*included, ranges::number(next)));
                }
            }
            next += 1;
        }
        None
    }

    /// The same path as a list of roles, from the assigned one to the included one.
    pub(crate) fn path(
        &self,
        from: RoleIndex,
        to: RoleIndex,
        confers: impl Fn(RoleIndex) -> bool,
    ) -> Option<Vec<RoleIndex>> {
        let route = self.route(from, to, confers)?;
        let mut at = route.len() - 1;
        let mut path = vec![route[at].0];
        while at != 0 {
            at = route[at].1 as usize;
            path.push(route[at].0);
        }
        path.reverse();
        Some(path)
    }

    /// The runs of declared permissions that a pattern covers: none, one or two.
    pub(crate) fn runs(&self, pattern: &Pattern) -> SmallVec<[Run; 2]> {
        match pattern.shape() {
            Shape::Exact(name) => self.permission_id(name).map(|id| id.0..id.0 + 1).into_iter().collect(),
            Shape::Below(prefix) => without(self.below(prefix), self.below("countersign.platform.")),
            Shape::Any => without(0..ranges::number(self.permissions.len()), self.reserved_run()),
        }
    }

    /// The run of everything reserved, the platform's permissions included.
    pub(crate) fn reserved_run(&self) -> Run {
        self.below("countersign.")
    }

    fn below(&self, prefix: &str) -> Run {
        let names = &self.permissions;
        let start = names.partition_point(|row| row.name.as_str() < prefix);
        let length = names[start..].partition_point(|row| row.name.as_str().starts_with(prefix));
        ranges::number(start)..ranges::number(start + length)
    }
}

/// What is left of a run when one that lies within it, or apart from it, is taken out.
fn without(run: Run, hole: Run) -> SmallVec<[Run; 2]> {
    let pieces = if run.start <= hole.start && hole.end <= run.end {
        [run.start..hole.start, hole.end..run.end]
    } else {
        [run, 0..0]
    };
    pieces.into_iter().filter(|piece| !piece.is_empty()).collect()
}

/// Whether a name may be declared by a realm: the reserved namespace is the service's own.
#[must_use]
pub fn may_be_declared(name: &PermissionName) -> bool {
    !reserved::is_reserved(name.as_str())
}
