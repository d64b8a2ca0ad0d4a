//! Serving connections: HTTP/2 on each, the services behind it, and an end that does not depend on the client.

use std::convert::Infallible;
use std::hash::{BuildHasher as _, RandomState};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body::Body as _;
use hyper::body::Incoming as RequestBody;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;

use super::answer::{Answer, LOOK, PIECE_BYTES};
use super::connection::{Connection, Incoming, Open, Peer};
use super::layers::{Answered, Services};
use super::quota::Quota;
use super::status;
use crate::app::Reason;

/// The most bytes of metadata that a call may come with.
const HEADER_BYTES_MAX: u32 = 16 << 10;
/// The most calls under way on one connection.
const STREAMS_PER_CONNECTION: u32 = 1024;
/// What a client may send of one request before any of it is read: the default of HTTP/2 (RFC 9113 section 6.9.2).
const STREAM_WINDOW_BYTES: u32 = (64 << 10) - 1;
/// The same, of all requests on a connection. Half of it is what h2 0.4.20 lets the frames weigh that came and were not
/// taken, 256 bytes for each small one: enough for a small request on each of [`STREAMS_PER_CONNECTION`].
const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;
/// What is handed to the network of one answer before the client has taken any of it.
const SEND_BUFFER_BYTES: usize = 64 << 10;
/// A silent connection is pinged after so long, and closed if it stays silent for as long again.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// After at most so long a connection is asked to end; calls under way do. Who connects anew proves anew who it is:
/// issuers of workload certificates replace them when half of their hour is over (SPIRE), so that none ends on a
/// connection.
const CONNECTION_AGE: Duration = Duration::from_secs(30 * 60);
/// Connections end up to so much earlier, each at a time of its own, so that those made together are not renewed together.
const CONNECTION_AGE_JITTER: Duration = Duration::from_secs(5 * 60);
/// How long a client has to take its leave once the server ends and nothing is under way.
const GOODBYE: Duration = Duration::from_millis(500);
/// What large answers that wait for their clients may hold, by source and in all.
const ANSWER_BYTES_MAX: (usize, usize) = (32 << 20, 96 << 20);

/// Serves what comes in until `stop`; then lets calls under way end. Dropping it ends them.
pub async fn serve(services: Services, mut incoming: Incoming, stop: CancellationToken) {
    let (answers, ages) = (Quota::new(ANSWER_BYTES_MAX.0, ANSWER_BYTES_MAX.1), RandomState::new());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            connection = incoming.next() => {
                let peer = connection.peer();
                let seconds = ages.hash_one((peer.source, peer.port)) % CONNECTION_AGE_JITTER.as_secs();
                let age = CONNECTION_AGE - Duration::from_secs(seconds);
                let served = Served { services: services.clone(), peer, answers: Arc::clone(&answers) };
                connections.spawn(serve_one(served, connection, age, stop.clone()));
            }
            Some(_ended) = connections.join_next() => {}
        }
    }
    // The listener goes first: who connects now is told so at once.
    drop(incoming);
    while connections.join_next().await.is_some() {}
}

async fn serve_one(served: Served, connection: Connection, age: Duration, stop: CancellationToken) {
    let peer = Arc::clone(&served.peer);
    let mut http = pin!(protocol().serve_connection(TokioIo::new(connection), served));
    let (mut aged, mut looks) = (pin!(sleep(age)), every(LOOK));
    let (mut old, mut stopping) = (false, false);
    loop {
        tokio::select! {
            biased;
            ended = &mut http => {
                if let Err(error) = ended {
                    tracing::debug!(%error, peer = %peer.source, "a connection failed");
                }
                return;
            }
            () = &mut aged, if !old => {
                old = true;
                http.as_mut().graceful_shutdown();
            }
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                looks = every(GOODBYE);
                http.as_mut().graceful_shutdown();
            }
            _ = looks.tick() => match stopping {
                true if peer.calls.load(Ordering::Relaxed) == 0 => return,
                false if peer.unread.look() => {
                    tracing::debug!(peer = %peer.source, "a client that did not take its answers is closed");
                    return;
                }
                _ => {}
            }
        }
    }
}

/// Ticks at the end of each period.
fn every(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.reset();
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

fn protocol() -> http2::Builder<TokioExecutor> {
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .max_header_list_size(HEADER_BYTES_MAX)
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE);
    http
}

/// The services, for one connection.
struct Served {
    services: Services,
    peer: Arc<Peer>,
    answers: Arc<Quota>,
}

impl hyper::service::Service<Request<RequestBody>> for Served {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<RequestBody>) -> Answering {
        let call = self.services.call(request.map(Body::new), Arc::clone(&self.peer));
        Answering { call, open: Some(Open::new(&self.peer)), answers: Arc::clone(&self.answers) }
    }
}

/// A call whose answer is encoded as soon as it is there.
struct Answering {
    call: BoxFuture<'static, Answered>,
    /// Taken along by the answer.
    open: Option<Open>,
    answers: Arc<Quota>,
}

impl Future for Answering {
    type Output = Result<Response<Answer>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Answered { response, call, writes } = ready!(self.call.as_mut().poll(cx));
        let Some(open) = self.open.take() else { return Poll::Pending };
        let (mut head, mut body) = response.into_parts();
        let mut first = match body.is_end_stream() {
            true => None,
            false => match Pin::new(&mut body).poll_frame(cx) {
                Poll::Ready(Some(frame)) => Some(frame),
                Poll::Ready(None) | Poll::Pending => None,
            },
        };
        let mut share = None;
        if let Some(Ok(frame)) = &first
            && let Some(bytes) = frame.data_ref().map(Bytes::len).filter(|bytes| *bytes > PIECE_BYTES)
        {
            share = self.answers.take(open.0.source.network(), bytes).ok();
            // What was changed is told all the same.
            if share.is_none() && !writes {
                let refused = status::plain(Reason::Overloaded, "too many answers wait for their clients", call);
                let mut refused = status::response(refused);
                status::name(&mut refused, call);
                (head, body) = refused.into_parts();
                first = None;
            }
        }
        let answer = Answer::new(first, body, open, share);
        Poll::Ready(Ok(Response::from_parts(head, answer)))
    }
}
