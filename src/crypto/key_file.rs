//! Where a root key comes from: the text of a setting, or a file that only its owner may read.
//!
//! Called while starting. Nothing here is derived or kept; [`super::root_key`] does that.

use std::path::Path;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use super::random_bytes;
use super::root_key::{KEY_BYTES, RootKey};
use super::secret_file::{self, Maker, SecretFileError};

/// Base64 as people paste it: padded or not.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);

/// Why a root key can't be had. Never holds any of the key's text.
#[derive(Debug, thiserror::Error)]
pub enum RootKeyError {
    #[error("a root key is 64 hexadecimal digits or the base64 of 32 bytes, not these {given} characters")]
    Malformed { given: usize },
    #[error(transparent)]
    File(#[from] SecretFileError),
}

impl RootKey {
    /// Reads a key from text: 64 hexadecimal digits, or the base64 of 32 bytes in either alphabet, padded or not.
    /// White space around it is ignored.
    ///
    /// # Errors
    /// [`RootKeyError::Malformed`] for anything else.
    pub fn parse(text: &str) -> Result<Self, RootKeyError> {
        let text = text.trim();
        from_hex(text)
            .or_else(|| from_base64(text, &alphabet::STANDARD))
            .or_else(|| from_base64(text, &alphabet::URL_SAFE))
            .map(|bytes| Self::from_bytes(*bytes))
            .ok_or_else(|| RootKeyError::Malformed { given: text.chars().count() })
    }

    /// Reads a key file that an operator made.
    ///
    /// # Errors
    /// [`RootKeyError::File`] and [`RootKeyError::Malformed`] if there is no key to read.
    pub fn load(path: &Path) -> Result<Self, RootKeyError> {
        Self::parse(&secret_file::read(path, Maker::Operator)?)
    }

    /// Reads the key file at `path`; makes a random key there first if there is none.
    ///
    /// Of two processes that start at once both get the same key.
    ///
    /// # Errors
    /// [`RootKeyError::File`] and [`RootKeyError::Malformed`] if there is no key to read and none can be made.
    pub fn load_or_create(path: &Path) -> Result<Self, RootKeyError> {
        if !path.exists() {
            secret_file::create(path, &to_hex(&*Zeroizing::new(random_bytes::<KEY_BYTES>())))?;
        }
        Self::parse(&secret_file::read(path, Maker::Service)?)
    }
}

fn to_hex(bytes: &[u8]) -> Zeroizing<String> {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let mut text = Zeroizing::new(String::with_capacity(2 * bytes.len()));
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)]);
        text.push(DIGITS[usize::from(byte & 0xf)]);
    }
    text
}

fn from_hex(text: &str) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    let digits: &[u8; 2 * KEY_BYTES] = text.as_bytes().try_into().ok()?;
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    for (byte, [high, low]) in key.iter_mut().zip(digits.as_chunks::<2>().0) {
        *byte = (hex_value(*high)? << 4) | hex_value(*low)?;
    }
    Some(key)
}

fn hex_value(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

fn from_base64(text: &str, alphabet: &alphabet::Alphabet) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    let bytes = Zeroizing::new(GeneralPurpose::new(alphabet, LENIENT).decode(text).ok()?);
    bytes.as_slice().try_into().ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use proptest::prelude::*;

    use super::*;
    use crate::crypto::root_key::RootKeys;

    /// Root keys do not compare; what is derived from them does.
    fn same(one: &RootKey, other: &RootKey) -> bool {
        RootKeys::new(one, None).opens(&RootKeys::new(other, None).check_value()).is_some()
    }

    #[test]
    fn the_first_start_makes_a_key_and_the_next_finds_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root.key");
        let made = RootKey::load_or_create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(same(&made, &RootKey::load_or_create(&path).unwrap()));
        assert!(same(&made, &RootKey::load(&path).unwrap()));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "the draft is gone");
    }

    #[test]
    fn many_first_starts_at_once_agree_on_one_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root.key");
        let keys: Vec<_> = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..8).map(|_| scope.spawn(|| RootKey::load_or_create(&path).unwrap())).collect();
            starts.into_iter().map(|start| start.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| same(key, &keys[0])));
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_repeated() {
        for text in ["", "secret", &"f".repeat(63), &"g".repeat(64), &"f".repeat(65), &"A".repeat(42)] {
            let error = RootKey::parse(text).unwrap_err();
            assert!(matches!(error, RootKeyError::Malformed { given } if given == text.len()));
            assert!(text.is_empty() || !error.to_string().contains(text));
        }
    }

    proptest! {
        #[test]
        fn every_text_of_a_key_is_read_back(bytes: [u8; KEY_BYTES]) {
            use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
            let key = RootKey::from_bytes(bytes);
            let hex = to_hex(&bytes);
            let texts = [hex.to_uppercase(), format!(" {}\n", *hex), STANDARD.encode(bytes),
                STANDARD_NO_PAD.encode(bytes), URL_SAFE.encode(bytes), URL_SAFE_NO_PAD.encode(bytes)];
            for text in texts {
                prop_assert!(same(&key, &RootKey::parse(&text).unwrap()), "{}", text);
            }
        }
    }
}
