//! Reading roles. Which there are is the same everywhere in a realm: whoever reads roles somewhere reads all of them.

use super::error::{Error, Result};
use super::guard::permissions;
use super::paging::{Listing, Page, Paging, Weighed};
use super::permission::undeclared_name;
use super::read::again;
use super::role::{RoleView, view};
use super::user::find_role;
use super::{App, Ctx};
use crate::cache::Freshness;
use crate::domain::catalogue::{Catalogue, Role, RoleRow};
use crate::domain::handle::Handle;
use crate::domain::ids::RoleId;
use crate::domain::permission::PermissionName;
use crate::store::ReadRows;

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
    pub async fn list_roles<T: Weighed + Send>(
        &self,
        ctx: &Ctx,
        cmd: &ListRoles,
        print: impl Fn(RoleView) -> T + Sync,
    ) -> Result<Page<T>> {
        again(|| async {
            let facts = self.view(ctx, Freshness::Latest).await?;
            self.guard(ctx, &facts).await?.require_somewhere(permissions::READ_ROLES).await?;
            let mut chosen = chosen(facts.catalogue(), cmd)?;
            chosen.sort_unstable();
            let list = Roles { rows: self.store.rows(ctx.realm), catalogue: facts.catalogue(), chosen };
            self.page(ctx, &cmd.page, list, &print).await
        })
        .await
    }
}

/// Roles, by id.
struct Roles<'a> {
    rows: ReadRows<'a>,
    catalogue: &'a Catalogue,
    /// In order.
    chosen: Vec<RoleId>,
}

impl Listing for Roles<'_> {
    type At = RoleId;
    type Row = RoleRow;
    type Item = RoleView;

    /// A role that was deleted since the catalogue was read has no row.
    async fn read(&mut self, after: Option<&RoleId>, limit: u64) -> Result<Vec<RoleRow>> {
        let mut from = self.chosen.partition_point(|role| after.is_some_and(|after| role <= after));
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut rows = vec![];
        while rows.len() < limit && from < self.chosen.len() {
            let until = self.chosen.len().min(from + limit - rows.len());
            rows.extend(self.rows.role_rows(&self.chosen[from..until]).await?);
            from = until;
        }
        Ok(rows)
    }

    fn at(row: &RoleRow) -> RoleId {
        row.role.id
    }

    async fn view(&mut self, rows: Vec<RoleRow>) -> Result<Vec<RoleView>> {
        Ok(rows.into_iter().map(|row| view(self.catalogue, row)).collect())
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
