//! Organizations, their identifiers, and membership.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::ids::{OrganizationId, PrincipalId, UserId};
use super::policy::{CodeFormat, CodeScheme};
use super::snapshot::MembershipState;
use super::time::Timestamp;

/// Most identifiers that one organization carries.
pub const IDENTIFIERS_MAX: usize = 50;

/// A company, brand or partner, as the record has it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Organization {
    pub id: OrganizationId,
    /// The natural handle: unique in the realm, never looks like an id.
    pub slug: String,
    pub title: String,
    /// One of the realm's kinds. Never changes.
    pub kind: String,
    pub suspended: bool,
    pub founded_at: Option<Timestamp>,
    pub entitlements: BTreeSet<String>,
    pub contacts: Vec<Contact>,
    pub identifiers: BTreeSet<Identifier>,
    pub version: i64,
    pub created_at: Timestamp,
}

/// Distribution addresses for a topic, optionally of one resource.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Contact {
    pub topic: String,
    pub resource: Option<String>,
    pub addresses: Vec<String>,
}

/// A typed outside name of an organization: `uei`, `cage`, `domain`…
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Identifier {
    pub scheme: String,
    /// In the scheme's canonical form; see [`canonical`].
    pub value: String,
}

/// One membership, as the record has it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Member {
    pub user: UserId,
    pub organization: OrganizationId,
    pub state: MembershipState,
    pub attributes: BTreeMap<String, String>,
    pub created_at: Timestamp,
    pub decided_at: Option<Timestamp>,
    pub decided_by: Option<PrincipalId>,
}

/// Why a value is not of its scheme's form.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum IdentifierFault {
    #[error("is not 12 of A-Z and 0-9 without I and O, not starting with 0")]
    Uei,
    #[error("is not 5 of A-Z and 0-9 without I and O")]
    Cage,
    #[error("is not a domain name")]
    Domain,
    #[error("is a public mail domain, which identifies nobody")]
    PublicDomain,
    #[error("is not 1 to 64 printable characters without spaces")]
    Text,
}

/// Domains at which anybody gets an address: they identify no organization.
const PUBLIC_MAIL_DOMAINS: [&str; 24] = [
    "126.com",
    "163.com",
    "aol.com",
    "fastmail.com",
    "gmail.com",
    "gmx.at",
    "gmx.ch",
    "gmx.de",
    "gmx.net",
    "googlemail.com",
    "hotmail.com",
    "icloud.com",
    "live.com",
    "mac.com",
    "mail.ru",
    "me.com",
    "msn.com",
    "outlook.com",
    "proton.me",
    "protonmail.com",
    "qq.com",
    "web.de",
    "yahoo.com",
    "yandex.ru",
];

/// The one form in which a value is stored and compared.
///
/// # Errors
/// Names the form that the scheme asks for.
pub fn canonical(scheme: &CodeScheme, value: &str) -> Result<String, IdentifierFault> {
    let value = value.trim();
    let code = |length: usize| {
        let upper = value.to_ascii_uppercase();
        let plain = |c: char| c.is_ascii_alphanumeric() && c != 'I' && c != 'O';
        (upper.len() == length && upper.chars().all(plain)).then_some(upper)
    };
    match scheme.format {
        CodeFormat::Uei => code(12).filter(|code| !code.starts_with('0')).ok_or(IdentifierFault::Uei),
        CodeFormat::Cage => code(5).ok_or(IdentifierFault::Cage),
        CodeFormat::Domain => {
            let address = super::email::Email::parse(&format!("a@{value}")).map_err(|_| IdentifierFault::Domain)?;
            let domain = address.domain().to_owned();
            if PUBLIC_MAIL_DOMAINS.contains(&domain.as_str()) {
                return Err(IdentifierFault::PublicDomain);
            }
            Ok(domain)
        }
        CodeFormat::Text => {
            let printable = value.chars().all(|c| !c.is_whitespace() && !c.is_control());
            let short = (1..=64).contains(&value.chars().count());
            (printable && short).then(|| value.to_owned()).ok_or(IdentifierFault::Text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scheme(format: CodeFormat) -> CodeScheme {
        CodeScheme { name: "code".into(), format, unique: true }
    }

    #[test]
    fn codes_have_one_form() {
        assert_eq!(canonical(&scheme(CodeFormat::Cage), " 1abc2 "), Ok("1ABC2".into()));
        assert_eq!(canonical(&scheme(CodeFormat::Cage), "1ABO2"), Err(IdentifierFault::Cage));
        assert_eq!(canonical(&scheme(CodeFormat::Uei), "Z1Y2X3W4V5U6"), Ok("Z1Y2X3W4V5U6".into()));
        assert_eq!(canonical(&scheme(CodeFormat::Uei), "01Y2X3W4V5U6"), Err(IdentifierFault::Uei));
    }

    #[test]
    fn a_public_mail_domain_identifies_nobody() {
        assert_eq!(canonical(&scheme(CodeFormat::Domain), "Example.ORG"), Ok("example.org".into()));
        assert_eq!(canonical(&scheme(CodeFormat::Domain), "GMail.com"), Err(IdentifierFault::PublicDomain));
        assert_eq!(canonical(&scheme(CodeFormat::Domain), "corp.com."), Err(IdentifierFault::Domain));
    }
}
