//! What comes beside a message is believed only as far as it is exactly as expected. Security class 19: fail-open on an
//! unknown tenant or an unparsable header (CVE-2024-47070).
//!
//! Unknown realms and two credentials are tried at every RPC by the access matrix; here is what no client library sends.

use countersign::grpc::pb::{self, ErrorReason};
use countersign::store::AuditFilter;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

use crate::support::{Backend, PASSWORD, Reachable as _, TestApp, both_backends, refusal};

type Users = pb::user_service_client::UserServiceClient<Channel>;
type Sessions = pb::session_service_client::SessionServiceClient<Channel>;

/// Metadata: names, and values as bytes.
fn metadata(pairs: &[(&'static str, &[u8])]) -> MetadataMap {
    let mut headers = http::HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, http::HeaderValue::from_bytes(value).unwrap());
    }
    MetadataMap::from_headers(headers)
}

async fn list(app: &TestApp, pairs: &[(&'static str, &[u8])]) -> Result<Response<pb::ListUsersResponse>, Status> {
    let request = Request::from_parts(metadata(pairs), Default::default(), pb::ListUsersRequest::default());
    Users::new(app.channel()).list_users(request).await
}

both_backends!(a_header_that_is_not_as_expected_lets_nobody_in, async |app: &TestApp| {
    let key = format!("Bearer {}", app.operator_key());
    let key = key.as_bytes();
    assert!(list(app, &[("authorization", key)]).await.is_ok());
    let bare = app.operator_key().as_bytes();
    let spoilt = [key, b"\xff"].concat();
    for credential in [&b""[..], b" ", b"Bearer", b"Bearer  ", b"\xff\xfe", b"Bearer \xff", b"Basic x", bare, &spoilt] {
        let told = refusal(list(app, &[("authorization", credential)]).await);
        assert_eq!(told, (Code::Unauthenticated, ErrorReason::CredentialInvalid), "{credential:?}");
    }
    for second in [key, b"", b"Bearer x", b"\xff"] {
        let told = refusal(list(app, &[("authorization", key), ("authorization", second)]).await);
        assert_eq!(told, (Code::Unauthenticated, ErrorReason::CredentialsConflict), "{second:?}");
    }
    let long = [b'a'; 8000];
    for realm in [&b""[..], b" ", b"\xff", b"defaul", b"default,default", b"default ;", b"..", b"%00", &long] {
        let told = refusal(list(app, &[("authorization", key), ("countersign-realm", realm)]).await);
        assert_eq!(told, (Code::NotFound, ErrorReason::RealmUnknown), "{realm:?}");
    }
    let twice: [(&str, &[u8]); 3] =
        [("authorization", key), ("countersign-realm", b"default"), ("countersign-realm", b"default")];
    assert_eq!(refusal(list(app, &twice).await), (Code::NotFound, ErrorReason::RealmUnknown));
});

/// What a proxy would say, said by somebody who is none.
const FORGED: [(&str, &[u8]); 7] = [
    ("x-forwarded-client-cert", b"By=spiffe://portal.example/server;URI=spiffe://portal.example/till"),
    ("x-forwarded-user", b"operator"),
    ("x-forwarded-host", b"evil.example"),
    ("forwarded", b"for=203.0.113.9;host=evil.example"),
    ("x-forwarded-for", b"203.0.113.9"),
    ("x-real-ip", b"203.0.113.9"),
    ("x-original-uri", b"/grpc.health.v1.Health/Check"),
];

async fn sign_in(app: &TestApp, number: u8) -> Result<Response<pb::SignInResponse>, Status> {
    let mut pairs = FORGED;
    let source = format!("203.0.113.{number}").into_bytes();
    pairs[4].1 = &source;
    let message = pb::SignInRequest { email: format!("p{number}@acme.example"), password: PASSWORD.to_owned() };
    Sessions::new(app.channel()).sign_in(Request::from_parts(metadata(&pairs), Default::default(), message)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_no_proxy_speaks_for_nobody_else() {
    let app = TestApp::start_with(Backend::Sqlite, &[("public_calls_per_source", "3")]).await;
    let missing = (Code::Unauthenticated, ErrorReason::CredentialMissing);
    assert_eq!(refusal(list(&app, &FORGED).await), missing, "a certificate that somebody tells of is none");
    let mut told = vec![];
    for number in 1..=4 {
        told.push(refusal(sign_in(&app, number).await).1);
    }
    let failed = ErrorReason::SignInFailed;
    assert_eq!(
        told,
        [failed, failed, failed, ErrorReason::RateLimited],
        "a new address for each call is no new caller"
    );

    let key = format!("Bearer {}", app.operator_key());
    let mut pairs = FORGED.to_vec();
    pairs.push(("authorization", key.as_bytes()));
    let message = pb::CreateServiceAccountRequest { name: "till".to_owned(), ..Default::default() };
    let request = Request::from_parts(metadata(&pairs), Default::default(), message);
    let mut accounts = pb::service_account_service_client::ServiceAccountServiceClient::new(app.channel());
    accounts.create_service_account(request).await.unwrap();
    let store = app.inner().app.store();
    let realm = store.realm_named("default").await.unwrap().unwrap().id;
    let latest = store.rows(realm).list_audit(&AuditFilter::default(), None, 1).await.unwrap();
    assert_eq!(latest[0].line.peer.as_deref(), Some("127.0.0.1"), "the log says who it was");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trusted_proxy_is_believed_of_the_address_that_it_saw() {
    let settings = [("public_calls_per_source", "3"), ("trusted_proxies", "127.0.0.0/8")];
    let app = TestApp::start_with(Backend::Sqlite, &settings).await;
    for number in 1..9 {
        assert_eq!(refusal(sign_in(&app, number).await).1, ErrorReason::SignInFailed);
    }
    app.finish().await;
}
