//! A process's way to the database: slow, failing, stopped half-way, or leading to a standby.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use countersign::cache::{Answer, RealmCatalogue, Source, Unavailable};
use countersign::domain::catalogue::{Catalogue, CatalogueSource};
use countersign::domain::change::{Key, Line, Loaded};
use countersign::domain::ids::{OrganizationId, PrincipalId, RealmId, Revision, ServiceAccountId};
use countersign::domain::policy::Policy;
use countersign::domain::realm::Position;
use countersign::domain::service_account::Credential;
use countersign::domain::snapshot::{Organization, Principal, PrincipalKind};
use countersign::domain::time::Timestamp;
use countersign::domain::workload::Presented;
use uuid::Uuid;

use super::world::{Record, TICK, World};

/// A process: its clock, whether it runs, and which database answers it.
pub(super) struct Wire {
    pub(super) world: Arc<World>,
    /// Its machine has run for so much longer than the world.
    uptime: Duration,
    /// It does nothing until then.
    stopped: AtomicU64,
    /// What a standby had replayed when it stopped to.
    standby: Mutex<Option<Vec<Record>>>,
}

impl Wire {
    pub(super) fn new(world: Arc<World>, number: usize) -> Self {
        let uptime = Duration::from_secs(3600 * number as u64);
        Self { world, uptime, stopped: AtomicU64::new(0), standby: Mutex::default() }
    }

    pub(super) fn stop_for(&self, ticks: u64) {
        self.stopped.store(self.world.now() + ticks, Ordering::Relaxed);
    }

    /// Is connected to a standby as of now, which replays nothing further.
    pub(super) fn turn_to_a_standby(&self) {
        let frozen = (0..self.world.realms()).map(|realm| self.world.record(realm).clone()).collect();
        *self.standby.lock().unwrap() = Some(frozen);
    }

    pub(super) fn turn_to_the_primary(&self) {
        *self.standby.lock().unwrap() = None;
    }

    pub(super) async fn pause(&self, ticks: u64) {
        let until = self.world.now() + ticks;
        let waits = || self.world.now() < until.max(self.stopped.load(Ordering::Relaxed));
        while waits() && !self.world.over() {
            tokio::task::yield_now().await;
        }
    }

    fn index(&self, realm: RealmId) -> usize {
        usize::try_from(realm.0.as_u128() - 1).unwrap()
    }

    fn read<T>(&self, realm: usize, read: impl FnOnce(&Record) -> T) -> T {
        match self.standby.lock().unwrap().as_ref() {
            Some(frozen) => read(&frozen[realm]),
            None => read(&self.world.record(realm)),
        }
    }

    /// One trip to the database and back: what is read is of one instant on the way.
    async fn trip<T>(&self, read: impl FnOnce() -> T) -> Answer<T> {
        self.pause(self.delay()).await;
        if self.world.roll(1000) < self.world.weather.failing {
            return Err(Unavailable);
        }
        let failover = self.world.record(0).failover;
        let answer = read();
        self.pause(self.delay()).await;
        // What the old primary had under way when it died never arrives.
        if self.world.record(0).failover == failover { Ok(answer) } else { Err(Unavailable) }
    }

    /// A trip that loads facts.
    async fn load<T>(&self, realm: RealmId, read: impl FnOnce(&Record) -> T) -> Answer<T> {
        let answer = self.trip(|| self.read(self.index(realm), read)).await;
        self.world.load_was_answered();
        answer
    }

    fn delay(&self) -> u64 {
        if self.world.roll(10) == 0 { self.world.roll(self.world.weather.slow) } else { self.world.roll(2) }
    }
}

impl Source for Wire {
    type Extra = ();

    async fn principals(&self, realm: RealmId, ids: Vec<PrincipalId>) -> Answer<Vec<Loaded<Principal>>> {
        let make = |id, as_of, stamp| Principal {
            id,
            realm,
            as_of,
            kind: PrincipalKind::ServiceAccount { organization: None, disabled: false },
            memberships: vec![],
            manager: None,
            entries: vec![],
            session_epoch: stamp,
            ended_sessions: vec![],
        };
        let one =
            |record: &Record, id| record.loaded(Key::Principal(id), |stamp| make(id, record.position.revision, stamp));
        self.load(realm, |record| ids.into_iter().map(|id| one(record, id)).collect()).await
    }

    async fn organizations(&self, realm: RealmId, ids: Vec<OrganizationId>) -> Answer<Vec<Loaded<Organization>>> {
        let make = |id, as_of, stamp: i64| Organization {
            id,
            realm,
            as_of,
            kind: String::new(),
            suspended: false,
            entitlements: vec![stamp.to_string()],
        };
        let one = |record: &Record, id| {
            record.loaded(Key::Organization(id), |stamp| make(id, record.position.revision, stamp))
        };
        self.load(realm, |record| ids.into_iter().map(|id| one(record, id)).collect()).await
    }

    async fn credential(&self, presented: &Presented) -> Answer<Option<Loaded<Credential>>> {
        // The digest's last byte says of which realm it is.
        let digest = presented.digest();
        let realm = super::world::realm(usize::from(digest[31]));
        let make = |stamp| Credential {
            realm,
            platform: false,
            service_account: ServiceAccountId(Uuid::nil()),
            expires_at: Some(Timestamp(stamp)),
        };
        let found = self.load(realm, |record| record.loaded(Key::Credential(digest), make)).await?;
        Ok(Some(found).filter(|found| found.value.is_some()))
    }

    async fn catalogue(&self, realm: RealmId) -> Answer<RealmCatalogue<()>> {
        let make = |record: &Record| CatalogueSource {
            realm,
            realm_name: record.at(Key::Catalogue, record.position.revision).to_string(),
            suspended: false,
            as_of: record.position.revision,
            policy: Arc::new(Policy::default()),
            permissions: vec![],
            roles: vec![],
            exclusions: vec![],
        };
        let (as_of, source) = self.load(realm, |record| (record.position, make(record))).await?;
        Ok(RealmCatalogue { as_of, catalogue: Catalogue::compile(source), extra: () })
    }

    async fn position(&self, realm: RealmId) -> Answer<Option<Position>> {
        self.trip(|| self.read(self.index(realm), |record| Some(record.position))).await
    }

    async fn positions(&self) -> Answer<Vec<(RealmId, Position)>> {
        let each = |realm| self.read(realm, |record| (record.realm, record.position));
        self.trip(|| (0..self.world.realms()).map(each).collect()).await
    }

    async fn log(&self, from: Vec<(RealmId, Revision)>, revisions: i64) -> Answer<Vec<Line>> {
        let of = |(realm, Revision(from)): (RealmId, Revision)| {
            let wanted = move |line: &&Line| (from..from + revisions).contains(&line.position.revision.0);
            self.read(self.index(realm), |record| record.log.iter().filter(wanted).copied().collect::<Vec<_>>())
        };
        self.trip(|| from.into_iter().flat_map(of).collect()).await
    }

    fn elapsed(&self) -> Duration {
        // No two looks at a clock are simultaneous.
        let look = self.world.looks.fetch_add(1, Ordering::Relaxed);
        self.uptime + TICK * u32::try_from(self.world.now()).unwrap() + Duration::from_nanos(look)
    }
}
