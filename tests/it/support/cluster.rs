//! A PostgreSQL server of a test's own, to be stopped and started: a process, made by `tests/postgres`.

use std::path::Path;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};

use countersign::store::{Location, Store};
use rustix::process::{Pid, Signal, kill_process};
use sea_orm::{ConnectionTrait as _, Database, DbBackend, Statement};
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
        let mut cluster = Self { home: tempfile::tempdir().unwrap(), port: port(), running: None };
        cluster.start_again().await;
        let store = Store::open(Location::Postgres(&cluster.url()), 1).await.unwrap();
        store.migrate().await.unwrap();
        store.close().await;
        cluster
    }

    /// Starts a standby of it, which follows what it writes.
    pub(crate) async fn standby(&self) -> Self {
        let mut standby = Self { home: tempfile::tempdir().unwrap(), port: port(), running: None };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/postgres");
        let bin = Command::new(script).arg("--bin").output().unwrap().stdout;
        let bin = Path::new(std::str::from_utf8(&bin).unwrap().trim()).join("pg_basebackup");
        let data = standby.home.path().join("data");
        let mut copy = Command::new(bin);
        copy.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "postgres", "-c", "fast", "-R", "-D"]);
        assert!(copy.arg(&data).status().unwrap().success(), "the primary was not copied");
        let mut owned = Command::new("chown");
        owned.arg("-R").arg(format!("--reference={}", self.home.path().join("data").display())).arg(&data);
        assert!(owned.status().unwrap().success(), "the copy is not the server's");
        standby.start_again().await;
        standby
    }

    /// Has it do something.
    pub(crate) async fn execute(&self, sql: &str) {
        let server = Database::connect(self.url()).await.unwrap();
        server.execute_unprepared(sql).await.unwrap();
        server.close().await.unwrap();
    }

    /// Waits until this standby has whatever the primary has by now.
    pub(crate) async fn has_caught_up_with(&self, primary: &Self) {
        let (here, there) =
            (Database::connect(self.url()).await.unwrap(), Database::connect(primary.url()).await.unwrap());
        let asked = |sql: String| Statement::from_string(DbBackend::Postgres, sql);
        let end = there.query_one_raw(asked("SELECT pg_current_wal_lsn()::text".to_owned())).await.unwrap().unwrap();
        let end: String = end.try_get_by_index(0).unwrap();
        let there_yet = format!("SELECT pg_last_wal_replay_lsn() >= '{end}'::pg_lsn");
        let caught_up = tokio::time::timeout(PATIENCE, async {
            while !here
                .query_one_raw(asked(there_yet.clone()))
                .await
                .unwrap()
                .unwrap()
                .try_get_by_index::<bool>(0)
                .unwrap()
            {
                tokio::time::sleep(GLANCE).await;
            }
        });
        assert!(caught_up.await.is_ok(), "the standby does not follow");
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

/// A port below those that the system hands out, so that nobody takes it while the server is down; apart from those of
/// other clusters by the number of this process and of this cluster in it.
fn port() -> u16 {
    let number = STARTED.fetch_add(1, Ordering::Relaxed);
    12_000 + u16::try_from((std::process::id() + number) % 8_000).unwrap()
}

fn url_at(port: u16) -> String {
    format!("postgres://postgres@127.0.0.1:{port}/postgres")
}
