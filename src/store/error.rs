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
    /// A stored value can't be read, or a statement is wrong: a fault of ours.
    #[error("the record is corrupt: {0}")]
    Corrupt(String),
    /// PostgreSQL denies its role something that a GRANT would allow.
    #[error("the database's role lacks a right: {0}")]
    MissingRight(String),
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
        // PostgreSQL classes 08 connection, 53 resources, 57 operator intervention; 40 rolled back. SQLite 5 busy,
        // 10 I/O, 13 full, 14 can't open (the low byte of its extended codes).
        Sqlx::Database(fault) => fault.code().is_some_and(|code| {
            let sqlite = code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 5 | 10 | 13 | 14));
            let postgres = code.len() == 5 && ["08", "53", "57", "40"].iter().any(|class| code.starts_with(class));
            if code.len() == 5 { postgres } else { sqlite }
        }),
        _ => false,
    }
}

/// A stored text that its own type can't read.
pub(in crate::store) fn corrupt(what: &str) -> Error {
    Error::Corrupt(format!("unreadable {what}"))
}
