//! `OrganizationService`.

mod parse;
mod print;

use tonic::{Request, Response, Status};

use super::api::{Api, Called};
use super::convert::{Fields, principal};
use super::entry::shown;
use super::pb::{self, organization_service_server::OrganizationService};
use crate::app::{Moved, Removed};
use crate::domain::handle::Named;
use print::{listed, member, organization};

#[tonic::async_trait]
impl OrganizationService for Api {
    async fn create_organization(
        &self,
        request: Request<pb::CreateOrganizationRequest>,
    ) -> Result<Response<pb::CreateOrganizationResponse>, Status> {
        let (mut called, request) = Called::new(request)?;
        let mut fields = Fields::default();
        called.ctx.repeat = fields.repeat(&request.request_id, &request);
        let draft = parse::create(fields, request);
        let done = called.answer(self.app.create_organization(&called.ctx, &draft).await)?;
        let consistency_token = self.token(&done);
        let organization = Some(organization(done.value));
        Ok(Response::new(pb::CreateOrganizationResponse { organization, consistency_token }))
    }

    async fn get_organization(
        &self,
        request: Request<pb::GetOrganizationRequest>,
    ) -> Result<Response<pb::GetOrganizationResponse>, Status> {
        let (called, pb::GetOrganizationRequest { organization: place }) = Called::new(request)?;
        let mut fields = Fields::default();
        let place = fields.handle(Named::Organization, "organization", &place);
        let place = called.parsed(fields.finish(place))?;
        let found = called.answer(self.app.get_organization(&called.ctx, &place).await)?;
        Ok(Response::new(pb::GetOrganizationResponse { organization: Some(organization(found)) }))
    }

    async fn list_organizations(
        &self,
        request: Request<pb::ListOrganizationsRequest>,
    ) -> Result<Response<pb::ListOrganizationsResponse>, Status> {
        let (called, request) = Called::new(request)?;
        let draft = parse::list(request);
        let page = called.answer(self.app.list_organizations(&called.ctx, &draft, organization).await)?;
        let (organizations, next_page_token) = (page.items, page.next);
        Ok(Response::new(pb::ListOrganizationsResponse { organizations, next_page_token }))
    }

    async fn update_organization(
        &self,
        request: Request<pb::UpdateOrganizationRequest>,
    ) -> Result<Response<pb::UpdateOrganizationResponse>, Status> {
        let (mut called, request) = Called::new(request)?;
        let mut fields = Fields::default();
        called.ctx.repeat = fields.repeat(&request.request_id, &request);
        let command = called.parsed(parse::update(fields, request))?;
        let done = called.answer(self.app.update_organization(&called.ctx, &command).await)?;
        let consistency_token = self.token(&done);
        let organization = Some(organization(done.value));
        Ok(Response::new(pb::UpdateOrganizationResponse { organization, consistency_token }))
    }

    async fn suspend_organization(
        &self,
        request: Request<pb::SuspendOrganizationRequest>,
    ) -> Result<Response<pb::SuspendOrganizationResponse>, Status> {
        let (mut called, request) = Called::new(request)?;
        let mut fields = Fields::default();
        called.ctx.repeat = fields.repeat(&request.request_id, &request);
        let command = called.parsed(parse::suspend(fields, request))?;
        let done = called.answer(self.app.suspend_organization(&called.ctx, &command).await)?;
        let consistency_token = self.token(&done);
        let organization = Some(organization(done.value));
        Ok(Response::new(pb::SuspendOrganizationResponse { organization, consistency_token }))
    }

    async fn reinstate_organization(
        &self,
        request: Request<pb::ReinstateOrganizationRequest>,
    ) -> Result<Response<pb::ReinstateOrganizationResponse>, Status> {
        let (mut called, request) = Called::new(request)?;
        let mut fields = Fields::default();
        called.ctx.repeat = fields.repeat(&request.request_id, &request);
        let command = called.parsed(parse::reinstate(fields, request))?;
        let done = called.answer(self.app.reinstate_organization(&called.ctx, &command).await)?;
        let consistency_token = self.token(&done);
        let organization = Some(organization(done.value));
        Ok(Response::new(pb::ReinstateOrganizationResponse { organization, consistency_token }))
    }

    async fn set_identifiers(
        &self,
        request: Request<pb::SetIdentifiersRequest>,
    ) -> Result<Response<pb::SetIdentifiersResponse>, Status> {
        let (mut called, request) = Called::new(request)?;
        let mut fields = Fields::default();
        called.ctx.repeat = fields.repeat(&request.request_id, &request);
        let draft = parse::identify(fields, request);
        let done = called.answer(self.app.set_identifiers(&called.ctx, &draft).await)?;
        let consistency_token = self.token(&done);
        let organization = Some(organization(done.value));
        Ok(Response::new(pb::SetIdentifiersResponse { organization, consistency_token }))
    }

    async fn set_entitlements(
        &self,
        request: Request<pb::SetEntitlementsRequest>,
    ) -> Result<Response<pb::SetEntitlementsResponse>, Status> {
        let (mut called, request) = Called::new(request)?;
        let mut fields = Fields::default();
        called.ctx.repeat = fields.repeat(&request.request_id, &request);
        let command = called.parsed(parse::entitle(fields, request))?;
        let done = called.answer(self.app.set_entitlements(&called.ctx, &command).await)?;
        let consistency_token = self.token(&done);
        let organization = Some(organization(done.value));
        Ok(Response::new(pb::SetEntitlementsResponse { organization, consistency_token }))
    }

    async fn add_member(
        &self,
        request: Request<pb::AddMemberRequest>,
    ) -> Result<Response<pb::AddMemberResponse>, Status> {
        let (mut called, request) = Called::new(request)?;
        let mut fields = Fields::default();
        called.ctx.repeat = fields.repeat(&request.request_id, &request);
        let command = called.parsed(parse::add_member(fields, request))?;
        let done = called.answer(self.app.add_member(&called.ctx, &command).await)?;
        let consistency_token = self.token(&done);
        let (user, membership) = member(done.value);
        let (user, membership) = (Some(user), Some(membership));
        Ok(Response::new(pb::AddMemberResponse { user, membership, consistency_token }))
    }

    async fn update_member(
        &self,
        request: Request<pb::UpdateMemberRequest>,
    ) -> Result<Response<pb::UpdateMemberResponse>, Status> {
        let (mut called, request) = Called::new(request)?;
        let mut fields = Fields::default();
        called.ctx.repeat = fields.repeat(&request.request_id, &request);
        let command = called.parsed(parse::update_member(fields, request))?;
        let done = called.answer(self.app.update_member(&called.ctx, &command).await)?;
        let consistency_token = self.token(&done);
        let (user, membership) = member(done.value);
        let (user, membership) = (Some(user), Some(membership));
        Ok(Response::new(pb::UpdateMemberResponse { user, membership, consistency_token }))
    }

    async fn remove_member(
        &self,
        request: Request<pb::RemoveMemberRequest>,
    ) -> Result<Response<pb::RemoveMemberResponse>, Status> {
        let (mut called, request) = Called::new(request)?;
        let mut fields = Fields::default();
        called.ctx.repeat = fields.repeat(&request.request_id, &request);
        let command = called.parsed(parse::remove_member(fields, request))?;
        let done = called.answer(self.app.remove_member(&called.ctx, &command).await)?;
        let consistency_token = self.token(&done);
        let Removed { user, name, entries } = done.value;
        let user = Some(principal(user.into(), Some(&name)));
        let entries = entries.into_iter().map(shown).collect();
        Ok(Response::new(pb::RemoveMemberResponse { user, entries, consistency_token }))
    }

    async fn move_member(
        &self,
        request: Request<pb::MoveMemberRequest>,
    ) -> Result<Response<pb::MoveMemberResponse>, Status> {
        let (mut called, request) = Called::new(request)?;
        let mut fields = Fields::default();
        called.ctx.repeat = fields.repeat(&request.request_id, &request);
        let command = called.parsed(parse::move_member(fields, request))?;
        let done = called.answer(self.app.move_member(&called.ctx, &command).await)?;
        let consistency_token = self.token(&done);
        let Moved { member: view, entries } = done.value;
        let (user, membership) = member(view);
        let (user, membership) = (Some(user), Some(membership));
        let entries = entries.into_iter().map(shown).collect();
        Ok(Response::new(pb::MoveMemberResponse { user, membership, entries, consistency_token }))
    }

    async fn list_members(
        &self,
        request: Request<pb::ListMembersRequest>,
    ) -> Result<Response<pb::ListMembersResponse>, Status> {
        let (called, request) = Called::new(request)?;
        let query = called.parsed(parse::list_members(request))?;
        let page = called.answer(self.app.list_members(&called.ctx, &query, listed).await)?;
        Ok(Response::new(pb::ListMembersResponse { members: page.items, next_page_token: page.next }))
    }
}
