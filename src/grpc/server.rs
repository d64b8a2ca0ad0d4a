//! The services: which there are, and how large their messages may be.

use tonic::service::Routes;

use super::direct::Directed;
use super::health::Health;
use super::layers::{Door, Services};
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
use super::receive::{MESSAGE_BYTES_MAX, PUBLIC_MESSAGE_BYTES_MAX};
use super::{Api, pb};

pub use super::connection::{ConnectionLimits, Incoming};
pub use super::serving::serve;

/// Every service behind the door.
///
/// # Errors
/// If the contract can't be offered for reflection.
pub fn services(
    api: &Api,
    door: &Door,
    health: Health,
    reflection: bool,
) -> Result<Services, tonic_reflection::server::Error> {
    macro_rules! bounded {
        ($server:ident) => {
            $server::new(api.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
        };
    }
    let mut others = Routes::new(health.service(PUBLIC_MESSAGE_BYTES_MAX))
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
        others = others
            .add_service(describe().build_v1()?.max_decoding_message_size(PUBLIC_MESSAGE_BYTES_MAX))
            .add_service(describe().build_v1alpha()?.max_decoding_message_size(PUBLIC_MESSAGE_BYTES_MAX));
    }
    Ok(Services::new(door, Directed { checks: bounded!(AuthorizationServiceServer), others: others.prepare() }))
}
