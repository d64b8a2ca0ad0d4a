//! Where spans are sent to: a gRPC server that takes whatever comes and keeps its bytes.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Response};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A collector; it ends with the test.
#[derive(Clone)]
pub(crate) struct Collector {
    scheme: &'static str,
    address: SocketAddr,
    taken: Arc<Mutex<Vec<u8>>>,
}

impl Collector {
    /// Starts one.
    pub(crate) async fn start() -> Self {
        Self::start_with(None).await
    }

    /// Starts one that proves itself.
    pub(crate) async fn start_over(tls: TlsAcceptor) -> Self {
        Self::start_with(Some(tls)).await
    }

    async fn start_with(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let collector = Self { scheme, address: listener.local_addr().unwrap(), taken: Arc::default() };
        let taken = Arc::clone(&collector.taken);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, taken) = (tls.clone(), Arc::clone(&taken));
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, taken).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, taken).await;
                            }
                        }
                    }
                });
            }
        });
        collector
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Every message so far: protobuf, in which texts stand as they are.
    pub(crate) fn taken(&self) -> Vec<u8> {
        self.taken.lock().clone()
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, taken: Arc<Mutex<Vec<u8>>>) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, answer))) = connection.accept().await {
        tokio::spawn(take(request.into_body(), answer, Arc::clone(&taken)));
    }
}

async fn take(mut body: RecvStream, mut answer: SendResponse<Bytes>, taken: Arc<Mutex<Vec<u8>>>) {
    while let Some(Ok(part)) = body.data().await {
        let _refilled = body.flow_control().release_capacity(part.len());
        taken.lock().extend_from_slice(&part);
    }
    let head = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
    let Ok(mut stream) = answer.send_response(head, false) else { return };
    // An empty message, uncompressed.
    let _sent = stream.send_data(Bytes::from_static(&[0; 5]), false);
    let _ended = stream.send_trailers(HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from(0))]));
}
