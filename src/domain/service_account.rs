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

/// Whom an API key or a certificate stands for: the `credential` snapshot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Credential {
    pub realm: RealmId,
    pub platform: bool,
    pub service_account: ServiceAccountId,
    pub expires_at: Option<Timestamp>,
}
