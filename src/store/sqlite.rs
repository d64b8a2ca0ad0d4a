//! Connections to a SQLite file.

use std::path::Path;
use std::time::Duration;

use sea_orm::ConnectOptions;
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sea_orm::sqlx::{self, Connection as _};

use super::lanes::WRITE_TIME;

/// How long SQLite waits for another connection of this process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The one connection that writes. It makes the file if there is none.
pub(super) fn writing(file: &Path) -> ConnectOptions {
    let mut options = with(1, embedded(file).create_if_missing(true));
    // A commit that failed, on a full disk say, may leave its transaction open, or counted as open. The next one on that
    // connection would be a part of it, and whatever it acknowledged would never be written.
    options.map_sqlx_sqlite_before_acquire(|connection, _| Box::pin(has_nothing_open(connection)));
    options
}

/// Connections that read while the other one writes.
pub(super) fn reading(file: &Path, size: u32) -> ConnectOptions {
    with(size, embedded(file).read_only(true))
}

/// A connection to a file that is left as it is, whatever its journal.
pub(super) fn untouched(file: &Path) -> ConnectOptions {
    with(1, SqliteConnectOptions::new().filename(file).read_only(true).busy_timeout(BUSY_TIMEOUT))
}

fn embedded(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .journal_mode(SqliteJournalMode::Wal)
        // An acknowledged change survives a crash of the machine, not only of the process.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
}

fn with(size: u32, connection: SqliteConnectOptions) -> ConnectOptions {
    let mut options = ConnectOptions::new("sqlite://");
    options
        .max_connections(size)
        .acquire_timeout(WRITE_TIME)
        .sqlx_logging(false)
        // SQL text does not belong in an identity service's traces.
        .record_stmt_in_spans(false)
        .test_before_acquire(false)
        .map_sqlx_sqlite_opts(move |_| connection.clone());
    options
}

/// Whether no transaction is open, once what is queued was rolled back. A connection with one is closed, not handed out.
async fn has_nothing_open(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}
