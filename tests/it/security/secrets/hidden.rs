//! Secrets, and whether bytes hold one of them.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use memchr::memmem;

/// What must be nowhere.
#[derive(Default)]
pub(super) struct Hidden(Vec<Secret>);

struct Secret {
    what: String,
    /// Each way in which it could be written down.
    forms: Vec<Vec<u8>>,
}

impl Hidden {
    /// A text: a password, a key, a code, a token. Of a signed token its signature alone is one too.
    pub(super) fn text(&mut self, what: &str, secret: &str) {
        assert!(secret.len() > 8, "{what} is found by chance");
        let mut forms = vec![secret.as_bytes().to_vec(), hex(secret.as_bytes())];
        if let [_, _, signature] = secret.split('.').collect::<Vec<_>>().as_slice() {
            forms.push(signature.as_bytes().to_vec());
        }
        self.0.push(Secret { what: what.to_owned(), forms });
    }

    /// The bytes of a key.
    pub(super) fn bytes(&mut self, what: &str, secret: &[u8]) {
        let encoded = [STANDARD.encode(secret), URL_SAFE_NO_PAD.encode(secret)].map(String::into_bytes);
        let forms = [secret.to_vec(), hex(secret)].into_iter().chain(encoded).collect();
        self.0.push(Secret { what: what.to_owned(), forms });
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Fails if one of them is in there.
    #[track_caller]
    pub(super) fn require_absent(&self, place: &str, bytes: &[u8]) {
        let told = |secret: &&Secret| secret.forms.iter().any(|form| memmem::find(bytes, form).is_some());
        let told: Vec<_> = self.0.iter().filter(told).map(|secret| secret.what.as_str()).collect();
        assert!(told.is_empty(), "{place}: {told:?}");
    }
}

fn hex(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect()
}

#[test]
fn a_secret_is_found_however_it_is_written_down() {
    let mut hidden = Hidden::default();
    hidden.bytes("a key", b"0123456789abcdef");
    for form in [&b"x0123456789abcdefx"[..], b"\\x30313233343536373839616263646566", b"MDEyMzQ1Njc4OWFiY2RlZg=="] {
        assert!(std::panic::catch_unwind(|| hidden.require_absent("here", form)).is_err());
    }
    hidden.require_absent("here", b"0123456789abcde");
}
