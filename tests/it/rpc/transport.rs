//! What the transport would answer by itself, answered with the right code and a public reason: too much, unreadable,
//! unknown, too late. Nothing of it changes anything.

use std::time::Duration;

use bytes::{Buf, BufMut};
use countersign::grpc::pb::{self, ErrorReason};
use http::uri::PathAndQuery;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use tonic_types::StatusExt as _;

use crate::support::{Backend, Reachable as _, TestApp, refusal};

/// Bytes as they are: a client that sends whatever it likes.
#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut item = vec![0; from.remaining()];
        from.copy_to_slice(&mut item);
        Ok(Some(item))
    }
}

async fn call(channel: Channel, path: &'static str, request: Request<Vec<u8>>) -> Result<Vec<u8>, Status> {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.unwrap();
    Ok(client.unary(request, PathAndQuery::from_static(path), Raw).await?.into_inner())
}

const HEALTH: &str = "/grpc.health.v1.Health/Check";
const CREATE_REALM: &str = "/countersign.v1.RealmService/CreateRealm";
const REGISTER: &str = "/countersign.v1.RegistrationService/Register";

#[tokio::test]
async fn the_transports_own_answers_have_the_right_code_and_a_reason() {
    let app = TestApp::start(Backend::Sqlite).await;
    let send = |path, body: Vec<u8>| call(app.channel(), path, Request::new(body));

    let two_mebibytes = send(REGISTER, vec![0; 2 << 20]).await;
    assert_eq!(refusal(two_mebibytes), (Code::ResourceExhausted, ErrorReason::MessageTooLarge));
    let unreadable = send(REGISTER, vec![0xff; 64]).await;
    assert_eq!(refusal(unreadable), (Code::InvalidArgument, ErrorReason::MessageMalformed));
    let no_text = send(REGISTER, vec![0x0a, 2, 0xff, 0xfe]).await;
    assert_eq!(refusal(no_text), (Code::InvalidArgument, ErrorReason::MessageMalformed));
    for path in ["/countersign.v1.RegistrationService/Unregister", "/no.such.Service/Call", "/"] {
        assert_eq!(refusal(send(path, vec![]).await), (Code::Unimplemented, ErrorReason::MethodUnknown), "{path}");
    }
    assert_eq!(app.mailed().await, [""; 0]);
    app.finish().await;
}

/// Over a bare HTTP/2 connection: gRPC clients give up by themselves before they hear what the server says.
#[tokio::test]
async fn a_deadline_of_a_nanosecond_has_passed() {
    let app = TestApp::start(Backend::Sqlite).await;
    let told = told(&app, REGISTER, &[("grpc-timeout", "1n")], &[0; 5], true).await.0;
    assert_eq!(told, (Code::DeadlineExceeded, ErrorReason::DeadlineExceeded));
    app.finish().await;
}

/// What a call over a bare connection is told, and in which headers. `ends` = the request does.
async fn told(
    app: &TestApp,
    path: &str,
    headers: &[(&'static str, &str)],
    body: &[u8],
    ends: bool,
) -> ((Code, ErrorReason), http::HeaderMap) {
    let (answer, mut sent) = crate::support::Raw::connect(app.address()).await.call(path, headers).await.unwrap();
    sent.send_data(bytes::Bytes::copy_from_slice(body), ends).unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(15), answer).await.unwrap().unwrap();
    let status = Status::from_header_map(answer.headers()).unwrap();
    (refusal::<()>(Err(status)), answer.headers().clone())
}

#[tokio::test]
async fn a_message_of_a_public_rpc_is_small_and_refused_by_its_length_alone() {
    let app = TestApp::start(Backend::Sqlite).await;
    let length = |bytes: u32| [&[0][..], &bytes.to_be_bytes()].concat();
    let key = format!("Bearer {}", app.operator_key());
    let (public, known): (&[_], &[_]) = (&[], &[("authorization", &*key)]);
    for (path, headers, bytes_max) in
        [(REGISTER, public, 16 << 10), (HEALTH, public, 16 << 10), (CREATE_REALM, known, 1 << 20)]
    {
        let too_large = told(&app, path, headers, &length(bytes_max + 1), false).await.0;
        assert_eq!(too_large, (Code::ResourceExhausted, ErrorReason::MessageTooLarge), "{path}");
        let cut_off = told(&app, path, headers, &length(bytes_max), true).await.0;
        assert_eq!(cut_off, (Code::InvalidArgument, ErrorReason::MessageMalformed), "{path}");
    }
    app.finish().await;
}

#[tokio::test]
async fn a_request_that_does_not_arrive_is_not_waited_for() {
    let app = TestApp::start(Backend::Sqlite).await;
    let late = (Code::DeadlineExceeded, ErrorReason::DeadlineExceeded);
    let waits = |path, headers: &'static [(&'static str, &str)]| told(&app, path, headers, &[0, 0, 0], false);
    // The caller's deadline holds for health, too; without one, it is the server that does not wait.
    let (hurried, health, patient) =
        tokio::join!(waits(HEALTH, &[("grpc-timeout", "200m")]), waits(HEALTH, &[]), waits(REGISTER, &[]));
    assert_eq!([hurried.0, health.0, patient.0], [late; 3]);
    app.finish().await;
}

#[tokio::test]
async fn a_compressed_request_is_told_that_none_is_read_and_what_is() {
    let app = TestApp::start(Backend::Sqlite).await;
    let announced: &[_] = &[("grpc-encoding", "gzip")];
    for (path, headers, first) in
        [(REGISTER, announced, 1), (REGISTER, announced, 0), (REGISTER, &[], 1), (HEALTH, &[], 1)]
    {
        let (refused, headers) = told(&app, path, headers, &crate::support::framed(first, b"x"), true).await;
        assert_eq!(refused, (Code::Unimplemented, ErrorReason::CompressionUnsupported), "{path} {first}");
        assert_eq!(headers["grpc-accept-encoding"], "identity");
    }
    app.finish().await;
}

#[tokio::test]
async fn every_error_names_the_call_as_its_header_and_its_audit_event_do() {
    let app = TestApp::start(Backend::Sqlite).await;
    let key = format!("Bearer {}", app.operator_key());
    let missing = pb::SuspendUserRequest {
        user: "nobody@acme.example".to_owned(),
        reason: "on leave".to_owned(),
        ..Default::default()
    };
    let message = crate::support::framed(0, &prost::Message::encode_to_vec(&missing));
    let named = |headers: &http::HeaderMap| {
        let details = Status::from_header_map(headers).unwrap().get_error_details();
        let id = details.request_info().unwrap().request_id.clone();
        assert_eq!(headers["countersign-request-id"], *id);
        id
    };
    let mut seen = vec![];
    for path in [REGISTER, HEALTH, "/no.such.Service/Call", "/countersign.v1.UserService/SuspendUser"] {
        let headers: &[_] =
            if path.contains("Suspend") { &[("authorization", &*key)] } else { &[("grpc-timeout", "9S")] };
        let body = if path == HEALTH { crate::support::framed(0, b"\x0a\x01x") } else { message.clone() };
        seen.push(named(&told(&app, path, headers, &body, true).await.1));
    }
    let events = pb::ListEventsRequest { page_size: 10, ..Default::default() };
    let events = app.as_operator().audit().list_events(events).await.unwrap().into_inner().events;
    assert!(events.iter().any(|event| event.request_id == seen[3]), "{seen:?} {events:#?}");
    seen.dedup();
    assert_eq!(seen.len(), 4);
    app.finish().await;
}

/// Behind a dual-stack listener an IPv4 proxy shows an address that is mapped into IPv6.
#[tokio::test]
async fn a_trusted_proxy_is_known_by_its_address_in_either_form() {
    let settings = [
        ("listen", "[::]:0"),
        ("allow_plaintext", "true"),
        ("trusted_proxies", "127.0.0.0/8"),
        ("public_calls_per_source", "1"),
    ];
    let app = TestApp::start_with(Backend::Sqlite, &settings).await;
    let proxy = std::net::SocketAddr::from(([127, 0, 0, 1], app.address().port()));
    let proxy = tonic::transport::Endpoint::from_shared(format!("http://{proxy}")).unwrap().connect_lazy();
    let form = async |from: &str| {
        let mut request = Request::new(vec![]);
        request.metadata_mut().insert("x-forwarded-for", from.parse().unwrap());
        call(proxy.clone(), "/countersign.v1.RegistrationService/GetRegistrationForm", request).await
    };
    for (from, goes) in [
        ("192.0.2.1", true),
        ("192.0.2.2", true),
        ("::ffff:192.0.2.2", false),
        ("2001:db8::1", true),
        ("2001:db8::2", false),
        ("2001:db8:0:1::1", true),
    ] {
        let told = form(from).await;
        match goes {
            true => drop(told.unwrap_or_else(|refused| panic!("{from}: {refused:?}"))),
            false => assert_eq!(refusal(told), (Code::ResourceExhausted, ErrorReason::RateLimited), "{from}"),
        }
    }
    app.finish().await;
}

#[tokio::test]
async fn a_stale_access_token_is_no_companion_of_a_refresh() {
    let app = TestApp::start(Backend::Sqlite).await;
    let told = refusal(app.as_token("stale").refresh("whatever").await);
    assert_eq!(told, (Code::Unauthenticated, ErrorReason::CredentialInvalid));
    assert_eq!(refusal(app.anonymous().refresh("whatever").await), (Code::Unauthenticated, ErrorReason::TokenInvalid));
    app.finish().await;
}

/// Slow-loris: those who say nothing, and one who says a byte a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_begin_is_closed_and_keeps_nobody_out() {
    let app = TestApp::start(Backend::Sqlite).await;
    let mut silent = vec![];
    for _ in 0..100 {
        silent.push(TcpStream::connect(app.address()).await.unwrap());
    }
    let mut slow = TcpStream::connect(app.address()).await.unwrap();
    let dribbling = tokio::spawn(async move {
        for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" {
            if slow.write_all(&[*byte]).await.is_err() {
                return true;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        false
    });
    let served = call(app.channel(), "/countersign.v1.SessionService/GetSigningKeys", Request::new(vec![]));
    assert!(tokio::time::timeout(Duration::from_secs(3), served).await.unwrap().is_ok());
    for mut stream in silent {
        let ended = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut vec![])).await;
        assert!(ended.is_ok(), "who says nothing is still waited for");
    }
    assert!(dribbling.await.unwrap(), "who says a byte a second is still listened to");
    app.finish().await;
}

#[tokio::test]
async fn one_source_has_so_many_connections_and_others_still_connect() {
    let settings = [("connections_per_source", "3"), ("connections", "5")];
    let app = TestApp::start_with(Backend::Sqlite, &settings).await;
    let connect = async |from: [u8; 4]| {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((std::net::Ipv4Addr::from(from), 0).into()).unwrap();
        let mut stream = socket.connect(app.address()).await.unwrap();
        let closed = tokio::time::timeout(Duration::from_millis(300), stream.read_to_end(&mut vec![])).await;
        (closed.is_err(), stream)
    };
    let (here, there, elsewhere) = ([127, 0, 0, 1], [127, 0, 0, 2], [127, 0, 0, 3]);
    let mut open = vec![];
    for (from, stays) in
        [(here, true), (here, true), (here, true), (here, false), (there, true), (there, true), (elsewhere, false)]
    {
        let (stayed, stream) = connect(from).await;
        assert_eq!(stayed, stays, "{from:?}");
        open.push(stream);
    }
    open.truncate(2);
    let served = call(app.channel(), "/countersign.v1.SessionService/GetSigningKeys", Request::new(vec![])).await;
    assert!(served.is_ok(), "{served:?}");
    drop(open);
    app.finish().await;
}

/// A client that opens no window, and answers pings. `tests/run --test it -- --ignored a_client_that_takes_no_answer`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a client has up to thirty seconds"]
async fn a_client_that_takes_no_answer_loses_its_connection() {
    let app = TestApp::start(Backend::Sqlite).await;
    let stream = TcpStream::connect(app.address()).await.unwrap();
    let (client, connection) =
        h2::client::Builder::new().initial_window_size(0).handshake::<_, bytes::Bytes>(stream).await.unwrap();
    let ended = tokio::spawn(connection);
    let request = http::Request::post(format!("http://{}/countersign.v1.SessionService/GetSigningKeys", app.address()))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap();
    let (answer, mut body) = client.ready().await.unwrap().send_request(request, false).unwrap();
    body.send_data(crate::support::framed(0, b""), true).unwrap();
    let _untaken = answer.await.unwrap();
    let closed = tokio::time::timeout(Duration::from_secs(40), ended).await;
    assert!(closed.is_ok(), "the answer is still kept for it");
    app.finish().await;
}

#[tokio::test]
async fn ten_thousand_headers_are_too_many_and_the_server_goes_on() {
    let app = TestApp::start(Backend::Sqlite).await;
    let mut request = Request::new(vec![]);
    for number in 0..10_000 {
        let name: tonic::metadata::MetadataKey<_> = format!("x-{number}").parse().unwrap();
        request.metadata_mut().insert(name, MetadataValue::from_static("y"));
    }
    assert!(call(app.channel(), REGISTER, request).await.is_err());
    let after = call(app.channel(), "/countersign.v1.SessionService/GetSigningKeys", Request::new(vec![])).await;
    assert!(after.is_ok(), "{after:?}");
    app.finish().await;
}
