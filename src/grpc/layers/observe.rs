//! Counting calls, and tracing those whose callers do.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{HeaderMap, HeaderName, Response};
use tonic::Status;
use tonic::body::Body;
use tracing::Span;

use crate::app::CallId;
use crate::app::clock::Clock;
use crate::grpc::access::{Method, Methods};
use crate::telemetry::metrics::Calls;
use crate::telemetry::trace;

static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// What is known of a call while it runs.
pub(super) struct Seen {
    pub(super) call: CallId,
    /// Disabled unless the caller samples.
    pub(super) span: Span,
    method: &'static Method,
    began: Duration,
}

/// Sees every call come and go.
pub(super) struct Observer {
    process: u64,
    number: AtomicU64,
    calls: Calls,
}

impl Observer {
    pub(super) fn new(methods: &Methods) -> Self {
        let names = methods.all().into_iter().map(|(_, method)| method.full_name.clone());
        Self { process: CallId::new_process(), number: AtomicU64::new(1), calls: Calls::new(names) }
    }

    pub(super) fn begin(&self, method: &'static Method, headers: &HeaderMap) -> Seen {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let span = trace::remote_context(headers);
        let span = span.map_or_else(Span::none, |caller| trace::server_span(&method.full_name, caller));
        Seen { call: CallId { process: self.process, number }, span, method, began: Clock::elapsed() }
    }

    pub(super) fn end(&self, seen: Seen, response: &Response<Body>) {
        let code = Status::from_header_map(response.headers()).map_or(0, |status| i32::from(status.code()));
        self.calls.record(seen.method.index, code, Clock::elapsed().saturating_sub(seen.began));
        if !seen.span.is_none() {
            trace::finish(&seen.span, code);
        }
    }
}

/// The trace that a call belongs to, for the audit log: the second field of a W3C `traceparent`.
pub(super) fn trace_id(headers: &HeaderMap) -> Option<String> {
    let parent = headers.get(&TRACEPARENT)?.to_str().ok()?;
    let id = parent.split('-').nth(1)?;
    let well_formed = id.len() == 32 && id.bytes().all(|c| c.is_ascii_hexdigit()) && id.bytes().any(|c| c != b'0');
    well_formed.then(|| id.to_ascii_lowercase())
}
