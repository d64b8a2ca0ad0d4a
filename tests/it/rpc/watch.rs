//! `WatchChanges`: every change once, in order, from where one left off.

use std::time::Duration;

use countersign::app::clock::Clock;
use countersign::grpc::pb::{self, ErrorReason, changed_fact::Fact};
use tonic::{Code, Status, Streaming};

use crate::support::{
    At, Binary, Caller, Portal, Reachable as _, TestApp, Throwaway, both_backends, everywhere, grants, refusal, role,
};

/// Longer than a change takes to be told.
const PATIENCE: Duration = Duration::from_secs(20);

type Steps = Streaming<pb::WatchChangesResponse>;

async fn follow(caller: &Caller, token: &str) -> Result<Steps, Status> {
    let request = pb::WatchChangesRequest { consistency_token: token.to_owned() };
    Ok(caller.authorization().watch_changes(request).await?.into_inner())
}

async fn next(steps: &mut Steps) -> Result<pb::WatchChangesResponse, Status> {
    let step = tokio::time::timeout(PATIENCE, steps.message()).await.unwrap();
    step.map(|step| step.unwrap())
}

/// The next step that tells of something.
async fn next_change(steps: &mut Steps) -> pb::WatchChangesResponse {
    loop {
        let step = next(steps).await.unwrap();
        if !step.changes.is_empty() {
            return step;
        }
    }
}

async fn realm(app: &TestApp) -> (Portal, Caller) {
    let policy = pb::Policy {
        self_registration: pb::SelfRegistration::Open.into(),
        approval: pb::ApprovalAuthority::None.into(),
        ..Default::default()
    };
    let portal = app.realm("followed", policy).await;
    let follows = pb::CreateRoleRequest {
        grants: grants(pb::Reach::All, &["countersign.access.watch"]),
        assignable: Some(everywhere(&[])),
        ..role("follows")
    };
    portal.define([follows]).await;
    let service = portal.service(app, "gateway", "follows").await;
    (portal, service)
}

fn facts(step: &pb::WatchChangesResponse) -> Vec<Fact> {
    step.changes.iter().filter_map(|change| change.fact.clone()).collect()
}

both_backends!(every_change_is_told_once_with_whom_it_concerns, async |app: &TestApp| {
    let (portal, service) = realm(app).await;
    let mut steps = follow(&service, "").await.unwrap();
    let begun = next(&mut steps).await.unwrap();
    assert_eq!(begun.changes, [], "the first answer says where the log stands");

    portal.declare(&["shop.orders.read"]).await;
    let told = next_change(&mut steps).await;
    assert_eq!(facts(&told), [Fact::Catalogue(true)]);
    assert_eq!(told.revision, begun.revision + 1);
    portal.newcomer(app, "ann@shop.example", &[]).await;
    let ann = portal.operator.user("ann@shop.example").await.unwrap().id;
    assert_eq!(facts(&next_change(&mut steps).await), [Fact::Principal(ann.clone())], "she proved her address");
    let shop =
        pb::CreateOrganizationRequest { slug: "shop".to_owned(), title: "Shop".to_owned(), ..Default::default() };
    let shop = portal.organization(shop).await;
    assert_eq!(facts(&next_change(&mut steps).await), [Fact::Organization(shop)]);

    let mut again = follow(&service, &begun.consistency_token).await.unwrap();
    let mut revisions = vec![];
    while revisions.last() != Some(&(begun.revision + 3)) {
        revisions.push(next(&mut again).await.unwrap().revision);
    }
    assert_eq!(revisions, [begun.revision + 1, begun.revision + 2, begun.revision + 3]);
});

both_backends!(who_may_no_longer_follow_is_told_so_at_once, async |app: &TestApp| {
    let (portal, service) = realm(app).await;
    let mut steps = follow(&service, "").await.unwrap();
    next(&mut steps).await.unwrap();
    portal.operator.revoke("gateway", "follows", At::Realm).await.unwrap();
    let ended = loop {
        match next(&mut steps).await {
            Ok(step) => assert!(step.changes.len() <= 1),
            Err(status) => break status,
        }
    };
    assert_eq!(refusal::<()>(Err(ended)), (Code::PermissionDenied, ErrorReason::PermissionMissing));
});

both_backends!(who_may_in_one_organization_follows_nobody, async |app: &TestApp| {
    let (portal, _) = realm(app).await;
    let shop =
        pb::CreateOrganizationRequest { slug: "shop".to_owned(), title: "Shop".to_owned(), ..Default::default() };
    portal.organization(shop).await;
    let key = portal.operator.service("narrow").await.unwrap();
    let request = pb::GrantPermissionRequest {
        principal: "narrow".to_owned(),
        pattern: "countersign.access.watch".to_owned(),
        reach: pb::Reach::All.into(),
        scope: Some(pb::grant_permission_request::Scope::Organization("shop".to_owned())),
        ..Default::default()
    };
    portal.operator.assignments().grant_permission(request).await.unwrap();
    let refused = follow(&app.as_key(&key), "").await;
    assert_eq!(refusal(refused.map(drop)), (Code::PermissionDenied, ErrorReason::WrongOrganization));
});

both_backends!(a_token_that_the_log_does_not_continue_is_said_to_be_one, async |app: &TestApp| {
    let (portal, service) = realm(app).await;
    let realm = app.inner().app.store().realm_named("followed").await.unwrap().unwrap();
    let old = app.inner().app.consistency_token(realm.id, realm.position);
    portal.declare(&["shop.orders.read"]).await;
    portal.declare(&["shop.orders.ship"]).await;
    app.clock().advance(Duration::from_secs(2 * 3600));
    let store = app.inner().app.store();
    store.prune_log(app.clock().now()).await.unwrap();
    let missed = (Code::FailedPrecondition, ErrorReason::ChangesMissed);
    let mut stream = follow(&service, &old).await.unwrap();
    assert_eq!(refusal(next(&mut stream).await), missed);

    let elsewhere = app.as_operator();
    let foreign = next(&mut follow(&elsewhere, "").await.unwrap()).await.unwrap().consistency_token;
    for bad in [foreign.as_str(), "nonsense"] {
        let refused = follow(&service, bad).await;
        assert_eq!(refusal(refused.map(drop)), (Code::InvalidArgument, ErrorReason::InvalidFields), "{bad}");
    }
});

/// The server is killed while somebody follows and others write; who resumes has missed nothing and hears nothing twice.
async fn resumes_after_a_kill(database: Option<Throwaway>) {
    let home = tempfile::tempdir().unwrap();
    let mut server = Binary::spawn(home.path(), database.as_ref()).await;
    let first = next(&mut follow(&server.as_operator(), "").await.unwrap()).await.unwrap();
    let (mut heard, mut token) = (vec![], first.consistency_token.clone());
    for round in 0..3 {
        let operator = server.as_operator();
        let mut steps = follow(&operator, &token).await.unwrap();
        let writer = operator.clone();
        let writes = tokio::spawn(async move {
            for n in 0..1_000 {
                let name = format!("round-{round}.name-{n}");
                let request = pb::DeclarePermissionRequest { name, ..Default::default() };
                if writer.roles().declare_permission(request).await.is_err() {
                    return;
                }
            }
        });
        for _ in 0..5 {
            let step = next_change(&mut steps).await;
            heard.push(step.revision);
            token = step.consistency_token;
        }
        server.kill();
        writes.await.unwrap();
        server = Binary::spawn(home.path(), database.as_ref()).await;
    }
    let operator = server.as_operator();
    let last = pb::DeclarePermissionRequest { name: "the.last".to_owned(), ..Default::default() };
    operator.roles().declare_permission(last).await.unwrap();
    let now = next(&mut follow(&operator, "").await.unwrap()).await.unwrap().revision;
    let mut steps = follow(&operator, &token).await.unwrap();
    while heard.last() != Some(&now) {
        heard.push(next_change(&mut steps).await.revision);
    }
    assert_eq!(heard, ((first.revision + 1)..=now).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_resumes_after_a_kill_missed_nothing_on_sqlite() {
    resumes_after_a_kill(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_resumes_after_a_kill_missed_nothing_on_postgres() {
    resumes_after_a_kill(Some(Throwaway::migrated().await)).await;
}

both_backends!(who_follows_beyond_the_limit_is_told_the_limit_and_others_may_follow, async |app: &TestApp| {
    let (portal, service) = realm(app).await;
    let mut all = vec![];
    let refused = loop {
        match follow(&service, "").await {
            Ok(steps) => all.push(steps),
            Err(refused) => break refused,
        }
    };
    assert_eq!(all.len(), 100);
    assert!(refused.message().contains("at most 100 of one account"), "{}", refused.message());
    assert_eq!(refusal::<()>(Err(refused)), (Code::ResourceExhausted, ErrorReason::TooManyFollowers));
    let other = portal.service(app, "other", "follows").await;
    next(&mut follow(&other, "").await.unwrap()).await.unwrap();
    drop(all.pop());
    // The server notices that a stream is gone at its next look.
    let began = Clock::elapsed();
    while follow(&service, "").await.is_err() {
        assert!(Clock::elapsed() - began < PATIENCE, "a seat that was left stays taken");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
});

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_shuts_down_says_so_to_who_follows() {
    let app = TestApp::start(crate::support::Backend::Sqlite).await;
    let mut steps = follow(&app.as_operator(), "").await.unwrap();
    next(&mut steps).await.unwrap();
    let ended = async {
        loop {
            if let Err(status) = next(&mut steps).await {
                break Err::<(), _>(status);
            }
        }
    };
    let (ended, ()) = tokio::join!(ended, app.finish());
    assert_eq!(refusal(ended), (Code::Unavailable, ErrorReason::ShuttingDown));
}
