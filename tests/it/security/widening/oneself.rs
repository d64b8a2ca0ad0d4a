//! "Not on oneself" holds for everybody behind a credential. Security class 29: by a key of one's own.
//!
//! The RPCs are those whose contract says NOT_ON_ONESELF; one that is added tomorrow is called here, or fails the test.

use countersign::grpc::pb::{self, ErrorReason};
use prost_reflect::DescriptorPool;
use tonic::{Code, Status};

use super::{HOME, create_service, key_of, open_door, realm_powers, somebody, two_companies};
use crate::support::{At, Caller, Person, Portal, Reachable as _, TestApp, both_backends, refusal};

const ONESELF: (Code, ErrorReason) = (Code::FailedPrecondition, ErrorReason::NotOnOneself);
/// Everything that the RPCs need.
const CHIEF: [&str; 5] = [
    "countersign.users.*",
    "countersign.organizations.*",
    "countersign.roles.assign",
    "countersign.service_accounts.manage",
    "countersign.access.check",
];

/// The RPCs whose comment in the contract names the reason.
fn excluding_oneself() -> Vec<String> {
    let pool = DescriptorPool::decode(pb::FILE_DESCRIPTOR_SET).unwrap();
    let mut found = vec![];
    for file in pool.files().filter(|file| file.package_name() == "countersign.v1") {
        let described = file.file_descriptor_proto();
        for place in &described.source_code_info.as_ref().unwrap().location {
            // 6 = a service of the file, 2 = a method of the service (descriptor.proto).
            if let [6, service, 2, method] = place.path[..]
                && place.leading_comments().contains("NOT_ON_ONESELF")
            {
                let service = &described.service[usize::try_from(service).unwrap()];
                found.push(service.method[usize::try_from(method).unwrap()].name().to_owned());
            }
        }
    }
    found
}

/// Calls the RPC on a user or a service account.
async fn call(by: &Caller, rpc: &str, subject: &str) -> Result<(), Status> {
    let (user, service_account, organization) = (subject.to_owned(), subject.to_owned(), "home".to_owned());
    let (mut organizations, mut accounts) = (by.organizations(), by.service_accounts());
    let etag = String::new();
    match rpc {
        "ApproveRegistration" => by.approve(subject).await.map(drop),
        "RejectRegistration" => by.reject(subject, "at random").await.map(drop),
        "UpdateUser" => {
            let valid_until = Some(prost_types::Timestamp { seconds: 4_102_444_800, nanos: 0 });
            by.update(pb::UpdateUserRequest { user, valid_until, ..Default::default() }).await.map(drop)
        }
        "MarkEmailVerified" => by.mark_verified(subject).await.map(drop),
        "SuspendUser" => by.suspend(subject, "at random").await.map(drop),
        "ReinstateUser" => by.reinstate(subject).await.map(drop),
        "BlockUser" => by.block(subject, "at random").await.map(drop),
        "UnblockUser" => by.unblock(subject).await.map(drop),
        "DeleteUser" => by.delete(subject).await.map(drop),
        "RestoreUser" => by.restore(subject).await.map(drop),
        "SetManager" => by.set_manager(subject, "").await.map(drop),
        "UpdateMember" => {
            let request = pb::UpdateMemberRequest { organization, user, ..Default::default() };
            organizations.update_member(request).await.map(drop)
        }
        "RemoveMember" => {
            let request = pb::RemoveMemberRequest { organization, user, ..Default::default() };
            organizations.remove_member(request).await.map(drop)
        }
        "MoveMember" => {
            let destination = "away".to_owned();
            let request = pb::MoveMemberRequest { organization, user, destination, ..Default::default() };
            organizations.move_member(request).await.map(drop)
        }
        "DisableServiceAccount" => {
            let request = pb::DisableServiceAccountRequest { service_account, etag, ..Default::default() };
            accounts.disable_service_account(request).await.map(drop)
        }
        "EnableServiceAccount" => {
            let request = pb::EnableServiceAccountRequest { service_account, etag, ..Default::default() };
            accounts.enable_service_account(request).await.map(drop)
        }
        "DeleteServiceAccount" => {
            let request = pb::DeleteServiceAccountRequest { service_account, etag, ..Default::default() };
            accounts.delete_service_account(request).await.map(drop)
        }
        new => panic!("{new} excludes oneself: call it here"),
    }
}

fn is_on_accounts(rpc: &str) -> bool {
    rpc.ends_with("ServiceAccount")
}

/// A user who may do everything, and the services that act for them.
struct Cast {
    alice: Person,
    /// By a key that Alice made.
    hands: Caller,
    /// By a key that `hands` made.
    tools: Caller,
    /// By a key that the operator made; Alice, and `hands`, could make one.
    robot: Caller,
}

async fn cast(app: &TestApp, portal: &Portal) -> Cast {
    portal.define([realm_powers("chief", &CHIEF)]).await;
    let alice = somebody(app, portal, "alice@home.example", &["chief"], At::Realm).await;
    let hands = app.as_key(&alice.caller.service("hands").await.unwrap());
    alice.caller.assign("hands", "chief", At::Realm).await.unwrap();
    create_service(&portal.operator, "tools", "").await.unwrap();
    portal.operator.assign("tools", "chief", At::Realm).await.unwrap();
    let tools = app.as_key(&key_of(&hands, "tools").await.unwrap());
    let robot = portal.service(app, "robot", "chief").await;
    Cast { alice, hands, tools, robot }
}

both_backends!(nobody_does_by_a_key_of_their_own_what_they_may_not_do_to_themself, async |app: &TestApp| {
    let portal = two_companies(app, open_door()).await;
    let Cast { alice, hands, tools, robot } = cast(app, &portal).await;
    let rpcs = excluding_oneself();
    assert!(rpcs.len() >= 17, "{rpcs:?}");
    for rpc in &rpcs {
        if is_on_accounts(rpc) {
            for (whose, by) in [("its own", &hands), ("one that it made", &tools), ("one that it can make", &robot)] {
                assert_eq!(refusal(call(by, rpc, "hands").await), ONESELF, "{rpc} by {whose}");
            }
        } else {
            let keys = [("their own", &alice.caller), ("one that they made", &hands)];
            for (whose, by) in
                keys.into_iter().chain([("one of theirs made", &tools), ("one that they can make", &robot)])
            {
                assert_eq!(refusal(call(by, rpc, &alice.id).await), ONESELF, "{rpc} by {whose}");
            }
        }
    }
    // Somebody else is reached by each of them.
    let bob = somebody(app, &portal, "bob@home.example", &[], HOME).await;
    for by in [&alice.caller, &hands, &tools, &robot] {
        by.suspend(&bob.id, "at random").await.unwrap();
        by.reinstate(&bob.id).await.unwrap();
    }
});

// The keys go on working while their maker is kept out: by none of them comes the maker back.
both_backends!(nobody_comes_back_by_a_key_of_their_own, async |app: &TestApp| {
    use countersign::domain::account::{Approval, ApprovalState, Hold, HoldCause};
    let portal = two_companies(app, open_door()).await;
    let Cast { alice, hands, tools, .. } = cast(app, &portal).await;
    let now = app.clock().now();
    let held = |cause| Hold { cause, at: now, by: None, note: None };
    let email = &alice.email;
    portal.alter(app, email, |user| user.approval = Approval::decided(ApprovalState::Pending, now, None, None)).await;
    for by in [&hands, &tools] {
        assert_eq!(refusal(call(by, "ApproveRegistration", &alice.id).await), ONESELF);
    }
    portal.alter(app, email, |user| user.approval = Approval::decided(ApprovalState::Approved, now, None, None)).await;
    portal.alter(app, email, |user| user.holds = vec![held(HoldCause::Blocked), held(HoldCause::Administrator)]).await;
    for by in [&hands, &tools] {
        for rpc in ["ReinstateUser", "UnblockUser"] {
            assert_eq!(refusal(call(by, rpc, &alice.id).await), ONESELF, "{rpc}");
        }
    }
    portal.alter(app, email, |user| (user.holds, user.valid_until) = (vec![], Some(now))).await;
    assert_eq!(refusal(call(&hands, "UpdateUser", &alice.id).await), ONESELF);
    portal.alter(app, email, |user| (user.valid_until, user.deleted_at) = (None, Some(now))).await;
    assert_eq!(refusal(call(&hands, "RestoreUser", &alice.id).await), ONESELF);
    // A revoked key was seen all the same.
    let keys = pb::ListApiKeysRequest { service_account: "hands".to_owned(), ..Default::default() };
    let keys = portal.operator.service_accounts().list_api_keys(keys).await.unwrap().into_inner().api_keys;
    let revoked = pb::RevokeApiKeyRequest { api_key: keys[0].id.clone(), ..Default::default() };
    portal.operator.service_accounts().revoke_api_key(revoked).await.unwrap();
    let hands = app.as_key(&key_of(&portal.operator, "hands").await.unwrap());
    assert_eq!(refusal(call(&hands, "RestoreUser", &alice.id).await), ONESELF);
});

// Whoever names the workload that a service account is acts by it, without ever seeing a key.
both_backends!(who_names_a_workload_stands_behind_it, async |app: &TestApp| {
    let portal = two_companies(app, open_door()).await;
    portal.define([realm_powers("chief", &CHIEF)]).await;
    let alice = somebody(app, &portal, "alice@home.example", &["chief"], At::Realm).await;
    portal.spiffe_prefixes(&["spiffe://home.example/"]).await;
    let named = pb::CreateServiceAccountRequest {
        name: "till".to_owned(),
        spiffe_id: "spiffe://home.example/till".to_owned(),
        ..Default::default()
    };
    alice.caller.service_accounts().create_service_account(named).await.unwrap();
    portal.operator.assign("till", "chief", At::Realm).await.unwrap();
    // Alice can make no key of it by now: what she can do she can do because she named it.
    portal.operator.revoke(&alice.id, "chief", At::Realm).await.unwrap();
    let till = app.as_key(&key_of(&portal.operator, "till").await.unwrap());
    assert_eq!(refusal(call(&till, "SuspendUser", &alice.id).await), ONESELF);
});
