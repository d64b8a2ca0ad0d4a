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

both_backends!(a_realm_is_read_by_who_configures_it_and_listed_by_the_platform, async |app: &TestApp| {
    let portal = app.realm("acme", Policy { registration_days: 7, ..Default::default() }).await;
    let all = pb::CreateRoleRequest {
        grants: grants(pb::Reach::All, &["countersign.*"]),
        assignable: Some(everywhere(&[])),
        ..role("all")
    };
    portal.define([all]).await;
    let service = portal.service(app, "all", "all").await;
    let get = async |caller: &crate::support::Caller, realm: &str| {
        let request = pb::GetRealmRequest { realm: realm.to_owned() };
        Ok(caller.realms().get_realm(request).await?.into_inner().realm.unwrap_or_default())
    };
    let own: Result<pb::Realm, tonic::Status> = get(&service, "").await;
    let own = own.unwrap();
    assert_eq!((own.name.as_str(), own.policy.as_ref().unwrap().registration_days), ("acme", 7));
    assert_eq!(get(&service, "acme").await.unwrap(), own);
    for other in ["default", "platform", "no-such-realm"] {
        assert_eq!(refusal(get(&service, other).await), (Code::NotFound, ErrorReason::NotFound));
    }
    assert_eq!(get(&app.as_operator(), &own.id).await.unwrap(), own);

    let list = async |caller: &crate::support::Caller, page_token: &str| {
        let request = pb::ListRealmsRequest { page_size: 1, page_token: page_token.to_owned() };
        Ok(caller.realms().list_realms(request).await?.into_inner())
    };
    let forbidden: Result<pb::ListRealmsResponse, tonic::Status> = list(&service, "").await;
    assert_eq!(refusal(forbidden), (Code::PermissionDenied, ErrorReason::PermissionMissing));
    let operator = app.as_operator();
    let first = list(&operator, "").await.unwrap();
    let second = list(&operator, &first.next_page_token).await.unwrap();
    let names: Vec<_> = first.realms.iter().chain(&second.realms).map(|realm| realm.name.as_str()).collect();
    assert_eq!((names, second.next_page_token.as_str()), (vec!["default", "acme"], ""));
    assert!(second.realms[0].policy.is_none());
});
