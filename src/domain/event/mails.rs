//! Which mails go out for each event, and what they are filled with. Their words are `mail`'s.

use super::{Company, Conferred, Event, Person};
use crate::domain::ids::CodeId;
use crate::domain::message::{Mail, Template};

impl Event {
    /// The mails that go out.
    #[must_use]
    pub fn mails(&self) -> Vec<Mail> {
        match self {
            Self::Registered { person, verify, .. } => person.link(Template::VerifyEmail, *verify, []),
            Self::VerificationSent { person, verify } => person.link(Template::VerifyEmail, Some(*verify), []),
            Self::AddressTaken { owner } => {
                owner.iter().flat_map(|owner| owner.mail(Template::AddressTaken, None, [])).collect()
            }
            Self::EmailVerified { person, awaits_approval: true, organization, .. } => {
                person.mail(Template::ApprovalRequired, None, [("organization", title(organization))])
            }
            Self::PasswordToBeSet { person, reset, approved } => {
                person.link(Template::SetPassword, *reset, [("approved", yes(*approved))])
            }
            Self::ApprovalAwaited { person, organization, approvers, again } => approvers
                .iter()
                .flat_map(|approver| {
                    let parameters = [
                        ("newcomer_name", person.name.clone()),
                        ("newcomer_email", person.email.clone()),
                        ("organization", title(organization)),
                        ("again", yes(*again)),
                    ];
                    approver.mail(Template::NewUserWaiting, None, parameters)
                })
                .collect(),
            // Who still has to set a password has a mail about that.
            Self::RegistrationApproved { person, organization, to_set_password: false } => {
                person.mail(Template::Approved, None, [("organization", title(organization))])
            }
            Self::RegistrationRejected { person, organization, reason } => {
                let parameters = [("organization", title(organization)), ("reason", reason.clone())];
                person.mail(Template::Rejected, None, parameters)
            }
            Self::UserSuspended { person, reason, .. } => {
                person.mail(Template::Suspended, None, [("reason", reason.clone())])
            }
            Self::HeldForFailures { person, .. } => person.mail(Template::SuspendedForFailures, None, []),
            Self::PasswordResetSent { person, reset } => {
                person.link(Template::PasswordReset, Some(*reset), [])
            }
            Self::PasswordChanged { person, .. } => person.mail(Template::PasswordChanged, None, []),
            Self::UserReinstated { person, .. } => person.mail(Template::Reinstated, None, []),
            Self::UserDeleted { person, .. } => person.mail(Template::Deleted, None, []),
            Self::UserRestored { person, .. } => person.mail(Template::Restored, None, []),
            Self::RegistrationExpired { person } => {
                person.mail(Template::Expired, None, [("organization", String::new())])
            }
            Self::MembershipExpired { person, organization } => {
                person.mail(Template::Expired, None, [("organization", organization.title.clone())])
            }
            Self::RoleAssigned(conferred) => conferred.mail(Template::RoleAssigned),
            Self::RoleRevoked(conferred) => conferred.mail(Template::RoleRevoked),
            // One mail for all that went with a membership.
            Self::MemberRemoved { organization, person, taken } if !taken.is_empty() => {
                let what = taken.iter().map(|conferred| conferred.what.as_str()).collect::<Vec<_>>().join(", ");
                let parameters = [("role", what), ("organization", organization.title.clone())];
                person.mail(Template::RoleRevoked, None, parameters)
            }
            Self::RealmCreated { .. }
            | Self::RealmUpdated { .. }
            | Self::VerificationAsked { .. }
            | Self::EmailVerified { .. }
            | Self::RegistrationApproved { .. }
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
            | Self::RefreshRepeated { .. }
            | Self::RefreshTokenReplayed { .. }
            | Self::SignedOut { .. }
            | Self::SessionRevoked { .. }
            | Self::SessionsRevoked { .. } => vec![],
        }
    }
}

impl Person {
    /// A mail to the person. None but those that prove it go to an address that is not verified.
    fn mail<const N: usize>(
        &self,
        template: Template,
        code: Option<CodeId>,
        parameters: [(&str, String); N],
    ) -> Vec<Mail> {
        if !self.verified && !template.is_proof() {
            return vec![];
        }
        let mut all: std::collections::BTreeMap<_, _> =
            parameters.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        all.insert("name".to_owned(), self.name.clone());
        all.insert("email".to_owned(), self.email.clone());
        vec![Mail { template, to: self.email.clone(), user: Some(self.id), code, parameters: all }]
    }

    /// A mail of a link, if there is a code for it.
    fn link<const N: usize>(
        &self,
        template: Template,
        code: Option<CodeId>,
        parameters: [(&str, String); N],
    ) -> Vec<Mail> {
        if code.is_some() { self.mail(template, code, parameters) } else { vec![] }
    }
}

impl Conferred {
    fn mail(&self, template: Template) -> Vec<Mail> {
        let parameters = [("role", self.what.clone()), ("organization", title(&self.organization))];
        self.person.iter().flat_map(|person| person.mail(template, None, parameters.clone())).collect()
    }
}

fn title(organization: &Option<Company>) -> String {
    organization.as_ref().map_or_else(String::new, |company| company.title.clone())
}

/// A condition of a template: true unless empty.
fn yes(holds: bool) -> String {
    if holds { "yes".to_owned() } else { String::new() }
}
