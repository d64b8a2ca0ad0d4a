//! `ApprovalService`.

use tonic::{Request, Response, Status};

use super::api::{Api, Called};
use super::convert::{Fields, NOTE_CHARS_MAX, instant, none_if_empty};
use super::pb::{self, approval_service_server::ApprovalService};
use super::user::shown;
use crate::app::{ApproveRegistration, ListRegistrations, Registration, RejectRegistration};
use crate::domain::handle::Named;

/// The most roles that an approval gives beside the default ones.
const ROLES_MAX: usize = 100;

#[tonic::async_trait]
impl ApprovalService for Api {
    async fn list_registrations(
        &self,
        request: Request<pb::ListRegistrationsRequest>,
    ) -> Result<Response<pb::ListRegistrationsResponse>, Status> {
        let (called, request) = Called::new(request)?;
        let query = called.parsed(list(request))?;
        let page = called.answer(self.app.list_registrations(&called.ctx, &query, registration).await)?;
        let (registrations, next_page_token) = (page.items, page.next);
        Ok(Response::new(pb::ListRegistrationsResponse { registrations, next_page_token }))
    }

    async fn approve_registration(
        &self,
        request: Request<pb::ApproveRegistrationRequest>,
    ) -> Result<Response<pb::ApproveRegistrationResponse>, Status> {
        let (mut called, request) = Called::new(request)?;
        let mut fields = Fields::default();
        called.ctx.repeat = fields.repeat(&request.request_id, &request);
        let pb::ApproveRegistrationRequest { user, organization, roles, note, etag, request_id: _ } = request;
        if roles.len() > ROLES_MAX {
            fields.wrong("roles", format!("has {} roles, at most {ROLES_MAX} are allowed", roles.len()));
        }
        let roles = roles
            .iter()
            .enumerate()
            .map(|(at, role)| fields.handle(Named::Role, &format!("roles[{at}]"), role))
            .collect();
        let command = ApproveRegistration {
            user: fields.handle(Named::User, "user", &user),
            organization: fields.optional_handle(Named::Organization, "organization", &organization),
            roles,
            note: none_if_empty(fields.text("note", &note, 0..=NOTE_CHARS_MAX)),
            etag: none_if_empty(etag),
        };
        let command = called.parsed(fields.finish(command))?;
        let done = called.answer(self.app.approve_registration(&called.ctx, &command).await)?;
        let consistency_token = self.token(&done);
        Ok(Response::new(pb::ApproveRegistrationResponse { user: Some(shown(done.value)), consistency_token }))
    }

    async fn reject_registration(
        &self,
        request: Request<pb::RejectRegistrationRequest>,
    ) -> Result<Response<pb::RejectRegistrationResponse>, Status> {
        let (mut called, request) = Called::new(request)?;
        let mut fields = Fields::default();
        called.ctx.repeat = fields.repeat(&request.request_id, &request);
        let pb::RejectRegistrationRequest { user, organization, reason, etag, request_id: _ } = request;
        let command = RejectRegistration {
            user: fields.handle(Named::User, "user", &user),
            organization: fields.optional_handle(Named::Organization, "organization", &organization),
            reason: fields.text("reason", &reason, 1..=NOTE_CHARS_MAX),
            etag: none_if_empty(etag),
        };
        let command = called.parsed(fields.finish(command))?;
        let done = called.answer(self.app.reject_registration(&called.ctx, &command).await)?;
        let consistency_token = self.token(&done);
        Ok(Response::new(pb::RejectRegistrationResponse { user: Some(shown(done.value)), consistency_token }))
    }
}

fn list(request: pb::ListRegistrationsRequest) -> Result<ListRegistrations, crate::app::Error> {
    let mut fields = Fields::default();
    let query = pb::ListRegistrationsRequest { page_size: 0, page_token: String::new(), ..request.clone() };
    let pb::ListRegistrationsRequest { organization, page_size, page_token } = request;
    let query = ListRegistrations {
        organization: fields.optional_handle(Named::Organization, "organization", &organization),
        page: fields.page(page_size, page_token, &query),
    };
    fields.finish(query)
}

fn registration(registration: Registration) -> pb::Registration {
    let Registration { user, organization, codes, registered_at, expires_at } = registration;
    pb::Registration {
        registration_count: user.user.registrations,
        user: Some(shown(user)),
        organization: organization.map(|(id, slug)| pb::OrganizationRef { id: id.to_string(), slug }),
        codes: codes.into_iter().collect(),
        register_time: Some(instant(registered_at)),
        expire_time: Some(instant(expires_at)),
    }
}
