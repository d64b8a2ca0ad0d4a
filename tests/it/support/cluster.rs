//! A PostgreSQL server of a test's own, to be stopped and started: a process, made by `tests/postgres`.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command};

use countersign::store::{Location, Store};
use rustix::process::{Pid, Signal, kill_process};
use sea_orm::Database;
use tempfile::TempDir;

use super::app::{GLANCE, PATIENCE};

/// A server with one database, which has the current schema. Ends when this does.
pub(crate) struct Cluster {
    home: TempDir,
    port: u16,
    running: Option<Child>,
}

impl Cluster {
    /// Starts one.
    pub(crate) async fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut cluster = Self { home: tempfile::tempdir().unwrap(), port, running: None };
        cluster.start_again().await;
        let store = Store::open(Location::Postgres(&cluster.url()), 1).await.unwrap();
        store.migrate().await.unwrap();
        store.close().await;
        cluster
    }

    /// How its database is reached.
    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Starts it on the port that it had, and waits until it answers.
    pub(crate) async fn start_again(&mut self) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/postgres");
        let child = Command::new(script).arg(self.home.path()).arg(self.port.to_string()).spawn().unwrap();
        self.running = Some(child);
        let answers = tokio::time::timeout(PATIENCE, async {
            while Database::connect(self.url()).await.is_err() {
                tokio::time::sleep(GLANCE).await;
            }
        });
        assert!(answers.await.is_ok(), "{}", std::fs::read_to_string(self.home.path().join("log")).unwrap_or_default());
    }

    /// Ends it at once, as a crash would: what was not written down is lost.
    pub(crate) fn crash(&mut self) {
        if let Some(mut child) = self.running.take() {
            kill_process(Pid::from_child(&child), Signal::QUIT).unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.crash();
    }
}
