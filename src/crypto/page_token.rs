//! Page tokens: where the next page of a list begins.
//!
//! Sealed, so that a client can neither read nor make one, and bound to the realm, the caller and the query that it
//! continues: handed to another query, or by somebody else, it does not open. A token never widens what its holder may
//! see; the list is filtered anew for each page.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::root_key::{Label, RootKeys};
use crate::domain::ids::{PrincipalId, RealmId};

/// The longest token that is looked at, in bytes. A cursor is a few sort keys and an id, some 200 bytes.
pub const MAX_TOKEN_BYTES: usize = 4096;

/// What a page token belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Binding<'a> {
    pub realm: RealmId,
    pub caller: PrincipalId,
    /// The full name of the RPC.
    pub rpc: &'a str,
    /// Everything of the request but page size and page token, in an encoding of one form per value.
    pub query: &'a [u8],
}

/// The token was not made by this service, or not for this caller and query: which, is not said.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("page token is not one of this query")]
pub struct Refused;

impl Binding<'_> {
    /// Seals the cursor at which the next page begins.
    ///
    /// # Errors
    /// If `cursor` has no JSON form, such as a map whose keys are no texts.
    pub fn seal(&self, keys: &RootKeys, cursor: &impl Serialize) -> serde_json::Result<String> {
        let cursor = serde_json::to_vec(cursor)?;
        Ok(URL_SAFE_NO_PAD.encode(self.with_parts(|parts| keys.seal(Label::PageToken, &cursor, parts))))
    }

    /// Opens the token of a page.
    ///
    /// # Errors
    /// [`Refused`] whatever the reason.
    pub fn open<T: DeserializeOwned>(&self, keys: &RootKeys, token: &str) -> Result<T, Refused> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Refused);
        }
        let sealed = URL_SAFE_NO_PAD.decode(token).map_err(|_| Refused)?;
        let cursor = self.with_parts(|parts| keys.open(Label::PageToken, &sealed, parts)).ok_or(Refused)?;
        serde_json::from_slice(cursor.expose()).map_err(|_| Refused)
    }

    fn with_parts<T>(&self, use_parts: impl FnOnce(&[&[u8]]) -> T) -> T {
        use_parts(&[self.realm.0.as_bytes(), self.caller.0.as_bytes(), self.rpc.as_bytes(), self.query])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::crypto::root_key::tests::{keys, rotating};

    const RIGHT: Binding<'_> = Binding {
        realm: RealmId(Uuid::from_u128(1)),
        caller: PrincipalId(Uuid::from_u128(2)),
        rpc: "countersign.v1.UserService/ListUsers",
        query: b"status=ACTIVE",
    };

    #[test]
    fn a_token_opens_only_for_its_own_query_and_caller() {
        let token = RIGHT.seal(&keys(1), &"cursor").unwrap();
        assert_eq!(RIGHT.open::<String>(&keys(1), &token), Ok("cursor".to_owned()));
        for wrong in [
            Binding { realm: RealmId(Uuid::from_u128(9)), ..RIGHT },
            Binding { caller: PrincipalId(Uuid::from_u128(9)), ..RIGHT },
            Binding { rpc: "countersign.v1.RoleService/ListRoles", ..RIGHT },
            Binding { query: b"status=DELETED", ..RIGHT },
        ] {
            assert_eq!(wrong.open::<String>(&keys(1), &token), Err(Refused), "{wrong:?}");
        }
    }

    #[test]
    fn a_token_outlives_one_rotation_of_the_root_key() {
        let token = RIGHT.seal(&keys(1), &"cursor").unwrap();
        assert!(RIGHT.open::<String>(&rotating(2, 1), &token).is_ok());
        assert_eq!(RIGHT.open::<String>(&keys(2), &token), Err(Refused));
    }

    #[test]
    fn a_cursor_of_another_form_is_refused() {
        let token = RIGHT.seal(&keys(1), &"cursor").unwrap();
        assert_eq!(RIGHT.open::<u64>(&keys(1), &token), Err(Refused));
    }

    #[test]
    fn an_endless_token_is_refused() {
        assert_eq!(RIGHT.open::<String>(&keys(1), &"A".repeat(1 << 20)), Err(Refused));
    }

    proptest! {
        #[test]
        fn open_undoes_seal(cursor: (String, i64, u128)) {
            let token = RIGHT.seal(&keys(1), &cursor).unwrap();
            prop_assume!(token.len() <= MAX_TOKEN_BYTES);
            prop_assert_eq!(RIGHT.open(&keys(1), &token), Ok(cursor));
        }

        #[test]
        fn a_changed_token_is_refused(at: prop::sample::Index, typed in "[0-9A-Za-z_-]") {
            let mut token = RIGHT.seal(&keys(1), &"cursor").unwrap();
            let at = at.index(token.len());
            prop_assume!(token[at..=at] != typed);
            token.replace_range(at..=at, &typed);
            prop_assert_eq!(RIGHT.open::<String>(&keys(1), &token), Err(Refused));
        }

        #[test]
        fn whatever_else_is_typed_is_refused(token in ".*") {
            prop_assert_eq!(RIGHT.open::<String>(&keys(1), &token), Err(Refused));
        }
    }
}
