//! What a use case answers instead of a result.

use std::time::Duration;

use super::reason::{Kind, Reason};
use crate::cache;
use crate::crypto::password::HashError;
use crate::domain::account::Gate;
use crate::store;

/// How long a caller should wait before it asks an unavailable record again.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// A failed call.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request itself is wrong: every violated field at once.
    #[error("the request is invalid")]
    Invalid(Vec<Violation>),
    /// Refused, for a reason of the public vocabulary.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A gate of the person keeps the call out, in the realm's words if it has some.
    #[error("{}", gate_text(*gate))]
    Gated { gate: Gate, words: Option<String> },
    /// Not now: again after so long.
    #[error("{reason_text}", reason_text = later_text(*reason))]
    Later { reason: Reason, retry_after: Duration },
    /// A fact changed while it was read together with others. Never leaves this floor: see `app::read`.
    #[error("a fact changed while it was read")]
    Moved,
    /// A fault of ours. Its text never leaves; see `grpc::status`.
    #[error("internal error")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// One field that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// The path of the field in the request, `contacts[0].topic`.
    pub field: String,
    /// What is wrong, naming the limit and the value given.
    pub description: String,
    /// The reason, where it is a more telling one than INVALID_FIELDS.
    pub reason: Option<Reason>,
    /// What belongs to the reason, for machines.
    pub facts: Vec<(&'static str, String)>,
}

impl Violation {
    /// A field that is wrong, for no more telling reason than that.
    #[must_use]
    pub fn new(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self { field: field.into(), description: description.into(), reason: None, facts: vec![] }
    }
}

/// A refusal: the reason, a sentence, and its variable parts for machines.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    pub reason: Reason,
    pub message: String,
    pub facts: Vec<(&'static str, String)>,
    /// What is violated, each by its name and in a sentence; empty where the message says all of it.
    pub each: Vec<(String, String)>,
}

/// The result of a use case.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The code.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.reason().kind()
    }

    /// The reason.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Invalid(violations) => {
                violations.iter().find_map(|violation| violation.reason).unwrap_or(Reason::InvalidFields)
            }
            Self::Refused(refusal) => refusal.reason,
            Self::Gated { gate, .. } => (*gate).into(),
            Self::Later { reason, .. } => *reason,
            Self::Moved => Reason::Unavailable,
            Self::Internal(_) => Reason::Internal,
        }
    }

    /// A refusal without variable parts.
    #[must_use]
    pub fn refused(reason: Reason, message: impl Into<String>) -> Self {
        Refusal { reason, message: message.into(), facts: vec![], each: vec![] }.into()
    }

    /// A refusal whose variable parts a machine can read.
    #[must_use]
    pub fn refused_with(reason: Reason, message: impl Into<String>, facts: Vec<(&'static str, String)>) -> Self {
        Refusal { reason, message: message.into(), facts, each: vec![] }.into()
    }

    /// A refusal for several things at once, each by its name and in a sentence.
    #[must_use]
    pub fn refused_for_each(reason: Reason, each: Vec<(String, String)>) -> Self {
        let message = each.iter().map(|(_, sentence)| sentence.as_str()).collect::<Vec<_>>().join("; ");
        Refusal { reason, message, facts: vec![], each }.into()
    }

    /// One field is wrong.
    #[must_use]
    pub fn field(field: &str, description: impl Into<String>) -> Self {
        Self::Invalid(vec![Violation::new(field, description)])
    }

    /// The target is missing, in another realm, or not the caller's to know of: one message for all three.
    #[must_use]
    pub fn not_found(field: &str) -> Self {
        Self::refused_with(
            Reason::NotFound,
            format!("{field} not found, or not readable by the caller"),
            vec![("field", field.to_owned())],
        )
    }

    /// The record can't be asked just now.
    #[must_use]
    pub fn unavailable() -> Self {
        Self::Later { reason: Reason::Unavailable, retry_after: RETRY_AFTER }
    }

    /// A fault of ours.
    #[must_use]
    pub fn internal(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(source.into())
    }

    /// The same error of the request itself, for a second telling.
    #[must_use]
    pub(super) fn again(&self) -> Self {
        match self {
            Self::Invalid(violations) => Self::Invalid(violations.clone()),
            Self::Refused(refusal) => Self::Refused(refusal.clone()),
            Self::Gated { gate, words } => Self::Gated { gate: *gate, words: words.clone() },
            Self::Later { reason, retry_after } => Self::Later { reason: *reason, retry_after: *retry_after },
            Self::Moved => Self::Moved,
            Self::Internal(source) => Self::internal(source.to_string()),
        }
    }

    /// Whether an authenticated caller was refused by permission, reach or rule: what the audit log keeps.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(
            self.kind(),
            Kind::PermissionDenied | Kind::NotFound | Kind::FailedPrecondition | Kind::AlreadyExists | Kind::Aborted
        )
    }

    /// Whether nothing was found out about the call, neither that it may nor that it may not.
    #[must_use]
    pub fn is_undecided(&self) -> bool {
        let kinds = [Kind::Unavailable, Kind::Internal, Kind::DeadlineExceeded, Kind::ResourceExhausted];
        kinds.contains(&self.kind())
    }

    /// Whether the refusal is about who may, and not about the state of things.
    #[must_use]
    pub fn is_about_access(&self) -> bool {
        matches!(self.kind(), Kind::PermissionDenied | Kind::NotFound | Kind::Unauthenticated)
            || self.reason() == Reason::NotOnOneself
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Unavailable(source) => {
                tracing::warn!(error = %source, "the database is unavailable");
                Self::unavailable()
            }
            store::Error::NotPrimary | store::Error::Busy => {
                tracing::warn!(%error, "the database can't be asked now");
                Self::unavailable()
            }
            store::Error::Conflict(_)
            | store::Error::Corrupt(_)
            | store::Error::Unusable(_)
            | store::Error::MissingRight(_)
            | store::Error::SchemaDiverged { .. }
            | store::Error::SchemaChange { .. }
            | store::Error::HalfChanged { .. } => Self::internal(error),
        }
    }
}

impl From<cache::Unavailable> for Error {
    fn from(_: cache::Unavailable) -> Self {
        Self::unavailable()
    }
}

impl From<cache::Miss> for Error {
    fn from(miss: cache::Miss) -> Self {
        match miss {
            cache::Miss::Moved => Self::Moved,
            cache::Miss::Unavailable(fault) => fault.into(),
        }
    }
}

impl From<HashError> for Error {
    fn from(error: HashError) -> Self {
        match error {
            HashError::Overloaded { retry_after, .. } => Self::Later { reason: Reason::Overloaded, retry_after },
            HashError::GivenUp => Self::internal(error),
        }
    }
}

/// What a gate says where the realm has no words of its own for it.
pub(super) fn gate_text(gate: Gate) -> &'static str {
    match gate {
        Gate::RealmSuspended => "the realm is suspended",
        Gate::Deleted => "the account is deleted",
        Gate::ApprovalPending => "the registration waits for approval",
        Gate::ApprovalRejected => "the registration was rejected",
        Gate::ApprovalExpired => "the registration expired",
        Gate::Blocked => "the account is blocked",
        Gate::Suspended(_) => "the account is suspended",
        Gate::NotYetValid => "the account is not valid yet",
        Gate::NoLongerValid => "the account is no longer valid",
        Gate::EmailNotVerified => "the e-mail address is not verified",
        Gate::PasswordMustChange => "the password must be changed",
        Gate::BasicAccessMissing => "basic access is missing",
        Gate::Disabled => "the service account is disabled",
    }
}

fn later_text(reason: Reason) -> &'static str {
    match reason {
        Reason::RateLimited => "too many requests from this source or about this mailbox",
        Reason::Overloaded => "too much work is waiting",
        Reason::TooManyFollowers => {
            "too many callers follow changes: at most 100 of one account, 1000 of one realm, 2000 of this server"
        }
        Reason::ShuttingDown => "the server is shutting down: follow elsewhere, from the last token",
        Reason::DeadlineExceeded => "the deadline has passed",
        _ => "the service can't know just now",
    }
}
