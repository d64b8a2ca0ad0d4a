//! Consistency tokens: a write returns one, a check that carries it sees that write.
//!
//! Opaque to clients and authenticated, so that nobody can make a replica wait for a revision that never was. It holds no
//! secret: who reads one learns a revision. Whether its revision is still in the log is for the cache to say.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use super::root_key::{Label, MIN_MAC_BYTES, RootKeys};
use crate::domain::ids::{Mark, RealmId, Revision};

/// Length of a token before it is printed, in bytes: realm, revision, mark, MAC. Printed it is 64 characters, without a
/// remainder.
const TOKEN_BYTES: usize = 16 + 8 + 8 + MIN_MAC_BYTES;

/// A revision of a realm that a check must not be older than.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConsistencyToken {
    pub realm: RealmId,
    pub revision: Revision,
    pub mark: Mark,
}

impl ConsistencyToken {
    /// Prints the token: 64 URL-safe characters.
    #[must_use]
    pub fn print(&self, keys: &RootKeys) -> String {
        let claim = self.claim();
        let mac = keys.mac(Label::ConsistencyToken, &[&claim]);
        URL_SAFE_NO_PAD.encode([&claim, &mac[..MIN_MAC_BYTES]].concat())
    }

    /// Reads a token as a caller presents it. `None` if this service did not make it, under either root key.
    #[must_use]
    pub fn parse(keys: &RootKeys, text: &str) -> Option<Self> {
        let mut bytes = [0; TOKEN_BYTES];
        let read = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        let (realm, rest) = bytes[..read].split_first_chunk()?;
        let (revision, rest) = rest.split_first_chunk()?;
        let (mark, mac) = rest.split_first_chunk()?;
        let token = Self {
            realm: RealmId(Uuid::from_bytes(*realm)),
            revision: Revision(i64::from_be_bytes(*revision)),
            mark: Mark(i64::from_be_bytes(*mark)),
        };
        keys.proves(Label::ConsistencyToken, &[&token.claim()], mac).then_some(token)
    }

    fn claim(&self) -> Vec<u8> {
        [&self.realm.0.as_bytes()[..], &self.revision.0.to_be_bytes(), &self.mark.0.to_be_bytes()].concat()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::crypto::root_key::tests::{keys, rotating};

    fn token(realm: u128, revision: i64, mark: i64) -> ConsistencyToken {
        ConsistencyToken { realm: RealmId(Uuid::from_u128(realm)), revision: Revision(revision), mark: Mark(mark) }
    }

    #[test]
    fn a_token_outlives_one_rotation_of_the_root_key() {
        let text = token(1, 2, 3).print(&keys(1));
        assert_eq!(ConsistencyToken::parse(&rotating(2, 1), &text), Some(token(1, 2, 3)));
        assert_eq!(ConsistencyToken::parse(&keys(2), &text), None);
    }

    proptest! {
        #[test]
        fn parse_undoes_print(realm: u128, revision: i64, mark: i64) {
            let token = token(realm, revision, mark);
            prop_assert_eq!(ConsistencyToken::parse(&keys(1), &token.print(&keys(1))), Some(token));
        }

        #[test]
        fn a_changed_token_is_refused(at in 0..64_usize, typed in "[0-9A-Za-z_-]") {
            let mut text = token(1, 2, 3).print(&keys(1));
            prop_assume!(text[at..=at] != typed);
            text.replace_range(at..=at, &typed);
            prop_assert_eq!(ConsistencyToken::parse(&keys(1), &text), None);
        }

        #[test]
        fn whatever_else_is_typed_is_refused(text in ".*") {
            prop_assert_eq!(ConsistencyToken::parse(&keys(1), &text), None);
        }
    }
}
