//! The secrets of the service: keys, passwords, codes and every token that leaves it.
//!
//! Each file is one kind of secret with its text form, made and checked here and nowhere else. All keys come from one
//! [`root_key`], one label per purpose, so that what was made for one purpose proves nothing for another. Nothing here
//! reads a clock, a database or the environment: `now` is an argument, and single use is the caller's to enforce.
//! Called by `app`; imports `domain`'s identifiers and time only.

use std::fmt;

use zeroize::{Zeroize, Zeroizing};

use crate::domain::ids::Mark;

pub mod access_token;
pub mod api_key;
pub mod code;
mod common_passwords;
pub mod consistency_token;
pub mod hash_pool;
pub mod key_file;
pub mod page_token;
pub mod password;
pub mod password_change;
pub mod password_policy;
pub mod refresh_token;
pub mod root_key;
pub mod secret_file;
pub mod signing;
pub mod throttle;
pub mod tombstone;
mod turns;

/// A value that must not be seen: never printed by `Debug`, overwritten when dropped.
#[derive(Clone)]
pub struct Secret<T: Zeroize>(Zeroizing<T>);

impl<T: Zeroize> Secret<T> {
    #[must_use]
    pub fn new(value: T) -> Self {
        Self(Zeroizing::new(value))
    }

    /// Gives the value itself. Every call is a place where it may leak.
    #[must_use]
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Makes `N` bytes that nobody can predict, from the operating system's generator.
///
/// # Panics
/// If the operating system has no randomness to give. Linux does not fail once it has booted, and going on without
/// would hand out secrets that can be guessed.
#[must_use]
#[expect(clippy::expect_used, reason = "a service without randomness must stop, not go on with guessable secrets")]
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives randomness");
    bytes
}

/// Makes the mark of a new revision.
#[must_use]
pub fn random_mark() -> Mark {
    Mark(i64::from_ne_bytes(random_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show_itself() {
        assert_eq!(format!("{:?}", Secret::new("hunter2".to_owned())), "[redacted]");
    }

    #[test]
    fn random_bytes_do_not_repeat() {
        assert_ne!(random_bytes::<16>(), random_bytes::<16>());
        assert_ne!(random_mark(), random_mark());
    }
}
