//! Everything that can have happened, and its consequences.
//!
//! A use case records events and nothing else. Beside the one list stand the three questions that are asked of each:
//! what the audit log says, which mails go out, which cached facts are stale. All three are exhaustive, so a new event
//! does not compile until they are answered.

use serde_json::{Value, json};
use uuid::Uuid;

use super::account::{HoldCause, VerifiedHow};
use super::change::Key;
use super::ids::{
    ApiKeyId, CodeId, EntryId, OrganizationId, PrincipalId, RealmId, RoleId, ServiceAccountId, SessionId, UserId,
};
use super::message::{Mail, Template};

/// A user as mails and the audit log name them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Person {
    pub id: UserId,
    pub email: String,
    pub name: String,
}

/// An organization as mails and the audit log name it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Company {
    pub id: OrganizationId,
    pub title: String,
}

/// An entry as mails and the audit log name it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Conferred {
    pub entry: EntryId,
    pub principal: PrincipalId,
    /// The person, unless the principal is a service account.
    pub person: Option<Person>,
    /// Absent = realm-wide.
    pub organization: Option<Company>,
    /// The role's title, or the pattern with its reach.
    pub what: String,
    pub role: Option<RoleId>,
}

/// One thing that happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    RealmCreated {
        realm: RealmId,
        name: String,
    },
    RealmUpdated {
        realm: RealmId,
        fields: Vec<&'static str>,
    },
    /// Somebody registered, or registered again before anybody decided.
    Registered {
        person: Person,
        organization: Option<Company>,
        verify: CodeId,
        approval_required: bool,
        /// Of an account that was there before, whose facts begin anew.
        again: bool,
    },
    /// Somebody registered with an address that is taken or tombstoned.
    AddressTaken {
        owner: Option<UserId>,
        email: String,
    },
    VerificationSent {
        person: Person,
        verify: CodeId,
    },
    /// Somebody asked for a link of an address that has none to get: nobody's, proven, or decided against.
    VerificationAsked {
        user: Option<UserId>,
    },
    EmailVerified {
        person: Person,
        how: VerifiedHow,
        approved: bool,
    },
    /// A registration waits, and these are to hear of it.
    ApprovalAwaited {
        person: Person,
        organization: Option<Company>,
        approvers: Vec<Person>,
    },
    RegistrationApproved {
        person: Person,
        organization: Option<Company>,
        still_unverified: bool,
    },
    RegistrationRejected {
        person: Person,
        organization: Option<Company>,
        reason: String,
    },
    UserSuspended {
        person: Person,
        organization: Option<OrganizationId>,
        reason: String,
    },
    UserReinstated {
        person: Person,
        organization: Option<OrganizationId>,
        lifted: Vec<HoldCause>,
    },
    ManagerSet {
        user: UserId,
        before: Option<UserId>,
        after: Option<UserId>,
    },
    OrganizationCreated {
        organization: Company,
    },
    OrganizationFounded {
        organization: Company,
        founder: UserId,
    },
    IdentifiersSet {
        organization: OrganizationId,
        before: Vec<String>,
        after: Vec<String>,
    },
    MemberAdded {
        organization: OrganizationId,
        user: UserId,
    },
    RoleCreated {
        role: RoleId,
        name: String,
    },
    PermissionDeclared {
        name: String,
    },
    RoleAssigned(Conferred),
    /// A default role, which comes with a membership; the mail about that says enough.
    DefaultRoleGiven(Conferred),
    RoleRevoked(Conferred),
    PermissionGranted(Conferred),
    ServiceAccountCreated {
        account: ServiceAccountId,
        name: String,
        organization: Option<OrganizationId>,
    },
    ServiceAccountEnabled {
        account: ServiceAccountId,
        organization: Option<OrganizationId>,
    },
    ApiKeyCreated {
        key: ApiKeyId,
        account: ServiceAccountId,
        organization: Option<OrganizationId>,
        hash: [u8; 32],
    },
    ApiKeyRevoked {
        key: ApiKeyId,
        account: ServiceAccountId,
        organization: Option<OrganizationId>,
        hash: [u8; 32],
    },
    SignedIn {
        user: UserId,
        session: SessionId,
    },
}

/// What the audit log says of an event.
#[derive(Clone, PartialEq, Debug)]
pub struct AuditFacts {
    pub event: &'static str,
    pub organization: Option<OrganizationId>,
    pub target: Option<Uuid>,
    /// Never a secret, never an address. A fact that changed is an object of `before` and `after`.
    pub details: Value,
}

impl Event {
    /// What the audit log says.
    #[must_use]
    pub fn audit(&self) -> AuditFacts {
        let facts =
            |event, organization, target, details| AuditFacts { event, organization, target: Some(target), details };
        let id = |company: &Option<Company>| company.as_ref().map(|company| company.id);
        match self {
            Self::RealmCreated { realm, name } => facts("realm.created", None, realm.0, json!({ "name": name })),
            Self::RealmUpdated { realm, fields } => facts("realm.updated", None, realm.0, json!({ "fields": fields })),
            Self::Registered { person, organization, again, .. } => {
                facts("user.registered", id(organization), person.id.0, json!({ "again": again }))
            }
            Self::AddressTaken { owner, .. } => AuditFacts {
                event: "user.registered_again",
                organization: None,
                target: owner.map(|user| user.0),
                details: json!({}),
            },
            Self::VerificationSent { person, .. } => facts("user.verification_sent", None, person.id.0, json!({})),
            Self::VerificationAsked { user } => AuditFacts {
                event: "user.verification_asked",
                organization: None,
                target: user.map(|user| user.0),
                details: json!({}),
            },
            Self::EmailVerified { person, how, approved } => {
                facts("user.email_verified", None, person.id.0, json!({ "how": how, "approved": approved }))
            }
            Self::ApprovalAwaited { person, organization, approvers } => {
                facts("user.approval_awaited", id(organization), person.id.0, json!({ "told": approvers.len() }))
            }
            Self::RegistrationApproved { person, organization, still_unverified } => {
                let details = json!({ "still_unverified": still_unverified });
                facts("user.approved", id(organization), person.id.0, details)
            }
            Self::RegistrationRejected { person, organization, reason } => {
                facts("user.rejected", id(organization), person.id.0, json!({ "reason": reason }))
            }
            Self::UserSuspended { person, organization, reason } => {
                facts("user.suspended", *organization, person.id.0, json!({ "reason": reason }))
            }
            Self::UserReinstated { person, organization, lifted } => {
                facts("user.reinstated", *organization, person.id.0, json!({ "lifted": lifted }))
            }
            Self::ManagerSet { user, before, after } => {
                let manager = json!({ "before": before, "after": after });
                facts("user.manager_set", None, user.0, json!({ "manager": manager }))
            }
            Self::OrganizationCreated { organization } => {
                facts("organization.created", Some(organization.id), organization.id.0, json!({}))
            }
            Self::OrganizationFounded { organization, founder } => {
                facts("organization.founded", Some(organization.id), organization.id.0, json!({ "founder": founder }))
            }
            Self::IdentifiersSet { organization, before, after } => {
                let details = json!({ "identifiers": { "before": before, "after": after } });
                facts("organization.identifiers_set", Some(*organization), organization.0, details)
            }
            Self::MemberAdded { organization, user } => {
                facts("organization.member_added", Some(*organization), user.0, json!({}))
            }
            Self::RoleCreated { role, name } => facts("role.created", None, role.0, json!({ "name": name })),
            Self::PermissionDeclared { name } => AuditFacts {
                event: "permission.declared",
                organization: None,
                target: None,
                details: json!({ "name": name }),
            },
            Self::RoleAssigned(conferred) => conferred.audit("role.assigned"),
            Self::DefaultRoleGiven(conferred) => conferred.audit("role.given_by_default"),
            Self::RoleRevoked(conferred) => conferred.audit("role.revoked"),
            Self::PermissionGranted(conferred) => conferred.audit("permission.granted"),
            Self::ServiceAccountCreated { account, name, organization } => {
                facts("service_account.created", *organization, account.0, json!({ "name": name }))
            }
            Self::ServiceAccountEnabled { account, organization } => {
                facts("service_account.enabled", *organization, account.0, json!({}))
            }
            Self::ApiKeyCreated { key, account, organization, .. } => {
                facts("api_key.created", *organization, account.0, json!({ "api_key": key }))
            }
            Self::ApiKeyRevoked { key, account, organization, .. } => {
                facts("api_key.revoked", *organization, account.0, json!({ "api_key": key }))
            }
            Self::SignedIn { user, session } => facts("session.started", None, user.0, json!({ "session": session })),
        }
    }

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
            Self::UserReinstated { person, .. } => vec![person.mail(Template::Reinstated, None, [])],
            Self::RoleAssigned(conferred) => conferred.mail(Template::RoleAssigned),
            Self::RoleRevoked(conferred) => conferred.mail(Template::RoleRevoked),
            Self::RealmCreated { .. }
            | Self::RealmUpdated { .. }
            | Self::VerificationAsked { .. }
            | Self::EmailVerified { .. }
            | Self::ManagerSet { .. }
            | Self::OrganizationCreated { .. }
            | Self::OrganizationFounded { .. }
            | Self::IdentifiersSet { .. }
            | Self::MemberAdded { .. }
            | Self::RoleCreated { .. }
            | Self::PermissionDeclared { .. }
            | Self::DefaultRoleGiven(_)
            | Self::PermissionGranted(_)
            | Self::ServiceAccountCreated { .. }
            | Self::ServiceAccountEnabled { .. }
            | Self::ApiKeyCreated { .. }
            | Self::ApiKeyRevoked { .. }
            | Self::SignedIn { .. } => vec![],
        }
    }

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
            | Self::UserReinstated { person, .. } => principal(person.id),
            Self::ManagerSet { user, .. } | Self::MemberAdded { user, .. } => principal(*user),
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
            | Self::SignedIn { .. } => vec![],
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
    fn audit(&self, event: &'static str) -> AuditFacts {
        AuditFacts {
            event,
            organization: self.organization.as_ref().map(|company| company.id),
            target: Some(self.principal.0),
            details: json!({ "entry": self.entry, "what": self.what, "role": self.role }),
        }
    }

    fn mail(&self, template: Template) -> Vec<Mail> {
        let parameters = [("role", self.what.clone()), ("organization", title(&self.organization))];
        self.person.iter().map(|person| person.mail(template, None, parameters.clone())).collect()
    }
}

fn title(organization: &Option<Company>) -> String {
    organization.as_ref().map_or_else(String::new, |company| company.title.clone())
}
