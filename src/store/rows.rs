//! The rows of one realm. Every query of a realm's data is a method of [`Rows`], so none can forget the realm.

use std::collections::BTreeMap;

use sea_orm::sea_query::LikeExpr;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, Statement, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Store;
use super::error::{Result, corrupt};
use super::lanes::{Lane, Loads, Reads};
use crate::domain::ids::RealmId;

/// Asks about one realm, on a pool or within a transaction.
#[derive(Debug)]
pub struct Rows<'a, C> {
    pub(in crate::store) conn: &'a C,
    pub(in crate::store) realm: RealmId,
}

/// The rows of a realm within a transaction.
pub type TxRows<'a> = Rows<'a, DatabaseTransaction>;
/// The rows of a realm as last committed.
pub type ReadRows<'a> = Rows<'a, Lane<Reads>>;
/// The rows of a realm as last committed, for what a check or an authentication waits for.
pub type LoadRows<'a> = Rows<'a, Lane<Loads>>;

impl<C> Clone for Rows<'_, C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C> Copy for Rows<'_, C> {}

impl Store {
    /// The rows of a realm, as last committed.
    #[must_use]
    pub fn rows(&self, realm: RealmId) -> ReadRows<'_> {
        Rows { conn: &self.read, realm }
    }

    /// As [`Store::rows`], for what a check or an authentication waits for.
    #[must_use]
    pub fn loads(&self, realm: RealmId) -> LoadRows<'_> {
        Rows { conn: &self.loads, realm }
    }
}

impl<C: ConnectionTrait> Rows<'_, C> {
    /// The realm that is asked about.
    #[must_use]
    pub fn realm_id(&self) -> RealmId {
        self.realm
    }
}

/// A statement with numbered parameters (`$1`…), which both databases read.
pub(in crate::store) fn statement<C: ConnectionTrait>(
    conn: &C,
    sql: impl Into<String>,
    values: impl IntoIterator<Item = Value>,
) -> Statement {
    Statement::from_sql_and_values(conn.get_database_backend(), sql, values)
}

/// Whether the connection speaks PostgreSQL.
pub(in crate::store) fn is_postgres<C: ConnectionTrait>(conn: &C) -> bool {
    conn.get_database_backend() == DbBackend::Postgres
}

/// A stored document; the column is text on both databases.
pub(in crate::store) fn document<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| corrupt(&error.to_string()))
}

/// Reads a stored document.
pub(in crate::store) fn read<T: DeserializeOwned>(text: &str, what: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| corrupt(&format!("{what}: {error}")))
}

/// The attributes of a membership.
pub(in crate::store) type Attributes = BTreeMap<String, String>;

/// Prints a unit variant as the text that its column stores.
pub(in crate::store) fn word<T: Serialize>(value: T) -> Result<String> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => Ok(word),
        _ => Err(corrupt("unit variant")),
    }
}

/// Reads a unit variant from the text of its column.
pub(in crate::store) fn variant<T: DeserializeOwned>(word: &str, what: &str) -> Result<T> {
    serde_json::from_value(serde_json::Value::String(word.to_owned())).map_err(|_| corrupt(what))
}

/// What substring search looks at, in one indexed column: the handle, a line further the name, folded alike.
pub(in crate::store) fn search_text(handle: &str, name: &str) -> String {
    format!("{handle}\n{}", crate::domain::email::folded(name))
}

/// A pattern that finds the text, taken literally but for its case, anywhere after what `before` says.
pub(in crate::store) fn matching(before: &str, text: &str) -> LikeExpr {
    let literal = crate::domain::email::identity(text).replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    LikeExpr::new(format!("{before}{literal}%")).escape('\\')
}
