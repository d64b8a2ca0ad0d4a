//! API keys: what a service account signs in with.
//!
//! A key is `cs_`, 43 random base62 characters (256.03 bits) and a checksum of 6: 52 characters that survive a double
//! click, that secret scanners recognise, and whose typos are noticed without a look-up. The record keeps
//! [`ApiKey::hash`] only, and finds the account by it.

use sha2::{Digest, Sha256};

use super::{Secret, random_bytes};

/// What every key begins with.
pub const PREFIX: &str = "cs_";

/// Random characters of a key. The fewest base62 characters that hold 256 bits: 43 × log₂ 62 = 256.03.
const RANDOM_CHARS: usize = 43;

/// Characters of the checksum. 62⁶ is more than the 2³² values of a 32-bit checksum.
const CHECKSUM_CHARS: usize = 6;

/// Length of a key, in characters.
const KEY_CHARS: usize = PREFIX.len() + RANDOM_CHARS + CHECKSUM_CHARS;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A well-formed API key. Whether it opens anything is for the record to say.
#[derive(Clone, Debug)]
pub struct ApiKey(Secret<String>);

impl ApiKey {
    /// Makes a new random key.
    #[must_use]
    pub fn generate() -> Self {
        let mut text = String::with_capacity(KEY_CHARS);
        text.push_str(PREFIX);
        text.extend((0..RANDOM_CHARS).map(|_| random_char()));
        let sum = checksum(&text);
        text.extend(sum.map(char::from));
        Self(Secret::new(text))
    }

    /// Reads a key as a caller presents it. `None` if it is not one of ours, or mistyped.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let body = text.strip_prefix(PREFIX)?;
        let well_formed = text.len() == KEY_CHARS && body.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let (key, sum) = text.split_at_checked(KEY_CHARS - CHECKSUM_CHARS)?;
        (well_formed && sum.as_bytes() == checksum(key)).then(|| Self(Secret::new(text.to_owned())))
    }

    /// Gives the text to hand to the caller that asked for the key, once.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// Gives what the record keeps: SHA-256 of the whole text. No slow hash, since 256 random bits can't be guessed.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.expose()).into()
    }
}

/// Draws one character, each of the 62 equally likely: a 6-bit draw beyond the alphabet is drawn again.
fn random_char() -> char {
    loop {
        let [byte] = random_bytes();
        if let Some(char) = BASE62.get(usize::from(byte >> 2)) {
            return char::from(*char);
        }
    }
}

/// Gives the first 32 bits of the SHA-256 of `key`, as base62 with its least digit first.
fn checksum(key: &str) -> [u8; CHECKSUM_CHARS] {
    let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(key));
    let mut rest = u32::from_be_bytes([a, b, c, d]);
    let mut next_digit = || {
        let digit = rest % 62;
        rest /= 62;
        BASE62[digit as usize]
    };
    [(); CHECKSUM_CHARS].map(|()| next_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_generated_key_is_read_back() {
        for _ in 0..100 {
            let key = ApiKey::generate();
            assert_eq!(key.expose().len(), KEY_CHARS);
            let parsed = ApiKey::parse(key.expose()).unwrap();
            assert_eq!(parsed.expose(), key.expose());
            assert_eq!(parsed.hash(), key.hash());
        }
    }

    #[test]
    fn the_checksum_stays_what_it_was() {
        let key = format!("cs_{}", "A".repeat(RANDOM_CHARS));
        assert_eq!(&checksum(&key), b"PDbQl1");
    }

    #[test]
    fn a_key_does_not_show_itself() {
        let key = ApiKey::generate();
        assert!(!format!("{key:?}").contains(key.expose()));
    }

    proptest! {
        #[test]
        fn a_mistyped_key_is_noticed(at in 0..KEY_CHARS, typed in "[0-9A-Za-z]") {
            let key = ApiKey::generate();
            let mut text = key.expose().to_owned();
            prop_assume!(text[at..=at] != typed);
            text.replace_range(at..=at, &typed);
            prop_assert!(ApiKey::parse(&text).is_none());
        }

        #[test]
        fn whatever_else_is_typed_is_no_key(text in ".*") {
            prop_assert!(ApiKey::parse(&text).is_none());
            prop_assert!(ApiKey::parse(&(PREFIX.to_owned() + &text)).is_none());
        }
    }
}
