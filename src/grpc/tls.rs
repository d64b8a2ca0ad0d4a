//! TLS of the server's own: its certificate, whose client certificates it believes, and what such a certificate says.
//!
//! The files are read at the start and looked at again by a background task ([`Tls::look`]): new connections are served
//! what they hold by then, connections under way go on as they began. Files that can't be used change nothing.

mod authorities;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use der::asn1::{GeneralizedTime, SequenceRef, UtcTime};
use der::{Reader, SliceReader, Tag, TagMode, TagNumber};
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::NoServerSessionStorage;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{self, ServerConfig};
use tokio_rustls::server::TlsStream;
use webpki::EndEntityCert;

use self::authorities::Authorities;
use crate::domain::time::Timestamp;
use crate::domain::workload::{SpiffeId, Workload};

/// Which files TLS is made of, each PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The server's certificate, then those that lead to its authority.
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// The authorities whose client certificates are believed, by their trust domain; without any, clients are not asked
    /// for one.
    pub client_authorities: Vec<(String, PathBuf)>,
    /// Whether a client without a certificate is turned away.
    pub client_required: bool,
}

/// Why TLS can't be served. Never holds anything of a key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("can't read {0}")]
    File(PathBuf, #[source] std::io::Error),
    #[error("{0} holds no certificate, or one that can't be read")]
    NoCertificate(PathBuf),
    #[error("{0} holds no private key, or one that can't be read")]
    NoKey(PathBuf),
    #[error("{certificate} and {key} can't be served together")]
    Pair {
        certificate: PathBuf,
        key: PathBuf,
        #[source]
        source: rustls::Error,
    },
    #[error("{0} holds no authority that client certificates can be checked by")]
    Authorities(PathBuf, #[source] rustls::server::VerifierBuilderError),
    #[error("{0} holds a certificate that can't be an authority")]
    NoAuthority(PathBuf, #[source] rustls::Error),
    #[error("the protocol versions can't be served")]
    Versions(#[source] rustls::Error),
}

/// What new connections are served.
#[derive(Debug)]
pub struct Tls {
    files: TlsFiles,
    current: ArcSwap<Served>,
}

/// One state of the files.
#[derive(Debug)]
struct Served {
    /// Of what the files held, so that a look at unchanged files costs no more than reading them.
    digest: [u8; 32],
    config: Arc<ServerConfig>,
}

/// What the files hold.
struct Texts {
    certificate: Vec<u8>,
    key: zeroize::Zeroizing<Vec<u8>>,
    /// In the order of the files.
    client_authorities: Vec<Vec<u8>>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`], naming the file.
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let texts = Texts::read(&files)?;
        let served = Served { digest: texts.digest(), config: Arc::new(config(&files, &texts)?) };
        Ok(Self { files, current: ArcSwap::from_pointee(served) })
    }

    /// Looks whether the files have changed, and serves what they hold from now on. Blocks for as long as reading a few
    /// small files takes.
    ///
    /// # Errors
    /// [`TlsError`]; then what was served before goes on being served.
    pub fn look(&self) -> Result<(), TlsError> {
        let texts = Texts::read(&self.files)?;
        let digest = texts.digest();
        if digest != self.current.load().digest {
            let config = Arc::new(config(&self.files, &texts)?);
            self.current.store(Arc::new(Served { digest, config }));
            tracing::info!(certificate = %self.files.certificate.display(), "new connections are served new TLS files");
        }
        Ok(())
    }

    /// Shakes hands with a client.
    pub(super) async fn accept(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        let config = Arc::clone(&self.current.load().config);
        TlsAcceptor::from(config).accept(stream).await
    }
}

impl Texts {
    fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let read = |path: &PathBuf| std::fs::read(path).map_err(|error| TlsError::File(path.clone(), error));
        Ok(Self {
            certificate: read(&files.certificate)?,
            key: read(&files.key)?.into(),
            client_authorities: files
                .client_authorities
                .iter()
                .map(|(_, path)| read(path))
                .collect::<Result<_, _>>()?,
        })
    }

    fn digest(&self) -> [u8; 32] {
        let Self { certificate, key, client_authorities } = self;
        let mut digest = Sha256::new();
        for text in [certificate, &**key].into_iter().chain(client_authorities) {
            digest.update(Sha256::digest(text));
        }
        digest.finalize().into()
    }
}

/// One crypto provider, named and not looked up: the process has no other.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn config(files: &TlsFiles, texts: &Texts) -> Result<ServerConfig, TlsError> {
    let chain = certificates(&files.certificate, &texts.certificate)?;
    let key = PrivateKeyDer::from_pem_slice(&texts.key).map_err(|_| TlsError::NoKey(files.key.clone()))?;
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(TlsError::Versions)?;
    let builder = match files.client_authorities.is_empty() {
        true => builder.with_no_client_auth(),
        false => {
            let files_and_texts = files.client_authorities.iter().zip(&texts.client_authorities);
            let bundles = files_and_texts.map(|((domain, path), text)| (domain.as_str(), path, text.as_slice()));
            builder.with_client_cert_verifier(Arc::new(Authorities::new(bundles, files.client_required)?))
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|source| TlsError::Pair {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        source,
    })?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    // A resumed session would bring back a client certificate without looking at it again. Connections last; what
    // resuming would save is little.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn certificates(path: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    found.ok().filter(|found| !found.is_empty()).ok_or_else(|| TlsError::NoCertificate(path.to_owned()))
}

/// Whom the certificate names that the other end of a connection proved; `None` = nobody.
pub(super) fn workload(stream: &TlsStream<TcpStream>) -> Option<Workload> {
    let leaf = stream.get_ref().1.peer_certificates()?.first()?;
    Some(Workload { spiffe_id: spiffe_id(leaf)?, expires_at: end(leaf).ok()? })
}

/// The SPIFFE id of a certificate: an X.509 SVID has one URI among its names (X509-SVID section 2). One with two names
/// nobody.
fn spiffe_id(leaf: &CertificateDer<'_>) -> Option<SpiffeId> {
    let named = EndEntityCert::try_from(leaf).ok()?;
    let mut uris = named.valid_uri_names();
    SpiffeId::parse(uris.next().filter(|_| uris.next().is_none())?)
}

/// When a certificate ends, exclusive: its last second still belongs to it (RFC 5280 section 4.1.2.5).
fn end(certificate: &[u8]) -> der::Result<Timestamp> {
    let mut signed = inside(&mut SliceReader::new(certificate)?)?;
    let mut body = inside(&mut signed)?;
    body.context_specific::<u8>(TagNumber(0), TagMode::Explicit)?;
    for _before in ["serial number", "algorithm", "issuer"] {
        body.tlv_bytes()?;
    }
    let mut validity = inside(&mut body)?;
    validity.tlv_bytes()?;
    let not_after = match Tag::peek(&validity)? {
        Tag::UtcTime => validity.decode::<UtcTime>()?.to_unix_duration(),
        _ => validity.decode::<GeneralizedTime>()?.to_unix_duration(),
    };
    let exclusive = not_after + Duration::from_secs(1);
    Ok(Timestamp(i64::try_from(exclusive.as_micros()).unwrap_or(i64::MAX)))
}

/// What stands in the sequence that comes next.
fn inside<'a>(reader: &mut SliceReader<'a>) -> der::Result<SliceReader<'a>> {
    SliceReader::new(reader.decode::<&SequenceRef>()?.as_bytes())
}
