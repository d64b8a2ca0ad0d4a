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
