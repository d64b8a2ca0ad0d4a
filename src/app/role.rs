//! Defining roles.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::error::{Error, Result, Violation};
use super::facts::Facts;
use super::guard::permissions;
use super::permission::{require_room, undeclared};
use super::user::find_role;
use super::write::{Change, Done, taken};
use super::{App, Ctx, Draft, Reason};
use crate::domain::assignment::passed_on;
use crate::domain::catalogue::{Assignable, Catalogue, Conditions, DefaultFor, ROLES_MAX, Role, RoleRow};
use crate::domain::event::Event;
use crate::domain::handle::Handle;
use crate::domain::ids::RoleId;
use crate::domain::permission::{Pattern, Reach};
use crate::domain::snapshot::{Confers, Scope};
use crate::domain::time::Timestamp;
use crate::store::{self, Constraint};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CreateRole {
    pub name: String,
    pub title: String,
    pub description: String,
    pub grants: Vec<(Pattern, Reach)>,
    pub includes: Vec<Handle>,
    pub assignable: Assignable,
    pub restricted: bool,
    pub resource_type: Option<String>,
    /// May name the role itself.
    pub may_assign: Vec<Handle>,
    pub any_entitlement: Vec<String>,
    pub attributes: Vec<String>,
    pub beside: Vec<Handle>,
    pub topics: Vec<(String, Reach)>,
}

/// A role with the names of those that it refers to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RoleView {
    pub role: Role,
    /// It says so, or includes a role that is.
    pub restricted: bool,
    pub names: BTreeMap<RoleId, String>,
    pub created_at: Timestamp,
    pub etag: String,
}

impl App {
    /// Creates a role. It gives nobody anything until it is assigned, unless the realm's policy confers it.
    ///
    /// # Errors
    /// INVALID_FIELDS, also for what names no kind or topic of the realm; PERMISSION_UNDECLARED; the nearest miss; NOT_FOUND for a role;
    /// ROLE_CYCLE, LIMIT_REACHED, ALREADY_EXISTS; NOT_CONTAINED and ROLE_RESTRICTED for what it would let be given.
    pub async fn create_role(&self, ctx: &Ctx, draft: &Draft<CreateRole>) -> Result<Done<RoleView>> {
        self.write(ctx, async |change: &mut Change<'_>| {
            let catalogue = change.catalogue();
            let cmd = draft.sound(unknown(catalogue, draft.said()))?;
            change.guard().await?.require(permissions::DEFINE, None, None).await?;
            let role = defined(catalogue, cmd, RoleId(self.clock.new_id()))?;
            require_room("roles", catalogue.roles().count(), ROLES_MAX)?;
            if catalogue.would_cycle(role.id, &role.includes) {
                return Err(Error::refused(Reason::RoleCycle, "a role would include itself"));
            }
            change.require_may_define(&role).await?;
            require_free_name(catalogue, &role)?;
            taken(change.rows().insert_role(&role, change.ctx.now).await, Constraint::RoleName, "name", &role.name)?;
            change.record(Event::RoleCreated { role: role.id, name: role.name.clone() });
            let row = RoleRow { role, created_at: change.ctx.now, version: 1 };
            Ok(view(change.catalogue(), row))
        })
        .await
    }
}

impl Change<'_> {
    /// What a definition confers by itself: the right to pass roles on, and, where the policy gives the role, all of it.
    /// Who may assign restricted roles needs nothing of what those confer: whoever makes one does.
    async fn require_may_define(&self, role: &Role) -> Result<()> {
        let catalogue = self.catalogue();
        match is_restricted(catalogue, role) {
            true => self.require_contained_realm_wide(&role.grants, &role.includes).await?,
            false => self.require_no_laundering(role).await?,
        }
        let founding = catalogue.policy.founding_role.as_deref() == Some(&*role.name);
        let by_policy = role.assignable.default != DefaultFor::No || founding;
        let mut named: BTreeSet<RoleId> = role.may_assign.iter().copied().collect();
        if by_policy || named.contains(&role.id) {
            self.require_holding(role).await?;
        }
        named.extend(passed_on(catalogue, &role.may_assign));
        if by_policy {
            named.extend(passed_on(catalogue, &role.includes));
        }
        named.remove(&role.id);
        self.require_may_pass_on(named, Scope::Realm, None).await
    }

    /// Rule 3, realm-wide, for a role that is being written.
    async fn require_holding(&self, role: &Role) -> Result<()> {
        if is_restricted(self.catalogue(), role) {
            self.guard().await?.require(permissions::ASSIGN_RESTRICTED, None, None).await?;
        }
        self.require_contained_realm_wide(&role.grants, &role.includes).await
    }

    /// What only restricted roles confer stays so: an open role carries it by who may assign those.
    ///
    /// # Errors
    /// ROLE_RESTRICTED.
    pub(super) async fn require_no_laundering(&self, role: &Role) -> Result<()> {
        let catalogue = self.catalogue();
        let included = role.includes.iter().flat_map(|included| catalogue.with_included(*included));
        let grants = included.chain([role]).flat_map(|role| &role.grants);
        self.require_all_unrestricted(grants.map(|(pattern, _)| pattern), Scope::Realm).await
    }

    /// The containment table, realm-wide, for what is conferred on whomever.
    pub(super) async fn require_contained_realm_wide(
        &self,
        grants: &[(Pattern, Reach)],
        roles: &[RoleId],
    ) -> Result<()> {
        let mut guard = self.guard().await?;
        let own = grants.iter().map(|(pattern, reach)| Confers::Grant { pattern: pattern.clone(), reach: *reach });
        // Nobody leads themself: no team makes up for reach.
        let nobody_led = guard.actor.principal().id;
        for confers in own.chain(roles.iter().map(|role| Confers::Role(*role))) {
            guard.require_contained(&confers, Scope::Realm, false, None, nobody_led).await?;
        }
        Ok(())
    }
}

/// Requires that no other role has the name, in whatever case.
///
/// # Errors
/// ALREADY_EXISTS.
pub(super) fn require_free_name(catalogue: &Catalogue, role: &Role) -> Result<()> {
    match catalogue.role_named(&role.name).filter(|named| named.id != role.id) {
        Some(_) => taken(Err(store::Error::Conflict(Constraint::RoleName)), Constraint::RoleName, "name", &role.name),
        None => Ok(()),
    }
}

/// The role that a command describes.
fn defined(catalogue: &Catalogue, cmd: &CreateRole, id: RoleId) -> Result<Role> {
    let named = |field: &str, handles: &[Handle]| named(catalogue, (&cmd.name, id), field, handles);
    Ok(Role {
        id,
        name: cmd.name.clone(),
        title: cmd.title.clone(),
        description: cmd.description.clone(),
        grants: cmd.grants.clone(),
        includes: named("includes", &cmd.includes)?,
        assignable: cmd.assignable.clone(),
        restricted: cmd.restricted,
        resource_type: cmd.resource_type.clone(),
        may_assign: named("may_assign", &cmd.may_assign)?,
        conditions: Conditions {
            any_entitlement: cmd.any_entitlement.clone(),
            attributes: cmd.attributes.clone(),
            roles: named("conditions.roles", &cmd.beside)?,
        },
        topics: cmd.topics.clone(),
    })
}

/// The roles of these handles; the role that is being written, as which it goes by its own new name.
pub(super) fn named(
    catalogue: &Catalogue,
    (own_name, own_id): (&str, RoleId),
    field: &str,
    handles: &[Handle],
) -> Result<Vec<RoleId>> {
    let one = |(at, handle): (usize, &Handle)| match handle {
        Handle::Natural(name) if *name == own_name => Ok(own_id),
        handle => find_role(catalogue, handle).ok_or_else(|| Error::not_found(&format!("{field}[{at}]"))),
    };
    handles.iter().enumerate().map(one).collect()
}

/// The patterns, kinds and topics of a new role that are not the realm's.
fn unknown(catalogue: &Catalogue, role: &CreateRole) -> Vec<Violation> {
    strange(catalogue, &role.grants, &role.assignable, &role.topics)
}

/// The patterns, kinds and topics that are not the realm's.
pub(super) fn strange(
    catalogue: &Catalogue,
    grants: &[(Pattern, Reach)],
    assignable: &Assignable,
    topics: &[(String, Reach)],
) -> Vec<Violation> {
    let undeclared = |(at, (pattern, _)): (usize, &(Pattern, Reach))| {
        undeclared(catalogue, &format!("grants[{at}].pattern"), pattern)
    };
    let mut violations: Vec<_> = grants.iter().enumerate().filter_map(undeclared).collect();
    let policy = &catalogue.policy;
    let unknown = |field: String, what: &str, given: &str, known: Vec<&str>| {
        Violation::new(field, format!("is {given:?}, which is no {what} of the realm: {}", known.join(", ")))
    };
    let kinds = |field: &str, given: &[String]| {
        let known: Vec<_> = policy.kinds.iter().map(|kind| &*kind.name).collect();
        let missing = given.iter().enumerate().filter(|(_, kind)| policy.kind(kind).is_none());
        missing.map(|(at, kind)| unknown(format!("{field}[{at}]"), "kind", kind, known.clone())).collect::<Vec<_>>()
    };
    violations.extend(kinds("assignable.kinds", &assignable.kinds));
    if let DefaultFor::Kinds(given) = &assignable.default {
        violations.extend(kinds("assignable.default_kinds", given));
    }
    let known: Vec<_> = policy.topics.iter().map(|topic| &*topic.name).collect();
    for (at, (topic, _)) in topics.iter().enumerate().filter(|(_, (topic, _))| !known.contains(&&**topic)) {
        violations.push(unknown(format!("topics[{at}].topic"), "topic", topic, known.clone()));
    }
    violations
}

pub(super) fn is_restricted(catalogue: &Catalogue, role: &Role) -> bool {
    role.restricted || role.includes.iter().any(|included| catalogue.role_is_restricted(*included))
}

/// A role with the names of those that it refers to.
pub(super) fn view(catalogue: &Catalogue, row: RoleRow) -> RoleView {
    let etag = row.etag();
    let RoleRow { role, created_at, version: _ } = row;
    let referred = role.includes.iter().chain(&role.may_assign).chain(&role.conditions.roles);
    let named = referred.filter_map(|id| catalogue.role(*id)).chain([&role]);
    let names = named.map(|role| (role.id, role.name.clone())).collect();
    RoleView { restricted: is_restricted(catalogue, &role), names, created_at, etag, role }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::catalogue::{CatalogueSource, Permission};
    use crate::domain::ids::{RealmId, Revision};
    use crate::domain::permission::PermissionName;
    use crate::domain::policy::Policy;

    fn catalogue() -> Catalogue {
        let name = PermissionName::parse("orders.ship").unwrap();
        let ship = Permission { name, title: String::new(), section: String::new(), protected: false, retired: false };
        Catalogue::compile(CatalogueSource {
            realm: RealmId(uuid::Uuid::nil()),
            realm_name: "realm".into(),
            suspended: false,
            as_of: Revision(1),
            policy: Arc::new(Policy::default()),
            permissions: vec![ship],
            roles: vec![],
            exclusions: vec![],
        })
    }

    fn command() -> CreateRole {
        CreateRole {
            name: "clerk".into(),
            title: "Clerk".into(),
            description: String::new(),
            grants: vec![],
            includes: vec![],
            assignable: Assignable::default(),
            restricted: false,
            resource_type: None,
            may_assign: vec![],
            any_entitlement: vec![],
            attributes: vec![],
            beside: vec![],
            topics: vec![],
        }
    }

    #[test]
    fn everything_that_the_realm_does_not_have_is_named_at_once() {
        let pattern = |text| (Pattern::parse(text).unwrap(), Reach::All);
        let mut cmd = command();
        cmd.grants = vec![pattern("orders.*"), pattern("orders.shop")];
        cmd.assignable.kinds = vec!["company".into(), "brand".into()];
        cmd.topics = vec![("weather".into(), Reach::All)];
        let violations = unknown(&catalogue(), &cmd);
        let fields: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields, ["grants[1].pattern", "assignable.kinds[1]", "topics[0].topic"]);
        assert_eq!(violations[0].reason, Some(Reason::PermissionUndeclared));
        assert!(violations[0].description.contains("\"orders.ship\""), "{}", violations[0].description);
    }

    #[test]
    fn a_role_may_name_itself_as_one_to_pass_on() {
        let id = RoleId(uuid::Uuid::from_u128(1));
        let mut cmd = command();
        cmd.may_assign = vec![Handle::parse("clerk")];
        assert_eq!(defined(&catalogue(), &cmd, id).unwrap().may_assign, [id]);
        cmd.includes = vec![Handle::parse("nobody")];
        assert_eq!(defined(&catalogue(), &cmd, id).unwrap_err().reason(), Reason::NotFound);
    }
}
