//! `OrganizationService`: what makes an organization one of its kind, who reads it, and what its state and its products
//! open and close.

use countersign::grpc::pb::{self, ErrorReason, Policy};
use tonic::Code;

use crate::support::{
    ALLOWED, At, Caller, Person, Portal, Reachable as _, TestApp, ask, both_backends, denied, everywhere, grants,
    identifiers, refusal, role, text, violations, within,
};

/// A realm in which a domain is one organization's alone, and a user is in one organization.
async fn realm(app: &TestApp) -> Portal {
    let scheme = pb::CodeScheme { name: "domain".to_owned(), format: pb::CodeFormat::Domain.into(), unique: true };
    let policy = Policy {
        self_registration: pb::SelfRegistration::Open.into(),
        approval: pb::ApprovalAuthority::None.into(),
        organizations_per_user: pb::OrganizationsPerUser::One.into(),
        code_schemes: vec![scheme],
        base_url: "https://one.example".to_owned(),
        ..Default::default()
    };
    app.realm("one", policy).await
}

fn organization(slug: &str, domain: &str) -> pb::CreateOrganizationRequest {
    pb::CreateOrganizationRequest {
        slug: slug.to_owned(),
        title: slug.to_owned(),
        identifiers: identifiers(&[("domain", domain)]),
        ..Default::default()
    }
}

both_backends!(a_slug_and_a_domain_are_one_organizations, async |app: &TestApp| {
    let portal = realm(app).await;
    portal.organization(organization("acme", "acme.example")).await;
    let mut organizations = portal.operator.organizations();
    let again = organizations.create_organization(organization("acme", "other.example")).await;
    assert_eq!(refusal(again), (Code::AlreadyExists, ErrorReason::AlreadyExists));
    let rival = organizations.create_organization(organization("other", "ACME.example")).await;
    assert_eq!(refusal(rival), (Code::AlreadyExists, ErrorReason::IdentifierTaken));
    let public = organizations.create_organization(organization("mail", "gmail.com")).await;
    assert_eq!(refusal(public), (Code::InvalidArgument, ErrorReason::InvalidFields));
    let nameless = organizations.create_organization(organization("", "club.example")).await;
    assert_eq!(violations(nameless), ["slug", "title"]);
    let unknown = pb::CreateOrganizationRequest { kind: "club".to_owned(), ..organization("club", "club.example") };
    assert_eq!(violations(organizations.create_organization(unknown).await), ["kind"]);
});

both_backends!(where_a_user_has_one_organization_there_is_no_second, async |app: &TestApp| {
    let portal = realm(app).await;
    for slug in ["acme", "globex"] {
        portal.organization(organization(slug, &format!("{slug}.example"))).await;
    }
    portal.newcomer(app, "ann@mail.example", &[]).await;
    portal.operator.add_member("acme", "ann@mail.example").await.unwrap();
    portal.operator.add_member("acme", "ann@mail.example").await.unwrap();
    let second = portal.operator.add_member("globex", "ann@mail.example").await;
    assert_eq!(refusal(second), (Code::FailedPrecondition, ErrorReason::OneOrganizationPerUser));
    let ann = portal.operator.user("ann@mail.example").await.unwrap();
    let slugs: Vec<_> = ann.memberships.iter().filter_map(|held| held.organization.as_ref()).map(|o| &o.slug).collect();
    assert_eq!(slugs, ["acme"]);

    let closed = Policy { administrators_create_users: false, ..Default::default() };
    portal.decide(closed, &["administrators_create_users"]).await;
    portal.newcomer(app, "bob@mail.example", &[]).await;
    let refused = portal.operator.add_member("acme", "bob@mail.example").await;
    assert_eq!(refusal(refused), (Code::FailedPrecondition, ErrorReason::AdministratorsDoNotCreateUsers));
});

const ACME: At<'_> = At::Organization("acme");

/// The same realm with organizations of these slugs, at a domain of that name each.
async fn realm_of(app: &TestApp, slugs: &[&str]) -> Portal {
    let portal = realm(app).await;
    portal.declare(&["shop.orders.read"]).await;
    for slug in slugs {
        portal.organization(organization(slug, &format!("{slug}.example"))).await;
    }
    portal
}

/// A role with these patterns at ALL.
fn powers(name: &str, assignable: pb::Assignable, patterns: &[&str]) -> pb::CreateRoleRequest {
    pb::CreateRoleRequest { grants: grants(pb::Reach::All, patterns), assignable: Some(assignable), ..role(name) }
}

/// Somebody who is a member of Acme, signed in.
async fn member_of_acme(app: &TestApp, portal: &Portal, email: &str) -> Person {
    portal.newcomer(app, email, &[]).await;
    portal.operator.add_member("acme", email).await.unwrap();
    app.mailed().await;
    portal.enter(app, email).await
}

async fn slugs(caller: &Caller, query: pb::ListOrganizationsRequest) -> Vec<String> {
    let answer = caller.organizations().list_organizations(query).await.unwrap().into_inner();
    answer.organizations.into_iter().map(|found| found.slug).collect()
}

fn named(name: &str) -> pb::ListOrganizationsRequest {
    pb::ListOrganizationsRequest { name: name.to_owned(), ..Default::default() }
}

async fn get(caller: &Caller, organization: &str) -> Result<pb::Organization, tonic::Status> {
    let request = pb::GetOrganizationRequest { organization: organization.to_owned() };
    Ok(caller.organizations().get_organization(request).await?.into_inner().organization.unwrap_or_default())
}

async fn suspend(caller: &Caller, organization: &str) -> Result<pb::Organization, tonic::Status> {
    let (organization, reason) = (organization.to_owned(), "unpaid".to_owned());
    let request = pb::SuspendOrganizationRequest { organization, reason, ..Default::default() };
    Ok(caller.organizations().suspend_organization(request).await?.into_inner().organization.unwrap_or_default())
}

async fn reinstate(caller: &Caller, organization: &str) -> Result<pb::Organization, tonic::Status> {
    let request = pb::ReinstateOrganizationRequest { organization: organization.to_owned(), ..Default::default() };
    Ok(caller.organizations().reinstate_organization(request).await?.into_inner().organization.unwrap_or_default())
}

async fn entitle(caller: &Caller, organization: &str, products: &[&str]) -> Result<pb::Organization, tonic::Status> {
    let (organization, entitlements) = (organization.to_owned(), text(products));
    let request = pb::SetEntitlementsRequest { organization, entitlements, ..Default::default() };
    Ok(caller.organizations().set_entitlements(request).await?.into_inner().organization.unwrap_or_default())
}

both_backends!(a_list_is_narrowed_by_what_is_asked_and_paged, async |app: &TestApp| {
    let portal = realm_of(app, &[]).await;
    let kinds = ["brand", "partner"].map(|name| pb::Kind { name: name.to_owned(), exclusive: false });
    portal.decide(pb::Policy { kinds: kinds.to_vec(), ..Default::default() }, &[]).await;
    let operator = &portal.operator;
    for (slug, title, kind, products) in [
        ("acme", "Größe & Co", "brand", &["tax"][..]),
        ("globex", "100% Globex_2", "partner", &["tax_engine"][..]),
        ("initech", "Initech of ACME", "brand", &[][..]),
    ] {
        let (title, kind, entitlements) = (title.to_owned(), kind.to_owned(), text(products));
        let made = organization(slug, &format!("{slug}.example"));
        portal.organization(pb::CreateOrganizationRequest { title, kind, entitlements, ..made }).await;
    }
    suspend(operator, "globex").await.unwrap();
    let list = async |query: pb::ListOrganizationsRequest| slugs(operator, query).await;
    let all = pb::ListOrganizationsRequest::default;
    assert_eq!(list(all()).await, ["acme", "globex", "initech"]);
    assert_eq!(list(named("aCmE")).await, ["acme", "initech"]);
    assert_eq!(list(named("GRÖSSE")).await, ["acme"]);
    assert_eq!(list(named("x_2")).await, ["globex"]);
    assert_eq!(list(named("0%")).await, ["globex"]);
    assert!(list(named("o_b")).await.is_empty() && list(named("l%x")).await.is_empty());
    assert_eq!(list(pb::ListOrganizationsRequest { kind: "brand".to_owned(), ..all() }).await, ["acme", "initech"]);
    let state = |state: pb::OrganizationState| pb::ListOrganizationsRequest { state: state.into(), ..all() };
    assert_eq!(list(state(pb::OrganizationState::Suspended)).await, ["globex"]);
    assert_eq!(list(state(pb::OrganizationState::Active)).await, ["acme", "initech"]);
    let licensing = |product: &str| pb::ListOrganizationsRequest { entitlement: product.to_owned(), ..all() };
    assert_eq!(list(licensing("tax")).await, ["acme"]);
    assert_eq!(list(licensing("tax_engine")).await, ["globex"]);
    let known_by = |scheme: &str, value: &str| pb::ListOrganizationsRequest {
        identifier: identifiers(&[(scheme, value)]).pop(),
        ..all()
    };
    assert_eq!(list(known_by("domain", "GLOBEX.example")).await, ["globex"]);
    assert!(list(known_by("domain", "lobex.example")).await.is_empty());
    let unknown = operator.organizations().list_organizations(known_by("duns", "1")).await;
    assert_eq!(violations(unknown), ["identifier"]);

    let mut query = pb::ListOrganizationsRequest { page_size: 2, ..all() };
    let first = operator.organizations().list_organizations(query.clone()).await.unwrap().into_inner();
    query.page_token.clone_from(&first.next_page_token);
    assert_eq!(list(query.clone()).await, ["initech"]);
    let other = pb::ListOrganizationsRequest { name: "e".to_owned(), ..query };
    let bound = operator.organizations().list_organizations(other).await;
    assert_eq!(refusal(bound), (Code::InvalidArgument, ErrorReason::PageTokenInvalid));
});

// Class 5: what somebody reads is decided of each organization, also where it is by what that one licenses.
both_backends!(a_caller_lists_what_they_read, async |app: &TestApp| {
    let portal = realm_of(app, &["acme", "globex", "initech"]).await;
    let reads = ["countersign.organizations.read"];
    let licensed = pb::RoleConditionsSpec { any_entitlement: text(&["audited"]), ..Default::default() };
    let auditor = pb::CreateRoleRequest { conditions: Some(licensed), ..powers("auditor", everywhere(&[]), &reads) };
    portal.define([powers("clerk", within(&[]), &reads), auditor]).await;
    for slug in ["globex", "initech"] {
        entitle(&portal.operator, slug, &["audited"]).await.unwrap();
    }
    let clerk = member_of_acme(app, &portal, "clerk@mail.example").await;
    portal.operator.assign(&clerk.id, "clerk", ACME).await.unwrap();
    assert_eq!(slugs(&clerk.caller, named("")).await, ["acme"]);
    portal.newcomer(app, "auditor@mail.example", &[]).await;
    portal.operator.add_member("globex", "auditor@mail.example").await.unwrap();
    portal.operator.assign("auditor@mail.example", "auditor", At::Realm).await.unwrap();
    let auditor = portal.enter(app, "auditor@mail.example").await.caller;
    assert_eq!(slugs(&auditor, named("")).await, ["globex", "initech"]);
    assert_eq!(get(&auditor, "globex").await.unwrap().slug, "globex");
    assert_eq!(refusal(get(&auditor, "acme").await), (Code::NotFound, ErrorReason::NotFound));
    assert!(slugs(&auditor, named("acme")).await.is_empty());
});

// Class 28, and codes: who only belongs to an organization knows of it and is told nothing that one registers with.
both_backends!(who_only_belongs_to_an_organization_is_not_told_its_codes, async |app: &TestApp| {
    let portal = realm_of(app, &["acme", "globex", "initech"]).await;
    let reads = ["countersign.organizations.read"];
    let names = powers("namer", within(&[]), &["countersign.organizations.update"]);
    portal.define([powers("clerk", within(&[]), &reads), names]).await;
    let plain = member_of_acme(app, &portal, "plain@mail.example").await;
    assert_eq!(refusal(get(&plain.caller, "acme").await), (Code::PermissionDenied, ErrorReason::PermissionMissing));
    let service = portal.operator.service("robot").await.unwrap();
    portal.operator.assign("robot", "clerk", At::Organization("globex")).await.unwrap();
    portal.operator.assign("robot", "namer", ACME).await.unwrap();
    let robot = app.as_key(&service);
    assert_eq!(get(&robot, "globex").await.unwrap().identifiers.len(), 1);
    assert_eq!(refusal(get(&robot, "initech").await), (Code::NotFound, ErrorReason::NotFound));
    let renamed = pb::UpdateOrganizationRequest {
        organization: "acme".to_owned(),
        title: "Acme Inc".to_owned(),
        ..Default::default()
    };
    let renamed = robot.organizations().update_organization(renamed).await.unwrap().into_inner().organization.unwrap();
    assert_eq!((renamed.title.as_str(), renamed.identifiers.len()), ("Acme Inc", 0));
    assert_eq!(get(&portal.operator, "acme").await.unwrap().identifiers.len(), 1);
});

both_backends!(who_may_not_read_an_organization_is_not_told_its_contacts_by_changing_it, async |app: &TestApp| {
    let portal = realm_of(app, &[]).await;
    let contact =
        pb::Contact { topic: "approvals".to_owned(), resource: None, addresses: vec!["desk@acme.example".to_owned()] };
    let acme = pb::CreateOrganizationRequest { contacts: vec![contact], ..organization("acme", "acme.example") };
    portal.organization(acme).await;
    let may = ["countersign.organizations.identify", "countersign.users.read"];
    portal.define([powers("registrar", everywhere(&[]), &may)]).await;
    let registrar = portal.service(app, "registrar", "registrar").await;
    let request = pb::SetIdentifiersRequest {
        organization: "acme".to_owned(),
        identifiers: identifiers(&[("domain", "acme.example.org")]),
        ..Default::default()
    };
    let answer = registrar.organizations().set_identifiers(request).await.unwrap().into_inner().organization.unwrap();
    assert_eq!((answer.slug.as_str(), answer.contacts.len()), ("acme", 0));
    assert_eq!(get(&portal.operator, "acme").await.unwrap().contacts.len(), 1);
});

both_backends!(a_domain_is_one_organizations_however_it_is_spelled, async |app: &TestApp| {
    let portal = realm(app).await;
    let mut organizations = portal.operator.organizations();
    portal.organization(organization("books", "b\u{fc}cher.example")).await;
    let rival = organizations.create_organization(organization("library", "XN--BCHER-KVA.example")).await;
    assert_eq!(refusal(rival), (Code::AlreadyExists, ErrorReason::IdentifierTaken));
    // What folds alike is another domain, which somebody else can own.
    portal.organization(organization("white", "wei\u{df}.example")).await;
    portal.organization(organization("weiss", "weiss.example")).await;
});

both_backends!(an_organization_is_renamed_and_stays_one_of_its_kind, async |app: &TestApp| {
    let portal = realm_of(app, &["acme", "globex"]).await;
    let update = async |request: pb::UpdateOrganizationRequest| {
        let organization =
            if request.organization.is_empty() { "acme".to_owned() } else { request.organization.clone() };
        let request = pb::UpdateOrganizationRequest { organization, ..request };
        portal.operator.organizations().update_organization(request).await
    };
    let slug = |slug: &str| pb::UpdateOrganizationRequest { slug: slug.to_owned(), ..Default::default() };
    assert_eq!(refusal(update(slug("globex")).await), (Code::AlreadyExists, ErrorReason::AlreadyExists));
    assert_eq!(violations(update(slug("018f2b7e-7b1a-7cc3-98c4-0123456789ab")).await), ["slug"]);
    let masked = |path: &str| {
        let update_mask = Some(prost_types::FieldMask { paths: vec![path.to_owned()] });
        pb::UpdateOrganizationRequest { title: "Acme".to_owned(), update_mask, ..slug("acme-2") }
    };
    assert_eq!(violations(update(masked("kind")).await), ["update_mask.paths[0]"]);
    let before = get(&portal.operator, "acme").await.unwrap();
    let after = update(masked("slug")).await.unwrap().into_inner().organization.unwrap();
    assert_eq!((after.id, after.slug.as_str(), after.title.as_str()), (before.id, "acme-2", "acme"));
    assert_eq!(refusal(get(&portal.operator, "acme").await).0, Code::NotFound);
    assert_eq!(slugs(&portal.operator, named("acme-2")).await, ["acme-2"]);
    let stale = pb::UpdateOrganizationRequest {
        organization: "acme-2".to_owned(),
        title: "Old".to_owned(),
        etag: before.etag,
        ..Default::default()
    };
    assert_eq!(refusal(update(stale).await), (Code::Aborted, ErrorReason::EtagMismatch));
    portal.organization(organization("acme", "again.example")).await;
});

both_backends!(what_is_scoped_to_a_suspended_organization_confers_nothing, async |app: &TestApp| {
    let portal = realm_of(app, &["acme", "globex"]).await;
    let administers = ["countersign.organizations.*", "countersign.roles.assign"];
    portal
        .define([
            powers("reader", within(&[]), &["shop.orders.read"]),
            powers("everywhere", everywhere(&[]), &["shop.orders.read"]),
            powers("administrator", within(&[]), &administers),
        ])
        .await;
    let ann = member_of_acme(app, &portal, "ann@mail.example").await;
    let bob = member_of_acme(app, &portal, "bob@mail.example").await;
    portal.operator.assign(&ann.id, "reader", ACME).await.unwrap();
    portal.operator.assign(&ann.id, "administrator", ACME).await.unwrap();
    portal.operator.assign(&bob.id, "everywhere", At::Realm).await.unwrap();
    app.mailed().await;
    let acme = get(&portal.operator, "acme").await.unwrap().id;
    let check = async |who: &Person| {
        let question = pb::CheckPermissionRequest { organization: acme.clone(), ..ask(&who.id, "shop.orders.read") };
        portal.operator.check(question).await.unwrap()
    };
    assert_eq!(check(&ann).await, ALLOWED);
    let orphaning = suspend(&ann.caller, "acme").await;
    assert_eq!(refusal(orphaning), (Code::FailedPrecondition, ErrorReason::WouldOrphan));

    let suspended = suspend(&portal.operator, "acme").await.unwrap();
    assert_eq!(suspended.state(), pb::OrganizationState::Suspended);
    assert_eq!(check(&ann).await, denied(ErrorReason::OrganizationSuspended));
    assert_eq!(check(&bob).await, ALLOWED);
    assert_eq!(suspend(&portal.operator, "acme").await.unwrap().etag, suspended.etag);
    let alone = reinstate(&ann.caller, "acme").await;
    assert_eq!(refusal(alone), (Code::PermissionDenied, ErrorReason::PermissionMissing));
    reinstate(&portal.operator, "acme").await.unwrap();
    assert_eq!(check(&ann).await, ALLOWED);
    assert!(app.mailed().await.is_empty());
});

// Class 9: reinstating an organization gives back what one had in it.
both_backends!(nobody_gives_themself_back_what_they_could_not_give, async |app: &TestApp| {
    let portal = realm_of(app, &["acme"]).await;
    let reader = powers("reader", within(&[]), &["shop.orders.read"]);
    portal.define([reader, powers("watch", everywhere(&[]), &["countersign.organizations.*"])]).await;
    let ann = member_of_acme(app, &portal, "ann@mail.example").await;
    let bob = member_of_acme(app, &portal, "bob@mail.example").await;
    for who in [&ann, &bob] {
        portal.operator.assign(&who.id, "watch", At::Realm).await.unwrap();
    }
    portal.operator.assign(&ann.id, "reader", ACME).await.unwrap();
    suspend(&ann.caller, "acme").await.unwrap();
    let gain = reinstate(&ann.caller, "acme").await;
    assert_eq!(refusal(gain), (Code::PermissionDenied, ErrorReason::ActorWouldGain));
    reinstate(&bob.caller, "acme").await.unwrap();
});

// systems.md A3: a product opens and closes a role with the next check.
both_backends!(a_product_opens_a_role_at_once_and_closes_it_at_once, async |app: &TestApp| {
    let portal = realm_of(app, &["acme"]).await;
    let licensed = pb::RoleConditionsSpec { any_entitlement: text(&["dropshipping"]), ..Default::default() };
    let ships = powers("dropship", within(&[]), &["shop.orders.read"]);
    portal.define([pb::CreateRoleRequest { conditions: Some(licensed), ..ships }]).await;
    let ann = member_of_acme(app, &portal, "ann@mail.example").await;
    portal.operator.assign(&ann.id, "dropship", ACME).await.unwrap();
    let acme = get(&portal.operator, "acme").await.unwrap();
    let check = async || {
        let question = pb::CheckPermissionRequest { organization: acme.id.clone(), ..ask(&ann.id, "shop.orders.read") };
        portal.operator.check(question).await.unwrap()
    };
    assert_eq!(check().await, denied(ErrorReason::NotConferred));
    entitle(&portal.operator, "acme", &["tax", "dropshipping"]).await.unwrap();
    assert_eq!(check().await, ALLOWED);
    let left = entitle(&portal.operator, "acme", &["tax"]).await.unwrap();
    assert_eq!(left.entitlements, ["tax"]);
    assert_eq!(check().await, denied(ErrorReason::NotConferred));
    let (organization, etag) = ("acme".to_owned(), acme.etag);
    let stale = pb::SetEntitlementsRequest { organization, etag, ..Default::default() };
    let stale = portal.operator.organizations().set_entitlements(stale).await;
    assert_eq!(refusal(stale), (Code::Aborted, ErrorReason::EtagMismatch));
});

// Class 9: what an organization licenses opens roles, and what roles let their holders give.
both_backends!(nobody_licenses_what_opens_a_role_of_theirs, async |app: &TestApp| {
    let portal = realm_of(app, &["acme"]).await;
    let waits = |name: &str, assignable, patterns: &[&str], may_assign: &[&str]| {
        let licensed = pb::RoleConditionsSpec { any_entitlement: text(&["tax"]), ..Default::default() };
        let may_assign = text(may_assign);
        pb::CreateRoleRequest { conditions: Some(licensed), may_assign, ..powers(name, assignable, patterns) }
    };
    let sells = powers("seller", everywhere(&[]), &["countersign.organizations.entitle"]);
    let reader = waits("reader", within(&[]), &["shop.orders.read"], &[]);
    let giver = waits("giver", everywhere(&[]), &[], &["plain"]);
    portal.define([powers("plain", within(&[]), &["shop.orders.read"]), sells, reader, giver]).await;
    let mut sellers = vec![];
    for email in ["ann@mail.example", "bob@mail.example", "cid@mail.example"] {
        let seller = member_of_acme(app, &portal, email).await;
        portal.operator.assign(&seller.id, "seller", At::Realm).await.unwrap();
        sellers.push(seller);
    }
    portal.operator.assign(&sellers[0].id, "reader", ACME).await.unwrap();
    portal.operator.assign(&sellers[1].id, "giver", At::Realm).await.unwrap();
    let gain = (Code::PermissionDenied, ErrorReason::ActorWouldGain);
    assert_eq!(refusal(entitle(&sellers[0].caller, "acme", &["tax"]).await), gain);
    assert_eq!(refusal(entitle(&sellers[1].caller, "acme", &["tax"]).await), gain);
    entitle(&sellers[0].caller, "acme", &["forms"]).await.unwrap();
    entitle(&sellers[2].caller, "acme", &["tax"]).await.unwrap();
    // What is open already is no gain.
    entitle(&sellers[0].caller, "acme", &["tax", "forms"]).await.unwrap();
});
