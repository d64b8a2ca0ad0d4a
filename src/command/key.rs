//! `countersign key create` and `countersign key recover`.

use clap::{Args, Subcommand};
use tonic::metadata::{Ascii, MetadataValue};

use super::client::{Server, other};
use super::{Failure, Settings, say};
use crate::config::Config;
use crate::crypto::Secret;
use crate::grpc::pb;

#[derive(Debug, Subcommand)]
pub(super) enum Key {
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
    key_file: std::path::PathBuf,
    /// The realm of the service account.
    #[arg(long)]
    realm: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Recover {
    /// The platform account.
    #[arg(default_value = "operator")]
    service_account: String,
    #[command(flatten)]
    settings: Settings,
}

impl Key {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run().await,
            Self::Recover(recover) => recover.run().await,
        }
    }
}

impl Create {
    async fn run(self) -> Result<(), Failure> {
        let Self { service_account, title, server, key_file, realm } = self;
        let own = Secret::new(std::fs::read_to_string(&key_file)?);
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
        let Self { service_account, settings } = self;
        let config = Config::load(&settings.flags)?;
        let (store, _lock) = crate::serve::open(&config).await?;
        let app = crate::serve::build(&config, store)?;
        let key = app.recover_key(&service_account).await?;
        app.store().close().await;
        say(key.expose())
    }
}
