//! Whose client certificates are believed: those of each trust domain by the authorities of that domain alone, so that no
//! authority can name a workload of another's (X509-SVID section 5). A certificate that names no workload is transport,
//! whichever of the authorities it is of.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::client::danger::HandshakeSignatureValid;
use tokio_rustls::rustls::pki_types::{CertificateDer, UnixTime};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
};

use super::{TlsError, certificates, provider, spiffe_id};

/// The authorities of one trust domain: the file, and what it holds.
pub(super) type Bundle<'a> = (&'a str, &'a PathBuf, &'a [u8]);

#[derive(Debug)]
pub(super) struct Authorities {
    by_domain: BTreeMap<String, Arc<dyn ClientCertVerifier>>,
    /// All of them, for certificates that name no workload.
    any: Arc<dyn ClientCertVerifier>,
}

impl Authorities {
    /// # Errors
    /// [`TlsError`], naming the file that can't be used.
    pub(super) fn new<'a>(bundles: impl Iterator<Item = Bundle<'a>>, required: bool) -> Result<Self, TlsError> {
        let (mut by_domain, mut all) = (BTreeMap::new(), RootCertStore::empty());
        let mut last = PathBuf::new();
        for (domain, path, text) in bundles {
            let mut roots = RootCertStore::empty();
            for authority in certificates(path, text)? {
                let is_none = |error| TlsError::NoAuthority(path.clone(), error);
                roots.add(authority.clone()).map_err(is_none)?;
                all.add(authority).map_err(is_none)?;
            }
            by_domain.insert(domain.to_owned(), verifier(path, roots, required)?);
            last.clone_from(path);
        }
        Ok(Self { by_domain, any: verifier(&last, all, required)? })
    }
}

fn verifier(path: &Path, roots: RootCertStore, required: bool) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    let builder = if required { builder } else { builder.allow_unauthenticated() };
    builder.build().map_err(|error| TlsError::Authorities(path.to_owned(), error))
}

impl ClientCertVerifier for Authorities {
    fn offer_client_auth(&self) -> bool {
        self.any.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.any.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.any.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let authorities = match spiffe_id(leaf) {
            None => &self.any,
            Some(id) => self
                .by_domain
                .get(id.trust_domain())
                .ok_or(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))?,
        };
        authorities.verify_client_cert(leaf, chain, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.any.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.any.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.any.supported_verify_schemes()
    }
}
