//! Services whose contract is not ours: health and reflection. They are public, cost little, and end.
//!
//! How many of their calls are open is bounded by source and in all; one whose client sends nothing for a while ends, and
//! all of them end when the server does.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as _, Frame};
use tokio::time::{Sleep, sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::Status;
use tonic::body::Body;

use super::{Shared, authn, caught, deadline};
use crate::app::{CallId, Error, Reason};
use crate::grpc::access::FOREIGN;
use crate::grpc::connection::Peer;
use crate::grpc::direct::Directed;
use crate::grpc::quota::{Quota, Share};
use crate::grpc::receive::{PUBLIC_MESSAGE_BYTES_MAX, Sender};
use crate::grpc::status;

/// How many calls one source may have open. A client that watches health has one for each of its connections.
const OPEN_PER_SOURCE: usize = 512;
/// How many there may be in all.
const OPEN: usize = 4096;
/// A stream whose client sends nothing for so long ends.
const IDLE: Duration = Duration::from_secs(30);
/// When one that was refused may come again.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Which service is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Foreign {
    /// Takes one message, answers with one or with a stream.
    Health,
    /// Takes a stream.
    Reflection,
}

/// What the calls of these services share.
pub(super) struct Bounds {
    open: Arc<Quota>,
    closing: CancellationToken,
}

impl Bounds {
    pub(super) fn new(closing: CancellationToken) -> Self {
        Self { open: Quota::new(OPEN_PER_SOURCE, OPEN), closing }
    }
}

impl Foreign {
    pub(super) fn of(path: &str) -> Option<Self> {
        let of = |(prefix, foreign): (&str, Self)| path.starts_with(prefix).then_some(foreign);
        let [health, v1, v1alpha] = FOREIGN;
        [(health, Self::Health), (v1, Self::Reflection), (v1alpha, Self::Reflection)].into_iter().find_map(of)
    }

    pub(super) async fn answer(
        self,
        door: &Shared,
        inner: Directed,
        request: Request<Body>,
        peer: &Arc<Peer>,
        call: CallId,
    ) -> Result<Response<Body>, Status> {
        let deadline = deadline::of(request.headers());
        let source = authn::source(peer.source, request.headers(), &door.trusted_proxies);
        let full = Error::Later { reason: Reason::Overloaded, retry_after: RETRY_AFTER };
        let seat = door.foreign.open.take(source.network(), 1).map_err(|_| status::status(&full, call))?;
        let (mut head, body) = request.into_parts();
        let answer = async {
            let body = match self {
                Self::Health => {
                    let sender = Sender { source, ..Sender::unknown(peer, &head.headers) };
                    let received = door.room.receive(body, PUBLIC_MESSAGE_BYTES_MAX, sender).await;
                    received.map_err(|error| status::status(&error, call))?
                }
                Self::Reflection => Body::new(Ending::new(body, door.foreign.closing.clone())),
            };
            head.extensions.insert(call);
            let response = caught(inner, Request::from_parts(head, body)).await;
            response.ok_or_else(|| status::status(&Error::internal("the handler panicked"), call))
        };
        let response = deadline.bound(answer, call).await?;
        Ok(response.map(|body| if body.is_end_stream() { body } else { Body::new(Seated { body, _seat: seat }) }))
    }
}

/// A request that ends by itself where its client neither sends nor ends it.
struct Ending {
    body: Body,
    idle: Pin<Box<Sleep>>,
    closing: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Ending {
    fn new(body: Body, closing: CancellationToken) -> Self {
        Self { body, idle: Box::pin(sleep(IDLE)), closing: Box::pin(closing.cancelled_owned()) }
    }
}

impl http_body::Body for Ending {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            self.idle.set(sleep(IDLE));
            return Poll::Ready(frame);
        }
        if self.idle.as_mut().poll(cx).is_ready() || self.closing.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        Poll::Pending
    }
}

/// An answer that keeps its seat until it ends.
struct Seated {
    body: Body,
    _seat: Share,
}

impl http_body::Body for Seated {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}
