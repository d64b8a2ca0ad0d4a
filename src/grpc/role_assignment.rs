//! `RoleAssignmentService`.

use tonic::{Request, Response, Status};

use super::api::{Api, Called};
use super::convert::Fields;
use super::entry::shown;
use super::pb::{self, role_assignment_service_server::RoleAssignmentService};
use crate::app::{AssignRole, Draft, Error, GrantPermission, Place, RevokeRole};
use crate::domain::ids::EntryId;
use crate::domain::permission::Reach;
use crate::domain::snapshot::{Resource, Window};
use crate::domain::time::Timestamp;

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
}

fn assignment(mut fields: Fields, request: pb::AssignRoleRequest, now: Timestamp) -> Result<AssignRole, Error> {
    use pb::assign_role_request::Scope as Asked;
    let pb::AssignRoleRequest { principal, role, scope, resource, not_before, expire_time, request_id: _ } = request;
    let asked = scope.map(|scope| match scope {
        Asked::Organization(slug) => Asking::Organization(slug),
        Asked::RealmWide(said) => Asking::RealmWide(said),
    });
    let command = AssignRole {
        principal: fields.handle("principal", &principal),
        role: fields.handle("role", &role),
        place: place(&mut fields, asked),
        resource: fields.resource("resource", resource),
        window: window(&mut fields, not_before.as_ref(), expire_time.as_ref(), now),
    };
    fields.finish(command)
}

fn revocation(mut fields: Fields, request: pb::RevokeRoleRequest) -> Result<RevokeRole, Error> {
    use pb::revoke_role_request::Scope as Asked;
    let pb::RevokeRoleRequest { entry, principal, role, scope, resource, request_id: _ } = request;
    if let Some(entry) = fields.optional_id("entry", &entry) {
        if !principal.is_empty() || !role.is_empty() || scope.is_some() || resource.is_some() {
            fields.wrong("entry", "is given, and with it nothing else may be");
        }
        return fields.finish(RevokeRole::One(EntryId(entry)));
    }
    let asked = scope.map(|scope| match scope {
        Asked::Organization(slug) => Asking::Organization(slug),
        Asked::RealmWide(said) => Asking::RealmWide(said),
    });
    let command = RevokeRole::Every {
        principal: fields.handle("principal", &principal),
        role: fields.handle("role", &role),
        place: place(&mut fields, asked),
        resource: fields.resource("resource", resource),
    };
    fields.finish(command)
}

fn grant(mut fields: Fields, request: pb::GrantPermissionRequest, now: Timestamp) -> Draft<GrantPermission> {
    use pb::grant_permission_request::Scope as Asked;
    let pb::GrantPermissionRequest {
        principal,
        pattern,
        reach,
        scope,
        resource,
        owner,
        not_before,
        expire_time,
        request_id: _,
    } = request;
    let asked = scope.map(|scope| match scope {
        Asked::Organization(slug) => Asking::Organization(slug),
        Asked::RealmWide(said) => Asking::RealmWide(said),
    });
    let principal = fields.handle("principal", &principal);
    let pattern = fields.pattern("pattern", &pattern);
    let place = place(&mut fields, asked);
    let resource = fields.resource("resource", resource);
    let reach = granted_reach(&mut fields, reach, resource.as_ref());
    let owner = fields.optional_handle("owner", &owner);
    if owner.is_some() && resource.is_none() {
        fields.wrong("owner", "is given, which needs a resource");
    }
    let window = window(&mut fields, not_before.as_ref(), expire_time.as_ref(), now);
    fields.draft(GrantPermission { principal, pattern, reach, place, resource, owner, window })
}

/// A resource is its own reach.
fn granted_reach(fields: &mut Fields, reach: i32, resource: Option<&Resource>) -> Reach {
    if resource.is_none() {
        return fields.reach("reach", reach);
    }
    if reach != i32::from(pb::Reach::Unspecified) {
        fields.wrong("reach", format!("is {reach}, and a grant on a resource has none"));
    }
    Reach::All
}

/// The scope of a request, whichever request it is.
enum Asking {
    Organization(String),
    RealmWide(bool),
}

fn place(fields: &mut Fields, asked: Option<Asking>) -> Place {
    match asked {
        Some(Asking::Organization(handle)) => Place::Organization(fields.handle("organization", &handle)),
        Some(Asking::RealmWide(true)) => Place::Realm,
        Some(Asking::RealmWide(false)) => {
            fields.wrong("realm_wide", "is false; true, or an organization, is required");
            Place::Realm
        }
        None => {
            fields.wrong("organization", "is missing; an organization, or realm_wide, is required");
            Place::Realm
        }
    }
}

fn window(
    fields: &mut Fields,
    not_before: Option<&prost_types::Timestamp>,
    expire_time: Option<&prost_types::Timestamp>,
    now: Timestamp,
) -> Window {
    let from = fields.instant("not_before", not_before);
    let until = fields.future("expire_time", expire_time, now);
    if from.zip(until).is_some_and(|(from, until)| until <= from) {
        fields.wrong("expire_time", "is not later than not_before");
    }
    Window::new(from, until)
}
