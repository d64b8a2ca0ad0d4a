//! Restricted roles: who may assign them defines nothing beyond its own, and what only they confer stays with them.
//! Security class 32: a restriction travels with the permission.

use countersign::grpc::pb::{self, ErrorReason, Reach};
use prost_types::FieldMask;
use tonic::{Code, Status};

use super::{HOME, may, open_door, powers, realm_powers, somebody, two_companies};
use crate::support::{At, Caller, Person, Portal, TestApp, both_backends, by_default, grants, refusal, role, within};

const NOT_CONTAINED: (Code, ErrorReason) = (Code::PermissionDenied, ErrorReason::NotContained);
const RESTRICTED: (Code, ErrorReason) = (Code::PermissionDenied, ErrorReason::RoleRestricted);

async fn create(by: &Caller, role: pb::CreateRoleRequest) -> Result<(), Status> {
    by.roles().create_role(role).await.map(drop)
}

async fn update(by: &Caller, path: &str, role: pb::UpdateRoleRequest) -> Result<(), Status> {
    let update_mask = Some(FieldMask { paths: vec![path.to_owned()] });
    by.roles().update_role(pb::UpdateRoleRequest { update_mask, ..role }).await.map(drop)
}

fn change(name: &str) -> pb::UpdateRoleRequest {
    pb::UpdateRoleRequest { role: name.to_owned(), ..Default::default() }
}

fn sealed(name: &str, patterns: &[&str]) -> pb::CreateRoleRequest {
    pb::CreateRoleRequest { restricted: true, ..realm_powers(name, patterns) }
}

/// Somebody who defines roles and may assign restricted ones, and holds nothing else.
async fn keeper(app: &TestApp, portal: &Portal) -> Person {
    let keeps = ["countersign.roles.define", "countersign.roles.assign_restricted", "countersign.roles.assign"];
    portal.define([realm_powers("keeper", &keeps)]).await;
    somebody(app, portal, "alice@home.example", &["keeper"], At::Realm).await
}

both_backends!(who_assigns_restricted_roles_makes_none_beyond_what_they_hold, async |app: &TestApp| {
    let portal = two_companies(app, open_door()).await;
    let empty = realm_powers("empty", &[]);
    let powerful =
        pb::CreateRoleRequest { includes: vec!["empty".to_owned()], ..realm_powers("powerful", &["countersign.*"]) };
    portal.define([empty, powerful, sealed("process", &["contracts.sign"])]).await;
    let alice = keeper(app, &portal).await;
    let by = &alice.caller;
    // Restricting what others include.
    let restrict = pb::UpdateRoleRequest { restricted: true, ..change("empty") };
    assert_eq!(refusal(update(by, "restricted", restrict).await), NOT_CONTAINED);
    assert_eq!(refusal(by.assign(&alice.id, "powerful", At::Realm).await), NOT_CONTAINED);
    // Making a restricted role, or having one include.
    assert_eq!(refusal(create(by, sealed("crown", &["countersign.*"])).await), NOT_CONTAINED);
    let over = pb::CreateRoleRequest { includes: vec!["powerful".to_owned()], ..sealed("over", &[]) };
    assert_eq!(refusal(create(by, over).await), NOT_CONTAINED);
    let given = pb::CreateRoleRequest {
        assignable: Some(by_default(within(&[]))),
        ..sealed("given", &["countersign.users.delete"])
    };
    assert_eq!(refusal(create(by, given).await), NOT_CONTAINED);
    // Adding to one.
    let more = pb::UpdateRoleRequest {
        grants: grants(Reach::All, &["contracts.sign", "countersign.users.delete"]),
        ..change("process")
    };
    assert_eq!(refusal(update(by, "grants", more).await), NOT_CONTAINED);
    let more = pb::UpdateRoleRequest { includes: vec!["powerful".to_owned()], ..change("process") };
    assert_eq!(refusal(update(by, "includes", more).await), NOT_CONTAINED);
    assert!(!may(&portal, &alice, "countersign.users.delete", "", "").await);
    // What somebody restricted who contained it is theirs to assign and to take from everybody.
    by.assign(&alice.id, "process", At::Realm).await.unwrap();
    assert!(may(&portal, &alice, "contracts.sign", "", "").await);
    let gone = pb::DeleteRoleRequest { role: "process".to_owned(), ..Default::default() };
    by.roles().delete_role(gone).await.unwrap();
});

both_backends!(what_only_restricted_roles_confer_stays_with_them, async |app: &TestApp| {
    let portal = two_companies(app, open_door()).await;
    let base = pb::CreateRoleRequest { grants: grants(Reach::All, &["contracts.sign"]), ..role("base") };
    let process = pb::CreateRoleRequest { includes: vec!["base".to_owned()], ..sealed("process", &[]) };
    let defines = ["countersign.roles.define", "countersign.roles.assign", "countersign.roles.grant"];
    portal.define([base, process, realm_powers("defines", &defines), realm_powers("open", &[])]).await;
    let alice = somebody(app, &portal, "alice@home.example", &["defines", "process"], At::Realm).await;
    let bob = somebody(app, &portal, "bob@home.example", &[], HOME).await;
    let by = &alice.caller;
    assert!(may(&portal, &alice, "contracts.sign", "", "").await);
    for pattern in ["contracts.sign", "contracts.*", "*"] {
        assert_eq!(refusal(create(by, realm_powers("copy", &[pattern])).await), RESTRICTED, "{pattern}");
        let adding = pb::UpdateRoleRequest { grants: grants(Reach::All, &[pattern]), ..change("open") };
        assert_eq!(refusal(update(by, "grants", adding).await), RESTRICTED, "{pattern}");
    }
    // By what is there to be included.
    assert_eq!(
        refusal(
            create(by, pb::CreateRoleRequest { name: "base2".to_owned(), ..powers("", &["contracts.sign"]) }).await
        ),
        RESTRICTED
    );
    let including = pb::CreateRoleRequest { includes: vec!["base".to_owned()], ..realm_powers("copy", &[]) };
    assert_eq!(refusal(create(by, including).await), RESTRICTED);
    let lending = pb::UpdateRoleRequest { assignable: Some(within(&[])), ..change("base") };
    assert_eq!(refusal(update(by, "assignable", lending).await), RESTRICTED);
    // As a restricted role it may be written, and only who may assign those gives it.
    create(by, sealed("copy", &["contracts.sign"])).await.unwrap();
    let wraps = pb::CreateRoleRequest { includes: vec!["process".to_owned()], ..realm_powers("wraps", &[]) };
    create(by, wraps).await.unwrap();
    for name in ["copy", "wraps"] {
        assert_eq!(refusal(by.assign(&bob.id, name, At::Realm).await), RESTRICTED);
    }
    assert!(!may(&portal, &bob, "contracts.sign", "", "").await);
    // Who may assign restricted roles opens it, by saying so.
    create(&portal.operator, realm_powers("opened", &["contracts.sign"])).await.unwrap();
    by.assign(&bob.id, "opened", At::Realm).await.unwrap();
});
