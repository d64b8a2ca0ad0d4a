//! Signing keys: each realm has its own, and nothing else is signed with them than its access tokens.
//!
//! The private half is stored sealed and bound to its realm and id; the public half is stored as it is and published as
//! a [`Jwk`]. Which key signs now, and which are still published, is the realm's record to say; what is signed is
//! [`super::access_token`]'s.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::Signer;
use serde::Serialize;

use super::root_key::{KEY_BYTES, Label, RootKeys};
use super::{Secret, random_bytes};
use crate::domain::ids::{RealmId, SigningKeyId};

/// The only algorithm (RFC 8037 section 3.1), Ed25519.
pub const ALGORITHM: &str = "EdDSA";

/// Length of a signature, in bytes (RFC 8032 section 5.1.6).
pub(super) const SIGNATURE_BYTES: usize = 64;

/// What a stored signing key is bound to, beside its realm and its id.
const SEALED_AS: &[u8] = b"signing-key";

/// A realm's private key.
#[derive(Clone)]
pub struct SigningKey {
    kid: SigningKeyId,
    key: ed25519_dalek::SigningKey,
}

impl SigningKey {
    /// Makes a new random key of that id.
    #[must_use]
    pub fn generate(kid: SigningKeyId) -> Self {
        let seed = Secret::new(random_bytes::<KEY_BYTES>());
        Self { kid, key: ed25519_dalek::SigningKey::from_bytes(seed.expose()) }
    }

    /// Seals the key for the record. Only the same realm and id open it.
    #[must_use]
    pub fn seal(&self, keys: &RootKeys, realm: RealmId) -> Vec<u8> {
        keys.seal(Label::Seal, self.key.as_bytes(), &[SEALED_AS, realm.0.as_bytes(), self.kid.0.as_bytes()])
    }

    /// Opens a key of the record. `None` if neither root key opens it, or it was sealed for another realm or id.
    #[must_use]
    pub fn open(keys: &RootKeys, realm: RealmId, kid: SigningKeyId, sealed: &[u8]) -> Option<Self> {
        let seed = keys.open(Label::Seal, sealed, &[SEALED_AS, realm.0.as_bytes(), kid.0.as_bytes()])?;
        let seed = seed.expose().as_slice().try_into().ok()?;
        Some(Self { kid, key: ed25519_dalek::SigningKey::from_bytes(seed) })
    }

    #[must_use]
    pub fn kid(&self) -> SigningKeyId {
        self.kid
    }

    /// Gives the public half.
    #[must_use]
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey(self.key.verifying_key())
    }

    /// Signs the text of a token.
    pub(super) fn sign(&self, text: &str) -> [u8; SIGNATURE_BYTES] {
        self.key.sign(text.as_bytes()).to_bytes()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// A realm's public key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VerifyingKey(ed25519_dalek::VerifyingKey);

impl VerifyingKey {
    /// Reads a stored public key. `None` if the bytes are no key, or a weak one under which anything verifies.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        ed25519_dalek::VerifyingKey::from_bytes(bytes).ok().filter(|key| !key.is_weak()).map(Self)
    }

    #[must_use]
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// Tells whether the text of a token was signed with the private half. Strict: of one text by one key there is one
    /// signature, and no key of a small group counts (RFC 8032 section 5.1.7).
    pub(super) fn signed(&self, text: &str, signature: &[u8; SIGNATURE_BYTES]) -> bool {
        self.0.verify_strict(text.as_bytes(), &ed25519_dalek::Signature::from_bytes(signature)).is_ok()
    }

    /// Gives the form in which the key is published.
    #[must_use]
    pub fn jwk(&self, kid: SigningKeyId) -> Jwk {
        Jwk {
            kty: "OKP",
            crv: "Ed25519",
            x: URL_SAFE_NO_PAD.encode(self.to_bytes()),
            kid,
            alg: ALGORITHM,
            usage: "sig",
        }
    }
}

/// A public key as JWKS publishes it (RFC 7517, RFC 8037).
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Jwk {
    pub kty: &'static str,
    pub crv: &'static str,
    pub x: String,
    pub kid: SigningKeyId,
    pub alg: &'static str,
    #[serde(rename = "use")]
    pub usage: &'static str,
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::crypto::root_key::tests::{keys, rotating};

    const REALM: RealmId = RealmId(Uuid::from_u128(1));
    const KID: SigningKeyId = SigningKeyId(Uuid::from_u128(2));

    #[test]
    fn a_signature_is_of_one_text_by_one_key() {
        let (key, other) = (SigningKey::generate(KID), SigningKey::generate(KID));
        let signature = key.sign("text");
        assert!(key.verifying_key().signed("text", &signature));
        assert!(!key.verifying_key().signed("texts", &signature));
        assert!(!other.verifying_key().signed("text", &signature));
    }

    #[test]
    fn a_stored_key_opens_for_its_own_realm_and_id_alone() {
        let key = SigningKey::generate(KID);
        let sealed = key.seal(&keys(1), REALM);
        let opened = SigningKey::open(&rotating(2, 1), REALM, KID, &sealed).unwrap();
        assert_eq!(opened.verifying_key(), key.verifying_key());
        assert_eq!(VerifyingKey::from_bytes(&key.verifying_key().to_bytes()), Some(key.verifying_key()));
        assert!(SigningKey::open(&keys(2), REALM, KID, &sealed).is_none());
        assert!(SigningKey::open(&keys(1), RealmId(KID.0), KID, &sealed).is_none());
        assert!(SigningKey::open(&keys(1), REALM, SigningKeyId(REALM.0), &sealed).is_none());
    }

    #[test]
    fn a_public_key_is_published_as_jwks_wants_it() {
        // RFC 8037 appendix A.2.
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let key = VerifyingKey::from_bytes(&URL_SAFE_NO_PAD.decode(x).unwrap().try_into().unwrap()).unwrap();
        assert_eq!(
            serde_json::to_value(key.jwk(KID)).unwrap(),
            json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": KID, "alg": "EdDSA", "use": "sig" })
        );
        assert_eq!(VerifyingKey::from_bytes(&[0; 32]), None, "a weak key");
    }

    #[test]
    fn a_private_key_does_not_show_itself() {
        let key = SigningKey { kid: KID, key: ed25519_dalek::SigningKey::from_bytes(&[77; 32]) };
        assert!(!format!("{key:?}").contains("77"));
    }
}
