//! `countersign serve`: until a signal, or until it can't go on.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use tokio::signal::unix::{SignalKind, signal};

use super::Failure;
use crate::config::Config;
use crate::crypto::Secret;
use crate::serve::start;
use crate::telemetry;

/// Where the first operator's key is put when nobody watches.
const OPERATOR_KEY_FILE: &str = "operator.key";

pub(super) async fn serve(config: &Config) -> Result<(), Failure> {
    let telemetry = telemetry::start(telemetry::Options {
        pretty: config.log_format.is_pretty(),
        filter: config.log_filter.0.clone(),
        otlp_endpoint: config.otlp_endpoint.as_ref().map(|endpoint| endpoint.0.clone()),
        metrics_listen: config.metrics_listen,
    })?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "countersign");
    for line in config.describe() {
        tracing::debug!(setting = line, "effective");
    }
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut server = start(config).await?;
    if let Some(key) = server.first_key.take() {
        hand_over(&key, config, &server.address.to_string())?;
    }
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

/// Shows the first operator's key once: on the terminal, with a call that works when pasted; else in a file.
fn hand_over(key: &Secret<String>, config: &Config, address: &str) -> Result<(), Failure> {
    if io::stdout().is_terminal() {
        let key = key.expose();
        let how = match &config.tls_cert_file {
            Some(certificate) => format!("-cacert {}", certificate.display()),
            None => "-plaintext".to_owned(),
        };
        writeln!(
            io::stdout(),
            "\nThis is the first start. The operator's key, shown this once:\n\n  {key}\n\nTry it:\n\n  grpcurl {how} -H \
             'authorization: Bearer {key}' {address} countersign.v1.SessionService/GetMe\n"
        )?;
        return Ok(());
    }
    let file = config.data_dir.join(OPERATOR_KEY_FILE);
    write_private(&file, key.expose())?;
    tracing::info!(file = %file.display(), "this is the first start; the operator's key is in this file");
    Ok(())
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{text}")?;
    file.sync_all()
}
