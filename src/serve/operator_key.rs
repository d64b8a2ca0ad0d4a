//! The operator's key of a first start: where it comes from, and how it is handed over.
//!
//! It is handed over before the database is begun, since what can't be written or shown after that would be lost for
//! ever. The file is the same for every attempt: what a start wrote that was killed before it began the database is what
//! the next one finds, and an operator may put a key there beforehand.

use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;

use super::StartError;
use crate::app::App;
use crate::config::Config;
use crate::crypto::Secret;
use crate::crypto::api_key::ApiKey;
use crate::crypto::secret_file::{self, Maker};

/// A key that will be the operator's, and where its owner finds it.
pub(super) struct OperatorKey {
    pub(super) key: ApiKey,
    place: Place,
}

enum Place {
    Terminal,
    /// Written by this start.
    Made(PathBuf),
    /// There before this start.
    Found(PathBuf),
}

impl OperatorKey {
    /// Takes the key that is in its file. If there is no such file, makes a key, and shows it on the terminal if one
    /// watches, else writes it there.
    ///
    /// # Errors
    /// [`StartError::OperatorKey`] if the file holds something else, [`StartError::Secret`] if it can't be read or made.
    pub(super) fn hand_over(config: &Config, address: SocketAddr) -> Result<Self, StartError> {
        let file = config.operator_key_file.clone();
        if !file.exists() {
            let key = ApiKey::generate();
            if io::stdout().is_terminal() {
                show(&key, config, address).map_err(|error| StartError::File("the terminal".to_owned(), error))?;
                return Ok(Self { key, place: Place::Terminal });
            }
            if secret_file::create(&file, key.expose())? {
                return Ok(Self { key, place: Place::Made(file) });
            }
        }
        let key = Self::read(config)?;
        Ok(Self { key, place: Place::Found(file) })
    }

    fn read(config: &Config) -> Result<ApiKey, StartError> {
        let file = &config.operator_key_file;
        let maker = if config.is_given("operator_key_file") { Maker::Operator } else { Maker::Service };
        let text = secret_file::read(file, maker)?;
        ApiKey::parse(text.trim()).ok_or_else(|| StartError::OperatorKey(file.display().to_string()))
    }

    /// Says where the key is, once it counts.
    pub(super) fn tell(&self) {
        const LOST: &str = "should it be lost, `countersign key recover` makes another";
        match &self.place {
            Place::Terminal => tracing::info!("the operator's key was shown on the terminal; {LOST}"),
            Place::Made(file) => {
                tracing::info!(file = %file.display(), "this is the first start; the operator's key is in this file; {LOST}");
            }
            Place::Found(file) => {
                tracing::info!(file = %file.display(), "this is the first start; the key in this file is the operator's; {LOST}");
            }
        }
    }

    /// Takes back a key that counts nowhere, since another process began the database meanwhile.
    pub(super) async fn withdraw(self, app: &App) {
        if app.authenticate(self.key.expose(), None).await.is_ok() {
            return;
        }
        match self.place {
            Place::Made(file) => {
                tracing::info!(file = %file.display(), "another process began the database, and has the operator's key");
                if let Err(error) = std::fs::remove_file(&file) {
                    tracing::warn!(file = %file.display(), %error, "the key in this file is nobody's");
                }
            }
            Place::Found(file) => not_known(&file.display().to_string()),
            Place::Terminal => tracing::warn!("another process began the database: the key that was shown is nobody's"),
        }
    }

    /// Warns of a key that was supplied to a database that does not know it.
    pub(super) async fn require_known(config: &Config, app: &App) {
        if !config.is_given("operator_key_file") || !config.operator_key_file.exists() {
            return;
        }
        let known = match Self::read(config) {
            Ok(key) => app.authenticate(key.expose(), None).await.is_ok(),
            Err(_) => false,
        };
        if !known {
            not_known(&config.operator_key_file.display().to_string());
        }
    }

    /// The key, for whoever started the server in its own process.
    pub(super) fn into_secret(self) -> Secret<String> {
        Secret::new(self.key.expose().to_owned())
    }
}

fn not_known(file: &str) {
    tracing::warn!(
        file,
        "the database does not know the key in this file, which counts at the very first start alone; `countersign key \
         recover` makes an operator's key"
    );
}

/// Shows the key once, with a call that works when pasted.
fn show(key: &ApiKey, config: &Config, address: SocketAddr) -> io::Result<()> {
    let key = key.expose();
    let how = match &config.tls_cert_file {
        Some(certificate) => format!("-cacert {}", certificate.display()),
        None => "-plaintext".to_owned(),
    };
    writeln!(
        io::stdout(),
        "\nThis is the first start. The operator's key, shown this once:\n\n  {key}\n\nTry it:\n\n  grpcurl {how} -H \
         'authorization: Bearer {key}' {address} countersign.v1.SessionService/GetMe\n"
    )
}
