//! Who calls, in which realm, when, and what came with the call.

use std::net::IpAddr;

use crate::domain::ids::{PrincipalId, RealmId, SessionId};
use crate::domain::time::Timestamp;

/// Who performs a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Actor {
    /// A public call without a credential.
    Anonymous,
    /// A user or service account of the realm.
    Principal { id: PrincipalId, session: Option<SessionId> },
    /// A platform account, working in the realm that it named.
    Platform { id: PrincipalId },
}

impl Actor {
    /// The principal, if there is one.
    #[must_use]
    pub fn id(self) -> Option<PrincipalId> {
        match self {
            Self::Anonymous => None,
            Self::Principal { id, .. } | Self::Platform { id } => Some(id),
        }
    }
}

/// Makes a call safe to repeat.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Repeat {
    pub request_id: String,
    /// A digest of the request without its id.
    pub body_digest: [u8; 32],
}

/// Names one call in logs and errors: unique to this process and, in all likelihood, among all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CallId {
    pub process: u64,
    pub number: u64,
}

impl CallId {
    /// A number that tells this process from others.
    #[must_use]
    pub fn new_process() -> u64 {
        u64::from_le_bytes(crate::crypto::random_bytes())
    }
}

impl std::fmt::Display for CallId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}-{:x}", self.process, self.number)
    }
}

/// One call.
#[derive(Clone, Debug)]
pub struct Ctx {
    pub realm: RealmId,
    pub actor: Actor,
    /// The RPC's name, `ApproveRegistration`.
    pub rpc: &'static str,
    pub now: Timestamp,
    /// When the credential stops to hold, if it does.
    pub credential_expires_at: Option<Timestamp>,
    /// The address that the call came from.
    pub peer: Option<IpAddr>,
    /// Names this call in logs and errors.
    pub call: CallId,
    pub trace_id: Option<String>,
    pub repeat: Option<Repeat>,
}

impl Ctx {
    /// The acting principal of a call that is not public.
    ///
    /// # Errors
    /// CREDENTIAL_MISSING.
    pub fn actor_id(&self) -> super::Result<PrincipalId> {
        let missing = || super::Error::refused(super::Reason::CredentialMissing, "a credential is required");
        self.actor.id().ok_or_else(missing)
    }
}
