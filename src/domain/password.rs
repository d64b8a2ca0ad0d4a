//! What a person proves a mailbox with to set a new password, and how long that and what follows hold.

use std::time::Duration;

/// How long the code in a reset mail holds.
pub const RESET_TTL: Duration = Duration::from_secs(30 * 60);

/// So many reset mails go to one person within [`RESETS_WITHIN`]: beyond, a stranger who keeps asking would void each
/// link before its owner could use it.
pub const RESETS_MAX: u64 = 3;

/// The time in which [`RESETS_MAX`] are counted. A link lives for a third of it at least.
pub const RESETS_WITHIN: Duration = Duration::from_secs(15 * 60);

/// How long a token for ChangePassword holds that a sign-in answered: long enough to think of a password.
pub const CHANGE_TOKEN_TTL: Duration = Duration::from_secs(10 * 60);
