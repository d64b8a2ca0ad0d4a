//! Every change of the schema: up, down, and up again.

use countersign::store::Schema;

use super::Record;
use crate::support::Backend;

async fn up_down_up(backend: Backend) {
    let record = Record::blank(backend).await;
    let Schema::Behind(all) = record.store.schema().await.unwrap() else { panic!("a blank record has a schema") };
    for _ in 0..2 {
        record.store.migrate().await.unwrap();
        assert_eq!(record.store.schema().await.unwrap(), Schema::Current);
        // The schema is one that the service works on.
        record.begin().await;
        record.store.unmigrate().await.unwrap();
        assert_eq!(record.store.schema().await.unwrap(), Schema::Behind(all));
    }
    record.store.migrate().await.unwrap();
    assert_eq!(record.store.schema().await.unwrap(), Schema::Current);
    record.store.close().await;
}

#[tokio::test]
async fn migrations_go_up_down_and_up_on_sqlite() {
    up_down_up(Backend::Sqlite).await;
}

#[tokio::test]
async fn migrations_go_up_down_and_up_on_postgres() {
    up_down_up(Backend::Postgres).await;
}
