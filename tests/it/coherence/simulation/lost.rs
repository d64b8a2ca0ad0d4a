//! The schedule that chance hardly finds: a load answers with a change that this replica has not heard of; before the
//! replica reads the log, a standby takes over that never had it, and somebody makes another change in its place.

use std::sync::Arc;
use std::time::Duration;

use countersign::cache::{Freshness, GATHER_AGAIN, Miss, Options, Remembered, Snapshots};
use countersign::domain::change::Key;
use countersign::domain::ids::Revision;
use countersign::domain::workload::Presented;

use super::actors::{credential, keys, organization, principal};
use super::wire::Wire;
use super::world::{REALM, Weather, World};

/// What is changed instead: nobody asks for it here.
fn unrelated() -> Key {
    organization(1)
}

/// The fact as this replica has it, and the revision that it is said to be of.
async fn ask(snapshots: &Snapshots<Wire>, key: Key) -> (Option<Revision>, i64) {
    if let Key::Credential(hash) = key {
        let found = snapshots.credential(&Presented::ApiKey(hash)).await.unwrap();
        return (None, found.and_then(|credential| credential.expires_at).map_or(0, |at| at.0));
    }
    for _ in 0..=GATHER_AGAIN {
        match gather(snapshots, key).await {
            Err(Miss::Moved) => {}
            Ok((revision, stamp)) => return (Some(revision), stamp),
            Err(fault) => panic!("{key}: {fault}"),
        }
    }
    panic!("{key}: the realm moved on and on");
}

async fn gather(snapshots: &Snapshots<Wire>, key: Key) -> Result<(Revision, i64), Miss> {
    let view = snapshots.view(REALM, Freshness::Latest).await?.unwrap();
    let stamp = match key {
        Key::Principal(id) => view.principal(id).await?.map_or(0, |found| found.principal().session_epoch),
        Key::Organization(id) => view.organization(id).await?.map_or(0, |it| it.entitlements[0].parse().unwrap()),
        Key::Catalogue => view.catalogue().realm_name.parse().unwrap(),
        Key::Credential(_) => unreachable!("credentials are of no view"),
    };
    Ok((view.revision(), stamp))
}

/// How many changes are lost, and how many are made instead.
async fn is_taken_back(key: Key, lost: i64, instead: i64) {
    let world = Arc::new(World::new(7, Weather::CALM, 1));
    let (grace, remembered) = (Duration::ZERO, Remembered::default());
    let options = Options { shared: true, database_lost_grace: grace, principals: 100, remembered };
    let snapshots = Snapshots::new(Arc::new(Wire::new(Arc::clone(&world), 0)), options);
    let clock = tokio::spawn(super::actors::time_passes(Arc::clone(&world)));

    world.record(0).change(&keys(0));
    ask(&snapshots, key).await;
    world.record(0).change(&[key]);
    snapshots.tail_now().await.unwrap();
    (0..lost).for_each(|_| drop(world.record(0).change(&[key])));
    world.after_the_next_load(move |record| {
        record.lose(lost, 1);
        (0..instead).for_each(|_| drop(record.change(&[unrelated()])));
    });
    ask(&snapshots, key).await;
    let truth = |revision| world.record(0).at(key, revision);
    let newest = world.record(0).position.revision;
    for _ in 0..3 {
        let (revision, stamp) = ask(&snapshots, key).await;
        assert_eq!(stamp, truth(revision.unwrap_or(newest)), "{key}, {lost} lost, {instead} instead");
    }
    clock.abort();
}

#[tokio::test]
async fn what_a_load_read_of_a_lost_change_is_not_kept() {
    for key in [principal(0), organization(0), credential(1, 0), Key::Catalogue] {
        for (lost, instead) in [(1, 1), (1, 2), (2, 2), (3, 3), (2, 5)] {
            is_taken_back(key, lost, instead).await;
        }
    }
}
