//! The keys that somebody leaves who is blocked or deleted.

use countersign::grpc::pb::{self, ErrorReason};
use tonic::Code;

use super::{HOME, create_service, key_of, open_door, powers, realm_powers, somebody, two_companies};
use crate::support::{At, Reachable as _, TestApp, both_backends, refusal};

both_backends!(who_is_kept_out_leaves_no_key_that_nobody_is_told_of, async |app: &TestApp| {
    let portal = two_companies(app, open_door()).await;
    let makes = ["countersign.service_accounts.manage", "countersign.users.read"];
    let helps = ["countersign.users.read", "countersign.users.block", "countersign.users.delete"];
    portal.define([realm_powers("makes", &makes), realm_powers("helps", &helps)]).await;
    let alice = somebody(app, &portal, "alice@home.example", &["makes"], At::Realm).await;
    for (name, organization) in [("one", ""), ("two", "home"), ("other", "")] {
        create_service(&portal.operator, name, organization).await.unwrap();
    }
    let first = key_of(&alice.caller, "one").await.unwrap();
    let second = key_of(&alice.caller, "two").await.unwrap();
    key_of(&portal.operator, "other").await.unwrap();
    let accounts = |keys: &[pb::ApiKey]| {
        let name = |key: &pb::ApiKey| key.service_account.clone().unwrap().handle;
        keys.iter().map(name).collect::<Vec<_>>()
    };
    let made = pb::ListApiKeysRequest { created_by: alice.email.clone(), live: true, ..Default::default() };
    let listed = portal.operator.service_accounts().list_api_keys(made.clone()).await.unwrap().into_inner();
    assert_eq!(accounts(&listed.api_keys), ["one", "two"]);
    assert!(listed.api_keys.iter().all(|key| key.created_by.clone().unwrap().handle == alice.email));
    let nobody = pb::ListApiKeysRequest::default();
    let refused = portal.operator.service_accounts().list_api_keys(nobody).await;
    assert_eq!(refusal(refused), (Code::InvalidArgument, ErrorReason::InvalidFields));

    // Who manages no account is told of none, and can't have any revoked.
    let bob = somebody(app, &portal, "bob@home.example", &["helps"], At::Realm).await;
    let block = |revoke_keys: bool| pb::BlockUserRequest {
        user: alice.id.clone(),
        reason: "gone".to_owned(),
        revoke_keys,
        ..Default::default()
    };
    portal.operator.revoke(&alice.id, "makes", At::Realm).await.unwrap();
    assert_eq!(refusal(bob.caller.users().block_user(block(true)).await).0, Code::PermissionDenied);
    let blocked = bob.caller.users().block_user(block(false)).await.unwrap().into_inner();
    assert_eq!(blocked.api_keys, []);
    // Whoever manages the accounts of `home` is told of those.
    portal.define([powers("manages", &["countersign.service_accounts.manage"])]).await;
    portal.operator.assign(&bob.id, "manages", HOME).await.unwrap();
    let again = bob.caller.users().block_user(block(false)).await.unwrap().into_inner();
    assert_eq!(accounts(&again.api_keys), ["two"]);
    assert!(again.api_keys[0].revoke_time.is_none());

    let delete = pb::DeleteUserRequest { user: alice.id.clone(), revoke_keys: true, ..Default::default() };
    let deleted = portal.operator.users().delete_user(delete).await.unwrap().into_inner();
    assert_eq!(accounts(&deleted.api_keys), ["one", "two"]);
    assert!(deleted.api_keys.iter().all(|key| key.revoke_time.is_some()) && !deleted.more_api_keys);
    let ended = (Code::Unauthenticated, ErrorReason::CredentialInvalid);
    for key in [first, second] {
        assert_eq!(refusal(app.as_key(&key).sessions().get_me(pb::GetMeRequest {}).await), ended);
    }
    let left = portal.operator.service_accounts().list_api_keys(made).await;
    assert_eq!(refusal(left), (Code::NotFound, ErrorReason::NotFound), "an address of nobody's");
    let by_id = pb::ListApiKeysRequest { created_by: alice.id.clone(), live: true, ..Default::default() };
    let left = portal.operator.service_accounts().list_api_keys(by_id).await.unwrap().into_inner();
    assert_eq!(left.api_keys, []);
});
