//! What tallies of failed attempts are kept under: digests of what is tried, an account or an address, and of the place.
//!
//! Nobody who reads the record learns from them who tried to sign in, from where, or with an address that is nobody's.
//! Of the root key's lifetime: tallies made under another root key are not found, and begin anew.

use super::root_key::{Label, MAC_BYTES, RootKeys};
use crate::domain::ids::{RealmId, UserId};

/// What is tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Aim<'a> {
    /// The password of an account.
    Account(UserId),
    /// An address in its folded form that is nobody's, or of somebody whose password does not count yet.
    Address(&'a str),
}

impl Aim<'_> {
    /// In which way it is named, and how: nothing that anybody could type is an account.
    fn parts(&self) -> [&[u8]; 2] {
        match self {
            Self::Account(user) => [b"account", user.0.as_bytes()],
            Self::Address(identity) => [b"address", identity.as_bytes()],
        }
    }
}

/// What attempts are counted under.
#[must_use]
pub fn account(keys: &RootKeys, realm: RealmId, aim: Aim<'_>) -> [u8; MAC_BYTES] {
    let [kind, name] = aim.parts();
    keys.mac(Label::Throttle, &[realm.0.as_bytes(), kind, name])
}

/// A place that attempts at this aim come from. At another one the same place has another digest.
#[must_use]
pub fn source(keys: &RootKeys, realm: RealmId, aim: Aim<'_>, place: &[u8]) -> [u8; MAC_BYTES] {
    let [kind, name] = aim.parts();
    keys.mac(Label::Throttle, &[realm.0.as_bytes(), kind, name, place])
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::crypto::root_key::tests::keys;

    const REALM: RealmId = RealmId(Uuid::from_u128(1));
    const OTHER: RealmId = RealmId(Uuid::from_u128(2));
    const ANN: Aim<'_> = Aim::Address("ann@example.com");
    const BOB: Aim<'_> = Aim::Address("bob@example.com");

    #[test]
    fn a_digest_stands_for_one_address_and_one_place_in_one_realm() {
        let keys = keys(1);
        let digests = [
            account(&keys, REALM, ANN),
            account(&keys, REALM, BOB),
            account(&keys, OTHER, ANN),
            account(&keys, REALM, Aim::Account(UserId(Uuid::from_u128(3)))),
            account(&keys, REALM, Aim::Account(UserId(Uuid::from_u128(4)))),
            source(&keys, REALM, ANN, b"192.0.2.1"),
            source(&keys, REALM, BOB, b"192.0.2.1"),
            source(&keys, REALM, ANN, b""),
        ];
        for (index, digest) in digests.iter().enumerate() {
            assert!(!digests[..index].contains(digest), "{index}");
        }
        assert_eq!(account(&keys, REALM, ANN), digests[0]);
    }
}
