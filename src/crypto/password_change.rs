//! Tokens that a sign-in answers to whom has to change the password: they open ChangePassword, and nothing else.
//!
//! Bound to the realm, the account and its epoch, so that the change that a token was made for ends it, as does whatever
//! else ends sessions. It is no access token and looks like none: who verifies those by themself can't take it for one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use super::Secret;
use super::root_key::{Label, MAC_BYTES, RootKeys};
use crate::domain::ids::{RealmId, UserId};
use crate::domain::time::Timestamp;

/// What every such token begins with: a scanner of logs knows it, and nobody takes it for an API key.
pub const PREFIX: &str = "cspc_";

/// Realm, account, epoch, and the instant of its end.
const SAID_BYTES: usize = 16 + 16 + 8 + 8;

/// What a token says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PasswordChangeToken {
    pub realm: RealmId,
    pub user: UserId,
    /// The account's epoch when the token was made.
    pub epoch: i64,
    pub expires_at: Timestamp,
}

impl PasswordChangeToken {
    /// Gives the text to answer.
    #[must_use]
    pub fn print(&self, keys: &RootKeys) -> Secret<String> {
        let said = self.said();
        let mac = keys.mac(Label::PasswordChange, &[&said]);
        Secret::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode([&said[..], &mac[..]].concat())))
    }

    /// Reads a token. `None` if it is not one that this service made. Whether it has ended is for the caller to ask.
    #[must_use]
    pub fn parse(keys: &RootKeys, text: &str) -> Option<Self> {
        let mut bytes = [0; SAID_BYTES + MAC_BYTES];
        let read = URL_SAFE_NO_PAD.decode_slice(text.strip_prefix(PREFIX)?, &mut bytes).ok()?;
        let (said, mac) = bytes.split_at(SAID_BYTES);
        if read != bytes.len() || !keys.proves(Label::PasswordChange, &[said], mac) {
            return None;
        }
        let (realm, rest) = said.split_first_chunk()?;
        let (user, rest) = rest.split_first_chunk()?;
        let (epoch, rest) = rest.split_first_chunk()?;
        Some(Self {
            realm: RealmId(Uuid::from_bytes(*realm)),
            user: UserId(Uuid::from_bytes(*user)),
            epoch: i64::from_be_bytes(*epoch),
            expires_at: Timestamp(i64::from_be_bytes(rest.try_into().ok()?)),
        })
    }

    fn said(&self) -> [u8; SAID_BYTES] {
        let mut said = [0; SAID_BYTES];
        said[..16].copy_from_slice(self.realm.0.as_bytes());
        said[16..32].copy_from_slice(self.user.0.as_bytes());
        said[32..40].copy_from_slice(&self.epoch.to_be_bytes());
        said[40..].copy_from_slice(&self.expires_at.0.to_be_bytes());
        said
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::crypto::root_key::tests::{keys, rotating};

    fn token(epoch: i64, expires_at: i64) -> PasswordChangeToken {
        let (realm, user) = (RealmId(Uuid::from_u128(1)), UserId(Uuid::from_u128(2)));
        PasswordChangeToken { realm, user, epoch, expires_at: Timestamp(expires_at) }
    }

    #[test]
    fn a_token_is_known_under_both_keys_of_a_rotation_and_under_no_other() {
        let text = token(3, 4).print(&keys(1));
        assert_eq!(PasswordChangeToken::parse(&rotating(2, 1), text.expose()), Some(token(3, 4)));
        assert_eq!(PasswordChangeToken::parse(&keys(2), text.expose()), None);
    }

    proptest! {
        #[test]
        fn parse_undoes_print(epoch: i64, expires_at: i64) {
            let text = token(epoch, expires_at).print(&keys(1));
            prop_assert_eq!(PasswordChangeToken::parse(&keys(1), text.expose()), Some(token(epoch, expires_at)));
        }

        #[test]
        fn a_changed_token_is_refused(at: prop::sample::Index, typed in "[0-9A-Za-z_-]") {
            let mut text = token(3, 4).print(&keys(1)).expose().clone();
            let at = at.index(text.len());
            prop_assume!(text[at..=at] != typed);
            text.replace_range(at..=at, &typed);
            prop_assert_eq!(PasswordChangeToken::parse(&keys(1), &text), None);
        }

        #[test]
        fn whatever_else_is_typed_is_refused(text in ".*|cspc_[0-9A-Za-z_-]*") {
            prop_assert_eq!(PasswordChangeToken::parse(&keys(1), &text), None);
        }
    }
}
