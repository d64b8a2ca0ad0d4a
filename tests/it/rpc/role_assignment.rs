//! `RoleAssignmentService`: giving, taking, and sharing one thing.

use std::time::Duration;

use countersign::grpc::pb::{self, ErrorReason, Policy, Reach};
use tonic::Code;

use crate::support::{
    ALLOWED, At, Caller, Person, Portal, TestApp, ask, both_backends, by_default, denied, everywhere, grants, refusal,
    role, within,
};

/// A studio: Ann and Bob own what they make, and the service shares it on their behalf.
struct Studio {
    portal: Portal,
    service: Caller,
    ann: Person,
    bob: Person,
}

impl Studio {
    async fn open(app: &TestApp) -> Self {
        let policy = Policy {
            self_registration: pb::SelfRegistration::Open.into(),
            approval: pb::ApprovalAuthority::None.into(),
            base_url: "https://studio.example".to_owned(),
            ..Default::default()
        };
        let portal = app.realm("studio", policy).await;
        portal.declare(&["designs.open", "designs.publish"]).await;
        let maker = pb::CreateRoleRequest {
            grants: grants(Reach::Own, &["designs.*"]),
            assignable: Some(by_default(within(&[]))),
            ..role("maker")
        };
        let publisher = pb::CreateRoleRequest {
            grants: grants(Reach::All, &["designs.publish"]),
            assignable: Some(within(&[])),
            ..role("publisher")
        };
        let shares = ["countersign.access.check", "countersign.access.share", "countersign.users.read"];
        let shares = pb::CreateRoleRequest {
            grants: grants(Reach::All, &shares),
            assignable: Some(everywhere(&[])),
            ..role("shares")
        };
        portal.define([maker, publisher, shares]).await;
        let request = pb::CreateOrganizationRequest {
            slug: "studio".to_owned(),
            title: "Studio".to_owned(),
            ..Default::default()
        };
        portal.organization(request).await;
        let service = portal.service(app, "designs", "shares").await;
        let join = async |email: &str| {
            portal.newcomer(app, email, &[]).await;
            portal.operator.add_member("studio", email).await.unwrap();
            portal.enter(app, email).await
        };
        let (ann, bob) = (join("ann@studio.example").await, join("bob@studio.example").await);
        app.mailed().await;
        Self { portal, service, ann, bob }
    }
}

fn design(id: &str) -> Option<pb::Resource> {
    Some(pb::Resource { r#type: "design".to_owned(), id: id.to_owned() })
}

both_backends!(what_is_shared_opens_for_that_person_alone, async |app: &TestApp| {
    let Studio { service, ann, bob, .. } = Studio::open(app).await;
    let open = |who: &Person, id: &str| pb::CheckPermissionRequest {
        owner: ann.id.clone(),
        resource: design(id),
        ..ask(&who.id, "designs.open")
    };
    assert_eq!(service.check(open(&ann, "1")).await.unwrap(), ALLOWED);
    assert_eq!(service.check(open(&bob, "1")).await.unwrap(), denied(ErrorReason::OutOfReach));
    let share = pb::GrantPermissionRequest {
        principal: bob.email.clone(),
        pattern: "designs.open".to_owned(),
        scope: Some(pb::grant_permission_request::Scope::Organization("studio".to_owned())),
        resource: design("1"),
        owner: ann.id.clone(),
        ..Default::default()
    };
    let forbidden = ann.caller.assignments().grant_permission(share.clone()).await;
    assert_eq!(refusal(forbidden), (Code::PermissionDenied, ErrorReason::PermissionMissing));
    let grant = service.assignments().grant_permission(share.clone()).await.unwrap().into_inner().entry.unwrap();
    let again = service.assignments().grant_permission(share).await.unwrap().into_inner().entry.unwrap();
    assert_eq!(grant.id, again.id);
    assert_eq!(service.check(open(&bob, "1")).await.unwrap(), ALLOWED);
    assert_ne!(service.check(open(&bob, "2")).await.unwrap(), ALLOWED);
});

both_backends!(assigning_and_revoking_twice_changes_nothing, async |app: &TestApp| {
    let Studio { portal, ann, .. } = Studio::open(app).await;
    let (operator, here) = (&portal.operator, At::Organization("studio"));
    let first = operator.assign(&ann.email, "publisher", here).await.unwrap();
    let second = operator.assign(&ann.id, "publisher", here).await.unwrap();
    assert_eq!(first.id, second.id);
    assert_eq!(operator.revoke(&ann.email, "publisher", here).await.unwrap(), 1);
    assert_eq!(operator.revoke(&ann.email, "publisher", here).await.unwrap(), 0);
    let told = ["A role was assigned to you", "A role was revoked from you"];
    assert_eq!(app.mailed().await, told.map(|subject| format!("{}: {subject}", ann.email)));
    let realm_wide = operator.assign(&ann.email, "publisher", At::Realm).await;
    assert_eq!(refusal(realm_wide), (Code::FailedPrecondition, ErrorReason::RoleScopeNotAllowed));
});

both_backends!(an_assignment_ends_at_its_instant, async |app: &TestApp| {
    let Studio { portal, service, ann, .. } = Studio::open(app).await;
    let in_an_hour = app.clock().now().after(Duration::from_secs(3600));
    let expire_time = prost_types::Timestamp { seconds: in_an_hour.0 / 1_000_000, nanos: 0 };
    let request = pb::AssignRoleRequest {
        principal: ann.id.clone(),
        role: "publisher".to_owned(),
        scope: Some(pb::assign_role_request::Scope::Organization("studio".to_owned())),
        expire_time: Some(expire_time),
        ..Default::default()
    };
    portal.operator.assignments().assign_role(request).await.unwrap();
    let publish = || ask(&ann.id, "designs.publish");
    assert_eq!(service.check(publish()).await.unwrap(), ALLOWED);
    app.clock().advance(Duration::from_secs(3600));
    assert_eq!(service.check(publish()).await.unwrap(), denied(ErrorReason::Expired));
});

fn addition(principal: &str, role: &str) -> pb::AssignmentAddition {
    pb::AssignmentAddition {
        principal: principal.to_owned(),
        role: role.to_owned(),
        scope: Some(pb::assignment_addition::Scope::Organization("studio".to_owned())),
        ..Default::default()
    }
}

fn removal(principal: &str, role: &str) -> pb::AssignmentRemoval {
    pb::AssignmentRemoval {
        principal: principal.to_owned(),
        role: role.to_owned(),
        scope: Some(pb::assignment_removal::Scope::Organization("studio".to_owned())),
        ..Default::default()
    }
}

/// Answers how many were added and removed.
async fn update(
    by: &Caller,
    add: Vec<pb::AssignmentAddition>,
    remove: Vec<pb::AssignmentRemoval>,
) -> Result<(usize, usize), tonic::Status> {
    let request = pb::UpdateAssignmentsRequest { add, remove, ..Default::default() };
    let answer = by.assignments().update_assignments(request).await?.into_inner();
    Ok((answer.added.len(), answer.removed.len()))
}

both_backends!(many_assignments_are_made_at_once_or_not_at_all, async |app: &TestApp| {
    let Studio { portal, service, ann, bob } = Studio::open(app).await;
    let everywhere = pb::CreateRoleRequest { assignable: Some(everywhere(&[])), ..role("everywhere") };
    portal.define([everywhere]).await;
    let operator = &portal.operator;
    let may = async |who: &Person| service.check(ask(&who.id, "designs.publish")).await.unwrap() == ALLOWED;

    let wrong = vec![addition(&ann.id, "publisher"), addition(&bob.id, "everywhere"), addition(&bob.id, "everywhere")];
    let status = update(operator, wrong, vec![]).await.unwrap_err();
    assert!(status.message().contains("add[1]") && status.message().contains("add[2]"), "{status:?}");
    assert_eq!(refusal(Err::<(), _>(status)), (Code::FailedPrecondition, ErrorReason::RoleScopeNotAllowed));
    let missing = vec![addition(&ann.id, "publisher"), addition(&bob.id, "no-such-role")];
    assert_eq!(refusal(update(operator, missing, vec![]).await), (Code::NotFound, ErrorReason::NotFound));
    assert!(!may(&ann).await && app.mailed().await.is_empty());

    let (both, twice) = (addition(&ann.email, "publisher"), addition(&ann.id, "publisher"));
    assert_eq!(update(operator, vec![both, twice, addition(&bob.id, "publisher")], vec![]).await.unwrap(), (3, 0));
    assert!(may(&ann).await && may(&bob).await);
    assert_eq!(app.mailed().await.len(), 2, "one for each who got it");
    let nothing = (addition(&ann.id, "publisher"), vec![removal(&bob.id, "publisher"), removal(&bob.id, "publisher")]);
    assert_eq!(update(operator, vec![nothing.0], nothing.1).await.unwrap(), (1, 1));
    assert!(may(&ann).await && !may(&bob).await);
    assert_eq!(refusal(update(operator, vec![], vec![]).await), (Code::InvalidArgument, ErrorReason::InvalidFields));
    let fields = vec![pb::AssignmentAddition { principal: ann.id.clone(), ..Default::default() }];
    let said = crate::support::violations(update(operator, fields, vec![]).await);
    assert_eq!(said, ["add[0].role", "add[0].organization"]);
});

// Class 9: no item makes room for another one.
both_backends!(nobody_gives_in_one_call_what_they_give_themselves_in_it, async |app: &TestApp| {
    let Studio { portal, ann, bob, .. } = Studio::open(app).await;
    let passing = pb::CreateRoleRequest {
        may_assign: crate::support::text(&["publisher"]),
        assignable: Some(within(&[])),
        ..role("passing")
    };
    let assigns = pb::CreateRoleRequest {
        grants: grants(Reach::All, &["countersign.roles.assign"]),
        may_assign: crate::support::text(&["passing"]),
        assignable: Some(within(&[])),
        ..role("assigns")
    };
    portal.define([passing, assigns]).await;
    portal.operator.assign(&ann.id, "assigns", At::Organization("studio")).await.unwrap();
    app.mailed().await;
    let both = || vec![addition(&ann.id, "passing"), addition(&bob.id, "publisher")];
    let not_contained = (Code::PermissionDenied, ErrorReason::NotContained);
    assert_eq!(refusal(update(&ann.caller, both(), vec![]).await), not_contained);
    let turned = both().into_iter().rev().collect();
    assert_eq!(refusal(update(&ann.caller, turned, vec![]).await), not_contained);
});

both_backends!(the_last_one_who_assigns_hands_over_and_does_not_leave, async |app: &TestApp| {
    let Studio { portal, ann, bob, .. } = Studio::open(app).await;
    let assigns = pb::CreateRoleRequest {
        grants: grants(Reach::All, &["countersign.roles.assign"]),
        assignable: Some(within(&[])),
        ..role("assigns")
    };
    portal.define([assigns]).await;
    portal.operator.assign(&ann.id, "assigns", At::Organization("studio")).await.unwrap();
    app.mailed().await;
    let leaves = || vec![removal(&ann.id, "assigns")];
    let orphaned = (Code::FailedPrecondition, ErrorReason::WouldOrphan);
    assert_eq!(refusal(update(&ann.caller, vec![], leaves()).await), orphaned);
    assert_eq!(update(&ann.caller, vec![addition(&bob.id, "assigns")], leaves()).await.unwrap(), (1, 1));
    assert_eq!(app.mailed().await.len(), 2);
    let refused = update(&ann.caller, vec![addition(&ann.id, "assigns")], vec![]).await;
    assert_eq!(refusal(refused), (Code::PermissionDenied, ErrorReason::PermissionMissing));
});
