//! The e-mail address: what a person is known by in a realm.

use std::fmt;

use unicode_normalization::UnicodeNormalization;

/// RFC 5321 section 4.5.3.1.3: a path holds 256 octets, two of which are its brackets.
pub const EMAIL_BYTES_MAX: usize = 254;
/// RFC 5321 section 4.5.3.1.1.
pub const LOCAL_PART_BYTES_MAX: usize = 64;

/// An address as typed, and the identity that it stands for.
///
/// Two addresses are the same person's exactly when their identities are equal: NFKC, the whole address case-folded,
/// no other rewriting (no dots removed, no tags cut).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Email {
    shown: String,
    identity: String,
}

/// Why a text is no address.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EmailFault {
    #[error("is empty")]
    Empty,
    #[error("has {0} bytes, at most {EMAIL_BYTES_MAX} are allowed")]
    TooLong(usize),
    #[error("is not of the form name@domain")]
    Form,
    #[error("has a character that no address may have")]
    Character,
}

impl Email {
    /// Reads an address as a person typed it; spaces around it are dropped.
    ///
    /// # Errors
    /// Names what keeps the text from being an address. Quoted local parts and address literals are not accepted.
    pub fn parse(text: &str) -> Result<Self, EmailFault> {
        let shown = text.trim();
        let identity = identity(shown);
        for form in [shown, identity.as_str()] {
            check(form)?;
        }
        Ok(Self { shown: shown.to_owned(), identity })
    }

    /// The address as typed.
    #[must_use]
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// What addresses are compared by.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// What stands before the `@`, as typed.
    fn local(&self) -> &str {
        self.shown.rsplit_once('@').map_or("", |(local, _)| local)
    }

    /// What stands behind the last `@` of the identity.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.identity.rsplit_once('@').map_or("", |(_, domain)| domain)
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// The identity of any text: what an address is compared by, also where the text is no address.
#[must_use]
pub fn identity(text: &str) -> String {
    let folded = caseless::default_case_fold_str(&text.trim().nfkc().collect::<String>());
    folded.nfkc().collect()
}

/// Whether mail to both reaches one mailbox, as far as can be known: the domains are one, and the local parts are equal
/// but for the case of ASCII letters. Addresses of one identity may be of two mailboxes (`straße@`, `strasse@`).
#[must_use]
pub fn is_same_mailbox(one: &str, other: &str) -> bool {
    let (Ok(one), Ok(other)) = (Email::parse(one), Email::parse(other)) else { return false };
    one.domain() == other.domain() && one.local().eq_ignore_ascii_case(other.local())
}

fn check(text: &str) -> Result<(), EmailFault> {
    if text.is_empty() {
        return Err(EmailFault::Empty);
    }
    if text.len() > EMAIL_BYTES_MAX {
        return Err(EmailFault::TooLong(text.len()));
    }
    if text.chars().any(|c| !allowed(c)) {
        return Err(EmailFault::Character);
    }
    let (local, domain) = text.split_once('@').ok_or(EmailFault::Form)?;
    let dotted = |part: &str| part.split('.').all(|label| !label.is_empty());
    let well_formed = dotted(local)
        && local.len() <= LOCAL_PART_BYTES_MAX
        && dotted(domain)
        && domain.contains('.')
        && domain.split('.').all(|label| label.len() <= 63 && !label.starts_with('-') && !label.ends_with('-'))
        && domain.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '.');
    if well_formed { Ok(()) } else { Err(EmailFault::Form) }
}

/// RFC 5322 `atext` beyond ASCII as RFC 6531 widens it, less what renders as nothing or turns text around.
fn allowed(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.@".contains(c) } else { c.is_alphanumeric() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_as_typed_and_compared_folded() {
        let email = Email::parse(" Ann.Lee@Example.ORG ").unwrap();
        assert_eq!(email.shown(), "Ann.Lee@Example.ORG");
        assert_eq!(email.identity(), "ann.lee@example.org");
        assert_eq!(email.domain(), "example.org");
    }

    #[test]
    fn look_alikes_of_compatibility_are_one_identity() {
        assert_eq!(identity("ＡＮＮ@x.org"), identity("ann@x.org"));
        assert_eq!(identity("Straße@x.org"), identity("STRASSE@x.org"));
    }

    #[test]
    fn one_identity_may_be_two_mailboxes() {
        assert!(is_same_mailbox("Ann@Acme.example", "ann@acme.EXAMPLE"));
        for (one, other) in
            [("straße@x.org", "strasse@x.org"), ("ﬁn@x.org", "fin@x.org"), ("ＡＮＮ@x.org", "ann@x.org")]
        {
            assert_eq!(identity(one), identity(other));
            assert!(!is_same_mailbox(one, other), "{one} {other}");
        }
        assert!(!is_same_mailbox("ann", "ann"));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in
            ["", "ann", "ann@", "@x.org", "ann@localhost", "a@b@x.org", "ann@x..org", "ann@-x.org", "ann@x.org."]
        {
            assert!(Email::parse(text).is_err(), "{text:?}");
        }
        for text in ["ann\r\nbcc: eve@x.org@x.org", "ann\0@x.org", "\u{202e}ann@x.org", "ann lee@x.org"] {
            assert_eq!(Email::parse(text), Err(EmailFault::Character), "{text:?}");
        }
        assert_eq!(Email::parse(&format!("{}@x.org", "a".repeat(250))), Err(EmailFault::TooLong(256)));
    }
}
