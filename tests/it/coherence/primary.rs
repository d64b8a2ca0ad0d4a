//! The database stops to be the primary, or to take changes: nobody is answered by anything else, callers are told to come
//! again, and everything goes on by itself once there is a primary.

use std::time::Duration;

use countersign::app::clock::Clock;
use countersign::grpc::pb;
use countersign::grpc::pb::consistency::Requirement;

use super::Yard;
use super::lost_database::{come_again, in_time, serves, until};
use crate::support::{At, Backend, Cluster, Proxy, TestApp};

async fn on(url: &str) -> (TestApp, Yard) {
    let app = TestApp::start_with(Backend::Sqlite, &[("database_url", url)]).await;
    let yard = Yard::open(&app).await;
    yard.lets_ship().await;
    assert!(yard.may_ship().await);
    (app, yard)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_takes_no_changes_is_told_and_used_again_once_it_does() {
    let database = Cluster::start().await;
    let (app, yard) = on(&database.url()).await;
    database.execute("ALTER SYSTEM SET default_transaction_read_only = on").await;
    database.execute("SELECT pg_reload_conf()").await;
    until("changes are refused", async || {
        in_time(yard.portal.operator.assign("packer", "reads", At::Realm)).await.is_err()
    })
    .await;
    for _ in 0..3 {
        come_again(in_time(yard.portal.operator.revoke("packer", "ships", At::Realm)).await);
    }
    until("not ready", async || !serves(&app, "ready").await).await;
    database.execute("ALTER SYSTEM RESET default_transaction_read_only").await;
    database.execute("SELECT pg_reload_conf()").await;
    until("ready again", async || serves(&app, "ready").await && serves(&app, "checks").await).await;
    let began = Clock::elapsed();
    yard.stops_shipping().await;
    assert!(!yard.may_ship().await);
    assert!(Clock::elapsed() - began < Duration::from_secs(2), "connections from before were kept");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_that_lags_is_never_asked_and_is_used_once_it_was_promoted() {
    let database = Cluster::start().await;
    let way = Proxy::to_server(&database.url()).await;
    let (app, yard) = on(way.url()).await;
    let mut standby = database.standby().await;
    standby.execute("SELECT pg_wal_replay_pause()").await;
    yard.stops_shipping().await;
    assert!(!yard.may_ship().await);

    way.lead_to(&standby.url());
    let full = pb::Consistency { requirement: Some(Requirement::FullyConsistent(true)) };
    let began = Clock::elapsed();
    while Clock::elapsed() - began < Duration::from_secs(2) {
        for consistency in [None, Some(full.clone())] {
            let question = pb::CheckPermissionRequest { consistency, ..yard.question() };
            if let Ok(answer) = in_time(yard.till.authorization().check_permission(question)).await {
                assert_eq!(answer.into_inner().decision(), pb::Decision::Denied, "older than what was answered before");
            }
        }
    }
    until("not ready", async || !serves(&app, "ready").await && !serves(&app, "checks").await).await;
    come_again(in_time(yard.portal.operator.assign("packer", "ships", At::Realm)).await);

    standby.execute("SELECT pg_wal_replay_resume()").await;
    standby.has_caught_up_with(&database).await;
    standby.execute("SELECT pg_promote()").await;
    until("ready again", async || serves(&app, "ready").await && serves(&app, "checks").await).await;
    assert!(!yard.may_ship().await);
    yard.lets_ship().await;
    assert!(yard.may_ship().await);
    app.finish().await;
    standby.crash();
}
