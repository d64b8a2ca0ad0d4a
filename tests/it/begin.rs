//! The first start, and the way back. Security class 20: nobody takes over a server by arming it again.

use std::time::Duration;

use countersign::app::clock::Clock;
use countersign::app::{App, OPERATOR, Parts, Rates};
use countersign::cache::Options;
use countersign::crypto::api_key::ApiKey;
use countersign::crypto::hash_pool::Limits;
use countersign::crypto::password::Hasher;
use countersign::crypto::root_key::{RootKey, RootKeys};
use countersign::crypto::tombstone::TombstoneKey;
use countersign::domain::ids::{ApiKeyId, RealmId};
use countersign::domain::realm::{DEFAULT_REALM, PLATFORM_REALM};
use countersign::store::{AuditFilter, Location, Lock, Store};
use tempfile::TempDir;

use crate::support::Throwaway;

async fn app(home: &TempDir, root_key: u8) -> App {
    app_on(Location::Sqlite(&home.path().join("record.db")), root_key).await
}

async fn app_on(location: Location<'_>, root_key: u8) -> App {
    app_with(location, RootKeys::new(&RootKey::from_bytes([root_key; 32]), None)).await
}

async fn app_with(location: Location<'_>, keys: RootKeys) -> App {
    let store = Store::open(location, 2).await.unwrap();
    store.migrate().await.unwrap();
    let cache =
        Options { shared: true, database_lost_grace: Duration::ZERO, principals: 9, remembered: Default::default() };
    let rates = Rates { per_source: None, per_mailbox: None, unknown_per_source: None };
    let hasher = Hasher::start(Limits::of_this_machine()).unwrap();
    let (base_url_origins, audit_kept) = (vec![], Duration::MAX);
    App::new(Parts { store, keys, hasher, clock: Clock::default(), cache, rates, base_url_origins, audit_kept })
}

/// The first start of a server. Answers the operator's key if it was one.
async fn begin(app: &App) -> countersign::app::Result<Option<ApiKey>> {
    let key = ApiKey::generate();
    Ok(app.begin(&key).await?.then_some(key))
}

async fn realm(app: &App, name: &str) -> RealmId {
    app.store().realm_named(name).await.unwrap().unwrap().id
}

async fn events(app: &App, realm: RealmId) -> Vec<(String, String)> {
    let lines = app.store().rows(realm).list_audit(&AuditFilter::default(), None, 100).await.unwrap();
    let told = |line: &countersign::domain::audit::AuditLine| {
        (line.action.clone(), line.details["event"].as_str().unwrap_or_default().to_owned())
    };
    lines.iter().map(|event| told(&event.line)).collect()
}

/// Two processes start at once on an empty record.
async fn race(one: App, two: App) {
    let (first, second) = tokio::join!(begin(&one), begin(&two));
    let keys: Vec<_> = [first.unwrap(), second.unwrap()].into_iter().flatten().collect();
    assert_eq!(keys.len(), 1);
    let caller = two.authenticate(keys[0].expose(), None).await.unwrap();
    assert!(caller.platform);
    assert!(begin(&one).await.unwrap().is_none(), "a later start");
    let default = realm(&one, DEFAULT_REALM).await;
    assert_eq!(one.store().rows(default).signing_keys().await.unwrap().len(), 1);
    let at = one.store().realm(default).await.unwrap().unwrap().position.revision;
    assert_eq!(one.store().log(&[(default, at)], 1).await.unwrap().len(), 1, "the log holds the realm's revision");
}

#[tokio::test]
async fn the_first_start_gives_one_key_to_one_process_on_sqlite() {
    let home = tempfile::tempdir().unwrap();
    Box::pin(race(app(&home, 7).await, app(&home, 7).await)).await;
}

#[tokio::test]
async fn the_first_start_gives_one_key_to_one_process_on_postgres() {
    let database = Throwaway::migrated().await;
    let app = || app_on(Location::Postgres(database.url()), 7);
    Box::pin(race(app().await, app().await)).await;
}

#[tokio::test]
async fn a_first_start_that_dies_leaves_nothing_and_the_next_one_begins() {
    let home = tempfile::tempdir().unwrap();
    let app = app(&home, 7).await;
    let held = countersign::app::failpoint::hold("begin.before_commit");
    tokio::select! {
        begun = begin(&app) => panic!("began past the failpoint: {begun:?}"),
        () = tokio::time::sleep(Duration::from_millis(300)) => {}
    }
    drop(held);
    assert!(app.store().realm_named(PLATFORM_REALM).await.unwrap().is_none());
    assert!(begin(&app).await.unwrap().is_some());
}

#[tokio::test]
async fn the_first_key_is_not_made_again_when_it_is_revoked() {
    let home = tempfile::tempdir().unwrap();
    let app = app(&home, 7).await;
    let key = begin(&app).await.unwrap().unwrap();
    let platform = realm(&app, PLATFORM_REALM).await;
    let lines = app.store().rows(platform).list_audit(&AuditFilter::default(), None, 9).await.unwrap();
    let made: ApiKeyId =
        lines.iter().find_map(|it| serde_json::from_value(it.line.details["api_key"].clone()).ok()).unwrap();
    let tx = app.store().begin(platform, Lock::Nothing).await.unwrap();
    tx.rows().revoke_api_key(made, app.clock().now()).await.unwrap();
    tx.commit(vec![], countersign::crypto::random_mark(), app.clock().now()).await.unwrap();
    assert!(app.authenticate(key.expose(), None).await.is_err());
    assert!(begin(&app).await.unwrap().is_none());
}

#[tokio::test]
async fn another_root_key_is_refused() {
    let home = tempfile::tempdir().unwrap();
    begin(&app(&home, 7).await).await.unwrap();
    let stranger = app(&home, 8).await;
    let error = begin(&stranger).await.unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("root key"), "{cause}");
    assert!(stranger.recover_key(OPERATOR, &ApiKey::generate()).await.is_err());
}

#[tokio::test]
async fn a_recovered_key_is_a_platform_account_s_and_is_audited() {
    let home = tempfile::tempdir().unwrap();
    let app = app(&home, 7).await;
    assert!(app.recover_key(OPERATOR, &ApiKey::generate()).await.is_err(), "nothing was begun");
    begin(&app).await.unwrap();
    let key = ApiKey::generate();
    app.recover_key(OPERATOR, &key).await.unwrap();
    assert!(app.authenticate(key.expose(), None).await.unwrap().platform);
    let refused = app.recover_key("opreator", &ApiKey::generate()).await.unwrap_err();
    let why = std::error::Error::source(&refused).unwrap().to_string();
    assert!(why.contains("no platform account \"opreator\""), "a mistyped name makes no account: {why}");
    let told = events(&app, realm(&app, PLATFORM_REALM).await).await;
    let recovered: Vec<_> =
        told.iter().filter(|(action, _)| action == "RecoverKey").map(|(_, event)| event.as_str()).collect();
    assert_eq!(recovered, ["api_key.created"]);
    let begun: Vec<_> =
        told.iter().filter(|(action, _)| action == "FirstStart").map(|(_, event)| event.as_str()).collect();
    assert_eq!(begun, ["api_key.created", "service_account.created"]);
}

/// With both keys the record opens, and is sealed anew; from then on the new one alone is enough.
#[tokio::test]
async fn a_rotated_root_key_is_soon_enough_by_itself() {
    let home = tempfile::tempdir().unwrap();
    let record = home.path().join("record.db");
    let key = |byte| RootKey::from_bytes([byte; 32]);
    let first = app(&home, 1).await;
    begin(&first).await.unwrap().unwrap();
    let default = realm(&first, DEFAULT_REALM).await;
    let stones = TombstoneKey::generate();
    let sealed = stones.seal(&RootKeys::new(&key(1), None), default);
    let tx = first.store().begin(default, Lock::Nothing).await.unwrap();
    tx.rows().insert_tombstone_key(sealed, first.clock().now()).await.unwrap();
    tx.commit(vec![], countersign::crypto::random_mark(), first.clock().now()).await.unwrap();
    let both = RootKeys::new(&key(2), Some(&key(1)));
    assert!(begin(&app_with(Location::Sqlite(&record), both).await).await.unwrap().is_none());
    let rotated = app(&home, 2).await;
    assert!(begin(&rotated).await.unwrap().is_none());
    let rows = rotated.store().rows(realm(&rotated, DEFAULT_REALM).await);
    let sealed = rows.signing_keys().await.unwrap();
    let opened = countersign::app::RealmKeys::open(&RootKeys::new(&key(2), None), rows.realm_id(), &sealed);
    assert_eq!(opened.keys.len(), 1, "the realm's signing key opens under the new root key");
    let sealed = rows.tombstone_key().await.unwrap().unwrap();
    let opened = TombstoneKey::open(&RootKeys::new(&key(2), None), default, &sealed).unwrap();
    assert_eq!(opened.tombstone("ann@acme.example"), stones.tombstone("ann@acme.example"), "tombstones stand");
    assert!(begin(&app(&home, 1).await).await.is_err(), "the old one is no longer this record's");
}
