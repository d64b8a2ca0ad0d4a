//! How fast calls are answered: the released server beside a bare one, asked by the same client, in one run.
//!
//! Every server is a process of its own; the client shares the machine with it. What is compared is measured in turns,
//! round by round, so that a machine that slows down meanwhile slows down both. Medians of the rounds are printed.
//!
//! ```text
//! cargo bench --bench rpc [-- speed miss storm start]
//! ```
//!
//! `miss` also asks PostgreSQL where `COUNTERSIGN_TEST_POSTGRES_URL` names a cluster: `tests/run -- cargo bench …`.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark that can't go on ends, and reports")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock, and what a test run hands to its tests")]

#[path = "rpc/load.rs"]
mod load;
#[path = "rpc/seed.rs"]
mod seed;
#[path = "rpc/server.rs"]
mod server;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use countersign::domain::ids::PrincipalId;
use countersign::grpc::pb;
use countersign::store::Location;
use load::{Client, Rpc, Seen, Shape};
use sea_orm::ConnectionTrait;
use seed::{Seeded, seed};
use server::{EMPTY, Process};
use tempfile::TempDir;

const CHECK: &str = "/countersign.v1.AuthorizationService/CheckPermission";
const BATCH: &str = "/countersign.v1.AuthorizationService/BatchCheckPermissions";
const SIGN_IN: &str = "/countersign.v1.SessionService/SignIn";

/// What a mesh of a few busy services looks like.
const BUSY: Shape = Shape { connections: 4, calls: 16 };
/// What leaves a database unsaturated, so that a miss is timed and not a queue.
const CALM: Shape = Shape { connections: 1, calls: 2 };
/// More sign-ins than are hashed at once, and fewer than are refused.
const CROWD: Shape = Shape { connections: 1, calls: 32 };

const ROUNDS: usize = 9;
const ROUND: Duration = Duration::from_secs(1);
/// Users that are asked about over and over.
const HOT: usize = 1_000;
/// Users that are asked about once.
const COLD: usize = 4_000;
const BATCH_ITEMS: usize = 100;
const STARTS: usize = 5;
/// When the memory of an idle process is looked at.
const IDLE: Duration = Duration::from_secs(10);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [bare, port] = arguments.as_slice()
        && bare == server::BARE
    {
        return server::be_bare(port.parse().unwrap());
    }
    // `cargo test --all-targets` runs this without.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let named: Vec<_> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |part: &str| named.is_empty() || named.iter().any(|name| *name == part);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("countersign.db");
        drop(Process::countersign(folder.path(), &[]).await);
        let seeded = seed(Location::Sqlite(&file), HOT + COLD).await;
        if wanted("speed") {
            speed(folder.path(), &seeded).await;
        }
        if wanted("miss") {
            miss_on_sqlite(folder.path(), &seeded).await;
            miss_on_postgres().await;
        }
        if wanted("storm") {
            storm(folder.path(), &seeded).await;
        }
        if wanted("start") {
            start(folder.path()).await;
        }
    });
}

/// Checks and batches that find everything in memory, beside an empty call on a bare server.
async fn speed(folder: &Path, seeded: &Seeded) {
    let bare = Process::bare().await;
    let floor = Client::connect(&bare.address, BUSY).await;
    let (empty, nothing): (_, Arc<[_]>) = (Rpc::new(EMPTY, None), [Arc::new(())].into());
    let check = Rpc::new(CHECK, Some(&seeded.key));
    let questions = questions(seeded, &seeded.users[..HOT]);
    // Nobody listens there, and nobody needs to: callers that do not sample have no spans made.
    for (exporter, endpoint) in [("off", ""), ("on", "http://127.0.0.1:9")] {
        let (process, _) = Process::countersign(folder, &[("COUNTERSIGN_OTLP_ENDPOINT", endpoint)]).await;
        let client = Client::connect(&process.address, BUSY).await;
        must_be_allowed(&client, &check, &questions[0]).await;
        client.each::<_, pb::CheckPermissionResponse>(&check, &questions).await;
        let (mut empties, mut checks) = (Timed::of(&bare), Timed::of(&process));
        for _ in 0..ROUNDS {
            empties.round(floor.cycle::<_, ()>(&empty, &nothing, ROUND)).await;
            checks.round(client.cycle::<_, pb::CheckPermissionResponse>(&check, &questions, ROUND)).await;
        }
        println!("\nCheckPermission, L1 hit, 4 connections x 16, trace exporter {exporter}");
        empties.print("empty");
        checks.print("check");
        let of_floor = 100. * checks.per_second() / empties.per_second();
        println!("  throughput {of_floor:>5.1} % of the floor   (must reach 80, wants 90)");
        println!("  p99        {:>5.2} times the floor's   (wants 1.2)", checks.p99() / empties.p99());
        if endpoint.is_empty() {
            batch(&process, &client, seeded).await;
        }
    }
}

/// Many questions in one call.
async fn batch(process: &Process, client: &Client, seeded: &Seeded) {
    let (rpc, batches) = (Rpc::new(BATCH, Some(&seeded.key)), batches(seeded, &seeded.users[..HOT]));
    let mut rounds = Timed::of(process);
    for _ in 0..ROUNDS {
        rounds.round(client.cycle::<_, pb::BatchCheckPermissionsResponse>(&rpc, &batches, ROUND)).await;
    }
    println!("\nBatchCheckPermissions of {BATCH_ITEMS}, L1 hit");
    rounds.print("batch");
    println!("  {:.0} decisions/s   (must reach 1000000)", rounds.per_second() * BATCH_ITEMS as f64);
}

/// Checks about users that nobody asked about before: each loads one snapshot.
async fn miss_on_sqlite(folder: &Path, seeded: &Seeded) {
    let (process, _) = Process::countersign(folder, &[]).await;
    println!("\nCheckPermission, miss, SQLite, {} users", seeded.users.len());
    miss(&process, seeded).await.print("miss");
}

async fn miss_on_postgres() {
    println!("\nCheckPermission, miss, PostgreSQL");
    let Ok(cluster) = std::env::var("COUNTERSIGN_TEST_POSTGRES_URL") else {
        return println!("  left out: COUNTERSIGN_TEST_POSTGRES_URL names no cluster");
    };
    let name = format!("bench_{}", std::process::id());
    let superuser = sea_orm::Database::connect(&cluster).await.unwrap();
    superuser.execute_unprepared(&format!("CREATE DATABASE {name}")).await.unwrap();
    let (server, _) = cluster.rsplit_once('/').unwrap();
    let url = format!("{server}/{name}");
    {
        let folder = TempDir::new().unwrap();
        let settings = [("COUNTERSIGN_DATABASE_URL", url.as_str()), ("COUNTERSIGN_MIGRATE", "true")];
        drop(Process::countersign(folder.path(), &settings).await);
        let seeded = seed(Location::Postgres(&url), HOT + COLD).await;
        superuser.execute_unprepared("ANALYZE").await.unwrap();
        let (process, _) = Process::countersign(folder.path(), &settings).await;
        miss(&process, &seeded).await.print("miss");
    }
    superuser.execute_unprepared(&format!("DROP DATABASE {name} WITH (FORCE)")).await.unwrap();
}

async fn miss<'a>(process: &'a Process, seeded: &Seeded) -> Timed<'a> {
    let client = Client::connect(&process.address, CALM).await;
    let check = Rpc::new(CHECK, Some(&seeded.key));
    let (known, unknown) = (questions(seeded, &seeded.users[..HOT]), questions(seeded, &seeded.users[HOT..]));
    must_be_allowed(&client, &check, &known[0]).await;
    // Statements are prepared and connections open by then.
    client.each::<_, pb::CheckPermissionResponse>(&check, &known).await;
    let mut timed = Timed::of(process);
    timed.round(client.each::<_, pb::CheckPermissionResponse>(&check, &unknown)).await;
    timed
}

/// Checks while more people sign in than can be hashed at once.
async fn storm(folder: &Path, seeded: &Seeded) {
    println!("\nCheckPermission during a sign-in storm");
    let unlimited = ("COUNTERSIGN_PUBLIC_CALLS_PER_SOURCE", "4000000000");
    let each = ("COUNTERSIGN_PUBLIC_CALLS_PER_MAILBOX", "4000000000");
    let (process, _) = Process::countersign(folder, &[unlimited, each]).await;
    let (client, crowd) =
        (Client::connect(&process.address, BUSY).await, Client::connect(&process.address, CROWD).await);
    let (check, questions) = (Rpc::new(CHECK, Some(&seeded.key)), questions(seeded, &seeded.users[..HOT]));
    let sign_in = Rpc::new(SIGN_IN, None);
    let sign_ins: Arc<[_]> = (0..HOT).map(|user| Arc::new(signing_in(user))).collect();
    if let Err(refused) = crowd.once::<_, pb::SignInResponse>(&sign_in, signing_in(0)).await {
        return println!("  left out: {refused}");
    }
    client.each::<_, pb::CheckPermissionResponse>(&check, &questions).await;
    let [mut quiet, mut stormy, mut storms] = [(); 3].map(|()| Timed::of(&process));
    for _ in 0..ROUNDS {
        quiet.round(client.cycle::<_, pb::CheckPermissionResponse>(&check, &questions, ROUND)).await;
        tokio::join!(
            stormy.round(client.cycle::<_, pb::CheckPermissionResponse>(&check, &questions, ROUND)),
            storms.round(crowd.cycle::<_, pb::SignInResponse>(&sign_in, &sign_ins, ROUND)),
        );
    }
    quiet.print("quiet");
    stormy.print("storm");
    storms.print("sign-in");
    println!("  p99 {:.2} times the quiet one   (at most 2)", stormy.p99() / quiet.p99());
}

/// From the start of a process to its first answer, on a record that is there; and what it then holds.
async fn start(folder: &Path) {
    let mut took = vec![];
    for _ in 0..STARTS {
        took.push(Process::countersign(folder, &[]).await.1);
    }
    took.sort_unstable();
    println!("\nStart on an existing SQLite database, to the first answer of the health check");
    println!("  {:>12} ms   (at most 200)", took[STARTS / 2].as_millis());
    let (process, _) = Process::countersign(folder, &[]).await;
    tokio::time::sleep(IDLE).await;
    println!("\nMemory of an idle process, {} s after its start", IDLE.as_secs());
    println!("  {:>12.1} MiB   (at most 40)", process.resident_kib() as f64 / 1024.);
}

fn questions(seeded: &Seeded, users: &[PrincipalId]) -> Arc<[Arc<pb::CheckPermissionRequest>]> {
    let question = |user: &PrincipalId| pb::CheckPermissionRequest {
        subject: Some(pb::check_permission_request::Subject::Principal(user.to_string())),
        permission: seeded.permission.clone(),
        organization: seeded.organization.to_string(),
        ..pb::CheckPermissionRequest::default()
    };
    users.iter().map(|user| Arc::new(question(user))).collect()
}

/// One user, a hundred permissions: what a page asks when it is shown.
fn batches(seeded: &Seeded, users: &[PrincipalId]) -> Arc<[Arc<pb::BatchCheckPermissionsRequest>]> {
    let organization = seeded.organization.to_string();
    let item = |permission: &String| pb::BatchCheckItem {
        permission: permission.clone(),
        organization: organization.clone(),
        ..pb::BatchCheckItem::default()
    };
    let items: Vec<_> = seeded.permissions.iter().step_by(7).take(BATCH_ITEMS).map(item).collect();
    let batch = |user: &PrincipalId| pb::BatchCheckPermissionsRequest {
        subject: Some(pb::batch_check_permissions_request::Subject::Principal(user.to_string())),
        items: items.clone(),
        ..pb::BatchCheckPermissionsRequest::default()
    };
    users.iter().map(|user| Arc::new(batch(user))).collect()
}

fn signing_in(user: usize) -> pb::SignInRequest {
    pb::SignInRequest { email: seed::address(user), password: seed::PASSWORD.into() }
}

async fn must_be_allowed(client: &Client, rpc: &Rpc, question: &pb::CheckPermissionRequest) {
    let answer: pb::CheckPermissionResponse = client.once(rpc, question.clone()).await.unwrap();
    assert_eq!(answer.decision(), pb::Decision::Allowed);
}

/// Rounds of one kind of call on one server.
struct Timed<'a> {
    process: &'a Process,
    cpu: Duration,
    rounds: Vec<Seen>,
}

impl<'a> Timed<'a> {
    fn of(process: &'a Process) -> Self {
        Self { process, cpu: Duration::ZERO, rounds: vec![] }
    }

    async fn round(&mut self, calls: impl Future<Output = Seen>) {
        let before = self.process.cpu();
        self.rounds.push(calls.await);
        self.cpu += self.process.cpu() - before;
    }

    fn per_second(&self) -> f64 {
        self.median(Seen::per_second)
    }

    fn p99(&self) -> f64 {
        self.median(|round| round.percentile(99))
    }

    fn median(&self, of: impl Fn(&Seen) -> f64) -> f64 {
        let mut each: Vec<_> = self.rounds.iter().map(of).collect();
        each.sort_unstable_by(f64::total_cmp);
        each[each.len() / 2]
    }

    /// The processor time is the server's, with whatever else it did meanwhile.
    fn print(&self, name: &str) {
        let (rate, p50, p99) = (self.per_second(), self.median(|round| round.percentile(50)), self.p99());
        let calls: usize = self.rounds.iter().map(|round| round.latencies.len()).sum();
        let cpu = self.cpu.as_secs_f64() * 1e6 / calls as f64;
        println!("  {name:<8} {rate:>9.0} /s   p50 {p50:>8.0} us   p99 {p99:>8.0} us   server {cpu:>8.1} us of a core");
    }
}
