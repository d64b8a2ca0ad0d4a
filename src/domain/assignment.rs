//! The rules of giving somebody a role that hang on the role and the receiver alone.
//!
//! Who may give it is [`super::containment`]'s; who the receiver is and what it holds are handed in.

use std::collections::BTreeSet;

use thiserror::Error;

use super::catalogue::{Catalogue, Exclusion, Role};
use super::ids::RoleId;
use super::snapshot::{Confers, Entry, Principal, Resource, Scope};
use super::time::Timestamp;

/// The most entries that one principal holds: what decisions are measured at.
pub const ENTRIES_MAX: u64 = 1000;

/// Why a role can't be given like this.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum Unfit {
    #[error("the role {role} can't be assigned {there}", there = scope_name(*.scope))]
    Scope { role: String, scope: Scope },
    #[error("the role {role} needs a resource of type {wanted}, {given} was given", given = given_name(.given))]
    Resource { role: String, wanted: String, given: Option<String> },
    #[error("the role {role} is for organizations of the kinds {}, and their active members", kinds.join(", "))]
    Kind { role: String, kinds: Vec<String> },
}

/// Whether the role may be assigned in that scope, on that resource.
///
/// # Errors
/// [`Unfit::Scope`], [`Unfit::Resource`].
pub fn fits(role: &Role, scope: Scope, resource: Option<&Resource>) -> Result<(), Unfit> {
    let allowed = match scope {
        Scope::Realm => role.assignable.realm,
        Scope::Organization(_) => role.assignable.organization,
    };
    if !allowed {
        return Err(Unfit::Scope { role: role.name.clone(), scope });
    }
    match &role.resource_type {
        Some(wanted) if resource.is_none_or(|resource| resource.kind != *wanted) => Err(Unfit::Resource {
            role: role.name.clone(),
            wanted: wanted.clone(),
            given: resource.map(|resource| resource.kind.clone()),
        }),
        _ => Ok(()),
    }
}

/// Whether the role is for this kind of organization; realm-wide (`None`), whether the receiver is an ACTIVE member of
/// an organization that it is for.
///
/// # Errors
/// [`Unfit::Kind`].
pub fn fits_kind(role: &Role, receiver: &Principal, kind: Option<&str>) -> Result<(), Unfit> {
    let kinds = &role.assignable.kinds;
    let listed = |kind: &str| kinds.iter().any(|own| own == kind);
    let fits = match kind {
        _ if kinds.is_empty() => true,
        Some(kind) => listed(kind),
        None => receiver.active_memberships().any(|held| listed(&held.kind)),
    };
    if fits { Ok(()) } else { Err(Unfit::Kind { role: role.name.clone(), kinds: kinds.clone() }) }
}

/// The first exclusion that holding this role too, in that scope, would break.
///
/// Included roles count. What is held realm-wide is held in every organization; what has expired is not held, what is
/// yet to begin is.
#[must_use]
pub fn excluded<'a>(
    catalogue: &'a Catalogue,
    held: &[Entry],
    role: RoleId,
    scope: Scope,
    now: Timestamp,
) -> Option<&'a Exclusion> {
    let places: BTreeSet<_> = match scope {
        Scope::Organization(_) => [scope].into(),
        Scope::Realm => held.iter().map(|entry| entry.scope).chain([scope]).collect(),
    };
    places.into_iter().find_map(|place| {
        let there = held.iter().filter(|entry| entry.window.lasts(now) && entry.scope.covers(place.organization()));
        let assigned = there.filter_map(|entry| match entry.confers {
            Confers::Role(held) => Some(held),
            Confers::Grant { .. } => None,
        });
        let roles: BTreeSet<RoleId> =
            assigned.chain([role]).flat_map(|role| catalogue.with_included(role)).map(|role| role.id).collect();
        let broken = |exclusion: &&Exclusion| {
            let held = exclusion.roles.iter().filter(|excluded| roles.contains(excluded)).count();
            u32::try_from(held).unwrap_or(u32::MAX) >= exclusion.limit
        };
        catalogue.exclusions.iter().find(broken)
    })
}

/// The roles that whoever holds these may give away, and, once these are given, may be given away by their holders:
/// everything that `may_assign` leads to.
#[must_use]
pub fn passed_on(catalogue: &Catalogue, roles: &[RoleId]) -> BTreeSet<RoleId> {
    let mut found = BTreeSet::new();
    let mut next: Vec<_> = roles.to_vec();
    while let Some(role) = next.pop() {
        let named = catalogue.with_included(role).flat_map(|role| &role.may_assign);
        next.extend(named.filter(|named| found.insert(**named)));
    }
    found
}

/// A role that somebody holds, where another one opens it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Opened {
    pub role: RoleId,
    pub scope: Scope,
    /// Whether it is held for one resource.
    pub on_resource: bool,
}

/// The roles that confer only beside this one, themselves or by one that they include: what holders of one may be opened
/// by it.
#[must_use]
pub fn waiting_for(catalogue: &Catalogue, role: RoleId) -> Vec<RoleId> {
    let names = |waiting: &Role| waiting.conditions.roles.contains(&role);
    if !catalogue.roles().any(names) {
        return vec![];
    }
    catalogue.roles().map(|held| held.id).filter(|held| catalogue.with_included(*held).any(names)).collect()
}

/// The roles, of those in these entries, that confer only beside this one, wherever that is in its scope.
pub fn opened<'a>(
    catalogue: &'a Catalogue,
    held: &'a [Entry],
    role: RoleId,
    scope: Scope,
    now: Timestamp,
) -> impl Iterator<Item = Opened> + 'a {
    let shared = move |entry: &Entry| {
        if scope.covers(entry.scope.organization()) {
            Some(entry.scope)
        } else {
            entry.scope.covers(scope.organization()).then_some(scope)
        }
    };
    held.iter().filter(move |entry| entry.window.lasts(now)).flat_map(move |entry| {
        let held = match entry.confers {
            Confers::Role(held) => shared(entry).map(|scope| (held, scope)),
            Confers::Grant { .. } => None,
        };
        let on_resource = entry.resource.is_some();
        held.into_iter().flat_map(move |(held, scope)| {
            let waiting = catalogue.with_included(held).filter(move |it| it.conditions.roles.contains(&role));
            waiting.map(move |waiting| Opened { role: waiting.id, scope, on_resource })
        })
    })
}

/// Whether the role, or one that it includes, confers something reserved.
#[must_use]
pub fn confers_reserved(catalogue: &Catalogue, role: RoleId) -> bool {
    let mut grants = catalogue.with_included(role).flat_map(|role| &role.grants);
    grants.any(|(pattern, _)| pattern.is_reserved())
}

fn scope_name(scope: Scope) -> &'static str {
    match scope {
        Scope::Realm => "realm-wide",
        Scope::Organization(_) => "in an organization",
    }
}

fn given_name(given: &Option<String>) -> String {
    given.as_ref().map_or_else(|| "none".to_owned(), |kind| format!("one of type {kind}"))
}

#[cfg(test)]
mod tests;
