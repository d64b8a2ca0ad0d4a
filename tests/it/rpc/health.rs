//! Health as others' tools ask for it: `grpc.health.v1.Health`, and what its streams do when the server ends.

use std::time::Duration;

use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;

use crate::support::{Backend, Reachable as _, TestApp, refusal};

fn named(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

/// Longer than the service takes between two looks at itself.
const A_WHILE: Duration = Duration::from_millis(1200);

#[tokio::test]
async fn a_watcher_is_told_each_change_once_and_of_an_unknown_name_that_it_is_unknown() {
    let app = TestApp::start(Backend::Sqlite).await;
    let mut health = HealthClient::new(app.channel());
    for (name, first) in [("", ServingStatus::Serving), ("no.such.Service", ServingStatus::ServiceUnknown)] {
        let mut told = health.watch(named(name)).await.unwrap().into_inner();
        assert_eq!(told.message().await.unwrap().unwrap().status(), first, "{name:?}");
        let again = tokio::time::timeout(A_WHILE, told.message()).await;
        assert!(again.is_err(), "{name:?} is told again: {again:?}");
    }
    let (code, _) = refusal(health.check(named("no.such.Service")).await);
    assert_eq!(code, tonic::Code::NotFound);
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_streams_of_health_and_reflection_end_with_the_server_and_do_not_hold_it_up() {
    let app = TestApp::start(Backend::Sqlite).await;
    let mut watching = HealthClient::new(app.channel()).watch(named("checks")).await.unwrap().into_inner();
    let asked = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let asked = futures_util::StreamExt::chain(futures_util::stream::iter([asked]), futures_util::stream::pending());
    let mut reflection = ServerReflectionClient::new(app.channel());
    let mut described = reflection.server_reflection_info(asked).await.unwrap().into_inner();
    assert!(described.message().await.unwrap().is_some());
    assert_eq!(watching.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    let ended = tokio::time::timeout(Duration::from_secs(5), app.finish()).await;
    assert!(ended.is_ok(), "the streams that are open hold up the end");
    assert_eq!(watching.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    let after = watching.message().await.unwrap();
    assert!(after.is_none(), "{after:?}");
    assert!(described.message().await.unwrap().is_none());
}
