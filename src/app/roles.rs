//! Reading roles. Which there are is the same everywhere in a realm: whoever reads roles somewhere reads all of them.

use super::error::{Error, Result};
use super::guard::permissions;
use super::paging::{Page, Paging};
use super::permission::undeclared_name;
use super::read::again;
use super::role::{RoleView, view};
use super::user::find_role;
use super::{App, Ctx};
use crate::cache::Freshness;
use crate::domain::catalogue::{Catalogue, Role};
use crate::domain::handle::Handle;
use crate::domain::ids::RoleId;
use crate::domain::permission::PermissionName;

/// A scope that a role may be assigned in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RoleScope {
    Organization,
    Realm,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListRoles {
    /// Part of the name or of the title, in any case.
    pub text: String,
    pub scope: Option<RoleScope>,
    pub kind: Option<String>,
    pub confers: Option<PermissionName>,
    pub page: Paging,
}

impl App {
    /// A role.
    ///
    /// # Errors
    /// The nearest miss; NOT_FOUND.
    pub async fn get_role(&self, ctx: &Ctx, handle: &Handle) -> Result<RoleView> {
        again(|| async {
            let facts = self.view(ctx, Freshness::Latest).await?;
            self.guard(ctx, &facts).await?.require_somewhere(permissions::READ_ROLES).await?;
            let unknown = || Error::not_found("role");
            let role = find_role(facts.catalogue(), handle).ok_or_else(unknown)?;
            let row = self.store.rows(ctx.realm).role_rows(&[role]).await?.pop().ok_or_else(unknown)?;
            Ok(view(facts.catalogue(), row))
        })
        .await
    }

    /// A page of roles, by id.
    ///
    /// # Errors
    /// The nearest miss; PERMISSION_UNDECLARED, PAGE_TOKEN_INVALID.
    pub async fn list_roles(&self, ctx: &Ctx, cmd: &ListRoles) -> Result<Page<RoleView>> {
        again(|| async {
            let facts = self.view(ctx, Freshness::Latest).await?;
            self.guard(ctx, &facts).await?.require_somewhere(permissions::READ_ROLES).await?;
            let after: Option<RoleId> = self.cursor(ctx, &cmd.page)?;
            let mut found = chosen(facts.catalogue(), cmd)?;
            found.retain(|role| after.is_none_or(|after| after < *role));
            found.sort_unstable();
            let (items, next) = self.cut(ctx, &cmd.page, found, |role| *role)?;
            let rows = self.store.rows(ctx.realm).role_rows(&items).await?;
            Ok(Page { items: rows.into_iter().map(|row| view(facts.catalogue(), row)).collect(), next })
        })
        .await
    }
}

/// The roles that meet the filters.
fn chosen(catalogue: &Catalogue, cmd: &ListRoles) -> Result<Vec<RoleId>> {
    let confers = match &cmd.confers {
        None => None,
        Some(name) => Some(
            catalogue
                .permission_id(name.as_str())
                .ok_or_else(|| Error::Invalid(vec![undeclared_name(catalogue, "confers", name.as_str())]))?,
        ),
    };
    let text = cmd.text.to_lowercase();
    let meets = |role: &&Role| {
        let kinds = &role.assignable.kinds;
        let somewhere = role.assignable.organization || role.assignable.realm;
        let has_text = |own: &str| own.to_lowercase().contains(&text);
        (has_text(&role.name) || has_text(&role.title))
            && match cmd.scope {
                None => true,
                Some(RoleScope::Organization) => role.assignable.organization,
                Some(RoleScope::Realm) => role.assignable.realm,
            }
            && cmd.kind.as_ref().is_none_or(|kind| somewhere && (kinds.is_empty() || kinds.contains(kind)))
            && confers.is_none_or(|permission| catalogue.role_confers(role.id, permission))
    };
    Ok(catalogue.roles().filter(meets).map(|role| role.id).collect())
}
