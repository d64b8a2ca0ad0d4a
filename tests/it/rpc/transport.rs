//! What the transport would answer by itself, answered with the right code and a public reason: too much, unreadable,
//! unknown, too late. Nothing of it changes anything.

use std::time::Duration;

use bytes::{Buf, BufMut};
use countersign::grpc::pb::ErrorReason;
use http::uri::PathAndQuery;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

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
    let stream = TcpStream::connect(app.address()).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::post(format!("http://{}{REGISTER}", app.address()))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", "1n")
        .body(())
        .unwrap();
    let (answer, mut body) = client.ready().await.unwrap().send_request(request, false).unwrap();
    body.send_data(bytes::Bytes::from_static(&[0; 5]), true).unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(5), answer).await.unwrap().unwrap();
    let status = Status::from_header_map(answer.headers()).unwrap();
    assert_eq!(refusal::<()>(Err(status)), (Code::DeadlineExceeded, ErrorReason::DeadlineExceeded));
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
