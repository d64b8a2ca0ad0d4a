//! Requests that are wrong in every field that can be: whoever may call hears of all of them in one answer, of those that
//! the request alone tells as well as of those that the realm has a say in.

use countersign::grpc::pb::{self, Policy};

use crate::support::{At, Portal, TestApp, both_backends, everywhere, grants, identifiers, role, violations};

/// What no field takes.
const NONSENSE: &str = "No\u{7}";
/// What is of no pattern's form.
const NO_PATTERN: &str = "a..b";

async fn realm(app: &TestApp) -> Portal {
    let scheme = pb::CodeScheme { name: "cage".to_owned(), format: pb::CodeFormat::Cage.into(), unique: true };
    let policy = Policy {
        self_registration: pb::SelfRegistration::Open.into(),
        approval: pb::ApprovalAuthority::None.into(),
        code_schemes: vec![scheme],
        base_url: "https://fields.example".to_owned(),
        ..Default::default()
    };
    app.realm("fields", policy).await
}

fn nonsense() -> String {
    NONSENSE.to_owned()
}

both_backends!(an_organization_is_refused_for_every_field_at_once, async |app: &TestApp| {
    let portal = realm(app).await;
    let contact = pb::Contact { topic: nonsense(), resource: None, addresses: vec![nonsense()] };
    let request = pb::CreateOrganizationRequest {
        slug: nonsense(),
        title: nonsense(),
        kind: nonsense(),
        identifiers: identifiers(&[("cage", "1AB"), ("duns", "1"), ("cage", "1ABC2")]),
        entitlements: vec![nonsense()],
        contacts: vec![contact],
        request_id: nonsense(),
    };
    let wire = ["request_id", "slug", "title", "entitlements[0]", "contacts[0].addresses[0]"];
    let realms = ["kind", "contacts[0].topic", "identifiers[0]", "identifiers[1]"];
    let refused = portal.operator.organizations().create_organization(request).await;
    assert_eq!(violations(refused), [&wire[..], &realms].concat());

    let request = pb::SetIdentifiersRequest {
        organization: nonsense(),
        identifiers: identifiers(&[("cage", "1AB"), ("duns", "1")]),
        request_id: nonsense(),
        etag: String::new(),
    };
    let refused = portal.operator.organizations().set_identifiers(request).await;
    assert_eq!(violations(refused), ["request_id", "organization", "identifiers[0]", "identifiers[1]"]);
});

both_backends!(a_role_is_refused_for_every_field_at_once, async |app: &TestApp| {
    let portal = realm(app).await;
    let topic = |topic: &str| pb::RoleTopic { topic: topic.to_owned(), reach: pb::Reach::All.into() };
    let request = pb::CreateRoleRequest {
        name: nonsense(),
        grants: grants(pb::Reach::All, &[NO_PATTERN, "orders.ship"]),
        includes: vec!["nobody".to_owned()],
        assignable: Some(pb::Assignable { kinds: vec![nonsense(), "club".to_owned()], ..Default::default() }),
        topics: vec![topic(""), topic("weather")],
        request_id: nonsense(),
        ..Default::default()
    };
    let wire = ["request_id", "name", "grants[0].pattern", "assignable.kinds[0]", "topics[0].topic"];
    let realms = ["grants[1].pattern", "assignable.kinds[1]", "topics[1].topic"];
    assert_eq!(violations(portal.operator.roles().create_role(request).await), [&wire[..], &realms].concat());
});

both_backends!(a_grant_is_refused_for_every_field_at_once, async |app: &TestApp| {
    use pb::grant_permission_request::Scope;
    let portal = realm(app).await;
    portal.newcomer(app, "ann@mail.example", &[]).await;
    let role = pb::CreateRoleRequest {
        grants: grants(pb::Reach::All, &["countersign.roles.grant"]),
        assignable: Some(everywhere(&[])),
        ..role("giver")
    };
    portal.define([role]).await;
    portal.operator.assign("ann@mail.example", "giver", At::Realm).await.unwrap();
    let ann = portal.enter(app, "ann@mail.example").await;
    let request = pb::GrantPermissionRequest {
        principal: String::new(),
        pattern: "orders.ship".to_owned(),
        reach: pb::Reach::All.into(),
        scope: Some(Scope::RealmWide(true)),
        owner: ann.id.clone(),
        expire_time: Some(prost_types::Timestamp::default()),
        ..Default::default()
    };
    let refused = ann.caller.assignments().grant_permission(request.clone()).await;
    assert_eq!(violations(refused), ["principal", "owner", "expire_time", "pattern"]);
    let resource = Some(pb::Resource { r#type: "order".to_owned(), id: "7".to_owned() });
    let request = pb::GrantPermissionRequest { pattern: NO_PATTERN.to_owned(), reach: 0, resource, ..request };
    let refused = ann.caller.assignments().grant_permission(request).await;
    assert_eq!(violations(refused), ["principal", "pattern", "expire_time", "owner"]);
});

both_backends!(a_policy_is_refused_for_every_setting_at_once, async |app: &TestApp| {
    let portal = realm(app).await;
    let mail = pb::MailText { subject: "{{nothing}}".to_owned(), text: String::new() };
    let mails = [("no_such_mail".to_owned(), mail.clone()), ("user_suspended".to_owned(), mail)].into();
    let policy = Policy { mails, registration_days: -1, ..Default::default() };
    let paths = ["policy.mails", "policy.registration_days", "policy.weather"].map(str::to_owned).to_vec();
    let request = pb::UpdateRealmRequest {
        realm: "nowhere".to_owned(),
        policy: Some(policy),
        update_mask: Some(prost_types::FieldMask { paths }),
        ..Default::default()
    };
    let wire = ["update_mask.paths[2]", "policy.registration_days"];
    let mails = ["policy.mails[\"no_such_mail\"]", "policy.mails[\"user_suspended\"]"];
    assert_eq!(violations(portal.operator.realms().update_realm(request).await), [&wire[..], &mails].concat());
});

both_backends!(a_key_is_refused_for_every_field_at_once, async |app: &TestApp| {
    let portal = realm(app).await;
    let request = pb::CreateApiKeyRequest {
        service_account: String::new(),
        title: nonsense(),
        expire_time: Some(prost_types::Timestamp::default()),
        request_id: nonsense(),
    };
    let refused = portal.operator.service_accounts().create_api_key(request).await;
    assert_eq!(violations(refused), ["request_id", "service_account", "title", "expire_time"]);
});
