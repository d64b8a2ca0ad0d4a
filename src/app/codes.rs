//! From the codes of a registration form to the organization that they lead to.

use std::collections::BTreeSet;

use super::Reason;
use super::error::{Error, Result};
use crate::domain::organization::{Identifier, Organization};
use crate::domain::policy::{Policy, UnknownCodes};
use crate::domain::registration::can_be_carried;
use crate::store::{Connection, Rows};

/// Where the codes of a registration lead.
pub(super) enum Place {
    /// None were given.
    Nowhere,
    Known(Organization),
    /// To an organization that the registration makes.
    New,
}

/// The one organization that carries all of these codes.
pub(super) async fn carrier<C: Connection>(rows: Rows<'_, C>, codes: &[Identifier]) -> Result<Option<Organization>> {
    let found = rows.organizations_with(&codes.iter().cloned().collect()).await?;
    match found.as_slice() {
        [only] => Ok(rows.organization(*only).await?),
        _ => Ok(None),
    }
}

/// Where codes lead.
///
/// # Errors
/// CODES_UNKNOWN, naming the first code of the form with which no organization is left, or which another one has for
/// itself.
pub(super) async fn place<C: Connection>(
    rows: Rows<'_, C>,
    policy: &Policy,
    codes: &[Identifier],
    found: Option<Organization>,
) -> Result<Place> {
    if let Some(organization) = found {
        return Ok(Place::Known(organization));
    }
    match place_of_unknown(rows, policy, codes).await {
        // Somebody may have made the organization since it was looked for.
        Err(refused) => carrier(rows, codes).await?.map(Place::Known).ok_or(refused),
        place => place,
    }
}

async fn place_of_unknown<C: Connection>(rows: Rows<'_, C>, policy: &Policy, codes: &[Identifier]) -> Result<Place> {
    let Some(last) = codes.last() else { return Ok(Place::Nowhere) };
    for ends in 1..=codes.len() {
        let together = codes[..ends].iter().cloned().collect();
        if rows.organizations_with(&together).await?.is_empty() {
            return match makes_organizations(policy, codes) {
                true => require_unique(rows, policy, codes).await.map(|()| Place::New),
                false => Err(unknown(&codes[ends - 1])),
            };
        }
    }
    Err(unknown(last))
}

fn makes_organizations(policy: &Policy, codes: &[Identifier]) -> bool {
    policy.unknown_codes == UnknownCodes::CreateOrganization
        && can_be_carried(policy, codes)
        && !policy.kinds.is_empty()
}

/// A code that belongs to one organization by itself makes no second one.
async fn require_unique<C: Connection>(rows: Rows<'_, C>, policy: &Policy, codes: &[Identifier]) -> Result<()> {
    for code in codes.iter().filter(|code| policy.scheme(&code.scheme).is_some_and(|scheme| scheme.unique)) {
        if !rows.organizations_with(&BTreeSet::from([code.clone()])).await?.is_empty() {
            return Err(unknown(code));
        }
    }
    Ok(())
}

pub(super) fn unknown(code: &Identifier) -> Error {
    let message = format!("the code {} does not lead to an organization", code.scheme);
    Error::refused_with(Reason::CodesUnknown, message, vec![("scheme", code.scheme.clone())])
}
