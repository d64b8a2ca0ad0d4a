//! Identifiers: one newtype per noun, so that two of them can't be swapped.
//!
//! All are UUIDv7, made by the server and printed as canonical lower-case text. `domain` never makes one (it has no
//! randomness): `App::new_id` does.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }
    )*};
}

ids! {
    /// One portal.
    RealmId
    /// One person's account in one realm.
    UserId
    /// A sibling service or an operator's automation.
    ServiceAccountId
    /// A user or a service account: what entries are assigned to and checks ask about.
    PrincipalId
    /// A company, brand or partner in a realm.
    OrganizationId
    /// A named set of permission patterns.
    RoleId
    /// An assignment or a grant.
    EntryId
    /// One sign-in of one user.
    SessionId
    /// A single-use code in a mail.
    CodeId
    /// One API key of a service account.
    ApiKeyId
    /// One mail; also the left part of its Message-ID.
    MessageId
    /// One line of the audit log.
    EventId
    /// One signing key of a realm; also its `kid`.
    SigningKeyId
}

impl From<UserId> for PrincipalId {
    fn from(id: UserId) -> Self {
        Self(id.0)
    }
}

impl From<ServiceAccountId> for PrincipalId {
    fn from(id: ServiceAccountId) -> Self {
        Self(id.0)
    }
}

/// Counts the changes of one realm that can alter a decision or an authentication.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub i64);

/// The random 64-bit mark of a revision: tells a revision from another of the same number after a restore.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mark(pub i64);
