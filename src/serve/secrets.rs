//! The secrets that a start reads from settings and files, and the root key that the very first one makes.

use std::path::Path;

use super::StartError;
use crate::config::{Config, DatabaseUrl, PostgresUrl};
use crate::crypto::key_file::RootKeyError;
use crate::crypto::root_key::{RootKey, RootKeys};
use crate::crypto::secret_file;

/// Reads the root keys for a database with this check value; `None` = nobody has begun it, and then a root key that is
/// missing is made.
///
/// # Errors
/// [`StartError::RootKey`], [`StartError::RootKeyMissing`], [`StartError::RootKeyForeign`].
pub(super) fn root_keys(config: &Config, check_value: Option<&[u8]>) -> Result<RootKeys, StartError> {
    if check_value.is_some() && !has_root_key(config) {
        return Err(StartError::RootKeyMissing(config.root_key_file.display().to_string()));
    }
    let keys = read_root_keys(config).map_err(StartError::RootKey)?;
    match check_value.map(|kept| keys.opens(kept)) {
        Some(None) => Err(StartError::RootKeyForeign),
        Some(Some(_)) | None => Ok(keys),
    }
}

/// Whether there is a root key, so that none is made.
pub(super) fn has_root_key(config: &Config) -> bool {
    config.root_key.is_some() || config.root_key_file.exists()
}

fn read_root_keys(config: &Config) -> Result<RootKeys, RootKeyError> {
    let is_operators = config.is_given("root_key_file") || matches!(config.database_url, DatabaseUrl::Postgres(_));
    let current = match &config.root_key {
        Some(text) => RootKey::parse(text.expose())?,
        None if is_operators && config.root_key_file.exists() => RootKey::load(&config.root_key_file)?,
        None => RootKey::load_or_create(&config.root_key_file)?,
    };
    let previous = match (&config.previous_root_key, &config.previous_root_key_file) {
        (Some(text), _) => Some(RootKey::parse(text.expose())?),
        (None, Some(file)) => Some(RootKey::load(file)?),
        (None, None) => None,
    };
    Ok(RootKeys::new(&current, previous.as_ref()))
}

/// The URL with the password that its file holds.
pub(super) fn with_password(config: &Config, url: &PostgresUrl) -> Result<PostgresUrl, StartError> {
    match &config.database_password_file {
        Some(file) => url.with_password(&password_in(file)?).map_err(StartError::DatabaseUrl),
        None => Ok(url.clone()),
    }
}

/// The first line of a file.
pub(super) fn password_in(file: &Path) -> Result<String, StartError> {
    Ok(secret_file::read_line(file)?.to_string())
}
