//! Changing roles, and deleting them: what that gives to those who hold one, and what it takes from them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::conferral::restricted;
use super::error::{Error, Result};
use super::facts::Facts;
use super::guard::permissions;
use super::role::{RoleView, is_restricted, named, require_free_name, strange, view};
use super::user::{check_etag, find_role};
use super::write::{Change, Done, taken};
use super::{App, Ctx, Draft, Reason, Violation};
use crate::domain::assignment::passed_on;
use crate::domain::catalogue::{Assignable, Catalogue, Conditions, DefaultFor, Role, RoleRow};
use crate::domain::event::Event;
use crate::domain::handle::Handle;
use crate::domain::ids::RoleId;
use crate::domain::permission::{Pattern, Reach};
use crate::domain::policy_rules::unfit_for_founders;
use crate::domain::snapshot::Scope;
use crate::store::{Constraint, Forbidden};

/// So many of what stands in the way are counted, or named.
const COUNTED: u64 = 1_000;
const NAMED: usize = 100;

/// What to write of a role; what is absent stays.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UpdateRole {
    pub role: Handle,
    pub name: Option<String>,
    /// Empty = the name.
    pub title: Option<String>,
    pub description: Option<String>,
    pub grants: Option<Vec<(Pattern, Reach)>>,
    pub includes: Option<Vec<Handle>>,
    pub assignable: Option<Assignable>,
    pub restricted: Option<bool>,
    pub resource_type: Option<Option<String>>,
    /// May name the role itself.
    pub may_assign: Option<Vec<Handle>>,
    pub conditions: Option<NewConditions>,
    pub topics: Option<Vec<(String, Reach)>>,
    pub etag: Option<String>,
}

/// The conditions of a role, as a caller names them.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct NewConditions {
    pub any_entitlement: Vec<String>,
    pub attributes: Vec<String>,
    pub beside: Vec<Handle>,
}

impl App {
    /// Changes a role for all who hold it.
    ///
    /// # Errors
    /// INVALID_FIELDS, also for what names no kind or topic of the realm; PERMISSION_UNDECLARED; the nearest miss;
    /// NOT_FOUND; NOT_CONTAINED, ROLE_RESTRICTED; ETAG_MISMATCH; ROLE_CYCLE, ROLE_IN_USE, POLICY_IMPOSSIBLE;
    /// ALREADY_EXISTS.
    pub async fn update_role(&self, ctx: &Ctx, draft: &Draft<UpdateRole>) -> Result<Done<RoleView>> {
        self.write(ctx, async |change: &mut Change<'_>| {
            let cmd = draft.sound(unknown(change.catalogue(), draft.said()))?;
            let mut row = change.role_to_change(&cmd.role).await?;
            let before = row.role.clone();
            row.role = redefined(change.catalogue(), &before, cmd)?;
            let rewrite = Redefinition { before: &before, after: &row.role };
            require_unbound_default(&row.role)?;
            let all = rewrite.is_about_all(change.catalogue());
            change.require_may_redefine(&rewrite, all).await?;
            check_etag(cmd.etag.as_deref(), &row.etag())?;
            change.require_redefinable(&rewrite).await?;
            if rewrite.differs(|role| &role.name) {
                require_free_name(change.catalogue(), &row.role)?;
            }
            let changes = rewrite.changes()?;
            if !changes.is_empty() {
                row.version += 1;
                taken(change.rows().update_role(&row).await, Constraint::RoleName, "name", &row.role.name)?;
                change.record(Event::RoleUpdated { role: row.role.id, changes });
            }
            Ok(view(change.catalogue(), row))
        })
        .await
    }

    /// Deletes a role. What was assigned confers nothing from now on.
    ///
    /// # Errors
    /// The nearest miss; NOT_FOUND; NOT_CONTAINED, ROLE_RESTRICTED: taking it from everybody needs what giving it needs;
    /// ETAG_MISMATCH; ROLE_IN_USE.
    pub async fn delete_role(&self, ctx: &Ctx, role: &Handle, etag: Option<&str>) -> Result<Done<()>> {
        self.write(ctx, async |change: &mut Change<'_>| {
            if change.is_repeated() {
                return change.guard().await?.require(permissions::DEFINE, None, None).await;
            }
            let row = change.role_to_change(role).await?;
            change.require_may_take_from_all(&row.role).await?;
            check_etag(etag, &row.etag())?;
            require_unnamed(change.catalogue(), &row.role)?;
            change.rows().delete_role(&row, change.ctx.now).await?;
            change.record(Event::RoleDeleted { role: row.role.id, name: row.role.name });
            Ok(())
        })
        .await
    }
}

/// A role as it is, and as it is to be.
struct Redefinition<'a> {
    before: &'a Role,
    after: &'a Role,
}

impl Redefinition<'_> {
    fn differs<T: PartialEq>(&self, part: impl Fn(&Role) -> &T) -> bool {
        part(self.before) != part(self.after)
    }

    /// The patterns that come or go.
    fn grants(&self) -> Vec<(Pattern, Reach)> {
        let (before, after): (BTreeSet<_>, BTreeSet<_>) =
            (self.before.grants.iter().collect(), self.after.grants.iter().collect());
        before.symmetric_difference(&after).map(|grant| (*grant).clone()).collect()
    }

    /// The roles that come or go, of those of a list.
    fn roles(&self, list: impl Fn(&Role) -> &Vec<RoleId>) -> BTreeSet<RoleId> {
        let (before, after): (BTreeSet<_>, BTreeSet<_>) =
            (list(self.before).iter().copied().collect(), list(self.after).iter().copied().collect());
        before.symmetric_difference(&after).copied().collect()
    }

    /// Whether all of the role is given or taken, since it changes where, to whom, by whom or on what condition it confers.
    fn is_about_all(&self, catalogue: &Catalogue) -> bool {
        self.differs(|role| &role.assignable)
            || self.differs(|role| &role.conditions)
            || self.differs(|role| &role.resource_type)
            || is_restricted(catalogue, self.before) != is_restricted(catalogue, self.after)
            || self.roles(|role| &role.may_assign).contains(&self.after.id)
    }

    /// What is different, by field.
    fn changes(&self) -> Result<BTreeMap<String, (Value, Value)>> {
        let document = |role: &Role| serde_json::to_value(role).map_err(Error::internal);
        let (Value::Object(before), Value::Object(after)) = (document(self.before)?, document(self.after)?) else {
            return Err(Error::internal("a role is no document"));
        };
        let field = |(name, after): (String, Value)| {
            let before = before.get(&name).cloned().unwrap_or_default();
            (before != after).then_some((name, (before, after)))
        };
        Ok(after.into_iter().filter_map(field).collect())
    }
}

impl Change<'_> {
    /// The role that a call changes, once it may change roles at all.
    async fn role_to_change(&self, role: &Handle) -> Result<RoleRow> {
        self.guard().await?.require(permissions::DEFINE, None, None).await?;
        let unknown = || Error::not_found("role");
        let role = find_role(self.catalogue(), role).ok_or_else(unknown)?;
        self.rows().role_rows(&[role]).await?.pop().ok_or_else(unknown)
    }

    /// Rule 3 for a definition: what holders gain or lose by it is the actor's to give to anybody, realm-wide, whoever holds
    /// the role now; and so is every role that they may pass on from now on, or no longer. `all`: it is about all of the
    /// role, and not about what differs alone.
    async fn require_may_redefine(&self, rewrite: &Redefinition<'_>, all: bool) -> Result<()> {
        let Redefinition { before, after } = rewrite;
        let catalogue = self.catalogue();
        let (grants, includes, mut passed) = match all {
            true => {
                let both = [before, after];
                let grants: BTreeSet<_> = both.iter().flat_map(|role| role.grants.clone()).collect();
                let includes: BTreeSet<_> = both.iter().flat_map(|role| role.includes.clone()).collect();
                let passed: BTreeSet<_> = both.iter().flat_map(|role| role.may_assign.clone()).collect();
                (grants.into_iter().collect(), includes, passed)
            }
            false => (rewrite.grants(), rewrite.roles(|role| &role.includes), rewrite.roles(|role| &role.may_assign)),
        };
        if !(all || !grants.is_empty() || !includes.is_empty() || !passed.is_empty()) {
            return Ok(());
        }
        let includes: Vec<_> = includes.into_iter().collect();
        self.require_may_restrict(rewrite).await?;
        self.require_contained_realm_wide(&grants, &includes).await?;
        let named: Vec<_> = passed.iter().copied().chain(includes).collect();
        passed.extend(passed_on(catalogue, &named));
        passed.remove(&before.id);
        self.require_may_pass_on(passed, Scope::Realm, None).await
    }

    /// What is restricted, or comes to be, or no longer is, changes by who may assign it. The waiver of the containment
    /// table that comes with a restriction is for what was contained when it was restricted: where the restriction of a
    /// role comes or goes, so does that of every role that includes it. An open role takes on nothing that only restricted
    /// ones confer.
    ///
    /// # Errors
    /// ROLE_RESTRICTED, NOT_CONTAINED.
    async fn require_may_restrict(&self, rewrite: &Redefinition<'_>) -> Result<()> {
        let Redefinition { before, after } = rewrite;
        let catalogue = self.catalogue();
        let (was, is) = (is_restricted(catalogue, before), is_restricted(catalogue, after));
        if was || is {
            self.require_may_assign_restricted(before).await?;
        }
        if was != is {
            let including: Vec<_> = catalogue.including(before.id).map(|role| role.id).collect();
            self.require_contained_realm_wide(&[], &including).await?;
        }
        let carries_more = rewrite.differs(|role| &role.grants)
            || rewrite.differs(|role| &role.includes)
            || rewrite.differs(|role| &role.assignable);
        if !is && carries_more { self.require_no_laundering(after).await } else { Ok(()) }
    }

    /// Deleting a role takes it from everybody: by who could revoke it of each.
    async fn require_may_take_from_all(&self, role: &Role) -> Result<()> {
        if !is_restricted(self.catalogue(), role) {
            return self.require_may_redefine(&Redefinition { before: role, after: &role.emptied() }, true).await;
        }
        self.require_may_assign_restricted(role).await?;
        let mut passed = passed_on(self.catalogue(), &[role.id]);
        passed.remove(&role.id);
        self.require_may_pass_on(passed, Scope::Realm, None).await
    }

    async fn require_may_assign_restricted(&self, role: &Role) -> Result<()> {
        let may = self.guard().await?.allows(permissions::ASSIGN_RESTRICTED, None, None).await?;
        if may { Ok(()) } else { Err(restricted(Some(role))) }
    }

    /// Requires that what is there goes along with the new definition.
    async fn require_redefinable(&self, rewrite: &Redefinition<'_>) -> Result<()> {
        let Redefinition { before, after } = rewrite;
        if self.catalogue().would_cycle(after.id, &after.includes) {
            return Err(Error::refused(Reason::RoleCycle, "the role would include itself"));
        }
        let policy = &self.catalogue().policy;
        let founds = policy.founding_role.as_deref() == Some(&*before.name);
        let mut in_use = self.forbidden(rewrite).await?;
        if founds && rewrite.differs(|role| &role.name) {
            let why = format!("the policy names {} as the founding role", before.name);
            in_use.push(("policy.founding_role".to_owned(), why));
        }
        if !in_use.is_empty() {
            return Err(Error::refused_for_each(Reason::RoleInUse, in_use));
        }
        let unfit = if founds { unfit_for_founders(policy, after) } else { vec![] };
        if unfit.is_empty() {
            return Ok(());
        }
        let named = unfit.iter().map(|unfit| (unfit.setting().to_owned(), unfit.to_string())).collect();
        Err(Error::refused_for_each(Reason::PolicyImpossible, named))
    }

    /// What is assigned in a way that the new definition does not allow. Kinds are not asked: an assignment in an
    /// organization of another kind confers nothing, at each check anew.
    async fn forbidden(&self, rewrite: &Redefinition<'_>) -> Result<Vec<(String, String)>> {
        let Redefinition { before, after } = rewrite;
        let loses = |scope: fn(&Role) -> bool| scope(before) && !scope(after);
        let mut asked = vec![];
        if loses(|role| role.assignable.organization) {
            asked.push(("assignable", "in organizations", Forbidden::InOrganizations));
        }
        if loses(|role| role.assignable.realm) {
            asked.push(("assignable", "realm-wide", Forbidden::RealmWide));
        }
        if let Some(kind) = after.resource_type.as_ref().filter(|_| rewrite.differs(|role| &role.resource_type)) {
            asked.push(("resource_type", "without such a resource", Forbidden::WithoutResource(kind.clone())));
        }
        let mut found = vec![];
        for (field, how, which) in asked {
            let count = self.rows().count_forbidden(before.id, &which, self.ctx.now, COUNTED).await?;
            let many = if count == COUNTED { " or more" } else { "" };
            if count > 0 {
                found.push((field.to_owned(), format!("{count}{many} assignments are {how}")));
            }
        }
        Ok(found)
    }
}

/// The role that a command makes of another one.
fn redefined(catalogue: &Catalogue, before: &Role, cmd: &UpdateRole) -> Result<Role> {
    let UpdateRole {
        role: _,
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
        etag: _,
    } = cmd;
    let name = name.as_ref().unwrap_or(&before.name);
    let roles = |field: &str, handles: &Option<Vec<Handle>>, before: &Vec<RoleId>, id: RoleId| match handles {
        Some(handles) => named(catalogue, (name, id), field, handles),
        None => Ok(before.clone()),
    };
    let conditions = match conditions {
        None => before.conditions.clone(),
        Some(NewConditions { any_entitlement, attributes, beside }) => Conditions {
            any_entitlement: any_entitlement.clone(),
            attributes: attributes.clone(),
            roles: named(catalogue, (name, before.id), "conditions.roles", beside)?,
        },
    };
    Ok(Role {
        id: before.id,
        name: name.clone(),
        title: title.as_ref().map_or(&before.title, |title| if title.is_empty() { name } else { title }).clone(),
        description: description.as_ref().unwrap_or(&before.description).clone(),
        grants: grants.as_ref().unwrap_or(&before.grants).clone(),
        includes: roles("includes", includes, &before.includes, before.id)?,
        assignable: assignable.as_ref().unwrap_or(&before.assignable).clone(),
        restricted: restricted.unwrap_or(before.restricted),
        resource_type: resource_type.as_ref().unwrap_or(&before.resource_type).clone(),
        may_assign: roles("may_assign", may_assign, &before.may_assign, before.id)?,
        conditions,
        topics: topics.as_ref().unwrap_or(&before.topics).clone(),
    })
}

/// What is to be written and is not the realm's. What the realm has lost since a role was written may stay in it.
fn unknown(catalogue: &Catalogue, said: &UpdateRole) -> Vec<Violation> {
    let nowhere = Assignable::default();
    let grants = said.grants.as_deref().unwrap_or_default();
    let topics = said.topics.as_deref().unwrap_or_default();
    strange(catalogue, grants, said.assignable.as_ref().unwrap_or(&nowhere), topics)
}

/// A role that comes with a membership names no resource.
fn require_unbound_default(role: &Role) -> Result<()> {
    if role.resource_type.is_some() && role.assignable.default != DefaultFor::No {
        let why = "is given, and a role that comes with a membership names no resource";
        return Err(Error::field("resource_type", why));
    }
    Ok(())
}

/// Requires that nothing else names the role.
fn require_unnamed(catalogue: &Catalogue, gone: &Role) -> Result<()> {
    let mut naming = vec![];
    for other in catalogue.roles().filter(|other| other.id != gone.id) {
        let lists = [
            ("includes", &other.includes),
            ("may_assign", &other.may_assign),
            ("conditions.roles", &other.conditions.roles),
        ];
        for (list, _) in lists.iter().filter(|(_, list)| list.contains(&gone.id)) {
            naming.push((format!("roles/{}", other.name), format!("the role {} names it in {list}", other.name)));
        }
    }
    for exclusion in catalogue.exclusions.iter().filter(|exclusion| exclusion.roles.contains(&gone.id)) {
        naming.push((format!("exclusions/{}", exclusion.name), format!("the exclusion {} names it", exclusion.name)));
    }
    if catalogue.policy.founding_role.as_deref() == Some(&*gone.name) {
        naming.push(("policy.founding_role".to_owned(), "the policy names it as the founding role".to_owned()));
    }
    naming.truncate(NAMED);
    if naming.is_empty() { Ok(()) } else { Err(Error::refused_for_each(Reason::RoleInUse, naming)) }
}
