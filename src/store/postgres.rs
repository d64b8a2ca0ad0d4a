//! Connections to PostgreSQL: what each is told when it is made, and asked before it is used.

use std::sync::Arc;
use std::time::Duration;

use sea_orm::sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sea_orm::sqlx::{self, Connection as _, Error as Sqlx, Row as _};
use sea_orm::{ConnectOptions, DbErr, RuntimeErr};

use super::error::{Error, Result};
use super::lanes::READ_TIME;
use super::primary::{CLOSED, Primary};

/// How long a call waits for a connection before it is told that the database is unavailable.
const ACQUIRE_TIME: Duration = Duration::from_secs(3);
/// A connection that sat idle for longer is pinged before it is used; others are not, so that a miss costs one trip.
const PING_AFTER_IDLE: Duration = Duration::from_secs(5);
/// How long a connection may take to say that it is ready for the next caller. One that says nothing is closed.
const RETURN_TIME: Duration = Duration::from_secs(1);
/// How long a transaction waits for a row, the realm's above all. Longer than [`IDLE_TIME`], so that who waits behind a
/// process that froze gets the row and not an error.
pub(super) const LOCK_TIME: Duration = Duration::from_secs(4);
/// How long a transaction may do nothing. Ours never wait for anything but the database: whoever is silent for so long is
/// frozen or gone, and the server frees what they hold.
const IDLE_TIME: Duration = Duration::from_secs(3);
/// How long the server waits for a client to acknowledge what it was sent.
const UNACKNOWLEDGED_TIME: Duration = Duration::from_secs(5);

/// How long a server may take to begin to listen, and between two looks.
const START_TIME: Duration = Duration::from_secs(3);
const BETWEEN_TRIES: Duration = Duration::from_millis(50);
/// What a pooler that hands sessions out among its clients breaks: time-outs and prepared statements are a session's.
const POOLER: &str = "the time-outs of its sessions do not arrive at the database, as behind PgBouncer: connect to \
                      PostgreSQL itself (`database_pool` bounds the connections of each replica)";

/// A pool of connections whose statements end in time.
pub(super) fn lane(url: &str, size: u32, time: Duration, primary: &Arc<Primary>) -> ConnectOptions {
    let (of_idle, mut options) = (Arc::clone(primary), ConnectOptions::new(url));
    options
        .set_application_name("countersign")
        .max_connections(size)
        .acquire_timeout(time.min(ACQUIRE_TIME))
        .connect_lazy(true)
        .test_before_acquire_if_idle_for(PING_AFTER_IDLE)
        .sqlx_logging(false)
        // SQL text does not belong in an identity service's traces.
        .record_stmt_in_spans(false)
        .map_sqlx_postgres_opts(move |options| bounded(options, time))
        .map_sqlx_postgres_before_acquire(move |_, connection| {
            Box::pin(std::future::ready(Ok(!of_idle.is_in_doubt(connection.age))))
        })
        .map_sqlx_postgres_pool_opts(checked);
    options
}

/// Connects once, as a lane does. A server that is about to start is waited for.
///
/// # Errors
/// [`Error::Unavailable`], also of a server that is not the primary; [`Error::Unusable`] if the time-outs do not arrive.
pub(super) async fn probe(url: &str) -> Result<()> {
    let options: PgConnectOptions = url.parse().map_err(connecting)?;
    let options = bounded(options, READ_TIME);
    let connected = tokio::time::timeout(START_TIME, async {
        loop {
            match PgConnection::connect_with(&options).await {
                Err(Sqlx::Io(_)) => tokio::time::sleep(BETWEEN_TRIES).await,
                connected => return connected,
            }
        }
    });
    let mut connection = connected.await.unwrap_or(Err(Sqlx::PoolTimedOut)).map_err(connecting)?;
    require_primary(&mut connection).await.map_err(connecting)?;
    let asked = sqlx::query("SELECT current_setting('lock_timeout')").fetch_one(&mut connection).await;
    let lock_time: String = asked.and_then(|row| row.try_get(0)).map_err(connecting)?;
    connection.close().await.map_err(connecting)?;
    if lock_time == format!("{}s", LOCK_TIME.as_secs()) { Ok(()) } else { Err(Error::Unusable(POOLER)) }
}

/// Has the server end what takes too long, whatever becomes of this process. Said with the first message, so that it
/// costs no trip and holds for whatever is asked later.
fn bounded(options: PgConnectOptions, statement: Duration) -> PgConnectOptions {
    let settings = [
        ("statement_timeout", statement),
        ("lock_timeout", LOCK_TIME.min(statement)),
        ("idle_in_transaction_session_timeout", IDLE_TIME),
        ("tcp_user_timeout", UNACKNOWLEDGED_TIME),
    ];
    options.options(settings.map(|(name, time)| (name, time.as_millis())))
}

fn checked(options: PgPoolOptions) -> PgPoolOptions {
    options
        .after_connect(|connection, _| Box::pin(require_primary(connection)))
        .after_release(|connection, _| Box::pin(is_ready(connection)))
}

async fn require_primary(connection: &mut PgConnection) -> std::result::Result<(), Sqlx> {
    let closed: bool =
        sqlx::query(sqlx::AssertSqlSafe(format!("SELECT {CLOSED}"))).fetch_one(connection).await?.try_get(0)?;
    if closed { Err(Sqlx::Protocol("the server is not the primary, or takes no changes".to_owned())) } else { Ok(()) }
}

/// Whether a connection whose caller may have left in the middle of a statement is ready for the next one.
async fn is_ready(connection: &mut PgConnection) -> std::result::Result<bool, Sqlx> {
    tokio::time::timeout(RETURN_TIME, connection.ping()).await.map_or(Ok(false), |ready| ready.map(|()| true))
}

fn connecting(error: Sqlx) -> Error {
    // PgBouncer's answer to what it does not hand on.
    match &error {
        Sqlx::Database(fault) if fault.message().contains("startup parameter") => Error::Unusable(POOLER),
        _ => DbErr::Conn(RuntimeErr::SqlxError(error.into())).into(),
    }
}
