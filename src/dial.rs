//! Connecting to a gRPC server that proves itself by a certificate: to a server of ours, or to a collector of traces.
//!
//! A leaf. Only the authorities of one file are believed, never the system's.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

/// Why a file's authorities can't be believed.
#[derive(Debug, thiserror::Error)]
pub enum AuthoritiesError {
    #[error("can't read {0}")]
    File(PathBuf, #[source] std::io::Error),
    #[error("{0} holds a certificate that can't be read")]
    Certificate(PathBuf, #[source] pem::Error),
    #[error("{0} holds a certificate that can't be an authority")]
    Authority(PathBuf, #[source] rustls::Error),
    #[error("the protocol versions can't be offered")]
    Versions(#[source] rustls::Error),
}

/// An encrypted connection, as HTTP/2 goes over it.
pub type Encrypted = TokioIo<tokio_rustls::client::TlsStream<TcpStream>>;

/// Believes the authorities of a PEM file and nobody else.
///
/// # Errors
/// [`AuthoritiesError`], naming the file.
pub fn believing(file: &Path) -> Result<TlsConnector, AuthoritiesError> {
    let named = || file.to_owned();
    let mut roots = RootCertStore::empty();
    let text = std::fs::read(file).map_err(|error| AuthoritiesError::File(named(), error))?;
    for authority in CertificateDer::pem_slice_iter(&text) {
        let authority = authority.map_err(|error| AuthoritiesError::Certificate(named(), error))?;
        roots.add(authority).map_err(|error| AuthoritiesError::Authority(named(), error))?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(AuthoritiesError::Versions)?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Connects to the host and port of a URI, 443 if it names none.
///
/// # Errors
/// Whatever keeps the server from being reached, or from being the one that the URI names.
pub async fn encrypted(tls: TlsConnector, uri: http::Uri) -> std::io::Result<Encrypted> {
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(443))).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(host.to_owned()).map_err(std::io::Error::other)?;
    Ok(TokioIo::new(tls.connect(name, stream).await?))
}
