//! Everything that a record holds, as bytes: to look for what must not be in there.

use std::path::Path;

use countersign::store::Location;
use sea_orm::{ConnectionTrait as _, Database, DatabaseConnection, DbBackend, Statement};

/// Reads the whole record: of SQLite its files, freed pages and the log of changes among them; of PostgreSQL every row of
/// every table as text, in which bytes are hexadecimal digits.
pub(crate) async fn everything_in(location: Location<'_>) -> Vec<u8> {
    match location {
        Location::Sqlite(file) => files(file),
        Location::Postgres(url) => {
            let database = Database::connect(url).await.unwrap();
            let rows = rows(&database).await;
            database.close().await.unwrap();
            rows
        }
    }
}

fn files(file: &Path) -> Vec<u8> {
    let name = file.file_name().unwrap().to_str().unwrap();
    let beside = file.parent().unwrap().read_dir().unwrap().map(|entry| entry.unwrap());
    let its = beside.filter(|entry| entry.file_name().to_str().is_some_and(|beside| beside.starts_with(name)));
    let all: Vec<_> = its.flat_map(|entry| std::fs::read(entry.path()).unwrap()).collect();
    assert!(!all.is_empty(), "there is no record in {}", file.display());
    all
}

async fn rows(database: &DatabaseConnection) -> Vec<u8> {
    let tables = "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'";
    let mut all = String::new();
    for table in texts(database, tables).await {
        all.extend(texts(database, &format!("SELECT t::text || E'\\n' FROM {table} t")).await);
    }
    assert!(!all.is_empty(), "there is nothing in the record");
    all.into_bytes()
}

async fn texts(database: &DatabaseConnection, query: &str) -> Vec<String> {
    let found = database.query_all_raw(Statement::from_string(DbBackend::Postgres, query)).await.unwrap();
    found.iter().map(|row| row.try_get_by_index(0).unwrap()).collect()
}
