//! The change log: what a change makes stale, in commit order.

use std::fmt;

use uuid::Uuid;

use super::ids::{OrganizationId, PrincipalId, RealmId};
use super::realm::Position;

/// One cached fact. Its printed form is what the log stores.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Key {
    /// Gates, memberships, direct manager, entries, session epoch, ended sessions.
    Principal(PrincipalId),
    /// An API key's hash, or that of a SPIFFE id: which service account it stands for.
    Credential([u8; 32]),
    /// Kind, state, entitlements.
    Organization(OrganizationId),
    /// Permission names, roles, policy, signing keys.
    Catalogue,
}

/// One line of the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Line {
    pub realm: RealmId,
    pub position: Position,
    /// `None` = a key that this version does not know: a newer one wrote it. It may stand for anything.
    pub key: Option<Key>,
}

/// A fact, or the knowledge that there is none, and the position that it was read at: the mark tells of which history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Loaded<T> {
    pub as_of: Position,
    pub value: Option<T>,
}

/// A committed change of one realm.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Committed {
    pub realm: RealmId,
    /// The position after the change; that before it, if nothing went stale.
    pub position: Position,
    /// The position that the change was made on.
    pub before: Position,
    /// What went stale; empty = the revision did not move.
    pub keys: Vec<Key>,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Principal(id) => write!(f, "principal:{id}"),
            Self::Organization(id) => write!(f, "organization:{id}"),
            Self::Catalogue => f.write_str("catalogue"),
            Self::Credential(hash) => {
                f.write_str("credential:")?;
                hash.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

impl Key {
    /// Reads what [`Display`](fmt::Display) printed; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text == "catalogue" {
            return Some(Self::Catalogue);
        }
        let (kind, value) = text.split_once(':')?;
        match kind {
            "principal" => Some(Self::Principal(PrincipalId(Uuid::parse_str(value).ok()?))),
            "organization" => Some(Self::Organization(OrganizationId(Uuid::parse_str(value).ok()?))),
            "credential" => hash(value).map(Self::Credential),
            _ => None,
        }
    }
}

fn hash(hex: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_reads_back() {
        let id = Uuid::from_u128(7);
        let keys =
            [Key::Principal(id.into()), Key::Organization(id.into()), Key::Credential([0xa5; 32]), Key::Catalogue];
        for key in keys {
            assert_eq!(Key::parse(&key.to_string()), Some(key));
        }
        assert_eq!(Key::parse("principal:"), None);
        assert_eq!(Key::parse("credential:a5"), None);
    }
}
