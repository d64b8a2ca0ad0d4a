//! The `countersign` command: `serve`, `migrate`, `config`, `backup`, `restore`, `restored` and `key`.
//!
//! `key create` is a client of a running server; all else works on the configuration of this machine. Standard output is
//! for what was asked for, standard error and the log for everything else.

mod backup;
mod client;
mod key;
mod serve;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::config::{Config, ConfigError, Flags};
use crate::serve::StartError;
use crate::store::Schema;

/// The exit code of unusable arguments or settings: `EX_USAGE` of sysexits.
const USAGE: u8 = 64;
/// How long work that was given up may take to notice.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// gRPC identity and access service: who is this, and may they do this?
#[derive(Debug, Parser)]
#[command(name = "countersign", version, arg_required_else_help = true)]
pub struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Serves; by default with everything embedded, under ./data.
    Serve(Settings),
    /// Brings the schema of the database up to date.
    Migrate(Settings),
    /// Prints the effective settings, each with its source, secrets hidden.
    Config(Settings),
    /// Copies the embedded record into a file, also while the server runs.
    Backup(backup::Backup),
    /// Puts a copy of the embedded record in its place, while no server runs.
    Restore(backup::Restore),
    /// After the database was restored by its own tools: ends the sessions, refresh tokens and codes that came back.
    Restored(backup::Restored),
    /// Makes API keys.
    #[command(subcommand)]
    Key(key::Key),
}

#[derive(Debug, clap::Args)]
struct Settings {
    #[command(flatten)]
    flags: Flags,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    #[error(transparent)]
    Telemetry(#[from] crate::telemetry::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    App(#[from] crate::app::Error),
    #[error("{0}")]
    Other(String),
}

impl Command {
    /// Does what the arguments say.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return complain(&error.into()),
        };
        let outcome = runtime.block_on(self.verb.run());
        // What was given up may be in a call of the system, and is not waited for.
        runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
        match outcome {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => complain(&failure),
        }
    }
}

impl Verb {
    async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Serve(settings) => serve::serve(&Config::load(&settings.flags)?).await,
            Self::Migrate(settings) => migrate(&Config::load(&settings.flags)?).await,
            Self::Config(settings) => show(&Config::load(&settings.flags)?),
            Self::Backup(backup) => backup.run().await,
            Self::Restore(restore) => restore.run().await,
            Self::Restored(restored) => restored.run().await,
            Self::Key(key) => key.run().await,
        }
    }
}

async fn migrate(config: &Config) -> Result<(), Failure> {
    let (store, _lock) = crate::serve::open(config).await?;
    store.migrate().await?;
    let schema = store.schema().await?;
    store.close().await;
    match schema {
        Schema::Ahead(changes) => say(&format!("nothing to do: the schema is {changes} changes ahead of this version")),
        _ => say("the schema is up to date"),
    }
}

fn show(config: &Config) -> Result<(), Failure> {
    config.describe().iter().try_for_each(|line| say(line))
}

/// Prints a line that was asked for.
fn say(line: &str) -> Result<(), Failure> {
    Ok(writeln!(io::stdout(), "{line}")?)
}

/// An error and what caused it, the outermost first. What an outer one has said already is left out.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}

/// Says on standard error what failed, with every cause.
fn complain(failure: &Failure) -> ExitCode {
    // Where standard error is gone there is nobody left to tell.
    let _told = writeln!(io::stderr(), "countersign: {}", causes(failure));
    if matches!(failure, Failure::Config(_)) { ExitCode::from(USAGE) } else { ExitCode::FAILURE }
}
