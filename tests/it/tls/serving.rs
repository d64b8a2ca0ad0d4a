//! What is served: TLS and nothing else, by the newest certificate, whatever some client does.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use countersign::config::{Config, Flags};
use countersign::grpc::pb;
use countersign::serve::{self, StartError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::rustls::SupportedProtocolVersion;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tonic::transport::Endpoint;

use super::{Authority, Backend, Files, World, shake_hands, trusting};
use crate::support::Caller;

const SOON: Duration = Duration::from_secs(20);

async fn answers(caller: &Caller) -> bool {
    caller.sessions().get_signing_keys(pb::GetSigningKeysRequest {}).await.is_ok()
}

/// The certificate that a new connection is served, if it is of that authority.
async fn served(
    by: SocketAddr,
    authority: &Authority,
    versions: &[&'static SupportedProtocolVersion],
) -> io::Result<CertificateDer<'static>> {
    let mut config = trusting(authority, versions).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = shake_hands(by, Arc::new(config)).await?;
    let session = stream.get_ref().1;
    assert_eq!(session.alpn_protocol(), Some(&b"h2"[..]));
    Ok(session.peer_certificates().unwrap()[0].clone().into_owned())
}

#[tokio::test]
async fn with_tls_nothing_is_answered_in_plaintext() {
    let world = World::start(Backend::Sqlite, &[]).await;
    assert!(answers(&world.anonymous().await).await);
    let plaintext = Endpoint::from_shared(format!("http://{}", world.app.address())).unwrap().connect_lazy();
    assert!(!answers(&Caller::over(plaintext)).await);
    world.app.finish().await;
}

#[tokio::test]
async fn tls_1_2_is_the_oldest_that_is_spoken() {
    let world = World::start(Backend::Sqlite, &[]).await;
    let address = world.app.address();
    for version in [&TLS12, &TLS13] {
        served(address, &world.authority, &[version]).await.unwrap();
    }
    // A hello that offers TLS 1.1 at most: version 3.2, one cipher suite, no compression, one signature algorithm.
    let mut hello = vec![0x16, 3, 1, 0, 55, 1, 0, 0, 51, 3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0xc0, 0x13, 1, 0, 0, 8, 0, 13, 0, 4, 0, 2, 4, 3]);
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&hello).await.unwrap();
    let mut answer = vec![];
    timeout(SOON, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    // An alert, fatal, protocol_version (RFC 8446 section 6.2).
    assert_eq!(answer.first().copied(), Some(0x15), "{answer:?}");
    assert_eq!(answer.get(5..7), Some(&[2, 70][..]), "{answer:?}");
    world.app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_certificate_is_served_without_a_restart_and_what_cant_be_used_is_not() {
    let world = World::start(Backend::Sqlite, &[]).await;
    let address = world.app.address();
    let before = served(address, &world.authority, &[&TLS13]).await.unwrap();
    let connected = world.anonymous().await;
    assert!(answers(&connected).await);

    // Of another authority: had the old connection to be made again, it would fail.
    let newer = Authority::new();
    world.files.put_pair(&newer.server());
    let arrived = timeout(SOON, async {
        loop {
            match served(address, &newer, &[&TLS13]).await {
                Ok(certificate) => return certificate,
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    });
    let after = arrived.await.unwrap();
    assert_ne!(before, after);
    assert!(served(address, &world.authority, &[&TLS13]).await.is_err(), "the old certificate is still served");
    assert!(answers(&connected).await, "a connection under way goes on");

    for (name, text) in [("server.pem", "nonsense"), ("server.key", &*newer.server().key), ("ca.pem", "")] {
        world.files.put(name, text);
    }
    // Two looks at the files.
    tokio::time::sleep(2 * countersign::tasks::CERTIFICATES.period).await;
    assert_eq!(served(address, &newer, &[&TLS13]).await.unwrap(), after);
    world.app.finish().await;
}

#[tokio::test]
async fn a_client_without_a_certificate_is_turned_away_where_one_is_required() {
    let world = World::start(Backend::Sqlite, &[("tls_client_required", "true")]).await;
    assert!(answers(&world.holder(&world.authority.client(&[])).await).await);
    // With TLS 1.3 the client has shaken hands before it hears that it may not.
    if let Ok(channel) = world.connect(None).await {
        assert!(!answers(&Caller::over(channel)).await);
    }
    world.app.finish().await;
}

/// Those who say nothing at all, and those who begin a handshake and stop.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_handshakes_keep_nobody_out_and_are_ended() {
    let world = World::start(Backend::Sqlite, &[]).await;
    let mut slow = vec![];
    for number in 0..100 {
        let mut stream = TcpStream::connect(world.app.address()).await.unwrap();
        if number % 2 == 0 {
            stream.write_all(&[0x16, 3, 1]).await.unwrap();
        }
        slow.push(stream);
    }
    let connected = timeout(Duration::from_secs(3), world.connect(None)).await;
    assert!(answers(&Caller::over(connected.expect("others are kept out").unwrap())).await);
    for mut stream in slow {
        let ended = timeout(SOON, stream.read_to_end(&mut vec![])).await;
        assert!(ended.is_ok(), "a handshake that goes nowhere is still waited for");
    }
    world.app.finish().await;
}

#[tokio::test]
async fn files_that_cant_be_used_are_named_before_anything_is_made() {
    let (files, home) = (Files::new(), tempfile::tempdir().unwrap());
    let pair = Authority::new().server();
    files.put_pair(&pair);
    files.put("other.key", &Authority::new().server().key);
    files.put("nonsense.pem", "-----BEGIN CERTIFICATE-----\nnonsense");
    for (certificate, key, wrong) in [
        ("missing.pem", "server.key", "missing.pem"),
        ("nonsense.pem", "server.key", "nonsense.pem"),
        ("server.pem", "server.pem", "server.pem"),
        ("server.pem", "other.key", "other.key"),
    ] {
        let data = home.path().join("data");
        let values = [
            ("listen", "127.0.0.1:0".to_owned()),
            ("data_dir", super::shown(&data)),
            ("tls_cert_file", super::shown(&files.path(certificate))),
            ("tls_key_file", super::shown(&files.path(key))),
        ];
        let config = Config::load(&Flags { config: None, values: values.into() }).unwrap();
        let refused = serve::start(&config).await.err().unwrap();
        let StartError::Tls(why) = &refused else { panic!("{refused:?}") };
        assert!(why.to_string().contains(wrong), "{why}");
        assert!(!data.exists());
    }
}
