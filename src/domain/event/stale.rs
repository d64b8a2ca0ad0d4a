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
            Self::RealmUpdated { .. } | Self::RoleCreated { .. } | Self::PermissionDeclared { .. } => {
                vec![Key::Catalogue]
            }
            Self::Registered { person, again: true, .. }
            | Self::EmailVerified { person, .. }
            | Self::RegistrationApproved { person, .. }
            | Self::RegistrationRejected { person, .. }
            | Self::UserSuspended { person, .. }
            | Self::UserReinstated { person, .. }
            | Self::HeldForFailures { person, .. }
            | Self::PasswordChanged { person, .. } => principal(person.id),
            Self::ManagerSet { user, .. }
            | Self::MemberAdded { user, .. }
            | Self::RefreshTokenReplayed { user, .. }
            | Self::SignedOut { user, .. }
            | Self::SessionRevoked { user, .. }
            | Self::SessionsRevoked { user, .. } => principal(*user),
            Self::OrganizationCreated { organization } | Self::OrganizationFounded { organization, .. } => {
                vec![Key::Organization(organization.id)]
            }
            Self::RoleAssigned(conferred)
            | Self::DefaultRoleGiven(conferred)
            | Self::RoleRevoked(conferred)
            | Self::PermissionGranted(conferred) => vec![Key::Principal(conferred.principal)],
            Self::ServiceAccountCreated { account, .. } | Self::ServiceAccountEnabled { account, .. } => {
                vec![Key::Principal((*account).into())]
            }
            Self::ApiKeyCreated { hash, .. } | Self::ApiKeyRevoked { hash, .. } => vec![Key::Credential(*hash)],
            // A realm begins with a log of its own.
            Self::RealmCreated { .. }
            | Self::Registered { again: false, .. }
            | Self::AddressTaken { .. }
            | Self::VerificationSent { .. }
            | Self::VerificationAsked { .. }
            | Self::ApprovalAwaited { .. }
            | Self::IdentifiersSet { .. }
            | Self::SignedIn { .. }
            | Self::PasswordChangeDemanded { .. }
            | Self::SignInsFailed { .. }
            | Self::PasswordResetSent { .. }
            | Self::PasswordResetAsked { .. }
            | Self::SessionRefreshed { .. } => vec![],
        }
    }
}
