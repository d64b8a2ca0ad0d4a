//! The decision, written a second time straight from its definition: over plain rows, by search, with no code shared.

use std::collections::BTreeMap;

use countersign::domain::account::{ApprovalState, HoldCause};
use countersign::domain::catalogue::Role;
use countersign::domain::ids::{OrganizationId, RoleId};
use countersign::domain::permission::Reach;
use countersign::domain::policy::Team;
use countersign::domain::snapshot::{Confers, Entry, MembershipState, Organization, PrincipalKind, Scope};

use super::worlds::Case;

/// The answer to the case's question.
pub(super) fn allowed(case: &Case) -> bool {
    let known = case.organization.is_none_or(|id| organization(case, id).is_some());
    let retired = case.source.permissions.iter().any(|row| row.name.as_str() == case.permission && row.retired);
    known && !retired && !gated(case) && case.principal.entries.iter().any(|entry| entry_opens(case, entry))
}

/// Whether this one entry opens what is asked, gates aside.
pub(super) fn entry_opens(case: &Case, entry: &Entry) -> bool {
    let reach_will_do = |reach: Reach| entry.resource.is_some() || reach_covers(case, reach);
    let resource_will_do = entry
        .resource
        .as_deref()
        .is_none_or(|own| case.resource.as_ref().is_some_and(|asked| asked.kind == own.kind && asked.id == own.id));
    resource_will_do && counts(case, entry, &case.permission, case.organization, &reach_will_do)
}

fn reach_covers(case: &Case, reach: Reach) -> bool {
    let Some(owner) = case.owner else { return reach == Reach::All };
    let counted: Vec<_> = match case.source.policy.team {
        Team::Direct => case.managers.iter().take(1).collect(),
        Team::Chain => case.managers.iter().collect(),
    };
    match reach {
        Reach::All => true,
        Reach::Own => owner == case.principal.id,
        Reach::Team if !matches!(case.principal.kind, PrincipalKind::User(_)) => false,
        Reach::Team => owner != case.principal.id && counted.iter().any(|manager| manager.0 == case.principal.id.0),
    }
}

/// Whether the entry, at that place, confers the permission at a reach that will do.
fn counts(
    case: &Case,
    entry: &Entry,
    permission: &str,
    place: Option<OrganizationId>,
    reach_will_do: &dyn Fn(Reach) -> bool,
) -> bool {
    let scope_covers = match entry.scope {
        Scope::Realm => true,
        Scope::Organization(id) => place == Some(id),
    };
    if !scope_covers || !active(case, entry) || suspended(case, entry) {
        return false;
    }
    match &entry.confers {
        Confers::Grant { pattern, reach } => covers(pattern.as_str(), permission) && reach_will_do(*reach),
        Confers::Role(id) => role(case, *id).is_some_and(|root| {
            kind_fits(case, root, entry) && role_opens(case, root, permission, place, reach_will_do, &mut vec![])
        }),
    }
}

fn active(case: &Case, entry: &Entry) -> bool {
    let started = entry.window.not_before().is_none_or(|at| at.0 <= case.now.0);
    let ended = entry.window.expires_at().is_some_and(|at| at.0 <= case.now.0);
    let member = match (entry.scope, &case.principal.kind) {
        (Scope::Organization(id), PrincipalKind::User(_)) => active_kinds(case).contains_key(&id),
        _ => true,
    };
    started && !ended && member
}

fn suspended(case: &Case, entry: &Entry) -> bool {
    match entry.scope {
        Scope::Realm => false,
        Scope::Organization(id) => organization(case, id).is_none_or(|it| it.suspended),
    }
}

fn kind_fits(case: &Case, role: &Role, entry: &Entry) -> bool {
    let fits = |kind: &String| role.assignable.kinds.contains(kind);
    role.assignable.kinds.is_empty()
        || match entry.scope {
            Scope::Realm => active_kinds(case).values().any(fits),
            Scope::Organization(id) => organization(case, id).is_some_and(|it| fits(&it.kind)),
        }
}

/// Depth first over the included roles; `above` are the roles on the path so far.
fn role_opens(
    case: &Case,
    at: &Role,
    permission: &str,
    place: Option<OrganizationId>,
    reach_will_do: &dyn Fn(Reach) -> bool,
    above: &mut Vec<RoleId>,
) -> bool {
    if above.contains(&at.id) || !role_confers(case, at, place) {
        return false;
    }
    if at.grants.iter().any(|(pattern, reach)| covers(pattern.as_str(), permission) && reach_will_do(*reach)) {
        return true;
    }
    above.push(at.id);
    let below = at.includes.iter().filter_map(|id| role(case, *id));
    let found = below.into_iter().any(|role| role_opens(case, role, permission, place, reach_will_do, above));
    above.pop();
    found
}

fn role_confers(case: &Case, at: &Role, place: Option<OrganizationId>) -> bool {
    let here = place.and_then(|id| organization(case, id));
    let products = &at.conditions.any_entitlement;
    let licensed = products.is_empty() || here.is_some_and(|it| products.iter().any(|p| it.entitlements.contains(p)));
    let membership = case
        .principal
        .memberships
        .iter()
        .find(|membership| membership.state == MembershipState::Active && Some(membership.organization) == place);
    let carries = |name: &String| membership.and_then(|it| it.attributes.get(name)).is_some_and(|it| !it.is_empty());
    let beside = |id: &RoleId| {
        case.principal.entries.iter().any(|entry| {
            let there = entry.scope == Scope::Realm || place.map(Scope::Organization) == Some(entry.scope);
            entry.confers == Confers::Role(*id) && there && active(case, entry)
        })
    };
    licensed && at.conditions.attributes.iter().all(carries) && at.conditions.roles.iter().all(beside)
}

fn gated(case: &Case) -> bool {
    let PrincipalKind::User(facts) = &case.principal.kind else {
        let disabled = matches!(case.principal.kind, PrincipalKind::ServiceAccount { disabled: true, .. });
        return disabled || case.source.suspended;
    };
    let held = [HoldCause::Blocked, HoldCause::Administrator, HoldCause::Inactivity, HoldCause::FailedSignIns]
        .iter()
        .any(|cause| facts.holds.contains(cause));
    case.source.suspended
        || facts.deleted
        || facts.approval != ApprovalState::Approved
        || held
        || facts.valid_from.is_some_and(|at| case.now.0 < at.0)
        || facts.valid_until.is_some_and(|at| at.0 <= case.now.0)
        || (case.source.policy.verification_required && !facts.email_verified)
        || facts.password_must_change
        || case.source.policy.basic_permission.as_ref().is_some_and(|basic| !holds_somewhere(case, basic))
}

fn holds_somewhere(case: &Case, basic: &str) -> bool {
    let declared = case.source.permissions.iter().any(|row| row.name.as_str() == basic && !row.retired);
    let mut places: Vec<_> = active_kinds(case).keys().copied().map(Some).collect();
    places.push(None);
    let somewhere = |entry| places.iter().any(|place| counts(case, entry, basic, *place, &|_| true));
    declared && case.principal.entries.iter().any(somewhere)
}

/// The kinds of the organizations that the subject is an ACTIVE member of.
fn active_kinds(case: &Case) -> BTreeMap<OrganizationId, String> {
    let active = case.principal.memberships.iter().filter(|it| it.state == MembershipState::Active);
    active.map(|it| (it.organization, it.kind.clone())).collect()
}

fn organization(case: &Case, id: OrganizationId) -> Option<&Organization> {
    case.organizations.iter().find(|it| it.id == id)
}

fn role(case: &Case, id: RoleId) -> Option<&Role> {
    case.source.roles.iter().find(|it| it.id == id)
}

/// Whether a pattern covers a name, segment by segment.
pub(super) fn covers(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<_>, Vec<_>) = (pattern.split('.').collect(), name.split('.').collect());
    let reserved = name[0] == "countersign";
    let platform = reserved && name.get(1) == Some(&"platform");
    match pattern.split_last() {
        Some((&"*", [])) => !reserved,
        Some((&"*", above)) => !platform && name.len() > above.len() && name[..above.len()] == *above,
        _ => !platform && pattern == name,
    }
}
