//! A change of the schema that is cut short at any of its statements leaves the version before it, with its data, and
//! the next start goes on from there.

use std::path::Path;

use countersign::store::{Location, Schema, SchemaChange, Store};
use sea_orm::{ConnectionTrait as _, Database, DatabaseConnection, DbBackend, Statement};
use tempfile::TempDir;

use crate::support::Throwaway;

/// What is in the tables, by the change after which it is written there.
const DATA: [(&str, &[&str]); 5] = [
    (
        "m0001_realms",
        &[
            "INSERT INTO realms VALUES ('00000000-0000-0000-0000-000000000001', 'acme', 'Acme', false, false, '{}', 1, 1, 1, \
             1, 1)",
            "INSERT INTO changes VALUES ('00000000-0000-0000-0000-000000000001', 1, 'catalogue', 1, 1)",
        ],
    ),
    (
        "m0002_people",
        &[
            "INSERT INTO organizations VALUES ('00000000-0000-0000-0000-000000000002', \
             '00000000-0000-0000-0000-000000000001', 'acme', 'ACME', 'company', false, NULL, '[]', '[]', 1, 1, NULL)",
            "INSERT INTO users (id, realm_id, email, identity, display_name, search, approval, password_must_change, \
             session_epoch, version, created_at) VALUES ('00000000-0000-0000-0000-000000000003', \
             '00000000-0000-0000-0000-000000000001', 'ann@acme.example', 'ann@acme.example', 'Ann', 'ann', 'Approved', \
             false, 1, 1, 1)",
            "INSERT INTO service_accounts VALUES ('00000000-0000-0000-0000-000000000004', \
             '00000000-0000-0000-0000-000000000001', NULL, 'till', 'Till', NULL, NULL, 1, NULL, 1)",
            "INSERT INTO api_keys VALUES ('00000000-0000-0000-0000-000000000005', \
             '00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000004', 'hash', 'k', 1, NULL, NULL, \
             NULL, NULL)",
            "INSERT INTO sessions VALUES ('00000000-0000-0000-0000-000000000006', \
             '00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000003', 'web', 1, 1, 2, NULL)",
        ],
    ),
    (
        "m0003_access",
        &[
            "INSERT INTO roles VALUES ('00000000-0000-0000-0000-000000000007', '00000000-0000-0000-0000-000000000001', \
             'ships', 'Ships', '{}', 1, 1)",
            "INSERT INTO entries (id, realm_id, principal_id, role_id, source, created_at) VALUES \
             ('00000000-0000-0000-0000-000000000008', '00000000-0000-0000-0000-000000000001', \
             '00000000-0000-0000-0000-000000000003', '00000000-0000-0000-0000-000000000007', 'Direct', 1)",
        ],
    ),
    (
        "m0004_consequences",
        &[
            "INSERT INTO outbox (id, realm_id, template, recipient, parameters, created_at, attempts) VALUES \
             ('00000000-0000-0000-0000-000000000009', '00000000-0000-0000-0000-000000000001', 'Suspended', \
             'ann@acme.example', '{}', 1, 0)",
            "INSERT INTO audit (id, realm_id, at, action, outcome, details) VALUES \
             ('00000000-0000-0000-0000-00000000000a', '00000000-0000-0000-0000-000000000001', 1, 'SignIn', 'done', '{}')",
        ],
    ),
    ("m0007_throttle", &["INSERT INTO throttles VALUES ('00000000-0000-0000-0000-000000000001', 'a', 'b', 1, 1, 1)"]),
];

/// The rows of [`DATA`] that a database at some version has, and what tells them apart from others.
async fn require_data(database: &DatabaseConnection, written: &[&str]) {
    for (_, statements) in DATA.iter().filter(|(change, _)| written.contains(change)) {
        for statement in *statements {
            let table = statement.split_whitespace().nth(2).unwrap();
            let count = format!("SELECT count(*) FROM {table}");
            assert_eq!(number(database, &count).await, 1, "{table} after {written:?}");
        }
    }
    if written.contains(&"m0002_people") {
        let folded = "SELECT count(*) FROM organizations WHERE search LIKE 'acme%acme'";
        assert_eq!(number(database, folded).await, 1, "what a change computes of the data");
    }
}

async fn number(database: &DatabaseConnection, sql: &str) -> i64 {
    let asked = Statement::from_string(database.get_database_backend(), sql);
    database.query_one_raw(asked).await.unwrap().unwrap().try_get_by_index(0).unwrap()
}

async fn write_data(database: &DatabaseConnection, change: &str) {
    for (_, statements) in DATA.iter().filter(|(after, _)| *after == change) {
        for statement in *statements {
            database.execute_unprepared(statement).await.unwrap();
        }
    }
}

async fn missing(store: &Store) -> usize {
    match store.schema().await.unwrap() {
        Schema::Behind(changes) => changes,
        other => panic!("{other:?}"),
    }
}

/// Brings a database that was cut short up to date.
async fn finish(location: Location<'_>, url: &str, missing_before: usize, written: &[&str]) {
    let store = Store::open(location, 1).await.unwrap();
    assert_eq!(missing(&store).await, missing_before, "a change is half made");
    store.migrate().await.unwrap();
    assert_eq!(store.schema().await.unwrap(), Schema::Current);
    store.close().await;
    let database = Database::connect(url).await.unwrap();
    require_data(&database, written).await;
    database.close().await.unwrap();
}

/// What a killed process leaves is what its files hold at that instant.
fn as_killed(record: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for suffix in ["", "-wal"] {
        let name = format!("record.db{suffix}");
        let file = record.with_file_name(&name);
        if file.exists() {
            std::fs::copy(file, copy.path().join(&name)).unwrap();
        }
    }
    copy
}

#[tokio::test]
async fn a_change_of_the_schema_cut_short_at_any_statement_is_not_made_on_sqlite() {
    let home = tempfile::tempdir().unwrap();
    let record = home.path().join("record.db");
    let store = Store::open(Location::Sqlite(&record), 1).await.unwrap();
    let database = Database::connect(format!("sqlite://{}", record.display())).await.unwrap();
    let (mut written, mut cuts) = (vec![], 0);
    let all = missing(&store).await;
    while let Some(mut change) = store.next_change().await.unwrap() {
        loop {
            let copy = as_killed(&record);
            let file = copy.path().join("record.db");
            let url = format!("sqlite://{}", file.display());
            finish(Location::Sqlite(&file), &url, all - written.len(), &written).await;
            cuts += 1;
            if !change.step().await.unwrap() {
                break;
            }
        }
        written.push(change.name());
        change.commit().await.unwrap();
        write_data(&database, written.last().unwrap()).await;
    }
    assert!(cuts > 80, "{cuts} statements of {written:?}");
    require_data(&database, &written).await;
}

/// Ends every other session of a database, as a killed client's end.
async fn cut(database: &DatabaseConnection) {
    let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
         WHERE datname = current_database() AND pid <> pg_backend_pid()";
    number(database, sql).await;
}

/// Makes so many statements of the next change; `None` = it has no more.
async fn begin_and_step(store: &Store, statements: usize) -> Option<SchemaChange> {
    let mut change = store.next_change().await.unwrap().unwrap();
    for _ in 0..statements {
        if !change.step().await.unwrap() {
            return None;
        }
    }
    Some(change)
}

#[tokio::test]
async fn a_change_of_the_schema_cut_short_at_any_statement_is_not_made_on_postgres() {
    let throwaway = Throwaway::blank().await;
    let open = async || Store::open(Location::Postgres(throwaway.url()), 1).await.unwrap();
    let database = Database::connect(throwaway.url()).await.unwrap();
    let (mut written, mut cuts) = (vec![], 0);
    let all = missing(&open().await).await;
    while written.len() < all {
        for statements in 0.. {
            let store = open().await;
            assert_eq!(missing(&store).await, all - written.len(), "a change is half made");
            let Some(change) = begin_and_step(&store, statements).await else { break };
            cut(&database).await;
            assert!(change.commit().await.is_err());
            cuts += 1;
        }
        let mut change = open().await.next_change().await.unwrap().unwrap();
        while change.step().await.unwrap() {}
        written.push(change.name());
        change.commit().await.unwrap();
        write_data(&database, written.last().unwrap()).await;
    }
    assert!(cuts > 80, "{cuts} statements of {written:?}");
    assert_eq!(database.get_database_backend(), DbBackend::Postgres);
    require_data(&database, &written).await;
    database.close().await.unwrap();
}
