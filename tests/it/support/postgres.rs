//! Throw-away PostgreSQL databases: cloned from one migrated template, dropped at the end.

use std::path::Path;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use countersign::store::{Location, Store};
use sea_orm::{ConnectionTrait as _, Database, DatabaseConnection};
use tokio::sync::OnceCell;

const VARIABLE: &str = "COUNTERSIGN_TEST_POSTGRES_URL";
/// What the databases of every test process are called, followed by the id of the process.
const PREFIX: &str = "countersign_test_";

static TEMPLATE: OnceCell<String> = OnceCell::const_new();
static MADE: AtomicU32 = AtomicU32::new(0);

/// A database that goes when this does.
pub(crate) struct Throwaway {
    name: String,
    url: String,
}

impl Throwaway {
    /// A database with the current schema and nothing in it.
    pub(crate) async fn migrated() -> Self {
        let template = TEMPLATE.get_or_init(template).await;
        Self::create(&format!("TEMPLATE {template}")).await
    }

    /// A database without a schema.
    pub(crate) async fn blank() -> Self {
        Self::create("").await
    }

    /// A copy of a database that nobody is connected to.
    pub(crate) async fn copy_of(other: &Self) -> Self {
        Self::create(&format!("TEMPLATE {}", other.name)).await
    }

    /// How it is reached.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// How it is reached by another role, which needs no password.
    pub(crate) fn url_as(&self, role: &str) -> String {
        self.url.replacen("postgres@", &format!("{role}@"), 1)
    }

    async fn create(how: &str) -> Self {
        let name = format!("{PREFIX}{}_{}", process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        execute(&format!("CREATE DATABASE {name} {how}")).await;
        let url = url_of(&name);
        Self { name, url }
    }
}

impl Drop for Throwaway {
    fn drop(&mut self) {
        let statement = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        // Dropping is not async, and the runtime of the test may be ending.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(execute(&statement));
        });
        if dropping.join().is_err() && !std::thread::panicking() {
            panic!("{} could not be dropped", self.name);
        }
    }
}

/// Makes the database that the others are cloned from.
async fn template() -> String {
    remove_orphans().await;
    let name = format!("{PREFIX}{}_template", process::id());
    execute(&format!("CREATE DATABASE {name}")).await;
    let store = Store::open(Location::Postgres(&url_of(&name)), 1).await.unwrap();
    store.migrate().await.unwrap();
    // A database with connections can't be cloned.
    store.close().await;
    name
}

/// Removes what processes left that were killed, and the templates of those that ended.
async fn remove_orphans() {
    let server = server().await;
    let query = format!("SELECT datname FROM pg_database WHERE datname LIKE '{PREFIX}%'");
    let statement = sea_orm::Statement::from_string(sea_orm::DbBackend::Postgres, query);
    for row in server.query_all_raw(statement).await.unwrap() {
        let name: String = row.try_get("", "datname").unwrap();
        let process = name.trim_start_matches(PREFIX).split('_').next().unwrap_or_default();
        if !Path::new("/proc").join(process).exists() {
            let dropped = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
            server.execute_unprepared(&dropped).await.unwrap();
        }
    }
}

async fn execute(statement: &str) {
    let server = server().await;
    server.execute_unprepared(statement).await.unwrap();
    server.close().await.unwrap();
}

async fn server() -> DatabaseConnection {
    Database::connect(server_url()).await.unwrap()
}

fn server_url() -> String {
    #[expect(clippy::disallowed_methods, reason = "what a test run hands to its tests is no setting of the server")]
    let url = std::env::var(VARIABLE);
    url.unwrap_or_else(|_| panic!("{VARIABLE} is not set: run the tests by ./tests/run, which starts PostgreSQL"))
}

/// The server's URL with another database.
fn url_of(name: &str) -> String {
    let url = server_url();
    let (address, query) = url.split_once('?').map_or((url.as_str(), String::new()), |(a, q)| (a, format!("?{q}")));
    let (server, _) = address.rsplit_once('/').unwrap();
    format!("{server}/{name}{query}")
}
