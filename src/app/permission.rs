//! The permission catalogue: declaring, retiring and listing what checks ask for.

use serde::{Deserialize, Serialize};

use super::error::{Error, Result, Violation};
use super::facts::Facts;
use super::guard::permissions;
use super::paging::{Page, Paging};
use super::read::again;
use super::write::{Change, Done};
use super::{App, Ctx, Reason};
use crate::cache::Freshness;
use crate::domain::catalogue::{Catalogue, PERMISSIONS_MAX, Permission};
use crate::domain::event::Event;
use crate::domain::permission::reserved::is_platform;
use crate::domain::permission::{Pattern, PermissionName};
use crate::domain::policy_rules::Contradiction;
use crate::domain::time::Timestamp;

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
    pub async fn list_permissions(&self, ctx: &Ctx, cmd: &ListPermissions) -> Result<Page<PermissionView>> {
        again(|| async {
            let view = self.view(ctx, Freshness::Latest).await?;
            self.guard(ctx, &view).await?.require_somewhere(permissions::READ_ROLES).await?;
            let after: Option<String> = self.cursor(ctx, &cmd.page)?;
            let listed = |permission: &&Permission| {
                let name = permission.name.as_str();
                after.as_deref().is_none_or(|after| after < name)
                    && !is_platform(name)
                    && name.contains(cmd.name.as_str())
                    && cmd.section.as_ref().is_none_or(|section| permission.section == *section)
                    && cmd.retired.is_none_or(|retired| permission.retired == retired)
            };
            let all = view.catalogue().permissions().map(|(_, permission)| permission);
            let most = usize::try_from(cmd.page.size).unwrap_or(usize::MAX).saturating_add(1);
            let found: Vec<_> = all.filter(listed).take(most).collect();
            let (items, next) = self.cut(ctx, &cmd.page, found, |permission| permission.name.to_string())?;
            let names: Vec<_> = items.iter().map(|permission| permission.name.as_str()).collect();
            let declared = self.store.rows(ctx.realm).declared_at(&names).await?;
            let shown = |permission: &Permission| PermissionView {
                declared_at: declared.get(permission.name.as_str()).copied(),
                permission: permission.clone(),
            };
            Ok(Page { items: items.into_iter().map(shown).collect(), next })
        })
        .await
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
    let hint = catalogue.closest(name).map(|closest| format!("; {closest:?} is", closest = closest.as_str()));
    Violation {
        field: field.to_owned(),
        description: format!("{name:?} is no declared permission{}", hint.unwrap_or_default()),
        reason: Some(Reason::PermissionUndeclared),
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
