//! From a catalogue's source to its tables. The only place that walks all roles.
//!
//! Every walk keeps what it has seen, so that roles that include each other (which creation refuses) end in the same
//! tables every time.

use std::collections::HashSet;
use std::hash::BuildHasher;

use hashbrown::HashTable;
use rustc_hash::FxBuildHasher;

use super::ranges::{Ranges, Run, number};
use super::{Basic, Catalogue, CatalogueSource, CompiledRole, Permission, RoleIndex, may_be_declared};
use crate::domain::permission::reserved::{self, Reserved};
use crate::domain::permission::{PermissionName, Reaches};

impl Catalogue {
    /// Compiles a catalogue. Of two rows of the same name the first counts; an included role that does not exist is
    /// left out.
    #[must_use]
    pub fn compile(source: CatalogueSource) -> Self {
        let permissions = permissions(source.permissions);
        let roles_by_id = (0..).map(RoleIndex).zip(&source.roles).map(|(index, role)| (role.id, index)).collect();
        let roles_by_name =
            (0..).map(RoleIndex).zip(&source.roles).map(|(index, role)| (role.name.as_str().into(), index)).collect();
        let mut catalogue = Self {
            realm: source.realm,
            realm_name: source.realm_name,
            suspended: source.suspended,
            as_of: source.as_of,
            policy: source.policy,
            exclusions: source.exclusions,
            permissions_by_name: index(&permissions),
            permissions,
            roles: Box::default(),
            roles_by_id,
            roles_by_name,
            basic: Basic::NotAsked,
        };
        catalogue.basic = catalogue.find_basic();
        catalogue.roles = source.roles.into_iter().map(|role| catalogue.with_own(role)).collect();
        for at in 0..catalogue.roles.len() {
            catalogue.flatten(at);
        }
        catalogue
    }

    fn find_basic(&self) -> Basic {
        let Some(name) = &self.policy.basic_permission else { return Basic::NotAsked };
        self.permission_id(name)
            .filter(|id| self.permission(*id).is_some_and(|row| !row.retired))
            .map_or(Basic::HeldByNobody, Basic::Asked)
    }

    /// A role that knows its own patterns and whom it includes, but not yet what those confer.
    fn with_own(&self, role: super::Role) -> CompiledRole {
        let runs = role
            .grants
            .iter()
            .flat_map(|(pattern, reach)| self.runs(pattern).into_iter().map(|run| (run, Reaches::from(*reach))));
        CompiledRole {
            own: Ranges::joined(runs.collect()),
            includes: role.includes.iter().filter_map(|id| self.index(*id)).collect(),
            restricted: role.restricted,
            role,
            closure: Box::default(),
            free: Ranges::joined(vec![]),
            bound: Box::default(),
            all: None,
        }
    }

    fn flatten(&mut self, at: usize) {
        let root = RoleIndex(number(at));
        let closure = self.reached(root, |_| true);
        let free: HashSet<_, FxBuildHasher> =
            self.reached(root, |role| role.role.conditions.is_empty()).into_iter().collect();
        let bound: Box<[_]> = closure.iter().copied().filter(|index| !free.contains(index)).collect();
        let all = (!bound.is_empty()).then(|| self.union(closure.iter()));
        let restricted = closure.iter().any(|index| self.at(*index).role.restricted);
        let free = self.union(closure.iter().filter(|index| free.contains(index)));
        let compiled = &mut self.roles[at];
        (compiled.closure, compiled.bound) = (closure.into(), bound);
        (compiled.free, compiled.all, compiled.restricted) = (free, all, restricted);
    }

    /// The role and whatever it includes over roles that pass, each once, the nearest first.
    fn reached(&self, root: RoleIndex, passes: impl Fn(&CompiledRole) -> bool) -> Vec<RoleIndex> {
        let mut seen: HashSet<RoleIndex, FxBuildHasher> = HashSet::default();
        let mut reached = Vec::new();
        let mut layer = vec![root];
        while !layer.is_empty() {
            layer.retain(|index| passes(self.at(*index)) && seen.insert(*index));
            reached.extend_from_slice(&layer);
            layer = layer.iter().flat_map(|index| self.at(*index).includes.iter().copied()).collect();
        }
        reached
    }

    fn union<'a>(&self, roles: impl Iterator<Item = &'a RoleIndex>) -> Ranges<Reaches> {
        let runs = roles.flat_map(|index| self.at(*index).own.iter().map(|(run, reaches): (Run, _)| (run, *reaches)));
        Ranges::joined(runs.collect())
    }
}

/// The declared permissions and the reserved ones, in the order of their names.
fn permissions(declared: Vec<Permission>) -> Box<[Permission]> {
    let own = reserved::RESERVED.iter().chain(reserved::PLATFORM).filter_map(own);
    let mut all: Vec<_> = declared.into_iter().filter(|row| may_be_declared(&row.name)).chain(own).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all.dedup_by(|a, b| a.name == b.name);
    all.into()
}

fn own(row: &Reserved) -> Option<Permission> {
    let name = PermissionName::parse(row.name).ok()?;
    let (title, section) = (row.title.to_owned(), reserved::SECTION.to_owned());
    Some(Permission { name, title, section, protected: true, retired: false })
}

fn index(permissions: &[Permission]) -> HashTable<u32> {
    let name = |at: &u32| permissions.get(*at as usize).map_or("", |row| row.name.as_str());
    let mut table = HashTable::with_capacity(permissions.len());
    for (at, row) in (0..).zip(permissions) {
        table.insert_unique(hash(row.name.as_str()), at, |at| hash(name(at)));
    }
    table
}

pub(super) fn hash(name: &str) -> u64 {
    FxBuildHasher.hash_one(name)
}
