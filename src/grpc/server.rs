//! The server: which services there are, and the bounds within which strangers may use it.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::transport::server::{Connected, Router, TcpConnectInfo};
use tower::layer::util::{Identity, Stack};

use super::direct::Direct;
use super::layers::Door;
use super::pb::approval_service_server::ApprovalServiceServer;
use super::pb::audit_service_server::AuditServiceServer;
use super::pb::authorization_service_server::AuthorizationServiceServer;
use super::pb::notification_service_server::NotificationServiceServer;
use super::pb::organization_service_server::OrganizationServiceServer;
use super::pb::realm_service_server::RealmServiceServer;
use super::pb::registration_service_server::RegistrationServiceServer;
use super::pb::role_assignment_service_server::RoleAssignmentServiceServer;
use super::pb::role_service_server::RoleServiceServer;
use super::pb::service_account_service_server::ServiceAccountServiceServer;
use super::pb::session_service_server::SessionServiceServer;
use super::pb::user_service_server::UserServiceServer;
use super::{Api, pb};

/// The largest message that is read.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// The most bytes of metadata that a call may come with.
const HEADER_BYTES_MAX: u32 = 16 << 10;
/// The most calls under way on one connection.
const STREAMS_PER_CONNECTION: u32 = 1024;
/// The most connections from one address; a mesh or a gateway may hold many.
const CONNECTIONS_PER_PEER: usize = 512;
/// A silent connection is pinged after so long, and closed if it stays silent for as long again.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Every service, the door before them.
pub type Services = Router<Stack<Direct, Stack<Door, Identity>>>;

/// Every service behind the door.
///
/// # Errors
/// If the contract can't be offered for reflection.
pub fn router<H: tonic_health::pb::health_server::Health>(
    api: &Api,
    door: Door,
    health: tonic_health::pb::health_server::HealthServer<H>,
    reflection: bool,
) -> Result<Services, tonic_reflection::server::Error> {
    macro_rules! bounded {
        ($server:ident) => {
            $server::new(api.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
        };
    }
    let mut router = Server::builder()
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .layer(door)
        .layer(Direct(bounded!(AuthorizationServiceServer)))
        .add_service(health.max_decoding_message_size(MESSAGE_BYTES_MAX))
        .add_service(bounded!(ApprovalServiceServer))
        .add_service(bounded!(AuditServiceServer))
        .add_service(bounded!(NotificationServiceServer))
        .add_service(bounded!(OrganizationServiceServer))
        .add_service(bounded!(RealmServiceServer))
        .add_service(bounded!(RegistrationServiceServer))
        .add_service(bounded!(RoleAssignmentServiceServer))
        .add_service(bounded!(RoleServiceServer))
        .add_service(bounded!(ServiceAccountServiceServer))
        .add_service(bounded!(SessionServiceServer))
        .add_service(bounded!(UserServiceServer));
    if reflection {
        let describe = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(pb::FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                // What errors carry, so that an operator's tool can print it.
                .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        };
        router = router
            .add_service(describe().build_v1()?.max_decoding_message_size(MESSAGE_BYTES_MAX))
            .add_service(describe().build_v1alpha()?.max_decoding_message_size(MESSAGE_BYTES_MAX));
    }
    Ok(router)
}

/// The connections that come in, at most so many from one address.
pub fn incoming(listener: TcpListener) -> impl tokio_stream::Stream<Item = std::io::Result<Connection>> {
    let peers = Arc::new(Peers::default());
    let most = NonZeroUsize::new(CONNECTIONS_PER_PEER);
    TcpListenerStream::new(listener).filter_map(move |stream| match stream {
        Ok(stream) => Connection::admit(stream, &peers, most).map(Ok),
        Err(error) => Some(Err(error)),
    })
}

/// How many connections each address holds.
#[derive(Debug, Default)]
struct Peers(parking_lot::Mutex<std::collections::HashMap<IpAddr, usize>>);

/// One connection; it counts for its peer until it is dropped.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    counted: Option<(Arc<Peers>, IpAddr)>,
}

impl Connection {
    fn admit(stream: TcpStream, peers: &Arc<Peers>, most: Option<NonZeroUsize>) -> Option<Self> {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection was gone before it was served");
            return None;
        }
        let peer = stream.peer_addr().ok()?.ip();
        let mut held = peers.0.lock();
        let count = held.entry(peer).or_insert(0);
        if most.is_some_and(|most| *count >= most.get()) {
            tracing::warn!("a peer holds too many connections; one more is closed");
            return None;
        }
        *count += 1;
        Some(Self { stream, counted: Some((Arc::clone(peers), peer)) })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some((peers, peer)) = self.counted.take() {
            let mut held = peers.0.lock();
            if let Some(count) = held.get_mut(&peer) {
                *count -= 1;
                if *count == 0 {
                    held.remove(&peer);
                }
            }
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
