//! To whom, and where: the principal and the scope of a call that gives or takes something, as far as its caller may
//! know of them.

use super::error::{Error, Result};
use super::facts::Facts;
use super::guard::{Guard, NOBODY, nobody, permissions};
use super::resolve::principal_id;
use super::write::Change;
use crate::domain::handle::Handle;
use crate::domain::ids::{OrganizationId, PrincipalId, UserId};
use crate::domain::snapshot::{Principal, PrincipalKind, Scope};

/// A scope, as a caller names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    Realm,
    Organization(Handle),
}

/// Who is given something or loses it, as if it held nothing: what it holds is looked up where it matters, so that who
/// holds a thousand entries is given one more as soon as who holds none.
#[derive(Clone, Debug)]
pub(super) struct Receiver {
    principal: Principal,
    /// Whether there is such a principal. Of one that there is not as much is asked as of one that the caller does not know.
    exists: bool,
}

impl Receiver {
    pub(super) fn id(&self) -> PrincipalId {
        self.principal.id
    }

    /// Its account, its memberships and its manager; its entries are not there.
    pub(super) fn but_entries(&self) -> &Principal {
        &self.principal
    }
}

/// A permission that opens a call, about what that owner owns.
pub(super) type Opening = (&'static str, Option<PrincipalId>);

impl Change<'_> {
    /// A principal named by its id, a user's e-mail address or a service account's name. Whether the caller may know of
    /// it is yet to be asked, and so is whether there is one: [`Change::scope_for`].
    pub(super) async fn receiver(&self, handle: &Handle) -> Result<Receiver> {
        match principal_id(self.rows(), handle).await? {
            Some(id) => self.receiver_of(id).await?.ok_or_else(|| Error::not_found("principal")),
            None => {
                // In place of the holds and the facts of whom there is.
                self.rows().user(UserId(NOBODY.0)).await?;
                self.receiver_of(NOBODY).await?;
                Ok(Receiver { principal: nobody(self.catalogue().realm), exists: false })
            }
        }
    }

    /// The principal of that id, as somebody who is given something.
    pub(super) async fn receiver_of(&self, id: PrincipalId) -> Result<Option<Receiver>> {
        Ok(self
            .rows()
            .principal_but_entries(id, self.ended_since())
            .await?
            .map(|principal| Receiver { principal, exists: true }))
    }

    /// The scope, once the receiver and it are the caller's to know of, and whether one of the openings holds there.
    ///
    /// Reaching somebody is knowing of them: a member of the organization there, anybody realm-wide. Of a receiver that
    /// the caller does not know nothing is told, not even that something else is wrong with the call.
    ///
    /// # Errors
    /// NOT_FOUND.
    pub(super) async fn scope_for(
        &self,
        guard: &mut Guard<'_, Self>,
        receiver: &Receiver,
        place: &Place,
        openings: &[Opening],
    ) -> Result<(Scope, bool)> {
        let Receiver { principal: receiver, exists } = receiver;
        let known = (reads(guard, receiver).await? || reaches(guard, openings, Scope::Realm).await?) && *exists;
        let scope = match self.scope(place).await? {
            Some(scope) => scope,
            None => return Err(Error::not_found(if known { "organization" } else { "principal" })),
        };
        let reaches = reaches(guard, openings, scope).await?;
        let belongs = scope.organization().is_some_and(|organization| receiver.belongs_to(organization));
        if !(known || (reaches && belongs)) {
            return Err(Error::not_found("principal"));
        }
        match scope.organization() {
            Some(organization) if !reaches && !guard.reads_organization(organization).await? => {
                Err(Error::not_found("organization"))
            }
            _ => Ok((scope, reaches)),
        }
    }

    /// Whether the realm lets its administrators add members and the actor is one, there.
    pub(super) async fn may_add_members(
        &self,
        guard: &mut Guard<'_, Self>,
        organization: OrganizationId,
    ) -> Result<bool> {
        Ok(self.catalogue().policy.administrators_create_users
            && guard.allows(permissions::ADD_MEMBERS, Some(organization), None).await?)
    }

    /// `None`: there is no such organization.
    async fn scope(&self, place: &Place) -> Result<Option<Scope>> {
        let found = match place {
            Place::Realm => return Ok(Some(Scope::Realm)),
            Place::Organization(Handle::Id(id)) => self.rows().organization(OrganizationId(*id)).await?,
            Place::Organization(Handle::Natural(slug)) => self.rows().organization_by_slug(slug).await?,
        };
        Ok(found.map(|organization| Scope::Organization(organization.id)))
    }
}

async fn reaches(guard: &mut Guard<'_, Change<'_>>, openings: &[Opening], scope: Scope) -> Result<bool> {
    for (permission, owner) in openings {
        if guard.allows(permission, scope.organization(), *owner).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the actor reads this user, or manages this service account.
async fn reads(guard: &mut Guard<'_, Change<'_>>, receiver: &Principal) -> Result<bool> {
    match receiver.kind {
        PrincipalKind::User(_) => guard.reads_user(receiver).await,
        PrincipalKind::ServiceAccount { organization, disabled: _ } => {
            guard.allows(permissions::MANAGE_SERVICE_ACCOUNTS, organization, None).await
        }
    }
}
