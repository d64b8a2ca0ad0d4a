//! What is derived from the root key: one key per [`Label`], to prove with (HMAC) or to seal with (AEAD).
//!
//! [`RootKeys`] knows the current root key and, while rotating, the previous one. What is made is made under the
//! current; what is checked or opened is tried under the current, then under the previous. Every use names its label
//! and hands over the parts that it is bound to; the parts are framed by their lengths, so that no two lists of parts
//! read alike. Where a root key comes from is [`super::key_file`]'s; what a kind of token is bound to is written in
//! that token's file.

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::{Secret, random_bytes};

/// Length of a root key and of every key derived from it, in bytes: 256 bits.
pub const KEY_BYTES: usize = 32;

/// Length of a whole MAC (HMAC-SHA256), in bytes.
pub const MAC_BYTES: usize = 32;

/// The shortest truncated MAC that proves anything, in bytes: half of the whole (RFC 2104 section 5), 128 bits.
pub const MIN_MAC_BYTES: usize = 16;

/// Length of the random nonce before a sealed text, in bytes. At 192 bits random nonces do not meet
/// (draft-irtf-cfrg-xchacha section 1).
const NONCE_BYTES: usize = 24;

/// What the check value is a MAC of.
const CHECK_TEXT: &[u8] = b"countersign";

/// One purpose of a key. A key of one label proves and opens nothing of another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Label {
    PageToken,
    ConsistencyToken,
    MailCode,
    /// What is stored sealed, such as the realms' signing keys and the keys of their tombstones.
    Seal,
    /// Tells whether a database belongs to this root key.
    CheckValue,
    /// Fingerprints of request bodies, so that a repeated request id with another body is noticed.
    RequestBody,
    /// Refresh tokens, from a session's key and generation.
    Session,
    /// What tallies of failed attempts are kept under.
    Throttle,
    /// Tokens that open ChangePassword alone.
    PasswordChange,
}

impl Label {
    const ALL: [Self; 9] = [
        Self::PageToken,
        Self::ConsistencyToken,
        Self::MailCode,
        Self::Seal,
        Self::CheckValue,
        Self::RequestBody,
        Self::Session,
        Self::Throttle,
        Self::PasswordChange,
    ];

    // INVARIANT: a text never changes once released, or everything made under it is void.
    fn info(self) -> &'static [u8] {
        match self {
            Self::PageToken => b"countersign/page-token/1",
            Self::ConsistencyToken => b"countersign/consistency-token/1",
            Self::MailCode => b"countersign/mail-code/1",
            Self::Seal => b"countersign/seal/1",
            Self::CheckValue => b"countersign/check-value/1",
            Self::RequestBody => b"countersign/request-body/1",
            Self::Session => b"countersign/session/1",
            Self::Throttle => b"countersign/throttle/1",
            Self::PasswordChange => b"countersign/password-change/1",
        }
    }
}

/// One root key: 256 random bits.
#[derive(Clone, Debug)]
pub struct RootKey(Secret<[u8; KEY_BYTES]>);

impl RootKey {
    #[must_use]
    pub fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self(Secret::new(bytes))
    }

    /// Derives the keys of all labels, in the order of [`Label::ALL`].
    fn derive_all(&self) -> Derived {
        let root = Hkdf::new(None, self.0.expose());
        Derived(Label::ALL.map(|label| DerivedKey::new(&root, label)))
    }
}

/// Which of two root keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Generation {
    Current,
    Previous,
}

/// Everything derived from the current root key and, while rotating, from the previous one.
#[derive(Debug)]
pub struct RootKeys {
    current: Derived,
    previous: Option<Derived>,
}

impl RootKeys {
    /// Derives all keys at once; the root keys themselves are not kept.
    #[must_use]
    pub fn new(current: &RootKey, previous: Option<&RootKey>) -> Self {
        Self { current: current.derive_all(), previous: previous.map(RootKey::derive_all) }
    }

    /// Makes the MAC of `parts`, under the current key.
    #[must_use]
    pub fn mac(&self, label: Label, parts: &[&[u8]]) -> [u8; MAC_BYTES] {
        self.current.key(label).mac(parts)
    }

    /// Makes the MACs that `parts` may be known by: under the current key, then under the previous one if there is one.
    pub fn macs(&self, label: Label, parts: &[&[u8]]) -> impl Iterator<Item = [u8; MAC_BYTES]> {
        self.generations().map(move |(_, keys)| keys.key(label).mac(parts))
    }

    /// Tells whether `mac` is the MAC of `parts` or the beginning of it, in constant time. A MAC shorter than
    /// [`MIN_MAC_BYTES`] proves nothing.
    #[must_use]
    pub fn proves(&self, label: Label, parts: &[&[u8]], mac: &[u8]) -> bool {
        self.proven_by(label, parts, mac).is_some()
    }

    /// Seals `plain` so that only the same label opens it, and only beside the same `bound_to`.
    ///
    /// The result is 40 bytes longer than `plain`: a random nonce before it, a tag after it (XChaCha20-Poly1305).
    #[must_use]
    pub fn seal(&self, label: Label, plain: &[u8], bound_to: &[&[u8]]) -> Vec<u8> {
        self.current.key(label).seal(plain, bound_to)
    }

    /// Opens what [`seal`](Self::seal) made. `None`, without a reason, if anything about it differs.
    #[must_use]
    pub fn open(&self, label: Label, sealed: &[u8], bound_to: &[&[u8]]) -> Option<Secret<Vec<u8>>> {
        self.generations().find_map(|(_, keys)| keys.key(label).open(sealed, bound_to))
    }

    /// Makes the value by which a database is later recognised as belonging to the current root key. Not a secret.
    #[must_use]
    pub fn check_value(&self) -> [u8; MAC_BYTES] {
        self.mac(Label::CheckValue, &[CHECK_TEXT])
    }

    /// Tells which root key a database's check value was made with; `None` if it belongs to neither, and then nothing
    /// in that database can be opened.
    #[must_use]
    pub fn opens(&self, check_value: &[u8]) -> Option<Generation> {
        self.proven_by(Label::CheckValue, &[CHECK_TEXT], check_value)
    }

    fn proven_by(&self, label: Label, parts: &[&[u8]], mac: &[u8]) -> Option<Generation> {
        let long_enough = (MIN_MAC_BYTES..=MAC_BYTES).contains(&mac.len());
        self.generations()
            .find(|(_, keys)| long_enough && keys.key(label).mac(parts)[..mac.len()].ct_eq(mac).into())
            .map(|(generation, _)| generation)
    }

    fn generations(&self) -> impl Iterator<Item = (Generation, &Derived)> {
        let current = std::iter::once((Generation::Current, &self.current));
        current.chain(self.previous.iter().map(|keys| (Generation::Previous, keys)))
    }
}

/// The keys of one root key, in the order of [`Label::ALL`].
#[derive(Debug)]
struct Derived([DerivedKey; Label::ALL.len()]);

impl Derived {
    fn key(&self, label: Label) -> &DerivedKey {
        &self.0[label as usize]
    }
}

/// The key of one label.
#[derive(Debug)]
struct DerivedKey(Secret<[u8; KEY_BYTES]>);

impl DerivedKey {
    #[expect(clippy::expect_used, reason = "HKDF-SHA256 gives up to 8,160 bytes, 32 are asked for")]
    fn new(root: &Hkdf<Sha256>, label: Label) -> Self {
        let mut key = [0; KEY_BYTES];
        root.expand(label.info(), &mut key).expect("the length is within HKDF's limit");
        Self(Secret::new(key))
    }

    #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
    fn mac(&self, parts: &[&[u8]]) -> [u8; MAC_BYTES] {
        let hmac = Hmac::<Sha256>::new_from_slice(self.0.expose()).expect("HMAC takes a key of any length");
        hmac.chain_update(framed(parts)).finalize().into_bytes().into()
    }

    #[expect(clippy::expect_used, reason = "the cipher's limit is 256 GiB, messages end at 1 MiB")]
    fn seal(&self, plain: &[u8], bound_to: &[&[u8]]) -> Vec<u8> {
        let nonce = random_bytes::<NONCE_BYTES>();
        let payload = Payload { msg: plain, aad: &framed(bound_to) };
        let text = self.cipher().encrypt(&XNonce::from(nonce), payload).expect("the text is within the limit");
        [&nonce[..], &text].concat()
    }

    fn open(&self, sealed: &[u8], bound_to: &[&[u8]]) -> Option<Secret<Vec<u8>>> {
        let (nonce, text) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let payload = Payload { msg: text, aad: &framed(bound_to) };
        self.cipher().decrypt(&XNonce::from(*nonce), payload).ok().map(Secret::new)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(self.0.expose().into())
    }
}

/// Joins parts, each behind its length, so that ("ab", "c") and ("a", "bc") differ.
fn framed(parts: &[&[u8]]) -> Vec<u8> {
    let mut whole = Vec::with_capacity(parts.iter().map(|part| size_of::<u64>() + part.len()).sum());
    for part in parts {
        whole.extend_from_slice(&(part.len() as u64).to_be_bytes());
        whole.extend_from_slice(part);
    }
    whole
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn keys(seed: u8) -> RootKeys {
        RootKeys::new(&RootKey::from_bytes([seed; KEY_BYTES]), None)
    }

    /// Keys in the middle of a rotation from `old` to `new`.
    pub(crate) fn rotating(new: u8, old: u8) -> RootKeys {
        RootKeys::new(&RootKey::from_bytes([new; KEY_BYTES]), Some(&RootKey::from_bytes([old; KEY_BYTES])))
    }

    #[test]
    fn every_label_stands_at_its_own_index_and_has_a_key_of_its_own() {
        let keys = keys(1);
        let macs = Label::ALL.map(|label| keys.mac(label, &[b"x"]));
        for (index, label) in Label::ALL.into_iter().enumerate() {
            assert_eq!(label as usize, index);
            assert_eq!(macs.iter().filter(|mac| **mac == macs[index]).count(), 1);
        }
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        let keys = keys(1);
        assert_ne!(keys.mac(Label::Seal, &[b"ab", b"c"]), keys.mac(Label::Seal, &[b"a", b"bc"]));
        assert_ne!(keys.mac(Label::Seal, &[b""]), keys.mac(Label::Seal, &[]));
    }

    #[test]
    fn a_short_or_long_mac_proves_nothing() {
        let keys = keys(1);
        let mac = keys.mac(Label::MailCode, &[b"x"]);
        assert!(keys.proves(Label::MailCode, &[b"x"], &mac));
        assert!(keys.proves(Label::MailCode, &[b"x"], &mac[..MIN_MAC_BYTES]));
        assert!(!keys.proves(Label::MailCode, &[b"x"], &mac[..MIN_MAC_BYTES - 1]));
        assert!(!keys.proves(Label::MailCode, &[b"x"], &[]));
        assert!(!keys.proves(Label::MailCode, &[b"x"], &[&mac[..], &[0]].concat()));
    }

    #[test]
    fn while_rotating_the_previous_key_still_proves_and_opens() {
        let (old, both, new) = (keys(1), rotating(2, 1), keys(2));
        let mac = old.mac(Label::MailCode, &[b"x"]);
        let sealed = old.seal(Label::Seal, b"plain", &[]);
        assert!(both.proves(Label::MailCode, &[b"x"], &mac));
        assert_eq!(both.open(Label::Seal, &sealed, &[]).map(|plain| plain.expose().clone()), Some(b"plain".to_vec()));
        assert!(!new.proves(Label::MailCode, &[b"x"], &mac));
        assert!(new.open(Label::Seal, &sealed, &[]).is_none());
        assert!(new.open(Label::Seal, &both.seal(Label::Seal, b"plain", &[]), &[]).is_some());
    }

    #[test]
    fn a_database_of_another_root_key_is_recognised() {
        let value = keys(1).check_value();
        assert_eq!(keys(1).opens(&value), Some(Generation::Current));
        assert_eq!(rotating(2, 1).opens(&value), Some(Generation::Previous));
        assert_eq!(keys(2).opens(&value), None);
    }

    #[test]
    fn keys_do_not_show_themselves() {
        assert!(!format!("{:?} {:?}", RootKey::from_bytes([7; KEY_BYTES]), rotating(7, 7)).contains('7'));
    }

    proptest! {
        #[test]
        fn open_undoes_seal(plain: Vec<u8>, bound_to: Vec<u8>) {
            let sealed = keys(1).seal(Label::Seal, &plain, &[&bound_to]);
            let opened = keys(1).open(Label::Seal, &sealed, &[&bound_to]);
            prop_assert_eq!(opened.map(|opened| opened.expose().clone()), Some(plain));
        }

        #[test]
        fn a_changed_seal_does_not_open(plain: Vec<u8>, at: prop::sample::Index, bit in 0..8_u8) {
            let mut sealed = keys(1).seal(Label::Seal, &plain, &[b"bound"]);
            let at = at.index(sealed.len());
            sealed[at] ^= 1 << bit;
            prop_assert!(keys(1).open(Label::Seal, &sealed, &[b"bound"]).is_none());
        }

        #[test]
        fn a_seal_opens_only_for_its_label_and_binding(plain: Vec<u8>, other: Vec<u8>) {
            prop_assume!(other != b"bound");
            let sealed = keys(1).seal(Label::Seal, &plain, &[b"bound"]);
            prop_assert!(keys(1).open(Label::PageToken, &sealed, &[b"bound"]).is_none());
            prop_assert!(keys(1).open(Label::Seal, &sealed, &[&other]).is_none());
        }
    }
}
