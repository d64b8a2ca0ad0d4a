//! Every metric: name, kind, unit, meaning; and the handles through which modules move them.
//!
//! A handle is resolved once, when its owner is built, and then costs an atomic operation; labels are never built per
//! call and never hold an identifier. Handles made before the recorder is installed do nothing. Units are in the names
//! (`_seconds`, `_total`), as Prometheus wants.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, SharedString, Unit};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder};
use tokio::task::AbortHandle;

use super::scrape;

/// The boundaries that the OpenTelemetry conventions ask of `rpc.server.call.duration`.
const RPC_SECONDS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// From a decision out of the cache to one that waited for a tail.
const DECISION_SECONDS: &[f64] =
    &[1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 1e-3, 5e-3, 0.025, 0.1, 0.5, 1.0];

/// From one round trip on a socket to a database in trouble.
const DATABASE_SECONDS: &[f64] = &[2.5e-4, 5e-4, 1e-3, 2e-3, 3e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];

/// The names of the gRPC status codes, by number.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

const UNKNOWN: usize = 2;

/// The name of a gRPC status code; a number that is none is UNKNOWN.
#[must_use]
pub fn code_name(code: i32) -> &'static str {
    CODES[code_index(code)]
}

fn code_index(code: i32) -> usize {
    usize::try_from(code).ok().filter(|code| *code < CODES.len()).unwrap_or(UNKNOWN)
}

enum Kind {
    Counter,
    Gauge,
    Histogram(&'static [f64]),
}

struct Metric {
    name: &'static str,
    kind: Kind,
    help: &'static str,
}

macro_rules! metrics {
    ($($constant:ident = $name:literal $kind:expr, $help:literal;)*) => {
        $(const $constant: &str = $name;)*
        const METRICS: &[Metric] = &[$(Metric { name: $name, kind: $kind, help: $help }),*];
    };
}

metrics! {
    CALLS = "rpc_server_call_duration_seconds" Kind::Histogram(RPC_SECONDS),
        "Duration of calls, by method and status code.";
    REFUSALS = "countersign_unaudited_refusals_total" Kind::Counter,
        "Calls refused without an audit event of their own, by reason.";
    DECISIONS = "countersign_decision_duration_seconds" Kind::Histogram(DECISION_SECONDS),
        "Duration of decisions including their facts, by outcome.";
    LOCAL_LOOKUPS = "countersign_local_cache_lookups_total" Kind::Counter,
        "Look-ups of snapshots in this process, by outcome.";
    ENTRIES = "countersign_cache_entries" Kind::Gauge,
        "Snapshots held in this process.";
    TAILS = "countersign_tail_duration_seconds" Kind::Histogram(DATABASE_SECONDS),
        "Duration of polls of the change log, by outcome.";
    WRITES = "countersign_write_duration_seconds" Kind::Histogram(DATABASE_SECONDS),
        "Duration of transactions that change something, from begin to commit.";
    LOCKED = "countersign_realm_lock_duration_seconds" Kind::Histogram(DATABASE_SECONDS),
        "How long changes hold their realm's row, from the lock to the end of the transaction.";
    STATEMENTS = "countersign_database_statements_total" Kind::Counter,
        "Statements sent on the connections that changes are made on.";
    CONNECTIONS = "countersign_database_connections" Kind::Gauge,
        "Connections to the database, by state.";
    SKEW = "countersign_clock_skew_seconds" Kind::Gauge,
        "By how much this machine's clock is ahead of the database's; negative if it is behind.";
    HASHES_WAITING = "countersign_password_hash_queue" Kind::Gauge,
        "Password hashes that wait for a permit.";
    COMPARISONS = "countersign_password_comparisons_total" Kind::Counter,
        "Passwords that were compared with a hash, also for accounts that there are not.";
    OUTBOX = "countersign_outbox_messages" Kind::Gauge,
        "Messages in the outbox, by state.";
    DELIVERIES = "countersign_mail_deliveries_total" Kind::Counter,
        "Attempts to deliver a message, by outcome.";
}

/// Why the endpoint for Prometheus did not start.
#[derive(Debug, thiserror::Error)]
pub enum ExporterError {
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error(transparent)]
    Bind(#[from] std::io::Error),
    #[error("another recorder is installed")]
    Installed,
}

/// Binds the endpoint, installs the recorder of the process and describes every metric to it.
pub(super) fn serve(address: SocketAddr) -> Result<AbortHandle, ExporterError> {
    let recorder = builder()?.build_recorder();
    let serving = scrape::serve(address, recorder.handle())?;
    metrics::set_global_recorder(recorder).map_err(|_| ExporterError::Installed)?;
    describe();
    Ok(serving)
}

fn builder() -> Result<PrometheusBuilder, BuildError> {
    METRICS.iter().try_fold(PrometheusBuilder::new(), |builder, metric| match metric.kind {
        Kind::Histogram(buckets) => builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), buckets),
        Kind::Counter | Kind::Gauge => Ok(builder),
    })
}

fn describe() {
    for &Metric { name, ref kind, help } in METRICS {
        match kind {
            Kind::Counter => metrics::describe_counter!(name, Unit::Count, help),
            Kind::Gauge => metrics::describe_gauge!(name, Unit::Count, help),
            Kind::Histogram(_) => metrics::describe_histogram!(name, Unit::Seconds, help),
        }
    }
}

/// Calls, by method and status code.
pub struct Calls {
    methods: Box<[Method]>,
}

/// A series appears when its first call ends; most pairs of method and code never do.
struct Method {
    name: SharedString,
    by_code: [OnceLock<Histogram>; CODES.len()],
}

impl Calls {
    /// For these methods (`package.Service/Method`), which [`Calls::record`] names by their position.
    pub fn new(methods: impl IntoIterator<Item = String>) -> Self {
        let method = |name: String| Method { name: name.into(), by_code: Default::default() };
        Self { methods: methods.into_iter().map(method).collect() }
    }

    /// Counts a call; a position that no method has is ignored.
    pub fn record(&self, method: usize, code: i32, took: Duration) {
        let Some(method) = self.methods.get(method) else {
            return;
        };
        let code = code_index(code);
        let series = method.by_code[code].get_or_init(|| {
            let labels = [("rpc_method", method.name.clone()), ("rpc_response_status_code", CODES[code].into())];
            metrics::histogram!(CALLS, &labels)
        });
        series.record(took);
    }
}

macro_rules! handles {
    ($(
        $(#[$doc:meta])*
        $name:ident { $($field:ident: $handle:ident = $kind:ident($metric:ident $(, $label:literal => $value:literal)?),)* }
    )*) => {$(
        $(#[$doc])*
        pub struct $name {
            $(pub $field: $handle,)*
        }

        impl $name {
            /// Resolves the handles at the recorder that is installed now.
            #[must_use]
            pub fn register() -> Self {
                Self { $($field: metrics::$kind!($metric $(, $label => $value)?),)* }
            }
        }
    )*};
}

handles! {
    /// Refusals that leave no audit event of their own: too many, or nobody is known who could be named.
    Refusals {
        unauthenticated: Counter = counter(REFUSALS, "reason" => "unauthenticated"),
        invalid: Counter = counter(REFUSALS, "reason" => "invalid"),
        throttled: Counter = counter(REFUSALS, "reason" => "throttled"),
    }

    /// Decisions, by outcome.
    Decisions {
        allowed: Histogram = histogram(DECISIONS, "outcome" => "allowed"),
        denied: Histogram = histogram(DECISIONS, "outcome" => "denied"),
        undecided: Histogram = histogram(DECISIONS, "outcome" => "undecided"),
    }

    /// The cache of snapshots in this process.
    LocalCache {
        hits: Counter = counter(LOCAL_LOOKUPS, "outcome" => "hit"),
        misses: Counter = counter(LOCAL_LOOKUPS, "outcome" => "miss"),
        entries: Gauge = gauge(ENTRIES),
    }

    /// Polls of the change log.
    Tail {
        polls: Histogram = histogram(TAILS, "outcome" => "ok"),
        failures: Histogram = histogram(TAILS, "outcome" => "failure"),
    }

    /// The record: its transactions, and the connections of its pool.
    Database {
        writes: Histogram = histogram(WRITES),
        locked: Histogram = histogram(LOCKED),
        statements: Counter = counter(STATEMENTS),
        skew: Gauge = gauge(SKEW),
        used: Gauge = gauge(CONNECTIONS, "state" => "used"),
        idle: Gauge = gauge(CONNECTIONS, "state" => "idle"),
    }

    /// The pool that hashes passwords.
    Hashing {
        waiting: Gauge = gauge(HASHES_WAITING),
        comparisons: Counter = counter(COMPARISONS),
    }

    /// The outbox and its delivery.
    Mail {
        waiting: Gauge = gauge(OUTBOX, "state" => "waiting"),
        dead: Gauge = gauge(OUTBOX, "state" => "dead"),
        delivered: Counter = counter(DELIVERIES, "outcome" => "delivered"),
        failed: Counter = counter(DELIVERIES, "outcome" => "failed"),
        refused: Counter = counter(DELIVERIES, "outcome" => "refused_by_server"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_method_and_code() {
        let text = rendered(|| {
            let calls = Calls::new(["countersign.v1.UserService/GetUser".to_owned()]);
            calls.record(0, 0, Duration::from_millis(7));
            calls.record(0, 99, Duration::from_secs(60));
            calls.record(1, 0, Duration::from_millis(1));
        });
        let series = |code: &str| {
            format!("rpc_method=\"countersign.v1.UserService/GetUser\",rpc_response_status_code=\"{code}\"")
        };
        for line in [
            format!("rpc_server_call_duration_seconds_bucket{{{},le=\"0.005\"}} 0", series("OK")),
            format!("rpc_server_call_duration_seconds_bucket{{{},le=\"0.01\"}} 1", series("OK")),
            format!("rpc_server_call_duration_seconds_count{{{}}} 1", series("OK")),
            format!("rpc_server_call_duration_seconds_count{{{}}} 1", series("UNKNOWN")),
        ] {
            assert!(text.lines().any(|is| is == line), "{line} is not in {text}");
        }
        assert_eq!(text.matches("_count").count(), 2, "{text}");
    }

    #[test]
    fn every_handle_is_a_described_metric() {
        let text = rendered(|| {
            Refusals::register().invalid.increment(1);
            Decisions::register().denied.record(3e-6);
            let local = LocalCache::register();
            local.entries.set(4.0);
            local.hits.increment(1);
            Tail::register().polls.record(0.001);
            let database = Database::register();
            database.writes.record(0.001);
            database.locked.record(0.001);
            database.statements.increment(1);
            database.used.set(1.0);
            database.skew.set(0.0);
            let hashing = Hashing::register();
            hashing.waiting.set(1.0);
            hashing.comparisons.absolute(1);
            let mail = Mail::register();
            mail.dead.set(1.0);
            mail.failed.increment(1);
            let calls = Calls::new(["a/b".to_owned()]);
            calls.record(0, 0, Duration::ZERO);
        });
        for metric in METRICS {
            let help = format!("# HELP {} {}", metric.name, metric.help);
            assert!(text.contains(&help), "{help} is not in {text}");
        }
        assert!(!text.contains("summary"), "{text}");
    }

    #[tokio::test]
    async fn an_address_that_is_taken_is_refused_at_once() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(matches!(serve(taken.local_addr().unwrap()), Err(ExporterError::Bind(_))));
    }

    fn rendered(work: impl FnOnce()) -> String {
        let recorder = builder().unwrap().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            describe();
            work();
        });
        handle.render()
    }
}
