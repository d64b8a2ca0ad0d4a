//! The way to a running server, for the verbs that are clients of one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tonic::transport::{Channel, Endpoint};

use super::{Failure, causes};

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
                let tls = TlsConnector::from(Arc::new(believing(&file)?));
                let shake = tower::service_fn(move |uri: http::Uri| encrypted_stream(tls.clone(), uri));
                endpoint.connect_with_connector(shake).await.map_err(unusable)
            }
        }
    }
}

/// Believes the authorities of a file and nobody else.
fn believing(file: &Path) -> Result<ClientConfig, Failure> {
    let mut roots = RootCertStore::empty();
    let pem = std::fs::read(file).map_err(|error| other(format!("can't read {}: {error}", file.display())))?;
    for authority in CertificateDer::pem_slice_iter(&pem) {
        roots.add(authority.map_err(other)?).map_err(other)?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(other)?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

async fn encrypted_stream(
    tls: TlsConnector,
    uri: http::Uri,
) -> std::io::Result<TokioIo<tokio_rustls::client::TlsStream<TcpStream>>> {
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(443))).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(host.to_owned()).map_err(std::io::Error::other)?;
    Ok(TokioIo::new(tls.connect(name, stream).await?))
}

pub(super) fn other(error: impl std::fmt::Display) -> Failure {
    Failure::Other(error.to_string())
}
