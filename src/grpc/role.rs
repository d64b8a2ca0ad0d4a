//! `RoleService`.

use tonic::{Request, Response, Status};

use super::api::{Api, Called};
use super::convert::{Fields, NOTE_CHARS_MAX, TITLE_CHARS_MAX, instant, none_if_empty, reach};
use super::pb::{self, role_service_server::RoleService};
use crate::app::{CreateRole, DeclarePermission, Error, PermissionView, Reason, RoleView};
use crate::domain::catalogue::{Assignable, Conditions, DefaultFor, Permission, Role};
use crate::domain::handle::{Handle, ROLE_NAME_CHARS_MAX, is_role_name};
use crate::domain::ids::RoleId;
use crate::domain::permission::{Pattern, PermissionName, Reach};

/// The most patterns, inclusions, topics and the like of one role.
const ITEMS_MAX: usize = 100;
/// The most attributes that a condition asks for: as many as a membership carries.
const ATTRIBUTES_MAX: usize = 32;
/// The longest name of an attribute, a product, a topic, a kind, a resource's type.
const WORD_BYTES_MAX: usize = 64;

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

fn definition(fields: &mut Fields, request: pb::CreateRoleRequest) -> CreateRole {
    let pb::CreateRoleRequest {
        name,
        title,
        description,
        grants,
        includes,
        assignable,
        restricted,
        resource_type,
        may_assign,
        conditions,
        topics,
        request_id: _,
    } = request;
    let pb::RoleConditionsSpec { any_entitlement, attributes, roles } = conditions.unwrap_or_default();
    let name = role_name(fields, &name);
    let command = CreateRole {
        title: none_if_empty(fields.text("title", &title, 0..=TITLE_CHARS_MAX)).unwrap_or_else(|| name.clone()),
        name,
        description: fields.text("description", &description, 0..=NOTE_CHARS_MAX),
        grants: patterns(fields, &grants),
        includes: handles(fields, "includes", &includes),
        assignable: assignable.map(|given| places(fields, given)).unwrap_or_default(),
        restricted,
        resource_type: none_if_empty(resource_type).map(|kind| word(fields, "resource_type", &kind)),
        may_assign: handles(fields, "may_assign", &may_assign),
        any_entitlement: words(fields, "conditions.any_entitlement", &any_entitlement, ITEMS_MAX),
        attributes: words(fields, "conditions.attributes", &attributes, ATTRIBUTES_MAX),
        beside: handles(fields, "conditions.roles", &roles),
        topics: taken_topics(fields, &topics),
    };
    if command.resource_type.is_some() && command.assignable.default != DefaultFor::No {
        fields.wrong("resource_type", "is given, and a role that comes with a membership names no resource");
    }
    command
}

fn role_name(fields: &mut Fields, text: &str) -> String {
    let name = fields.text("name", text, 1..=ROLE_NAME_CHARS_MAX);
    if !name.is_empty() && name.len() <= ROLE_NAME_CHARS_MAX && !is_role_name(&name) {
        fields.wrong("name", format!("is {name:?}; letters, digits, '_', '-' and '.' are allowed, and no id"));
    }
    name
}

fn patterns(fields: &mut Fields, grants: &[pb::PatternGrant]) -> Vec<(Pattern, Reach)> {
    few(fields, "grants", grants.len(), ITEMS_MAX);
    let read = |(at, pb::PatternGrant { pattern, reach }): (usize, &pb::PatternGrant)| {
        let pattern = fields.pattern(&format!("grants[{at}].pattern"), pattern);
        (pattern, fields.reach(&format!("grants[{at}].reach"), *reach))
    };
    grants.iter().take(ITEMS_MAX).enumerate().map(read).collect()
}

fn taken_topics(fields: &mut Fields, topics: &[pb::RoleTopic]) -> Vec<(String, Reach)> {
    few(fields, "topics", topics.len(), ITEMS_MAX);
    let read = |(at, pb::RoleTopic { topic, reach }): (usize, &pb::RoleTopic)| {
        let topic = word(fields, &format!("topics[{at}].topic"), topic);
        (topic, fields.reach(&format!("topics[{at}].reach"), *reach))
    };
    topics.iter().take(ITEMS_MAX).enumerate().map(read).collect()
}

fn places(fields: &mut Fields, given: pb::Assignable) -> Assignable {
    let pb::Assignable { scopes, kinds, by_default, default_kinds } = given;
    let mut read = Assignable { kinds: words(fields, "assignable.kinds", &kinds, ITEMS_MAX), ..Assignable::default() };
    for (at, scope) in scopes.iter().enumerate() {
        match pb::AssignmentScope::try_from(*scope) {
            Ok(pb::AssignmentScope::Organization) => read.organization = true,
            Ok(pb::AssignmentScope::Realm) => read.realm = true,
            Ok(pb::AssignmentScope::Unspecified) | Err(_) => {
                fields.wrong(
                    &format!("assignable.scopes[{at}]"),
                    format!("is {scope}, ORGANIZATION or REALM are allowed"),
                );
            }
        }
    }
    let default_kinds = words(fields, "assignable.default_kinds", &default_kinds, ITEMS_MAX);
    if by_default && !read.organization {
        fields.wrong("assignable.by_default", "is true, which needs the scope ORGANIZATION");
    }
    if !by_default && !default_kinds.is_empty() {
        fields.wrong("assignable.default_kinds", "is given, which needs by_default");
    }
    read.default = match (by_default, default_kinds.is_empty()) {
        (false, _) => DefaultFor::No,
        (true, true) => DefaultFor::AllKinds,
        (true, false) => DefaultFor::Kinds(default_kinds),
    };
    read
}

fn handles(fields: &mut Fields, field: &str, given: &[String]) -> Vec<Handle> {
    few(fields, field, given.len(), ITEMS_MAX);
    given.iter().enumerate().map(|(at, text)| fields.handle(&format!("{field}[{at}]"), text)).collect()
}

fn words(fields: &mut Fields, field: &str, given: &[String], most: usize) -> Vec<String> {
    few(fields, field, given.len(), most);
    given.iter().take(most).enumerate().map(|(at, text)| word(fields, &format!("{field}[{at}]"), text)).collect()
}

/// A name that the realm made up: lowercase letters, digits, `_` and `-`.
fn word(fields: &mut Fields, field: &str, text: &str) -> String {
    let plain = text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_' || c == b'-');
    if !plain || text.is_empty() || text.len() > WORD_BYTES_MAX {
        let given = text.len();
        let message =
            format!("has {given} bytes; 1 to {WORD_BYTES_MAX} lowercase letters, digits, '_' and '-' are allowed");
        fields.wrong(field, message);
    }
    text.to_owned()
}

fn few(fields: &mut Fields, field: &str, given: usize, most: usize) {
    if given > most {
        fields.wrong(field, format!("has {given} items, at most {most} are allowed"));
    }
}

fn declaration(mut fields: Fields, request: pb::DeclarePermissionRequest) -> Result<DeclarePermission, Error> {
    let pb::DeclarePermissionRequest { name, title, section, protected, request_id: _ } = request;
    let name = fields.keep("name", PermissionName::parse(name.trim()));
    if name.as_ref().is_some_and(PermissionName::is_reserved) {
        fields.wrong_for(Reason::NamespaceReserved, "name", "is in the namespace countersign, which is reserved");
    }
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
    pb::Permission {
        name: name.to_string(),
        title,
        section,
        protected,
        retired,
        create_time: Some(instant(declared_at)),
    }
}
