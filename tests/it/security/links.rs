//! Links are built from the realm's base URL, and from nothing that comes with a request.

use countersign::grpc::pb::{self, Policy};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::support::{PASSWORD, TestApp, both_backends};

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
