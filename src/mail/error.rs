//! What keeps a mail from being delivered.

use std::io;

/// A mail that could not be handed over. The text has neither an address nor a path in it.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    #[error("the mail's file could not be written: {0}")]
    File(io::ErrorKind),
    /// Whatever the mail: no other one would have left either.
    #[error("the mail server can't be used: {0}")]
    Server(String),
    /// This mail, for now.
    #[error("the mail server did not take the mail: {0}")]
    Deferred(String),
    /// Not by its policy (RFC 3463: 5.7.x): what the operator has to see to, at this server or that one, and may be put
    /// right before the last attempt.
    #[error("the mail server refuses by its policy: {0}")]
    Policy(String),
    /// This mail, for good.
    #[error("the mail server refused the mail for good: {0}")]
    Refused(String),
}
