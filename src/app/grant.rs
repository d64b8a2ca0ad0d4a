//! Granting single permissions, on everything in reach or on one resource that its owner shares.

use super::conferral::{is_stranger, not_a_member};
use super::entry::{EntryView, views};
use super::error::{Error, Result};
use super::facts::Facts;
use super::guard::{Through, permissions};
use super::permission::undeclared;
use super::receiver::{Opening, Place, Receiver};
use super::write::{Change, Done};
use super::{App, Ctx, Draft, Reason, Violation};
use crate::domain::entry::EntryRow;
use crate::domain::event::Event;
use crate::domain::handle::Handle;
use crate::domain::ids::{EntryId, PrincipalId};
use crate::domain::permission::{Pattern, Reach};
use crate::domain::snapshot::{Confers, Entry, Resource, Scope, Window};
use crate::store::EntryFilter;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GrantPermission {
    pub principal: Handle,
    pub pattern: Pattern,
    /// ALL with a resource, which is its own reach.
    pub reach: Reach,
    pub place: Place,
    pub resource: Option<Resource>,
    /// Who owns the resource, as the actor says.
    pub owner: Option<Handle>,
    pub window: Window,
}

impl App {
    /// Grants a pattern. A grant that is there with the same window is answered as it is.
    ///
    /// # Errors
    /// INVALID_FIELDS, also for an owner that a user states; PERMISSION_UNDECLARED; NOT_FOUND; the nearest miss;
    /// ROLE_RESTRICTED, NOT_CONTAINED; NOT_A_MEMBER, ACCOUNT_DELETED, ERASED, LIMIT_REACHED.
    pub async fn grant_permission(&self, ctx: &Ctx, draft: &Draft<GrantPermission>) -> Result<Done<EntryView>> {
        self.write(ctx, async |change: &mut Change<'_>| {
            let cmd = draft.sound(change.wrong_with(draft.said()).await?)?;
            let owner = change.stated_owner(cmd.owner.as_ref()).await?;
            let receiver = change.receiver(&cmd.principal).await?;
            let confers = Confers::Grant { pattern: cmd.pattern.clone(), reach: cmd.reach };
            let scope = change.scope_to_grant_in(&receiver, &cmd.place, owner).await?;
            change.require_may_confer_grant(&confers, scope, cmd.resource.is_some(), owner, receiver.id()).await?;
            if let Some(organization) = scope.organization().filter(|id| is_stranger(receiver.but_entries(), *id)) {
                return Err(not_a_member(organization));
            }
            let entry = Entry {
                id: EntryId(self.clock.new_id()),
                confers,
                scope,
                resource: cmd.resource.clone().map(Box::new),
                window: cmd.window,
            };
            if let Some(there) = change.same_entry(receiver.id(), &entry).await? {
                return change.entry_view(there).await;
            }
            let row = change.insert_entry(receiver.id(), entry).await?;
            let conferred = change.conferred(&row, shown(&row.entry)).await?;
            change.record(Event::PermissionGranted(conferred));
            change.entry_view(row).await
        })
        .await
    }
}

/// Which grants to take away.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RevokePermission {
    pub which: RevokedGrants,
    /// Who owns the resource, as the actor says.
    pub owner: Option<Handle>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RevokedGrants {
    One(EntryId),
    /// All of these coordinates, whatever their reaches and windows.
    Every {
        principal: Handle,
        pattern: Pattern,
        place: Place,
        resource: Option<Resource>,
    },
}

impl App {
    /// Revokes grants. Those that are not there are no error.
    ///
    /// # Errors
    /// INVALID_FIELDS, also for an owner that a user states; NOT_FOUND; the nearest miss; ROLE_RESTRICTED, NOT_CONTAINED:
    /// taking needs what giving needs; WOULD_ORPHAN.
    pub async fn revoke_permission(&self, ctx: &Ctx, draft: &Draft<RevokePermission>) -> Result<Done<Vec<EntryView>>> {
        self.write(ctx, async |change: &mut Change<'_>| {
            let wrong = change.wrong_owner(draft.said().owner.as_ref()).await?;
            let cmd = draft.sound(wrong.into_iter().collect())?;
            let owner = change.stated_owner(cmd.owner.as_ref()).await?;
            let (holder, rows) = match &cmd.which {
                RevokedGrants::One(id) => change.one_grant(*id, owner).await?,
                RevokedGrants::Every { principal, pattern, place, resource } => {
                    let holder = change.receiver(principal).await?;
                    let filter = EntryFilter {
                        principal: Some(holder.id()),
                        pattern: Some(pattern.clone()),
                        scope: Some(change.scope_to_grant_in(&holder, place, owner).await?),
                        resource: Some(resource.clone()),
                        ..EntryFilter::default()
                    };
                    (holder.id(), change.rows().entries(&filter).await?)
                }
            };
            for EntryRow { entry, .. } in &rows {
                let on_resource = entry.resource.is_some();
                change.require_may_confer_grant(&entry.confers, entry.scope, on_resource, owner, holder).await?;
            }
            let taken: Vec<_> = rows.iter().map(|row| row.entry.id).collect();
            change.require_no_stripping(holder, &taken).await?;
            for row in &rows {
                let conferred = change.conferred(row, shown(&row.entry)).await?;
                change.rows().delete_entry(row.entry.id).await?;
                change.record(Event::PermissionRevoked(conferred));
            }
            change.forget_facts();
            views(change.rows(), change.catalogue(), rows).await
        })
        .await
    }
}

impl Change<'_> {
    /// A permission that nobody declared, and an owner that the actor may not state: service accounts alone may.
    async fn wrong_with(&self, said: &GrantPermission) -> Result<Vec<Violation>> {
        let mut found: Vec<_> = undeclared(self.catalogue(), "pattern", &said.pattern).into_iter().collect();
        found.extend(self.wrong_owner(said.owner.as_ref()).await?);
        Ok(found)
    }

    /// An owner that the actor may not state.
    async fn wrong_owner(&self, owner: Option<&Handle>) -> Result<Option<Violation>> {
        let wrong = owner.is_some() && self.actor().await?.principal().is_user();
        Ok(wrong.then(|| Violation::new("owner", "may be stated by service accounts only")))
    }

    /// The scope in which the actor grants to this principal and takes grants from it: by its right to grant there, or to
    /// share what the stated owner owns.
    async fn scope_to_grant_in(&self, receiver: &Receiver, place: &Place, owner: Option<PrincipalId>) -> Result<Scope> {
        let mut guard = self.guard().await?;
        let mut openings: Vec<Opening> = vec![(permissions::GRANT, Some(receiver.id()))];
        openings.extend(owner.map(|owner| (permissions::SHARE, Some(owner))));
        let (scope, reaches) = self.scope_for(&mut guard, receiver, place, &openings).await?;
        if !reaches {
            guard.require(permissions::GRANT, scope.organization(), Some(receiver.id())).await?;
        }
        Ok(scope)
    }

    /// Rule 3 for a grant, given or taken.
    async fn require_may_confer_grant(
        &self,
        confers: &Confers,
        scope: Scope,
        on_resource: bool,
        owner: Option<PrincipalId>,
        receiver: PrincipalId,
    ) -> Result<()> {
        if let Confers::Grant { pattern, .. } = confers {
            self.require_unrestricted(pattern, scope).await?;
        }
        let mut guard = self.guard().await?;
        guard.require_contained(confers, scope, on_resource, owner, receiver).await
    }

    /// The one grant of that id, with whose it is.
    async fn one_grant(&self, id: EntryId, owner: Option<PrincipalId>) -> Result<(PrincipalId, Vec<EntryRow>)> {
        let unknown = || Error::not_found("entry");
        let row = self.rows().entry(id).await?.ok_or_else(unknown)?;
        if matches!(row.entry.confers, Confers::Role(_)) {
            return Err(unknown());
        }
        let holder = self.receiver_of(row.principal).await?.ok_or_else(unknown)?;
        let place = match row.entry.scope {
            Scope::Realm => Place::Realm,
            Scope::Organization(id) => Place::Organization(Handle::Id(id.0)),
        };
        match self.scope_to_grant_in(&holder, &place, owner).await {
            Err(Error::Refused(refusal)) if refusal.reason == Reason::NotFound => Err(unknown()),
            Err(error) => Err(error),
            Ok(_) => Ok((holder.id(), vec![row])),
        }
    }

    /// Requires `countersign.roles.assign_restricted` for a pattern that only restricted roles confer.
    ///
    /// # Errors
    /// ROLE_RESTRICTED.
    pub(super) async fn require_unrestricted(&self, pattern: &Pattern, scope: Scope) -> Result<()> {
        self.require_all_unrestricted([pattern], scope).await
    }

    /// As [`Change::require_unrestricted`], for each of several patterns.
    pub(super) async fn require_all_unrestricted(
        &self,
        patterns: impl IntoIterator<Item = &Pattern>,
        scope: Scope,
    ) -> Result<()> {
        let Some(pattern) = self.catalogue().only_restricted_confer(patterns) else { return Ok(()) };
        if self.guard().await?.allows(permissions::ASSIGN_RESTRICTED, scope.organization(), None).await? {
            return Ok(());
        }
        let message = format!("only restricted roles confer {pattern} or part of it");
        let facts = vec![("pattern", pattern.to_string())];
        Err(Error::refused_with(Reason::RoleRestricted, message, facts))
    }

    /// The owner of the resource. An id is taken as it is: an owner that does
    /// not exist is in nobody's team. An address is of somebody whom the caller knows.
    async fn stated_owner(&self, owner: Option<&Handle>) -> Result<Option<PrincipalId>> {
        let Some(owner) = owner else { return Ok(None) };
        if let Handle::Id(id) = owner {
            return Ok(Some(PrincipalId(*id)));
        }
        let mut guard = self.guard().await?;
        let (user, subject) = self.found_user(owner, "owner").await?;
        let known = guard.reads_user(subject.principal()).await?
            || guard.allows_in_one(permissions::SHARE, subject.principal(), Through::Active).await?;
        if known { Ok(Some(user.id.into())) } else { Err(Error::not_found("owner")) }
    }
}

/// What a grant confers, as people read it.
fn shown(entry: &Entry) -> String {
    let Confers::Grant { pattern, reach } = &entry.confers else { return String::new() };
    let whose = match (&entry.resource, reach) {
        (Some(resource), _) => {
            let Resource { kind, id } = &**resource;
            return format!("{pattern} on {kind} {id}");
        }
        (None, Reach::Own) => "their own",
        (None, Reach::Team) => "their team's",
        (None, Reach::All) => "all",
    };
    format!("{pattern} ({whose})")
}
