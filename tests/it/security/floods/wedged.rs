//! Security class 34: one realm's row is held by somebody who does not let it go, and one replica is frozen in the middle
//! of a change. Checks everywhere, reads, health and the changes of other realms go on; the changes of that realm end in
//! time, and none is made after its caller was told that it was not.

use std::cell::Cell;
use std::time::Duration;

use countersign::app::clock::Clock;
use countersign::grpc::pb::{self, ErrorReason, Policy};
use tokio::task::JoinSet;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;

use super::Ruler;
use crate::support::{At, Backend, Binary, Caller, Reachable, RowHeld, TestApp, Throwaway, refusal};

/// So many changes of the realm are asked for at once.
const WRITES: usize = 50;
/// Waiting for their turn, then for the row: each takes four seconds at most. The rest is room for the other tests, which
/// delay when a change begins to wait.
const WRITE_MAX: Duration = Duration::from_secs(15);
/// A change of another realm, a list and a look at health are made within this time.
const OTHERS_MAX: Duration = Duration::from_secs(2);
/// A revocation is made within this time although another replica is frozen while it holds the realm's row.
const REVOKED_WITHIN: Duration = Duration::from_secs(5);

async fn declare(operator: Caller, name: String) -> Result<(), Status> {
    let request = pb::DeclarePermissionRequest { name, ..Default::default() };
    operator.roles().declare_permission(request).await.map(drop)
}

async fn declared(operator: &Caller) -> Vec<String> {
    let request = pb::ListPermissionsRequest { page_size: 1000, ..Default::default() };
    let listed = operator.roles().list_permissions(request).await.unwrap().into_inner();
    listed.permissions.into_iter().map(|permission| permission.name).collect()
}

/// Asks for so many changes at once; each is told in time that it was not made, and when to come again.
async fn all_are_told_to_come_again(operator: &Caller) {
    let began = Clock::elapsed();
    let mut writes: JoinSet<_> =
        (0..WRITES).map(|number| declare(operator.clone(), format!("late.p{number}"))).collect();
    while let Some(outcome) = writes.join_next().await {
        let status = outcome.unwrap().unwrap_err();
        let delay = status.get_error_details().retry_info().and_then(|info| info.retry_delay);
        assert!(delay.is_some_and(|delay| delay > Duration::ZERO), "{status:?}");
        assert_eq!(refusal::<()>(Err(status)), (Code::Unavailable, ErrorReason::Unavailable));
    }
    let taken = Clock::elapsed() - began;
    assert!(taken < WRITE_MAX, "the last one ended after {taken:?}");
}

async fn ready(server: &impl Reachable) -> bool {
    let asked = HealthCheckRequest { service: "ready".to_owned() };
    let answer = HealthClient::new(server.channel()).check(asked).await.unwrap().into_inner();
    answer.status() == ServingStatus::Serving
}

/// Holds a realm's row beside so many checks.
async fn a_realm_is_wedged(checks: usize) {
    let app = TestApp::start(Backend::Postgres).await;
    let ruler = Ruler::new(&app).await;
    let wedged = app.realm("wedged", Policy::default()).await;
    let (others, before) = (app.as_operator().in_realm("bystander"), declared(&wedged.operator).await);
    let quiet = ruler.quiet(300).await;
    let (held, enough) = (RowHeld::of_realm(app.database_url(), "wedged").await, Cell::new(false));
    let waits = async {
        while !enough.get() {
            all_are_told_to_come_again(&wedged.operator).await;
        }
    };
    let goes_on = async {
        for number in 0.. {
            if enough.get() {
                return;
            }
            let began = Clock::elapsed();
            declare(others.clone(), format!("meanwhile.p{number}")).await.unwrap();
            assert_eq!(declared(&wedged.operator).await, before, "what is read is what was made");
            assert!(ready(&app).await, "the database is well");
            let taken = Clock::elapsed() - began;
            assert!(taken < OTHERS_MAX, "a change of another realm, a list and health took {taken:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let looks = async {
        ruler.as_quick_as(&quiet, checks).await;
        enough.set(true);
    };
    tokio::join!(waits, goes_on, looks);
    held.let_go().await;
    declare(wedged.operator.clone(), "early.p".to_owned()).await.unwrap();
    let mut made = declared(&wedged.operator).await;
    made.retain(|name| !before.contains(name));
    assert_eq!(made, ["early.p"], "something was made after its caller was told that it was not");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_realm_whose_row_is_held_keeps_no_check_no_read_and_no_other_realm() {
    a_realm_is_wedged(300).await;
}

/// `tests/run --test it -- --ignored a_realm_whose_row_is_held_for_a_minute`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a minute long"]
async fn a_realm_whose_row_is_held_for_a_minute_keeps_no_check_no_read_and_no_other_realm() {
    a_realm_is_wedged(10_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_frozen_within_a_change_keeps_no_revocation_from_being_made_elsewhere() {
    let (database, home) = (Throwaway::migrated().await, tempfile::tempdir().unwrap());
    let frozen = Binary::spawn(home.path(), Some(&database)).await;
    let other = Binary::spawn(home.path(), Some(&database)).await;
    let operator = other.as_operator();
    let ruler = Ruler::new(&other).await;
    let there = operator.clone().in_realm("bystander");
    there.service("packer").await.unwrap();
    there.assign("packer", "ships", At::Realm).await.unwrap();

    // Its change waits for the row, gets it once the process no longer runs, and never goes on.
    let held = RowHeld::of_realm(database.url(), "bystander").await;
    let change = tokio::spawn(declare(frozen.as_operator().in_realm("bystander"), "frozen.p".to_owned()));
    held.awaited().await;
    frozen.freeze();
    held.let_go().await;
    let began = Clock::elapsed();
    let revoked = async {
        assert_eq!(there.revoke("packer", "ships", At::Realm).await.unwrap(), 1);
        Clock::elapsed() - began
    };
    let (taken, ()) = tokio::join!(revoked, async {
        ruler.measure(100).await;
    });
    assert!(taken < REVOKED_WITHIN, "the revocation took {taken:?}");
    frozen.thaw();
    change.await.unwrap().unwrap_err();
    let made = declared(&there).await;
    assert!(!made.contains(&"frozen.p".to_owned()), "made although its transaction was ended: {made:?}");
}
