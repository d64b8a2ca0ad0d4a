//! Which cached facts each event makes stale: also its lines in the change log.

use super::Event;
use crate::domain::change::Key;
use crate::domain::ids::UserId;

impl Event {
    /// The cached facts that are stale from now on; an event with none changes no decision.
    #[must_use]
    pub fn stale(&self) -> Vec<Key> {
        let principal = |user: UserId| vec![Key::Principal(user.into())];
        match self {
            Self::RealmUpdated { .. }
            | Self::RoleCreated { .. }
            | Self::RoleUpdated { .. }
            | Self::RoleDeleted { .. }
            | Self::PermissionDeclared { .. }
            | Self::PermissionRetired { .. }
            // Caches start over by the log's new mark; the line carries it.
            | Self::RealmRestored { .. } => vec![Key::Catalogue],
            Self::Registered { person, again: true, .. }
            | Self::EmailVerified { person, .. }
            | Self::PasswordToBeSet { person, .. }
            | Self::RegistrationApproved { person, .. }
            | Self::RegistrationRejected { person, .. }
            | Self::UserSuspended { person, .. }
            | Self::UserReinstated { person, .. }
            | Self::MemberRemoved { person, .. }
            | Self::UserDeleted { person, .. }
            | Self::UserRestored { person, .. }
            | Self::RegistrationExpired { person }
            | Self::MembershipExpired { person, .. }
            | Self::HeldForFailures { person, .. }
            | Self::PasswordChanged { person, .. } => principal(person.id),
            Self::UserUpdated { user, .. }
            | Self::UserBlocked { user, .. }
            | Self::UserUnblocked { user, .. }
            | Self::UserErased { user }
            | Self::MembershipAsked { user, .. }
            | Self::ManagerSet { user, .. }
            | Self::MemberAdded { user, .. }
            | Self::MemberUpdated { user, .. }
            | Self::RefreshTokenReplayed { user, .. }
            | Self::SignedOut { user, .. }
            | Self::SessionRevoked { user, .. }
            | Self::SessionsRevoked { user, .. } => principal(*user),
            Self::OrganizationCreated { organization } | Self::OrganizationFounded { organization, .. } => {
                vec![Key::Organization(organization.id)]
            }
            Self::OrganizationSuspended { organization, .. }
            | Self::OrganizationReinstated { organization, .. }
            | Self::EntitlementsSet { organization, .. } => vec![Key::Organization(*organization)],
            Self::RoleAssigned(conferred)
            | Self::DefaultRoleGiven(conferred)
            | Self::RoleRevoked(conferred)
            | Self::PermissionGranted(conferred)
            | Self::PermissionRevoked(conferred) => vec![Key::Principal(conferred.principal)],
            // Whom an identity stands for is as it was; whether that account may is the principal's business.
            Self::ServiceAccountEnabled { account, .. } | Self::ServiceAccountDisabled { account, .. } => {
                vec![Key::Principal((*account).into())]
            }
            Self::ServiceAccountCreated { account, spiffe_id, .. } => {
                let recognised = spiffe_id.iter().map(|id| Key::Credential(id.digest()));
                [Key::Principal((*account).into())].into_iter().chain(recognised).collect()
            }
            Self::ServiceAccountDeleted { account, keys, .. } => {
                let keys = keys.iter().map(|hash| Key::Credential(*hash));
                keys.chain([Key::Principal((*account).into())]).collect()
            }
            Self::ApiKeyCreated { hash, .. } | Self::ApiKeyRevoked { hash, .. } => vec![Key::Credential(*hash)],
            // A realm begins with a log of its own.
            Self::RealmCreated { .. }
            | Self::Registered { again: false, .. }
            | Self::AddressTaken { .. }
            | Self::VerificationSent { .. }
            | Self::VerificationAsked { .. }
            | Self::ApprovalAwaited { .. }
            | Self::OrganizationUpdated { .. }
            | Self::TombstoneCleared { .. }
            | Self::IdentifiersSet { .. }
            | Self::MessageRetried { .. }
            | Self::SignedIn { .. }
            | Self::PasswordChangeDemanded { .. }
            | Self::SignInsFailed { .. }
            | Self::PasswordResetSent { .. }
            | Self::PasswordResetAsked { .. }
            | Self::SessionRefreshed { .. }
            | Self::RefreshRepeated { .. } => vec![],
        }
    }
}
