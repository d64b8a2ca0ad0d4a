//! The rules of registering: what the form asks, what becomes of an address, who decides, and who founds.
//!
//! Pure: the record's answers are arguments. Who may approve is the evaluator's business; here stands only at which level
//! the realm has it decided, and from when on an organization's approvers know of a newcomer.

use std::collections::BTreeMap;
use std::time::Duration;

use super::account::{ApprovalState, User};
use super::email::{Email, domain, is_same_mailbox};
use super::organization::{Identifier, IdentifierFault, Member, Organization, canonical};
use super::policy::{ApprovalBy, CodeFormat, CodeScheme, Founding, Policy, SelfRegistration};
use super::snapshot::MembershipState;

/// How long the code in a verification mail holds (NIST SP 800-63A-4: confirmation codes sent to an e-mail address).
pub const VERIFICATION_TTL: Duration = Duration::from_secs(24 * 3600);

/// The longest slug that is made of codes, in characters; what tells two apart still fits behind it.
const SLUG_BASE_CHARS_MAX: usize = 48;

/// What is wrong with one code of the form.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CodeFault {
    #[error("is not a code that this realm asks for")]
    NotAsked,
    #[error("is missing")]
    Missing,
    #[error("is not the domain of the address given")]
    OtherDomain,
    #[error(transparent)]
    Form(#[from] IdentifierFault),
}

/// The codes of a form, in its order and in their canonical form. Empty if the newcomer names no organization, which an
/// OPEN realm allows. Without an address none are answered, and nothing is said of its domain.
///
/// # Errors
/// Every scheme that is not asked for, missing, or has a value of another form.
pub fn codes(
    policy: &Policy,
    email: Option<&Email>,
    given: &BTreeMap<String, String>,
) -> Result<Vec<Identifier>, Vec<(String, CodeFault)>> {
    if given.is_empty() && policy.self_registration == SelfRegistration::Open {
        return Ok(vec![]);
    }
    let unasked = given.keys().filter(|name| policy.scheme(name).is_none());
    let mut faults: Vec<_> = unasked.map(|name| (name.clone(), CodeFault::NotAsked)).collect();
    let mut codes = vec![];
    for scheme in &policy.code_schemes {
        match code(scheme, email, given.get(&scheme.name).map(String::as_str)) {
            Ok(value) => codes.push(Identifier { scheme: scheme.name.clone(), value }),
            Err(fault) => faults.push((scheme.name.clone(), fault)),
        }
    }
    if faults.is_empty() && email.is_some() { Ok(codes) } else { Err(faults) }
}

/// The domain is that of the address, exactly, whatever is given: a public one matches no organization.
fn code(scheme: &CodeScheme, email: Option<&Email>, given: Option<&str>) -> Result<String, CodeFault> {
    match (scheme.format, given) {
        (CodeFormat::Domain, given) => {
            let own = email.map(Email::domain);
            let other = own.zip(given).is_some_and(|(own, given)| domain(given).as_deref() != Some(own));
            if other { Err(CodeFault::OtherDomain) } else { Ok(own.unwrap_or_default().to_owned()) }
        }
        (_, None) => Err(CodeFault::Missing),
        (_, Some(given)) => Ok(canonical(scheme, given)?),
    }
}

/// Whether an organization could carry these codes: the domain of an address may be a public one.
#[must_use]
pub fn can_be_carried(policy: &Policy, codes: &[Identifier]) -> bool {
    let fits = |code: &Identifier| policy.scheme(&code.scheme).is_some_and(|it| canonical(it, &code.value).is_ok());
    !codes.is_empty() && codes.iter().all(fits)
}

/// The title and the slug of an organization that is made of codes; the slug may be taken.
#[must_use]
pub fn made_of(codes: &[Identifier]) -> (String, String) {
    let values: Vec<_> = codes.iter().map(|code| code.value.as_str()).collect();
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let text: String = values.join("-").chars().map(plain).collect();
    let parts: Vec<_> = text.split('-').filter(|part| !part.is_empty()).collect();
    let mut slug = parts.join("-");
    slug.truncate(SLUG_BASE_CHARS_MAX);
    let slug = slug.trim_end_matches('-');
    let slug = if super::handle::is_slug(slug) { slug.to_owned() } else { format!("organization-{slug}") };
    (values.join(" "), slug.trim_end_matches('-').to_owned())
}

/// What becomes of an address that somebody registers with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Address {
    /// Nobody's: a new account.
    Free,
    /// Of an account that begins anew: its password, codes and link give way.
    Undecided,
    /// Somebody's, or a deleted account's: nothing happens but a mail to the mailbox.
    Taken,
}

/// Judges an address by the account that has it, if any, and whether a tombstone stands for it.
///
/// An account begins anew while it is neither verified nor decided and nobody made it a member; once its registration
/// expired; and once it was rejected, if the policy lets people try again.
#[must_use]
pub fn address(policy: &Policy, known: Option<(&User, &[Member])>, tombstoned: bool) -> Address {
    let Some((user, memberships)) = known else {
        let barred = tombstoned && !policy.reregistration_after_delete;
        return if barred { Address::Taken } else { Address::Free };
    };
    let anew = match user.approval.state {
        ApprovalState::Pending => user.verified.is_none(),
        ApprovalState::Approved => false,
        ApprovalState::Rejected => policy.reregistration_after_reject,
        ApprovalState::Expired => true,
    };
    let member = memberships.iter().any(|held| held.state == MembershipState::Active);
    if anew && !member { Address::Undecided } else { Address::Taken }
}

/// Whether the policy alone approves an account whose address is, or is not, verified.
#[must_use]
pub fn approves_by_itself(policy: &Policy, verified: bool) -> bool {
    policy.approval == ApprovalBy::Nobody && (verified || !policy.verification_required)
}

/// Whether an organization's approvers do not know of a newcomer yet: one who only claims an address of its domain.
#[must_use]
pub fn is_hidden(policy: &Policy, verified: bool) -> bool {
    !verified && policy.code_schemes.iter().any(|scheme| scheme.format == CodeFormat::Domain)
}

/// Who decides on newcomers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deciders {
    Nobody,
    /// Those who approve by what they hold in the organization.
    Organization,
    /// Those who approve realm-wide.
    Realm,
}

/// Who is to decide on a newcomer; `in_organization` = whether it registered with one, and whether that has approvers.
#[must_use]
pub fn deciders(policy: &Policy, in_organization: Option<bool>) -> Deciders {
    match (policy.approval, in_organization) {
        (ApprovalBy::Nobody, _) => Deciders::Nobody,
        (ApprovalBy::Organization, Some(true)) => Deciders::Organization,
        (ApprovalBy::Organization, Some(false)) if !policy.approval_fallback_realm => Deciders::Nobody,
        (ApprovalBy::Organization, _) | (ApprovalBy::Realm, _) => Deciders::Realm,
    }
}

/// Whether the deciders hear of a newcomer now: when it registers, or, if they did not know of it until then, when it
/// verifies its address.
#[must_use]
pub fn hear(policy: &Policy, deciders: Deciders, verified: bool) -> bool {
    let later = deciders == Deciders::Organization && is_hidden(policy, false);
    deciders != Deciders::Nobody && later == verified
}

/// What else the record knows of an organization that somebody might found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unfounded {
    /// A registration made it; whose, does not matter: that one may never prove the address.
    pub by_registration: bool,
    /// Somebody else is an active member.
    pub has_members: bool,
    /// An active member holds the founding role there.
    pub is_led: bool,
}

/// The name of the role that the owner of a verified address gets as the founder of the organization; `None` = it is not
/// its founder. `address` is the one that was mailed to. A listed contact founds as long as nobody holds the role, the
/// first verified once. A contact for a single resource is not the organization's.
#[must_use]
pub fn founding_role<'a>(
    policy: &'a Policy,
    organization: &Organization,
    address: &str,
    unfounded: Unfounded,
) -> Option<&'a str> {
    let contacts = organization.contacts.iter().filter(|contact| contact.resource.is_none());
    let mut addresses = contacts.flat_map(|contact| &contact.addresses);
    let founds = match policy.founding {
        Founding::Nobody => false,
        // The mailbox that was proven, and not one that folds to the same.
        Founding::ListedContact => !unfounded.is_led && addresses.any(|listed| is_same_mailbox(listed, address)),
        Founding::FirstVerified => {
            unfounded.by_registration && !unfounded.has_members && organization.founded_at.is_none()
        }
    };
    policy.founding_role.as_deref().filter(|_| founds)
}

#[cfg(test)]
mod tests;
