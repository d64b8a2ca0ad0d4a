//! Restricted roles, and what only they confer.

use std::collections::HashSet;

use rustc_hash::FxBuildHasher;

use super::{Catalogue, CompiledRole, RoleIndex};
use crate::domain::ids::RoleId;
use crate::domain::permission::Pattern;

impl Catalogue {
    /// Whether the role, or one that it includes, is restricted.
    #[must_use]
    pub fn role_is_restricted(&self, id: RoleId) -> bool {
        self.compiled(id).is_some_and(|compiled| compiled.restricted)
    }

    /// Whether the pattern holds something that restricted roles confer and no other role that can be assigned does.
    ///
    /// Between patterns, never between declared names: so that declaring a name later opens nothing.
    #[must_use]
    pub fn only_restricted_confer(&self, pattern: &Pattern) -> bool {
        let restricted = self.patterns(|compiled| compiled.restricted);
        let open = self.patterns(|compiled| !compiled.restricted && compiled.is_assignable());
        restricted
            .into_iter()
            .filter_map(|own| narrower(own, pattern))
            .any(|shared| !open.iter().any(|own| own.covers_pattern(shared)))
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
