//! `countersign serve`: until a signal, or until it can't go on.

use tokio::signal::unix::{SignalKind, signal};

use super::Failure;
use crate::config::Config;
use crate::serve::start;
use crate::telemetry;

pub(super) async fn serve(config: &Config) -> Result<(), Failure> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let telemetry = telemetry::start(telemetry::Options {
        pretty: config.log_format.is_pretty(),
        filter: config.log_filter.0.clone(),
        otlp_endpoint: config.otlp_endpoint.as_ref().map(|endpoint| endpoint.0.clone()),
        otlp_ca_file: config.otlp_ca_file.clone(),
        metrics_listen: config.metrics_listen,
    })?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "countersign");
    for line in config.describe() {
        tracing::debug!(setting = line, "effective");
    }
    // Whatever a start waits for, a locked database say, it can be given up: what it had begun is rolled back.
    let started = tokio::select! {
        started = start(config) => Some(started?),
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
    };
    let Some(mut server) = started else {
        tracing::info!("stopped while starting");
        telemetry.flush().await;
        return Ok(());
    };
    tracing::info!(address = %server.address, "serving");
    let outcome = tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        why = server.failed() => Err(Failure::Other(why)),
    };
    tracing::info!("stopping");
    server.stop(config.shutdown_pause, config.shutdown_grace).await;
    telemetry.flush().await;
    outcome
}
