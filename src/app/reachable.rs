//! What a caller may reach at all: by this the queries of lists are narrowed, before each row is decided by itself.

use std::collections::BTreeSet;

use super::error::{Error, Result};
use super::facts::Facts;
use super::guard::Guard;
use crate::domain::ids::OrganizationId;
use crate::domain::snapshot::Confers;
use crate::store::{Reach, Within};

/// Where the caller may do one of these, whoever it is about: where an entry of the caller is scoped, where it is a member,
/// and where a product is licensed that a realm-wide role of the caller asks for. `None` = in every organization.
pub(super) async fn reachable<F: Facts>(guard: &mut Guard<'_, F>, by: &[&str]) -> Result<Option<Within>>
where
    Error: From<F::Fault>,
{
    for permission in by {
        if guard.allows(permission, None, None).await? {
            return Ok(None);
        }
    }
    let (caller, catalogue) = (guard.actor.principal(), guard.facts.catalogue());
    let memberships = caller.active_memberships().map(|held| held.organization);
    let organizations: BTreeSet<OrganizationId> = guard.scopes().into_iter().chain(memberships).collect();
    let realm_wide = caller.entries.iter().filter(|entry| entry.scope.organization().is_none());
    let roles = realm_wide.filter_map(|entry| match entry.confers {
        Confers::Role(role) => Some(role),
        Confers::Grant { .. } => None,
    });
    let waiting =
        roles.flat_map(|role| catalogue.with_included(role)).flat_map(|role| &role.conditions.any_entitlement);
    let licensed: BTreeSet<String> = waiting.cloned().collect();
    Ok(Some(Within { organizations: organizations.into_iter().collect(), licensed: licensed.into_iter().collect() }))
}

/// Whom the caller may reach by one of these permissions. `None` = everybody.
pub(super) async fn reachable_people<F: Facts>(guard: &mut Guard<'_, F>, by: &[&str]) -> Result<Option<Reach>>
where
    Error: From<F::Fault>,
{
    let within = reachable(guard, by).await?;
    let (caller, team) = (guard.actor.principal().id, guard.facts.catalogue().policy.team);
    Ok(within.map(|within| Reach { caller, team, within }))
}
