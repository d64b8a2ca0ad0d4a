//! Links are built from the realm's base URL, and from nothing that comes with a request.

use countersign::grpc::pb::{self, Policy};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::support::{At, PASSWORD, TestApp, both_backends, everywhere, grants, role, violations};

const BASE: &str = "https://portal.example/a";

/// A call that says in every way there is that it was sent to somebody else's host.
fn hostile<T>(realm: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let metadata = request.metadata_mut();
    metadata.insert("countersign-realm", realm.parse().unwrap());
    for name in ["host", "x-forwarded-host", "x-host", "x-original-host", "origin", "referer"] {
        metadata.insert(name, "https://evil.example".parse().unwrap());
    }
    metadata.insert("forwarded", "host=evil.example;proto=http".parse().unwrap());
    metadata.insert("x-forwarded-proto", "gopher".parse().unwrap());
    metadata.insert("x-forwarded-prefix", "/evil".parse().unwrap());
    request
}

/// A channel whose calls name another host in `:authority`.
fn elsewhere(app: &TestApp) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{}", app.address())).unwrap();
    endpoint.origin("https://evil.example".parse().unwrap()).connect_lazy()
}

/// Every public call that mails a link.
async fn call(channel: &Channel, realm: &str, rpc: &str, email: &str) -> Result<(), Status> {
    let email = email.to_owned();
    let mut registrations = pb::registration_service_client::RegistrationServiceClient::new(channel.clone());
    let mut sessions = pb::session_service_client::SessionServiceClient::new(channel.clone());
    match rpc {
        "Register" => {
            let (display_name, password) = ("Somebody".to_owned(), PASSWORD.to_owned());
            let request = pb::RegisterRequest { email, display_name, password, codes: Default::default() };
            registrations.register(hostile(realm, request)).await.map(drop)
        }
        "ResendVerification" => {
            let request = pb::ResendVerificationRequest { email };
            registrations.resend_verification(hostile(realm, request)).await.map(drop)
        }
        _ => {
            let request = pb::RequestPasswordResetRequest { email };
            sessions.request_password_reset(hostile(realm, request)).await.map(drop)
        }
    }
}

// Class 1: a reset link built from the request's host.
both_backends!(every_link_begins_with_the_configured_base_url, async |app: &TestApp| {
    let policy = Policy {
        self_registration: pb::SelfRegistration::Open.into(),
        approval: pb::ApprovalAuthority::None.into(),
        base_url: BASE.to_owned(),
        ..Default::default()
    };
    let portal = app.realm("links", policy).await;
    let channel = elsewhere(app);
    for (rpc, mails) in [("Register", 1), ("ResendVerification", 2), ("RequestPasswordReset", 3), ("Register", 4)] {
        call(&channel, &portal.name, rpc, "ann@acme.example").await.unwrap();
        assert_eq!(app.mails_to("ann@acme.example").await.len(), mails, "{rpc}");
    }
    for letter in app.mails_to("ann@acme.example").await {
        let words = letter.text.split_ascii_whitespace();
        let links: Vec<_> = words.filter(|word| word.contains("://")).collect();
        assert!(letter.code().is_some() && !links.is_empty(), "{letter:?}");
        assert!(links.iter().all(|link| link.starts_with(BASE)), "{links:?}");
        assert!(!letter.text.contains("evil") && !letter.text.contains("gopher"), "{}", letter.text);
    }
});

// Class 35: the mailer's configuration as a way in. Who configures a realm has no link of its people lead elsewhere.
both_backends!(who_configures_a_realm_sends_no_code_elsewhere, async |app: &TestApp| {
    let policy = Policy {
        self_registration: pb::SelfRegistration::Open.into(),
        approval: pb::ApprovalAuthority::None.into(),
        base_url: BASE.to_owned(),
        ..Default::default()
    };
    let portal = app.realm("links", policy).await;
    let configurer = pb::CreateRoleRequest {
        grants: grants(pb::Reach::All, &["countersign.realm.configure"]),
        assignable: Some(everywhere(&[])),
        ..role("configurer")
    };
    portal.define([configurer]).await;
    portal.newcomer(app, "eve@acme.example", &[]).await;
    portal.operator.assign("eve@acme.example", "configurer", At::Realm).await.unwrap();
    let eve = portal.enter(app, "eve@acme.example").await;
    let write = async |policy: Policy| {
        let request = pb::UpdateRealmRequest { policy: Some(policy), ..Default::default() };
        eve.caller.realms().update_realm(request).await
    };
    for url in [
        "https://evil.test",
        "https://portal.example.evil.test",
        "https://portal.example:8443",
        "http://portal.example",
        "https://portal.example@evil.test/",
        "https://a.portal.example",
        "http://127.0.0.1",
    ] {
        let refused = write(Policy { base_url: url.to_owned(), ..Default::default() }).await;
        assert_eq!(violations(refused), ["policy.base_url"], "{url}");
    }
    for text in [
        "{{ link }} or https://evil.test",
        "https://evil.test/?next={{ link }}",
        "{{ link }}.evil.test",
        "{{ link }}\n\nwww.evil.test",
        "{{ link }}\n\n{{ portal }}.evil.test",
    ] {
        let words = pb::MailText { subject: String::new(), text: text.to_owned() };
        let mails = [("password_reset".to_owned(), words)].into();
        let refused = write(Policy { mails, ..Default::default() }).await;
        assert_eq!(violations(refused), ["policy.mails[\"password_reset\"]"], "{text}");
    }
    // What it may write is in the log, as it was and as it is. Nor does the realm's title lead anywhere.
    let title = "Sign in at https://evil.test/now".to_owned();
    let renamed = pb::UpdateRealmRequest { title, ..Default::default() };
    eve.caller.realms().update_realm(renamed).await.unwrap();
    // Her token is the old address's: this is the last that she does with it.
    write(Policy { base_url: "https://other.example".to_owned(), ..Default::default() }).await.unwrap();
    let log = pb::ListEventsRequest { action: "UpdateRealm".to_owned(), ..Default::default() };
    let log = portal.operator.audit().list_events(log).await.unwrap().into_inner().events;
    let changed = log.iter().map(|event| format!("{:?}", event.changes)).collect::<String>();
    assert!(changed.contains(BASE) && changed.contains("https://other.example"), "{changed}");
    portal.newcomer(app, "ann@acme.example", &[]).await;
    portal.stranger.ask_for_reset("ann@acme.example").await.unwrap();
    for letter in app.mails_to("ann@acme.example").await {
        let mut words = letter.text.split_ascii_whitespace().filter(|word| word.contains("://"));
        assert!(words.all(|word| word.starts_with("https://other.example")), "{}", letter.text);
        assert!(!letter.text.contains("evil.test") && letter.text.contains("evil[.]test"), "{}", letter.text);
    }
});
