//! Who may do what about somebody who waits, and what is theirs already.

use countersign::grpc::pb::{self, ErrorReason};
use tonic::Code;

use super::{HOME, open_door, powers, realm_powers, somebody, two_companies};
use crate::support::{ALLOWED, At, Portal, TestApp, ask, both_backends, denied, grants, refusal, role, within};

const ANN: &str = "ann@home.example";

/// Somebody of `home` with these permissions there.
async fn helper(app: &TestApp, portal: &Portal, patterns: &[&str]) -> crate::support::Person {
    let person = portal.person(app, "helper@home.example", &[], &[]).await;
    portal.define([powers("helper", patterns)]).await;
    portal.operator.assign(&person.id, "helper", HOME).await.unwrap();
    person
}

both_backends!(a_newcomer_is_held_and_deleted_by_who_may_approve_them, async |app: &TestApp| {
    let portal = two_companies(app, pb::Policy::default()).await;
    let helper = helper(
        app,
        &portal,
        &[
            "countersign.users.approve",
            "countersign.users.suspend",
            "countersign.users.block",
            "countersign.users.delete",
        ],
    )
    .await;
    portal.newcomer(app, ANN, &[]).await;
    let by = &helper.caller;
    by.suspend(ANN, "looks odd").await.unwrap();
    by.reinstate(ANN).await.unwrap();
    by.block(ANN, "looks odd").await.unwrap();
    by.unblock(ANN).await.unwrap();
    by.delete(ANN).await.unwrap();
    // Not where somebody else decides on newcomers.
    portal.newcomer(app, "bob@home.example", &[]).await;
    portal.decide(pb::Policy { approval: pb::ApprovalAuthority::Realm.into(), ..Default::default() }, &[]).await;
    assert_eq!(refusal(by.suspend("bob@home.example", "at random").await), (Code::NotFound, ErrorReason::NotFound));
});

both_backends!(who_may_not_approve_holds_no_newcomer, async |app: &TestApp| {
    let portal = two_companies(app, pb::Policy::default()).await;
    let helper = helper(app, &portal, &["countersign.users.read", "countersign.users.suspend"]).await;
    portal.newcomer(app, ANN, &[]).await;
    assert_eq!(refusal(helper.caller.suspend(ANN, "at random").await), (Code::NotFound, ErrorReason::NotFound));
    // Who approves and may do nothing else knows them, and no more.
    portal.define([powers("approver", &["countersign.users.approve"])]).await;
    portal.operator.revoke(&helper.id, "helper", HOME).await.unwrap();
    portal.operator.assign(&helper.id, "approver", HOME).await.unwrap();
    assert_eq!(refusal(helper.caller.suspend(ANN, "at random").await).0, Code::PermissionDenied);
});

both_backends!(what_is_assigned_to_somebody_who_waits_counts_once_they_are_in, async |app: &TestApp| {
    let portal = two_companies(app, pb::Policy::default()).await;
    portal.define([powers("reader", &["orders.read"])]).await;
    let gives = ["countersign.users.approve", "countersign.roles.assign", "countersign.users.read", "orders.read"];
    let helper = helper(app, &portal, &gives).await;
    portal.newcomer(app, ANN, &[]).await;
    let ann = portal.operator.user(ANN).await.unwrap();
    let by = &helper.caller;
    let assigned = by.assign(ANN, "reader", HOME).await.unwrap();
    assert_eq!(by.assign(ANN, "reader", HOME).await.unwrap(), assigned);
    assert_eq!(portal.operator.user(ANN).await.unwrap().memberships, ann.memberships, "still waits");
    let listed = pb::ListAssignmentsRequest { principal: ANN.to_owned(), ..Default::default() };
    let listed = portal.operator.assignments().list_assignments(listed).await.unwrap().into_inner();
    assert_eq!(listed.entries, [assigned]);
    let home = ann.memberships[0].organization.clone().unwrap().id;
    let question = || pb::CheckPermissionRequest { organization: home.clone(), ..ask(&ann.id, "orders.read") };
    assert_eq!(portal.operator.check(question()).await.unwrap(), denied(ErrorReason::ApprovalPending));
    by.approve(ANN).await.unwrap();
    assert_eq!(portal.operator.check(question()).await.unwrap(), ALLOWED);

    // A later membership waits alike, and is no way for a grant either.
    portal
        .decide(pb::Policy { organizations_per_user: pb::OrganizationsPerUser::Many.into(), ..Default::default() }, &[])
        .await;
    let refused = by.assign(ANN, "reader", At::Organization("away")).await;
    assert_eq!(refusal(refused).0, Code::NotFound);
    let grant = pb::GrantPermissionRequest {
        principal: ANN.to_owned(),
        pattern: "orders.read".to_owned(),
        reach: pb::Reach::All.into(),
        scope: Some(pb::grant_permission_request::Scope::Organization("away".to_owned())),
        ..Default::default()
    };
    let refused = portal.operator.assignments().grant_permission(grant).await;
    assert_eq!(refusal(refused), (Code::FailedPrecondition, ErrorReason::NotAMember));
});

both_backends!(a_listed_contact_founds_again_once_nobody_leads_the_organization, async |app: &TestApp| {
    let contact = |address: &str| pb::Contact {
        topic: "approvals".to_owned(),
        addresses: vec![address.to_owned()],
        ..Default::default()
    };
    let portal = app.realm("portal", pb::Policy::default()).await;
    portal.define([pb::CreateRoleRequest { assignable: Some(within(&[])), ..role("boss") }]).await;
    let founding = pb::Policy {
        founding: pb::Founding::ListedContact.into(),
        founding_role: "boss".to_owned(),
        ..Default::default()
    };
    portal.decide(founding, &[]).await;
    portal
        .organization(pb::CreateOrganizationRequest {
            slug: "home".to_owned(),
            title: "Home".to_owned(),
            identifiers: crate::support::identifiers(&[("domain", "home.example")]),
            contacts: ["first", "second", "third"].map(|name| contact(&format!("{name}@home.example"))).to_vec(),
            ..Default::default()
        })
        .await;
    let founds = async |name: &str| {
        let email = format!("{name}@home.example");
        portal.newcomer(app, &email, &[]).await;
        portal.operator.user(&email).await.unwrap().approval.unwrap().state() == pb::ApprovalState::Approved
    };
    assert!(founds("first").await);
    assert!(!founds("second").await, "somebody leads it");
    portal.operator.delete("first@home.example").await.unwrap();
    assert!(founds("third").await, "nobody leads it any more");
    app.mailed().await;
});

// A leader's team is moved by who could move each of it, and to nobody who would come to lead by it.
both_backends!(who_deletes_a_leader_does_not_take_over_the_team, async |app: &TestApp| {
    let portal = two_companies(app, open_door()).await;
    let deletes = ["countersign.users.read", "countersign.users.delete", "countersign.users.set_manager"];
    let of_team = pb::CreateRoleRequest {
        grants: grants(pb::Reach::Team, &deletes),
        assignable: Some(within(&[])),
        ..role("leader")
    };
    portal.define([of_team, realm_powers("deletes", &deletes)]).await;
    let alice = somebody(app, &portal, "alice@home.example", &["deletes"], At::Realm).await;
    let top = somebody(app, &portal, "top@home.example", &["leader"], HOME).await;
    let leader = somebody(app, &portal, "leader@home.example", &[], HOME).await;
    let member = somebody(app, &portal, "member@home.example", &[], HOME).await;
    portal.operator.set_manager(&leader.id, &top.id).await.unwrap();
    portal.operator.set_manager(&member.id, &leader.id).await.unwrap();
    for by in [&alice, &top] {
        let refused = by.caller.delete_led_by(&leader.id, &by.id).await;
        assert_eq!(refusal(refused), (Code::PermissionDenied, ErrorReason::ActorWouldGain), "{}", by.email);
    }
    let other = somebody(app, &portal, "other@home.example", &[], HOME).await;
    portal.operator.set_manager(&other.id, &top.id).await.unwrap();
    let remains = (Code::FailedPrecondition, ErrorReason::TeamRemains);
    assert_eq!(refusal(top.caller.delete_led_by(&leader.id, &other.id).await), remains);
    alice.caller.delete_led_by(&leader.id, &other.id).await.unwrap();
});
