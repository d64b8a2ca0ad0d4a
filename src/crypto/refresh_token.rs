//! Refresh tokens: what keeps a session going.
//!
//! A token names its session and a generation, and proves that it was made for them in this realm. Each generation has
//! one token, derived from the root key, so that the record keeps a hash of the newest one only and can still give it
//! again. Which generation counts, and for how long, is `domain::session`'s.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::Secret;
use super::root_key::{Label, RootKeys};
use crate::domain::ids::{RealmId, SessionId};

/// What every refresh token begins with, so that secret scanners know it, and nobody takes it for another kind.
pub const PREFIX: &str = "csr_";

/// Length of the proof in a token, in bytes: 240 bits, so that what is encoded is 72 characters without a remainder.
const PROOF_BYTES: usize = 30;

const GENERATION_BYTES: usize = size_of::<i64>();

/// Length of a token before it is encoded, in bytes.
const TOKEN_BYTES: usize = size_of::<Uuid>() + GENERATION_BYTES + PROOF_BYTES;

/// What the MAC is made of first, so that whatever else is once derived of sessions proves nothing here.
const MADE_AS: &[u8] = b"refresh-token";

/// What the id of an access token is derived from first.
const TOGETHER_WITH: &[u8] = b"countersign/access-token-id";

/// What a token belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Binding {
    pub realm: RealmId,
    pub session: SessionId,
    /// How often the session's token was exchanged before this one was made.
    pub generation: i64,
}

impl Binding {
    /// Derives the token under the current root key.
    #[must_use]
    pub fn derive(&self, keys: &RootKeys) -> Secret<String> {
        self.printed(&self.with_parts(|parts| keys.mac(Label::Session, parts)))
    }

    /// Derives again the token of that hash, be it made under the current or the previous root key.
    #[must_use]
    pub fn derive_again(&self, keys: &RootKeys, hash: &[u8; 32]) -> Option<Secret<String>> {
        let known: Vec<_> = self.with_parts(|parts| keys.macs(Label::Session, parts).collect());
        known.iter().map(|mac| self.printed(mac)).find(|token| self::hash(token.expose()) == *hash)
    }

    /// The id of the access token that goes out together with this token: the same one whenever both are given again.
    #[must_use]
    pub fn access_token_id(&self) -> Uuid {
        let digest = Sha256::new()
            .chain_update(TOGETHER_WITH)
            .chain_update(self.session.0.as_bytes())
            .chain_update(self.generation.to_be_bytes())
            .finalize();
        let mut id = [0; size_of::<Uuid>()];
        id.copy_from_slice(&digest[..size_of::<Uuid>()]);
        uuid::Builder::from_custom_bytes(id).into_uuid()
    }

    fn printed(&self, mac: &[u8]) -> Secret<String> {
        let bytes = [self.session.0.as_bytes(), &self.generation.to_be_bytes()[..], &mac[..PROOF_BYTES]].concat();
        Secret::new(PREFIX.to_owned() + &URL_SAFE_NO_PAD.encode(bytes))
    }

    fn with_parts<T>(&self, use_parts: impl FnOnce(&[&[u8]]) -> T) -> T {
        use_parts(&[MADE_AS, self.realm.0.as_bytes(), self.session.0.as_bytes(), &self.generation.to_be_bytes()])
    }
}

/// Gives what the record keeps of a token. No slow hash, since a proof of 240 bits can't be guessed.
#[must_use]
pub fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

/// A token that was made by this service for a session of this realm. Whether it counts is for the record to say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Proven {
    pub session: SessionId,
    pub generation: i64,
    pub hash: [u8; 32],
}

impl Proven {
    /// Reads and checks a token, in constant time, under the current and then the previous root key. `None` if it is
    /// not one of ours, was changed, or is of another realm.
    #[must_use]
    pub fn read(text: &str, keys: &RootKeys, realm: RealmId) -> Option<Self> {
        let mut bytes = [0; TOKEN_BYTES];
        let read = URL_SAFE_NO_PAD.decode_slice(text.strip_prefix(PREFIX)?, &mut bytes).ok()?;
        let (session, rest) = bytes.split_first_chunk()?;
        let (generation, proof) = rest.split_first_chunk()?;
        let session = SessionId(Uuid::from_bytes(*session));
        let generation = i64::from_be_bytes(*generation);
        let binding = Binding { realm, session, generation };
        let proven = binding.with_parts(|parts| keys.proves(Label::Session, parts, proof));
        (read == TOKEN_BYTES && proven).then(|| Self { session, generation, hash: hash(text) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::crypto::root_key::tests::{keys, rotating};

    const RIGHT: Binding =
        Binding { realm: RealmId(Uuid::from_u128(1)), session: SessionId(Uuid::from_u128(2)), generation: 3 };

    #[test]
    fn a_token_proves_every_part_of_its_binding() {
        let token = RIGHT.derive(&keys(1));
        assert_eq!(token.expose().len(), PREFIX.len() + 72);
        let proven = Proven::read(token.expose(), &keys(1), RIGHT.realm).unwrap();
        assert_eq!((proven.session, proven.generation), (RIGHT.session, RIGHT.generation));
        assert_eq!(Proven::read(token.expose(), &keys(1), RealmId(Uuid::from_u128(9))), None);
        let others = [Binding { session: SessionId(Uuid::from_u128(9)), ..RIGHT }, Binding { generation: 4, ..RIGHT }];
        for other in others {
            // The binding of one with the proof of the other.
            let mixed = other.printed(&RIGHT.with_parts(|parts| keys(1).mac(Label::Session, parts)));
            assert_eq!(Proven::read(mixed.expose(), &keys(1), RIGHT.realm), None, "{other:?}");
        }
    }

    #[test]
    fn a_token_outlives_one_rotation_of_the_root_key_and_is_given_again_as_it_was() {
        let token = RIGHT.derive(&keys(1));
        assert!(Proven::read(token.expose(), &rotating(2, 1), RIGHT.realm).is_some());
        assert!(Proven::read(token.expose(), &keys(2), RIGHT.realm).is_none());
        let again = RIGHT.derive_again(&rotating(2, 1), &hash(token.expose())).unwrap();
        assert_eq!(again.expose(), token.expose());
        assert!(RIGHT.derive_again(&keys(2), &hash(token.expose())).is_none());
    }

    #[test]
    fn each_generation_goes_with_an_access_token_of_its_own() {
        let next = Binding { generation: 4, ..RIGHT };
        assert_eq!(RIGHT.access_token_id(), RIGHT.access_token_id());
        assert_ne!(RIGHT.access_token_id(), next.access_token_id());
        assert_ne!(RIGHT.access_token_id(), RIGHT.session.0);
    }

    proptest! {
        #[test]
        fn what_is_derived_is_read_back(realm: u128, session: u128, generation: i64) {
            let session = SessionId(Uuid::from_u128(session));
            let binding = Binding { realm: RealmId(Uuid::from_u128(realm)), session, generation };
            let token = binding.derive(&keys(1));
            let proven = Proven { session, generation, hash: hash(token.expose()) };
            prop_assert_eq!(Proven::read(token.expose(), &keys(1), binding.realm), Some(proven));
        }

        #[test]
        fn a_changed_token_proves_nothing(at in 0..76_usize, typed in "[0-9A-Za-z_-]") {
            let mut text = RIGHT.derive(&keys(1)).expose().clone();
            prop_assume!(text[at..=at] != typed);
            text.replace_range(at..=at, &typed);
            prop_assert_eq!(Proven::read(&text, &keys(1), RIGHT.realm), None);
        }

        #[test]
        fn whatever_else_is_typed_proves_nothing(text in ".*|csr_[0-9A-Za-z_-]*|csr_[0-9A-Za-z_-]{72}") {
            prop_assert_eq!(Proven::read(&text, &keys(1), RIGHT.realm), None);
        }
    }
}
