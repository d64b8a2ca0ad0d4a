//! `countersign key new`, `key create` and `key recover`.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use tonic::metadata::{Ascii, MetadataValue};

use super::client::{Server, other};
use super::{Failure, Settings, say};
use crate::app::OPERATOR;
use crate::config::Config;
use crate::crypto::Secret;
use crate::crypto::api_key::ApiKey;
use crate::crypto::secret_file;
use crate::grpc::pb;
use crate::serve;

/// Where a recovered key is put, in the data directory, if no terminal watches.
const RECOVERED: &str = "recovered.key";

#[derive(Debug, Subcommand)]
pub(super) enum Key {
    /// Prints a new key that is nobody's: for `operator_key_file`, whose key the first start makes the operator's.
    New,
    /// Makes an API key of a service account, on a running server.
    Create(Create),
    /// Makes a new key of a platform account, offline, on the record itself: the way back when every key is lost.
    Recover(Recover),
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// The service account: its id or its name.
    service_account: String,
    /// What the key is for.
    #[arg(long, default_value = "")]
    title: String,
    #[command(flatten)]
    server: Server,
    /// The file that holds the caller's own key.
    #[arg(long, default_value = "data/operator.key")]
    key_file: PathBuf,
    /// The realm of the service account.
    #[arg(long)]
    realm: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Recover {
    /// The platform account. There must be one of that name; the operator's is made again if it was deleted.
    #[arg(default_value = OPERATOR)]
    service_account: String,
    /// The file to put the key into, made for this user alone. Without it the key is shown on the terminal; if there is
    /// none, it is in `recovered.key` in the data directory.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

impl Key {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::New => say(ApiKey::generate().expose()),
            Self::Create(create) => create.run().await,
            Self::Recover(recover) => recover.run().await,
        }
    }
}

impl Create {
    async fn run(self) -> Result<(), Failure> {
        let Self { service_account, title, server, key_file, realm } = self;
        let own = std::fs::read_to_string(&key_file);
        let own =
            Secret::new(own.map_err(|error| other(format!("can't read the key in {}: {error}", key_file.display())))?);
        let channel = server.connect().await?;
        let mut client = pb::service_account_service_client::ServiceAccountServiceClient::new(channel);
        let asked = pb::CreateApiKeyRequest { service_account, title, ..pb::CreateApiKeyRequest::default() };
        let mut request = tonic::Request::new(asked);
        let bearer: MetadataValue<Ascii> = format!("Bearer {}", own.expose().trim()).parse().map_err(other)?;
        request.metadata_mut().insert("authorization", bearer);
        if let Some(realm) = realm {
            request.metadata_mut().insert("countersign-realm", realm.parse().map_err(other)?);
        }
        let made = client.create_api_key(request).await;
        let made = made.map_err(|status| Failure::Other(status.message().to_owned()))?.into_inner();
        say(&made.secret)
    }
}

impl Recover {
    async fn run(self) -> Result<(), Failure> {
        let Self { service_account, key_file, settings } = self;
        let config = Config::load(&settings.flags)?;
        let (store, _lock) = serve::open(&config).await?;
        serve::bring_schema_up(&store, false).await?;
        let app = serve::build_on(&config, store).await?;
        let key = ApiKey::generate();
        let shown = key_file.is_none() && io::stdout().is_terminal();
        let file = (!shown).then(|| key_file.unwrap_or_else(|| config.data_dir.join(RECOVERED)));
        // What can't be handed over is not made.
        file.as_deref().map_or(Ok(()), |file| put(&key, file))?;
        let recovered = app.recover_key(&service_account, &key).await;
        app.store().close().await;
        match (file, recovered) {
            (None, Ok(())) => say(key.expose()),
            (Some(file), Ok(())) => say(&format!("the key is in {}", file.display())),
            (file, Err(error)) => {
                if let Some(file) = file {
                    std::fs::remove_file(file)?;
                }
                Err(error.into())
            }
        }
    }
}

fn put(key: &ApiKey, file: &Path) -> Result<(), Failure> {
    match secret_file::create(file, key.expose()) {
        Ok(true) => Ok(()),
        Ok(false) => {
            Err(other(format!("{} is there already: move it away, or name another by --key-file", file.display())))
        }
        Err(error) => Err(serve::StartError::from(error).into()),
    }
}
