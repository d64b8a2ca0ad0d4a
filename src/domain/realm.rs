//! Realms, and the signing keys that their tokens are made with.

use serde::{Deserialize, Serialize};

use super::ids::{Mark, RealmId, Revision, SigningKeyId};
use super::policy::Policy;
use super::time::Timestamp;
use super::workload::{SpiffeId, SpiffePrefix};

/// The realm that a fresh server has, and that a public call means when it names none.
pub const DEFAULT_REALM: &str = "default";
/// The realm in which platform accounts live. No call can name it.
pub const PLATFORM_REALM: &str = "platform";

/// One portal, as the record has it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Realm {
    pub id: RealmId,
    pub name: String,
    pub title: String,
    pub platform: bool,
    pub suspended: bool,
    pub policy: Policy,
    /// What the SPIFFE ids of its service accounts begin with; no other realm's begin so.
    #[serde(default)]
    pub spiffe_prefixes: Vec<SpiffePrefix>,
    pub position: Position,
    /// The revision at which the catalogue changed last.
    pub catalogue_revision: Revision,
    pub version: i64,
    pub created_at: Timestamp,
}

impl Realm {
    /// Whether a service account of the realm may have this SPIFFE id.
    #[must_use]
    pub fn may_name(&self, id: &SpiffeId) -> bool {
        self.spiffe_prefixes.iter().any(|prefix| prefix.covers(id))
    }

    /// Opaque to clients; equal as long as nobody wrote title, state, policy or prefixes.
    #[must_use]
    pub fn etag(&self) -> String {
        format!("\"{}\"", self.version)
    }
}

/// A revision of a realm together with its mark: what a consistency token says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Position {
    pub revision: Revision,
    pub mark: Mark,
}

/// One of a realm's signing keys; the secret half is sealed under the root key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SigningKeyRow {
    pub id: SigningKeyId,
    pub public_key: Vec<u8>,
    pub sealed_key: Vec<u8>,
    pub created_at: Timestamp,
    pub retired_at: Option<Timestamp>,
}
