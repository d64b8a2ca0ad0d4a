//! Restricted roles, and what only they confer.

use std::collections::HashSet;

use rustc_hash::FxBuildHasher;

use super::{Catalogue, CompiledRole, Role, RoleIndex};
use crate::domain::ids::RoleId;
use crate::domain::permission::Pattern;

impl Catalogue {
    /// Whether the role, or one that it includes, is restricted.
    #[must_use]
    pub fn role_is_restricted(&self, id: RoleId) -> bool {
        self.compiled(id).is_some_and(|compiled| compiled.restricted)
    }

    /// The first of these patterns that holds something which restricted roles confer and no other role that can be
    /// assigned does.
    ///
    /// Between patterns, never between declared names: so that declaring a name later opens nothing. Costs a walk over all
    /// roles, however many patterns are asked about.
    pub fn only_restricted_confer<'a>(&self, asked: impl IntoIterator<Item = &'a Pattern>) -> Option<&'a Pattern> {
        let restricted = self.patterns(|compiled| compiled.restricted);
        if restricted.is_empty() {
            return None;
        }
        let open = self.patterns(|compiled| !compiled.restricted && compiled.is_assignable());
        asked.into_iter().find(|pattern| {
            let mut shared = restricted.iter().filter_map(|own| narrower(own, pattern));
            shared.any(|shared| !open.iter().any(|own| own.covers_pattern(shared)))
        })
    }

    /// The roles that include this one, directly or not.
    pub fn including(&self, id: RoleId) -> impl Iterator<Item = &Role> {
        let included = self.index(id);
        let includes = move |role: &&CompiledRole| {
            role.role.id != id && included.is_some_and(|included| role.closure.contains(&included))
        };
        self.roles.iter().filter(includes).map(|compiled| &compiled.role)
    }

    /// The patterns that some of the chosen roles confer, themselves or by including another.
    fn patterns(&self, chosen: impl Fn(&CompiledRole) -> bool) -> HashSet<&Pattern, FxBuildHasher> {
        let reached: HashSet<RoleIndex, FxBuildHasher> = self
            .roles
            .iter()
            .filter(|compiled| chosen(compiled))
            .flat_map(|compiled| &compiled.closure)
            .copied()
            .collect();
        reached.iter().flat_map(|index| &self.at(*index).role.grants).map(|(pattern, _)| pattern).collect()
    }
}

impl CompiledRole {
    fn is_assignable(&self) -> bool {
        self.role.assignable.organization || self.role.assignable.realm
    }
}

/// What two patterns have in common: the narrower of them, or nothing.
fn narrower<'a>(a: &'a Pattern, b: &'a Pattern) -> Option<&'a Pattern> {
    if a.covers_pattern(b) { Some(b) } else { b.covers_pattern(a).then_some(a) }
}
