//! Starts that are cut short or collide while they change the schema: the next one finds a database that it can use.

use std::time::Duration;

use countersign::store::{Location, Schema, Store};
use futures_util::future::join_all;
use sea_orm::{ConnectOptions, ConnectionTrait as _, Database};

use crate::support::{Binary, Throwaway};

/// Where a first start is killed, in milliseconds. It takes some 100 to 300 in a build without optimization.
const KILLED_AT: [u64; 10] = [8, 15, 25, 35, 45, 60, 75, 90, 110, 140];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_start_that_is_killed_at_any_instant_starts_again() {
    for millis in KILLED_AT {
        let home = tempfile::tempdir().unwrap();
        let binary = Binary::launch(home.path(), None, |_| {});
        tokio::time::sleep(Duration::from_millis(millis)).await;
        binary.kill();
        let binary = Binary::spawn(home.path(), None).await;
        assert!(binary.terminate(), "killed after {millis} ms");
    }
}

/// Sizes between the first page of the database and all of a new one, in bytes.
const DISK_FULL_AT: [u64; 6] = [4_000, 30_000, 70_000, 120_000, 180_000, 240_000];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_start_on_a_full_disk_starts_once_there_is_room() {
    for bytes in DISK_FULL_AT {
        let home = tempfile::tempdir().unwrap();
        let mut binary = Binary::launch(home.path(), None, |_| {});
        binary.limit_files(Some(bytes));
        assert!(!binary.ended().await.success(), "{bytes} bytes were enough");
        let binary = Binary::spawn(home.path(), None).await;
        assert!(binary.terminate(), "full at {bytes} bytes");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_on_a_full_disk_goes_on_once_there_is_room() {
    for bytes in [8_000, 40_000, 80_000] {
        let home = tempfile::tempdir().unwrap();
        older(Location::Sqlite(&home.path().join("countersign.db"))).await;
        let mut binary = Binary::launch(home.path(), None, |_| {});
        binary.limit_files(Some(bytes));
        let ended = tokio::time::timeout(Duration::from_secs(20), binary.ended()).await;
        assert!(ended.is_ok_and(|status| !status.success()), "{bytes} bytes were enough");
        let binary = Binary::spawn(home.path(), None).await;
        assert!(binary.terminate(), "full at {bytes} bytes");
    }
}

#[tokio::test]
async fn no_change_is_made_on_top_of_what_this_version_does_not_know() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("countersign.db");
    older(Location::Sqlite(&file)).await;
    let foreign = Database::connect(format!("sqlite://{}", file.display())).await.unwrap();
    foreign.execute_unprepared("INSERT INTO seaql_migrations VALUES ('m0005_another', 1)").await.unwrap();
    foreign.close().await.unwrap();
    let store = Store::open(Location::Sqlite(&file), 1).await.unwrap();
    let before = store.schema().await.unwrap();
    assert!(matches!(before, Schema::Diverged { missing: 8.., unknown: 1 }), "{before:?}");
    let refused = store.migrate().await.unwrap_err().to_string();
    assert!(refused.contains("another branch"), "{refused}");
    assert_eq!(store.schema().await.unwrap(), before);
}

/// A database at the fourth of its changes, with every later one to come.
async fn older(location: Location<'_>) {
    let store = Store::open(location, 1).await.unwrap();
    for _ in 0..4 {
        let mut change = store.next_change().await.unwrap().unwrap();
        while change.step().await.unwrap() {}
        change.commit().await.unwrap();
    }
    store.close().await;
}

async fn killed_while_upgrading(database: Option<&Throwaway>, millis: u64) {
    let home = tempfile::tempdir().unwrap();
    match database {
        Some(database) => older(Location::Postgres(database.url())).await,
        None => older(Location::Sqlite(&home.path().join("countersign.db"))).await,
    }
    let migrating = |command: &mut std::process::Command| {
        command.arg("--migrate");
    };
    let binary = Binary::launch(home.path(), database, migrating);
    tokio::time::sleep(Duration::from_millis(millis)).await;
    binary.kill();
    let mut binary = Binary::launch(home.path(), database, migrating);
    binary.ready().await;
    assert!(binary.terminate(), "killed after {millis} ms");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_that_is_killed_at_any_instant_goes_on_at_the_next_start() {
    for millis in KILLED_AT {
        killed_while_upgrading(None, millis).await;
        killed_while_upgrading(Some(&Throwaway::blank().await), millis).await;
    }
}

#[tokio::test]
async fn a_database_that_an_older_version_left_half_way_is_refused_with_a_sentence() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("countersign.db");
    older(Location::Sqlite(&file)).await;
    let half = Database::connect(format!("sqlite://{}", file.display())).await.unwrap();
    half.execute_unprepared("ALTER TABLE sessions ADD COLUMN generation bigint NOT NULL DEFAULT 0").await.unwrap();
    half.close().await.unwrap();
    let store = Store::open(Location::Sqlite(&file), 1).await.unwrap();
    let refused = store.migrate().await.unwrap_err().to_string();
    assert!(refused.starts_with("the schema is half-way into the change m0006_sessions ("), "{refused}");
    assert!(refused.contains("duplicate column") && refused.contains("restore a copy"), "{refused}");
    assert!(matches!(store.schema().await.unwrap(), Schema::Behind(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_first_starts_at_once_on_one_database_all_start() {
    let database = Throwaway::blank().await;
    let homes: Vec<_> = (0..8).map(|_| tempfile::tempdir().unwrap()).collect();
    let started = homes.iter().map(async |home| {
        let mut binary = Binary::launch(home.path(), Some(&database), |command| {
            command.arg("--migrate").env("COUNTERSIGN_ROOT_KEY", "07".repeat(32));
        });
        binary.ready().await;
        binary
    });
    let binaries = join_all(started).await;
    let keys = homes.iter().filter(|home| home.path().join("operator.key").exists()).count();
    assert_eq!(keys, 1, "one of them began the database");
    for binary in binaries {
        assert!(binary.terminate());
    }
}

/// Whoever wants to read the table meanwhile waits behind the upgrade.
#[tokio::test]
async fn an_upgrade_that_can_t_have_a_table_gives_up_after_three_seconds() {
    let database = Throwaway::blank().await;
    older(Location::Postgres(database.url())).await;
    let one = ConnectOptions::new(database.url()).max_connections(1).to_owned();
    let using = Database::connect(one).await.unwrap();
    using.execute_unprepared("BEGIN; LOCK TABLE sessions IN ACCESS SHARE MODE").await.unwrap();
    let store = Store::open(Location::Postgres(database.url()), 1).await.unwrap();
    let gave_up = tokio::time::timeout(Duration::from_secs(10), store.migrate()).await.unwrap();
    assert!(gave_up.is_err());
    assert!(matches!(store.schema().await.unwrap(), Schema::Behind(_)));
    using.execute_unprepared("COMMIT").await.unwrap();
    store.migrate().await.unwrap();
    assert_eq!(store.schema().await.unwrap(), Schema::Current);
    store.close().await;
    using.close().await.unwrap();
}
