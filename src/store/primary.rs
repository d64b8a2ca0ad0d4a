//! Whether what a connection leads to is the primary, which alone may be asked.
//!
//! A standby lags behind, one that was promoted may have lost the newest changes, and a primary that became read-only is
//! about to be replaced. So each new connection is asked; and after an error that may mean that the server at the other
//! end is another one by now, every connection made before is closed rather than used.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sea_orm::{DbErr, RuntimeErr};

use super::error::code_of;

/// True of a standby, and of a server that takes no changes.
pub(super) const CLOSED: &str = "(pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean)";

/// A connection's age is known to about so much.
const UNSURE: Duration = Duration::from_millis(1);

/// What the connections of a process share.
#[derive(Debug)]
pub(super) struct Primary {
    began: Instant,
    /// Connections made before then are in doubt: microseconds since `began`.
    doubted_at: AtomicU64,
}

impl Default for Primary {
    fn default() -> Self {
        Self { began: now(), doubted_at: AtomicU64::new(0) }
    }
}

impl Primary {
    /// Has every connection that there is replaced before it is used again.
    pub(super) fn doubt(&self) {
        let now = u64::try_from(now().saturating_duration_since(self.began).as_micros()).unwrap_or(u64::MAX);
        self.doubted_at.fetch_max(now, Ordering::AcqRel);
    }

    /// As [`Primary::doubt`], if an error may mean that the server is another one by now.
    pub(super) fn doubt_after(&self, error: &DbErr) {
        if means_another_server(error) {
            self.doubt();
        }
    }

    /// Whether a connection of that age was made before the last doubt.
    pub(super) fn is_in_doubt(&self, age: Duration) -> bool {
        let made = now().saturating_duration_since(self.began).saturating_sub(age);
        let doubted_at = self.doubted_at.load(Ordering::Acquire);
        doubted_at > 0 && made <= Duration::from_micros(doubted_at) + UNSURE
    }
}

#[expect(clippy::disallowed_methods, reason = "connections tell their age by this clock")]
fn now() -> Instant {
    Instant::now()
}

/// A connection that broke, a server that goes or comes (57P), a transaction that may only read (25006).
fn means_another_server(error: &DbErr) -> bool {
    use sea_orm::sqlx::Error as Sqlx;
    let (DbErr::Conn(RuntimeErr::SqlxError(cause))
    | DbErr::Exec(RuntimeErr::SqlxError(cause))
    | DbErr::Query(RuntimeErr::SqlxError(cause))) = error
    else {
        return false;
    };
    match &**cause {
        Sqlx::Io(_) | Sqlx::Tls(_) | Sqlx::Protocol(_) => true,
        Sqlx::Database(_) => code_of(cause)
            .is_some_and(|code| code == "25006" || ["08", "57P"].iter().any(|class| code.starts_with(class))),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doubt_is_about_every_connection_made_before_it_and_about_none_made_after() {
        let primary = Primary::default();
        assert!(!primary.is_in_doubt(Duration::from_secs(3_600)), "nothing has happened yet");
        std::thread::sleep(Duration::from_millis(2));
        primary.doubt();
        assert!(primary.is_in_doubt(Duration::from_secs(60)));
        std::thread::sleep(2 * UNSURE);
        assert!(!primary.is_in_doubt(Duration::ZERO));
    }
}
