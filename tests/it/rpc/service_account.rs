//! `ServiceAccountService`: accounts and keys.

use countersign::grpc::pb::{self, ErrorReason, Policy, Reach, get_me_response::Principal};
use tonic::Code;

use crate::support::{At, Reachable as _, TestApp, both_backends, everywhere, grants, refusal, role};

both_backends!(a_key_works_until_it_is_revoked_and_then_at_once_no_more, async |app: &TestApp| {
    let portal = app.realm("acme", Policy { registration_days: 7, ..Default::default() }).await;
    let account = pb::CreateServiceAccountRequest { name: "till".to_owned(), ..Default::default() };
    let mut accounts = portal.operator.service_accounts();
    accounts.create_service_account(account.clone()).await.unwrap();
    let again = accounts.create_service_account(account).await;
    assert_eq!(refusal(again), (Code::AlreadyExists, ErrorReason::AlreadyExists));

    let request = pb::CreateApiKeyRequest {
        service_account: "till".to_owned(),
        request_id: uuid::Uuid::from_u128(7).to_string(),
        ..Default::default()
    };
    let made = accounts.create_api_key(request.clone()).await.unwrap().into_inner();
    let repeated = accounts.create_api_key(request).await.unwrap().into_inner();
    assert!(repeated.secret.is_empty() && repeated.secret_already_delivered, "{repeated:?}");
    let key = made.api_key.unwrap();
    assert_eq!(repeated.api_key.as_ref().map(|key| &key.id), Some(&key.id));

    let till = app.as_key(&made.secret);
    let me = till.sessions().get_me(pb::GetMeRequest {}).await.unwrap().into_inner();
    assert!(matches!(me.principal, Some(Principal::ServiceAccount(account)) if account.name == "till"));
    for _ in 0..2 {
        accounts
            .revoke_api_key(pb::RevokeApiKeyRequest { api_key: key.id.clone(), ..Default::default() })
            .await
            .unwrap();
    }
    let ended = (Code::Unauthenticated, ErrorReason::CredentialInvalid);
    assert_eq!(refusal(till.sessions().get_me(pb::GetMeRequest {}).await), ended);
});

both_backends!(nobody_mints_a_key_of_an_account_that_holds_more, async |app: &TestApp| {
    let portal = app.realm("acme", Policy { registration_days: 7, ..Default::default() }).await;
    portal.declare(&["orders.ship"]).await;
    let manages = pb::CreateRoleRequest {
        grants: grants(Reach::All, &["countersign.service_accounts.manage"]),
        assignable: Some(everywhere(&[])),
        ..role("manages")
    };
    let ships = pb::CreateRoleRequest {
        grants: grants(Reach::All, &["orders.ship"]),
        assignable: Some(everywhere(&[])),
        ..role("ships")
    };
    portal.define([manages, ships]).await;
    let manager = portal.service(app, "manager", "manages").await;
    manager.service("till").await.unwrap();
    portal.operator.assign("till", "ships", At::Realm).await.unwrap();
    let key = pb::CreateApiKeyRequest { service_account: "till".to_owned(), ..Default::default() };
    let refused = manager.service_accounts().create_api_key(key).await;
    assert_eq!(refusal(refused), (Code::PermissionDenied, ErrorReason::NotContained));
});
