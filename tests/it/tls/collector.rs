//! Traces on their way to a collector that proves itself by a certificate.

use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{Authority, Files, Pair};
use crate::support::{Binary, Collector, Reachable as _};

fn proving(pair: &Pair) -> TlsAcceptor {
    let chain = vec![CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traces_leave_encrypted_and_only_to_a_collector_that_the_authority_vouches_for() {
    let (authority, stranger, files) = (Authority::new(), Authority::new(), Files::new());
    let ca = files.put("ca.pem", &authority.pem());
    for (by, arrives) in [(&authority, true), (&stranger, false)] {
        let (home, collector) = (tempfile::tempdir().unwrap(), Collector::start_over(proving(&by.server())).await);
        let binary = Binary::spawn_with(home.path(), None, |command| {
            command.env("COUNTERSIGN_OTLP_ENDPOINT", collector.url()).env("COUNTERSIGN_OTLP_CA_FILE", &ca);
        });
        let binary = binary.await;
        binary.as_operator().traced().user("").await.unwrap_err();
        assert!(binary.terminate());
        let taken = collector.taken();
        let span = memchr::memmem::find(&taken, b"countersign.v1.UserService/GetUser");
        assert_eq!(span.is_some(), arrives, "{} bytes", taken.len());
    }
}
