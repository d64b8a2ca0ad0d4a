//! How the log is read: what it costs, and what stands in its way.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use countersign::app::clock::Clock;
use countersign::cache::{Answer, Freshness, Options, RealmCatalogue, Remembered, Snapshots, Source};
use countersign::domain::change::{Key, Line, Loaded};
use countersign::domain::ids::{OrganizationId, PrincipalId, RealmId, Revision};
use countersign::domain::realm::Position;
use countersign::domain::service_account::Credential;
use countersign::domain::snapshot::{Organization, Principal};
use countersign::domain::workload::Presented;

use super::actors::{keys, principal};
use super::wire::Wire;
use super::world::{REALM, Weather, World, realm};

/// Lines that the database reads in a second.
const LINES_A_SECOND: u64 = 10_000;

/// A database that takes its time over the log.
struct Slow {
    wire: Wire,
    lines: AtomicU64,
}

impl Source for Slow {
    type Extra = ();

    async fn principals(&self, realm: RealmId, ids: Vec<PrincipalId>) -> Answer<Vec<Loaded<Principal>>> {
        self.wire.principals(realm, ids).await
    }

    async fn organizations(&self, realm: RealmId, ids: Vec<OrganizationId>) -> Answer<Vec<Loaded<Organization>>> {
        self.wire.organizations(realm, ids).await
    }

    async fn credential(&self, presented: &Presented) -> Answer<Option<Loaded<Credential>>> {
        self.wire.credential(presented).await
    }

    async fn catalogue(&self, realm: RealmId) -> Answer<RealmCatalogue<()>> {
        self.wire.catalogue(realm).await
    }

    async fn position(&self, realm: RealmId) -> Answer<Option<Position>> {
        self.wire.position(realm).await
    }

    async fn positions(&self) -> Answer<Vec<(RealmId, Position)>> {
        self.wire.positions().await
    }

    async fn log(&self, from: Vec<(RealmId, Revision)>, revisions: i64) -> Answer<Vec<Line>> {
        assert!(from.len() <= 100, "a term for each of {} realms", from.len());
        let lines = self.wire.log(from, revisions).await?;
        let count = lines.len() as u64;
        self.lines.fetch_add(count, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_micros(count * 1_000_000 / LINES_A_SECOND)).await;
        Ok(lines)
    }

    fn elapsed(&self) -> Duration {
        // No two looks at a clock are simultaneous.
        Clock::elapsed() + Duration::from_nanos(self.wire.world.looks.fetch_add(1, Ordering::Relaxed))
    }
}

fn process(realms: usize) -> (Arc<World>, Arc<Slow>, Snapshots<Slow>) {
    let world = Arc::new(World::new(7, Weather { slow: 1, ..Weather::CALM }, realms));
    let wire = Wire::new(Arc::clone(&world), 0);
    let slow = Arc::new(Slow { wire, lines: AtomicU64::new(0) });
    let (database_lost_grace, remembered) = (Duration::ZERO, Remembered::default());
    let options = Options { shared: true, database_lost_grace, principals: 100, remembered };
    let snapshots = Snapshots::new(Arc::clone(&slow), options);
    (world, slow, snapshots)
}

/// Ticks for as long as somebody needs the world's clock.
fn ticking(world: &Arc<World>) -> tokio::task::JoinHandle<()> {
    let world = Arc::clone(world);
    tokio::spawn(async move {
        while !world.over() {
            world.tick();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
}

async fn revision(snapshots: &Snapshots<Slow>, of: RealmId) -> Option<Revision> {
    Some(snapshots.view(of, Freshness::Latest).await.ok()??.revision())
}

#[tokio::test]
async fn a_backlog_that_takes_longer_than_a_check_waits_is_read_piece_by_piece() {
    let (world, slow, snapshots) = process(1);
    let _clock = ticking(&world);
    assert_eq!(revision(&snapshots, REALM).await, Some(Revision(1)));
    for _ in 0..15_000 {
        world.record(0).change(&[principal(0)]);
    }
    let mut waits = 0;
    while snapshots.tail_now().await.is_err() {
        waits += 1;
        assert!(waits < 5, "the log was begun again and again: {} lines", slow.lines.load(Ordering::Relaxed));
    }
    assert_eq!(revision(&snapshots, REALM).await, Some(Revision(15_001)));
    assert!(waits > 0 && slow.lines.load(Ordering::Relaxed) < 20_000, "read twice, or no backlog at all");
}

#[tokio::test]
async fn a_realm_that_is_far_behind_starts_over_instead_of_reading_everything() {
    let (world, slow, snapshots) = process(1);
    let _clock = ticking(&world);
    assert_eq!(revision(&snapshots, REALM).await, Some(Revision(1)));
    for _ in 0..100_000 {
        world.record(0).change(&[principal(0)]);
    }
    snapshots.tail_now().await.unwrap();
    assert_eq!(revision(&snapshots, REALM).await, Some(Revision(100_001)));
    assert_eq!(slow.lines.load(Ordering::Relaxed), 0, "nobody needs these lines");
}

#[tokio::test]
async fn eleven_hundred_realms_are_followed_by_statements_that_are_bounded_and_idle_ones_are_let_go() {
    const REALMS: usize = 1_100;
    let (world, _slow, snapshots) = process(REALMS);
    let _clock = ticking(&world);
    for n in 0..REALMS {
        assert_eq!(revision(&snapshots, realm(n)).await, Some(Revision(1)));
    }
    (0..REALMS).for_each(|n| drop(world.record(n).change(&keys(0)[..1])));
    snapshots.distrust();
    for n in [0, 600, REALMS - 1] {
        assert_eq!(revision(&snapshots, realm(n)).await, Some(Revision(2)), "realm {n}");
    }
    assert_eq!(snapshots.followed(), REALMS);
    snapshots.forget_idle();
    snapshots.view(REALM, Freshness::Latest).await.unwrap();
    snapshots.forget_idle();
    assert_eq!(snapshots.followed(), 1, "only one was asked about since");
}

#[tokio::test]
async fn a_token_ahead_of_the_log_is_undecided_and_one_of_a_lost_history_is_served_by_what_is_newest() {
    let (world, _slow, snapshots) = process(1);
    let _clock = ticking(&world);
    let lost = world.record(0).change(&[principal(0)]).position;
    world.record(0).lose(1, 0);
    let ahead = snapshots.view(REALM, Freshness::AtLeast(lost)).await;
    assert!(ahead.is_err(), "the log does not reach so far");
    world.record(0).change(&[Key::Catalogue]);
    let asked = Mutex::new(vec![]);
    for _ in 0..2 {
        let view = snapshots.view(REALM, Freshness::AtLeast(lost)).await.unwrap().unwrap();
        asked.lock().unwrap().push((view.revision(), view.catalogue().realm_name.clone()));
    }
    let stamp = world.record(0).at(Key::Catalogue, Revision(2)).to_string();
    assert_eq!(asked.into_inner().unwrap(), vec![(Revision(2), stamp); 2]);
}
