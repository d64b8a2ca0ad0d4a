//! The disk is full under the embedded record: what is known goes on being answered, changes wait, and once there is
//! room again everything goes on by itself.

use std::time::Duration;

use countersign::grpc::pb;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::support::{ALLOWED, At, Binary, Caller, Reachable as _, ask, everywhere, grants, role};

async fn declare(operator: &Caller, name: &str) -> Result<(), Status> {
    let request = pb::DeclarePermissionRequest { name: name.to_owned(), ..Default::default() };
    operator.roles().declare_permission(request).await.map(drop)
}

/// A process whose files may not grow has a full disk, as far as it can tell.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_stops_changes_and_nothing_else() {
    let home = tempfile::tempdir().unwrap();
    let log = std::fs::File::create(home.path().join("log")).unwrap();
    let to_log = |command: &mut std::process::Command| {
        command.stderr(log);
    };
    let binary = Binary::spawn_with(home.path(), None, to_log).await;
    let operator = binary.as_operator();
    declare(&operator, "orders.ship").await.unwrap();
    let ships = pb::CreateRoleRequest {
        grants: grants(pb::Reach::All, &["orders.ship"]),
        assignable: Some(everywhere(&[])),
        ..role("ships")
    };
    operator.roles().create_role(ships).await.unwrap();
    let packer = super::service(&operator, "packer").await;
    operator.assign("packer", "ships", At::Realm).await.unwrap();
    assert_eq!(operator.check(ask(&packer, "orders.ship")).await.unwrap(), ALLOWED);

    binary.limit_files(Some(0));
    for number in 0..20 {
        let status = declare(&operator, &format!("orders.p{number}")).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        let delay = status.get_error_details().retry_info().and_then(|info| info.retry_delay);
        assert!(delay.is_some_and(|delay| delay > Duration::ZERO), "{status:?}");
        assert_eq!(operator.check(ask(&packer, "orders.ship")).await.unwrap(), ALLOWED);
    }
    // What was refused is not audited on a full disk either, and is refused all the same.
    let refused = operator.assign("packer", "no-such-role", At::Realm).await.unwrap_err();
    assert!(matches!(refused.code(), Code::NotFound | Code::Unavailable), "{refused:?}");

    binary.limit_files(None);
    for number in 0..20 {
        declare(&operator, &format!("orders.p{number}")).await.unwrap();
    }
    assert_eq!(operator.revoke("packer", "ships", At::Realm).await.unwrap(), 1);
    assert_ne!(operator.check(ask(&packer, "orders.ship")).await.unwrap(), ALLOWED);
    binary.kill();

    // Whatever was acknowledged was written.
    let binary = Binary::spawn(home.path(), None).await;
    let operator = binary.as_operator();
    for number in 0..20 {
        operator.check(ask(&packer, &format!("orders.p{number}"))).await.unwrap();
    }
    assert_ne!(operator.check(ask(&packer, "orders.ship")).await.unwrap(), ALLOWED);
    assert!(binary.terminate());
}
