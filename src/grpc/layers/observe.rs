//! Counting calls, and tracing those whose callers do.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use http_body::{Body as _, Frame};
use tonic::body::Body;
use tonic::{Code, Status};
use tracing::Span;

use crate::app::CallId;
use crate::app::clock::Clock;
use crate::grpc::access::{Method, Methods};
use crate::telemetry::metrics::{Calls, Refusals};
use crate::telemetry::trace;

static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Sees every call come and go.
pub(super) struct Observer {
    process: u64,
    number: AtomicU64,
    counted: Arc<Counted>,
    clock: Clock,
}

/// What is counted of calls.
struct Counted {
    calls: Calls,
    refusals: Refusals,
}

impl Counted {
    fn add(&self, method: usize, code: Code, took: Duration) {
        self.calls.record(method, code.into(), took);
        match code {
            Code::Unauthenticated => self.refusals.unauthenticated.increment(1),
            Code::InvalidArgument => self.refusals.invalid.increment(1),
            Code::ResourceExhausted => self.refusals.throttled.increment(1),
            _ => {}
        }
    }
}

/// What is known of a call while it runs.
pub(super) struct Seen {
    pub(super) call: CallId,
    /// Disabled unless the caller is known and samples.
    pub(super) span: Span,
    /// Whether the caller is known: only then does what it says of its trace count.
    known: bool,
    traceparent: Option<HeaderValue>,
    method: &'static Method,
    began: Duration,
}

impl Observer {
    pub(super) fn new(methods: &Methods, clock: Clock) -> Self {
        let names = methods.all().into_iter().map(|(_, method)| method.full_name.clone());
        let counted = Arc::new(Counted { calls: Calls::new(names), refusals: Refusals::register() });
        Self { process: CallId::new_process(), number: AtomicU64::new(1), counted, clock }
    }

    /// Names a call.
    pub(super) fn id(&self) -> CallId {
        CallId { process: self.process, number: self.number.fetch_add(1, Ordering::Relaxed) }
    }

    pub(super) fn begin(&self, method: &'static Method) -> Seen {
        let (span, began) = (Span::none(), Clock::elapsed());
        Seen { call: self.id(), span, known: false, traceparent: None, method, began }
    }

    /// Counts a call that was answered. One that is answered with a stream counts when its stream ends.
    pub(super) fn end(&self, seen: Seen, response: Response<Body>) -> Response<Body> {
        let ended = Ended { counted: Arc::clone(&self.counted), clock: self.clock.clone(), seen };
        if ended.seen.method.streams && !response.body().is_end_stream() {
            return response.map(|body| Body::new(Stream { body, ended: Some(ended) }));
        }
        ended.with(code(response.headers()));
        response
    }
}

impl Seen {
    /// The caller is known: its trace goes on here, if it samples.
    pub(super) fn admit(&mut self, headers: &HeaderMap) {
        self.known = true;
        if trace::is_exported() {
            self.traceparent = headers.get(&TRACEPARENT).cloned();
            let caller = self.traceparent.as_ref().and_then(trace::sampled_context);
            self.span = caller.map_or_else(Span::none, |caller| trace::server_span(&self.method.full_name, caller));
        }
    }
}

/// What is left to say of a call.
struct Ended {
    counted: Arc<Counted>,
    clock: Clock,
    seen: Seen,
}

impl Ended {
    fn with(self, code: Code) {
        let Seen { call, span, known, traceparent, method, began } = self.seen;
        let (number, took) = (i32::from(code), Clock::elapsed().saturating_sub(began));
        self.counted.add(method.index, code, took);
        if !span.is_none() {
            trace::finish(&span, number);
        } else if trace::is_exported() && (known || trace::is_fault(number)) {
            let now = Duration::from_micros(u64::try_from(self.clock.now().0).unwrap_or(0));
            let started = UNIX_EPOCH + now.saturating_sub(took);
            trace::record_failure(traceparent.as_ref(), &method.full_name, number, started);
        }
        if code != Code::Ok {
            tracing::debug!(%call, method = method.full_name, code = ?code, "a call failed");
        }
    }
}

/// A stream, counted when it ends.
struct Stream {
    body: Body,
    ended: Option<Ended>,
}

impl http_body::Body for Stream {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let next = Pin::new(&mut self.body).poll_frame(cx);
        let code = match &next {
            Poll::Ready(Some(Ok(frame))) => frame.trailers_ref().map(code),
            Poll::Ready(Some(Err(failed))) => Some(failed.code()),
            Poll::Ready(None) => Some(Code::Ok),
            Poll::Pending => None,
        };
        if let Some((ended, code)) = code.and_then(|code| Some((self.ended.take()?, code))) {
            ended.with(code);
        }
        next
    }
}

impl Drop for Stream {
    /// The caller left.
    fn drop(&mut self) {
        if let Some(ended) = self.ended.take() {
            ended.with(Code::Cancelled);
        }
    }
}

fn code(headers: &HeaderMap) -> Code {
    Status::from_header_map(headers).map_or(Code::Ok, |status| status.code())
}

/// The trace that a call belongs to, for the audit log: the second field of a W3C `traceparent`.
pub(super) fn trace_id(headers: &HeaderMap) -> Option<String> {
    let parent = headers.get(&TRACEPARENT)?.to_str().ok()?;
    let id = parent.split('-').nth(1)?;
    let well_formed = id.len() == 32 && id.bytes().all(|c| c.is_ascii_hexdigit()) && id.bytes().any(|c| c != b'0');
    well_formed.then(|| id.to_ascii_lowercase())
}
