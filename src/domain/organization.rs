//! Organizations, their identifiers, and membership.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::ids::{OrganizationId, PrincipalId, UserId};
use super::policy::{CodeFormat, CodeScheme, Policy};
use super::snapshot::{MembershipState, Resource};
use super::time::Timestamp;

/// Most identifiers that one organization carries.
pub const IDENTIFIERS_MAX: usize = 100;

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

impl Organization {
    /// Opaque to clients; equal as long as nobody wrote the organization.
    #[must_use]
    pub fn etag(&self) -> String {
        format!("\"{}\"", self.version)
    }
}

/// Distribution addresses for a topic, optionally of one resource.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Contact {
    pub topic: String,
    pub resource: Option<Resource>,
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

impl Member {
    /// Opaque to clients; equal as long as state and attributes say the same.
    #[must_use]
    pub fn etag(&self) -> String {
        let mut digest = Sha256::new();
        let state = match self.state {
            MembershipState::Pending => "pending",
            MembershipState::Active => "active",
            MembershipState::Rejected => "rejected",
        };
        let texts = self.attributes.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]);
        for text in [state].into_iter().chain(texts) {
            digest.update((text.len() as u64).to_be_bytes());
            digest.update(text);
        }
        let digest = digest.finalize();
        format!("\"{}\"", digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>())
    }
}

/// Why a value is not of its scheme's form.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum IdentifierFault {
    #[error("is of no scheme that the realm has")]
    Scheme,
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
            let domain = super::email::domain(value).ok_or(IdentifierFault::Domain)?;
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

/// Reads identifiers in the schemes of the policy.
///
/// # Errors
/// What is wrong with each that can't be read, with its place in the list.
pub fn identifiers(
    policy: &Policy,
    given: &[(String, String)],
) -> Result<BTreeSet<Identifier>, Vec<(usize, IdentifierFault)>> {
    let mut read = BTreeSet::new();
    let mut faults = vec![];
    for (at, (scheme, value)) in given.iter().enumerate() {
        let canonical = policy.scheme(scheme).ok_or(IdentifierFault::Scheme);
        match canonical.and_then(|scheme| canonical_in(scheme, value)) {
            Ok(identifier) => drop(read.insert(identifier)),
            Err(fault) => faults.push((at, fault)),
        }
    }
    if faults.is_empty() { Ok(read) } else { Err(faults) }
}

fn canonical_in(scheme: &CodeScheme, value: &str) -> Result<Identifier, IdentifierFault> {
    Ok(Identifier { scheme: scheme.name.clone(), value: canonical(scheme, value)? })
}

/// Something that only one organization of a realm is known by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Claim<'a> {
    /// Who carries one of the values in each of these schemes…
    pub values: BTreeMap<&'a str, Vec<&'a str>>,
    /// …and nothing in any of these, has the same claim.
    pub without: Vec<&'a str>,
}

impl Claim<'_> {
    /// The schemes that it is made of, as errors name them.
    #[must_use]
    pub fn schemes(&self) -> String {
        self.values.keys().copied().collect::<Vec<_>>().join(",")
    }
}

/// What an organization with these identifiers claims for itself: each value of a unique scheme, and what it carries in
/// the other schemes together.
#[must_use]
pub fn claims<'a>(policy: &'a Policy, identifiers: &'a BTreeSet<Identifier>) -> Vec<Claim<'a>> {
    let values = |scheme: &CodeScheme| -> Vec<&'a str> {
        identifiers.iter().filter(|own| own.scheme == scheme.name).map(|own| own.value.as_str()).collect()
    };
    let mut claims = vec![];
    let mut together = Claim { values: BTreeMap::new(), without: vec![] };
    for scheme in &policy.code_schemes {
        match (values(scheme), scheme.unique) {
            (own, true) if own.is_empty() => {}
            (own, true) => claims.push(Claim { values: [(scheme.name.as_str(), own)].into(), without: vec![] }),
            (own, false) if own.is_empty() => together.without.push(&scheme.name),
            (own, false) => drop(together.values.insert(&scheme.name, own)),
        }
    }
    claims.extend(Some(together).filter(|together| !together.values.is_empty()));
    claims
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
        let spelled = |text: &str| canonical(&scheme(CodeFormat::Domain), text).unwrap();
        assert_eq!(spelled("xn--bcher-kva.example"), spelled("BÜCHER.example"));
        assert_ne!(spelled("weiß.example"), spelled("weiss.example"));
    }

    #[test]
    fn branches_share_what_is_not_unique_by_itself() {
        let scheme = |name: &str, format, unique| CodeScheme { name: name.into(), format, unique };
        let policy = Policy {
            code_schemes: vec![
                scheme("domain", CodeFormat::Domain, true),
                scheme("uei", CodeFormat::Uei, false),
                scheme("cage", CodeFormat::Cage, false),
            ],
            ..Policy::default()
        };
        let given = |pairs: &[(&str, &str)]| {
            let pairs: Vec<_> = pairs.iter().map(|(scheme, value)| ((*scheme).into(), (*value).into())).collect();
            identifiers(&policy, &pairs)
        };
        let whole = given(&[("uei", "Z1Y2X3W4V5U6"), ("cage", "1abc2"), ("domain", "a.example")]).unwrap();
        let claims_of = claims(&policy, &whole);
        assert_eq!(claims_of.iter().map(Claim::schemes).collect::<Vec<_>>(), ["domain", "cage,uei"]);
        assert_eq!(claims_of[1].values["cage"], ["1ABC2"]);
        let half = given(&[("uei", "Z1Y2X3W4V5U6")]).unwrap();
        assert_eq!(claims(&policy, &half)[0].without, ["cage"]);
        assert!(claims(&policy, &BTreeSet::new()).is_empty());
        let faults = given(&[("duns", "1"), ("domain", "a.example"), ("cage", "O")]).unwrap_err();
        assert_eq!(faults, [(0, IdentifierFault::Scheme), (2, IdentifierFault::Cage)]);
    }
}
