//! What both databases must do alike, asked of the store itself.

mod interrupted;
mod log;
mod migrations;
mod plans;
mod record;

use countersign::crypto::random_mark;
use countersign::domain::change::{Committed, Key};
use countersign::domain::ids::RealmId;
use countersign::domain::policy::Policy;
use countersign::domain::realm::Realm;
use countersign::domain::time::Timestamp;
use countersign::store::{Location, Lock, Store, Tx};
use tempfile::TempDir;
use uuid::Uuid;

use crate::support::{Backend, Throwaway};

pub(crate) const REALM: RealmId = RealmId(Uuid::from_u128(1));
pub(crate) const NOW: Timestamp = Timestamp(1_700_000_000_000_000);

/// A record of one realm, and where it is kept.
pub(crate) struct Record {
    pub(crate) store: Store,
    _place: Place,
}

/// Goes with the record.
enum Place {
    File { _home: TempDir },
    Database { _database: Throwaway },
}

/// Runs a test body on a fresh record.
pub(crate) async fn run(backend: Backend, body: impl AsyncFnOnce(&Record)) {
    let record = Record::blank(backend).await;
    record.store.migrate().await.unwrap();
    record.begin().await;
    body(&record).await;
    record.store.close().await;
}

impl Record {
    /// A record without a schema.
    async fn blank(backend: Backend) -> Self {
        match backend {
            Backend::Sqlite => {
                let home = tempfile::tempdir().unwrap();
                let store = Store::open(Location::Sqlite(&home.path().join("record.db")), 2).await.unwrap();
                Self { store, _place: Place::File { _home: home } }
            }
            Backend::Postgres => {
                let database = Throwaway::blank().await;
                let store = Store::open(Location::Postgres(database.url()), 2).await.unwrap();
                Self { store, _place: Place::Database { _database: database } }
            }
        }
    }

    async fn begin(&self) {
        let first = self.store.begin_first(&realm()).await.unwrap().unwrap();
        first.commit(vec![Key::Catalogue], random_mark(), NOW).await.unwrap();
    }

    /// A change that may change decisions.
    pub(crate) async fn change(&self) -> Tx {
        self.store.begin(REALM, Lock::Realm).await.unwrap()
    }
}

/// Commits a change that makes these stale.
pub(crate) async fn commit(tx: Tx, keys: Vec<Key>) -> Committed {
    tx.commit(keys, random_mark(), NOW).await.unwrap()
}

pub(crate) fn realm() -> Realm {
    Realm {
        id: REALM,
        name: "acme".into(),
        title: "Acme".into(),
        platform: true,
        suspended: false,
        policy: Policy::default(),
        spiffe_prefixes: vec![],
        position: Default::default(),
        catalogue_revision: Default::default(),
        version: 1,
        created_at: NOW,
    }
}
