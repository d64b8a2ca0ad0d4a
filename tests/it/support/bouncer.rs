//! PgBouncer before a database, in transaction mode.

use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tokio::net::TcpStream;

use super::Throwaway;
use super::app::{GLANCE, PATIENCE};

/// A running PgBouncer. Ends when this does.
pub(crate) struct Bouncer {
    url: String,
    running: Child,
    _home: TempDir,
}

impl Bouncer {
    /// Starts it before a database, with further lines of configuration.
    pub(crate) async fn before(database: &Throwaway, settings: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (_, rest) = database.url().split_once("://").unwrap();
        let (server, name) = rest.split_once('/').unwrap();
        let (host, server_port) = server.rsplit('@').next().unwrap().split_once(':').unwrap();
        let file = home.path().join("pgbouncer.ini");
        let text = format!(
            "[databases]\n{name} = host={host} port={server_port} user=postgres dbname={name}\n[pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
             pool_mode = transaction\n{settings}\n"
        );
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new("pgbouncer");
        command.arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
        if rustix::process::geteuid().is_root() {
            // It refuses root, and reads nothing but its configuration.
            for path in [home.path(), &file] {
                std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
            }
            command.uid(nobody()).gid(nobody());
        }
        let running = command.spawn().unwrap_or_else(|error| panic!("pgbouncer: {error}; apt-get install pgbouncer"));
        let mut bouncer = Self { url: format!("postgres://postgres@127.0.0.1:{port}/{name}"), running, _home: home };
        let answers = tokio::time::timeout(PATIENCE, async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                tokio::time::sleep(GLANCE).await;
            }
        });
        assert!(answers.await.is_ok(), "PgBouncer does not listen: {:?}", bouncer.running.try_wait());
        bouncer
    }

    /// How the database is reached by way of it.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        let _ended = self.running.kill();
        let _reaped = self.running.wait();
    }
}

/// The user that owns nothing.
fn nobody() -> u32 {
    let users = std::fs::read_to_string(Path::new("/etc/passwd")).unwrap();
    let line = users.lines().find_map(|line| line.strip_prefix("nobody:")).unwrap();
    line.split(':').nth(1).unwrap().parse().unwrap()
}
