//! Assigning and revoking roles.

use super::conferral::shown_title;
use super::entry::{EntryView, views};
use super::error::{Error, Result};
use super::facts::Facts;
use super::guard::permissions;
use super::receiver::{Place, Receiver};
use super::user::find_role;
use super::write::{Change, Done};
use super::{App, Ctx};
use crate::domain::entry::EntryRow;
use crate::domain::event::Event;
use crate::domain::handle::Handle;
use crate::domain::ids::{EntryId, RoleId};
use crate::domain::snapshot::{Confers, Resource, Scope, Window};
use crate::store::EntryFilter;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AssignRole {
    pub principal: Handle,
    pub role: Handle,
    pub place: Place,
    pub resource: Option<Resource>,
    pub window: Window,
}

/// Which assignments to take away.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RevokeRole {
    One(EntryId),
    /// All of these coordinates, whatever their windows.
    Every {
        principal: Handle,
        role: Handle,
        place: Place,
        resource: Option<Resource>,
    },
}

impl App {
    /// Assigns a role.
    ///
    /// # Errors
    /// NOT_FOUND; the nearest miss; those of conferring a role.
    pub async fn assign_role(&self, ctx: &Ctx, cmd: &AssignRole) -> Result<Done<EntryView>> {
        self.write(ctx, async |change: &mut Change<'_>| {
            let receiver = change.receiver(&cmd.principal).await?;
            let scope = change.scope_to_assign_in(&receiver, &cmd.place).await?;
            let role = find_role(change.catalogue(), &cmd.role).ok_or_else(|| Error::not_found("role"))?;
            let row = change.confer_role(&receiver, role, scope, cmd.resource.clone(), cmd.window).await?;
            change.entry_view(row).await
        })
        .await
    }

    /// Revokes assignments. Those that are not there are no error.
    ///
    /// # Errors
    /// NOT_FOUND; the nearest miss; ROLE_RESTRICTED, NOT_CONTAINED: taking needs what giving needs; WOULD_ORPHAN.
    pub async fn revoke_role(&self, ctx: &Ctx, cmd: &RevokeRole) -> Result<Done<Vec<EntryView>>> {
        self.write(ctx, async |change: &mut Change<'_>| {
            let Taking { holder, role, rows, .. } = change.may_take(cmd).await?;
            let entries: Vec<_> = rows.iter().map(|row| row.entry.id).collect();
            change.require_no_stripping(holder.id(), &entries).await?;
            change.take(role, &rows).await?;
            views(change.rows(), change.catalogue(), rows).await
        })
        .await
    }
}

/// The assignments of one role to one principal, in one scope and on one resource or none, that are to be taken away.
pub(super) struct Taking {
    pub(super) holder: Receiver,
    pub(super) role: RoleId,
    pub(super) scope: Scope,
    pub(super) rows: Vec<EntryRow>,
}

impl Change<'_> {
    /// An entry as its caller may see it.
    pub(super) async fn entry_view(&self, row: EntryRow) -> Result<EntryView> {
        let shown = views(self.rows(), self.catalogue(), vec![row]).await?;
        shown.into_iter().next().ok_or_else(|| Error::internal("an entry got lost"))
    }

    /// The scope in which the actor assigns and revokes roles of this principal.
    pub(super) async fn scope_to_assign_in(&self, receiver: &Receiver, place: &Place) -> Result<Scope> {
        let mut guard = self.guard().await?;
        let opening = (permissions::ASSIGN, Some(receiver.id()));
        let (scope, reaches) = self.scope_for(&mut guard, receiver, place, &[opening]).await?;
        if !reaches {
            guard.require(permissions::ASSIGN, scope.organization(), Some(receiver.id())).await?;
        }
        Ok(scope)
    }

    /// What a call takes away, once it may: taking needs what giving needs.
    ///
    /// # Errors
    /// NOT_FOUND; the nearest miss; ROLE_RESTRICTED, NOT_CONTAINED.
    pub(super) async fn may_take(&self, cmd: &RevokeRole) -> Result<Taking> {
        let taking = match cmd {
            RevokeRole::One(id) => self.one_to_take(*id).await?,
            RevokeRole::Every { principal, role, place, resource } => {
                self.all_to_take(principal, role, place, resource.as_ref()).await?
            }
        };
        if let Some(row) = taking.rows.first() {
            let Taking { holder, role, scope, .. } = &taking;
            self.require_may_give(holder.but_entries(), *role, *scope, row.entry.resource.is_some()).await?;
        }
        Ok(taking)
    }

    async fn one_to_take(&self, id: EntryId) -> Result<Taking> {
        let unknown = || Error::not_found("entry");
        let row = self.rows().entry(id).await?.ok_or_else(unknown)?;
        let Confers::Role(role) = row.entry.confers else { return Err(unknown()) };
        let holder = self.receiver_of(row.principal).await?.ok_or_else(unknown)?;
        let scope = row.entry.scope;
        let place = match scope {
            Scope::Realm => Place::Realm,
            Scope::Organization(id) => Place::Organization(Handle::Id(id.0)),
        };
        match self.scope_to_assign_in(&holder, &place).await {
            Err(Error::Refused(refusal)) if refusal.reason == super::Reason::NotFound => Err(unknown()),
            Err(error) => Err(error),
            Ok(scope) => Ok(Taking { holder, role, scope, rows: vec![row] }),
        }
    }

    async fn all_to_take(
        &self,
        principal: &Handle,
        role: &Handle,
        place: &Place,
        resource: Option<&Resource>,
    ) -> Result<Taking> {
        let holder = self.receiver(principal).await?;
        let scope = self.scope_to_assign_in(&holder, place).await?;
        let role = find_role(self.catalogue(), role).ok_or_else(|| Error::not_found("role"))?;
        let filter = EntryFilter {
            principal: Some(holder.id()),
            roles: Some(vec![role]),
            scope: Some(scope),
            resource: Some(resource.cloned()),
            ..EntryFilter::default()
        };
        let rows = self.rows().entries(&filter).await?;
        Ok(Taking { holder, role, scope, rows })
    }

    /// Takes assignments of a role away, and says so. Whether that may be is asked before.
    pub(super) async fn take(&mut self, role: RoleId, rows: &[EntryRow]) -> Result<()> {
        let title = self.catalogue().role(role).map(shown_title).unwrap_or_default();
        for row in rows {
            let conferred = self.conferred(row, title.clone()).await?;
            self.rows().delete_entry(row.entry.id).await?;
            self.record(Event::RoleRevoked(conferred));
        }
        self.forget_facts();
        Ok(())
    }
}
