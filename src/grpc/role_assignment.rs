//! `RoleAssignmentService`.

use tonic::{Request, Response, Status};

use super::api::{Api, Called};
use super::assignment::{assignment, grant, grant_revocation, list, list_grants, revocation, update};
use super::convert::Fields;
use super::entry::shown;
use super::pb::{self, role_assignment_service_server::RoleAssignmentService};
use crate::app::UpdatedAssignments;

#[tonic::async_trait]
impl RoleAssignmentService for Api {
    async fn assign_role(
        &self,
        request: Request<pb::AssignRoleRequest>,
    ) -> Result<Response<pb::AssignRoleResponse>, Status> {
        let (mut called, request) = Called::new(request)?;
        let mut fields = Fields::default();
        called.ctx.repeat = fields.repeat(&request.request_id, &request);
        let command = assignment(fields, request, called.ctx.now);
        let command = called.parsed(command)?;
        let done = called.answer(self.app.assign_role(&called.ctx, &command).await)?;
        let consistency_token = self.token(&done);
        Ok(Response::new(pb::AssignRoleResponse { entry: Some(shown(done.value)), consistency_token }))
    }

    async fn revoke_role(
        &self,
        request: Request<pb::RevokeRoleRequest>,
    ) -> Result<Response<pb::RevokeRoleResponse>, Status> {
        let (mut called, request) = Called::new(request)?;
        let mut fields = Fields::default();
        called.ctx.repeat = fields.repeat(&request.request_id, &request);
        let command = revocation(fields, request);
        let command = called.parsed(command)?;
        let done = called.answer(self.app.revoke_role(&called.ctx, &command).await)?;
        let consistency_token = self.token(&done);
        let entries = done.value.into_iter().map(shown).collect();
        Ok(Response::new(pb::RevokeRoleResponse { entries, consistency_token }))
    }

    async fn grant_permission(
        &self,
        request: Request<pb::GrantPermissionRequest>,
    ) -> Result<Response<pb::GrantPermissionResponse>, Status> {
        let (mut called, request) = Called::new(request)?;
        let mut fields = Fields::default();
        called.ctx.repeat = fields.repeat(&request.request_id, &request);
        let draft = grant(fields, request, called.ctx.now);
        let done = called.answer(self.app.grant_permission(&called.ctx, &draft).await)?;
        let consistency_token = self.token(&done);
        Ok(Response::new(pb::GrantPermissionResponse { entry: Some(shown(done.value)), consistency_token }))
    }

    async fn revoke_permission(
        &self,
        request: Request<pb::RevokePermissionRequest>,
    ) -> Result<Response<pb::RevokePermissionResponse>, Status> {
        let (mut called, request) = Called::new(request)?;
        let mut fields = Fields::default();
        called.ctx.repeat = fields.repeat(&request.request_id, &request);
        let draft = grant_revocation(fields, request);
        let done = called.answer(self.app.revoke_permission(&called.ctx, &draft).await)?;
        let consistency_token = self.token(&done);
        let entries = done.value.into_iter().map(shown).collect();
        Ok(Response::new(pb::RevokePermissionResponse { entries, consistency_token }))
    }

    async fn update_assignments(
        &self,
        request: Request<pb::UpdateAssignmentsRequest>,
    ) -> Result<Response<pb::UpdateAssignmentsResponse>, Status> {
        let (mut called, request) = Called::new(request)?;
        let mut fields = Fields::default();
        called.ctx.repeat = fields.repeat(&request.request_id, &request);
        let command = called.parsed(update(fields, request, called.ctx.now))?;
        let done = called.answer(self.app.update_assignments(&called.ctx, &command).await)?;
        let consistency_token = self.token(&done);
        let UpdatedAssignments { added, removed } = done.value;
        let (added, removed) = (added.into_iter().map(shown).collect(), removed.into_iter().map(shown).collect());
        Ok(Response::new(pb::UpdateAssignmentsResponse { added, removed, consistency_token }))
    }

    async fn list_assignments(
        &self,
        request: Request<pb::ListAssignmentsRequest>,
    ) -> Result<Response<pb::ListAssignmentsResponse>, Status> {
        let (called, request) = Called::new(request)?;
        let query = called.parsed(list(request))?;
        let page = called.answer(self.app.list_entries(&called.ctx, &query, shown).await)?;
        Ok(Response::new(pb::ListAssignmentsResponse { entries: page.items, next_page_token: page.next }))
    }

    async fn list_grants(
        &self,
        request: Request<pb::ListGrantsRequest>,
    ) -> Result<Response<pb::ListGrantsResponse>, Status> {
        let (called, request) = Called::new(request)?;
        let query = called.parsed(list_grants(request))?;
        let page = called.answer(self.app.list_entries(&called.ctx, &query, shown).await)?;
        Ok(Response::new(pb::ListGrantsResponse { entries: page.items, next_page_token: page.next }))
    }
}
