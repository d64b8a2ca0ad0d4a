//! The reserved namespace: what the service's own calls need. Every realm's catalogue declares these.

/// A permission that the service itself declares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reserved {
    pub name: &'static str,
    pub title: &'static str,
}

const fn reserved(name: &'static str, title: &'static str) -> Reserved {
    Reserved { name, title }
}

/// The section of the product that reserved permissions are listed under.
pub const SECTION: &str = "Countersign";

/// Lets its holder ask for roles; the one reserved permission that does not protect whoever holds it.
pub const REQUESTS_CREATE: &str = "countersign.requests.create";
/// Lets a service grant a single resource on behalf of its owner.
pub const ACCESS_SHARE: &str = "countersign.access.share";
/// Waives the containment table for restricted roles.
pub const ROLES_ASSIGN_RESTRICTED: &str = "countersign.roles.assign_restricted";
/// Waives the containment table.
pub const ROLES_ESCALATE: &str = "countersign.roles.escalate";

/// Makes realms and switches them off; held by platform accounts alone.
pub const PLATFORM_REALMS: &str = "countersign.platform.realms";

/// What roles of a realm may confer.
pub const RESERVED: &[Reserved] = &[
    reserved("countersign.users.read", "Read users"),
    reserved("countersign.users.create", "Create, invite and import users"),
    reserved("countersign.users.approve", "Approve and reject registrations"),
    reserved("countersign.users.update", "Update users and memberships"),
    reserved("countersign.users.verify_email", "Mark e-mail addresses verified"),
    reserved("countersign.users.change_email", "Change e-mail addresses"),
    reserved("countersign.users.suspend", "Suspend and reinstate users"),
    reserved("countersign.users.block", "Block and unblock users"),
    reserved("countersign.users.delete", "Delete users"),
    reserved("countersign.users.restore", "Restore deleted users"),
    reserved("countersign.users.clear_tombstone", "Free the address of a deleted user"),
    reserved("countersign.users.set_manager", "Set managers"),
    reserved("countersign.users.reset_password", "Send password resets"),
    reserved("countersign.users.end_sessions", "List and end sessions"),
    reserved("countersign.users.impersonate", "Act as users"),
    reserved("countersign.users.diagnose", "Diagnose why users can't get in"),
    reserved("countersign.organizations.read", "Read organizations"),
    reserved("countersign.organizations.create", "Create organizations"),
    reserved("countersign.organizations.update", "Update organizations"),
    reserved("countersign.organizations.identify", "Set identifiers of organizations"),
    reserved("countersign.organizations.contacts", "Set contacts of organizations"),
    reserved("countersign.organizations.suspend", "Suspend and reinstate organizations"),
    reserved("countersign.organizations.entitle", "Set entitlements of organizations"),
    reserved("countersign.organizations.add_members", "Add members"),
    reserved("countersign.organizations.remove_members", "Remove members"),
    reserved("countersign.roles.read", "Read roles, permissions and exclusions"),
    reserved("countersign.roles.define", "Define roles, permissions and exclusions"),
    reserved("countersign.roles.assign", "Assign and revoke roles"),
    reserved("countersign.roles.grant", "Grant and revoke single permissions"),
    reserved(ROLES_ASSIGN_RESTRICTED, "Assign and revoke restricted roles"),
    reserved(ROLES_ESCALATE, "Confer what one does not hold"),
    reserved("countersign.access.check", "Ask for decisions and introspect tokens"),
    reserved("countersign.access.explain", "Ask why a decision is what it is"),
    reserved("countersign.access.list", "List effective permissions, organizations, principals and recipients"),
    reserved("countersign.access.watch", "Follow the change stream"),
    reserved(ACCESS_SHARE, "Share single resources on behalf of their owners"),
    reserved(REQUESTS_CREATE, "Request access"),
    reserved("countersign.requests.decide", "Decide access requests"),
    reserved("countersign.audit.read", "Read, export and verify the audit log"),
    reserved("countersign.mail.manage", "List and retry messages"),
    reserved("countersign.service_accounts.manage", "Manage service accounts and their keys"),
    reserved("countersign.realm.configure", "Configure the realm and apply blueprints"),
];

/// What platform accounts alone hold; no pattern covers these.
pub const PLATFORM: &[Reserved] = &[
    reserved(PLATFORM_REALMS, "Create and list realms"),
    reserved("countersign.platform.operate", "Operate in any realm"),
];

/// Whether a name or pattern lies in the reserved namespace.
#[must_use]
pub fn is_reserved(text: &str) -> bool {
    at_or_below(text, "countersign")
}

/// Whether a name or pattern lies at or below `countersign.platform`.
#[must_use]
pub fn is_platform(text: &str) -> bool {
    at_or_below(text, "countersign.platform")
}

fn at_or_below(text: &str, top: &str) -> bool {
    text.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::PermissionName;
    use super::*;

    #[test]
    fn the_table_has_valid_names_each_once() {
        let names: Vec<_> = RESERVED.iter().chain(PLATFORM).map(|row| row.name).collect();
        assert!(names.iter().all(|name| PermissionName::parse(name).unwrap().is_reserved()));
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
        assert!(RESERVED.iter().all(|row| !is_platform(row.name)));
        assert!(PLATFORM.iter().all(|row| is_platform(row.name)));
    }

    #[test]
    fn a_namesake_is_not_reserved() {
        assert!(!is_reserved("countersignature.read"));
        assert!(!is_reserved("countersign-x.read"));
        assert!(!is_platform("countersign.platforms.read"));
    }
}
