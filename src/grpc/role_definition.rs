//! What requests say of a role that is made or changed.

use super::convert::{Fields, NOTE_CHARS_MAX, TITLE_CHARS_MAX, none_if_empty};
use super::mask::Mask;
use super::pb;
use crate::app::{CreateRole, Draft, NewConditions, UpdateRole};
use crate::domain::catalogue::{Assignable, DefaultFor};
use crate::domain::handle::{Handle, Named, ROLE_NAME_CHARS_MAX, is_role_name};
use crate::domain::permission::{Pattern, Reach};

/// The most patterns, inclusions, topics and the like of one role.
const ITEMS_MAX: usize = 100;
/// The most attributes that a condition asks for: as many as a membership carries.
const ATTRIBUTES_MAX: usize = 32;
/// The longest name of an attribute, a product, a topic, a kind, a resource's type.
const WORD_BYTES_MAX: usize = 64;

/// A role, and what to write of it.
pub(super) fn redefinition(mut fields: Fields, request: pb::UpdateRoleRequest) -> Draft<UpdateRole> {
    const PATHS: [&str; 11] = [
        "name",
        "title",
        "description",
        "grants",
        "includes",
        "assignable",
        "restricted",
        "resource_type",
        "may_assign",
        "conditions",
        "topics",
    ];
    let pb::UpdateRoleRequest {
        role,
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
        update_mask,
        etag,
        request_id: _,
    } = request;
    let role = fields.handle(Named::Role, "role", &role);
    let mask = Mask::read(&mut fields, update_mask, |path| PATHS.contains(&path));
    let fields = &mut fields;
    let command = UpdateRole {
        role,
        name: mask.asks("name", !name.is_empty()).then(|| role_name(fields, &name)),
        title: mask.asks("title", !title.is_empty()).then(|| fields.text("title", &title, 0..=TITLE_CHARS_MAX)),
        description: mask
            .asks("description", !description.is_empty())
            .then(|| fields.text("description", &description, 0..=NOTE_CHARS_MAX)),
        grants: mask.asks("grants", !grants.is_empty()).then(|| patterns(fields, &grants)),
        includes: mask.asks("includes", !includes.is_empty()).then(|| handles(fields, "includes", &includes)),
        assignable: mask
            .asks("assignable", assignable.is_some())
            .then(|| assignable.map(|given| places(fields, given)).unwrap_or_default()),
        restricted: mask.asks("restricted", restricted).then_some(restricted),
        resource_type: mask
            .asks("resource_type", !resource_type.is_empty())
            .then(|| none_if_empty(resource_type).map(|kind| word(fields, "resource_type", &kind))),
        may_assign: mask.asks("may_assign", !may_assign.is_empty()).then(|| handles(fields, "may_assign", &may_assign)),
        conditions: mask
            .asks("conditions", conditions.is_some())
            .then(|| new_conditions(fields, conditions.unwrap_or_default())),
        topics: mask.asks("topics", !topics.is_empty()).then(|| taken_topics(fields, &topics)),
        etag: none_if_empty(etag),
    };
    std::mem::take(fields).draft(command)
}

fn new_conditions(fields: &mut Fields, given: pb::RoleConditionsSpec) -> NewConditions {
    let pb::RoleConditionsSpec { any_entitlement, attributes, roles } = given;
    NewConditions {
        any_entitlement: words(fields, "conditions.any_entitlement", &any_entitlement, ITEMS_MAX),
        attributes: words(fields, "conditions.attributes", &attributes, ATTRIBUTES_MAX),
        beside: handles(fields, "conditions.roles", &roles),
    }
}

/// A role to make.
pub(super) fn definition(fields: &mut Fields, request: pb::CreateRoleRequest) -> CreateRole {
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
    let NewConditions { any_entitlement, attributes, beside } = new_conditions(fields, conditions.unwrap_or_default());
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
        any_entitlement,
        attributes,
        beside,
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
    given.iter().enumerate().map(|(at, text)| fields.handle(Named::Role, &format!("{field}[{at}]"), text)).collect()
}

fn words(fields: &mut Fields, field: &str, given: &[String], most: usize) -> Vec<String> {
    few(fields, field, given.len(), most);
    given.iter().take(most).enumerate().map(|(at, text)| word(fields, &format!("{field}[{at}]"), text)).collect()
}

/// A name that the realm made up: lowercase letters, digits, `_` and `-`.
pub(super) fn word(fields: &mut Fields, field: &str, text: &str) -> String {
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
