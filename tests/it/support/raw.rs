//! A bare HTTP/2 connection, for what no gRPC client does.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use http::Request;
use tokio::net::TcpStream;

/// A connection that sends what it is told to, and takes answers as far as they are asked for.
pub(crate) struct Raw {
    address: SocketAddr,
    requests: SendRequest<Bytes>,
}

impl Raw {
    /// Connects.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (requests, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        Self { address, requests }
    }

    /// Begins a call with these headers. What it sends is up to the caller; `None` = the connection has ended.
    pub(crate) async fn call(
        &mut self,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Option<(ResponseFuture, SendStream<Bytes>)> {
        let mut request = Request::post(format!("http://{}{path}", self.address))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut requests = self.requests.clone().ready().await.ok()?;
        requests.send_request(request.body(()).unwrap(), false).ok()
    }
}

/// A message as it goes over the wire, its prefix included; `compressed` is its first byte.
pub(crate) fn framed(compressed: u8, message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[compressed][..], &length, message].concat().into()
}
