//! Who calls, in which realm, when, and what came with the call.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::clock::Clock;
use super::credential::Caller;
use super::{Error, Reason, Result};
use crate::domain::ids::{PrincipalId, RealmId, SessionId, UserId};
use crate::domain::source::{Network, Source};
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
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
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

/// Whom a public call turned out to be about, for the count of those that are refused. Nobody, of other calls.
#[derive(Clone, Debug, Default)]
pub struct Aimed(Option<Arc<OnceLock<UserId>>>);

impl Aimed {
    /// Of a public call.
    #[must_use]
    pub fn unknown() -> Self {
        Self(Some(Arc::default()))
    }

    /// Whether the call is a public one.
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.0.is_some()
    }

    /// The account, once it is known.
    #[must_use]
    pub fn at(&self) -> Option<UserId> {
        self.0.as_ref()?.get().copied()
    }

    /// Notes the account.
    pub(super) fn set(&self, user: UserId) {
        if let Some(aimed) = &self.0 {
            // The first one stays: a call is about one account.
            let _ = aimed.set(user);
        }
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
    /// When nobody waits for the answer any more, by [`Clock::elapsed`]; `None` = a call of our own.
    pub deadline: Option<Duration>,
    /// Whom the call's credential stands for, if it has one.
    pub caller: Option<Arc<Caller>>,
    /// When the credential stops to hold, if it does.
    pub credential_expires_at: Option<Timestamp>,
    /// Where the call came from.
    pub peer: Option<Source>,
    /// Names this call in logs and errors.
    pub call: CallId,
    pub trace_id: Option<String>,
    pub repeat: Option<Repeat>,
    pub aimed: Aimed,
}

impl Ctx {
    /// What limits count the call's source as.
    pub(super) fn network(&self) -> Option<Network> {
        self.peer.map(Source::network)
    }

    /// The acting principal of a call that is not public.
    ///
    /// # Errors
    /// CREDENTIAL_MISSING.
    pub fn actor_id(&self) -> Result<PrincipalId> {
        let missing = || Error::refused(Reason::CredentialMissing, "a credential is required");
        self.actor.id().ok_or_else(missing)
    }

    /// Does what has a point only while somebody waits for the answer. At the deadline it ends where it stands.
    ///
    /// # Errors
    /// DEADLINE_EXCEEDED.
    pub(crate) async fn in_time<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        let Some(deadline) = self.deadline else { return Ok(work.await) };
        let left = deadline.saturating_sub(Clock::elapsed());
        tokio::time::timeout(left, work).await.map_err(|_| too_late())
    }

    /// Requires that somebody still waits for the answer.
    ///
    /// # Errors
    /// DEADLINE_EXCEEDED.
    pub(crate) fn require_time(&self) -> Result<()> {
        if self.deadline.is_some_and(|deadline| deadline <= Clock::elapsed()) { Err(too_late()) } else { Ok(()) }
    }
}

fn too_late() -> Error {
    Error::Later { reason: Reason::DeadlineExceeded, retry_after: Duration::ZERO }
}
