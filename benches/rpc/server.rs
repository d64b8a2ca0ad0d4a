//! The servers, each a process of its own: the one that is released, and a bare one to compare it with.

use std::convert::Infallible;
use std::fs::File;
use std::future::{Ready, ready};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use tonic::body::Body;
use tonic::server::{NamedService, UnaryService};
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_prost::ProstCodec;
use tower::Service;

/// The argument with which this benchmark, called once more, is the bare server.
pub(crate) const BARE: &str = "--bare";
/// The one RPC of the bare server.
pub(crate) const EMPTY: &str = "/bench.Bare/Empty";
/// How long a server may take to answer at all.
const PATIENCE: Duration = Duration::from_secs(20);
/// `USER_HZ` of Linux: what times in `/proc` are counted in.
const TICK: Duration = Duration::from_millis(10);

/// A server that runs; it is killed when this is dropped.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: String,
}

impl Process {
    /// The bare server.
    pub(crate) async fn bare() -> Self {
        let port = free_port();
        let mut command = Command::new(std::env::current_exe().unwrap());
        let process = Self::spawn(command.args([BARE, &port.to_string()]), port);
        let began = Instant::now();
        while Channel::from_shared(process.address.clone()).unwrap().connect().await.is_err() {
            assert!(began.elapsed() < PATIENCE, "the bare server does not answer");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        process
    }

    /// `countersign serve` in that folder, and how long it took from its start to its first answer.
    pub(crate) async fn countersign(folder: &Path, settings: &[(&str, &str)]) -> (Self, Duration) {
        let (port, metrics) = (free_port(), free_port());
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        command.arg("serve").current_dir(folder).env_clear();
        command.env("COUNTERSIGN_LISTEN", format!("127.0.0.1:{port}"));
        command.env("COUNTERSIGN_METRICS_LISTEN", format!("127.0.0.1:{metrics}"));
        command.env("COUNTERSIGN_DATA_DIR", folder).env("COUNTERSIGN_LOG_FORMAT", "json");
        command.envs(settings.iter().copied()).stderr(File::create(folder.join("log")).unwrap());
        let began = Instant::now();
        let mut process = Self::spawn(&mut command, port);
        while !serves(&process.address).await {
            let ended = process.child.try_wait().unwrap();
            assert!(ended.is_none() && began.elapsed() < PATIENCE, "{ended:?}: see {}", folder.join("log").display());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        (process, began.elapsed())
    }

    fn spawn(command: &mut Command, port: u16) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        Self { child, address: format!("http://127.0.0.1:{port}") }
    }

    /// How much of a core the process has used so far.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // After the name, which may hold anything: the state, then user and system time as the 12th and 13th field.
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let ticks = fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u32>().unwrap());
        TICK * ticks.sum::<u32>()
    }

    /// Memory that the process holds, in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

async fn serves(address: &str) -> bool {
    let Ok(channel) = Channel::from_shared(address.to_owned()).unwrap().connect().await else { return false };
    let status = HealthClient::new(channel).check(HealthCheckRequest::default()).await;
    status.is_ok_and(|answer| answer.get_ref().status() == ServingStatus::Serving)
}

/// Is the bare server, until killed.
pub(crate) fn be_bare(port: u16) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let serving = Server::builder().add_service(Bare).serve(([127, 0, 0, 1], port).into());
    runtime.block_on(serving).unwrap();
}

/// An empty message in, an empty message out: what a generated server does, and nothing else.
#[derive(Clone)]
struct Bare;

impl NamedService for Bare {
    const NAME: &'static str = "bench.Bare";
}

impl Service<http::Request<Body>> for Bare {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move { Ok(tonic::server::Grpc::new(ProstCodec::default()).unary(Self, request).await) })
    }
}

impl UnaryService<()> for Bare {
    type Response = ();
    type Future = Ready<Result<Response<()>, Status>>;

    fn call(&mut self, _: Request<()>) -> Self::Future {
        ready(Ok(Response::new(())))
    }
}
