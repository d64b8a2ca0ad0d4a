//! Security class 34: many who follow changes cost the database one reader, and nobody else's checks.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use countersign::app::clock::Clock;
use countersign::grpc::pb::{self, Policy, Reach};
use tokio::task::JoinSet;

use super::Ruler;
use crate::support::{At, Backend, Caller, Portal, Reachable as _, TestApp, both_backends, everywhere, grants, role};

/// Followers of one account: as many as may.
const PER_ACCOUNT: usize = 100;
/// Eight changes a second.
const BETWEEN_WRITES: Duration = Duration::from_millis(125);
/// Longer than a change takes to be told to everybody.
const PATIENCE: Duration = Duration::from_secs(30);

/// What followers heard.
#[derive(Default)]
struct Heard {
    begun: AtomicUsize,
    ended: AtomicUsize,
    /// By how many each revision of the last change was heard.
    last: AtomicI64,
    of_last: AtomicUsize,
}

async fn followers(app: &TestApp, portal: &Portal, count: usize, heard: &Arc<Heard>) -> JoinSet<()> {
    let follows = pb::CreateRoleRequest {
        grants: grants(Reach::All, &["countersign.access.watch"]),
        assignable: Some(everywhere(&[])),
        ..role("follows")
    };
    portal.define([follows]).await;
    let mut all = JoinSet::new();
    for account in 0..count / PER_ACCOUNT {
        let name = format!("gateway-{account}");
        let key = portal.operator.service(&name).await.unwrap();
        portal.operator.assign(&name, "follows", At::Realm).await.unwrap();
        let source = [127, 0, 1, u8::try_from(account + 1).unwrap()];
        let caller = app.anonymous_from(source).with_credential(&key);
        for _ in 0..PER_ACCOUNT {
            all.spawn(follow(caller.clone(), Arc::clone(heard)));
        }
    }
    all
}

/// Follows to the end; each revision must follow the one before.
async fn follow(caller: Caller, heard: Arc<Heard>) {
    let request = pb::WatchChangesRequest::default();
    let mut steps = caller.authorization().watch_changes(request).await.unwrap().into_inner();
    let mut at = steps.message().await.unwrap().unwrap().revision;
    heard.begun.fetch_add(1, Ordering::Relaxed);
    while let Ok(Some(step)) = steps.message().await {
        assert!(step.revision == at + 1 || step.changes.is_empty(), "{} after {at}", step.revision);
        at = step.revision;
        if at == heard.last.load(Ordering::Relaxed) {
            heard.of_last.fetch_add(1, Ordering::Relaxed);
        }
    }
    heard.ended.fetch_add(1, Ordering::Relaxed);
}

async fn until(what: &str, count: &AtomicUsize, enough: usize) {
    let began = Clock::elapsed();
    while count.load(Ordering::Relaxed) < enough {
        let waited = Clock::elapsed() - began;
        assert!(waited < PATIENCE, "{what}: {} of {enough}", count.load(Ordering::Relaxed));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn leave_the_checks_of_others_as_they_were(app: &TestApp, count: usize) {
    let ruler = Ruler::new(app).await;
    let portal = app.realm("followed", Policy::default()).await;
    let heard = Arc::new(Heard::default());
    let mut all = followers(app, &portal, count, &heard).await;
    until("began", &heard.begun, count).await;
    let writes = async {
        for number in 0.. {
            portal.declare(&[&format!("flood.name-{number}")]).await;
            tokio::time::sleep(BETWEEN_WRITES).await;
        }
    };
    ruler.unharmed_by(200, writes).await;
    // One that everybody hears of.
    let request = pb::DeclarePermissionRequest { name: "flood.last".into(), ..Default::default() };
    let next = || async {
        let here = app.inner().app.store().realm_named("followed").await.unwrap().unwrap();
        here.position.revision.0 + 1
    };
    heard.last.store(next().await, Ordering::Relaxed);
    portal.operator.roles().declare_permission(request).await.unwrap();
    until("heard the last", &heard.of_last, count).await;
    assert_eq!(heard.ended.load(Ordering::Relaxed), 0, "nobody's stream ended");
    all.shutdown().await;
}

both_backends!(followers_of_a_busy_realm_leave_the_checks_of_others_as_they_were, async |app: &TestApp| {
    leave_the_checks_of_others_as_they_were(app, 200).await;
});

/// As above, with as many as one realm may have: `tests/run --test it -- --ignored a_thousand_followers`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a thousand streams keep both cores of a small machine busy for half a minute"]
async fn a_thousand_followers_of_a_busy_realm_all_hear_of_every_change() {
    let app = TestApp::start(Backend::Postgres).await;
    leave_the_checks_of_others_as_they_were(&app, 1_000).await;
    app.finish().await;
}
