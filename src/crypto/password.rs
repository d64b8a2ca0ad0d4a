//! Passwords and their hashes: Argon2id, in a bounded pool.
//!
//! A [`Password`] is one that [`super::password_policy`] let through; a [`PasswordHash`] is what the record keeps. The
//! [`Hasher`] makes one of the other and compares what somebody typed, with the same work whether or not there is a hash
//! to compare with. It knows nothing of accounts, throttles or gates. The threads are [`super::hash_pool`]'s.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{fmt, io};

use argon2::password_hash::phc;
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use subtle::ConstantTimeEq;
use unicode_normalization::UnicodeNormalization;

pub use super::hash_pool::{HashError, Limits};
use super::hash_pool::{HashPool, Memory};
pub use super::turns::Source;
use super::{Secret, random_bytes};

/// The longest password, in characters as typed. Longer is refused before anything is computed from it.
pub const MAX_PASSWORD_CHARS: usize = 128;

/// Memory of one hash, in KiB: 19 MiB (OWASP Password Storage Cheat Sheet, with two passes and one lane).
pub const ARGON2_MEMORY_KIB: u32 = 19_456;

/// Passes over the memory (the same source).
pub const ARGON2_PASSES: u32 = 2;

/// Lanes (the same source). More would run one after another, and cost no attacker anything.
pub const ARGON2_LANES: u32 = 1;

/// Length of the salt, in bytes (RFC 9106 section 3.1).
const SALT_BYTES: usize = 16;

/// Length of the hash, in bytes (RFC 9106 section 4, the default of every implementation).
const HASH_BYTES: usize = 32;

/// The most memory that a hash from elsewhere may ask for, in KiB: the second choice of RFC 9106, 64 MiB. A thread keeps
/// its memory, so that one hash of a gigabyte would cost a gigabyte for ever.
const MAX_MEMORY_KIB: u32 = 65_536;

/// The most passes over its memory, lanes included, that a hash from elsewhere may ask for.
const MAX_PASSES: u32 = 16;

const PARAMS: Params = match Params::new(ARGON2_MEMORY_KIB, ARGON2_PASSES, ARGON2_LANES, Some(HASH_BYTES)) {
    Ok(params) => params,
    Err(_) => panic!("the parameters are within Argon2's limits"),
};

/// A new password: allowed by the policy, NFKC-normalized. Made by [`super::password_policy::check`] alone.
#[derive(Clone, Debug)]
pub struct Password(Secret<String>);

impl Password {
    pub(super) fn of_normalized(text: Secret<String>) -> Self {
        Self(text)
    }
}

/// Normalizes a password, so that the same one typed on another keyboard is the same (NIST SP 800-63B-4 section 3.1.1.2).
pub(super) fn normalize(raw: &str) -> Secret<String> {
    Secret::new(raw.nfkc().collect())
}

/// Whether two passwords, as typed, are the same one.
#[must_use]
pub fn are_same(one: &str, other: &str) -> bool {
    normalize(one).expose().as_bytes().ct_eq(normalize(other).expose().as_bytes()).into()
}

/// A password's hash, as the record keeps it.
#[derive(Clone)]
pub struct PasswordHash {
    params: Params,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

impl PasswordHash {
    /// Reads a PHC string. `None` if it is not Argon2id version 19 with a salt and a hash and without a secret, or asks
    /// for more than 64 MiB or 16 passes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let parsed = phc::PasswordHash::new(text).ok()?;
        let params = Params::try_from(&parsed).ok()?;
        let argon2id = parsed.algorithm == ARGON2ID_IDENT && parsed.version == Some(Version::V0x13 as u32);
        let plain = params.keyid().is_empty() && params.data().is_empty();
        let passes = params.t_cost().saturating_mul(params.p_cost());
        let affordable = params.m_cost() <= MAX_MEMORY_KIB && passes <= MAX_PASSES;
        let (salt, hash) = (parsed.salt?.to_vec(), parsed.hash?.as_bytes().to_vec());
        (argon2id && plain && affordable).then_some(Self { params, salt, hash })
    }

    /// Gives the PHC string to store.
    #[must_use]
    pub fn expose(&self) -> String {
        let (version, params) = (Version::V0x13 as u32, &self.params);
        let (memory, passes, lanes) = (params.m_cost(), params.t_cost(), params.p_cost());
        let (salt, hash) = (STANDARD_NO_PAD.encode(&self.salt), STANDARD_NO_PAD.encode(&self.hash));
        format!("${ARGON2ID_IDENT}$v={version}$m={memory},t={passes},p={lanes}${salt}${hash}")
    }

    /// Hashes with today's parameters and a new salt.
    fn make(password: &str, memory: &mut Memory) -> argon2::Result<Self> {
        let mut made =
            Self { params: PARAMS, salt: random_bytes::<SALT_BYTES>().to_vec(), hash: [0; HASH_BYTES].to_vec() };
        made.hash = made.compute(password, memory)?;
        Ok(made)
    }

    /// A hash that no password has, and that costs as much to compare with as one that [`make`](Self::make) made.
    fn of_nobody() -> Self {
        Self { params: PARAMS, salt: [0; SALT_BYTES].to_vec(), hash: [0; HASH_BYTES].to_vec() }
    }

    fn is_of(&self, password: &str, memory: &mut Memory) -> argon2::Result<bool> {
        Ok(self.compute(password, memory)?.ct_eq(&self.hash).into())
    }

    /// Computes what the hash would be if `password` were the right one.
    fn compute(&self, password: &str, memory: &mut Memory) -> argon2::Result<Vec<u8>> {
        let mut hash = vec![0; self.hash.len()];
        let blocks = memory.blocks(self.params.block_count());
        Argon2::new(Algorithm::Argon2id, Version::V0x13, self.params.clone()).hash_password_into_with_memory(
            password.as_bytes(),
            &self.salt,
            &mut hash,
            blocks,
        )?;
        Ok(hash)
    }

    /// Tells whether it was made with less than today's parameters.
    fn is_weak(&self) -> bool {
        self.params.m_cost() < ARGON2_MEMORY_KIB || self.params.t_cost() < ARGON2_PASSES
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash([redacted])")
    }
}

/// What comparing a password with a hash found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Verified {
    pub matches: bool,
    /// The password is right and its hash was made with less than today's parameters: hash it again and keep that.
    pub needs_rehash: bool,
}

/// Hashes and compares passwords, a bounded number at a time, and those of one source in turn with those of others.
pub struct Hasher {
    pool: HashPool,
    /// How often something that was typed was compared with a hash, also with that of nobody.
    compared: Arc<AtomicU64>,
}

impl Hasher {
    /// Starts the threads. They use no memory to speak of until the first hash, then 19 MiB each.
    ///
    /// # Errors
    /// If the operating system gives no thread.
    pub fn start(limits: Limits) -> io::Result<Self> {
        Ok(Self { pool: HashPool::start(limits)?, compared: Arc::default() })
    }

    /// Hashes a new password.
    ///
    /// # Errors
    /// [`HashError::Overloaded`] at once if the queue is full.
    pub async fn hash(&self, source: Source, password: Password) -> Result<PasswordHash, HashError> {
        let made = self.pool.run(source, move |memory| PasswordHash::make(password.0.expose(), memory)).await?;
        made.map_err(|_| HashError::GivenUp)
    }

    /// Hashes the password that [`verify`](Self::verify) just found right but weakly hashed. The policy is not asked: it
    /// may have grown since the password was chosen.
    ///
    /// # Errors
    /// [`HashError::Overloaded`] at once if the queue is full.
    pub async fn rehash(&self, source: Source, typed: &str) -> Result<PasswordHash, HashError> {
        self.hash(source, Password(normalize(typed))).await
    }

    /// Compares what somebody typed with the hash of the account that they named.
    ///
    /// The answer takes the same work, and says the same, if there is no hash, or if what was typed is empty or longer
    /// than [`MAX_PASSWORD_CHARS`] (and then is not hashed).
    ///
    /// # Errors
    /// [`HashError::Overloaded`] at once if the queue is full.
    pub async fn verify(
        &self,
        source: Source,
        typed: &str,
        hash: Option<&PasswordHash>,
    ) -> Result<Verified, HashError> {
        let possible = typed.chars().nth(MAX_PASSWORD_CHARS).is_none();
        let typed = normalize(if possible { typed } else { "" });
        let hash = hash.filter(|_| possible);
        let (exists, weak) = (hash.is_some(), hash.is_some_and(PasswordHash::is_weak));
        let hash = hash.cloned().unwrap_or_else(PasswordHash::of_nobody);
        let compared = Arc::clone(&self.compared);
        let compare = move |memory: &mut Memory| {
            compared.fetch_add(1, Ordering::Relaxed);
            hash.is_of(typed.expose(), memory)
        };
        let equal = self.pool.run(source, compare).await?;
        let matches = equal.map_err(|_| HashError::GivenUp)? && exists;
        Ok(Verified { matches, needs_rehash: matches && weak })
    }

    /// Does other slow and pure work on a password on the same threads, such as [`super::password_policy::check`].
    ///
    /// # Errors
    /// [`HashError::Overloaded`] at once if the queue is full.
    pub async fn run<T: Send + 'static>(
        &self,
        source: Source,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, HashError> {
        self.pool.run(source, |_| work()).await
    }

    /// Counts the calls that wait or are being worked on.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.pool.depth()
    }

    /// Counts the comparisons so far.
    #[must_use]
    pub fn compared(&self) -> u64 {
        self.compared.load(Ordering::Relaxed)
    }

    /// Asks whether another call would be taken just now, before anything is done for it.
    ///
    /// # Errors
    /// [`HashError::Overloaded`] if the queue is full.
    pub fn require_room(&self, source: Source) -> Result<(), HashError> {
        self.pool.require_room(source)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RIGHT: Verified = Verified { matches: true, needs_rehash: false };
    const WRONG: Verified = Verified { matches: false, needs_rehash: false };
    const ONE: Limits = Limits { permits: 1, queued: 8 };

    fn password(text: &str) -> Password {
        Password(normalize(text))
    }

    /// The hash of "password" in the test vectors of Argon2's reference implementation, with 256 KiB.
    const WEAK: &str = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";

    #[tokio::test]
    async fn a_password_matches_its_own_hash_alone() {
        let hasher = Hasher::start(ONE).unwrap();
        let hash = hasher.hash(None, password("correct horse battery")).await.unwrap();
        assert_eq!(hasher.verify(None, "correct horse battery", Some(&hash)).await, Ok(RIGHT));
        assert_eq!(hasher.verify(None, "correct horse batterz", Some(&hash)).await, Ok(WRONG));
        assert_eq!(hasher.verify(None, "", Some(&hash)).await, Ok(WRONG));
        assert_eq!(hasher.verify(None, "correct horse battery", None).await, Ok(WRONG));
        let again = hasher.hash(None, password("correct horse battery")).await.unwrap();
        assert_ne!(hash.expose(), again.expose(), "each hash has a salt of its own");
    }

    #[tokio::test]
    async fn a_password_typed_on_another_keyboard_is_the_same() {
        let hasher = Hasher::start(ONE).unwrap();
        let composed = hasher.hash(None, password("caf\u{e9} caf\u{e9} caf\u{e9}")).await.unwrap();
        assert_eq!(hasher.verify(None, "cafe\u{301} cafe\u{301} cafe\u{301}", Some(&composed)).await, Ok(RIGHT));
    }

    #[tokio::test]
    async fn an_over_long_password_never_matches() {
        let hasher = Hasher::start(ONE).unwrap();
        let empty = hasher.hash(None, password("")).await.unwrap();
        let longest = "x".repeat(MAX_PASSWORD_CHARS);
        let hash = hasher.hash(None, password(&longest)).await.unwrap();
        assert_eq!(hasher.verify(None, &longest, Some(&hash)).await, Ok(RIGHT));
        assert_eq!(hasher.verify(None, &format!("{longest}x"), Some(&hash)).await, Ok(WRONG));
        assert_eq!(hasher.verify(None, &format!("{longest}x"), Some(&empty)).await, Ok(WRONG));
    }

    #[tokio::test]
    async fn nobody_has_the_hash_of_nobody() {
        let hasher = Hasher::start(ONE).unwrap();
        let nobody = PasswordHash::of_nobody();
        assert_eq!(hasher.verify(None, "", Some(&nobody)).await, Ok(WRONG));
        assert!(!nobody.is_weak(), "comparing with it costs what comparing with a new hash costs");
    }

    #[tokio::test]
    async fn a_weak_hash_is_to_be_made_again_once_the_password_was_right() {
        let hasher = Hasher::start(ONE).unwrap();
        let weak = PasswordHash::parse(WEAK).unwrap();
        assert_eq!(
            hasher.verify(None, "password", Some(&weak)).await,
            Ok(Verified { matches: true, needs_rehash: true })
        );
        assert_eq!(hasher.verify(None, "passwore", Some(&weak)).await, Ok(WRONG));
        let strong = hasher.rehash(None, "password").await.unwrap();
        assert_eq!(hasher.verify(None, "password", Some(&strong)).await, Ok(RIGHT));
    }

    #[test]
    fn hashes_of_other_kinds_and_of_ruinous_cost_are_refused() {
        for text in [
            "",
            "password",
            "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0",
            &WEAK.replace("argon2id", "argon2i"),
            &WEAK.replace("v=19", "v=16"),
            &WEAK.replace("m=256", "m=65537"),
            &WEAK.replace("t=2", "t=17"),
            &WEAK.replace("t=2,p=1", "t=9,p=2"),
            &WEAK.replace("p=1", "p=1,data=c2VjcmV0"),
        ] {
            assert!(PasswordHash::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn neither_password_nor_hash_shows_itself() {
        let shown = format!("{:?} {:?}", password("correct horse"), PasswordHash::parse(WEAK).unwrap());
        assert!(!shown.contains("horse") && !shown.contains("argon2"), "{shown}");
    }

    proptest! {
        #[test]
        fn parse_undoes_expose(salt: [u8; SALT_BYTES], hash: [u8; HASH_BYTES]) {
            let made = PasswordHash { params: PARAMS, salt: salt.to_vec(), hash: hash.to_vec() };
            let read = PasswordHash::parse(&made.expose()).unwrap();
            prop_assert_eq!((&read.salt, &read.hash), (&made.salt, &made.hash));
            prop_assert_eq!(read.expose(), made.expose());
        }
    }
}
