//! Requests about organizations and their members, read into commands.

use std::collections::{BTreeMap, BTreeSet};

use super::super::convert::{Fields, NOTE_CHARS_MAX, TITLE_CHARS_MAX, none_if_empty};
use super::super::mask::Mask;
use super::super::pb;
use crate::app::{
    AddMember, CreateOrganization, Draft, Error, ListMembers, ListOrganizations, MoveMember, ReinstateOrganization,
    RemoveMember, SetEntitlements, SetIdentifiers, SuspendOrganization, UpdateMember, UpdateOrganization,
};
use crate::domain::email::Email;
use crate::domain::handle::Named;
use crate::domain::organization::{Contact, IDENTIFIERS_MAX};
use crate::domain::snapshot::MembershipState;

/// The most products, and the most contacts, of one organization.
const ITEMS_MAX: usize = 100;
/// The most addresses of one contact.
const ADDRESSES_MAX: usize = 20;
/// The most attributes of one membership.
const ATTRIBUTES_MAX: usize = 32;

pub(super) fn create(mut fields: Fields, request: pb::CreateOrganizationRequest) -> Draft<CreateOrganization> {
    let pb::CreateOrganizationRequest {
        slug,
        title,
        kind,
        identifiers: given,
        entitlements: products,
        contacts: addresses,
        request_id: _,
    } = request;
    let draft = CreateOrganization {
        slug: fields.slug("slug", &slug),
        title: fields.text("title", &title, 1..=TITLE_CHARS_MAX),
        kind: none_if_empty(kind),
        identifiers: identifiers(&mut fields, given),
        entitlements: entitlements(&mut fields, &products),
        contacts: contacts(&mut fields, addresses),
    };
    fields.draft(draft)
}

pub(super) fn list(request: pb::ListOrganizationsRequest) -> Draft<ListOrganizations> {
    let mut fields = Fields::default();
    let query = pb::ListOrganizationsRequest { page_size: 0, page_token: String::new(), ..request.clone() };
    let pb::ListOrganizationsRequest { name, kind, state, identifier, entitlement, page_size, page_token } = request;
    let identifier = identifier.map(|pb::Identifier { scheme, value }| (scheme, value));
    let draft = ListOrganizations {
        name: fields.text("name", &name, 0..=TITLE_CHARS_MAX),
        kind: optional_label(&mut fields, "kind", &kind),
        suspended: suspended(&mut fields, state),
        // Which schemes there are, and what their values look like, is the realm's policy.
        identifier,
        entitlement: optional_label(&mut fields, "entitlement", &entitlement),
        page: fields.page(page_size, page_token, &query),
    };
    fields.draft(draft)
}

pub(super) fn update(mut fields: Fields, request: pb::UpdateOrganizationRequest) -> Result<UpdateOrganization, Error> {
    let pb::UpdateOrganizationRequest { organization, slug, title, update_mask, etag, request_id: _ } = request;
    let mask = Mask::read(&mut fields, update_mask, |path| ["slug", "title"].contains(&path));
    let command = UpdateOrganization {
        organization: fields.handle(Named::Organization, "organization", &organization),
        slug: mask.asks("slug", !slug.is_empty()).then(|| fields.slug("slug", &slug)),
        title: mask.asks("title", !title.is_empty()).then(|| fields.text("title", &title, 1..=TITLE_CHARS_MAX)),
        etag: none_if_empty(etag),
    };
    fields.finish(command)
}

pub(super) fn suspend(
    mut fields: Fields,
    request: pb::SuspendOrganizationRequest,
) -> Result<SuspendOrganization, Error> {
    let pb::SuspendOrganizationRequest { organization, reason, etag, request_id: _ } = request;
    let command = SuspendOrganization {
        organization: fields.handle(Named::Organization, "organization", &organization),
        reason: fields.text("reason", &reason, 1..=NOTE_CHARS_MAX),
        etag: none_if_empty(etag),
    };
    fields.finish(command)
}

pub(super) fn reinstate(
    mut fields: Fields,
    request: pb::ReinstateOrganizationRequest,
) -> Result<ReinstateOrganization, Error> {
    let pb::ReinstateOrganizationRequest { organization, note, etag, request_id: _ } = request;
    let command = ReinstateOrganization {
        organization: fields.handle(Named::Organization, "organization", &organization),
        note: none_if_empty(fields.text("note", &note, 0..=NOTE_CHARS_MAX)),
        etag: none_if_empty(etag),
    };
    fields.finish(command)
}

pub(super) fn identify(mut fields: Fields, request: pb::SetIdentifiersRequest) -> Draft<SetIdentifiers> {
    let pb::SetIdentifiersRequest { organization, identifiers: given, etag, request_id: _ } = request;
    let draft = SetIdentifiers {
        organization: fields.handle(Named::Organization, "organization", &organization),
        identifiers: identifiers(&mut fields, given),
        etag: none_if_empty(etag),
    };
    fields.draft(draft)
}

pub(super) fn entitle(mut fields: Fields, request: pb::SetEntitlementsRequest) -> Result<SetEntitlements, Error> {
    let pb::SetEntitlementsRequest { organization, entitlements: products, etag, request_id: _ } = request;
    let command = SetEntitlements {
        organization: fields.handle(Named::Organization, "organization", &organization),
        entitlements: entitlements(&mut fields, &products),
        etag: none_if_empty(etag),
    };
    fields.finish(command)
}

pub(super) fn add_member(mut fields: Fields, request: pb::AddMemberRequest) -> Result<AddMember, Error> {
    let pb::AddMemberRequest { organization, user, attributes: given, request_id: _ } = request;
    let command = AddMember {
        organization: fields.handle(Named::Organization, "organization", &organization),
        user: fields.handle(Named::User, "user", &user),
        attributes: attributes(&mut fields, given),
    };
    fields.finish(command)
}

pub(super) fn update_member(mut fields: Fields, request: pb::UpdateMemberRequest) -> Result<UpdateMember, Error> {
    let pb::UpdateMemberRequest { organization, user, attributes: given, etag, request_id: _ } = request;
    let command = UpdateMember {
        organization: fields.handle(Named::Organization, "organization", &organization),
        user: fields.handle(Named::User, "user", &user),
        attributes: attributes(&mut fields, given),
        etag: none_if_empty(etag),
    };
    fields.finish(command)
}

pub(super) fn remove_member(mut fields: Fields, request: pb::RemoveMemberRequest) -> Result<RemoveMember, Error> {
    let pb::RemoveMemberRequest { organization, user, request_id: _ } = request;
    let command = RemoveMember {
        organization: fields.handle(Named::Organization, "organization", &organization),
        user: fields.handle(Named::User, "user", &user),
    };
    fields.finish(command)
}

pub(super) fn move_member(mut fields: Fields, request: pb::MoveMemberRequest) -> Result<MoveMember, Error> {
    let pb::MoveMemberRequest { organization, user, destination, attributes: given, request_id: _ } = request;
    let command = MoveMember {
        organization: fields.handle(Named::Organization, "organization", &organization),
        user: fields.handle(Named::User, "user", &user),
        destination: fields.handle(Named::Organization, "destination", &destination),
        attributes: attributes(&mut fields, given),
    };
    fields.finish(command)
}

pub(super) fn list_members(request: pb::ListMembersRequest) -> Result<ListMembers, Error> {
    let mut fields = Fields::default();
    let query = pb::ListMembersRequest { page_size: 0, page_token: String::new(), ..request.clone() };
    let pb::ListMembersRequest { organization, state, role, page_size, page_token } = request;
    let query = ListMembers {
        organization: fields.handle(Named::Organization, "organization", &organization),
        state: membership_state(&mut fields, state),
        role: fields.optional_handle(Named::Role, "role", &role),
        page: fields.page(page_size, page_token, &query),
    };
    fields.finish(query)
}

/// The attributes of a membership.
fn attributes(fields: &mut Fields, given: BTreeMap<String, String>) -> BTreeMap<String, String> {
    fields.count("attributes", given.len(), 0..=ATTRIBUTES_MAX);
    let read = |(name, value): (String, String)| {
        let field = format!("attributes[{name:?}]");
        (fields.label(&field, &name), fields.text(&field, &value, 0..=TITLE_CHARS_MAX))
    };
    given.into_iter().map(read).collect()
}

/// Identifiers as given: which schemes there are, and what their values look like, is the realm's policy.
fn identifiers(fields: &mut Fields, given: Vec<pb::Identifier>) -> Vec<(String, String)> {
    fields.count("identifiers", given.len(), 0..=IDENTIFIERS_MAX);
    given.into_iter().take(IDENTIFIERS_MAX).map(|pb::Identifier { scheme, value }| (scheme, value)).collect()
}

fn entitlements(fields: &mut Fields, given: &[String]) -> BTreeSet<String> {
    fields.count("entitlements", given.len(), 0..=ITEMS_MAX);
    given.iter().enumerate().map(|(at, product)| fields.label(&format!("entitlements[{at}]"), product)).collect()
}

fn contacts(fields: &mut Fields, given: Vec<pb::Contact>) -> Vec<Contact> {
    fields.count("contacts", given.len(), 0..=ITEMS_MAX);
    let read = |(at, pb::Contact { topic, resource, addresses }): (usize, pb::Contact)| {
        let path = format!("contacts[{at}]");
        fields.count(&format!("{path}.addresses"), addresses.len(), 1..=ADDRESSES_MAX);
        let resource = fields.resource(&format!("{path}.resource"), resource);
        let addresses = addresses.iter().enumerate().filter_map(|(nth, address)| {
            let email = fields.keep(&format!("{path}.addresses[{nth}]"), Email::parse(address))?;
            Some(email.shown().to_owned())
        });
        Contact { addresses: addresses.collect(), topic, resource }
    };
    given.into_iter().take(ITEMS_MAX).enumerate().map(read).collect()
}

fn optional_label(fields: &mut Fields, field: &str, text: &str) -> Option<String> {
    (!text.is_empty()).then(|| fields.label(field, text))
}

fn suspended(fields: &mut Fields, state: i32) -> Option<bool> {
    match pb::OrganizationState::try_from(state) {
        Ok(pb::OrganizationState::Unspecified) => None,
        Ok(pb::OrganizationState::Active) => Some(false),
        Ok(pb::OrganizationState::Suspended) => Some(true),
        Err(_) => {
            fields.wrong("state", format!("is {state}, which is no state"));
            None
        }
    }
}

fn membership_state(fields: &mut Fields, state: i32) -> Option<MembershipState> {
    match pb::MembershipState::try_from(state) {
        Ok(pb::MembershipState::Unspecified) => None,
        Ok(pb::MembershipState::Pending) => Some(MembershipState::Pending),
        Ok(pb::MembershipState::Active) => Some(MembershipState::Active),
        Ok(pb::MembershipState::Rejected) => Some(MembershipState::Rejected),
        Err(_) => {
            fields.wrong("state", format!("is {state}, which is no state"));
            None
        }
    }
}
