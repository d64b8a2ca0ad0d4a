//! The server: which services there are, and the bounds within which strangers may use it.

use std::time::Duration;

use tonic::transport::Server;
use tonic::transport::server::Router;
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

pub use super::connection::incoming;

/// The largest message that is read.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// The most bytes of metadata that a call may come with.
const HEADER_BYTES_MAX: u32 = 16 << 10;
/// The most calls under way on one connection.
const STREAMS_PER_CONNECTION: u32 = 1024;
/// A silent connection is pinged after so long, and closed if it stays silent for as long again.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// After so long a connection is asked to end; calls under way do. Whoever connects anew proves anew who it is: issuers of
/// workload certificates replace them when half of their hour is over (SPIRE), so that none ends on a connection.
const CONNECTION_AGE: Duration = Duration::from_secs(30 * 60);

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
        .max_connection_age(CONNECTION_AGE)
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
