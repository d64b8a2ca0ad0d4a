//! What keeps an entry or a role from conferring: the tests that decisions, reasons and containment share.
//!
//! Each is asked about one entry or one role at one place; none of them searches.

use super::Place;
use super::index::CompiledPrincipal;
use crate::domain::catalogue::{Catalogue, Role};
use crate::domain::ids::RoleId;
use crate::domain::snapshot::{Confers, Entry, Organization, Principal, Scope};
use crate::domain::time::Timestamp;

/// What an entry lacks for good, as long as neither its principal nor the catalogue changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Standing<'a> {
    Sound,
    /// The membership in the entry's organization is not ACTIVE.
    NoMembership,
    /// The role is only for organizations of these kinds, or for their members.
    WrongKind(&'a [String]),
    /// Sound if the organization is of one of these kinds, which its snapshot knows.
    AskKind(&'a [String]),
}

/// Judges an entry by what its principal's snapshot and the catalogue say.
pub(crate) fn standing<'a>(catalogue: &'a Catalogue, principal: &Principal, entry: &Entry) -> Standing<'a> {
    let membership = entry.scope.organization().map(|organization| principal.active_membership(organization));
    if principal.is_user() && membership == Some(None) {
        return Standing::NoMembership;
    }
    let Confers::Role(role) = entry.confers else { return Standing::Sound };
    let kinds = catalogue.role(role).map(|role| &*role.assignable.kinds).unwrap_or_default();
    let fits = |kind: &String| kinds.contains(kind);
    match (entry.scope, membership.flatten()) {
        _ if kinds.is_empty() => Standing::Sound,
        (Scope::Realm, _) if principal.active_memberships().any(|held| fits(&held.kind)) => Standing::Sound,
        (Scope::Organization(_), Some(held)) if fits(&held.kind) => Standing::Sound,
        (Scope::Organization(_), None) => Standing::AskKind(kinds),
        _ => Standing::WrongKind(kinds),
    }
}

impl Standing<'_> {
    /// Whether the entry stands, given the organization that it is scoped to.
    pub(crate) fn is_sound(self, organization: Option<&Organization>) -> bool {
        match self {
            Self::Sound => true,
            Self::NoMembership | Self::WrongKind(_) => false,
            Self::AskKind(kinds) => organization.is_some_and(|organization| kinds.contains(&organization.kind)),
        }
    }
}

/// What a role's condition finds missing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Lack<'a> {
    /// The organization licenses none of these products.
    Entitlement(&'a [String]),
    /// The membership does not carry this attribute.
    Attribute(&'a str),
    /// This role is not assigned beside it.
    Role(RoleId),
}

/// What the role's own conditions find missing, for this subject at this place.
pub(crate) fn lacking<'a>(
    role: &'a Role,
    subject: &CompiledPrincipal,
    place: Place<'_>,
    now: Timestamp,
) -> impl Iterator<Item = Lack<'a>> {
    let conditions = &role.conditions;
    let products = &conditions.any_entitlement;
    let licensed = products.is_empty() || place.organization().is_some_and(|it| licenses(it, products));
    let entitlement = (!licensed).then_some(Lack::Entitlement(products));
    let carries = move |attribute: &str| carries(subject.principal(), place, attribute);
    let attributes = conditions.attributes.iter().filter(move |name| !carries(name)).map(|name| Lack::Attribute(name));
    let beside = move |role: RoleId| is_assigned(subject.principal(), role, place, now);
    let roles = conditions.roles.iter().filter(move |role| !beside(**role)).map(|role| Lack::Role(*role));
    entitlement.into_iter().chain(attributes).chain(roles)
}

/// Whether the role confers, for this subject at this place.
pub(crate) fn confers(role: &Role, subject: &CompiledPrincipal, place: Place<'_>, now: Timestamp) -> bool {
    role.conditions.is_empty() || lacking(role, subject, place, now).next().is_none()
}

fn licenses(organization: &Organization, products: &[String]) -> bool {
    organization.entitlements.iter().any(|held| products.contains(held))
}

/// An attribute is carried when the ACTIVE membership at the place has it with a value.
fn carries(principal: &Principal, place: Place<'_>, attribute: &str) -> bool {
    let membership = place.id().and_then(|id| principal.active_membership(id));
    membership.and_then(|held| held.attributes.get(attribute)).is_some_and(|value| !value.is_empty())
}

/// Whether the role is assigned and active at the place or realm-wide; whether it confers is not asked.
fn is_assigned(principal: &Principal, role: RoleId, place: Place<'_>, now: Timestamp) -> bool {
    let seated = |scope: Scope| match scope.organization() {
        Some(organization) if principal.is_user() => principal.active_membership(organization).is_some(),
        _ => true,
    };
    principal.entries.iter().any(|entry| {
        entry.confers == Confers::Role(role)
            && entry.scope.covers(place.id())
            && entry.window.contains(now)
            && seated(entry.scope)
    })
}
