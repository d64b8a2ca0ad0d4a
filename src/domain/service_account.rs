//! Service accounts and their API keys.

use serde::{Deserialize, Serialize};

use super::ids::{ApiKeyId, OrganizationId, PrincipalId, RealmId, ServiceAccountId};
use super::time::Timestamp;

/// A sibling service or an operator's automation, as the record has it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ServiceAccount {
    pub id: ServiceAccountId,
    /// The natural handle: unique in the realm, never looks like an id.
    pub name: String,
    pub title: String,
    /// Absent = of the realm.
    pub organization: Option<OrganizationId>,
    pub spiffe_id: Option<String>,
    pub disabled_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub created_by: Option<PrincipalId>,
    pub version: i64,
}

impl ServiceAccount {
    /// Opaque to clients; equal as long as nobody wrote the account.
    #[must_use]
    pub fn etag(&self) -> String {
        format!("\"{}\"", self.version)
    }
}

/// The most keys of one account that are neither revoked nor expired.
pub const LIVE_KEYS_MAX: u64 = 100;

/// One API key; the secret itself is stored nowhere.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ApiKey {
    pub id: ApiKeyId,
    pub service_account: ServiceAccountId,
    /// SHA-256 of the secret.
    pub secret_hash: [u8; 32],
    pub title: String,
    pub created_at: Timestamp,
    pub created_by: Option<PrincipalId>,
    pub expires_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
    /// Noted about once an hour; absent = never used.
    pub last_used_at: Option<Timestamp>,
}

/// Whom an API key stands for: the `credential` snapshot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Credential {
    pub realm: RealmId,
    pub platform: bool,
    pub service_account: ServiceAccountId,
    pub expires_at: Option<Timestamp>,
}

/// The longest SPIFFE id (SPIFFE-ID section 2.3), in bytes.
pub const SPIFFE_ID_BYTES_MAX: usize = 2048;
/// The longest trust domain (SPIFFE-ID section 2.1), in bytes.
const TRUST_DOMAIN_BYTES_MAX: usize = 255;

/// Whether a text is the SPIFFE id of a workload: `spiffe://`, a trust domain of `a-z`, `0-9`, `.`, `-` and `_`, and a
/// path of segments of letters, digits and the same signs (SPIFFE-ID section 2).
#[must_use]
pub fn is_spiffe_id(text: &str) -> bool {
    let Some((domain, path)) = text.strip_prefix("spiffe://").and_then(|rest| rest.split_once('/')) else {
        return false;
    };
    let sign = |c: u8| b".-_".contains(&c);
    let in_domain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || sign(c);
    let segment = |segment: &str| {
        !matches!(segment, "" | "." | "..") && segment.bytes().all(|c| c.is_ascii_alphanumeric() || sign(c))
    };
    text.len() <= SPIFFE_ID_BYTES_MAX
        && (1..=TRUST_DOMAIN_BYTES_MAX).contains(&domain.len())
        && domain.bytes().all(in_domain)
        && path.split('/').all(segment)
}

#[cfg(test)]
mod tests {
    use super::is_spiffe_id;

    #[test]
    fn a_workload_is_named_by_trust_domain_and_path() {
        for text in ["spiffe://example.org/shop", "spiffe://prod/ns/web/sa/Front_end"] {
            assert!(is_spiffe_id(text), "{text:?}");
        }
        for text in [
            "",
            "example.org/shop",
            "spiffe://example.org",
            "spiffe://example.org/",
            "spiffe:///shop",
            "spiffe://Example.org/shop",
            "spiffe://example.org:8443/shop",
            "spiffe://example.org/a//b",
            "spiffe://example.org/../b",
            "spiffe://example.org/a?b",
            &format!("spiffe://example.org/{}", "a".repeat(2048)),
        ] {
            assert!(!is_spiffe_id(text), "{text:?}");
        }
    }
}
