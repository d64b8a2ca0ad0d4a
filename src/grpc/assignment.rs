//! What requests say of entries: to assign, to grant, to take and to list.

use super::convert::{Fields, none_if_empty};
use super::pb;
use crate::app::{
    AssignRole, Draft, Error, GrantPermission, ListEntries, Place, RevokePermission, RevokeRole, RevokedGrants,
    UpdateAssignments, Which,
};
use crate::domain::entry::EntryState;
use crate::domain::handle::Named;
use crate::domain::ids::EntryId;
use crate::domain::permission::Reach;
use crate::domain::snapshot::{Resource, Window};
use crate::domain::time::Timestamp;

/// The most items of one call that writes.
const ITEMS_MAX: usize = 100;

/// A role to assign.
pub(super) fn assignment(
    mut fields: Fields,
    request: pb::AssignRoleRequest,
    now: Timestamp,
) -> Result<AssignRole, Error> {
    use pb::assign_role_request::Scope as Asked;
    let pb::AssignRoleRequest { principal, role, scope, resource, not_before, expire_time, request_id: _ } = request;
    let asked = scope.map(|scope| match scope {
        Asked::Organization(slug) => Asking::Organization(slug),
        Asked::RealmWide(said) => Asking::RealmWide(said),
    });
    let command = AssignRole {
        principal: fields.handle(Named::Principal, "principal", &principal),
        role: fields.handle(Named::Role, "role", &role),
        place: place(&mut fields, asked),
        resource: fields.resource("resource", resource),
        window: window(&mut fields, not_before.as_ref(), expire_time.as_ref(), now),
    };
    fields.finish(command)
}

/// Many roles to assign and to revoke.
pub(super) fn update(
    mut fields: Fields,
    request: pb::UpdateAssignmentsRequest,
    now: Timestamp,
) -> Result<UpdateAssignments, Error> {
    let pb::UpdateAssignmentsRequest { add, remove, request_id: _ } = request;
    fields.count("add and remove", add.len() + remove.len(), 1..=ITEMS_MAX);
    let mut command = UpdateAssignments { add: vec![], remove: vec![] };
    for (at, item) in add.into_iter().enumerate() {
        let pb::AssignmentAddition { principal, role, scope, resource, not_before, expire_time } = item;
        let scope = scope.map(|scope| match scope {
            pb::assignment_addition::Scope::Organization(slug) => pb::assign_role_request::Scope::Organization(slug),
            pb::assignment_addition::Scope::RealmWide(said) => pb::assign_role_request::Scope::RealmWide(said),
        });
        let request_id = String::new();
        let one = pb::AssignRoleRequest { principal, role, scope, resource, not_before, expire_time, request_id };
        command.add.extend(fields.within(&format!("add[{at}]"), |fields| assignment(fields, one, now)));
    }
    for (at, item) in remove.into_iter().enumerate() {
        let pb::AssignmentRemoval { entry, principal, role, scope, resource } = item;
        let scope = scope.map(|scope| match scope {
            pb::assignment_removal::Scope::Organization(slug) => pb::revoke_role_request::Scope::Organization(slug),
            pb::assignment_removal::Scope::RealmWide(said) => pb::revoke_role_request::Scope::RealmWide(said),
        });
        let request_id = String::new();
        let one = pb::RevokeRoleRequest { entry, principal, role, scope, resource, request_id };
        command.remove.extend(fields.within(&format!("remove[{at}]"), |fields| revocation(fields, one)));
    }
    fields.finish(command)
}

/// Which assignments to revoke.
pub(super) fn revocation(mut fields: Fields, request: pb::RevokeRoleRequest) -> Result<RevokeRole, Error> {
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
        principal: fields.handle(Named::Principal, "principal", &principal),
        role: fields.handle(Named::Role, "role", &role),
        place: place(&mut fields, asked),
        resource: fields.resource("resource", resource),
    };
    fields.finish(command)
}

/// A pattern to grant.
pub(super) fn grant(mut fields: Fields, request: pb::GrantPermissionRequest, now: Timestamp) -> Draft<GrantPermission> {
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
    let principal = fields.handle(Named::Principal, "principal", &principal);
    let pattern = fields.pattern("pattern", &pattern);
    let place = place(&mut fields, asked);
    let resource = fields.resource("resource", resource);
    let reach = granted_reach(&mut fields, reach, resource.as_ref());
    let owner = fields.optional_handle(Named::Principal, "owner", &owner);
    if owner.is_some() && resource.is_none() {
        fields.wrong("owner", "is given, which needs a resource");
    }
    let window = window(&mut fields, not_before.as_ref(), expire_time.as_ref(), now);
    fields.draft(GrantPermission { principal, pattern, reach, place, resource, owner, window })
}

/// Which grants to revoke.
pub(super) fn grant_revocation(mut fields: Fields, request: pb::RevokePermissionRequest) -> Draft<RevokePermission> {
    use pb::revoke_permission_request::Scope as Asked;
    let pb::RevokePermissionRequest { entry, principal, pattern, scope, resource, owner, request_id: _ } = request;
    let owner = fields.optional_handle(Named::Principal, "owner", &owner);
    if let Some(entry) = fields.optional_id("entry", &entry) {
        if !principal.is_empty() || !pattern.is_empty() || scope.is_some() || resource.is_some() {
            fields.wrong("entry", "is given, and with it nothing else but an owner may be");
        }
        return fields.draft(RevokePermission { which: RevokedGrants::One(EntryId(entry)), owner });
    }
    let asked = scope.map(|scope| match scope {
        Asked::Organization(slug) => Asking::Organization(slug),
        Asked::RealmWide(said) => Asking::RealmWide(said),
    });
    let principal = fields.handle(Named::Principal, "principal", &principal);
    let pattern = fields.pattern("pattern", &pattern);
    let place = place(&mut fields, asked);
    let resource = fields.resource("resource", resource);
    if owner.is_some() && resource.is_none() {
        fields.wrong("owner", "is given, which needs a resource");
    }
    fields.draft(RevokePermission { which: RevokedGrants::Every { principal, pattern, place, resource }, owner })
}

/// Which assignments to list.
pub(super) fn list(request: pb::ListAssignmentsRequest) -> Result<ListEntries, Error> {
    use pb::list_assignments_request::Scope as Asked;
    let mut fields = Fields::default();
    let query = pb::ListAssignmentsRequest { page_size: 0, page_token: String::new(), ..request.clone() };
    let pb::ListAssignmentsRequest { principal, role, scope, resource, state, page_size, page_token } = request;
    let asked = scope.map(|scope| match scope {
        Asked::Organization(slug) => Asking::Organization(slug),
        Asked::RealmWide(said) => Asking::RealmWide(said),
    });
    let query = ListEntries {
        which: Which::Assignments { role: fields.optional_handle(Named::Role, "role", &role) },
        principal: fields.optional_handle(Named::Principal, "principal", &principal),
        place: asked.map(|asked| place(&mut fields, Some(asked))),
        resource: fields.resource("resource", resource),
        state: entry_state(&mut fields, state),
        page: fields.page(page_size, page_token, &query),
    };
    fields.finish(query)
}

/// Which grants to list.
pub(super) fn list_grants(request: pb::ListGrantsRequest) -> Result<ListEntries, Error> {
    use pb::list_grants_request::Scope as Asked;
    let mut fields = Fields::default();
    let query = pb::ListGrantsRequest { page_size: 0, page_token: String::new(), ..request.clone() };
    let pb::ListGrantsRequest { principal, pattern, scope, resource, state, page_size, page_token } = request;
    let asked = scope.map(|scope| match scope {
        Asked::Organization(slug) => Asking::Organization(slug),
        Asked::RealmWide(said) => Asking::RealmWide(said),
    });
    let pattern = none_if_empty(pattern).map(|pattern| fields.pattern("pattern", &pattern));
    let query = ListEntries {
        which: Which::Grants { pattern },
        principal: fields.optional_handle(Named::Principal, "principal", &principal),
        place: asked.map(|asked| place(&mut fields, Some(asked))),
        resource: fields.resource("resource", resource),
        state: entry_state(&mut fields, state),
        page: fields.page(page_size, page_token, &query),
    };
    fields.finish(query)
}

fn entry_state(fields: &mut Fields, state: i32) -> Option<EntryState> {
    match pb::EntryState::try_from(state) {
        Ok(pb::EntryState::Unspecified) => None,
        Ok(pb::EntryState::Active) => Some(EntryState::Active),
        Ok(pb::EntryState::NotYet) => Some(EntryState::NotYet),
        Ok(pb::EntryState::Expired) => Some(EntryState::Expired),
        Err(_) => {
            fields.wrong("state", format!("is {state}, which is no state"));
            None
        }
    }
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
        Some(Asking::Organization(handle)) => {
            Place::Organization(fields.handle(Named::Organization, "organization", &handle))
        }
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
