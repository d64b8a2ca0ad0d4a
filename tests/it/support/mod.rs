//! What tests stand on: a real server on either database, callers with their credentials, the mails that arrive, and
//! what is said of errors.
//!
//! [`TestApp`] is a server in this process, reached over TCP; [`Binary`] is the command itself, to be killed. Every
//! test body runs on both databases by [`both_backends!`]. `steps` has the verbs of the stories. Nothing in here
//! asserts a rule of the service.

mod accounts;
mod app;
mod binary;
mod bouncer;
mod caller;
mod cluster;
mod collector;
mod grpcurl;
mod letters;
mod mail_server;
mod portal;
mod postgres;
mod proxy;
mod raw;
mod record;
mod refusal;
mod row_held;
mod steps;

pub(crate) use app::{Backend, Reachable, TestApp, run};
pub(crate) use binary::Binary;
pub(crate) use bouncer::Bouncer;
pub(crate) use caller::Caller;
pub(crate) use cluster::Cluster;
pub(crate) use collector::Collector;
pub(crate) use grpcurl::grpcurl;
pub(crate) use letters::Letter;
pub(crate) use mail_server::{MAIL_PASSWORD, MailServer};
pub(crate) use portal::{Person, Portal};
pub(crate) use postgres::Throwaway;
pub(crate) use proxy::Proxy;
pub(crate) use raw::{Raw, framed};
pub(crate) use record::everything_in;
pub(crate) use refusal::{refusal, said, violations};
pub(crate) use row_held::RowHeld;
pub(crate) use steps::{
    ALLOWED, At, PASSWORD, Verdict, ask, by_default, denied, everywhere, grants, identifiers, role, session_of, text,
    within,
};

/// Runs a test body on both databases: two tests below a module that says what is tested.
///
/// ```ignore
/// both_backends!(approving_twice_returns_the_same_account, async |app: &TestApp| { … });
/// ```
macro_rules! both_backends {
    ($name:ident, $body:expr) => {
        crate::support::both_backends!($name, crate::support::run, $body);
    };
    // `$run` gives the body something else than a TestApp to stand on.
    ($name:ident, $run:path, $body:expr) => {
        mod $name {
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_sqlite() {
                $run(crate::support::Backend::Sqlite, $body).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_postgres() {
                $run(crate::support::Backend::Postgres, $body).await;
            }
        }
    };
}
pub(crate) use both_backends;
