//! How people who type name things: by id, or by the natural handle.

use uuid::Uuid;

use super::email::Email;

/// The most characters that a slug, a service account's or a realm's name has.
pub const SLUG_CHARS_MAX: usize = 63;
/// The most characters that a role's name has.
pub const ROLE_NAME_CHARS_MAX: usize = 64;

/// An id, or a natural handle (e-mail address, slug, name). What parses as a UUID is an id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Handle {
    Id(Uuid),
    Natural(String),
}

/// What a handle names. Each kind has a natural form of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Named {
    User,
    ServiceAccount,
    /// A user or a service account.
    Principal,
    Organization,
    Role,
    /// Whatever an event of the audit log may be about.
    Anything,
}

impl Named {
    /// Whether something of this kind may have this natural handle.
    #[must_use]
    pub fn may_be(self, text: &str) -> bool {
        let is_address = || Email::parse(text).is_ok();
        match self {
            Self::User => is_address(),
            Self::ServiceAccount | Self::Organization => is_slug(text),
            Self::Principal => is_slug(text) || is_address(),
            Self::Role => is_role_name(text),
            Self::Anything => is_role_name(text) || is_address(),
        }
    }

    /// What names something of this kind, as errors say it.
    #[must_use]
    pub fn forms(self) -> &'static str {
        match self {
            Self::User => "an id or an e-mail address",
            Self::ServiceAccount => "an id or the name of a service account",
            Self::Principal => "an id, an e-mail address or the name of a service account",
            Self::Organization => "an id or a slug",
            Self::Role => "an id or the name of a role",
            Self::Anything => "an id, an e-mail address, a slug or a name",
        }
    }
}

impl Handle {
    /// Reads a handle; never fails, since what is no id may be a natural handle: see [`Named::may_be`].
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Uuid::parse_str(text).map_or_else(|_| Self::Natural(text.to_owned()), Self::Id)
    }
}

/// Whether a text may become a slug: 1 to 63 of `a-z`, `0-9` and `-`, neither beginning nor ending with `-`, and not an
/// id in disguise.
#[must_use]
pub fn is_slug(text: &str) -> bool {
    let plain = text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-');
    plain
        && (1..=SLUG_CHARS_MAX).contains(&text.len())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && Uuid::parse_str(text).is_err()
}

/// The most bytes that a label has.
pub const LABEL_BYTES_MAX: usize = 64;

/// Whether a text may become a label, the name of a kind, scheme, topic, product or attribute: 1 to 64 of `a-z`, `0-9`,
/// `_` and `-`.
#[must_use]
pub fn is_label(text: &str) -> bool {
    let plain = text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_' || c == b'-');
    plain && (1..=LABEL_BYTES_MAX).contains(&text.len())
}

/// Whether a text may become a role's name: 1 to 64 letters, digits, `_`, `-` and `.`, and not an id in disguise.
#[must_use]
pub fn is_role_name(text: &str) -> bool {
    let plain = text.bytes().all(|c| c.is_ascii_alphanumeric() || b"_-.".contains(&c));
    plain && (1..=ROLE_NAME_CHARS_MAX).contains(&text.len()) && Uuid::parse_str(text).is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_an_id_is_one() {
        let id = "018f2b7e-7b1a-7cc3-98c4-0123456789ab";
        assert!(matches!(Handle::parse(id), Handle::Id(_)));
        assert!(matches!(Handle::parse("018f2b7e7b1a7cc398c40123456789ab"), Handle::Id(_)));
        assert_eq!(Handle::parse("acme"), Handle::Natural("acme".into()));
        assert!(!is_slug(id) && !is_role_name(id) && !is_role_name("018f2b7e7b1a7cc398c40123456789ab"));
    }

    #[test]
    fn what_can_be_nobodys_handle_is_told_apart() {
        for (named, possible, impossible) in [
            (Named::User, "ann@x.org", "ann"),
            (Named::ServiceAccount, "shop-2", "Shop"),
            (Named::Organization, "acme", " acme"),
            (Named::Role, "ROLE_ADMIN", "role admin"),
        ] {
            assert!(named.may_be(possible) && !named.may_be(impossible), "{named:?}");
        }
        assert!(["ann@x.org", "shop-2"].iter().all(|text| Named::Principal.may_be(text)));
        assert!(["", "ann@", "Shop", "a b", "\u{200b}"].iter().all(|text| !Named::Principal.may_be(text)));
    }

    #[test]
    fn slugs_are_plain() {
        assert!(is_slug("acme-2"));
        for text in ["", "-a", "a-", "Acme", "a_b", "a b", &"a".repeat(64)] {
            assert!(!is_slug(text), "{text:?}");
        }
        assert!(is_role_name("ROLE_ADMIN") && is_role_name("a.b-c") && !is_role_name("a b"));
    }
}
