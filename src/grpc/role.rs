//! `RoleService`.

use tonic::{Request, Response, Status};

use super::api::{Api, Called};
use super::convert::{Fields, TITLE_CHARS_MAX, instant, none_if_empty, reach};
use super::pb::{self, role_service_server::RoleService};
use super::role_definition::{definition, redefinition, word};
use crate::app::{DeclarePermission, Error, ListPermissions, ListRoles, PermissionView, Reason, RoleScope, RoleView};
use crate::domain::catalogue::{Assignable, Conditions, DefaultFor, Permission, Role};
use crate::domain::handle::Named;
use crate::domain::ids::RoleId;
use crate::domain::permission::{NAME_BYTES_MAX, Pattern, PermissionName, Reach};

#[tonic::async_trait]
impl RoleService for Api {
    async fn create_role(
        &self,
        request: Request<pb::CreateRoleRequest>,
    ) -> Result<Response<pb::CreateRoleResponse>, Status> {
        let (mut called, request) = Called::new(request)?;
        let mut fields = Fields::default();
        called.ctx.repeat = fields.repeat(&request.request_id, &request);
        let draft = definition(&mut fields, request);
        let draft = fields.draft(draft);
        let done = called.answer(self.app.create_role(&called.ctx, &draft).await)?;
        let consistency_token = self.token(&done);
        Ok(Response::new(pb::CreateRoleResponse { role: Some(shown(done.value)), consistency_token }))
    }

    async fn get_role(&self, request: Request<pb::GetRoleRequest>) -> Result<Response<pb::GetRoleResponse>, Status> {
        let (called, pb::GetRoleRequest { role }) = Called::new(request)?;
        let mut fields = Fields::default();
        let role = fields.handle(Named::Role, "role", &role);
        let role = called.parsed(fields.finish(role))?;
        let view = called.answer(self.app.get_role(&called.ctx, &role).await)?;
        Ok(Response::new(pb::GetRoleResponse { role: Some(shown(view)) }))
    }

    async fn list_roles(
        &self,
        request: Request<pb::ListRolesRequest>,
    ) -> Result<Response<pb::ListRolesResponse>, Status> {
        let (called, request) = Called::new(request)?;
        let query = called.parsed(list(request))?;
        let page = called.answer(self.app.list_roles(&called.ctx, &query, shown).await)?;
        Ok(Response::new(pb::ListRolesResponse { roles: page.items, next_page_token: page.next }))
    }

    async fn update_role(
        &self,
        request: Request<pb::UpdateRoleRequest>,
    ) -> Result<Response<pb::UpdateRoleResponse>, Status> {
        let (mut called, request) = Called::new(request)?;
        let mut fields = Fields::default();
        called.ctx.repeat = fields.repeat(&request.request_id, &request);
        let draft = redefinition(fields, request);
        let done = called.answer(self.app.update_role(&called.ctx, &draft).await)?;
        let consistency_token = self.token(&done);
        Ok(Response::new(pb::UpdateRoleResponse { role: Some(shown(done.value)), consistency_token }))
    }

    async fn delete_role(
        &self,
        request: Request<pb::DeleteRoleRequest>,
    ) -> Result<Response<pb::DeleteRoleResponse>, Status> {
        let (mut called, request) = Called::new(request)?;
        let mut fields = Fields::default();
        called.ctx.repeat = fields.repeat(&request.request_id, &request);
        let pb::DeleteRoleRequest { role, etag, request_id: _ } = request;
        let role = fields.handle(Named::Role, "role", &role);
        let role = called.parsed(fields.finish(role))?;
        let etag = none_if_empty(etag);
        let done = called.answer(self.app.delete_role(&called.ctx, &role, etag.as_deref()).await)?;
        Ok(Response::new(pb::DeleteRoleResponse { consistency_token: self.token(&done) }))
    }

    async fn list_permissions(
        &self,
        request: Request<pb::ListPermissionsRequest>,
    ) -> Result<Response<pb::ListPermissionsResponse>, Status> {
        let (called, request) = Called::new(request)?;
        let query = called.parsed(list_permissions(request))?;
        let page = called.answer(self.app.list_permissions(&called.ctx, &query, permission).await)?;
        Ok(Response::new(pb::ListPermissionsResponse { permissions: page.items, next_page_token: page.next }))
    }

    async fn retire_permission(
        &self,
        request: Request<pb::RetirePermissionRequest>,
    ) -> Result<Response<pb::RetirePermissionResponse>, Status> {
        let (mut called, request) = Called::new(request)?;
        let mut fields = Fields::default();
        called.ctx.repeat = fields.repeat(&request.request_id, &request);
        let pb::RetirePermissionRequest { name, request_id: _ } = request;
        let name = own_permission(&mut fields, &name);
        let name = called.parsed(fields.finish_some(name))?;
        let done = called.answer(self.app.retire_permission(&called.ctx, &name).await)?;
        let consistency_token = self.token(&done);
        let permission = Some(permission(done.value));
        Ok(Response::new(pb::RetirePermissionResponse { permission, consistency_token }))
    }

    async fn declare_permission(
        &self,
        request: Request<pb::DeclarePermissionRequest>,
    ) -> Result<Response<pb::DeclarePermissionResponse>, Status> {
        let (mut called, request) = Called::new(request)?;
        let mut fields = Fields::default();
        called.ctx.repeat = fields.repeat(&request.request_id, &request);
        let command = declaration(fields, request);
        let command = called.parsed(command)?;
        let done = called.answer(self.app.declare_permission(&called.ctx, &command).await)?;
        let consistency_token = self.token(&done);
        let permission = Some(permission(done.value));
        Ok(Response::new(pb::DeclarePermissionResponse { permission, consistency_token }))
    }
}

fn list(request: pb::ListRolesRequest) -> Result<ListRoles, Error> {
    let mut fields = Fields::default();
    let query = pb::ListRolesRequest { page_size: 0, page_token: String::new(), ..request.clone() };
    let pb::ListRolesRequest { text, scope, kind, confers, page_size, page_token } = request;
    let confers = none_if_empty(confers).and_then(|name| fields.keep("confers", PermissionName::parse(&name)));
    let scope = match pb::AssignmentScope::try_from(scope) {
        Ok(pb::AssignmentScope::Unspecified) => None,
        Ok(pb::AssignmentScope::Organization) => Some(RoleScope::Organization),
        Ok(pb::AssignmentScope::Realm) => Some(RoleScope::Realm),
        Err(_) => {
            fields.wrong("scope", format!("is {scope}, which is no scope"));
            None
        }
    };
    let query = ListRoles {
        text: fields.text("text", &text, 0..=TITLE_CHARS_MAX),
        scope,
        kind: none_if_empty(kind).map(|kind| word(&mut fields, "kind", &kind)),
        confers,
        page: fields.page(page_size, page_token, &query),
    };
    fields.finish(query)
}

fn list_permissions(request: pb::ListPermissionsRequest) -> Result<ListPermissions, Error> {
    let mut fields = Fields::default();
    let query = pb::ListPermissionsRequest { page_size: 0, page_token: String::new(), ..request.clone() };
    let pb::ListPermissionsRequest { name, section, state, page_size, page_token } = request;
    let retired = match pb::PermissionState::try_from(state) {
        Ok(pb::PermissionState::Unspecified) => None,
        Ok(pb::PermissionState::Active) => Some(false),
        Ok(pb::PermissionState::Retired) => Some(true),
        Err(_) => {
            fields.wrong("state", format!("is {state}, which is no state"));
            None
        }
    };
    let query = ListPermissions {
        name: fields.text("name", &name, 0..=NAME_BYTES_MAX),
        section: none_if_empty(fields.text("section", &section, 0..=TITLE_CHARS_MAX)),
        retired,
        page: fields.page(page_size, page_token, &query),
    };
    fields.finish(query)
}

/// The name of a permission that a realm may declare.
fn own_permission(fields: &mut Fields, name: &str) -> Option<PermissionName> {
    let name = fields.keep("name", PermissionName::parse(name));
    if name.as_ref().is_some_and(PermissionName::is_reserved) {
        fields.wrong_for(Reason::NamespaceReserved, "name", "is in the namespace countersign, which is reserved");
    }
    name
}

fn declaration(mut fields: Fields, request: pb::DeclarePermissionRequest) -> Result<DeclarePermission, Error> {
    let pb::DeclarePermissionRequest { name, title, section, protected, request_id: _ } = request;
    let name = own_permission(&mut fields, &name);
    let title = fields.text("title", &title, 0..=TITLE_CHARS_MAX);
    let section = fields.text("section", &section, 0..=TITLE_CHARS_MAX);
    let command = name.map(|name| {
        let title = none_if_empty(title).unwrap_or_else(|| name.to_string());
        DeclarePermission { name, title, section, protected }
    });
    fields.finish_some(command)
}

/// A role on the wire.
fn shown(view: RoleView) -> pb::Role {
    let RoleView { role, restricted, names, created_at, etag } = view;
    let Role {
        id,
        name,
        title,
        description,
        grants,
        includes,
        assignable,
        restricted: _,
        resource_type,
        may_assign,
        conditions: Conditions { any_entitlement, attributes, roles },
        topics,
    } = role;
    let named = |ids: Vec<RoleId>| {
        let one = |id: RoleId| pb::RoleRef { id: id.to_string(), name: names.get(&id).cloned().unwrap_or_default() };
        ids.into_iter().map(one).collect::<Vec<_>>()
    };
    let grant =
        |(pattern, at): (Pattern, Reach)| pb::PatternGrant { pattern: pattern.to_string(), reach: reach(at).into() };
    let topic = |(topic, at): (String, Reach)| pb::RoleTopic { topic, reach: reach(at).into() };
    pb::Role {
        id: id.to_string(),
        name,
        title,
        description,
        grants: grants.into_iter().map(grant).collect(),
        includes: named(includes),
        assignable: shown_places(assignable),
        restricted,
        resource_type: resource_type.unwrap_or_default(),
        may_assign: named(may_assign),
        conditions: Some(pb::RoleConditions { any_entitlement, attributes, roles: named(roles) }),
        topics: topics.into_iter().map(topic).collect(),
        create_time: Some(instant(created_at)),
        etag,
    }
}

fn shown_places(assignable: Assignable) -> Option<pb::Assignable> {
    let Assignable { organization, realm, kinds, default } = assignable;
    let scopes: Vec<i32> = [
        organization.then_some(pb::AssignmentScope::Organization.into()),
        realm.then_some(pb::AssignmentScope::Realm.into()),
    ]
    .into_iter()
    .flatten()
    .collect();
    let (by_default, default_kinds) = match default {
        DefaultFor::No => (false, vec![]),
        DefaultFor::AllKinds => (true, vec![]),
        DefaultFor::Kinds(kinds) => (true, kinds),
    };
    (!scopes.is_empty()).then_some(pb::Assignable { scopes, kinds, by_default, default_kinds })
}

fn permission(view: PermissionView) -> pb::Permission {
    let PermissionView { permission, declared_at } = view;
    let Permission { name, title, section, protected, retired } = permission;
    pb::Permission { name: name.to_string(), title, section, protected, retired, create_time: declared_at.map(instant) }
}
