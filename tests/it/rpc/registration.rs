//! `RegistrationService`: what a newcomer is told of what they said.

use countersign::grpc::pb::{self, ErrorReason, Policy};
use tonic::Code;

use crate::support::{PASSWORD, Portal, TestApp, both_backends, refusal, said, violations};

/// A realm whose form asks for the domain of the address and for another code.
async fn realm(app: &TestApp) -> Portal {
    let scheme = |name: &str, format: pb::CodeFormat| pb::CodeScheme {
        name: name.to_owned(),
        format: format.into(),
        unique: false,
    };
    let policy = Policy {
        self_registration: pb::SelfRegistration::ByOrganizationCode.into(),
        approval: pb::ApprovalAuthority::Realm.into(),
        code_schemes: vec![scheme("domain", pb::CodeFormat::Domain), scheme("cage", pb::CodeFormat::Cage)],
        base_url: "https://contracts.example".to_owned(),
        ..Default::default()
    };
    app.realm("contracts", policy).await
}

fn newcomer(email: &str, display_name: &str, password: &str, codes: &[(&str, &str)]) -> pb::RegisterRequest {
    let [email, display_name, password] = [email, display_name, password].map(str::to_owned);
    let codes = codes.iter().map(|(scheme, value)| ((*scheme).to_owned(), (*value).to_owned())).collect();
    pb::RegisterRequest { email, display_name, password, codes }
}

async fn wrong(portal: &Portal, request: pb::RegisterRequest) -> Vec<String> {
    violations(portal.stranger.registrations().register(request).await)
}

both_backends!(a_newcomer_hears_of_every_wrong_field_at_once, async |app: &TestApp| {
    let portal = realm(app).await;
    let everything = newcomer("nobody", "", "short", &[("cage", "1AB"), ("duns", "1")]);
    assert_eq!(wrong(&portal, everything).await, ["display_name", "email", "codes.duns", "codes.cage", "password"]);
    let other_domain = newcomer("ann@acme.example", "Ann", "short", &[("domain", "globex.example")]);
    assert_eq!(wrong(&portal, other_domain).await, ["codes.domain", "codes.cage", "password"]);
    let no_address = newcomer("nobody", "Ann", PASSWORD, &[("domain", "acme.example"), ("cage", "1ABC2")]);
    assert_eq!(wrong(&portal, no_address).await, ["email"], "nothing is known of its domain");
    let told_once = newcomer("ann@acme.example", "Ann", PASSWORD, &[("cage", "")]);
    let refused = portal.stranger.registrations().register(told_once).await.unwrap_err();
    let details = tonic_types::StatusExt::get_error_details(&refused);
    assert_eq!(details.bad_request().unwrap().field_violations.len(), 1, "{details:?}");
    assert_eq!(app.mailed().await, [""; 0]);
});

both_backends!(what_is_wrong_with_a_request_says_nothing_of_whose_the_address_is, async |app: &TestApp| {
    let portal = realm(app).await;
    let organization = pb::CreateOrganizationRequest {
        slug: "acme".to_owned(),
        title: "Acme".to_owned(),
        identifiers: crate::support::identifiers(&[("domain", "acme.example"), ("cage", "1ABC2")]),
        ..Default::default()
    };
    portal.organization(organization).await;
    portal.newcomer(app, "ann@acme.example", &[("cage", "1ABC2")]).await;
    app.mailed().await;
    let mut told = vec![];
    for email in ["ann@acme.example", "bob@acme.example"] {
        let request = newcomer(email, "", "short", &[("cage", "1AB")]);
        let refused = portal.stranger.registrations().register(request).await.unwrap_err();
        told.push(said(&refused));
    }
    assert_eq!(told[0], told[1]);
    assert_eq!(app.mailed().await, [""; 0]);
});

both_backends!(where_nobody_registers_a_wrong_request_is_still_a_wrong_request, async |app: &TestApp| {
    let policy = Policy {
        self_registration: pb::SelfRegistration::Closed.into(),
        base_url: "https://closed.example".to_owned(),
        ..Default::default()
    };
    let portal = app.realm("closed", policy).await;
    assert_eq!(wrong(&portal, newcomer("nobody", "", "short", &[])).await, ["display_name", "email"]);
    let sound = portal.stranger.registrations().register(newcomer("ann@acme.example", "Ann", "short", &[])).await;
    assert_eq!(refusal(sound), (Code::FailedPrecondition, ErrorReason::RegistrationClosed));
});

both_backends!(of_those_who_register_at_once_with_one_new_code_one_makes_the_organization, async |app: &TestApp| {
    let policy = Policy {
        self_registration: pb::SelfRegistration::ByOrganizationCode.into(),
        unknown_codes: pb::UnknownCodes::CreateOrganization.into(),
        approval: pb::ApprovalAuthority::Realm.into(),
        code_schemes: vec![pb::CodeScheme {
            name: "domain".to_owned(),
            format: pb::CodeFormat::Domain.into(),
            unique: true,
        }],
        base_url: "https://contracts.example".to_owned(),
        ..Default::default()
    };
    let portal = app.realm("contracts", policy).await;
    for round in 0..3 {
        let domain = format!("round-{round}.example");
        let registering = (0..8).map(|n| {
            let (stranger, domain) = (portal.stranger.clone(), domain.clone());
            tokio::spawn(async move { stranger.register(&format!("p{n}@{domain}"), "Person", &[]).await })
        });
        for registered in registering.collect::<Vec<_>>() {
            registered.await.unwrap().unwrap();
        }
    }
    let listed = portal.operator.organizations().list_organizations(pb::ListOrganizationsRequest::default()).await;
    assert_eq!(listed.unwrap().into_inner().organizations.len(), 3);
});
