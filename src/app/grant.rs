//! Granting single permissions, on everything in reach or on one resource that its owner shares.

use super::conferral::{is_stranger, not_a_member, same};
use super::entry::EntryView;
use super::error::{Error, Result};
use super::facts::Facts;
use super::guard::{Through, permissions};
use super::receiver::{Opening, Place};
use super::role::undeclared;
use super::write::{Change, Done};
use super::{App, Ctx, Draft, Reason, Violation};
use crate::domain::event::Event;
use crate::domain::handle::Handle;
use crate::domain::ids::{EntryId, PrincipalId};
use crate::domain::permission::{Pattern, Reach};
use crate::domain::snapshot::{Confers, Entry, Principal, Resource, Scope, Window};

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
    /// ROLE_RESTRICTED, NOT_CONTAINED; NOT_A_MEMBER, LIMIT_REACHED.
    pub async fn grant_permission(&self, ctx: &Ctx, draft: &Draft<GrantPermission>) -> Result<Done<EntryView>> {
        self.write(ctx, async |change: &mut Change<'_>| {
            let cmd = draft.sound(change.wrong_with(draft.said()).await?)?;
            let owner = change.stated_owner(cmd).await?;
            let subject = change.receiver(&cmd.principal).await?;
            let receiver = subject.principal();
            let confers = Confers::Grant { pattern: cmd.pattern.clone(), reach: cmd.reach };
            let scope = change.require_may_grant(cmd, &confers, owner, receiver).await?;
            if let Some(organization) = scope.organization().filter(|id| is_stranger(receiver, *id)) {
                return Err(not_a_member(organization));
            }
            let entry = Entry {
                id: EntryId(self.clock.new_id()),
                confers,
                scope,
                resource: cmd.resource.clone().map(Box::new),
                window: cmd.window,
            };
            let held = change.rows().entries_of(receiver.id).await?;
            if let Some(there) = same(&held, &entry) {
                return change.entry_view(there.clone()).await;
            }
            let row = change.insert_entry(receiver.id, &held, entry).await?;
            let conferred = change.conferred(&row, shown(cmd)).await?;
            change.record(Event::PermissionGranted(conferred));
            change.entry_view(row).await
        })
        .await
    }
}

impl Change<'_> {
    /// A permission that nobody declared, and an owner that the actor may not state: service accounts alone may.
    async fn wrong_with(&self, said: &GrantPermission) -> Result<Vec<Violation>> {
        let mut found: Vec<_> = undeclared(self.catalogue(), "pattern", &said.pattern).into_iter().collect();
        if said.owner.is_some() && self.actor().await?.principal().is_user() {
            found.push(Violation::new("owner", "may be stated by service accounts only"));
        }
        Ok(found)
    }

    /// The scope of the grant, once the call's permission reaches there and rule 3 is kept.
    async fn require_may_grant(
        &self,
        cmd: &GrantPermission,
        confers: &Confers,
        owner: Option<PrincipalId>,
        receiver: &Principal,
    ) -> Result<Scope> {
        let mut guard = self.guard().await?;
        let mut openings: Vec<Opening> = vec![(permissions::GRANT, Some(receiver.id))];
        openings.extend(owner.map(|owner| (permissions::SHARE, Some(owner))));
        let (scope, reaches) = self.scope_for(&mut guard, receiver, &cmd.place, &openings).await?;
        if !reaches {
            guard.require(permissions::GRANT, scope.organization(), Some(receiver.id)).await?;
        }
        self.require_unrestricted(&cmd.pattern, scope).await?;
        guard.require_contained(confers, scope, cmd.resource.is_some(), owner, receiver.id).await?;
        Ok(scope)
    }

    /// Requires `countersign.roles.assign_restricted` for a pattern that only restricted roles confer.
    ///
    /// # Errors
    /// ROLE_RESTRICTED.
    pub(super) async fn require_unrestricted(&self, pattern: &Pattern, scope: Scope) -> Result<()> {
        if !self.catalogue().only_restricted_confer(pattern)
            || self.guard().await?.allows(permissions::ASSIGN_RESTRICTED, scope.organization(), None).await?
        {
            return Ok(());
        }
        let message = format!("only restricted roles confer {pattern} or part of it");
        let facts = vec![("pattern", pattern.to_string())];
        Err(Error::refused_with(Reason::RoleRestricted, message, facts))
    }

    /// The owner of the resource. An id is taken as it is: an owner that does
    /// not exist is in nobody's team. An address is of somebody whom the caller knows.
    async fn stated_owner(&self, cmd: &GrantPermission) -> Result<Option<PrincipalId>> {
        let Some(owner) = &cmd.owner else { return Ok(None) };
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

/// What is granted, as people read it.
fn shown(cmd: &GrantPermission) -> String {
    let whose = match (&cmd.resource, cmd.reach) {
        (Some(Resource { kind, id }), _) => return format!("{} on {kind} {id}", cmd.pattern),
        (None, Reach::Own) => "their own",
        (None, Reach::Team) => "their team's",
        (None, Reach::All) => "all",
    };
    format!("{} ({whose})", cmd.pattern)
}
