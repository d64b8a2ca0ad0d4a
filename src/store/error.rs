//! What the record can answer instead of rows. No driver's text leaves this file.

use sea_orm::{DbErr, RuntimeErr, SqlErr};

/// A failure of the record, by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A row that would have been there twice.
    #[error("conflict: {0:?}")]
    Conflict(Constraint),
    /// The database can't be asked just now; asking again may help.
    #[error("the database is unavailable")]
    Unavailable(#[source] DbErr),
    /// The server is a standby, or takes no changes; another one will.
    #[error("the database is not the primary, or takes no changes")]
    NotPrimary,
    /// Too many changes of the realm wait for their turn; asking again may help. Nothing was made.
    #[error("too many changes of the realm wait for their turn")]
    Busy,
    /// The database can be reached and can't be used as it is: what to do about it.
    #[error("{0}")]
    Unusable(&'static str),
    /// A stored value can't be read, or a statement is wrong: a fault of ours.
    #[error("the record is corrupt: {0}")]
    Corrupt(String),
    /// PostgreSQL denies its role something that a GRANT would allow.
    #[error("the database's role lacks a right: {0}")]
    MissingRight(String),
    /// The schema lacks changes of this version, and has others that this version does not know.
    #[error(
        "the schema lacks {missing} changes of this version and has {unknown} that it does not know: it is of another \
         branch of the program"
    )]
    SchemaDiverged { missing: usize, unknown: usize },
    /// A change of the schema fails. Nothing of it was made.
    #[error("the schema's change {change} can't be made, and nothing of it was: {cause}")]
    SchemaChange { change: &'static str, cause: String },
    /// A change of the schema fails because a part of it is there. Nothing more of it was made.
    #[error(
        "the schema is half-way into the change {change} ({cause}), as an earlier version left it that was stopped while \
         it upgraded: restore a copy from before (`countersign restore`); if this was the first start, delete the file"
    )]
    HalfChanged { change: &'static str, cause: String },
}

/// The uniqueness that was violated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Constraint {
    RealmName,
    OrganizationSlug,
    Identity,
    ServiceAccountName,
    SpiffeId,
    RoleName,
    RequestId,
    Other,
}

/// The result of asking the record.
pub type Result<T> = std::result::Result<T, Error>;

/// PostgreSQL names the constraint; SQLite lists the columns.
const CONSTRAINTS: [(&str, &str, Constraint); 7] = [
    ("realms_name_key", "realms.name", Constraint::RealmName),
    ("organizations_slug", "organizations.realm_id, organizations.slug", Constraint::OrganizationSlug),
    ("users_identity", "users.realm_id, users.identity", Constraint::Identity),
    ("service_accounts_name", "service_accounts.realm_id, service_accounts.name", Constraint::ServiceAccountName),
    ("service_accounts_spiffe", "service_accounts.spiffe_id", Constraint::SpiffeId),
    ("roles_name", "roles.realm_id, roles.name", Constraint::RoleName),
    ("answers_pkey", "answers.realm_id, answers.actor_id", Constraint::RequestId),
];

impl From<DbErr> for Error {
    fn from(error: DbErr) -> Self {
        if let Some(SqlErr::UniqueConstraintViolation(text)) = error.sql_err() {
            let named =
                |(postgres, sqlite, _): &&(&str, &str, Constraint)| text.contains(postgres) || text.contains(sqlite);
            return Self::Conflict(CONSTRAINTS.iter().find(named).map_or(Constraint::Other, |found| found.2));
        }
        if let Some(denied) = denied(&error) {
            return Self::MissingRight(denied);
        }
        match error {
            DbErr::Conn(_) | DbErr::ConnectionAcquire(_) => Self::Unavailable(error),
            DbErr::Exec(RuntimeErr::SqlxError(ref cause)) | DbErr::Query(RuntimeErr::SqlxError(ref cause))
                if transient(cause) =>
            {
                Self::Unavailable(error)
            }
            other => Self::Corrupt(other.to_string()),
        }
    }
}

/// What PostgreSQL says where its role lacks a right (42501, insufficient privilege).
fn denied(error: &DbErr) -> Option<String> {
    let (DbErr::Exec(RuntimeErr::SqlxError(cause)) | DbErr::Query(RuntimeErr::SqlxError(cause))) = error else {
        return None;
    };
    let fault = cause.as_database_error().filter(|fault| fault.code().is_some_and(|code| code == "42501"))?;
    Some(fault.message().to_owned())
}

/// Whether asking again may help: the connection, or the server's state, and not the statement.
fn transient(cause: &sea_orm::sqlx::Error) -> bool {
    use sea_orm::sqlx::Error as Sqlx;
    match cause {
        Sqlx::Io(_)
        | Sqlx::Tls(_)
        | Sqlx::PoolTimedOut
        | Sqlx::PoolClosed
        | Sqlx::WorkerCrashed
        | Sqlx::Protocol(_) => true,
        Sqlx::Database(_) => code_of(cause)
            .is_some_and(|code| if code.len() == 5 { postgres(&code) } else { code.parse().is_ok_and(sqlite) }),
        _ => false,
    }
}

/// PostgreSQL's classes 08 connection, 40 rolled back, 53 resources, 57 operator intervention; 25006 a read-only server,
/// 25P03 idle for too long within a transaction, 55P03 a lock that was not to be had in time.
fn postgres(code: &str) -> bool {
    matches!(code, "25006" | "25P03" | "55P03") || ["08", "40", "53", "57"].iter().any(|class| code.starts_with(class))
}

/// SQLite's 5 busy, 8 read-only, 10 I/O, 13 full, 14 can't open: the low byte of its extended codes.
fn sqlite(code: u32) -> bool {
    matches!(code & 0xff, 5 | 8 | 10 | 13 | 14)
}

/// The code of a database's own error: SQLSTATE, or SQLite's number.
pub(in crate::store) fn code_of(error: &sea_orm::sqlx::Error) -> Option<String> {
    error.as_database_error().and_then(|fault| fault.code()).map(std::borrow::Cow::into_owned)
}

/// A stored text that its own type can't read.
pub(in crate::store) fn corrupt(what: &str) -> Error {
    Error::Corrupt(format!("unreadable {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_a_server_is_no_fault_of_the_statement() {
        assert!(["25006", "25P03", "55P03", "40P01", "57014", "57P01", "53300"].into_iter().all(postgres));
        assert!(!["25P02", "42601", "23505", "22P02"].into_iter().any(postgres));
        // The second and third are READONLY_RECOVERY and BUSY_SNAPSHOT.
        assert!([8, 264, 517, 13].into_iter().all(sqlite));
        assert!(![1, 11, 19].into_iter().any(sqlite));
    }
}
