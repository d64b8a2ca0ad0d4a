//! Codes in mails: what a person proves a mailbox with.
//!
//! A code is derived when its mail is delivered and derived again when it comes back, so that neither the outbox nor
//! the record ever holds one. It names the record's row and proves that it was made for this purpose, realm, account and
//! address. That it is used once, in time, and not after a newer one, is for the caller to enforce on that row.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use super::Secret;
use super::root_key::{Label, RootKeys};
use crate::domain::ids::{CodeId, RealmId, UserId};

/// Length of the proof in a code, in bytes: 160 bits, more than the 128 that a link needs, so that the whole code is 48
/// characters of base64 without a remainder.
const PROOF_BYTES: usize = 20;

/// Length of a code before it is printed, in bytes.
const CODE_BYTES: usize = size_of::<Uuid>() + PROOF_BYTES;

/// What a code is for. A code of one purpose is worth nothing for another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Purpose {
    VerifyEmail,
    ResetPassword,
    Invitation,
    EmailChange,
    CancelEmailChange,
    Unsubscribe,
}

impl Purpose {
    pub const ALL: [Self; 6] = [
        Self::VerifyEmail,
        Self::ResetPassword,
        Self::Invitation,
        Self::EmailChange,
        Self::CancelEmailChange,
        Self::Unsubscribe,
    ];

    /// The name in the record, and in what a code is derived from.
    // INVARIANT: a text never changes once released, or the codes under way are void.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::VerifyEmail => "verify-email",
            Self::ResetPassword => "reset-password",
            Self::Invitation => "invitation",
            Self::EmailChange => "email-change",
            Self::CancelEmailChange => "cancel-email-change",
            Self::Unsubscribe => "unsubscribe",
        }
    }
}

/// Everything that a code is bound to: whoever changes one of these voids the code.
#[derive(Clone, Copy, Debug)]
pub struct Binding<'a> {
    pub code: CodeId,
    pub purpose: Purpose,
    pub realm: RealmId,
    pub account: UserId,
    /// The address in its folded form, as the record compares it.
    pub address: &'a str,
}

impl Binding<'_> {
    /// Derives the code to put into a mail: 48 URL-safe characters.
    #[must_use]
    pub fn derive(&self, keys: &RootKeys) -> Secret<String> {
        let mac = self.with_parts(|parts| keys.mac(Label::MailCode, parts));
        Secret::new(URL_SAFE_NO_PAD.encode([&self.code.0.as_bytes()[..], &mac[..PROOF_BYTES]].concat()))
    }

    fn with_parts<T>(&self, use_parts: impl FnOnce(&[&[u8]]) -> T) -> T {
        use_parts(&[
            self.code.0.as_bytes(),
            self.purpose.text().as_bytes(),
            self.realm.0.as_bytes(),
            self.account.0.as_bytes(),
            self.address.as_bytes(),
        ])
    }
}

/// A code as somebody presents it: well formed, proving nothing yet.
#[derive(Clone, Debug)]
pub struct PresentedCode {
    id: CodeId,
    proof: Secret<[u8; PROOF_BYTES]>,
}

impl PresentedCode {
    /// Reads a code. `None` if it can't be one of ours.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; CODE_BYTES];
        let read = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        let (id, proof) = bytes.split_first_chunk()?;
        let proof = proof.try_into().ok()?;
        (read == CODE_BYTES).then(|| Self { id: CodeId(Uuid::from_bytes(*id)), proof: Secret::new(proof) })
    }

    /// Gives the row to look up. Unproven: anybody can write any id into a code.
    #[must_use]
    pub fn id(&self) -> CodeId {
        self.id
    }

    /// Tells, in constant time, whether this is the code of `binding`, made under the current or the previous root key.
    #[must_use]
    pub fn proves(&self, keys: &RootKeys, binding: &Binding<'_>) -> bool {
        self.id == binding.code && binding.with_parts(|parts| keys.proves(Label::MailCode, parts, self.proof.expose()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::crypto::root_key::tests::{keys, rotating};

    fn binding(address: &str) -> Binding<'_> {
        Binding {
            code: CodeId(Uuid::from_u128(1)),
            purpose: Purpose::ResetPassword,
            realm: RealmId(Uuid::from_u128(2)),
            account: UserId(Uuid::from_u128(3)),
            address,
        }
    }

    fn presented(binding: &Binding<'_>) -> PresentedCode {
        PresentedCode::parse(binding.derive(&keys(1)).expose()).unwrap()
    }

    #[test]
    fn a_code_proves_every_part_of_its_binding() {
        let right = binding("ann@example.com");
        let code = presented(&right);
        assert!(code.proves(&keys(1), &right));
        let other = Uuid::from_u128(9);
        for wrong in [
            Binding { code: CodeId(other), ..right },
            Binding { realm: RealmId(other), ..right },
            Binding { account: UserId(other), ..right },
            Binding { address: "eve@example.com", ..right },
        ] {
            assert!(!code.proves(&keys(1), &wrong), "{wrong:?}");
        }
    }

    #[test]
    fn a_code_of_one_purpose_is_worth_nothing_for_another() {
        for made_for in Purpose::ALL {
            let code = presented(&Binding { purpose: made_for, ..binding("ann@example.com") });
            for used_for in Purpose::ALL {
                let wanted = Binding { purpose: used_for, ..binding("ann@example.com") };
                assert_eq!(code.proves(&keys(1), &wanted), made_for == used_for);
            }
        }
    }

    #[test]
    fn a_code_outlives_one_rotation_of_the_root_key() {
        let right = binding("ann@example.com");
        assert!(presented(&right).proves(&rotating(2, 1), &right));
        assert!(!presented(&right).proves(&keys(2), &right));
    }

    proptest! {
        #[test]
        fn what_is_derived_is_read_back(id: u128, address: String) {
            let right = Binding { code: CodeId(Uuid::from_u128(id)), ..binding(&address) };
            prop_assert_eq!(right.derive(&keys(1)).expose().len(), 48);
            prop_assert_eq!(presented(&right).id(), right.code);
            prop_assert!(presented(&right).proves(&keys(1), &right));
        }

        #[test]
        fn a_changed_code_proves_nothing(at in 0..48_usize, typed in "[0-9A-Za-z_-]") {
            let right = binding("ann@example.com");
            let mut text = right.derive(&keys(1)).expose().clone();
            prop_assume!(text[at..=at] != typed);
            text.replace_range(at..=at, &typed);
            prop_assert!(!PresentedCode::parse(&text).unwrap().proves(&keys(1), &right));
        }

        #[test]
        fn text_of_another_length_is_no_code(text in "[0-9A-Za-z_-]{0,47}|[0-9A-Za-z_-]{49,100}|.*") {
            prop_assume!(text.len() != 48);
            prop_assert!(PresentedCode::parse(&text).is_none());
        }
    }
}
