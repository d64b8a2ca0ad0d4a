//! A PostgreSQL server of a test's own, to be stopped and started: a process, made by `tests/postgres`.

use std::path::Path;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};

use countersign::store::{Location, Store};
use rustix::process::{Pid, Signal, kill_process};
use sea_orm::Database;
use tempfile::TempDir;

use super::app::{GLANCE, PATIENCE};

static STARTED: AtomicU32 = AtomicU32::new(0);

/// A server with one database, which has the current schema. Ends when this does.
pub(crate) struct Cluster {
    home: TempDir,
    port: u16,
    running: Option<Child>,
}

impl Cluster {
    /// Starts one.
    pub(crate) async fn start() -> Self {
        // Below the ports that the system hands out, so that nobody takes it while the server is down; apart from those of
        // other clusters by the number of this process and of this cluster in it.
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let port = 12_000 + u16::try_from((std::process::id() + number) % 8_000).unwrap();
        let mut cluster = Self { home: tempfile::tempdir().unwrap(), port, running: None };
        cluster.start_again().await;
        let store = Store::open(Location::Postgres(&cluster.url()), 1).await.unwrap();
        store.migrate().await.unwrap();
        store.close().await;
        cluster
    }

    /// How its database is reached.
    pub(crate) fn url(&self) -> String {
        url_at(self.port)
    }

    /// Starts it on the port that it had, and waits until it answers.
    pub(crate) async fn start_again(&mut self) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/postgres");
        let child = Command::new(script).arg(self.home.path()).arg(self.port.to_string()).spawn().unwrap();
        let child = self.running.insert(child);
        let url = url_at(self.port);
        let answers = tokio::time::timeout(PATIENCE, async {
            while Database::connect(&url).await.is_err() && child.try_wait().unwrap().is_none() {
                tokio::time::sleep(GLANCE).await;
            }
        });
        let answers = answers.await.is_ok() && child.try_wait().unwrap().is_none();
        assert!(answers, "{}", std::fs::read_to_string(self.home.path().join("log")).unwrap_or_default());
    }

    /// Ends it at once, as a crash would: what was not written down is lost.
    pub(crate) fn crash(&mut self) {
        if let Some(mut child) = self.running.take() {
            // A shell that still makes the data hears the first one, a server the second.
            for signal in [Signal::TERM, Signal::QUIT] {
                let _gone = kill_process(Pid::from_child(&child), signal);
            }
            child.wait().unwrap();
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.crash();
    }
}

fn url_at(port: u16) -> String {
    format!("postgres://postgres@127.0.0.1:{port}/postgres")
}
