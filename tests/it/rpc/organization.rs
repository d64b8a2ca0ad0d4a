//! `OrganizationService`: what makes an organization one of its kind.

use countersign::grpc::pb::{self, ErrorReason, Policy};
use tonic::Code;

use crate::support::{Portal, TestApp, both_backends, identifiers, refusal, violations};

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
