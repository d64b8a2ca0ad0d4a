//! The permission catalogue: declaring, retiring and listing what checks ask for.

use serde::{Deserialize, Serialize};

use super::error::{Error, Result, Violation};
use super::facts::Facts;
use super::guard::permissions;
use super::paging::{Listing, Page, Paging, Weighed};
use super::read::again;
use super::write::{Change, Done};
use super::{App, Ctx, Reason, Record};
use crate::cache::{Freshness, View};
use crate::domain::catalogue::{Catalogue, PERMISSIONS_MAX, Permission};
use crate::domain::event::Event;
use crate::domain::permission::reserved::is_platform;
use crate::domain::permission::{Pattern, PermissionName};
use crate::domain::policy_rules::Contradiction;
use crate::domain::time::Timestamp;
use crate::store::ReadRows;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeclarePermission {
    pub name: PermissionName,
    pub title: String,
    pub section: String,
    pub protected: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListPermissions {
    /// Part of the name.
    pub name: String,
    pub section: Option<String>,
    pub retired: Option<bool>,
    pub page: Paging,
}

/// A declared permission.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PermissionView {
    pub permission: Permission,
    /// Absent for what the service itself declares.
    pub declared_at: Option<Timestamp>,
}

impl App {
    /// Declares a permission, or declares it otherwise. A retired one counts again.
    ///
    /// # Errors
    /// The nearest miss; LIMIT_REACHED.
    pub async fn declare_permission(&self, ctx: &Ctx, cmd: &DeclarePermission) -> Result<Done<PermissionView>> {
        let DeclarePermission { name, title, section, protected } = cmd.clone();
        let wanted = Permission { name, title, section, protected, retired: false };
        self.write(ctx, async |change: &mut Change<'_>| {
            change.guard().await?.require(permissions::DEFINE, None, None).await?;
            let known = change.rows().permission(&wanted.name).await?;
            let declared_at = known.as_ref().map_or(change.ctx.now, |(_, declared_at)| *declared_at);
            if known.as_ref().is_none_or(|(known, _)| *known != wanted) {
                if known.is_none() {
                    let own = |name: &PermissionName| !name.is_reserved();
                    let declared = change.catalogue().permissions().filter(|(_, row)| own(&row.name)).count();
                    require_room("permissions", declared, PERMISSIONS_MAX)?;
                }
                change.rows().save_permission(&wanted, change.ctx.now).await?;
                change.record(Event::PermissionDeclared { name: wanted.name.to_string() });
            }
            Ok(PermissionView { permission: wanted.clone(), declared_at: Some(declared_at) })
        })
        .await
    }

    /// Retires a permission: from now on nobody may.
    ///
    /// # Errors
    /// The nearest miss; PERMISSION_UNDECLARED; POLICY_IMPOSSIBLE for the realm's basic permission.
    pub async fn retire_permission(&self, ctx: &Ctx, name: &PermissionName) -> Result<Done<PermissionView>> {
        self.write(ctx, async |change: &mut Change<'_>| {
            change.guard().await?.require(permissions::DEFINE, None, None).await?;
            let Some((mut permission, declared_at)) = change.rows().permission(name).await? else {
                return Err(Error::Invalid(vec![undeclared_name(change.catalogue(), "name", name.as_str())]));
            };
            if change.catalogue().policy.basic_permission.as_deref() == Some(name.as_str()) {
                let needed = Contradiction::BasicPermission(name.to_string());
                let why = (needed.setting().to_owned(), needed.to_string());
                return Err(Error::refused_for_each(Reason::PolicyImpossible, vec![why]));
            }
            if !permission.retired {
                permission.retired = true;
                change.rows().save_permission(&permission, change.ctx.now).await?;
                change.record(Event::PermissionRetired { name: name.to_string() });
            }
            Ok(PermissionView { permission, declared_at: Some(declared_at) })
        })
        .await
    }

    /// A page of the catalogue, by name.
    ///
    /// # Errors
    /// The nearest miss; PAGE_TOKEN_INVALID.
    pub async fn list_permissions<T: Weighed + Send>(
        &self,
        ctx: &Ctx,
        cmd: &ListPermissions,
        print: impl Fn(PermissionView) -> T + Sync,
    ) -> Result<Page<T>> {
        again(|| async {
            let view = self.view(ctx, Freshness::Latest).await?;
            self.guard(ctx, &view).await?.require_somewhere(permissions::READ_ROLES).await?;
            self.page(ctx, &cmd.page, Permissions { rows: self.store.rows(ctx.realm), view: &view, cmd }, &print).await
        })
        .await
    }
}

/// Declared permissions, by name; those of the platform are its own business.
struct Permissions<'a> {
    rows: ReadRows<'a>,
    view: &'a View<'a, Record>,
    cmd: &'a ListPermissions,
}

impl Listing for Permissions<'_> {
    type At = String;
    type Row = Permission;
    type Item = PermissionView;

    async fn read(&mut self, after: Option<&String>, limit: u64) -> Result<Vec<Permission>> {
        let ListPermissions { name: part, section, retired, page: _ } = self.cmd;
        let listed = |permission: &&Permission| {
            let name = permission.name.as_str();
            after.is_none_or(|after| after.as_str() < name)
                && !is_platform(name)
                && name.contains(part.as_str())
                && section.as_ref().is_none_or(|section| permission.section == *section)
                && retired.is_none_or(|retired| permission.retired == retired)
        };
        let all = self.view.catalogue().permissions().map(|(_, permission)| permission);
        Ok(all.filter(listed).take(usize::try_from(limit).unwrap_or(usize::MAX)).cloned().collect())
    }

    fn at(permission: &Permission) -> String {
        permission.name.to_string()
    }

    async fn view(&mut self, permissions: Vec<Permission>) -> Result<Vec<PermissionView>> {
        let names: Vec<_> = permissions.iter().map(|permission| permission.name.as_str()).collect();
        let declared = self.rows.declared_at(&names).await?;
        let view = |permission: Permission| PermissionView {
            declared_at: declared.get(permission.name.as_str()).copied(),
            permission,
        };
        Ok(permissions.into_iter().map(view).collect())
    }
}

/// What is wrong with a pattern that ends in no star and names no permission of the realm.
pub(super) fn undeclared(catalogue: &Catalogue, field: &str, pattern: &Pattern) -> Option<Violation> {
    let name = pattern.as_str();
    let known = name.ends_with('*') || catalogue.permission_id(name).is_some();
    (!known).then(|| undeclared_name(catalogue, field, name))
}

/// What is wrong with a name that is no permission of the realm.
pub(super) fn undeclared_name(catalogue: &Catalogue, field: &str, name: &str) -> Violation {
    let closest = catalogue.closest(name).map(|closest| closest.as_str().to_owned());
    let hint = closest.iter().map(|closest| format!("; {closest:?} is")).collect::<String>();
    Violation {
        reason: Some(Reason::PermissionUndeclared),
        facts: closest.into_iter().map(|closest| ("closest", closest)).collect(),
        ..Violation::new(field, format!("{name:?} is no declared permission{hint}"))
    }
}

/// Requires that there may be one more.
pub(super) fn require_room(what: &str, there: usize, most: usize) -> Result<()> {
    if there < most {
        return Ok(());
    }
    let message = format!("a realm has at most {most} {what}, this one has {there}");
    Err(Error::refused_with(Reason::LimitReached, message, vec![("limit", most.to_string())]))
}
