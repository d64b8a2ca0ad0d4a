//! The database is lost under load, and comes back: what is known goes on being answered for as long as that was
//! allowed, nobody is told what nobody can know, nothing acknowledged is lost, and nothing has to be started again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use countersign::app::clock::Clock;
use countersign::cache::TAIL_FRESH;
use countersign::grpc::pb::{self, ErrorReason};
use parking_lot::Mutex;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;

use super::Yard;
use crate::support::{Backend, Caller, Cluster, Proxy, Reachable as _, TestApp, Throwaway, ask};

/// How long the database is lost.
const LOST: Duration = Duration::from_secs(4);
/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);
/// No call takes longer.
const CALL_MAX: Duration = Duration::from_secs(10);

/// What a caller is told who can't be answered: to come again, and when.
pub(super) fn come_again<T: std::fmt::Debug>(result: Result<T, Status>) {
    let status = result.unwrap_err();
    let details = status.get_error_details();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    let delay = details.retry_info().and_then(|info| info.retry_delay);
    assert!(delay.is_some_and(|delay| delay > Duration::ZERO), "{status:?}");
    assert_eq!(crate::support::refusal::<()>(Err(status)).1, ErrorReason::Unavailable);
}

pub(super) async fn in_time<T>(call: impl Future<Output = T>) -> T {
    tokio::time::timeout(CALL_MAX, call).await.unwrap()
}

pub(super) async fn serves(app: &TestApp, name: &str) -> bool {
    let asked = HealthCheckRequest { service: name.to_owned() };
    let answer = in_time(HealthClient::new(app.channel()).check(asked)).await.unwrap().into_inner();
    answer.status() == ServingStatus::Serving
}

pub(super) async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(waited.await.is_ok(), "{what}: not so after {PATIENCE:?}");
}

/// Declares one permission after the other until told to stop. Answers those that were acknowledged.
async fn declare(operator: Caller, prefix: &'static str, stop: Arc<AtomicBool>, told: Arc<Mutex<BTreeSet<String>>>) {
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let name = format!("{prefix}.p{number}");
        let request = pb::DeclarePermissionRequest { name: name.clone(), ..Default::default() };
        match in_time(operator.roles().declare_permission(request)).await {
            Ok(_) => drop(told.lock().insert(name)),
            Err(refused) => {
                come_again::<()>(Err(refused));
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// A yard whose PostgreSQL crashes while others write, and is started again; or, if it is `calm`, crashes before they
/// begin to. A change whose outcome nobody knows keeps everything known out of use until that is known.
async fn lose(grace: &'static str, calm: bool, meanwhile: impl AsyncFnOnce(&TestApp, &Yard, Duration)) {
    let mut database = Cluster::start().await;
    let url = database.url();
    let settings = [("database_url", url.as_str()), ("database_lost_grace", grace)];
    let app = TestApp::start_with(Backend::Sqlite, &settings).await;
    let yard = Yard::open(&app).await;
    yard.lets_ship().await;
    assert!(yard.may_ship().await);
    let unasked = super::service(&yard.portal.operator, "unasked").await;

    let (stop, told) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(BTreeSet::new())));
    let write =
        |prefix| tokio::spawn(declare(yard.portal.operator.clone(), prefix, Arc::clone(&stop), Arc::clone(&told)));
    let mut writers = vec![write("a"), write("b")];
    until("a change", async || told.lock().len() > 3).await;
    if calm {
        stop.store(true, Ordering::Relaxed);
        for writer in writers.drain(..) {
            writer.await.unwrap();
        }
        stop.store(false, Ordering::Relaxed);
        // Each change made something stale, that is read again now.
        assert!(yard.may_ship().await);
    }
    database.crash();
    if calm {
        writers.extend([write("c"), write("d")]);
    }
    come_again(in_time(yard.portal.operator.assign("unasked", "ships", crate::support::At::Realm)).await);
    // That waited for its turn among the changes that others ask for.
    let lost_at = Clock::elapsed();
    Box::pin(meanwhile(&app, &yard, lost_at)).await;
    come_again(in_time(yard.till.check(ask(&unasked, super::SHIP))).await);

    let before = told.lock().len();
    database.start_again().await;
    until("ready again", async || serves(&app, "ready").await && serves(&app, "checks").await).await;
    until("a change again", async || told.lock().len() > before).await;
    assert!(yard.may_ship().await);
    yard.stops_shipping().await;
    assert!(!yard.may_ship().await, "what is known again is what is so");
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    let acknowledged = std::mem::take(&mut *told.lock());
    for name in acknowledged {
        // A permission that is not declared would be an error.
        yard.till.check(ask(&yard.packer, &name)).await.unwrap();
    }
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_grace_what_is_known_is_answered_while_the_database_is_lost() {
    lose("60s", true, async |app: &TestApp, yard: &Yard, lost_at: Duration| {
        let mut answered = 0;
        while Clock::elapsed() < lost_at + LOST {
            assert!(in_time(yard.may_ship()).await);
            answered += 1;
        }
        assert!(answered > 3, "{answered} checks were answered");
        until("not ready", async || !serves(app, "ready").await).await;
        assert!(serves(app, "checks").await && serves(app, "").await && serves(app, "live").await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_grace_nobody_is_answered_while_the_database_is_lost() {
    lose("0s", false, async |app: &TestApp, yard: &Yard, lost_at: Duration| {
        let mut refused = 0;
        while Clock::elapsed() < lost_at + LOST || refused < 3 {
            let asked = Clock::elapsed();
            let answer = in_time(yard.till.check(yard.question())).await;
            // Up to then, what was read just before it was lost is fresh enough.
            if asked > lost_at + TAIL_FRESH {
                come_again(answer);
                refused += 1;
            }
        }
        until("not ready", async || !serves(app, "ready").await && !serves(app, "checks").await).await;
        assert!(!serves(app, "").await && serves(app, "live").await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_says_nothing_is_lost_as_well() {
    let database = Throwaway::migrated().await;
    let way = Proxy::to(&database).await;
    let app = TestApp::start_with(Backend::Sqlite, &[("database_url", way.url())]).await;
    let yard = Yard::open(&app).await;
    yard.lets_ship().await;
    assert!(yard.may_ship().await);
    way.hang();
    until("not ready", async || !serves(&app, "ready").await && !serves(&app, "checks").await).await;
    come_again(in_time(yard.till.check(yard.question())).await);
    assert!(serves(&app, "live").await);
    way.mend();
    until("ready again", async || serves(&app, "ready").await && serves(&app, "checks").await).await;
    until("answers again", async || in_time(yard.till.check(yard.question())).await.is_ok()).await;
    yard.stops_shipping().await;
    assert!(!yard.may_ship().await);
    app.finish().await;
}
