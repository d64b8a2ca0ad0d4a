//! What tallies of failed attempts are kept under: digests of the address and of the place.
//!
//! Nobody who reads the record learns from them who tried to sign in, from where, or with an address that is nobody's.
//! Of the root key's lifetime: tallies made under another root key are not found, and begin anew.

use super::root_key::{Label, MAC_BYTES, RootKeys};
use crate::domain::ids::RealmId;

/// Whose attempts are counted: an address in its folded form, whether or not somebody has it.
#[must_use]
pub fn account(keys: &RootKeys, realm: RealmId, identity: &str) -> [u8; MAC_BYTES] {
    keys.mac(Label::Throttle, &[realm.0.as_bytes(), identity.as_bytes()])
}

/// A place that attempts at this address come from. At another address the same place has another digest.
#[must_use]
pub fn source(keys: &RootKeys, realm: RealmId, identity: &str, place: &[u8]) -> [u8; MAC_BYTES] {
    keys.mac(Label::Throttle, &[realm.0.as_bytes(), identity.as_bytes(), place])
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::crypto::root_key::tests::keys;

    const REALM: RealmId = RealmId(Uuid::from_u128(1));
    const OTHER: RealmId = RealmId(Uuid::from_u128(2));

    #[test]
    fn a_digest_stands_for_one_address_and_one_place_in_one_realm() {
        let keys = keys(1);
        let digests = [
            account(&keys, REALM, "ann@example.com"),
            account(&keys, REALM, "bob@example.com"),
            account(&keys, OTHER, "ann@example.com"),
            source(&keys, REALM, "ann@example.com", b"192.0.2.1"),
            source(&keys, REALM, "bob@example.com", b"192.0.2.1"),
            source(&keys, REALM, "ann@example.com", b""),
        ];
        for (index, digest) in digests.iter().enumerate() {
            assert!(!digests[..index].contains(digest), "{index}");
        }
        assert_eq!(account(&keys, REALM, "ann@example.com"), digests[0]);
    }
}
