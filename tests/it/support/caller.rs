//! Who calls: a channel, at most one credential, at most one realm, and a client of every service.

use countersign::grpc::pb;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};

/// Somebody who calls. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    channel: Channel,
    badge: Badge,
}

/// What every call of a caller carries.
#[derive(Clone, Debug, Default)]
pub(crate) struct Badge {
    credential: Option<MetadataValue<Ascii>>,
    realm: Option<MetadataValue<Ascii>>,
    /// Whether the caller has its calls traced.
    traced: bool,
}

/// A W3C `traceparent` that asks for spans.
const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

impl Interceptor for Badge {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let metadata = request.metadata_mut();
        if let Some(credential) = &self.credential {
            metadata.insert("authorization", credential.clone());
        }
        if let Some(realm) = &self.realm {
            metadata.insert("countersign-realm", realm.clone());
        }
        if self.traced {
            metadata.insert("traceparent", MetadataValue::from_static(SAMPLED));
        }
        Ok(request)
    }
}

macro_rules! clients {
    ($($method:ident: $module:ident::$client:ident,)*) => {
        impl Caller {
            $(
                /// A client of the service, for one call or many.
                pub(crate) fn $method(&self) -> pb::$module::$client<InterceptedService<Channel, Badge>> {
                    pb::$module::$client::with_interceptor(self.channel.clone(), self.badge.clone())
                }
            )*
        }
    };
}

clients! {
    approvals: approval_service_client::ApprovalServiceClient,
    audit: audit_service_client::AuditServiceClient,
    authorization: authorization_service_client::AuthorizationServiceClient,
    notifications: notification_service_client::NotificationServiceClient,
    organizations: organization_service_client::OrganizationServiceClient,
    realms: realm_service_client::RealmServiceClient,
    registrations: registration_service_client::RegistrationServiceClient,
    assignments: role_assignment_service_client::RoleAssignmentServiceClient,
    roles: role_service_client::RoleServiceClient,
    service_accounts: service_account_service_client::ServiceAccountServiceClient,
    sessions: session_service_client::SessionServiceClient,
    users: user_service_client::UserServiceClient,
}

impl Caller {
    /// A caller of whom nothing is known but the way that its calls take.
    pub(crate) fn over(channel: Channel) -> Self {
        Self { channel, badge: Badge::default() }
    }

    /// The same caller with this credential.
    pub(crate) fn with_credential(mut self, credential: &str) -> Self {
        self.badge.credential = Some(format!("Bearer {credential}").parse().unwrap());
        self
    }

    /// The same caller in this realm: id or name.
    pub(crate) fn in_realm(mut self, realm: &str) -> Self {
        self.badge.realm = Some(realm.parse().unwrap());
        self
    }

    /// The same caller, who has each call traced.
    pub(crate) fn traced(mut self) -> Self {
        self.badge.traced = true;
        self
    }
}
