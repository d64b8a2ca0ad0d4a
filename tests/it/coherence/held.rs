//! Races by construction: calls are held where it hurts, and what passes them is acknowledged. Security class 27: a
//! partial, cancelled or stale result is kept (CVE-2026-33729, CVE-2025-46331).

use std::time::Duration;

use countersign::app::failpoint::{Held, hold_in};
use countersign::domain::ids::RealmId;
use countersign::grpc::pb;
use tonic::{Code, Request};

use super::{Yard, allowed, times};
use crate::support::{At, TestApp, both_backends};

/// A yard whose packer ships, and is known to nobody's cache.
async fn yard(app: &TestApp) -> (Yard, RealmId) {
    let yard = Yard::open(app).await;
    let realm = app.inner().app.store().realm_named("yard").await.unwrap().unwrap().id;
    yard.lets_ship().await;
    assert!(yard.may_ship().await);
    yard.portal.operator.assign("packer", "reads", At::Realm).await.unwrap();
    (yard, realm)
}

/// A load is held at this point until the revocation was acknowledged.
async fn a_revocation_passes_a_load(app: &TestApp, point: &'static str) {
    let (yard, realm) = yard(app).await;
    let held = hold_in(point, realm);
    let asks = || {
        tokio::spawn({
            let (till, question) = (yard.till.clone(), yard.question());
            async move { allowed(&till, question).await }
        })
    };
    let early = asks();
    held.arrived().await;
    yard.stops_shipping().await;
    let late = asks();
    held.arrived().await;
    drop(held);
    assert!(!late.await.unwrap(), "asked after the acknowledgement");
    early.await.unwrap();
    assert!(!yard.may_ship().await, "the load left what it had read");
}

both_backends!(a_revocation_passes_a_load_that_has_read, async |app: &TestApp| {
    a_revocation_passes_a_load(app, "loaded.principal").await;
});

both_backends!(a_revocation_passes_a_load_that_is_about_to_read, async |app: &TestApp| {
    a_revocation_passes_a_load(app, "load.principal").await;
});

/// The revocation, held at this point; its caller hangs up or lets its deadline pass.
async fn a_caller_goes(app: &TestApp, point: &'static str, deadline: Option<Duration>) {
    let (yard, realm) = yard(app).await;
    let held = hold_in(point, realm);
    let revocation = tokio::spawn(revoke(yard.portal.operator.clone(), deadline));
    held.arrived().await;
    match deadline {
        // Whichever gives up first, the client or the server.
        Some(_) => {
            let code = revocation.await.unwrap().unwrap_err().code();
            assert!(matches!(code, Code::Cancelled | Code::DeadlineExceeded), "{code}");
        }
        None => revocation.abort(),
    }
    lets_go(held, &yard).await;
}

async fn revoke(operator: crate::support::Caller, deadline: Option<Duration>) -> Result<(), tonic::Status> {
    let mut request = Request::new(pb::RevokeRoleRequest {
        principal: "packer".to_owned(),
        role: "ships".to_owned(),
        scope: Some(pb::revoke_role_request::Scope::RealmWide(true)),
        ..Default::default()
    });
    if let Some(deadline) = deadline {
        request.set_timeout(deadline);
    }
    operator.assignments().revoke_role(request).await.map(drop)
}

/// Nobody was told, so nobody knows when; but it happens, and it stays.
async fn lets_go(held: Held, yard: &Yard) {
    drop(held);
    let applied = async {
        while yard.may_ship().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), applied).await.unwrap();
    assert_eq!(yard.portal.operator.revoke("packer", "ships", At::Realm).await.unwrap(), 0, "it was made");
}

both_backends!(a_caller_hangs_up_between_commit_and_publish, async |app: &TestApp| {
    a_caller_goes(app, "write.after_commit", None).await;
});

both_backends!(a_deadline_passes_between_commit_and_publish, async |app: &TestApp| {
    a_caller_goes(app, "write.after_commit", Some(Duration::from_millis(300))).await;
});

both_backends!(a_caller_hangs_up_before_the_commit, async |app: &TestApp| {
    a_caller_goes(app, "write.before_commit", None).await;
});

both_backends!(a_deadline_of_a_millisecond_leaves_all_or_nothing, async |app: &TestApp| {
    let (yard, _) = yard(app).await;
    let _either = revoke(yard.portal.operator.clone(), Some(Duration::from_millis(1))).await;
    // By the time a later change of the realm is acknowledged, the earlier one was made, or never will be.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let (ships, revoked) = (yard.may_ship().await, times(&yard.till, "role.revoked").await);
    assert_eq!(revoked, usize::from(!ships), "the log and the decision tell different stories");
});
