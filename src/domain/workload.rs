//! Workloads: services that are recognised by the certificate that they connect with (SPIFFE).
//!
//! A certificate that a configured authority vouches for names its holder by a SPIFFE id. Which service account has
//! that id is for the record to say; nobody's id is no credential, only transport.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::time::Timestamp;

/// The longest SPIFFE id (SPIFFE-ID section 2.3), in bytes.
pub const SPIFFE_ID_BYTES_MAX: usize = 2048;
/// The longest trust domain (SPIFFE-ID section 2.1), in bytes.
const TRUST_DOMAIN_BYTES_MAX: usize = 255;
/// Keeps the digest of a SPIFFE id apart from that of an API key, which stands in the same place.
const DIGEST_OF: &[u8] = b"countersign spiffe id\0";

/// The SPIFFE id of a workload, with the digest that caches and the change log know it by.
#[derive(Clone, PartialEq, Eq)]
pub struct SpiffeId {
    text: Box<str>,
    digest: [u8; 32],
}

impl SpiffeId {
    /// Reads `spiffe://`, a trust domain of `a-z`, `0-9`, `.`, `-` and `_`, and a path of segments of letters, digits
    /// and the same signs (SPIFFE-ID section 2). `None` = it is none, or names a trust domain and no workload.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (domain, path) = text.strip_prefix("spiffe://")?.split_once('/')?;
        let sign = |c: u8| b".-_".contains(&c);
        let in_domain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || sign(c);
        let segment = |segment: &str| {
            !matches!(segment, "" | "." | "..") && segment.bytes().all(|c| c.is_ascii_alphanumeric() || sign(c))
        };
        let well_formed = text.len() <= SPIFFE_ID_BYTES_MAX
            && (1..=TRUST_DOMAIN_BYTES_MAX).contains(&domain.len())
            && domain.bytes().all(in_domain)
            && path.split('/').all(segment);
        let digest = || Sha256::new().chain_update(DIGEST_OF).chain_update(text).finalize().into();
        well_formed.then(|| Self { text: text.into(), digest: digest() })
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The part that says which authorities may vouch for it.
    #[must_use]
    pub fn trust_domain(&self) -> &str {
        self.text.split('/').nth(2).unwrap_or_default()
    }

    /// What `Key::Credential` has of it.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }
}

/// What SPIFFE ids of a realm begin with: a trust domain, or one with the beginning of a path, as whole segments.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct SpiffePrefix(String);

impl SpiffePrefix {
    /// Reads `spiffe://TRUST-DOMAIN/` or `spiffe://TRUST-DOMAIN/PATH/`, which ends with a slash so that no segment is cut.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // What the prefix and one more segment make is an id.
        let covers_ids = text.ends_with('/') && SpiffeId::parse(&format!("{text}x")).is_some();
        covers_ids.then(|| Self(text.to_owned()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    #[must_use]
    pub fn covers(&self, id: &SpiffeId) -> bool {
        id.text.starts_with(&self.0)
    }

    /// Whether some id begins with both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0) || other.0.starts_with(&self.0)
    }
}

impl fmt::Debug for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Who is at the other end of a connection, by the certificate that was verified when it began.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Workload {
    pub spiffe_id: SpiffeId,
    /// When the certificate ends, exclusive; a connection may last longer.
    pub expires_at: Timestamp,
}

/// What a service account is recognised by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Presented {
    /// An API key, by the SHA-256 of its secret.
    ApiKey([u8; 32]),
    Workload(Arc<Workload>),
}

impl Presented {
    /// What `Key::Credential` has of it.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        match self {
            Self::ApiKey(hash) => *hash,
            Self::Workload(workload) => workload.spiffe_id.digest(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{SpiffeId, SpiffePrefix};

    #[test]
    fn a_workload_is_named_by_trust_domain_and_path() {
        for text in ["spiffe://example.org/shop", "spiffe://prod/ns/web/sa/Front_end"] {
            assert_eq!(SpiffeId::parse(text).unwrap().as_str(), text);
        }
        assert_eq!(SpiffeId::parse("spiffe://example.org/shop/till").unwrap().trust_domain(), "example.org");
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
            assert!(SpiffeId::parse(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn a_prefix_is_made_of_whole_segments() {
        let prefix = |text| SpiffePrefix::parse(text).unwrap();
        for text in ["", "spiffe://", "spiffe:///", "spiffe://example.org", "spiffe://example.org/a", "example.org/"] {
            assert!(SpiffePrefix::parse(text).is_none(), "{text:?}");
        }
        let (domain, path) = (prefix("spiffe://example.org/"), prefix("spiffe://example.org/ns/web/"));
        let id = |text| SpiffeId::parse(text).unwrap();
        assert!(domain.covers(&id("spiffe://example.org/shop")));
        assert!(!domain.covers(&id("spiffe://example.org.evil/shop")));
        assert!(path.covers(&id("spiffe://example.org/ns/web/sa/x")));
        assert!(!path.covers(&id("spiffe://example.org/ns/website")));
        assert!(domain.overlaps(&path) && path.overlaps(&domain));
        assert!(!path.overlaps(&prefix("spiffe://example.org/ns/website/")));
    }

    #[test]
    fn another_id_has_another_digest() {
        let digest = |text| SpiffeId::parse(text).unwrap().digest();
        assert_eq!(digest("spiffe://example.org/shop"), digest("spiffe://example.org/shop"));
        assert_ne!(digest("spiffe://example.org/shop"), digest("spiffe://example.org/shop2"));
    }
}
