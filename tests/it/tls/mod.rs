//! TLS: what is served, and whom a client's certificate stands for.
//!
//! [`World`] is a server with TLS on either database, under an authority that the test has made and that vouches for
//! whomever the test likes.

mod collector;
mod grpcurl;
mod serving;
mod workloads;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::WantsClientCert;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ConfigBuilder, DEFAULT_VERSIONS, RootCertStore, SupportedProtocolVersion};
use tonic::transport::{Channel, Endpoint};

use crate::support::{Backend, Caller, Reachable as _, TestApp};

/// Somebody who vouches for certificates.
struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key, both PEM.
struct Pair {
    certificate: String,
    key: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, "an authority of the tests");
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// Vouches for a server on this machine.
    fn server(&self) -> Pair {
        self.vouch(CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap())
    }

    /// Vouches for whoever is named by these URIs.
    fn client(&self, uris: &[&str]) -> Pair {
        self.client_until(uris, 4096)
    }

    /// As [`Authority::client`], until that year begins.
    fn client_until(&self, uris: &[&str], year: i32) -> Pair {
        let mut params = CertificateParams::default();
        params.subject_alt_names = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())).collect();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        self.vouch(params)
    }

    fn vouch(&self, params: CertificateParams) -> Pair {
        let key = KeyPair::generate().unwrap();
        Pair { certificate: params.signed_by(&key, &self.0).unwrap().pem(), key: key.serialize_pem() }
    }
}

/// The files that a server's TLS is made of.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Replaces a file as issuers do: whole.
    fn put(&self, name: &str, text: &str) -> String {
        let (draft, path) = (self.path("draft"), self.path(name));
        fs::write(&draft, text).unwrap();
        fs::rename(draft, &path).unwrap();
        shown(&path)
    }

    fn put_pair(&self, pair: &Pair) {
        self.put("server.pem", &pair.certificate);
        self.put("server.key", &pair.key);
    }
}

fn shown(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// A server with TLS that believes its authority's client certificates.
struct World {
    app: TestApp,
    authority: Authority,
    /// The one of the trust domain `other.example`, where `authority` is that of `example.org`.
    other: Authority,
    files: Files,
}

/// Runs a body on a fresh server.
async fn run(backend: Backend, body: impl AsyncFnOnce(&World)) {
    let world = World::start(backend, &[]).await;
    Box::pin(body(&world)).await;
    world.app.finish().await;
}

impl World {
    async fn start(backend: Backend, more: &[(&'static str, &str)]) -> Self {
        let (authority, files) = (Authority::new(), Files::new());
        files.put_pair(&authority.server());
        let other = Authority::new();
        let (ca, other_ca) = (files.put("ca.pem", &authority.pem()), files.put("other.pem", &other.pem()));
        let believed = format!("example.org={ca}, other.example={other_ca}");
        let (certificate, key) = (shown(&files.path("server.pem")), shown(&files.path("server.key")));
        let mut settings: Vec<(&'static str, &str)> =
            vec![("tls_cert_file", &certificate), ("tls_key_file", &key), ("tls_client_ca_files", &believed)];
        settings.extend(more);
        let app = TestApp::start_with(backend, &settings).await;
        Self { app, authority, other, files }
    }

    /// A connection of its own, proved by this certificate if any.
    async fn connect(&self, own: Option<&Pair>) -> Result<Channel, tonic::transport::Error> {
        let builder = trusting(&self.authority, DEFAULT_VERSIONS);
        let mut config = match own {
            None => builder.with_no_client_auth(),
            Some(Pair { certificate, key }) => {
                let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
                builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap()).unwrap()
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        let (config, address) = (Arc::new(config), self.app.address());
        let shake = tower::service_fn(move |_: http::Uri| {
            let config = Arc::clone(&config);
            async move { Ok::<_, io::Error>(TokioIo::new(shake_hands(address, config).await?)) }
        });
        Endpoint::from_shared(format!("https://{address}")).unwrap().connect_with_connector(shake).await
    }

    /// Whoever has this certificate, by a connection of their own.
    async fn holder(&self, of: &Pair) -> Caller {
        Caller::over(self.connect(Some(of)).await.unwrap())
    }

    async fn anonymous(&self) -> Caller {
        Caller::over(self.connect(None).await.unwrap())
    }

    async fn operator(&self) -> Caller {
        self.anonymous().await.with_credential(self.app.operator_key())
    }
}

/// A client that believes this authority and nobody else.
fn trusting(
    authority: &Authority,
    versions: &[&'static SupportedProtocolVersion],
) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    builder.with_protocol_versions(versions).unwrap().with_root_certificates(roots)
}

async fn shake_hands(with: SocketAddr, config: Arc<ClientConfig>) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(config).connect(name, TcpStream::connect(with).await?).await
}
