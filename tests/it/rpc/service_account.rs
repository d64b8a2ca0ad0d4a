//! `ServiceAccountService`: accounts and keys.

use countersign::crypto::api_key::ApiKey;
use countersign::grpc::pb::{self, ErrorReason, Policy, Reach, get_me_response::Principal};
use tonic::{Code, Status};

use crate::support::{
    ALLOWED, At, Caller, Reachable as _, TestApp, ask, both_backends, denied, everywhere, grants, refusal, role,
};

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

async fn disable(by: &Caller, name: &str) -> Result<pb::ServiceAccount, Status> {
    let request = pb::DisableServiceAccountRequest { service_account: name.to_owned(), ..Default::default() };
    Ok(by.service_accounts().disable_service_account(request).await?.into_inner().service_account.unwrap())
}

async fn enable(by: &Caller, name: &str) -> Result<pb::ServiceAccount, Status> {
    let request = pb::EnableServiceAccountRequest { service_account: name.to_owned(), ..Default::default() };
    Ok(by.service_accounts().enable_service_account(request).await?.into_inner().service_account.unwrap())
}

async fn delete(by: &Caller, name: &str) -> Result<(), Status> {
    let request = pb::DeleteServiceAccountRequest { service_account: name.to_owned(), ..Default::default() };
    by.service_accounts().delete_service_account(request).await.map(drop)
}

async fn me(by: &Caller) -> Result<pb::GetMeResponse, Status> {
    by.sessions().get_me(pb::GetMeRequest {}).await.map(tonic::Response::into_inner)
}

const ENDED: (Code, ErrorReason) = (Code::Unauthenticated, ErrorReason::CredentialInvalid);

/// A role of the realm with these at ALL.
fn powers(name: &str, patterns: &[&str]) -> pb::CreateRoleRequest {
    pb::CreateRoleRequest { grants: grants(Reach::All, patterns), assignable: Some(everywhere(&[])), ..role(name) }
}

both_backends!(a_disabled_account_is_out_at_once_until_it_is_enabled, async |app: &TestApp| {
    let portal = app.realm("acme", Policy { registration_days: 7, ..Default::default() }).await;
    portal.declare(&["orders.ship"]).await;
    portal.define([powers("ships", &["orders.ship"])]).await;
    let till = portal.service(app, "till", "ships").await;
    let id = match me(&till).await.unwrap().principal {
        Some(Principal::ServiceAccount(account)) => account.id,
        other => panic!("{other:?}"),
    };
    let question = || ask(&id, "orders.ship");
    let first = disable(&portal.operator, "till").await.unwrap();
    assert!(first.disable_time.is_some());
    assert_eq!(disable(&portal.operator, "till").await.unwrap(), first);
    assert_eq!(refusal(me(&till).await), ENDED);
    assert_eq!(portal.operator.check(question()).await.unwrap(), denied(ErrorReason::Disabled));
    let stale = pb::EnableServiceAccountRequest {
        service_account: "till".to_owned(),
        etag: "\"1\"".to_owned(),
        ..Default::default()
    };
    let refused = portal.operator.service_accounts().enable_service_account(stale).await;
    assert_eq!(refusal(refused), (Code::Aborted, ErrorReason::EtagMismatch));
    assert!(enable(&portal.operator, "till").await.unwrap().disable_time.is_none());
    me(&till).await.unwrap();
    assert_eq!(portal.operator.check(question()).await.unwrap(), ALLOWED);
});

both_backends!(a_deleted_account_leaves_its_name_and_nothing_that_it_held, async |app: &TestApp| {
    let portal = app.realm("acme", Policy { registration_days: 7, ..Default::default() }).await;
    portal.declare(&["orders.ship"]).await;
    portal.define([powers("ships", &["orders.ship"])]).await;
    portal.spiffe_prefixes(&["spiffe://acme.example/"]).await;
    let spiffe = pb::CreateServiceAccountRequest {
        name: "till".to_owned(),
        spiffe_id: "spiffe://acme.example/till".to_owned(),
        ..Default::default()
    };
    let mut accounts = portal.operator.service_accounts();
    let made = accounts.create_service_account(spiffe.clone()).await.unwrap().into_inner().service_account.unwrap();
    let key = pb::CreateApiKeyRequest { service_account: "till".to_owned(), ..Default::default() };
    let till = app.as_key(&accounts.create_api_key(key).await.unwrap().into_inner().secret);
    portal.operator.assign("till", "ships", At::Realm).await.unwrap();
    me(&till).await.unwrap();
    let request = pb::DeleteServiceAccountRequest {
        service_account: "till".to_owned(),
        request_id: uuid::Uuid::from_u128(8).to_string(),
        ..Default::default()
    };
    for _ in 0..2 {
        accounts.delete_service_account(request.clone()).await.unwrap();
    }
    assert_eq!(refusal(me(&till).await), ENDED);
    assert_eq!(refusal(delete(&portal.operator, "till").await), (Code::NotFound, ErrorReason::NotFound));
    let question = ask(&made.id, "orders.ship");
    assert_eq!(portal.operator.check(question).await.unwrap(), denied(ErrorReason::SubjectUnknown));
    let again = accounts.create_service_account(spiffe).await.unwrap().into_inner().service_account.unwrap();
    assert_ne!(again.id, made.id);
    let listed = accounts.list_service_accounts(pb::ListServiceAccountsRequest::default()).await.unwrap().into_inner();
    assert_eq!(listed.service_accounts.iter().map(|account| &account.id).collect::<Vec<_>>(), [&again.id]);
    assert_eq!(refusal(me(&till).await), ENDED);
});

// Class 11, and class 9 for the way back in.
both_backends!(who_manages_accounts_ends_no_superior_and_wakes_none, async |app: &TestApp| {
    let portal = app.realm("acme", Policy { registration_days: 7, ..Default::default() }).await;
    portal.declare(&["orders.ship"]).await;
    let manages = powers("manages", &["countersign.service_accounts.manage"]);
    portal.define([manages, powers("boss", &["countersign.users.delete"]), powers("ships", &["orders.ship"])]).await;
    let manager = portal.service(app, "manager", "manages").await;
    portal.service(app, "boss", "boss").await;
    portal.service(app, "till", "ships").await;
    let reaches_up = (Code::PermissionDenied, ErrorReason::ReachesUp);
    assert_eq!(refusal(disable(&manager, "boss").await), reaches_up);
    assert_eq!(refusal(delete(&manager, "boss").await), reaches_up);
    let oneself = (Code::FailedPrecondition, ErrorReason::NotOnOneself);
    assert_eq!(refusal(disable(&manager, "manager").await), oneself);
    assert_eq!(refusal(delete(&manager, "manager").await), oneself);
    disable(&manager, "till").await.unwrap();
    assert_eq!(refusal(enable(&manager, "till").await), (Code::PermissionDenied, ErrorReason::NotContained));
});

// Class 20: of two platform accounts that end each other one is left, and the first key is not made again.
both_backends!(the_last_platform_account_stays, async |app: &TestApp| {
    let operator = app.as_operator().in_realm("platform");
    let second = app.as_key(&operator.service("second").await.unwrap()).in_realm("platform");
    let oneself = (Code::FailedPrecondition, ErrorReason::NotOnOneself);
    assert_eq!(refusal(disable(&operator, "operator").await), oneself);
    let (one, other) = tokio::join!(disable(&operator, "second"), disable(&second, "operator"));
    assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
    let (left, gone, name) =
        if one.is_ok() { (&operator, &second, "second") } else { (&second, &operator, "operator") };
    assert_eq!(refusal(me(gone).await), ENDED);
    assert!(!app.inner().app.begin(&ApiKey::generate()).await.unwrap());
    delete(left, name).await.unwrap();
    assert!(!app.inner().app.begin(&ApiKey::generate()).await.unwrap());
    me(left).await.unwrap();
});

both_backends!(keys_are_listed_without_their_secrets_and_with_their_last_use, async |app: &TestApp| {
    let portal = app.realm("acme", Policy { registration_days: 7, ..Default::default() }).await;
    let till = app.as_key(&portal.operator.service("till").await.unwrap());
    let mut accounts = portal.operator.service_accounts();
    let unused = pb::CreateApiKeyRequest { service_account: "till".to_owned(), ..Default::default() };
    let unused = accounts.create_api_key(unused).await.unwrap().into_inner();
    me(&till).await.unwrap();
    app.inner().app.write_key_uses().await.unwrap();
    let list = async |live: bool, page_token: &str| {
        let request = pb::ListApiKeysRequest {
            service_account: "till".to_owned(),
            live,
            page_size: 1,
            page_token: page_token.to_owned(),
            ..Default::default()
        };
        portal.operator.service_accounts().list_api_keys(request).await.unwrap().into_inner()
    };
    let first = list(false, "").await;
    let second = list(false, &first.next_page_token).await;
    let used = |page: &pb::ListApiKeysResponse| page.api_keys.iter().map(|key| key.last_use_time.is_some()).collect();
    let (first_used, second_used): (Vec<_>, Vec<_>) = (used(&first), used(&second));
    assert_eq!((first_used, second_used), (vec![true], vec![false]));
    assert!(second.next_page_token.is_empty());
    assert!(!format!("{first:?}{second:?}").contains(&unused.secret));
    let key = first.api_keys[0].id.clone();
    accounts.revoke_api_key(pb::RevokeApiKeyRequest { api_key: key.clone(), ..Default::default() }).await.unwrap();
    let live = list(true, "").await;
    assert!(live.next_page_token.is_empty() && live.api_keys[0].id != key);
});
