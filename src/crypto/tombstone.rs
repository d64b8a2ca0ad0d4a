//! Tombstones: what is kept of the identity of a deleted account.
//!
//! An HMAC of the address, so that the same address is recognised without being kept. Of the root keys' lifetime: a
//! tombstone made under a root key is no longer found once that key is neither current nor previous.

use super::root_key::{Label, MAC_BYTES, RootKeys};
use crate::domain::ids::RealmId;

/// Makes the tombstone of an identity, the address in its folded form.
#[must_use]
pub fn tombstone(keys: &RootKeys, realm: RealmId, identity: &str) -> [u8; MAC_BYTES] {
    keys.mac(Label::Tombstone, &[realm.0.as_bytes(), identity.as_bytes()])
}

/// Makes every tombstone that may stand for an identity: one, or two while the root key rotates. Look up all of them.
#[must_use]
pub fn tombstones(keys: &RootKeys, realm: RealmId, identity: &str) -> Vec<[u8; MAC_BYTES]> {
    keys.macs(Label::Tombstone, &[realm.0.as_bytes(), identity.as_bytes()]).collect()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::crypto::root_key::tests::{keys, rotating};

    const REALM: RealmId = RealmId(Uuid::from_u128(1));
    const OTHER: RealmId = RealmId(Uuid::from_u128(2));

    #[test]
    fn a_tombstone_stands_for_one_identity_in_one_realm() {
        let stone = tombstone(&keys(1), REALM, "ann@example.com");
        assert_eq!(stone, tombstone(&keys(1), REALM, "ann@example.com"));
        assert_ne!(stone, tombstone(&keys(1), OTHER, "ann@example.com"));
        assert_ne!(stone, tombstone(&keys(1), REALM, "bob@example.com"));
    }

    #[test]
    fn a_tombstone_is_found_while_the_root_key_rotates() {
        let old = tombstone(&keys(1), REALM, "ann@example.com");
        let new = tombstone(&keys(2), REALM, "ann@example.com");
        assert_eq!(tombstones(&rotating(2, 1), REALM, "ann@example.com"), [new, old]);
        assert_eq!(tombstones(&keys(2), REALM, "ann@example.com"), [new]);
    }
}
