//! `OrganizationService`: what becomes of a membership, and who sees it.

use countersign::grpc::pb::{self, ErrorReason, Policy, Reach};
use tonic::{Code, Status};

use crate::support::{
    ALLOWED, At, Caller, Person, Portal, Reachable as _, TestApp, ask, both_backends, by_default, denied, grants,
    identifiers, refusal, role, text, violations, within,
};

/// A realm of two brands, in which people may be in several organizations.
async fn brands(app: &TestApp) -> Portal {
    realm(app, pb::OrganizationsPerUser::Many).await
}

async fn realm(app: &TestApp, belongs: pb::OrganizationsPerUser) -> Portal {
    let kinds = ["brand", "partner"].map(|name| pb::Kind { name: name.to_owned(), exclusive: true });
    let scheme = pb::CodeScheme { name: "domain".to_owned(), format: pb::CodeFormat::Domain.into(), unique: true };
    let policy = Policy {
        self_registration: pb::SelfRegistration::Open.into(),
        approval: pb::ApprovalAuthority::None.into(),
        email_verification: pb::EmailVerificationRule::Optional.into(),
        organizations_per_user: belongs.into(),
        code_schemes: vec![scheme],
        kinds: kinds.to_vec(),
        base_url: "https://brands.example".to_owned(),
        ..Default::default()
    };
    let portal = app.realm("brands", policy).await;
    portal.declare(&["shop.orders.read", "shop.orders.ship"]).await;
    for (slug, kind) in [("acme", "brand"), ("globex", "brand"), ("agency", "partner")] {
        let identifiers = identifiers(&[("domain", &format!("{slug}.example"))]);
        let (slug, title, kind) = (slug.to_owned(), slug.to_owned(), kind.to_owned());
        portal
            .organization(pb::CreateOrganizationRequest { slug, title, kind, identifiers, ..Default::default() })
            .await;
    }
    portal
}

fn powers(name: &str, patterns: &[&str]) -> pb::CreateRoleRequest {
    pb::CreateRoleRequest { grants: grants(Reach::All, patterns), assignable: Some(within(&[])), ..role(name) }
}

/// Somebody who is a member there, with these roles there.
async fn member(app: &TestApp, portal: &Portal, email: &str, places: &[(&str, &[&str])]) -> Person {
    portal.newcomer(app, email, &[]).await;
    for (place, roles) in places {
        portal.operator.add_member(place, email).await.unwrap();
        for role in *roles {
            portal.operator.assign(email, role, At::Organization(place)).await.unwrap();
        }
    }
    app.mailed().await;
    portal.enter(app, email).await
}

async fn attribute(caller: &Caller, user: &str, attributes: &[(&str, &str)]) -> Result<pb::Membership, Status> {
    let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let (organization, user) = ("acme".to_owned(), user.to_owned());
    let request = pb::UpdateMemberRequest { organization, user, attributes, ..Default::default() };
    Ok(caller.organizations().update_member(request).await?.into_inner().membership.unwrap_or_default())
}

/// Answers how many entries went with it.
async fn remove(caller: &Caller, organization: &str, user: &str) -> Result<usize, Status> {
    let (organization, user) = (organization.to_owned(), user.to_owned());
    let request = pb::RemoveMemberRequest { organization, user, ..Default::default() };
    Ok(caller.organizations().remove_member(request).await?.into_inner().entries.len())
}

async fn transfer(caller: &Caller, user: &str, from: &str, to: &str) -> Result<pb::MoveMemberResponse, Status> {
    let (organization, destination, user) = (from.to_owned(), to.to_owned(), user.to_owned());
    let request = pb::MoveMemberRequest { organization, destination, user, ..Default::default() };
    Ok(caller.organizations().move_member(request).await?.into_inner())
}

async fn members(caller: &Caller, query: pb::ListMembersRequest) -> Result<Vec<String>, Status> {
    let query = pb::ListMembersRequest { organization: "acme".to_owned(), ..query };
    let answer = caller.organizations().list_members(query).await?.into_inner();
    Ok(answer.members.into_iter().map(|member| member.user.unwrap_or_default().handle).collect())
}

async fn check(portal: &Portal, who: &str, permission: &str, slug: &str) -> crate::support::Verdict {
    let request = pb::GetOrganizationRequest { organization: slug.to_owned() };
    let found = portal.operator.organizations().get_organization(request).await.unwrap().into_inner();
    let organization = found.organization.unwrap().id;
    portal.operator.check(pb::CheckPermissionRequest { organization, ..ask(who, permission) }).await.unwrap()
}

async fn slugs_of(portal: &Portal, user: &str) -> Vec<String> {
    let user = portal.operator.user(user).await.unwrap();
    user.memberships.into_iter().filter_map(|held| held.organization).map(|place| place.slug).collect()
}

const NOT_CONTAINED: (Code, ErrorReason) = (Code::PermissionDenied, ErrorReason::NotContained);

// Class 4, and systems.md A5: what a role waits for is given by who could give the role, and never by the member.
both_backends!(attributes_that_a_role_waits_for_are_given_and_taken_like_the_role, async |app: &TestApp| {
    let portal = brands(app).await;
    let waits = pb::RoleConditionsSpec { attributes: text(&["territory"]), ..Default::default() };
    let sales = pb::CreateRoleRequest { conditions: Some(waits), ..powers("sales_rep", &["shop.orders.read"]) };
    let reads = ["countersign.users.read", "countersign.users.update"];
    let gives = powers("giver", &["countersign.users.*", "shop.orders.*"]);
    portal.define([sales, powers("clerk", &reads), gives]).await;
    let rep = member(app, &portal, "rep@mail.example", &[("acme", &["sales_rep"])]).await;
    let clerk = member(app, &portal, "clerk@mail.example", &[("acme", &["clerk"])]).await.caller;
    let giver = member(app, &portal, "giver@mail.example", &[("acme", &["giver"])]).await.caller;
    let missing = denied(ErrorReason::NotConferred);
    assert_eq!(check(&portal, &rep.id, "shop.orders.read", "acme").await, missing);
    assert_eq!(refusal(attribute(&clerk, &rep.id, &[("territory", "north")]).await), NOT_CONTAINED);
    let desk = attribute(&clerk, &rep.id, &[("desk", "12")]).await.unwrap();
    let given = attribute(&giver, &rep.id, &[("desk", "12"), ("territory", "north")]).await.unwrap();
    assert_eq!(check(&portal, &rep.id, "shop.orders.read", "acme").await, ALLOWED);
    assert_ne!(given.etag, desk.etag);

    portal.operator.assign(&rep.id, "clerk", At::Organization("acme")).await.unwrap();
    let oneself = attribute(&rep.caller, &rep.id, &[("desk", "1"), ("territory", "north")]).await;
    assert_eq!(refusal(oneself), (Code::FailedPrecondition, ErrorReason::NotOnOneself));
    assert_eq!(refusal(attribute(&clerk, &rep.id, &[("desk", "12")]).await), NOT_CONTAINED);
    attribute(&clerk, &rep.id, &[("desk", "1"), ("territory", "north")]).await.unwrap();
    let stale = pb::UpdateMemberRequest {
        organization: "acme".to_owned(),
        user: rep.id.clone(),
        etag: desk.etag,
        ..Default::default()
    };
    let stale = giver.organizations().update_member(stale).await;
    assert_eq!(refusal(stale), (Code::Aborted, ErrorReason::EtagMismatch));
    attribute(&giver, &rep.id, &[]).await.unwrap();
    assert_eq!(check(&portal, &rep.id, "shop.orders.read", "acme").await, missing);
});

// systems.md A7. Class 5: what is of one brand is asked of that brand.
both_backends!(who_loses_one_brand_keeps_the_other, async |app: &TestApp| {
    let portal = brands(app).await;
    let admin = ["countersign.users.read", "countersign.organizations.remove_members", "countersign.requests.create"];
    let ships = powers("ROLE_DROPSHIP", &["shop.orders.ship"]);
    portal.define([powers("ROLE_ADMIN", &admin), ships, powers("ROLE_READ", &["shop.orders.read"])]).await;
    let both: [(&str, &[&str]); 2] = [("acme", &["ROLE_DROPSHIP"]), ("globex", &["ROLE_READ"])];
    let provider = member(app, &portal, "provider@mail.example", &both).await;
    let admin = member(app, &portal, "admin@mail.example", &[("acme", &["ROLE_ADMIN"])]).await.caller;
    let held = admin.suspend(&provider.id, "leaves").await;
    assert_eq!(refusal(held), (Code::PermissionDenied, ErrorReason::PermissionMissing));
    assert_eq!(refusal(remove(&admin, "globex", &provider.id).await), (Code::NotFound, ErrorReason::NotFound));

    // What went is not the administrator's to give, and is theirs to end.
    let request = pb::RemoveMemberRequest {
        organization: "acme".to_owned(),
        user: provider.id.clone(),
        request_id: uuid::Uuid::from_u128(7).to_string(),
    };
    let removed = admin.organizations().remove_member(request.clone()).await.unwrap().into_inner();
    assert_eq!(removed.entries.len(), 1);
    assert_eq!(app.mailed().await, ["provider@mail.example: A role was revoked from you"]);
    assert_eq!(slugs_of(&portal, &provider.id).await, ["globex"]);
    assert_ne!(check(&portal, &provider.id, "shop.orders.ship", "acme").await, ALLOWED);
    assert_eq!(check(&portal, &provider.id, "shop.orders.read", "globex").await, ALLOWED);
    assert_eq!(portal.operator.user(&provider.id).await.unwrap().status(), pb::UserStatus::Active);

    // The call that did it is answered again; another one is about somebody whom the administrator does not know.
    let again = admin.organizations().remove_member(request).await.unwrap().into_inner();
    assert_eq!((again.user, again.entries), (removed.user, removed.entries));
    assert_eq!(refusal(remove(&admin, "acme", &provider.id).await).0, Code::NotFound);
    assert_eq!(remove(&portal.operator, "acme", &provider.id).await.unwrap(), 0);
    assert!(app.mailed().await.is_empty());
    // What went does not come back with the membership.
    portal.operator.add_member("acme", &provider.id).await.unwrap();
    assert_ne!(check(&portal, &provider.id, "shop.orders.ship", "acme").await, ALLOWED);
    assert_eq!(remove(&portal.operator, "globex", &provider.id).await.unwrap(), 1);
    assert_eq!(remove(&portal.operator, "acme", &provider.id).await.unwrap(), 0);
    assert!(slugs_of(&portal, &provider.id).await.is_empty());
});

// Class 11. Restricted roles are their owner's to take, and nobody reaches up or leaves a company without anybody.
both_backends!(some_members_are_not_everybodys_to_remove, async |app: &TestApp| {
    let portal = brands(app).await;
    let restricted = pb::CreateRoleRequest { restricted: true, ..powers("contract_manager", &["shop.orders.ship"]) };
    let removes = ["countersign.users.read", "countersign.organizations.remove_members"];
    let assigns = [removes[0], removes[1], "countersign.roles.assign"];
    let owns = [removes[0], removes[1], "countersign.roles.assign_restricted"];
    portal.define([restricted, powers("remover", &removes), powers("boss", &assigns), powers("owner", &owns)]).await;
    let manager = member(app, &portal, "manager@mail.example", &[("acme", &["contract_manager"])]).await;
    let boss = member(app, &portal, "boss@mail.example", &[("acme", &["boss"])]).await;
    let remover = member(app, &portal, "remover@mail.example", &[("acme", &["remover"])]).await;
    let owner = member(app, &portal, "owner@mail.example", &[("acme", &["owner"])]).await;
    let taken = remove(&remover.caller, "acme", &manager.id).await;
    assert_eq!(refusal(taken), (Code::PermissionDenied, ErrorReason::RoleRestricted));
    let above = remove(&remover.caller, "acme", &boss.id).await;
    assert_eq!(refusal(above), (Code::PermissionDenied, ErrorReason::ReachesUp));
    let oneself = remove(&remover.caller, "acme", &remover.id).await;
    assert_eq!(refusal(oneself), (Code::FailedPrecondition, ErrorReason::NotOnOneself));
    let key = portal.operator.service("robot").await.unwrap();
    portal.operator.assign("robot", "boss", At::Organization("acme")).await.unwrap();
    let last = remove(&app.as_key(&key), "acme", &boss.id).await;
    assert_eq!(refusal(last), (Code::FailedPrecondition, ErrorReason::WouldOrphan));
    assert_eq!(remove(&owner.caller, "acme", &manager.id).await.unwrap(), 1);
    // Who is realm-wide is not bound by it.
    assert_eq!(remove(&portal.operator, "acme", &boss.id).await.unwrap(), 1);

    portal.decide(Policy { approval: pb::ApprovalAuthority::Organization.into(), ..Default::default() }, &[]).await;
    portal.stranger.register("new@acme.example", "New", &[("domain", "acme.example")]).await.unwrap();
    let waits = remove(&portal.operator, "acme", "new@acme.example").await;
    assert_eq!(refusal(waits), (Code::FailedPrecondition, ErrorReason::NotAMember));
    assert_eq!(slugs_of(&portal, "new@acme.example").await, ["acme"]);
});

// systems.md A6 and B8.
both_backends!(a_move_makes_room_first_and_carries_nothing, async |app: &TestApp| {
    let portal = realm(app, pb::OrganizationsPerUser::One).await;
    let agent = pb::Assignable { kinds: text(&["partner"]), ..by_default(within(&[])) };
    let agent = pb::CreateRoleRequest { assignable: Some(agent), ..powers("agent", &["shop.orders.read"]) };
    let moves = ["countersign.users.read", "countersign.organizations.*"];
    portal.define([agent, powers("shipper", &["shop.orders.ship"]), powers("mover", &moves)]).await;
    let ann = member(app, &portal, "ann@mail.example", &[("acme", &["shipper"])]).await;
    attribute(&portal.operator, &ann.id, &[("desk", "12")]).await.unwrap();
    let mover = member(app, &portal, "mover@mail.example", &[("acme", &["mover"])]).await;
    let second = portal.operator.add_member("agency", &ann.id).await;
    assert_eq!(refusal(second), (Code::FailedPrecondition, ErrorReason::OneOrganizationPerUser));
    let hidden = transfer(&mover.caller, &ann.id, "acme", "agency").await;
    assert_eq!(refusal(hidden), (Code::NotFound, ErrorReason::NotFound));
    let oneself = transfer(&mover.caller, &mover.id, "acme", "agency").await;
    assert_eq!(refusal(oneself), (Code::FailedPrecondition, ErrorReason::NotOnOneself));
    assert_eq!(violations(transfer(&portal.operator, &ann.id, "acme", "acme").await), ["destination"]);

    let closed = Policy { administrators_create_users: false, ..Default::default() };
    portal.decide(closed, &["administrators_create_users"]).await;
    let never = transfer(&portal.operator, &ann.id, "acme", "agency").await;
    assert_eq!(refusal(never), (Code::FailedPrecondition, ErrorReason::AdministratorsDoNotCreateUsers));
    assert_eq!(check(&portal, &ann.id, "shop.orders.ship", "acme").await, ALLOWED);
    portal.decide(Policy { administrators_create_users: true, ..Default::default() }, &[]).await;

    let moved = transfer(&portal.operator, &ann.id, "acme", "agency").await.unwrap();
    assert_eq!((moved.entries.len(), moved.membership.unwrap().attributes.len()), (1, 0));
    assert_eq!(slugs_of(&portal, &ann.id).await, ["agency"]);
    assert_ne!(check(&portal, &ann.id, "shop.orders.ship", "acme").await, ALLOWED);
    assert_ne!(check(&portal, &ann.id, "shop.orders.ship", "agency").await, ALLOWED);
    assert_eq!(check(&portal, &ann.id, "shop.orders.read", "agency").await, ALLOWED);
    let again = transfer(&portal.operator, &ann.id, "acme", "agency").await.unwrap();
    assert!(again.entries.is_empty());
    let nobody = transfer(&portal.operator, &ann.id, "globex", "acme").await;
    assert_eq!(refusal(nobody), (Code::FailedPrecondition, ErrorReason::NotAMember));
    assert_eq!(app.mailed().await, ["ann@mail.example: A role was revoked from you"]);
});

// Class 28: plain members list nobody; a manager lists the team.
both_backends!(members_are_listed_as_far_as_the_caller_reads_them, async |app: &TestApp| {
    let portal = brands(app).await;
    let leads = pb::CreateRoleRequest {
        grants: grants(Reach::Team, &["countersign.users.read"]),
        assignable: Some(within(&[])),
        ..role("leader")
    };
    let reads = powers("clerk", &["countersign.users.read", "countersign.users.approve"]);
    portal.define([leads, reads, powers("shipper", &["shop.orders.ship"])]).await;
    let [ann, bob, clerk, leader] = ["ann", "bob", "clerk", "leader"].map(|name| format!("{name}@mail.example"));
    let plain = member(app, &portal, &ann, &[("acme", &["shipper"])]).await.caller;
    member(app, &portal, &bob, &[("acme", &[]), ("globex", &["shipper"])]).await;
    let of_clerk = member(app, &portal, &clerk, &[("acme", &["clerk"])]).await.caller;
    let of_leader = member(app, &portal, &leader, &[("acme", &["leader"])]).await.caller;
    portal.operator.set_manager(&bob, &leader).await.unwrap();
    let all = pb::ListMembersRequest::default;
    assert_eq!(refusal(members(&plain, all()).await), (Code::PermissionDenied, ErrorReason::PermissionMissing));
    assert_eq!(members(&of_leader, all()).await.unwrap(), [bob.as_str()]);
    let everybody = [&ann, &bob, &clerk, &leader].map(String::as_str);
    assert_eq!(members(&of_clerk, all()).await.unwrap(), everybody);
    let ships = pb::ListMembersRequest { role: "shipper".to_owned(), ..all() };
    assert_eq!(members(&of_clerk, ships).await.unwrap(), [ann.as_str()]);
    let stranger = member(app, &portal, "cid@mail.example", &[("globex", &["clerk"])]).await.caller;
    assert_eq!(refusal(members(&stranger, all()).await), (Code::NotFound, ErrorReason::NotFound));

    let mut query = pb::ListMembersRequest { organization: "acme".to_owned(), page_size: 3, ..all() };
    let first = of_clerk.organizations().list_members(query.clone()).await.unwrap().into_inner();
    assert_eq!(first.members.len(), 3);
    query.page_token = first.next_page_token;
    assert_eq!(members(&of_clerk, query).await.unwrap(), [leader.as_str()]);

    portal.decide(Policy { approval: pb::ApprovalAuthority::Organization.into(), ..Default::default() }, &[]).await;
    portal.stranger.register("new@acme.example", "New", &[("domain", "acme.example")]).await.unwrap();
    let waiting = pb::ListMembersRequest { state: pb::MembershipState::Pending.into(), ..all() };
    assert_eq!(members(&portal.operator, waiting.clone()).await.unwrap(), ["new@acme.example"]);
    assert!(members(&of_leader, waiting).await.unwrap().is_empty());
});
