//! What a person proves a mailbox with to set a new password, and how long that and what follows hold.

use std::time::Duration;

/// How long the code in a reset mail holds.
pub const RESET_TTL: Duration = Duration::from_secs(30 * 60);

/// How long a token for ChangePassword holds that a sign-in answered: long enough to think of a password.
pub const CHANGE_TOKEN_TTL: Duration = Duration::from_secs(10 * 60);
