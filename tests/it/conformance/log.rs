//! The change log keeps no hole, and snapshots read in bulk are those read one by one.

use countersign::crypto::random_mark;
use countersign::domain::change::Key;
use countersign::domain::ids::{OrganizationId, PrincipalId, Revision};
use countersign::domain::time::Timestamp;
use uuid::Uuid;

use super::{NOW, REALM, Record, commit};
use crate::support::both_backends;

both_backends!(
    the_log_is_pruned_from_its_beginning_however_far_the_clocks_of_its_writers_are_apart,
    crate::conformance::run,
    async |record: &Record| {
        // A writer whose clock is an hour behind comes between two whose clocks are right.
        let mut made = vec![];
        for at in [NOW.0, NOW.0 + 7_200, NOW.0, NOW.0 + 7_200] {
            let tx = record.change().await;
            made.push(tx.commit(vec![Key::Catalogue], random_mark(), Timestamp(at)).await.unwrap().position);
        }
        record.store.prune_log(Timestamp(NOW.0 + 3_600)).await.unwrap();
        let lines = record.store.log(&[(REALM, Revision(0))], 1_000).await.unwrap();
        let left: Vec<_> = lines.iter().map(|line| line.position).collect();
        assert_eq!(left, made[1..], "what is left is contiguous");
        record.store.prune_log(Timestamp(NOW.0 + 7_201)).await.unwrap();
        let lines = record.store.log(&[(REALM, Revision(0))], 1_000).await.unwrap();
        assert_eq!(lines.iter().map(|line| line.position).collect::<Vec<_>>(), made[3..], "the newest line stays");
    }
);

both_backends!(what_is_read_in_bulk_is_what_is_read_one_by_one, crate::conformance::run, async |record: &Record| {
    commit(record.change().await, vec![Key::Catalogue]).await;
    let rows = record.store.loads(REALM);
    // More than one statement's worth, most of them unknown.
    let ids: Vec<_> = (1..300).map(|n| PrincipalId(Uuid::from_u128(n))).collect();
    let all = rows.principals(&ids, NOW).await.unwrap();
    assert_eq!(all.len(), ids.len());
    for (id, loaded) in ids.iter().zip(&all).step_by(37) {
        assert_eq!(rows.principal(*id, NOW).await.unwrap(), *loaded);
    }
    let ids: Vec<_> = (1..30).map(|n| OrganizationId(Uuid::from_u128(n))).collect();
    let all = rows.organizations_facts(&ids).await.unwrap();
    for (id, loaded) in ids.iter().zip(&all) {
        assert_eq!(rows.organization_facts(*id).await.unwrap(), *loaded);
    }
    let positions = record.store.positions().await.unwrap();
    assert!(positions.contains(&(REALM, all[0].as_of)));
});
