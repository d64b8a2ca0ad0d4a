//! Entries on the wire: what assignments, grants and explanations show.

use super::convert::{instant, principal, reach};
use super::pb::{self, entry};
use crate::app::EntryView;
use crate::domain::entry::{EntryRow, Origin};
use crate::domain::snapshot::{Confers, Entry, Resource, Scope};

/// An entry with the names of what it refers to.
pub(super) fn shown(view: EntryView) -> pb::Entry {
    let EntryView { row, principal: whose, assigned_by: by, role, slug } = view;
    let EntryRow { principal: id, entry, assigned_by, assigned_at, origin } = row;
    let Entry { id: entry_id, confers, scope, resource, window } = entry;
    let conferred = match confers {
        Confers::Role(id) => entry::Conferred::Role(pb::RoleRef { id: id.to_string(), name: role.unwrap_or_default() }),
        Confers::Grant { pattern, reach: at } => {
            // A resource is its own reach.
            let reach = if resource.is_some() { pb::Reach::Unspecified } else { reach(at) };
            entry::Conferred::Grant(pb::PatternGrant { pattern: pattern.to_string(), reach: reach.into() })
        }
    };
    let scope = match scope {
        Scope::Realm => entry::Scope::RealmWide(true),
        Scope::Organization(id) => {
            entry::Scope::Organization(pb::OrganizationRef { id: id.to_string(), slug: slug.unwrap_or_default() })
        }
    };
    pb::Entry {
        id: entry_id.to_string(),
        principal: Some(principal(id, whose.as_ref())),
        conferred: Some(conferred),
        scope: Some(scope),
        resource: resource.map(|resource| {
            let Resource { kind, id } = *resource;
            pb::Resource { r#type: kind, id }
        }),
        not_before: window.not_before().map(instant),
        expire_time: window.expires_at().map(instant),
        source: source(origin).into(),
        created_by: assigned_by.map(|id| principal(id, by.as_ref())),
        create_time: Some(instant(assigned_at)),
    }
}

fn source(origin: Origin) -> pb::EntrySource {
    match origin {
        Origin::Actor => pb::EntrySource::Actor,
        Origin::Default => pb::EntrySource::Default,
        Origin::Founding => pb::EntrySource::Founding,
        Origin::Bootstrap => pb::EntrySource::Bootstrap,
    }
}
