//! Nobody opens to themself, by what follows from a change, what they could not give. Security class 33: also not by a
//! policy that is changed for a moment.

use countersign::grpc::pb::{self, ErrorReason};
use prost_types::FieldMask;
use tonic::{Code, Status};

use super::{key_of, may, powers, realm_powers};
use crate::support::{
    At, Caller, Person, Portal, Reachable as _, TestApp, both_backends, by_default, everywhere, identifiers, refusal,
    within,
};

const GAIN: (Code, ErrorReason) = (Code::PermissionDenied, ErrorReason::ActorWouldGain);

/// A realm of companies and partners whose form asks for a code, where that alone admits if nobody approves.
async fn two_kinds(app: &TestApp, approval: pb::ApprovalAuthority) -> Portal {
    let kind = |name: &str| pb::Kind { name: name.to_owned(), exclusive: false };
    let code = pb::CodeScheme { name: "code".to_owned(), format: pb::CodeFormat::Text.into(), unique: true };
    let policy = pb::Policy {
        self_registration: pb::SelfRegistration::Open.into(),
        email_verification: pb::EmailVerificationRule::Optional.into(),
        organizations_per_user: pb::OrganizationsPerUser::Many.into(),
        approval: approval.into(),
        kinds: vec![kind("company"), kind("partner")],
        code_schemes: vec![code],
        ..Default::default()
    };
    let portal = app.realm("portal", policy).await;
    portal.declare(&["contracts.sign"]).await;
    for (slug, kind) in [("home", "company"), ("ally", "partner")] {
        organize(&portal.operator, slug, kind, Some(slug)).await.unwrap();
    }
    let partners =
        pb::CreateRoleRequest { assignable: Some(everywhere(&["partner"])), ..powers("partners", &["contracts.sign"]) };
    portal.define([partners]).await;
    portal
}

async fn organize(by: &Caller, slug: &str, kind: &str, code: Option<&str>) -> Result<(), Status> {
    let request = pb::CreateOrganizationRequest {
        slug: slug.to_owned(),
        title: slug.to_owned(),
        kind: kind.to_owned(),
        identifiers: code.map(|code| identifiers(&[("code", code)])).unwrap_or_default(),
        ..Default::default()
    };
    by.organizations().create_organization(request).await.map(drop)
}

/// Somebody of `home`.
async fn member(app: &TestApp, portal: &Portal, name: &str, roles: &[&str]) -> Person {
    let email = format!("{name}@home.example");
    portal.newcomer(app, &email, &[]).await;
    // Where somebody has to approve.
    drop(portal.operator.approve(&email).await);
    portal.operator.add_member("home", &email).await.unwrap();
    for role in roles {
        portal.operator.assign(&email, role, At::Realm).await.unwrap();
    }
    portal.enter(app, &email).await
}

/// As [`member`], with a role that confers among partners alone, of whom they are none any more.
async fn former_partner(app: &TestApp, portal: &Portal, name: &str, roles: &[&str]) -> Person {
    let person = member(app, portal, name, roles).await;
    portal.operator.add_member("ally", &person.id).await.unwrap();
    portal.operator.assign(&person.id, "partners", At::Realm).await.unwrap();
    let left =
        pb::RemoveMemberRequest { organization: "ally".to_owned(), user: person.id.clone(), ..Default::default() };
    portal.operator.organizations().remove_member(left).await.unwrap();
    assert!(!may(portal, &person, "contracts.sign", "", "").await);
    person
}

/// Has nobody approve from now on.
async fn open(by: &Caller) -> Result<(), Status> {
    let request = pb::UpdateRealmRequest {
        policy: Some(pb::Policy { approval: pb::ApprovalAuthority::None.into(), ..Default::default() }),
        update_mask: Some(FieldMask { paths: vec!["policy.approval".to_owned()] }),
        ..Default::default()
    };
    by.realms().update_realm(request).await.map(drop)
}

both_backends!(nobody_makes_an_organization_whose_kind_brings_back_a_role_of_theirs, async |app: &TestApp| {
    let portal = two_kinds(app, pb::ApprovalAuthority::None).await;
    let maker = ["countersign.organizations.create", "countersign.service_accounts.manage", "countersign.roles.assign"];
    portal.define([realm_powers("maker", &maker)]).await;
    let alice = former_partner(app, &portal, "alice", &["maker"]).await;
    let hands = app.as_key(&alice.caller.service("hands").await.unwrap());
    alice.caller.assign("hands", "maker", At::Realm).await.unwrap();
    for by in [&alice.caller, &hands] {
        assert_eq!(refusal(organize(by, "mine", "partner", Some("mine")).await), GAIN);
    }
    // Nobody joins without a code, nor gains by being of a company.
    organize(&alice.caller, "uncoded", "partner", None).await.unwrap();
    organize(&alice.caller, "plain", "company", Some("plain")).await.unwrap();
    alice.caller.join(&[("code", "plain")]).await.unwrap();
    assert!(!may(&portal, &alice, "contracts.sign", "", "").await);
    let bob = member(app, &portal, "bob", &["maker"]).await;
    organize(&bob.caller, "bobs", "partner", Some("bobs")).await.unwrap();
    // What comes with every membership of the kind is gained, too.
    let given = pb::CreateRoleRequest {
        assignable: Some(by_default(within(&["partner"]))),
        ..powers("greeter", &["contracts.sign"])
    };
    portal.define([given]).await;
    assert_eq!(refusal(organize(&bob.caller, "more", "partner", Some("more")).await), GAIN);
});

both_backends!(nobody_opens_the_realm_for_a_moment_to_join_what_gives_them_more, async |app: &TestApp| {
    let portal = two_kinds(app, pb::ApprovalAuthority::Organization).await;
    portal.define([realm_powers("setup", &["countersign.realm.configure"])]).await;
    let alice = former_partner(app, &portal, "alice", &["setup"]).await;
    assert_eq!(refusal(open(&alice.caller).await), GAIN);
    let bob = member(app, &portal, "bob", &["setup"]).await;
    // What waits for a membership is gained with it.
    bob.caller.join(&[("code", "ally")]).await.unwrap();
    portal.define([powers("signer", &["contracts.sign"])]).await;
    portal.operator.assign(&bob.id, "signer", At::Organization("ally")).await.unwrap();
    assert_eq!(refusal(open(&bob.caller).await), GAIN);
    let cora = member(app, &portal, "cora", &["setup"]).await;
    open(&cora.caller).await.unwrap();
});

both_backends!(a_service_of_ones_own_decides_no_membership_of_ones_own, async |app: &TestApp| {
    let portal = two_kinds(app, pb::ApprovalAuthority::Organization).await;
    let approver = ["countersign.users.approve", "countersign.service_accounts.manage", "countersign.roles.assign"];
    portal.define([realm_powers("approver", &approver)]).await;
    let alice = former_partner(app, &portal, "alice", &["approver"]).await;
    alice.caller.service("hands").await.unwrap();
    alice.caller.assign("hands", "approver", At::Realm).await.unwrap();
    let hands = app.as_key(&key_of(&alice.caller, "hands").await.unwrap());
    assert_eq!(alice.caller.join(&[("code", "ally")]).await.unwrap().1, pb::MembershipState::Pending);
    let oneself = (Code::FailedPrecondition, ErrorReason::NotOnOneself);
    for by in [&alice.caller, &hands] {
        assert_eq!(refusal(by.approve(&alice.id).await), oneself);
    }
    assert!(!may(&portal, &alice, "contracts.sign", "", "").await);
});

both_backends!(nobody_lists_themself_as_the_contact_who_founds, async |app: &TestApp| {
    let portal = two_kinds(app, pb::ApprovalAuthority::Organization).await;
    portal
        .define([
            powers("boss", &["countersign.users.delete"]),
            realm_powers("maker", &["countersign.organizations.create"]),
        ])
        .await;
    let founding = pb::Policy {
        founding: pb::Founding::ListedContact.into(),
        founding_role: "boss".to_owned(),
        ..Default::default()
    };
    portal.decide(founding, &[]).await;
    let alice = member(app, &portal, "alice", &["maker"]).await;
    let listing = |slug: &str, address: &str| pb::CreateOrganizationRequest {
        slug: slug.to_owned(),
        title: slug.to_owned(),
        kind: "company".to_owned(),
        contacts: vec![pb::Contact {
            topic: "approvals".to_owned(),
            addresses: vec![address.to_owned()],
            ..Default::default()
        }],
        ..Default::default()
    };
    let refused = alice.caller.organizations().create_organization(listing("mine", "Alice@Home.example")).await;
    assert_eq!(refusal(refused), GAIN);
    alice.caller.organizations().create_organization(listing("other", "zoe@zoe.example")).await.unwrap();
});
