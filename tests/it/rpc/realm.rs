//! `RealmService`: what a portal decides for itself, and what nobody can.

use countersign::grpc::pb::{self, ErrorReason, Policy};
use tonic::Code;

use crate::support::{Portal, Reachable as _, TestApp, both_backends, everywhere, grants, refusal, role};

async fn update(portal: &Portal, request: pb::UpdateRealmRequest) -> Result<pb::Realm, tonic::Status> {
    Ok(portal.operator.realms().update_realm(request).await?.into_inner().realm.unwrap_or_default())
}

both_backends!(a_policy_is_written_setting_by_setting, async |app: &TestApp| {
    let portal = app.realm("acme", Policy { registration_days: 7, ..Default::default() }).await;
    let policy = Policy { retention_days: 9, ..Default::default() };
    let realm = update(&portal, pb::UpdateRealmRequest { policy: Some(policy), ..Default::default() }).await.unwrap();
    let policy = realm.policy.unwrap();
    assert_eq!((policy.registration_days, policy.retention_days), (7, 9));
    assert_eq!(policy.self_registration(), pb::SelfRegistration::ByOrganizationCode);
    let stale = pb::UpdateRealmRequest { title: "Acme".to_owned(), etag: "\"0\"".to_owned(), ..Default::default() };
    assert_eq!(refusal(update(&portal, stale).await), (Code::Aborted, ErrorReason::EtagMismatch));
});

both_backends!(a_policy_that_can_not_work_is_refused_by_name, async |app: &TestApp| {
    let portal = app.realm("acme", Policy { registration_days: 7, ..Default::default() }).await;
    let founding = Policy { founding: pb::Founding::ListedContact.into(), ..Default::default() };
    let refused = update(&portal, pb::UpdateRealmRequest { policy: Some(founding), ..Default::default() }).await;
    assert_eq!(refusal(refused), (Code::FailedPrecondition, ErrorReason::PolicyImpossible));
});

both_backends!(a_suspended_realm_keeps_everybody_out_but_the_platform, async |app: &TestApp| {
    let portal = app.realm("acme", Policy { registration_days: 7, ..Default::default() }).await;
    let reader = pb::CreateRoleRequest {
        grants: grants(pb::Reach::All, &["countersign.users.read"]),
        assignable: Some(everywhere(&[])),
        ..role("reader")
    };
    portal.define([reader]).await;
    let service = portal.service(app, "reads", "reader").await;
    service.list(pb::ListUsersRequest::default()).await.unwrap();
    let state = |state: pb::RealmState| pb::UpdateRealmRequest { state: state.into(), ..Default::default() };
    update(&portal, state(pb::RealmState::Suspended)).await.unwrap();
    let closed = (Code::PermissionDenied, ErrorReason::RealmSuspended);
    assert_eq!(refusal(service.list(pb::ListUsersRequest::default()).await), closed);
    portal.operator.list(pb::ListUsersRequest::default()).await.unwrap();
    update(&portal, state(pb::RealmState::Active)).await.unwrap();
    service.list(pb::ListUsersRequest::default()).await.unwrap();
});

both_backends!(realms_are_the_platforms_to_make, async |app: &TestApp| {
    let portal = app.realm("acme", Policy { registration_days: 7, ..Default::default() }).await;
    let all = pb::CreateRoleRequest {
        grants: grants(pb::Reach::All, &["countersign.*"]),
        assignable: Some(everywhere(&[])),
        ..role("all")
    };
    portal.define([all]).await;
    let service = portal.service(app, "all", "all").await;
    let request = || pb::CreateRealmRequest { name: "mine".to_owned(), ..Default::default() };
    let forbidden = service.realms().create_realm(request()).await;
    assert_eq!(refusal(forbidden), (Code::PermissionDenied, ErrorReason::PermissionMissing));
    let other = pb::UpdateRealmRequest { realm: "default".to_owned(), title: "Mine".to_owned(), ..Default::default() };
    assert_eq!(refusal(service.realms().update_realm(other).await).0, Code::NotFound);
    app.as_operator().realms().create_realm(request()).await.unwrap();
});
