//! Organizations and their members on their way out.

use super::super::convert::{instant, principal};
use super::super::pb;
use super::super::user::membership;
use crate::app::{ListedMember, MemberView};
use crate::domain::organization::{Contact, Identifier, Organization};
use crate::domain::snapshot::Resource;

/// An organization on the wire.
pub(super) fn organization(organization: Organization) -> pb::Organization {
    let etag = organization.etag();
    let Organization {
        id,
        slug,
        title,
        kind,
        suspended,
        founded_at,
        entitlements,
        contacts,
        identifiers,
        version: _,
        created_at,
    } = organization;
    let state = if suspended { pb::OrganizationState::Suspended } else { pb::OrganizationState::Active };
    let identifier = |Identifier { scheme, value }| pb::Identifier { scheme, value };
    let resource = |Resource { kind, id }| pb::Resource { r#type: kind, id };
    let contact = |Contact { topic, resource: about, addresses }| {
        let resource = about.map(resource);
        pb::Contact { topic, resource, addresses }
    };
    pb::Organization {
        id: id.to_string(),
        slug,
        title,
        kind,
        state: state.into(),
        identifiers: identifiers.into_iter().map(identifier).collect(),
        entitlements: entitlements.into_iter().collect(),
        contacts: contacts.into_iter().map(contact).collect(),
        found_time: founded_at.map(instant),
        create_time: Some(instant(created_at)),
        etag,
    }
}

/// Both sides of a membership on the wire.
pub(super) fn member(view: MemberView) -> (pb::PrincipalRef, pb::Membership) {
    let MemberView { member, slug, user } = view;
    (principal(member.user.into(), Some(&user)), membership((member, slug)))
}

/// A member of a list on the wire.
pub(super) fn listed(listed: ListedMember) -> pb::Member {
    let ListedMember { member: view, display_name } = listed;
    let (user, membership) = member(view);
    pb::Member { user: Some(user), display_name, membership: Some(membership) }
}
