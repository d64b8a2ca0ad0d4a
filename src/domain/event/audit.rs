//! What the audit log says of each event. Never a secret, never an address.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Company, Conferred, Event};
use crate::domain::account::HoldCause;
use crate::domain::ids::OrganizationId;

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
            Self::PasswordChangeDemanded { user } => facts("user.password_change_demanded", None, user.0, json!({})),
            Self::SignInsFailed { user, failures } => AuditFacts {
                event: "user.sign_ins_failed",
                organization: None,
                target: user.map(|user| user.0),
                details: json!({ "failures": failures }),
            },
            Self::HeldForFailures { person, organization, failures } => {
                let details = json!({ "hold": HoldCause::FailedSignIns, "failures": failures });
                facts("user.suspended", *organization, person.id.0, details)
            }
            Self::PasswordResetSent { person, .. } => facts("user.password_reset_sent", None, person.id.0, json!({})),
            Self::PasswordResetAsked { user } => AuditFacts {
                event: "user.password_reset_asked",
                organization: None,
                target: user.map(|user| user.0),
                details: json!({}),
            },
            Self::PasswordChanged { person, by_reset, lifted } => {
                let details = json!({ "by_reset": by_reset, "lifted": lifted });
                facts("user.password_changed", None, person.id.0, details)
            }
            Self::SignedIn { user, session } => facts("session.started", None, user.0, json!({ "session": session })),
            Self::SessionRefreshed { user, session, generation } => {
                facts("session.refreshed", None, user.0, json!({ "session": session, "generation": generation }))
            }
            Self::RefreshTokenReplayed { user, session, generation } => {
                let details = json!({ "session": session, "generation": generation });
                facts("session.refresh_token_replayed", None, user.0, details)
            }
            Self::SignedOut { user, session } => {
                facts("session.signed_out", None, user.0, json!({ "session": session }))
            }
            Self::SessionRevoked { user, session, organization } => {
                facts("session.revoked", *organization, user.0, json!({ "session": session }))
            }
            Self::SessionsRevoked { user, organization, ended, kept } => {
                let details = json!({ "ended": ended, "kept": kept });
                facts("session.all_revoked", *organization, user.0, details)
            }
        }
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
}
