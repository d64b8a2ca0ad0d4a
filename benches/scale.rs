//! How fast a large realm answers: 1,000,000 users, 100,000 organizations and 10,000,000 entries on PostgreSQL.
//!
//! The realm is made here, by statements that the database runs by itself, with progress shown; then the released server
//! is asked what must have an indexed path at that size. Each question is asked once: what is timed finds nothing in
//! memory.
//!
//! ```text
//! tests/run -- cargo bench --bench scale [-- --users 1000000]
//! ```

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark that can't go on ends, and reports")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock, and what a test run hands to its tests")]
#![expect(dead_code, reason = "it shares its client, its servers and its realm with the other benchmark")]

#[path = "rpc/load.rs"]
mod load;
#[path = "rpc/seed.rs"]
mod seed;
#[path = "rpc/server.rs"]
mod server;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign::domain::realm::DEFAULT_REALM;
use countersign::grpc::pb;
use countersign::store::{Location, Store};
use load::{Client, Rpc, Seen, Shape};
use prost::Message;
use sea_orm::{ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement};
use seed::{Seeded, seed};
use server::Process;
use tempfile::TempDir;
use uuid::Uuid;

const CHECK: &str = "/countersign.v1.AuthorizationService/CheckPermission";
const HOLDERS: &str = "/countersign.v1.AuthorizationService/ListPrincipalsWithPermission";
const USERS: &str = "/countersign.v1.UserService/ListUsers";

/// What a database is not saturated by.
const CALM: Shape = Shape { connections: 1, calls: 2 };
/// One after the other.
const ALONE: Shape = Shape { connections: 1, calls: 1 };
/// Users, and so misses, that are asked about.
const MISSES: usize = 5_000;
/// Lists that are asked for, each for something else.
const LISTS: usize = 200;
const USERS_PER_ORGANIZATION: u64 = 10;
const ENTRIES_PER_USER: u64 = 10;
/// Rows that one statement makes.
const STEP: u64 = 100_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --all-targets` runs this without.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let given = arguments.iter().position(|argument| argument == "--users").and_then(|at| arguments.get(at + 1));
    let users = given.map_or(1_000_000, |users| users.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(measure(users));
}

async fn measure(users: u64) {
    let cluster = std::env::var("COUNTERSIGN_TEST_POSTGRES_URL").unwrap();
    let name = format!("scale_{}", std::process::id());
    let superuser = Database::connect(&cluster).await.unwrap();
    superuser.execute_unprepared(&format!("CREATE DATABASE {name}")).await.unwrap();
    let url = format!("{}/{name}", cluster.rsplit_once('/').unwrap().0);
    {
        let folder = TempDir::new().unwrap();
        let settings = [("COUNTERSIGN_DATABASE_URL", url.as_str()), ("COUNTERSIGN_MIGRATE", "true")];
        let (first, _) = Process::countersign(folder.path(), &settings).await;
        let operator = operator_key(folder.path()).await;
        drop(first);
        let seeded = seed(Location::Postgres(&url), 0).await;
        let realm = Realm::make(&url, &seeded, users).await;
        let (process, _) = Process::countersign(folder.path(), &settings).await;
        ask(&process, &seeded, &realm, &operator).await;
    }
    superuser.execute_unprepared(&format!("DROP DATABASE {name} WITH (FORCE)")).await.unwrap();
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

/// The realm, filled.
struct Realm {
    users: u64,
}

impl Realm {
    async fn make(url: &str, seeded: &Seeded, users: u64) -> Self {
        let database = Database::connect(url).await.unwrap();
        let store = Store::open(Location::Postgres(url), 1).await.unwrap();
        let id = store.realm_named(DEFAULT_REALM).await.unwrap().unwrap().id.0;
        let began = Instant::now();
        let indexes = indexes(&database).await;
        for (name, _) in &indexes {
            database.execute_unprepared(&format!("DROP INDEX {name}")).await.unwrap();
        }
        let organizations = users / USERS_PER_ORGANIZATION;
        fill(&database, "organizations", organizations, |from, to| format!(
            "INSERT INTO organizations (id, realm_id, slug, title, kind, suspended, entitlements, contacts, version, created_at)
             SELECT {organization}, '{id}', 'organization-' || n, 'Organization ' || n, 'company', false, '[]', '[]', 1, 0
             FROM generate_series({from}, {to}) n", organization = uuid('a', "n"))).await;
        fill(&database, "users", users, |from, to| format!(
            "INSERT INTO users (id, realm_id, email, identity, display_name, search, approval, verified_at, verified_how,
               password_must_change, session_epoch, version, created_at)
             SELECT {user}, '{id}', email, email, 'Person ' || n, email || E'\\nperson ' || n, 'Approved', 0, 'Link',
               false, 0, 1, 0
             FROM (SELECT n, 'person-' || n || '@organization-' || n / {USERS_PER_ORGANIZATION} || '.example' AS email
                   FROM generate_series({from}, {to}) n) people", user = uuid('b', "n"))).await;
        fill(&database, "memberships", users, |from, to| {
            format!(
                "INSERT INTO memberships (user_id, organization_id, realm_id, state, attributes, created_at)
             SELECT {user}, {organization}, '{id}', 'Active', '{{}}', 0 FROM generate_series({from}, {to}) n",
                user = uuid('b', "n"),
                organization = uuid('a', &format!("n / {USERS_PER_ORGANIZATION}"))
            )
        })
        .await;
        fill(&database, "entries", users * ENTRIES_PER_USER, |from, to| format!(
            "INSERT INTO entries (id, realm_id, principal_id, role_id, organization_id, source, created_at)
             SELECT {entry}, '{id}', {user}, roles.id,
               CASE WHEN n % 1000 = 7 THEN NULL ELSE {organization} END, 'Actor', 0
             FROM generate_series({from}, {to}) n
             JOIN (SELECT id, row_number() OVER (ORDER BY name) - 1 AS at FROM roles WHERE name ~ '^role-([0-9]|[12][0-9])$') roles
               ON roles.at = (n % {ENTRIES_PER_USER}) * 3",
            entry = uuid('c', "n"), user = uuid('b', &format!("n / {ENTRIES_PER_USER}")),
            organization = uuid('a', &format!("n / {}", ENTRIES_PER_USER * USERS_PER_ORGANIZATION)))).await;
        for (name, made) in &indexes {
            println!("  {:>5.0} s  index {name}", began.elapsed().as_secs_f64());
            database.execute_unprepared(made).await.unwrap();
        }
        database.execute_unprepared("VACUUM ANALYZE").await.unwrap();
        println!("  {:>5.0} s  {users} users, {organizations} organizations", began.elapsed().as_secs_f64());
        assert!(!seeded.permissions.is_empty());
        Self { users }
    }

    fn user(n: u64) -> Uuid {
        id('b', n)
    }

    fn organization(n: u64) -> Uuid {
        id('a', n)
    }

    /// Numbers spread over the whole realm, each once.
    fn spread(&self, count: usize) -> impl Iterator<Item = u64> {
        // A step that has no divisor in common with a round number of users.
        let users = self.users;
        (1..=count as u64).map(move |n| n * 7_919 % users)
    }
}

/// Indexes beside the keys of the large tables, and how each is made.
async fn indexes(database: &DatabaseConnection) -> Vec<(String, String)> {
    let query = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
                 AND tablename IN ('organizations', 'users', 'memberships', 'entries')
                 AND NOT EXISTS (SELECT FROM pg_constraint WHERE conname = indexname)";
    let rows = database.query_all_raw(Statement::from_string(DbBackend::Postgres, query)).await.unwrap();
    rows.iter().map(|row| (row.try_get("", "indexname").unwrap(), row.try_get("", "indexdef").unwrap())).collect()
}

/// Runs a statement for each run of so many numbers.
async fn fill(database: &DatabaseConnection, what: &str, count: u64, statement: impl Fn(u64, u64) -> String) {
    let began = Instant::now();
    for from in (0..count).step_by(usize::try_from(STEP).unwrap()) {
        let to = (from + STEP).min(count);
        database.execute_unprepared(&statement(from, to - 1)).await.unwrap();
        if to.is_multiple_of(10 * STEP) || to == count {
            println!("  {:>5.0} s  {to} of {count} {what}", began.elapsed().as_secs_f64());
        }
    }
}

/// The id of the n-th of its kind, as the database makes it.
fn uuid(kind: char, n: &str) -> String {
    format!("('{kind}0000000-0000-7000-8000-' || lpad(to_hex({n}), 12, '0'))::uuid")
}

fn id(kind: char, n: u64) -> Uuid {
    format!("{kind}0000000-0000-7000-8000-{n:012x}").parse().unwrap()
}

async fn ask(process: &Process, seeded: &Seeded, realm: &Realm, operator: &str) {
    let (check, holders, users) =
        (Rpc::new(CHECK, Some(&seeded.key)), Rpc::new(HOLDERS, Some(operator)), Rpc::new(USERS, Some(operator)));
    let question = |n: u64| pb::CheckPermissionRequest {
        subject: Some(pb::check_permission_request::Subject::Principal(Realm::user(n).to_string())),
        permission: seeded.permission.clone(),
        organization: Realm::organization(n / USERS_PER_ORGANIZATION).to_string(),
        ..pb::CheckPermissionRequest::default()
    };
    let calm = Client::connect(&process.address, CALM).await;
    // Statements are prepared and connections open by then.
    calm.each::<_, pb::CheckPermissionResponse>(&check, &all((0..1_000).map(question))).await;
    let misses = all(realm.spread(MISSES).map(|n| question(n.max(1_000))));
    print("CheckPermission, miss", &calm.each::<_, pb::CheckPermissionResponse>(&check, &misses).await);

    let alone = Client::connect(&process.address, ALONE).await;
    let part = |n: u64| pb::ListUsersRequest { email: format!("son-{n}@"), ..pb::ListUsersRequest::default() };
    let parts = all(realm.spread(LISTS).map(part));
    print("ListUsers, part of an address that one has", &alone.each::<_, pb::ListUsersResponse>(&users, &parts).await);
    let common =
        |n: u64| pb::ListUsersRequest { email: format!("person-{}", n % 1_000), ..pb::ListUsersRequest::default() };
    let commons = all(realm.spread(LISTS).map(common));
    print("ListUsers, first page of many", &alone.each::<_, pb::ListUsersResponse>(&users, &commons).await);

    let in_place = |n: u64| pb::ListPrincipalsWithPermissionRequest {
        permission: seeded.permission.clone(),
        organization: Realm::organization(n / USERS_PER_ORGANIZATION).to_string(),
        ..pb::ListPrincipalsWithPermissionRequest::default()
    };
    let places = all(realm.spread(LISTS).map(in_place));
    let seen = alone.each::<_, pb::ListPrincipalsWithPermissionResponse>(&holders, &places).await;
    print("ListPrincipalsWithPermission, first page in an organization", &seen);
    let everywhere = |n: usize| pb::ListPrincipalsWithPermissionRequest {
        permission: seeded.permissions[n % seeded.permissions.len()].clone(),
        ..pb::ListPrincipalsWithPermissionRequest::default()
    };
    let permissions = all((0..LISTS).map(everywhere));
    let seen = alone.each::<_, pb::ListPrincipalsWithPermissionResponse>(&holders, &permissions).await;
    print("ListPrincipalsWithPermission, first page anywhere", &seen);
}

fn all<M: Message>(messages: impl Iterator<Item = M>) -> Arc<[Arc<M>]> {
    messages.map(Arc::new).collect()
}

fn print(what: &str, seen: &Seen) {
    println!("\n{what}");
    let [p50, p99] = [50, 99].map(|percent| seen.percentile(percent) / 1e3);
    println!("  {:>6} calls   p50 {p50:>8.2} ms   p99 {p99:>8.2} ms", seen.latencies.len());
}
