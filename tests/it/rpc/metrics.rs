//! What operators read: the port for Prometheus, and what is counted there.

use std::time::Duration;

use countersign::grpc::pb;

use crate::support::{Binary, Reachable as _, ask};

/// The number on the line that begins with this series; 0 if there is none yet.
fn count(metrics: &str, series: &str) -> u64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(series));
    line.map_or(0, |value| value.trim().parse().unwrap())
}

fn decisions(metrics: &str) -> [u64; 3] {
    ["allowed", "denied", "undecided"]
        .map(|outcome| count(metrics, &format!("countersign_decision_duration_seconds_count{{outcome=\"{outcome}\"}}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_are_at_their_path_alone_and_count_what_was_decided() {
    let home = tempfile::tempdir().unwrap();
    let binary = Binary::spawn(home.path(), None).await;
    for path in ["/", "/readyz", "/health", "/metrics/", "/metrics/x"] {
        assert_eq!(binary.scrape(path).await.0, 404, "{path}");
    }

    let operator = binary.as_operator();
    let declared = pb::DeclarePermissionRequest { name: "orders.ship".to_owned(), ..Default::default() };
    operator.roles().declare_permission(declared).await.unwrap();
    let nobody = uuid::Uuid::new_v4().to_string();
    let mut checks = operator.authorization();
    checks.check_permission(ask(&nobody, "orders.ship")).await.unwrap();
    checks.check_permission(ask(&nobody, "orders.shop")).await.unwrap_err();
    let item = |permission: &str| pb::BatchCheckItem {
        subject: Some(pb::batch_check_item::Subject::Principal(nobody.clone())),
        permission: permission.to_owned(),
        ..Default::default()
    };
    let items = vec![item("orders.ship"), item("orders.shop"), item("orders.ship")];
    checks.batch_check_permissions(pb::BatchCheckPermissionsRequest { items, ..Default::default() }).await.unwrap();
    let explained = pb::ExplainDecisionRequest {
        subject: Some(pb::explain_decision_request::Subject::Principal(nobody.clone())),
        permission: "orders.ship".to_owned(),
        ..Default::default()
    };
    checks.explain_decision(explained).await.unwrap();
    let (status, metrics) = binary.scrape("/metrics").await;
    assert_eq!(status, 200);
    assert_eq!(decisions(&metrics), [0, 4, 0], "one alone, two in a batch, one explained");

    let refused =
        |reason: &str| count(&metrics, &format!("countersign_unaudited_refusals_total{{reason=\"{reason}\"}}"));
    assert_eq!((refused("invalid"), refused("unauthenticated")), (1, 0), "the typo alone");

    let watched = "rpc_server_call_duration_seconds_count{rpc_method=\"countersign.v1.AuthorizationService/WatchChanges\",rpc_response_status_code=\"CANCELLED\"}";
    let mut changes = checks.watch_changes(pb::WatchChangesRequest::default()).await.unwrap().into_inner();
    changes.message().await.unwrap().unwrap();
    assert_eq!(count(&binary.scrape("/metrics").await.1, watched), 0);
    drop(changes);
    let counted = tokio::time::timeout(Duration::from_secs(5), async {
        while count(&binary.scrape("/metrics").await.1, watched) == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(counted.await.is_ok(), "a stream that ended is not counted");
    drop((checks, operator));
    assert!(binary.terminate());
}
