//! Which mails go out for each event, and what they are filled with. Their words are `mail`'s.

use super::{Company, Conferred, Event, Person};
use crate::domain::ids::CodeId;
use crate::domain::message::{Mail, Template};

impl Event {
    /// The mails that go out.
    #[must_use]
    pub fn mails(&self) -> Vec<Mail> {
        match self {
            Self::Registered { person, organization, verify, approval_required, again: _ } => {
                let mut mails = vec![person.mail(Template::VerifyEmail, Some(*verify), [])];
                if *approval_required {
                    let parameters = [("organization", title(organization))];
                    mails.push(person.mail(Template::ApprovalRequired, None, parameters));
                }
                mails
            }
            Self::VerificationSent { person, verify } => {
                vec![person.mail(Template::VerifyEmail, Some(*verify), [])]
            }
            Self::AddressTaken { owner, email } => vec![Mail {
                template: Template::AddressTaken,
                to: email.clone(),
                user: *owner,
                code: None,
                parameters: [("email".to_owned(), email.clone())].into(),
            }],
            Self::ApprovalAwaited { person, organization, approvers } => approvers
                .iter()
                .map(|approver| {
                    let parameters = [
                        ("newcomer_name", person.name.clone()),
                        ("newcomer_email", person.email.clone()),
                        ("organization", title(organization)),
                    ];
                    approver.mail(Template::NewUserWaiting, None, parameters)
                })
                .collect(),
            Self::RegistrationApproved { person, organization, still_unverified } => {
                let missing = if *still_unverified { "email_verification" } else { "" };
                let parameters = [("organization", title(organization)), ("missing", missing.to_owned())];
                vec![person.mail(Template::Approved, None, parameters)]
            }
            Self::RegistrationRejected { person, organization, reason } => {
                let parameters = [("organization", title(organization)), ("reason", reason.clone())];
                vec![person.mail(Template::Rejected, None, parameters)]
            }
            Self::UserSuspended { person, reason, .. } => {
                vec![person.mail(Template::Suspended, None, [("reason", reason.clone())])]
            }
            Self::HeldForFailures { person, .. } => vec![person.mail(Template::SuspendedForFailures, None, [])],
            Self::PasswordResetSent { person, reset } => {
                vec![person.mail(Template::PasswordReset, Some(*reset), [])]
            }
            Self::PasswordChanged { person, .. } => vec![person.mail(Template::PasswordChanged, None, [])],
            Self::UserReinstated { person, .. } => vec![person.mail(Template::Reinstated, None, [])],
            Self::UserDeleted { person, .. } => vec![person.mail(Template::Deleted, None, [])],
            Self::UserRestored { person, .. } => vec![person.mail(Template::Restored, None, [])],
            Self::RegistrationExpired { person } => {
                vec![person.mail(Template::Expired, None, [("organization", String::new())])]
            }
            Self::MembershipExpired { person, organization } => {
                vec![person.mail(Template::Expired, None, [("organization", organization.title.clone())])]
            }
            Self::RoleAssigned(conferred) => conferred.mail(Template::RoleAssigned),
            Self::RoleRevoked(conferred) => conferred.mail(Template::RoleRevoked),
            // One mail for all that went with a membership.
            Self::MemberRemoved { organization, person, taken } if !taken.is_empty() => {
                let what = taken.iter().map(|conferred| conferred.what.as_str()).collect::<Vec<_>>().join(", ");
                let parameters = [("role", what), ("organization", organization.title.clone())];
                vec![person.mail(Template::RoleRevoked, None, parameters)]
            }
            Self::RealmCreated { .. }
            | Self::RealmUpdated { .. }
            | Self::VerificationAsked { .. }
            | Self::EmailVerified { .. }
            | Self::UserUpdated { .. }
            // Who is blocked reads it at the next sign-in, in the realm's words: the block shows in no status either.
            | Self::UserBlocked { .. }
            | Self::UserUnblocked { .. }
            | Self::TombstoneCleared { .. }
            | Self::UserErased { .. }
            | Self::MembershipAsked { .. }
            | Self::ManagerSet { .. }
            | Self::OrganizationCreated { .. }
            | Self::OrganizationFounded { .. }
            | Self::OrganizationUpdated { .. }
            | Self::OrganizationSuspended { .. }
            | Self::OrganizationReinstated { .. }
            | Self::IdentifiersSet { .. }
            | Self::EntitlementsSet { .. }
            | Self::MemberAdded { .. }
            | Self::MemberUpdated { .. }
            | Self::MemberRemoved { .. }
            | Self::RoleCreated { .. }
            | Self::RoleUpdated { .. }
            | Self::RoleDeleted { .. }
            | Self::PermissionDeclared { .. }
            | Self::PermissionRetired { .. }
            | Self::DefaultRoleGiven(_)
            | Self::PermissionGranted(_)
            | Self::PermissionRevoked(_)
            | Self::ServiceAccountCreated { .. }
            | Self::ServiceAccountEnabled { .. }
            | Self::ServiceAccountDisabled { .. }
            | Self::ServiceAccountDeleted { .. }
            | Self::ApiKeyCreated { .. }
            | Self::ApiKeyRevoked { .. }
            | Self::MessageRetried { .. }
            | Self::RealmRestored { .. }
            | Self::SignedIn { .. }
            | Self::PasswordChangeDemanded { .. }
            | Self::SignInsFailed { .. }
            | Self::PasswordResetAsked { .. }
            | Self::SessionRefreshed { .. }
            | Self::RefreshTokenReplayed { .. }
            | Self::SignedOut { .. }
            | Self::SessionRevoked { .. }
            | Self::SessionsRevoked { .. } => vec![],
        }
    }
}

impl Person {
    fn mail<const N: usize>(&self, template: Template, code: Option<CodeId>, parameters: [(&str, String); N]) -> Mail {
        let mut all: std::collections::BTreeMap<_, _> =
            parameters.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        all.insert("name".to_owned(), self.name.clone());
        all.insert("email".to_owned(), self.email.clone());
        Mail { template, to: self.email.clone(), user: Some(self.id), code, parameters: all }
    }
}

impl Conferred {
    fn mail(&self, template: Template) -> Vec<Mail> {
        let parameters = [("role", self.what.clone()), ("organization", title(&self.organization))];
        self.person.iter().map(|person| person.mail(template, None, parameters.clone())).collect()
    }
}

fn title(organization: &Option<Company>) -> String {
    organization.as_ref().map_or_else(String::new, |company| company.title.clone())
}
