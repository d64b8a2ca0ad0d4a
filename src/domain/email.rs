//! The e-mail address: what a person is known by in a realm.

use std::borrow::Cow;
use std::fmt;

use idna::{AsciiDenyList, uts46};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// RFC 5321 section 4.5.3.1.3: a path holds 256 octets, two of which are its brackets.
pub const EMAIL_BYTES_MAX: usize = 254;
/// RFC 5321 section 4.5.3.1.1.
pub const LOCAL_PART_BYTES_MAX: usize = 64;

/// An address as typed, the identity that it stands for, and the mailbox that mails go to.
///
/// Two addresses are the same person's exactly when their identities are equal: the local part NFKC and case-folded (no
/// dots removed, no tags cut), the domain equal by IDNA (UTS 46, non-transitional): `bücher` and `xn--bcher-kva` are one
/// domain, `weiß` and `weiss` are two.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Email {
    shown: String,
    identity: String,
    /// See [`Email::ascii_domain`].
    ascii_domain: String,
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
        if shown.is_empty() {
            return Err(EmailFault::Empty);
        }
        if shown.len() > EMAIL_BYTES_MAX {
            return Err(EmailFault::TooLong(shown.len()));
        }
        let (local, typed) = shown.split_once('@').ok_or(EmailFault::Form)?;
        if local.chars().any(|c| !allowed(c)) || typed.chars().any(|c| !is_of_a_domain(c)) {
            return Err(EmailFault::Character);
        }
        let ascii_domain = ascii_domain(typed).ok_or(EmailFault::Form)?;
        let email = Self { shown: shown.to_owned(), identity: identity(shown), ascii_domain };
        let fits = [local, &folded(local)].into_iter().all(is_local_part);
        match [&email.identity, &email.mailbox()].into_iter().map(|form| form.len()).max() {
            Some(bytes) if bytes > EMAIL_BYTES_MAX => Err(EmailFault::TooLong(bytes)),
            _ if fits => Ok(email),
            _ => Err(EmailFault::Form),
        }
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

    /// The domain of the identity, what domains are compared by: see [`domain`].
    #[must_use]
    pub fn domain(&self) -> &str {
        self.identity.rsplit_once('@').map_or("", |(_, domain)| domain)
    }

    /// The domain as A-labels (RFC 5890): what mail systems know it by.
    #[must_use]
    pub fn ascii_domain(&self) -> &str {
        &self.ascii_domain
    }

    /// Where mails go: the local part as typed, the domain as A-labels. So that only a local part beyond ASCII needs
    /// SMTPUTF8 (RFC 6531).
    #[must_use]
    pub fn mailbox(&self) -> String {
        let local = self.shown.split_once('@').map_or("", |(local, _)| local);
        format!("{local}@{}", self.ascii_domain)
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
    match text.trim().rsplit_once('@') {
        Some((local, name)) => format!("{}@{}", folded(local), domain(name).unwrap_or_else(|| folded(name))),
        None => folded(text.trim()),
    }
}

/// The form of any text in which case and compatibility make no difference: NFKC, case-folded.
#[must_use]
pub fn folded(text: &str) -> String {
    let folded = caseless::default_case_fold_str(&text.nfkc().collect::<String>());
    folded.nfkc().collect()
}

/// Whether mail to both reaches one mailbox, as far as can be known: the domains are one, and the local parts are equal
/// but for the case of ASCII letters, which no mail system in use tells apart. Addresses of one identity may be of two
/// mailboxes (`straße@`, `strasse@`).
#[must_use]
pub fn is_same_mailbox(one: &str, other: &str) -> bool {
    let (Ok(one), Ok(other)) = (Email::parse(one), Email::parse(other)) else { return false };
    one.mailbox().eq_ignore_ascii_case(&other.mailbox())
}

/// The one form in which a domain is stored and compared: its A-labels in Unicode. Equal exactly if the A-labels are. `None`
/// of what is no domain of two labels or more.
#[must_use]
pub fn domain(text: &str) -> Option<String> {
    let ascii = ascii_domain(text)?;
    let uts46 = uts46::Uts46::new();
    let (unicode, read) = uts46.to_unicode(ascii.as_bytes(), AsciiDenyList::STD3, uts46::Hyphens::CheckFirstLast);
    read.ok().map(|()| unicode.into_owned())
}

fn ascii_domain(text: &str) -> Option<String> {
    let uts46 = uts46::Uts46::new();
    let ascii =
        uts46.to_ascii(text.as_bytes(), AsciiDenyList::STD3, uts46::Hyphens::CheckFirstLast, uts46::DnsLength::Verify);
    ascii.ok().filter(|domain| domain.contains('.')).map(Cow::into_owned)
}

fn is_local_part(text: &str) -> bool {
    text.split('.').all(|atom| !atom.is_empty())
        && text.len() <= LOCAL_PART_BYTES_MAX
        && text.chars().all(|c| allowed(c) && c != '@')
}

/// RFC 5322 `atext` beyond ASCII as RFC 6531 widens it, less what renders as nothing or turns text around.
fn allowed(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.@".contains(c) } else { c.is_alphanumeric() }
}

/// What IDNA may find a domain in: letters and their marks, which may be typed apart, and joiners where a script needs
/// them. What it would leave out unseen is not accepted.
fn is_of_a_domain(c: char) -> bool {
    allowed(c) || is_combining_mark(c) || matches!(c, '\u{200c}' | '\u{200d}')
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
        assert_eq!(identity("ann@ＥＸＡＭＰＬＥ.org"), identity("ann@example.org"));
    }

    #[test]
    fn a_domain_is_one_however_it_is_spelled_and_nobody_elses() {
        let [typed, ascii, decomposed, upper] =
            ["ann@bücher.example", "Ann@XN--BCHER-KVA.example", "ann@bu\u{308}cher.example", "ann@BÜCHER.example"]
                .map(|text| Email::parse(text).unwrap());
        for other in [&ascii, &decomposed, &upper] {
            assert_eq!((other.identity(), other.domain()), (typed.identity(), typed.domain()));
        }
        assert_eq!((typed.identity(), typed.ascii_domain()), ("ann@bücher.example", "xn--bcher-kva.example"));
        for [one, two] in [["weiß.example", "weiss.example"], ["φίλος.example", "φίλοσ.example"]] {
            let [one, two] = [one, two].map(|domain| Email::parse(&format!("ann@{domain}")).unwrap());
            assert_ne!(one.identity(), two.identity());
            assert_ne!(one.domain(), two.domain());
        }
    }

    #[test]
    fn a_mail_goes_to_a_domain_of_ascii_and_to_the_local_part_as_typed() {
        assert_eq!(Email::parse("Ann@Bücher.example").unwrap().mailbox(), "Ann@xn--bcher-kva.example");
        assert_eq!(Email::parse("jürgen@example.org").unwrap().mailbox(), "jürgen@example.org");
        assert!(is_same_mailbox("Ann@bücher.example", "ann@XN--BCHER-KVA.example"));
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
        for text in [
            "",
            "ann",
            "ann@",
            "@x.org",
            "ann@localhost",
            "a@b@x.org",
            "ann@x..org",
            "ann@-x.org",
            "ann@x.org.",
            "ann@xn--a.org",
        ] {
            assert!(Email::parse(text).is_err(), "{text:?}");
        }
        for text in ["ann\r\nbcc: eve@x.org@x.org", "ann\0@x.org", "\u{202e}ann@x.org", "ann lee@x.org"] {
            assert_eq!(Email::parse(text), Err(EmailFault::Character), "{text:?}");
        }
        assert_eq!(Email::parse(&format!("{}@x.org", "a".repeat(250))), Err(EmailFault::TooLong(256)));
    }
}
