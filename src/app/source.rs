//! Where snapshots come from: the cache's source, over the record.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::clock::Clock;
use crate::cache::{Answer, LOAD_DEADLINE, RealmCatalogue, Source, Unavailable};
use crate::crypto::root_key::RootKeys;
use crate::crypto::signing::{SigningKey, VerifyingKey};
use crate::domain::catalogue::Catalogue;
use crate::domain::change::{Line, Loaded};
use crate::domain::ids::{OrganizationId, PrincipalId, RealmId, Revision, SigningKeyId};
use crate::domain::realm::{Position, SigningKeyRow};
use crate::domain::service_account::Credential;
use crate::domain::snapshot::{Organization, Principal};
use crate::domain::workload::Presented;
use crate::store::{self, Store};

/// How long an access token lives. A session that ended longer ago can't have a live one.
pub const ACCESS_TOKEN_TTL: Duration = Duration::from_secs(300);

/// The record, with what it takes to open a realm's signing keys.
#[derive(Debug)]
pub struct Record {
    pub(super) store: Store,
    pub(super) keys: Arc<RootKeys>,
    pub(super) clock: Clock,
    /// Credentials that nobody has cost a query each: however many come, loads of principals have connections left.
    pub(super) credential_seats: Semaphore,
}

/// How many credentials are looked up at once.
pub(super) const CREDENTIAL_SEATS: usize = 2;

/// A realm's signing keys, opened.
#[derive(Debug)]
pub struct RealmKeys {
    /// Oldest first; the last one signs.
    pub keys: Vec<RealmKey>,
}

/// One signing key of a realm.
#[derive(Debug)]
pub struct RealmKey {
    pub signing: SigningKey,
    pub verifying: VerifyingKey,
}

impl RealmKeys {
    /// The key of that id, if it is still in use.
    pub(super) fn key(&self, kid: SigningKeyId) -> Option<&RealmKey> {
        self.keys.iter().find(|key| key.signing.kid() == kid)
    }

    /// Opens the stored keys; one that does not open is left out and logged.
    #[must_use]
    pub fn open(keys: &RootKeys, realm: RealmId, rows: &[SigningKeyRow]) -> Self {
        let open = |row: &SigningKeyRow| {
            let signing = SigningKey::open(keys, realm, row.id, &row.sealed_key);
            if signing.is_none() {
                tracing::error!(kid = %row.id, "a signing key does not open under the root key");
            }
            signing.map(|signing| RealmKey { verifying: signing.verifying_key(), signing })
        };
        Self { keys: rows.iter().filter(|row| row.retired_at.is_none()).filter_map(open).collect() }
    }
}

impl Source for Record {
    type Extra = RealmKeys;

    async fn principals(&self, realm: RealmId, ids: Vec<PrincipalId>) -> Answer<Vec<Loaded<Principal>>> {
        super::failpoint::reach_in("load.principal", realm).await;
        let loaded = self.store.loads(realm).principals(&ids, self.clock.now().before(2 * ACCESS_TOKEN_TTL)).await;
        super::failpoint::reach_in("loaded.principal", realm).await;
        loaded.map_err(unavailable)
    }

    async fn organizations(&self, realm: RealmId, ids: Vec<OrganizationId>) -> Answer<Vec<Loaded<Organization>>> {
        self.store.loads(realm).organizations_facts(&ids).await.map_err(unavailable)
    }

    async fn credential(&self, presented: &Presented) -> Answer<Option<Loaded<Credential>>> {
        let _seat =
            tokio::time::timeout(LOAD_DEADLINE, self.credential_seats.acquire()).await.map_err(|_| Unavailable)?;
        self.store.credential(presented).await.map_err(unavailable)
    }

    async fn catalogue(&self, realm: RealmId) -> Answer<RealmCatalogue<RealmKeys>> {
        let (as_of, source, rows) = self.store.loads(realm).catalogue().await.map_err(unavailable)?;
        let extra = RealmKeys::open(&self.keys, realm, &rows);
        Ok(RealmCatalogue { as_of, catalogue: Catalogue::compile(source), extra })
    }

    async fn position(&self, realm: RealmId) -> Answer<Option<Position>> {
        self.store.position(realm).await.map_err(unavailable)
    }

    async fn positions(&self) -> Answer<Vec<(RealmId, Position)>> {
        self.store.positions().await.map_err(unavailable)
    }

    async fn log(&self, from: Vec<(RealmId, Revision)>, revisions: i64) -> Answer<Vec<Line>> {
        self.store.log(&from, revisions).await.map_err(unavailable)
    }

    fn elapsed(&self) -> Duration {
        Clock::elapsed()
    }
}

/// Undecided is never a decision: whatever keeps the record from answering, nothing is concluded from it.
#[expect(clippy::needless_pass_by_value, reason = "an adapter of map_err")]
fn unavailable(error: store::Error) -> Unavailable {
    tracing::warn!(error = &error as &dyn std::error::Error, "the record could not be read");
    Unavailable
}
