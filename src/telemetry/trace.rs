//! When a call gets a span, and what stands on it.
//!
//! A span costs allocations before any sampler is asked, so none is made unless somebody wants it: the caller, whose
//! W3C `traceparent` says "sampled" and whose credential is known, or the operator, because the call failed. Within such a
//! span the spans and events of our own modules are exported too. Names follow the OpenTelemetry conventions for RPC (semantic conventions 1.44).

use std::sync::OnceLock;
use std::time::SystemTime;

use http::HeaderValue;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{Span as _, SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracer;
use tracing::field::Empty;
use tracing::{Metadata, Span};
use tracing_opentelemetry::{OpenTelemetryLayer, OpenTelemetrySpanExt};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{DynFilterFn, LevelFilter};
use tracing_subscriber::registry::LookupSpan;

use super::metrics::code_name;

/// The target of server spans, which alone may begin a trace.
const SERVER: &str = "countersign::rpc";

static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// Lets calls have spans, of this tracer; later calls are without effect.
pub(super) fn enable(tracer: SdkTracer) {
    TRACER.get_or_init(|| tracer);
}

/// Exports server spans, and of our own modules what happens inside of one.
pub(super) fn layer<S>(tracer: SdkTracer) -> impl Layer<S>
where
    S: tracing::Subscriber + for<'span> LookupSpan<'span>,
{
    let wanted = DynFilterFn::new(|metadata, context: &tracing_subscriber::layer::Context<'_, S>| {
        metadata.target() == SERVER || (ours(metadata) && context.lookup_current().is_some())
    });
    let wanted = wanted.with_max_level_hint(LevelFilter::INFO).with_callsite_filter(|metadata| match ours(metadata) {
        true => tracing::subscriber::Interest::sometimes(),
        false => tracing::subscriber::Interest::never(),
    });
    OpenTelemetryLayer::new(tracer)
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        .with_filter(wanted)
}

fn ours(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with("countersign") && *metadata.level() <= tracing::Level::INFO
}

/// Whether traces are exported.
#[must_use]
pub fn is_exported() -> bool {
    TRACER.get().is_some()
}

/// The caller's trace by its `traceparent`, if the caller samples it; allocates only then.
#[must_use]
pub fn sampled_context(traceparent: &HeaderValue) -> Option<Context> {
    let flags = traceparent.as_bytes().get(FLAGS)?;
    let sampled = matches!(flags, b'1' | b'3' | b'5' | b'7' | b'9' | b'b' | b'd' | b'f');
    if sampled { extract(traceparent) } else { None }
}

/// Where the last digit of the flags stands: `00-`, 32 digits, `-`, 16 digits, `-`, 2 digits (W3C Trace Context § 3.2).
const FLAGS: usize = 54;

fn extract(traceparent: &HeaderValue) -> Option<Context> {
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &Parent(traceparent));
    context.span().span_context().is_valid().then_some(context)
}

/// Opens the span of a call of `method` (`package.Service/Method`) within the caller's trace.
#[must_use]
pub fn server_span(method: &str, caller: Context) -> Span {
    let trace_id = caller.span().span_context().trace_id();
    let span = tracing::info_span!(
        target: SERVER,
        "rpc",
        otel.name = method,
        otel.kind = "server",
        otel.status_code = Empty,
        rpc.system.name = "grpc",
        rpc.method = method,
        rpc.response.status_code = Empty,
        error.r#type = Empty,
        %trace_id,
    );
    if let Err(error) = span.set_parent(caller) {
        tracing::debug!(%error, "a call is traced apart from its caller's trace");
    }
    span
}

/// Writes on the span of a call how it ended: a gRPC status code, 0 to 16.
pub fn finish(span: &Span, code: i32) {
    let name = code_name(code);
    span.record("rpc.response.status_code", name);
    if is_failure(code) {
        span.record("otel.status_code", "ERROR");
        span.record("error.type", name);
    }
}

/// Exports a span for a call that had none and failed, from `started` until now; does nothing if traces are not
/// exported or the code is not a failure of the server. `traceparent` says whose trace it belongs to, sampled or not.
pub fn record_failure(traceparent: Option<&HeaderValue>, method: &str, code: i32, started: SystemTime) {
    if let Some(tracer) = TRACER.get() {
        export_failure(tracer, traceparent, method, code, started);
    }
}

fn export_failure(tracer: &SdkTracer, traceparent: Option<&HeaderValue>, method: &str, code: i32, started: SystemTime) {
    if !is_failure(code) {
        return;
    }
    let name = code_name(code);
    let builder =
        tracer.span_builder(method.to_owned()).with_kind(SpanKind::Server).with_start_time(started).with_attributes([
            KeyValue::new("rpc.system.name", "grpc"),
            KeyValue::new("rpc.method", method.to_owned()),
            KeyValue::new("rpc.response.status_code", name),
            KeyValue::new("error.type", name),
        ]);
    let parent = traceparent.and_then(extract).unwrap_or_default();
    tracer.build_with_context(builder, &parent).set_status(Status::error(""));
}

/// Whether a code says that the server failed, rather than the caller: UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED,
/// INTERNAL, UNAVAILABLE, DATA_LOSS.
#[must_use]
pub fn is_failure(code: i32) -> bool {
    matches!(code, 2 | 4 | 12 | 13 | 14 | 15)
}

/// Whether a code says that, and nobody can bring it about from outside: UNKNOWN, INTERNAL, UNAVAILABLE, DATA_LOSS.
#[must_use]
pub fn is_fault(code: i32) -> bool {
    matches!(code, 2 | 13 | 14 | 15)
}

struct Parent<'a>(&'a HeaderValue);

impl Extractor for Parent<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        (key == "traceparent").then(|| self.0.to_str().ok()).flatten()
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent"]
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use opentelemetry::trace::TracerProvider;
    use opentelemetry_sdk::error::OTelSdkResult;
    use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, SpanData, SpanExporter};
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn only_a_sampled_caller_has_a_context() {
        exported(|| {
            assert!(sampled_context(&parent(SAMPLED)).is_some());
            assert!(sampled_context(&parent(&SAMPLED.replace("-01", "-00"))).is_none());
            for malformed in ["", "00", "00-zz-b7ad6b7169203331-01", &SAMPLED.replace("0af7", "zzzz")] {
                assert!(sampled_context(&parent(malformed)).is_none(), "{malformed}");
            }
        });
    }

    #[test]
    fn a_call_is_a_child_of_its_caller_and_carries_its_code() {
        let spans = exported(|| {
            let context = extract(&parent(SAMPLED)).unwrap();
            let span = server_span("countersign.v1.UserService/GetUser", context);
            span.in_scope(|| tracing::info_span!(target: "countersign::store", "load").in_scope(|| ()));
            finish(&span, 14);
        });
        let [load, call] = spans.as_slice() else { panic!("{spans:#?}") };
        assert_eq!(call.name, "countersign.v1.UserService/GetUser");
        assert_eq!(call.parent_span_id.to_string(), "b7ad6b7169203331");
        assert_eq!(call.span_context.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert!(matches!(call.status, Status::Error { .. }));
        assert!(call.attributes.contains(&KeyValue::new("rpc.response.status_code", "UNAVAILABLE")));
        assert!(call.attributes.contains(&KeyValue::new("error.type", "UNAVAILABLE")));
        assert_eq!(load.parent_span_id, call.span_context.span_id());
    }

    #[test]
    fn a_failure_of_the_server_leaves_a_span_also_where_nobody_sampled() {
        let unsampled = parent(&SAMPLED.replace("-01", "-00"));
        let exporter = Kept::default();
        let all = SdkTracerProvider::builder().with_sampler(Sampler::AlwaysOn);
        let provider = all.with_simple_exporter(exporter.clone()).build();
        for (caller, code) in [(Some(&unsampled), 14), (None, 13), (None, 7)] {
            let method = "countersign.v1.UserService/GetUser";
            export_failure(&provider.tracer("test"), caller, method, code, SystemTime::UNIX_EPOCH);
        }
        let spans = exporter.0.lock().unwrap().clone();
        let [of_caller, of_nobody] = spans.as_slice() else { panic!("{spans:#?}") };
        assert_eq!(of_caller.span_context.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert!(matches!(of_nobody.status, Status::Error { .. }));
    }

    #[test]
    fn outside_a_call_nothing_is_exported() {
        let spans = exported(|| {
            tracing::info_span!(target: "countersign::store", "load").in_scope(|| ());
            tracing::info_span!(target: "h2", "connection").in_scope(|| ());
        });
        assert!(spans.is_empty(), "{spans:#?}");
    }

    fn parent(traceparent: &str) -> HeaderValue {
        traceparent.parse().unwrap()
    }

    fn exported(work: impl FnOnce()) -> Vec<SpanData> {
        let exporter = Kept::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
        enable(provider.tracer("test"));
        let subscriber = tracing_subscriber::registry().with(layer(provider.tracer("test")));
        tracing::subscriber::with_default(subscriber, work);
        exporter.0.lock().unwrap().clone()
    }

    #[derive(Clone, Debug, Default)]
    struct Kept(Arc<Mutex<Vec<SpanData>>>);

    impl SpanExporter for Kept {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            self.0.lock().unwrap().extend(batch);
            Ok(())
        }
    }
}
