//! Bad input by name: each is refused with the limit and what was given, and changes nothing.
//!
//! Security class 22: a forged page token (GO-2026-4801, Kanidm 1.10.0), and sizes that nobody can answer.
//!
//! What the transport refuses by itself is in `rpc::transport`, an organization of another realm in the access matrix.

use countersign::grpc::pb::{self, ErrorReason, Policy, Reach};
use tonic::{Code, Response, Status};
use tonic_types::StatusExt as _;

use crate::support::{Portal, TestApp, ask, both_backends, grants, refusal, role};

async fn realm(app: &TestApp, name: &str) -> Portal {
    let policy = Policy {
        self_registration: pb::SelfRegistration::Open.into(),
        approval: pb::ApprovalAuthority::Realm.into(),
        base_url: "https://input.example".to_owned(),
        ..Default::default()
    };
    let portal = app.realm(name, policy).await;
    portal.declare(&["orders.ship"]).await;
    portal
}

/// What is wrong: each field, and what is said of it.
#[track_caller]
fn told<T: std::fmt::Debug>(result: Result<Response<T>, Status>) -> Vec<(String, String)> {
    let details = result.unwrap_err().get_error_details();
    let violations = &details.bad_request().unwrap().field_violations;
    violations.iter().map(|violation| (violation.field.clone(), violation.description.clone())).collect()
}

fn said(of: &[(&str, &str)]) -> Vec<(String, String)> {
    of.iter().map(|(field, description)| ((*field).to_owned(), (*description).to_owned())).collect()
}

both_backends!(a_wrong_field_is_named_with_its_limit_and_what_was_given, async |app: &TestApp| {
    let portal = realm(app, "input").await;
    let register = async |email: &str, display_name: &str, password: &str| {
        let [email, display_name, password] = [email, display_name, password].map(str::to_owned);
        let request = pb::RegisterRequest { email, display_name, password, ..Default::default() };
        told(portal.stranger.registrations().register(request).await)
    };
    let sound = "seven wombats waltz";
    let no_domain = said(&[("email", "is not of the form name@domain")]);
    assert_eq!(register("ann", "Ann", sound).await, no_domain);
    assert_eq!(register("ann@", "Ann", sound).await, no_domain);
    let two_lines = register("ann@acme.example", "Ann\r\nBcc: all@acme.example", sound).await;
    assert_eq!(two_lines, said(&[("display_name", "has a control character")]));
    let short = register("ann@acme.example", "Ann", &sound[..14]).await;
    assert_eq!(short, said(&[("password", "has 14 characters, the least is 15")]));
    let long = register("ann@acme.example", "Ann", &sound.repeat(7)[..129]).await;
    assert_eq!(long, said(&[("password", "has 129 characters, the most is 128")]));
    assert_eq!(app.mailed().await, [""; 0]);
    assert_eq!(portal.operator.list(pb::ListUsersRequest::default()).await.unwrap(), [""; 0]);
});

both_backends!(an_unknown_permission_is_told_the_closest_one, async |app: &TestApp| {
    let portal = realm(app, "input").await;
    let typo = pb::CreateRoleRequest { grants: grants(Reach::All, &["orders.shipp"]), ..role("typo") };
    let refused = told(portal.operator.roles().create_role(typo).await);
    let closest = "\"orders.shipp\" is no declared permission; \"orders.ship\" is";
    assert_eq!(refused, said(&[("grants[0].pattern", closest)]));
    let key = portal.operator.service("till").await.unwrap();
    assert!(key.starts_with("cs_"), "a service is there to be asked about");
    let refused = told(portal.operator.authorization().check_permission(ask("till", "orders.shipp")).await);
    let closest = "\"orders.shipp\" is no declared permission; \"orders.ship\" is";
    assert_eq!(refused, said(&[("permission", closest)]));
});

both_backends!(a_page_is_of_one_list_one_caller_and_one_realm, async |app: &TestApp| {
    let (portal, beside) = (realm(app, "input").await, realm(app, "beside").await);
    for at in [&portal, &beside] {
        for email in ["ann@acme.example", "bob@acme.example"] {
            at.newcomer(app, email, &[]).await;
        }
    }
    app.mailed().await;
    let page_size = 1;
    let users = async |at: &crate::support::Caller, page_token: String, page_size: i32| {
        let request = pb::ListUsersRequest { page_size, page_token, ..Default::default() };
        at.users().list_users(request).await.map(Response::into_inner)
    };
    let token = users(&portal.operator, String::new(), page_size).await.unwrap().next_page_token;
    assert_eq!(users(&portal.operator, token.clone(), 5).await.unwrap().users.len(), 1, "of whatever size");

    let invalid = (Code::InvalidArgument, ErrorReason::PageTokenInvalid);
    let waiting = pb::ListRegistrationsRequest { page_size, page_token: token.clone(), ..Default::default() };
    assert_eq!(refusal(portal.operator.approvals().list_registrations(waiting).await), invalid, "another list");
    let events = pb::ListEventsRequest { page_size, page_token: token.clone(), ..Default::default() };
    assert_eq!(refusal(portal.operator.audit().list_events(events).await), invalid, "another list");
    assert_eq!(refusal(users(&beside.operator, token.clone(), page_size).await), invalid, "another realm");
    let reads = pb::CreateRoleRequest {
        grants: grants(Reach::All, &["countersign.users.read"]),
        assignable: Some(crate::support::everywhere(&[])),
        ..role("reads")
    };
    portal.define([reads]).await;
    let service = portal.service(app, "reader", "reads").await;
    assert_eq!(refusal(users(&service, token.clone(), page_size).await), invalid, "another caller");
    let mut bent = token.clone();
    bent.replace_range(20..21, if &token[20..21] == "A" { "B" } else { "A" });
    for forged in [bent, token[..token.len() - 1].to_owned(), format!("{token}A"), "A".repeat(1 << 16)] {
        assert_eq!(refusal(users(&portal.operator, forged, page_size).await), invalid);
    }
});

both_backends!(a_page_has_a_size_that_somebody_can_answer, async |app: &TestApp| {
    let portal = realm(app, "input").await;
    portal.newcomer(app, "ann@acme.example", &[]).await;
    app.mailed().await;
    let list = async |page_size: i32| {
        portal.operator.users().list_users(pb::ListUsersRequest { page_size, ..Default::default() }).await
    };
    for size in [-1, i32::MIN] {
        let description = format!("is {size}, at least 0 is allowed");
        assert_eq!(told(list(size).await), said(&[("page_size", description.as_str())]));
    }
    for size in [0, 1, i32::MAX] {
        assert_eq!(list(size).await.unwrap().into_inner().users.len(), 1, "{size}");
    }
});

// Found by `fuzz`: an error that repeated all it was given was longer than clients take, and ended the connection.
both_backends!(an_error_is_heard_however_much_was_given, async |app: &TestApp| {
    let portal = realm(app, "input").await;
    let long = "\u{202e}".repeat(10_000);
    let request = pb::CreateOrganizationRequest {
        slug: long.clone(),
        title: long.clone(),
        entitlements: vec![long.clone(); 20],
        ..Default::default()
    };
    let refused = told(portal.operator.organizations().create_organization(request).await);
    let (slug, title) = (&refused[0], &refused[1]);
    assert!(slug.0 == "slug" && slug.1.ends_with("and no id"), "{slug:?}");
    assert!(title.0 == "title" && title.1 == "has 10000 characters, 1 to 200 are allowed", "{title:?}");
    let (_, last) = refused.last().unwrap();
    assert!(last.ends_with(" more are wrong"), "{last}");
    let one =
        told(portal.operator.audit().list_events(pb::ListEventsRequest { action: long, ..Default::default() }).await);
    assert_eq!(one[0].0, "action");
});

// A draft is looked up even if it is wrong; PostgreSQL takes no NUL.
both_backends!(a_name_with_a_nul_is_a_wrong_name, async |app: &TestApp| {
    let portal = realm(app, "input").await;
    let organization = "No\0".to_owned();
    let request = pb::SetIdentifiersRequest { organization: organization.clone(), ..Default::default() };
    let refused = told(portal.operator.organizations().set_identifiers(request).await);
    assert_eq!(refused, said(&[("organization", "has a control character")]));
    let request = pb::ListUsersRequest { organization, ..Default::default() };
    let refused = told(portal.operator.users().list_users(request).await);
    assert_eq!(refused, said(&[("organization", "has a control character")]));
});
