//! `OrganizationService`.

use std::collections::{BTreeMap, BTreeSet};

use tonic::{Request, Response, Status};

use super::api::{Api, Called};
use super::convert::{Fields, TITLE_CHARS_MAX, instant, none_if_empty, principal};
use super::pb::{self, organization_service_server::OrganizationService};
use crate::app::{AddMember, CreateOrganization, Error, MemberView, SetIdentifiers};
use crate::domain::email::Email;
use crate::domain::organization::{Contact, IDENTIFIERS_MAX, Identifier, Organization};
use crate::domain::snapshot::Resource;

/// The most products, and the most contacts, of one organization.
const ITEMS_MAX: usize = 100;
/// The most addresses of one contact.
const ADDRESSES_MAX: usize = 20;
/// The most attributes of one membership.
const ATTRIBUTES_MAX: usize = 32;

#[tonic::async_trait]
impl OrganizationService for Api {
    async fn create_organization(
        &self,
        request: Request<pb::CreateOrganizationRequest>,
    ) -> Result<Response<pb::CreateOrganizationResponse>, Status> {
        let (mut called, request) = Called::new(request)?;
        let mut fields = Fields::default();
        called.ctx.repeat = fields.repeat(&request.request_id, &request);
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
        let draft = fields.draft(draft);
        let done = called.answer(self.app.create_organization(&called.ctx, &draft).await)?;
        let consistency_token = self.token(&done);
        let organization = Some(organization(done.value));
        Ok(Response::new(pb::CreateOrganizationResponse { organization, consistency_token }))
    }

    async fn set_identifiers(
        &self,
        request: Request<pb::SetIdentifiersRequest>,
    ) -> Result<Response<pb::SetIdentifiersResponse>, Status> {
        let (mut called, request) = Called::new(request)?;
        let mut fields = Fields::default();
        called.ctx.repeat = fields.repeat(&request.request_id, &request);
        let pb::SetIdentifiersRequest { organization: place, identifiers: given, etag, request_id: _ } = request;
        let draft = SetIdentifiers {
            organization: fields.handle("organization", &place),
            identifiers: identifiers(&mut fields, given),
            etag: none_if_empty(etag),
        };
        let draft = fields.draft(draft);
        let done = called.answer(self.app.set_identifiers(&called.ctx, &draft).await)?;
        let consistency_token = self.token(&done);
        let organization = Some(organization(done.value));
        Ok(Response::new(pb::SetIdentifiersResponse { organization, consistency_token }))
    }

    async fn add_member(
        &self,
        request: Request<pb::AddMemberRequest>,
    ) -> Result<Response<pb::AddMemberResponse>, Status> {
        let (mut called, request) = Called::new(request)?;
        let mut fields = Fields::default();
        called.ctx.repeat = fields.repeat(&request.request_id, &request);
        let command = called.parsed(member_to_add(fields, request))?;
        let done = called.answer(self.app.add_member(&called.ctx, &command).await)?;
        let consistency_token = self.token(&done);
        let MemberView { member, slug, user } = done.value;
        let user = Some(principal(member.user.into(), Some(&user)));
        let membership = Some(super::user::membership((member, slug)));
        Ok(Response::new(pb::AddMemberResponse { user, membership, consistency_token }))
    }
}

fn member_to_add(mut fields: Fields, request: pb::AddMemberRequest) -> Result<AddMember, Error> {
    let pb::AddMemberRequest { organization, user, attributes: given, request_id: _ } = request;
    let command = AddMember {
        organization: fields.handle("organization", &organization),
        user: fields.handle("user", &user),
        attributes: attributes(&mut fields, given),
    };
    fields.finish(command)
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

/// An organization on the wire.
fn organization(organization: Organization) -> pb::Organization {
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
