//! Tombstones: what is kept of the identity of a deleted account.
//!
//! An HMAC of the address, so that the same address is recognised without being kept. The key is random and the realm's
//! own, stored sealed like its signing keys: when the root key rotates it is sealed anew, and the tombstones stand.

use chacha20poly1305::KeyInit;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::root_key::{KEY_BYTES, Label, MAC_BYTES, RootKeys};
use super::{Secret, random_bytes};
use crate::domain::ids::RealmId;

/// What a stored key is bound to, beside its realm.
const SEALED_AS: &[u8] = b"tombstone-key";

/// What a realm's tombstones are made with.
#[derive(Clone, Debug)]
pub struct TombstoneKey(Secret<[u8; KEY_BYTES]>);

impl TombstoneKey {
    /// Makes a new random key.
    #[must_use]
    pub fn generate() -> Self {
        Self(Secret::new(random_bytes()))
    }

    /// Seals the key for the record. Only the same realm opens it.
    #[must_use]
    pub fn seal(&self, keys: &RootKeys, realm: RealmId) -> Vec<u8> {
        keys.seal(Label::Seal, self.0.expose(), &[SEALED_AS, realm.0.as_bytes()])
    }

    /// Opens a key of the record. `None` if neither root key opens it, or it was sealed for another realm.
    #[must_use]
    pub fn open(keys: &RootKeys, realm: RealmId, sealed: &[u8]) -> Option<Self> {
        let key = keys.open(Label::Seal, sealed, &[SEALED_AS, realm.0.as_bytes()])?;
        let key = key.expose().as_slice().try_into().ok()?;
        Some(Self(Secret::new(key)))
    }

    /// Makes the tombstone of an identity, the address in its folded form.
    #[must_use]
    #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
    pub fn tombstone(&self, identity: &str) -> [u8; MAC_BYTES] {
        let hmac = Hmac::<Sha256>::new_from_slice(self.0.expose()).expect("HMAC takes a key of any length");
        hmac.chain_update(identity.as_bytes()).finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::crypto::root_key::tests::{keys, rotating};

    const REALM: RealmId = RealmId(Uuid::from_u128(1));
    const OTHER: RealmId = RealmId(Uuid::from_u128(2));

    #[test]
    fn a_tombstone_stands_for_one_identity_under_one_key() {
        let (key, other) = (TombstoneKey::generate(), TombstoneKey::generate());
        assert_eq!(key.tombstone("ann@example.com"), key.clone().tombstone("ann@example.com"));
        assert_ne!(key.tombstone("ann@example.com"), other.tombstone("ann@example.com"));
        assert_ne!(key.tombstone("ann@example.com"), key.tombstone("bob@example.com"));
    }

    #[test]
    fn a_key_opens_for_its_realm_alone() {
        let sealed = TombstoneKey::generate().seal(&keys(1), REALM);
        assert!(TombstoneKey::open(&keys(1), OTHER, &sealed).is_none());
        assert!(TombstoneKey::open(&keys(2), REALM, &sealed).is_none());
    }

    #[test]
    fn a_key_that_is_sealed_anew_makes_the_same_tombstones() {
        let key = TombstoneKey::generate();
        let sealed = key.seal(&keys(1), REALM);
        let opened = TombstoneKey::open(&rotating(2, 1), REALM, &sealed).unwrap();
        let anew = TombstoneKey::open(&keys(2), REALM, &opened.seal(&rotating(2, 1), REALM)).unwrap();
        assert_eq!(anew.tombstone("ann@example.com"), key.tombstone("ann@example.com"));
    }

    #[test]
    fn a_key_does_not_show_itself() {
        assert_eq!(format!("{:?}", TombstoneKey::generate()), "TombstoneKey([redacted])");
    }
}
