//! Logs, traces and metrics: started here, flushed here.
//!
//! Logs go to standard error. Traces leave by OTLP, metrics wait on a port of their own for Prometheus; without an
//! endpoint or an address neither costs anything. What is measured is listed in [`metrics`]; when a call gets a span is
//! decided in [`trace`]. Of ours only `dial` is imported: any module may use it, only `serve` starts it.

pub mod metrics;
mod scrape;
pub mod trace;

use std::io::{IsTerminal, stderr};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{OTEL_EXPORTER_OTLP_TIMEOUT_DEFAULT, SpanExporter, WithExportConfig, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tokio::task::AbortHandle;
use tonic::transport::Endpoint;
use tracing::Metadata;
use tracing_subscriber::filter::{FilterExt, FilterFn, LevelFilter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Layer};

use crate::dial::{self, AuthoritiesError};

/// How long a collector may take to accept the last spans.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// What to start.
#[derive(Clone, Debug)]
pub struct Options {
    /// Lines for people rather than JSON.
    pub pretty: bool,
    /// What is logged, as `tracing` directives. `sqlx` and `sea_orm` stay at WARN whatever it says: below that they
    /// show statements, and the connection's URL with its password.
    pub filter: String,
    /// The collector of traces (gRPC); none = no traces.
    pub otlp_endpoint: Option<http::Uri>,
    /// PEM file of the authorities by which the collector proves itself; needed with `https`.
    pub otlp_ca_file: Option<PathBuf>,
    /// Where Prometheus asks; none = no metrics.
    pub metrics_listen: Option<SocketAddr>,
}

/// Why telemetry did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("log filter: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    #[error("trace exporter: {0}")]
    Traces(#[from] opentelemetry_otlp::ExporterBuildError),
    #[error("trace exporter: {0}")]
    Authorities(#[from] AuthoritiesError),
    #[error("metrics on {address}: {source}")]
    Metrics { address: SocketAddr, source: metrics::ExporterError },
    #[error("logs: {0}")]
    Logs(#[from] TryInitError),
}

/// What [`start`] started. Dropping it stops nothing and loses the last spans: call [`Telemetry::flush`].
#[must_use]
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
    metrics: Option<AbortHandle>,
}

/// Starts logs, traces and metrics for the process; once, within a Tokio runtime, before any metric's handle is made.
///
/// # Errors
/// The address for metrics can't be bound; the collector's address can't be used; telemetry was started before.
pub fn start(options: Options) -> Result<Telemetry, Error> {
    let Options { pretty, filter, otlp_endpoint, otlp_ca_file, metrics_listen } = options;
    let traces = otlp_endpoint.map(|endpoint| exporting_to(endpoint, otlp_ca_file.as_deref())).transpose()?;
    let tracer = traces.as_ref().map(|provider| provider.tracer("countersign"));
    tracing_subscriber::registry()
        .with(tracer.clone().map(trace::layer))
        .with(log_layer(pretty, EnvFilter::try_new(filter)?))
        .try_init()?;
    if let Some(tracer) = tracer {
        trace::enable(tracer);
    }
    let metrics =
        metrics_listen.map(|address| metrics::serve(address).map_err(|source| Error::Metrics { address, source }));
    Ok(Telemetry { traces, metrics: metrics.transpose()? })
}

impl Telemetry {
    /// Sends what is still held, for at most five seconds, and closes the port of the metrics.
    pub async fn flush(self) {
        let Self { traces, metrics } = self;
        if let Some(metrics) = metrics {
            metrics.abort();
        }
        let Some(traces) = traces else { return };
        let flushed = tokio::task::spawn_blocking(move || traces.shutdown_with_timeout(FLUSH_TIMEOUT));
        if let Ok(Err(error)) = flushed.await {
            tracing::warn!(%error, "the last spans did not reach the collector");
        }
    }
}

/// Samples everything: a span is only made where one is wanted.
fn exporting_to(endpoint: http::Uri, ca_file: Option<&Path>) -> Result<SdkTracerProvider, Error> {
    let exporter = SpanExporter::builder().with_tonic();
    let exporter = match ca_file {
        None => exporter.with_endpoint(endpoint.to_string()).build()?,
        Some(file) => {
            let tls = dial::believing(file)?;
            let shake = tower::service_fn(move |uri: http::Uri| dial::encrypted(tls.clone(), uri));
            let channel = Endpoint::from(endpoint).timeout(OTEL_EXPORTER_OTLP_TIMEOUT_DEFAULT);
            exporter.with_channel(channel.connect_with_connector_lazy(shake)).build()?
        }
    };
    let resource = Resource::builder()
        .with_service_name(env!("CARGO_PKG_NAME"))
        .with_attribute(opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    Ok(SdkTracerProvider::builder()
        .with_sampler(Sampler::AlwaysOn)
        .with_resource(resource)
        .with_batch_exporter(exporter)
        .build())
}

fn log_layer<S>(pretty: bool, filter: EnvFilter) -> impl Layer<S>
where
    S: tracing::Subscriber + for<'span> LookupSpan<'span>,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(stderr);
    let lines = if pretty {
        lines.with_ansi(stderr().is_terminal()).boxed()
    } else {
        lines.json().flatten_event(true).with_span_list(false).boxed()
    };
    // Without the hint, the pair would have none, and every `trace!` of every crate would be asked about.
    let quiet = FilterFn::new(not_a_statement).with_max_level_hint(LevelFilter::TRACE);
    lines.with_filter(filter.and(quiet))
}

fn not_a_statement(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    let database = target.starts_with("sqlx") || target == "sea_orm" || target.starts_with("sea_orm::");
    !database || *metadata.level() <= tracing::Level::WARN
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::subscriber::with_default;
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[test]
    fn statements_are_not_logged_whatever_the_filter_says() {
        let seen = Seen::default();
        let filter = EnvFilter::new("trace,sqlx::query=trace,sea_orm=trace");
        let quiet = FilterFn::new(not_a_statement).with_max_level_hint(LevelFilter::TRACE);
        let layer = tracing_subscriber::fmt::layer().with_writer(seen.clone()).with_filter(filter.and(quiet));
        with_default(tracing_subscriber::registry().with(layer), || {
            tracing::info!(target: "sqlx::query", "SELECT");
            tracing::debug!(target: "sea_orm", "postgres://");
            tracing::warn!(target: "sea_orm::driver", "refused");
            tracing::trace!(target: "countersign", "ours");
        });
        let text = seen.text();
        assert!(text.contains("refused") && text.contains("ours"), "{text}");
        assert!(!text.contains("SELECT") && !text.contains("postgres://"), "{text}");
    }

    #[derive(Clone, Default)]
    struct Seen(Arc<Mutex<Vec<u8>>>);

    impl Seen {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl std::io::Write for Seen {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Seen {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }
}
