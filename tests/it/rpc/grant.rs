//! `RoleAssignmentService`: taking grants away, and who sees what somebody has.

use countersign::grpc::pb::{self, ErrorReason, Policy, Reach};
use tonic::{Code, Status};

use crate::support::{
    ALLOWED, At, Caller, Person, Portal, TestApp, ask, both_backends, everywhere, grants, refusal, role, within,
};

/// Two companies: Ann reads people and grants at home, Bob is at home and away.
struct Two {
    portal: Portal,
    ann: Person,
    bob: Person,
}

async fn two(app: &TestApp) -> Two {
    let policy = Policy {
        self_registration: pb::SelfRegistration::Open.into(),
        approval: pb::ApprovalAuthority::None.into(),
        organizations_per_user: pb::OrganizationsPerUser::Many.into(),
        ..Default::default()
    };
    let portal = app.realm("two", policy).await;
    portal.declare(&["orders.read", "orders.ship"]).await;
    let powers = |name: &str, patterns: &[&str]| pb::CreateRoleRequest {
        grants: grants(Reach::All, patterns),
        assignable: Some(within(&[])),
        ..role(name)
    };
    let gives = ["countersign.users.read", "countersign.roles.grant", "orders.read"];
    let shares =
        pb::CreateRoleRequest { assignable: Some(everywhere(&[])), ..powers("shares", &["countersign.access.share"]) };
    portal.define([powers("gives", &gives), powers("reader", &["orders.read"]), shares]).await;
    for slug in ["home", "away"] {
        let (slug, title) = (slug.to_owned(), slug.to_owned());
        portal.organization(pb::CreateOrganizationRequest { slug, title, ..Default::default() }).await;
    }
    let join = async |email: &str, slugs: &[&str]| {
        portal.newcomer(app, email, &[]).await;
        for slug in slugs {
            portal.operator.add_member(slug, email).await.unwrap();
        }
        portal.enter(app, email).await
    };
    let (ann, bob) = (join("ann@home.example", &["home"]).await, join("bob@home.example", &["home", "away"]).await);
    portal.operator.assign(&ann.id, "gives", At::Organization("home")).await.unwrap();
    app.mailed().await;
    Two { portal, ann, bob }
}

fn order(id: &str) -> Option<pb::Resource> {
    Some(pb::Resource { r#type: "order".to_owned(), id: id.to_owned() })
}

async fn grant(by: &Caller, principal: &str, pattern: &str, organization: &str) -> Result<pb::Entry, Status> {
    let request = pb::GrantPermissionRequest {
        principal: principal.to_owned(),
        pattern: pattern.to_owned(),
        reach: Reach::All.into(),
        scope: Some(pb::grant_permission_request::Scope::Organization(organization.to_owned())),
        ..Default::default()
    };
    Ok(by.assignments().grant_permission(request).await?.into_inner().entry.unwrap())
}

fn every(principal: &str, pattern: &str, organization: &str) -> pb::RevokePermissionRequest {
    pb::RevokePermissionRequest {
        principal: principal.to_owned(),
        pattern: pattern.to_owned(),
        scope: Some(pb::revoke_permission_request::Scope::Organization(organization.to_owned())),
        ..Default::default()
    }
}

async fn revoke(by: &Caller, request: pb::RevokePermissionRequest) -> Result<usize, Status> {
    Ok(by.assignments().revoke_permission(request).await?.into_inner().entries.len())
}

both_backends!(a_grant_is_taken_by_who_could_give_it, async |app: &TestApp| {
    let Two { portal, ann, bob } = two(app).await;
    let home = portal.operator.user(&ann.id).await.unwrap().memberships[0].organization.clone().unwrap().id;
    let may = async |permission: &str| {
        let question = pb::CheckPermissionRequest { organization: home.clone(), ..ask(&bob.id, permission) };
        portal.operator.check(question).await.unwrap() == ALLOWED
    };
    grant(&ann.caller, &bob.id, "orders.read", "home").await.unwrap();
    let shipping = grant(&portal.operator, &bob.id, "orders.ship", "home").await.unwrap();
    let away = grant(&portal.operator, &bob.id, "orders.read", "away").await.unwrap();
    assert!(may("orders.read").await && may("orders.ship").await);

    let by_id = |entry: &pb::Entry| pb::RevokePermissionRequest { entry: entry.id.clone(), ..Default::default() };
    let not_contained = (Code::PermissionDenied, ErrorReason::NotContained);
    assert_eq!(refusal(revoke(&ann.caller, every(&bob.id, "orders.ship", "home")).await), not_contained);
    assert_eq!(refusal(revoke(&ann.caller, by_id(&shipping)).await), not_contained);
    assert_eq!(refusal(revoke(&ann.caller, by_id(&away)).await), (Code::NotFound, ErrorReason::NotFound));
    assert_eq!(revoke(&ann.caller, every(&bob.id, "orders.read", "home")).await.unwrap(), 1);
    assert_eq!(revoke(&ann.caller, every(&bob.id, "orders.read", "home")).await.unwrap(), 0);
    assert!(!may("orders.read").await && may("orders.ship").await);
    assert_eq!(revoke(&portal.operator, by_id(&shipping)).await.unwrap(), 1);
    assert!(!may("orders.ship").await);
});

both_backends!(a_service_takes_back_what_it_shared_for_the_owner, async |app: &TestApp| {
    let Two { portal, ann, bob } = two(app).await;
    let hands = portal.service(app, "hands", "shares").await;
    let share = pb::GrantPermissionRequest {
        principal: bob.id.clone(),
        pattern: "orders.read".to_owned(),
        scope: Some(pb::grant_permission_request::Scope::Organization("home".to_owned())),
        resource: order("7"),
        owner: ann.id.clone(),
        ..Default::default()
    };
    hands.assignments().grant_permission(share).await.unwrap();
    let taking = pb::RevokePermissionRequest { resource: order("7"), ..every(&bob.id, "orders.read", "home") };
    assert_eq!(refusal(revoke(&hands, taking.clone()).await).0, Code::NotFound, "of whom it knows by the owner alone");
    let owned = pb::RevokePermissionRequest { owner: ann.id.clone(), ..taking };
    assert_eq!(refusal(revoke(&ann.caller, owned.clone()).await).0, Code::InvalidArgument);
    assert_eq!(revoke(&hands, owned).await.unwrap(), 1);
});

// Classes 5 and 28: what people have elsewhere is not told, nor whether they have it.
both_backends!(lists_tell_of_what_the_caller_may_read_and_of_no_more, async |app: &TestApp| {
    let Two { portal, ann, bob } = two(app).await;
    for place in ["home", "away"] {
        portal.operator.assign(&bob.id, "reader", At::Organization(place)).await.unwrap();
        grant(&portal.operator, &bob.id, "orders.ship", place).await.unwrap();
    }
    portal.service(app, "hands", "shares").await;
    let list = async |by: &Caller, request: pb::ListAssignmentsRequest| {
        let answer = by.assignments().list_assignments(request).await.map(tonic::Response::into_inner)?;
        let told = |entry: pb::Entry| {
            let place = match entry.scope {
                Some(pb::entry::Scope::Organization(organization)) => organization.slug,
                _ => "realm".to_owned(),
            };
            format!("{} {place}", entry.principal.unwrap().handle)
        };
        Ok::<_, Status>((answer.entries.into_iter().map(told).collect::<Vec<_>>(), answer.next_page_token))
    };
    let all = pb::ListAssignmentsRequest::default;
    let (seen, _) = list(&ann.caller, all()).await.unwrap();
    assert_eq!(seen, ["ann@home.example home", "bob@home.example home"]);
    let everything = ["ann@home.example home", "bob@home.example home", "bob@home.example away", "hands realm"];
    assert_eq!(list(&portal.operator, all()).await.unwrap().0, everything);
    let mut paged = vec![];
    let mut page_token = String::new();
    loop {
        let (page, next) =
            list(&portal.operator, pb::ListAssignmentsRequest { page_size: 1, page_token, ..all() }).await.unwrap();
        paged.extend(page);
        page_token = next;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(paged, everything);
    let of_bob = pb::ListAssignmentsRequest { principal: bob.email.clone(), role: "reader".to_owned(), ..all() };
    assert_eq!(list(&ann.caller, of_bob).await.unwrap().0, ["bob@home.example home"]);
    let realm_wide = Some(pb::list_assignments_request::Scope::RealmWide(true));
    let realm_wide = pb::ListAssignmentsRequest { scope: realm_wide, ..all() };
    assert_eq!(list(&portal.operator, realm_wide).await.unwrap().0, ["hands realm"]);
    let unknown = (Code::NotFound, ErrorReason::NotFound);
    let away = Some(pb::list_assignments_request::Scope::Organization("away".to_owned()));
    for request in [
        pb::ListAssignmentsRequest { scope: away, ..all() },
        pb::ListAssignmentsRequest { principal: "hands".to_owned(), ..all() },
        pb::ListAssignmentsRequest { principal: "nobody@home.example".to_owned(), ..all() },
        pb::ListAssignmentsRequest { role: "no-such-role".to_owned(), ..all() },
    ] {
        assert_eq!(refusal(list(&ann.caller, request).await), unknown);
    }
    let refused = bob.caller.assignments().list_assignments(all()).await;
    assert_eq!(refusal(refused), (Code::PermissionDenied, ErrorReason::PermissionMissing));

    let ships = pb::ListGrantsRequest { pattern: "orders.ship".to_owned(), ..Default::default() };
    let grants = async |by: &Caller, request: pb::ListGrantsRequest| {
        by.assignments().list_grants(request).await.unwrap().into_inner().entries.len()
    };
    assert_eq!((grants(&ann.caller, ships.clone()).await, grants(&portal.operator, ships).await), (1, 2));
    let expired = pb::ListGrantsRequest { state: pb::EntryState::Expired.into(), ..Default::default() };
    assert_eq!(grants(&portal.operator, expired).await, 0);
});
