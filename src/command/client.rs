//! The way to a running server, for the verbs that are clients of one.

use std::path::PathBuf;

use clap::Args;
use tonic::transport::{Channel, Endpoint};

use super::{Failure, causes};
use crate::dial;

/// Where a server is, and how it proves to be that one.
#[derive(Debug, Args)]
pub(super) struct Server {
    /// The server: `http://HOST:PORT`, or `https://HOST:PORT` with `--ca-file`.
    #[arg(long, default_value = "http://127.0.0.1:50051")]
    server: String,
    /// The PEM file of the authority that the server's certificate is checked by.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

impl Server {
    pub(super) async fn connect(self) -> Result<Channel, Failure> {
        let Self { server, ca_file } = self;
        let unusable = |error: tonic::transport::Error| other(format!("can't reach {server}: {}", causes(&error)));
        let endpoint = Endpoint::from_shared(server.clone()).map_err(unusable)?;
        let encrypted = endpoint.uri().scheme_str() == Some("https");
        match ca_file {
            None if encrypted => {
                Err(other("--ca-file must say by which authority the server's certificate is checked"))
            }
            None => endpoint.connect().await.map_err(unusable),
            Some(_) if !encrypted => Err(other("--ca-file is for https://HOST:PORT")),
            Some(file) => {
                let tls = dial::believing(&file).map_err(|error| other(causes(&error)))?;
                let shake = tower::service_fn(move |uri: http::Uri| dial::encrypted(tls.clone(), uri));
                endpoint.connect_with_connector(shake).await.map_err(unusable)
            }
        }
    }
}

pub(super) fn other(error: impl std::fmt::Display) -> Failure {
    Failure::Other(error.to_string())
}
