//! Permission names, the patterns that cover them, and reaches.
//!
//! A name is what a check asks for; a pattern is what a role or a grant confers; a reach says whose things. Everything
//! here is text and order: what is declared in a realm is the catalogue's business.

pub mod reserved;

use std::borrow::Borrow;
use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The longest name or pattern, in bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// The most segments of a name.
pub const NAME_SEGMENTS_MAX: usize = 8;

/// Why a text is no permission name, or no pattern.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum NameError {
    #[error("permission name may have at most {NAME_BYTES_MAX} bytes, has {0}")]
    TooLong(usize),
    #[error("permission name may have 1 to {NAME_SEGMENTS_MAX} segments, has {0}")]
    Segments(usize),
    #[error("permission name segment must match [a-z0-9_-]+, is {0:?}")]
    Segment(String),
    #[error("nothing may cover {0:?}: the platform's permissions belong to platform accounts")]
    Platform(String),
}

/// A dotted permission name: 1 to 8 segments of `[a-z0-9_-]`, at most 128 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PermissionName(Box<str>);

impl PermissionName {
    /// Parses a name.
    ///
    /// # Errors
    /// The text is too long, has too many segments, or a segment has other characters.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        check(text, NAME_SEGMENTS_MAX)?;
        Ok(Self(text.into()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Every pattern that covers this name: itself, one for each name above it, and the bare star.
    pub fn covering(&self) -> impl Iterator<Item = Pattern> {
        let above = self.0.match_indices('.').map(|(at, _)| format!("{}.*", &self.0[..at]));
        let all = above.chain([self.0.to_string(), "*".to_owned()]).map(|text| Pattern(text.into()));
        all.filter(|pattern| pattern.covers(self))
    }

    /// Whether only the service itself declares this name.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        reserved::is_reserved(&self.0)
    }
}

/// What a role or a grant confers: one name, everything below a name (`a.b.*`), or everything unreserved (`*`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(Box<str>);

/// A pattern taken apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shape<'a> {
    /// `*`
    Any,
    /// `a.b.*`, as `a.b.`
    Below(&'a str),
    Exact(&'a str),
}

impl Pattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// As for a name; and for everything at or below `countersign.platform`, which no pattern covers.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text != "*" {
            match text.strip_suffix(".*") {
                Some(prefix) => check(prefix, NAME_SEGMENTS_MAX - 1)?,
                None => check(text, NAME_SEGMENTS_MAX)?,
            }
        }
        if text.len() > NAME_BYTES_MAX {
            return Err(NameError::TooLong(text.len()));
        }
        if reserved::is_platform(text) {
            return Err(NameError::Platform(text.to_owned()));
        }
        Ok(Self(text.into()))
    }

    /// Stands where none could be read: it covers nothing, since no name is empty.
    #[must_use]
    pub fn nothing() -> Self {
        Self("".into())
    }

    /// The pattern `countersign.*`: everything reserved, the platform's permissions aside.
    #[must_use]
    pub fn everything_reserved() -> Self {
        Self("countersign.*".into())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this pattern covers reserved names, and so must have been written out.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        reserved::is_reserved(&self.0)
    }

    /// Whether this pattern covers the name.
    #[must_use]
    pub fn covers(&self, name: &PermissionName) -> bool {
        match self.shape() {
            Shape::Any => !name.is_reserved(),
            Shape::Below(prefix) => name.0.starts_with(prefix) && !reserved::is_platform(&name.0),
            Shape::Exact(own) => own == name.as_str(),
        }
    }

    /// Whether this pattern covers every name that the other covers, also those not yet declared.
    #[must_use]
    pub fn covers_pattern(&self, other: &Self) -> bool {
        match (self.shape(), other.shape()) {
            (Shape::Any, _) => !other.is_reserved(),
            (Shape::Below(prefix), Shape::Below(inner) | Shape::Exact(inner)) => inner.starts_with(prefix),
            (Shape::Exact(own), Shape::Exact(inner)) => own == inner,
            (_, Shape::Any) | (Shape::Exact(_), Shape::Below(_)) => false,
        }
    }

    pub(crate) fn shape(&self) -> Shape<'_> {
        match self.0.strip_suffix('*') {
            Some("") => Shape::Any,
            Some(prefix) => Shape::Below(prefix),
            None => Shape::Exact(&self.0),
        }
    }
}

fn check(text: &str, segments_max: usize) -> Result<(), NameError> {
    if text.len() > NAME_BYTES_MAX {
        return Err(NameError::TooLong(text.len()));
    }
    let segments = text.split('.').count();
    if segments > segments_max {
        return Err(NameError::Segments(segments));
    }
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    match text.split('.').find(|segment| segment.is_empty() || !segment.bytes().all(allowed)) {
        Some(segment) => Err(NameError::Segment(segment.to_owned())),
        None => Ok(()),
    }
}

macro_rules! text {
    ($($name:ident)*) => {$(
        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.into()
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

text! { PermissionName Pattern }

/// Whose things an entry opens, in its scope.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Reach {
    /// The subject's own.
    Own,
    /// Those of the subject's team, never its own.
    Team,
    /// Anybody's, and what belongs to nobody.
    All,
}

impl Reach {
    /// Whether whoever has this reach has the other as well. OWN and TEAM are incomparable; ALL contains both.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self == Self::All || self == other
    }
}

/// A set of reaches.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reaches(u8);

impl Reaches {
    pub const NONE: Self = Self(0);
    pub const EVERY: Self = Self(0b111);

    /// The reaches that contain the given one.
    #[must_use]
    pub fn containing(reach: Reach) -> Self {
        Self::from(reach) | Self::from(Reach::All)
    }

    #[must_use]
    pub fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl From<Reach> for Reaches {
    fn from(reach: Reach) -> Self {
        match reach {
            Reach::Own => Self(0b001),
            Reach::Team => Self(0b010),
            Reach::All => Self(0b100),
        }
    }
}

impl std::ops::BitOr for Reaches {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    fn covers(text: &str, name: &str) -> bool {
        pattern(text).covers(&PermissionName::parse(name).unwrap())
    }

    #[test]
    fn names_are_one_to_eight_lower_case_segments() {
        for good in ["a", "a.b-c.d_e.9", "a.b.c.d.e.f.g.h", &"a".repeat(128)] {
            assert_eq!(PermissionName::parse(good).unwrap().as_str(), good);
        }
        assert_eq!(PermissionName::parse("a.b.c.d.e.f.g.h.i"), Err(NameError::Segments(9)));
        assert_eq!(PermissionName::parse(&"a".repeat(129)), Err(NameError::TooLong(129)));
        for bad in ["", ".", "a.", ".a", "a..b", "A", "a b", "a.*", "*", "ä"] {
            assert!(matches!(PermissionName::parse(bad), Err(NameError::Segment(_))), "{bad}");
        }
    }

    #[test]
    fn a_trailing_star_covers_what_is_below_and_not_the_name_itself() {
        assert!(covers("a.*", "a.b"));
        assert!(covers("a.*", "a.b.c"));
        assert!(!covers("a.*", "a"));
        assert!(!covers("a.*", "ab.c"));
        assert!(!covers("a.b", "a.b.c"));
    }

    #[test]
    fn a_star_inside_or_alone_in_a_segment_is_no_pattern() {
        for bad in ["a*", "a.*.b", "**", "*.a", "a.b*", ".*", "a.b.c.d.e.f.g.h.*"] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_bare_star_stops_before_the_reserved_namespace() {
        assert!(covers("*", "a"));
        assert!(!covers("*", "countersign.users.read"));
        assert!(covers("countersign.*", "countersign.users.read"));
        assert!(!pattern("*").covers_pattern(&pattern("countersign.*")));
        assert!(!pattern("*").covers_pattern(&pattern("countersign.users.read")));
        assert!(pattern("*").covers_pattern(&pattern("*")));
    }

    #[test]
    fn nothing_covers_the_platform() {
        for bad in ["countersign.platform", "countersign.platform.*", "countersign.platform.realms"] {
            assert_eq!(Pattern::parse(bad), Err(NameError::Platform(bad.to_owned())));
        }
        assert!(!covers("countersign.*", "countersign.platform.realms"));
        assert!(Pattern::parse("countersign.platforms").is_ok());
    }

    #[test]
    fn a_pattern_covers_a_narrower_one() {
        assert!(pattern("a.*").covers_pattern(&pattern("a.b.*")));
        assert!(pattern("a.*").covers_pattern(&pattern("a.*")));
        assert!(pattern("a.*").covers_pattern(&pattern("a.b")));
        assert!(!pattern("a.*").covers_pattern(&pattern("a")));
        assert!(!pattern("a.b.*").covers_pattern(&pattern("a.*")));
        assert!(!pattern("a.b").covers_pattern(&pattern("a.b.*")));
        assert!(!pattern("a.*").covers_pattern(&pattern("*")));
    }

    #[test]
    fn own_and_team_are_incomparable() {
        assert!(Reach::All.contains(Reach::Own) && Reach::All.contains(Reach::Team));
        assert!(!Reach::Own.contains(Reach::Team) && !Reach::Team.contains(Reach::Own));
        assert!(!Reach::Team.contains(Reach::All));
    }
}
