//! Handles to the ids that they name. Whether the caller may know of what is named is asked of the guard.

use super::error::Result;
use crate::domain::email::identity;
use crate::domain::handle::Handle;
use crate::domain::ids::{OrganizationId, PrincipalId};
use crate::store::{Connection, Rows};

/// The principal of a handle: a user by e-mail address, a service account by name. An id is not looked up.
pub(super) async fn principal_id<C: Connection>(rows: Rows<'_, C>, handle: &Handle) -> Result<Option<PrincipalId>> {
    Ok(match handle {
        Handle::Id(id) => Some(PrincipalId(*id)),
        Handle::Natural(email) if email.contains('@') => {
            rows.user_by_identity(&identity(email)).await?.map(|user| user.id.into())
        }
        Handle::Natural(name) => rows.service_account_named(name).await?.map(|account| account.id.into()),
    })
}

/// The organization of a handle, by slug. An id is not looked up.
pub(super) async fn organization_id<C: Connection>(
    rows: Rows<'_, C>,
    handle: &Handle,
) -> Result<Option<OrganizationId>> {
    Ok(match handle {
        Handle::Id(id) => Some(OrganizationId(*id)),
        Handle::Natural(slug) => rows.organization_by_slug(slug).await?.map(|organization| organization.id),
    })
}
