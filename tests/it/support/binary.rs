//! The command itself as a process of its own, to be killed and started again.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::app::{Front, GLANCE, PATIENCE, PORTALS};
use super::{Reachable, Throwaway};

/// A running `countersign serve`. Killed when it goes.
pub(crate) struct Binary {
    address: SocketAddr,
    metrics: SocketAddr,
    front: Front,
    child: Child,
}

impl Binary {
    /// Starts it on this data directory, with everything embedded or on a PostgreSQL database, and waits until it is
    /// ready.
    pub(crate) async fn spawn(home: &Path, database: Option<&Throwaway>) -> Self {
        Self::spawn_with(home, database, |_| {}).await
    }

    /// As [`Binary::spawn`], with another environment, or another place for what it says.
    pub(crate) async fn spawn_with(
        home: &Path,
        database: Option<&Throwaway>,
        change: impl FnOnce(&mut Command),
    ) -> Self {
        let mut binary = Self::launch(home, database, change);
        binary.ready().await;
        binary.front = Front::new(binary.address, operator_key(home).await);
        binary
    }

    /// Starts it and waits for nothing.
    pub(crate) fn launch(home: &Path, database: Option<&Throwaway>, change: impl FnOnce(&mut Command)) -> Self {
        // The ports are free now; between here and their use nobody asks for them by number.
        let free = [(), ()].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [address, metrics] = free.map(|port| port.local_addr().unwrap());
        // Past a limit on the size of files, a write fails as on a full disk, rather than end the process.
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_countersign")]);
        command.args(["serve", "--listen", &address.to_string()]);
        command.args(["--metrics-listen", &metrics.to_string()]);
        command.env("COUNTERSIGN_LOG_FILTER", "warn");
        command.env("COUNTERSIGN_BASE_URL_ORIGINS", PORTALS);
        command.args(["--public-calls-per-source", "1000000", "--public-calls-per-mailbox", "1000000"]);
        command.args(["--unknown-credentials-per-source", "1000000"]);
        command.arg("--data-dir").arg(home).arg("--shutdown-pause").arg("0s").stdout(Stdio::null());
        if let Some(database) = database {
            command.env("COUNTERSIGN_DATABASE_URL", database.url());
        }
        change(&mut command);
        let child = command.spawn().unwrap();
        Self { address, metrics, front: Front::new(address, String::new()), child }
    }

    /// Waits until it is ready.
    pub(crate) async fn ready(&mut self) {
        let url = format!("http://{}", self.address);
        tokio::select! {
            waited = tokio::time::timeout(PATIENCE, ready(url)) => assert!(waited.is_ok(), "the server is not ready"),
            status = self.ended() => panic!("the server ended: {status:?}"),
        }
    }

    /// Waits until it ends by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        loop {
            match self.child.try_wait().unwrap() {
                Some(status) => return status,
                None => tokio::time::sleep(GLANCE).await,
            }
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What its port for metrics answers to a path: the status and the text.
    pub(crate) async fn scrape(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.metrics).await.unwrap();
        let request = format!("GET {path} HTTP/1.0\r\nhost: metrics\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, text) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), text.to_owned())
    }

    /// Its process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Lets no file of it grow beyond so many bytes; `None` = as they like.
    pub(crate) fn limit_files(&self, bytes: Option<u64>) {
        let limit = Rlimit { current: bytes, maximum: None };
        prlimit(Some(Pid::from_child(&self.child)), Resource::Fsize, limit).unwrap();
    }

    /// Stops it where it stands, and lets it go on: SIGSTOP, SIGCONT.
    pub(crate) fn freeze(&self) {
        kill_process(Pid::from_child(&self.child), Signal::STOP).unwrap();
    }

    /// As [`Binary::freeze`] says.
    pub(crate) fn thaw(&self) {
        kill_process(Pid::from_child(&self.child), Signal::CONT).unwrap();
    }

    /// Ends it as an outage would: SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it as an operator would: SIGTERM. Answers whether it ended well.
    pub(crate) fn terminate(mut self) -> bool {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        self.child.wait().unwrap().success()
    }
}

impl Reachable for Binary {
    fn front(&self) -> &Front {
        &self.front
    }
}

impl Drop for Binary {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

async fn ready(url: String) {
    let mut health = HealthClient::new(Endpoint::from_shared(url).unwrap().connect_lazy());
    loop {
        let asked = HealthCheckRequest { service: "ready".to_owned() };
        let answer = health.check(asked).await.map(|answer| answer.into_inner().status());
        if answer.is_ok_and(|status| status == ServingStatus::Serving) {
            return;
        }
        tokio::time::sleep(GLANCE).await;
    }
}

/// The key that the first start wrote beside the record, right after it was ready.
async fn operator_key(home: &Path) -> String {
    let file = home.join("operator.key");
    let written = tokio::time::timeout(PATIENCE, async {
        loop {
            match std::fs::read_to_string(&file) {
                Ok(key) if key.ends_with('\n') => return key.trim().to_owned(),
                _ => tokio::time::sleep(GLANCE).await,
            }
        }
    });
    written.await.unwrap()
}
