//! For how long changes hold their realm's lock in a realm of many: an organization of 20,000 members, a leader of 10,000,
//! leaders of 1,000, on SQLite and on PostgreSQL.
//!
//! The members are made by statements that the database runs by itself. Then an account of the organization, which is
//! bound not to orphan it, changes what is large there; for how long each call held the lock is what the released server
//! says of itself (`countersign_realm_lock_duration_seconds`). Not one may exceed 50 ms.
//!
//! ```text
//! tests/run -- cargo bench --bench lock [-- --members 20000]
//! ```

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark that can't go on ends, and reports")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads what a test run hands to its tests")]
#![expect(dead_code, reason = "it shares its client and its servers with the other benchmarks")]

#[path = "rpc/load.rs"]
mod load;
#[path = "rpc/server.rs"]
mod server;

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use countersign::grpc::pb::{self, assign_role_request, revoke_role_request};
use load::{Client, Rpc, Shape};
use prost::Message;
use sea_orm::{ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement};
use server::Process;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const LOCKED: &str = "countersign_realm_lock_duration_seconds";

const CREATE_ORGANIZATION: &str = "/countersign.v1.OrganizationService/CreateOrganization";
const ENTITLE: &str = "/countersign.v1.OrganizationService/SetEntitlements";
const REMOVE: &str = "/countersign.v1.OrganizationService/RemoveMember";
const CREATE_ROLE: &str = "/countersign.v1.RoleService/CreateRole";
const ASSIGN: &str = "/countersign.v1.RoleAssignmentService/AssignRole";
const REVOKE: &str = "/countersign.v1.RoleAssignmentService/RevokeRole";
const CREATE_ACCOUNT: &str = "/countersign.v1.ServiceAccountService/CreateServiceAccount";
const CREATE_KEY: &str = "/countersign.v1.ServiceAccountService/CreateApiKey";
const SUSPEND: &str = "/countersign.v1.UserService/SuspendUser";
const REINSTATE: &str = "/countersign.v1.UserService/ReinstateUser";
const BLOCK: &str = "/countersign.v1.UserService/BlockUser";
const UNBLOCK: &str = "/countersign.v1.UserService/UnblockUser";
const SET_MANAGER: &str = "/countersign.v1.UserService/SetManager";
const DELETE: &str = "/countersign.v1.UserService/DeleteUser";

/// What a change may take under the lock, in milliseconds.
const BOUND_MS: f64 = 50.0;
/// How often each change is made and taken back.
const TIMES: usize = 10;
/// Leaders of a thousand, each of whom is deleted.
const LEADERS: u64 = 5;
const TEAM: u64 = 1_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --all-targets` runs this without.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let given = arguments.iter().position(|argument| argument == "--members").and_then(|at| arguments.get(at + 1));
    let members = given.map_or(20_000, |members| members.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        on_sqlite(members).await;
        on_postgres(members).await;
    });
}

async fn on_sqlite(members: u64) {
    let folder = TempDir::new().unwrap();
    let url = format!("sqlite://{}", folder.path().join("countersign.db").display());
    measure("SQLite", folder.path(), &[], &url, members).await;
}

async fn on_postgres(members: u64) {
    let cluster = std::env::var("COUNTERSIGN_TEST_POSTGRES_URL").unwrap();
    let name = format!("lock_{}", std::process::id());
    let superuser = Database::connect(&cluster).await.unwrap();
    superuser.execute_unprepared(&format!("CREATE DATABASE {name}")).await.unwrap();
    let url = format!("{}/{name}", cluster.rsplit_once('/').unwrap().0);
    let folder = TempDir::new().unwrap();
    let settings = [("COUNTERSIGN_DATABASE_URL", url.as_str()), ("COUNTERSIGN_MIGRATE", "true")];
    measure("PostgreSQL", folder.path(), &settings, &url, members).await;
    superuser.execute_unprepared(&format!("DROP DATABASE {name} WITH (FORCE)")).await.unwrap();
}

async fn measure(what: &str, folder: &Path, settings: &[(&str, &str)], url: &str, members: u64) {
    println!("\n{what}, {members} members: milliseconds under the realm's lock");
    let metrics = free_address();
    let listen = metrics.to_string();
    let settings: Vec<_> = settings.iter().copied().chain([("COUNTERSIGN_METRICS_LISTEN", listen.as_str())]).collect();
    let (process, _) = Process::countersign(folder, &settings).await;
    let operator = operator_key(folder).await;
    let key = found(&Bench::open(process, &operator, metrics).await).await;
    fill(url, members).await;
    let (process, _) = Process::countersign(folder, &settings).await;
    changes(&Bench::open(process, &key, metrics).await, members).await;
}

/// The key that the first start writes once it serves.
async fn operator_key(folder: &Path) -> String {
    loop {
        match std::fs::read_to_string(folder.join("operator.key")) {
            Ok(key) if key.ends_with('\n') => return key.trim().to_owned(),
            _ => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A server, and somebody who calls it.
struct Bench {
    process: Process,
    client: Client,
    key: String,
    /// Where the server's metrics are.
    metrics: SocketAddr,
}

impl Bench {
    async fn open(process: Process, key: &str, metrics: SocketAddr) -> Self {
        let client = Client::connect(&process.address, Shape { connections: 1, calls: 1 }).await;
        Self { process, client, key: key.to_owned(), metrics }
    }

    async fn call<R: Message + Default + 'static>(&self, path: &'static str, message: impl Message + 'static) -> R {
        let answer = self.client.once(&Rpc::new(path, Some(&self.key)), message).await;
        answer.unwrap_or_else(|refused| panic!("{path}: {refused:?}"))
    }

    /// How often the lock was held so far, and for how many seconds in all.
    async fn held_so_far(&self) -> (f64, f64) {
        let mut metrics = TcpStream::connect(self.metrics).await.unwrap();
        metrics.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await.unwrap();
        let mut text = String::new();
        metrics.read_to_string(&mut text).await.unwrap();
        let value = |of: &str| {
            let named = |line: &str| line.strip_prefix(LOCKED)?.strip_prefix(of)?.trim().parse().ok();
            text.lines().find_map(named).unwrap_or(0.0)
        };
        (value("_count "), value("_sum "))
    }

    /// Milliseconds for which a call, and nothing beside it, held the lock.
    async fn held<R: Message + Default + 'static>(&self, path: &'static str, message: impl Message + 'static) -> f64 {
        let before = self.held_so_far().await;
        self.call::<R>(path, message).await;
        let after = self.held_so_far().await;
        assert!((after.0 - before.0 - 1.0).abs() < 0.5, "{path} took the lock {} times", after.0 - before.0);
        (after.1 - before.1) * 1e3
    }
}

/// Makes an organization that a service account administers, bound not to orphan it, and answers that one's key.
async fn found(operator: &Bench) -> String {
    let create = pb::CreateOrganizationRequest {
        slug: "large".into(),
        title: "Large".into(),
        kind: "company".into(),
        ..Default::default()
    };
    operator.call::<pb::CreateOrganizationResponse>(CREATE_ORGANIZATION, create).await;
    for (name, patterns) in [
        ("administrator", &["countersign.users.*", "countersign.roles.assign", "countersign.organizations.*"][..]),
        ("member", &["section.*"][..]),
    ] {
        let all = |pattern: &&str| pb::PatternGrant { pattern: (*pattern).into(), reach: pb::Reach::All.into() };
        let role = pb::CreateRoleRequest {
            name: name.into(),
            grants: patterns.iter().map(all).collect(),
            assignable: Some(pb::Assignable {
                scopes: vec![pb::AssignmentScope::Organization.into()],
                ..Default::default()
            }),
            ..Default::default()
        };
        operator.call::<pb::CreateRoleResponse>(CREATE_ROLE, role).await;
    }
    let account =
        pb::CreateServiceAccountRequest { name: "hand".into(), organization: "large".into(), ..Default::default() };
    operator.call::<pb::CreateServiceAccountResponse>(CREATE_ACCOUNT, account).await;
    operator.call::<pb::AssignRoleResponse>(ASSIGN, assign("hand", "administrator")).await;
    let key = pb::CreateApiKeyRequest { service_account: "hand".into(), ..Default::default() };
    operator.call::<pb::CreateApiKeyResponse>(CREATE_KEY, key).await.secret
}

/// Makes the members: two administrators and a successor first, then the leader of half of them, then leaders of a
/// thousand each, then everybody else.
async fn fill(url: &str, members: u64) {
    let database = Database::connect(url).await.unwrap();
    let numbers = |from: u64, to: u64| {
        format!("WITH RECURSIVE numbers(n) AS (SELECT {from} UNION ALL SELECT n + 1 FROM numbers WHERE n < {to})")
    };
    let large = "(SELECT id FROM organizations WHERE slug = 'large')";
    let realm = "(SELECT realm_id FROM organizations WHERE slug = 'large')";
    let role = |name: &str| format!("(SELECT id FROM roles WHERE name = '{name}')");
    let id = |kind: char, n: &str| id(&database, kind, n);
    let (half, first) = (members / 2, 10 + LEADERS);
    let manager = format!(
        "CASE WHEN n < {first} THEN NULL WHEN n < {half} THEN {of_half} WHEN n < {half} + {LEADERS} * {TEAM} THEN {of_few} END",
        of_half = id('b', "3"),
        of_few = id('b', &format!("10 + (n - {half}) / {TEAM}")),
    );
    let all = numbers(0, members - 1);
    for statement in [
        format!(
            "{all} INSERT INTO users (id, realm_id, email, identity, display_name, search, approval, verified_at,
               verified_how, password_must_change, session_epoch, version, created_at, manager_id)
             SELECT {user}, {realm}, 'person-' || n || '@large.example', 'person-' || n || '@large.example', 'Person',
               'person-' || n || '@large.example', 'Approved', 0, 'Link', false, 0, 1, 0, {manager} FROM numbers",
            user = id('b', "n")
        ),
        format!(
            "{all} INSERT INTO memberships (user_id, organization_id, realm_id, state, attributes, created_at)
             SELECT {user}, {large}, {realm}, 'Active', '{{}}', 0 FROM numbers",
            user = id('b', "n")
        ),
        format!(
            "{all} INSERT INTO entries (id, realm_id, principal_id, role_id, organization_id, source, created_at)
             SELECT {entry}, {realm}, {user}, {member}, {large}, 'Default', 0 FROM numbers",
            entry = id('c', "n"),
            user = id('b', "n"),
            member = role("member")
        ),
        format!(
            "{two} INSERT INTO entries (id, realm_id, principal_id, role_id, organization_id, source, created_at)
             SELECT {entry}, {realm}, {user}, {administrator}, {large}, 'Actor', 0 FROM numbers",
            two = numbers(0, 1),
            entry = id('d', "n"),
            user = id('b', "n"),
            administrator = role("administrator")
        ),
        "ANALYZE".to_owned(),
    ] {
        database.execute_unprepared(&statement).await.unwrap();
    }
    let count = "SELECT CAST(count(*) AS bigint) AS led FROM users WHERE manager_id IS NOT NULL";
    let row = database.query_one_raw(Statement::from_string(database.get_database_backend(), count)).await.unwrap();
    let led: i64 = row.unwrap().try_get("", "led").unwrap();
    println!("  {led} are led by somebody");
    database.close().await.unwrap();
}

/// The id of the n-th of its kind, as the database makes it.
fn id(database: &DatabaseConnection, kind: char, n: &str) -> String {
    match database.get_database_backend() {
        DbBackend::Postgres => format!("('{kind}0000000-0000-7000-8000-' || lpad(to_hex({n}), 12, '0'))::uuid"),
        _ => format!("unhex('{kind}000000000007000' || '8000' || printf('%012x', {n}))"),
    }
}

fn person(n: u64) -> String {
    format!("person-{n}@large.example")
}

fn assign(principal: &str, role: &str) -> pb::AssignRoleRequest {
    pb::AssignRoleRequest {
        principal: principal.into(),
        role: role.into(),
        scope: Some(assign_role_request::Scope::Organization("large".into())),
        ..Default::default()
    }
}

async fn changes(bench: &Bench, members: u64) {
    let administrator = || person(1);
    let mut held = Held::default();
    for n in 0..TIMES {
        let user = administrator();
        let message = pb::SuspendUserRequest { user, reason: "why".into(), ..Default::default() };
        held.by("SuspendUser, an administrator", bench.held::<pb::SuspendUserResponse>(SUSPEND, message).await);
        let message = pb::ReinstateUserRequest { user: administrator(), ..Default::default() };
        held.by("ReinstateUser", bench.held::<pb::ReinstateUserResponse>(REINSTATE, message).await);
        let message = pb::BlockUserRequest { user: administrator(), reason: "why".into(), ..Default::default() };
        held.by("BlockUser, an administrator", bench.held::<pb::BlockUserResponse>(BLOCK, message).await);
        let message = pb::UnblockUserRequest { user: administrator(), ..Default::default() };
        held.by("UnblockUser", bench.held::<pb::UnblockUserResponse>(UNBLOCK, message).await);
        let message = pb::RevokeRoleRequest {
            principal: administrator(),
            role: "administrator".into(),
            scope: Some(revoke_role_request::Scope::Organization("large".into())),
            ..Default::default()
        };
        held.by("RevokeRole, an administrator's", bench.held::<pb::RevokeRoleResponse>(REVOKE, message).await);
        let message = assign(&administrator(), "administrator");
        held.by("AssignRole", bench.held::<pb::AssignRoleResponse>(ASSIGN, message).await);
        for manager in [person(2), String::new()] {
            let message = pb::SetManagerRequest { user: person(3), manager, ..Default::default() };
            let took = bench.held::<pb::SetManagerResponse>(SET_MANAGER, message).await;
            held.by("SetManager, of who leads half of them", took);
        }
        for entitlements in [vec!["everything".to_owned()], vec![]] {
            let organization = "large".to_owned();
            let message = pb::SetEntitlementsRequest { organization, entitlements, ..Default::default() };
            held.by("SetEntitlements", bench.held::<pb::SetEntitlementsResponse>(ENTITLE, message).await);
        }
        let user = person(members - 1 - n as u64);
        let message = pb::RemoveMemberRequest { organization: "large".into(), user, ..Default::default() };
        held.by("RemoveMember", bench.held::<pb::RemoveMemberResponse>(REMOVE, message).await);
    }
    for leader in 0..LEADERS {
        let message = pb::DeleteUserRequest { user: person(10 + leader), new_manager: person(2), ..Default::default() };
        let took = bench.held::<pb::DeleteUserResponse>(DELETE, message).await;
        held.by("DeleteUser, of who leads a thousand", took);
    }
    let message = pb::RemoveMemberRequest { organization: "large".into(), user: administrator(), ..Default::default() };
    held.by("RemoveMember, an administrator", bench.held::<pb::RemoveMemberResponse>(REMOVE, message).await);
    held.print();
}

/// What each change took, in the order in which they were first made.
#[derive(Default)]
struct Held(Vec<(&'static str, Vec<f64>)>);

impl Held {
    fn by(&mut self, what: &'static str, took: f64) {
        match self.0.iter_mut().find(|(known, _)| *known == what) {
            Some((_, all)) => all.push(took),
            None => self.0.push((what, vec![took])),
        }
    }

    fn print(self) {
        for (what, took) in self.0 {
            print(what, took);
        }
    }
}

fn print(what: &str, mut held: Vec<f64>) {
    held.sort_by(f64::total_cmp);
    let (median, most) = (held[held.len() / 2], held[held.len() - 1]);
    let over = if most > BOUND_MS { format!("   more than {BOUND_MS} ms") } else { String::new() };
    println!("  {what:<40} p50 {median:>7.2}   max {most:>7.2}{over}");
}
