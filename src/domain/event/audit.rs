//! What the audit log says of each event. Never a secret, never an address.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Company, Conferred, Event};
use crate::domain::account::HoldCause;
use crate::domain::ids::{OrganizationId, PrincipalId, UserId};
use crate::domain::workload::SpiffeId;

/// What the audit log says of an event.
#[derive(Clone, PartialEq, Debug)]
pub struct AuditFacts {
    pub event: &'static str,
    pub organization: Option<OrganizationId>,
    pub target: Option<Uuid>,
    /// Whose act it is where the call came without a credential, and the person proved who they are in it.
    pub actor: Option<PrincipalId>,
    /// Never a secret, never an address. A fact that changed is an object of `before` and `after`.
    pub details: Value,
}

impl Event {
    /// What the audit log says.
    #[must_use]
    pub fn audit(&self) -> AuditFacts {
        let facts = |event, organization, target, details| AuditFacts::new(event, organization, Some(target), details);
        let own = |event, organization, user: UserId, details| AuditFacts {
            actor: Some(user.into()),
            ..facts(event, organization, user.0, details)
        };
        let id = |company: &Option<Company>| company.as_ref().map(|company| company.id);
        match self {
            Self::RealmCreated { realm, name } => facts("realm.created", None, realm.0, json!({ "name": name })),
            Self::RealmUpdated { realm, changes } => {
                let changes =
                    changes.iter().map(|(field, (before, after))| ((*field).to_owned(), changed(before, after)));
                facts("realm.updated", None, realm.0, Value::Object(changes.collect()))
            }
            Self::Registered { person, organization, again, .. } => {
                facts("user.registered", id(organization), person.id.0, json!({ "again": again }))
            }
            Self::AddressTaken { owner } => {
                let owner = owner.as_ref().map(|owner| owner.id.0);
                AuditFacts::new("user.registered_again", None, owner, json!({}))
            }
            Self::VerificationSent { person, .. } => facts("user.verification_sent", None, person.id.0, json!({})),
            Self::VerificationAsked { user } => {
                AuditFacts::new("user.verification_asked", None, user.map(|user| user.0), json!({}))
            }
            Self::EmailVerified { person, how, approved, .. } => {
                facts("user.email_verified", None, person.id.0, json!({ "how": how, "approved": approved }))
            }
            Self::PasswordToBeSet { person, reset, .. } => {
                facts("user.password_to_be_set", None, person.id.0, json!({ "mailed": reset.is_some() }))
            }
            Self::ApprovalAwaited { person, organization, approvers, again } => {
                let details = json!({ "told": approvers.len(), "again": again });
                facts("user.approval_awaited", id(organization), person.id.0, details)
            }
            Self::RegistrationApproved { person, organization, to_set_password } => {
                let details = json!({ "to_set_password": to_set_password });
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
            Self::UserUpdated { user, organization, fields, validity: [before, after] } => {
                let mut details = json!({ "fields": fields });
                if before != after {
                    details["validity"] = json!({ "before": before, "after": after });
                }
                facts("user.updated", *organization, user.0, details)
            }
            Self::UserBlocked { user, organization, reason } => {
                facts("user.blocked", *organization, user.0, json!({ "reason": reason }))
            }
            Self::UserUnblocked { user, organization, note } => {
                facts("user.unblocked", *organization, user.0, json!({ "note": note }))
            }
            Self::UserDeleted { person, organization, note } => {
                facts("user.deleted", *organization, person.id.0, json!({ "note": note }))
            }
            Self::UserRestored { person, organization, note } => {
                facts("user.restored", *organization, person.id.0, json!({ "note": note }))
            }
            Self::TombstoneCleared { user, ticket } => {
                facts("user.tombstone_cleared", None, user.0, json!({ "ticket": ticket }))
            }
            Self::RegistrationExpired { person } => facts("user.registration_expired", None, person.id.0, json!({})),
            Self::MembershipExpired { person, organization } => {
                facts("organization.membership_expired", Some(organization.id), person.id.0, json!({}))
            }
            Self::UserErased { user } => facts("user.erased", None, user.0, json!({})),
            Self::MembershipAsked { user, organization, pending } => {
                let details = json!({ "pending": pending });
                facts("organization.membership_asked", Some(*organization), user.0, details)
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
            Self::OrganizationUpdated { organization, slug, title } => {
                let change = |change: &Option<(String, String)>| {
                    change.as_ref().map(|(before, after)| json!({ "before": before, "after": after }))
                };
                let changes = [("slug", change(slug)), ("title", change(title))];
                let details = changes.into_iter().filter_map(|(name, change)| Some((name.to_owned(), change?)));
                let details = Value::Object(details.collect());
                facts("organization.updated", Some(*organization), organization.0, details)
            }
            Self::OrganizationSuspended { organization, reason } => {
                let details = json!({ "reason": reason });
                facts("organization.suspended", Some(*organization), organization.0, details)
            }
            Self::OrganizationReinstated { organization, note } => {
                let details = json!({ "note": note });
                facts("organization.reinstated", Some(*organization), organization.0, details)
            }
            Self::EntitlementsSet { organization, before, after } => {
                let details = json!({ "entitlements": { "before": before, "after": after } });
                facts("organization.entitlements_set", Some(*organization), organization.0, details)
            }
            Self::MemberUpdated { organization, user, written, removed } => {
                let details = json!({ "attributes": { "written": written, "removed": removed } });
                facts("organization.member_updated", Some(*organization), user.0, details)
            }
            Self::MemberRemoved { organization, person, taken } => {
                let details = json!({ "taken": taken.iter().map(Conferred::details).collect::<Vec<_>>() });
                facts("organization.member_removed", Some(organization.id), person.id.0, details)
            }
            Self::MemberAdded { organization, user } => {
                facts("organization.member_added", Some(*organization), user.0, json!({}))
            }
            Self::RoleCreated { role, name } => facts("role.created", None, role.0, json!({ "name": name })),
            Self::RoleUpdated { role, changes } => {
                let change =
                    |(field, (before, after)): (&String, &(Value, Value))| (field.clone(), changed(before, after));
                let changes: Map<_, _> = changes.iter().map(change).collect();
                facts("role.updated", None, role.0, Value::Object(changes))
            }
            Self::RoleDeleted { role, name } => facts("role.deleted", None, role.0, json!({ "name": name })),
            Self::PermissionDeclared { name } => about_permission("permission.declared", name),
            Self::PermissionRetired { name } => about_permission("permission.retired", name),
            Self::RoleAssigned(conferred) => conferred.audit("role.assigned"),
            Self::DefaultRoleGiven(conferred) => conferred.audit("role.given_by_default"),
            Self::RoleRevoked(conferred) => conferred.audit("role.revoked"),
            Self::PermissionGranted(conferred) => conferred.audit("permission.granted"),
            Self::PermissionRevoked(conferred) => conferred.audit("permission.revoked"),
            Self::ServiceAccountCreated { account, name, organization, spiffe_id } => {
                let spiffe_id = spiffe_id.as_ref().map(SpiffeId::as_str);
                let details = json!({ "name": name, "spiffe_id": spiffe_id });
                facts("service_account.created", *organization, account.0, details)
            }
            Self::ServiceAccountEnabled { account, organization } => {
                facts("service_account.enabled", *organization, account.0, json!({}))
            }
            Self::ServiceAccountDisabled { account, organization } => {
                facts("service_account.disabled", *organization, account.0, json!({}))
            }
            Self::ServiceAccountDeleted { account, name, organization, keys } => {
                let details = json!({ "name": name, "keys_revoked": keys.len() });
                facts("service_account.deleted", *organization, account.0, details)
            }
            Self::ApiKeyCreated { key, account, organization, .. } => {
                facts("api_key.created", *organization, account.0, json!({ "api_key": key }))
            }
            Self::ApiKeyRevoked { key, account, organization, .. } => {
                facts("api_key.revoked", *organization, account.0, json!({ "api_key": key }))
            }
            Self::MessageRetried { message, template, user, organization } => {
                let details = json!({ "template": template, "user": user });
                facts("message.retried", *organization, message.0, details)
            }
            Self::RealmRestored { realm } => facts("realm.restored", None, realm.0, json!({})),
            Self::PasswordChangeDemanded { user } => facts("user.password_change_demanded", None, user.0, json!({})),
            Self::SignInsFailed { user, failures } => {
                let details = json!({ "failures": failures });
                AuditFacts::new("user.sign_ins_failed", None, user.map(|user| user.0), details)
            }
            Self::HeldForFailures { person, organization, failures } => {
                let details = json!({ "hold": HoldCause::FailedSignIns, "failures": failures });
                facts("user.suspended", *organization, person.id.0, details)
            }
            Self::PasswordResetSent { person, .. } => facts("user.password_reset_sent", None, person.id.0, json!({})),
            Self::PasswordResetAsked { user } => {
                AuditFacts::new("user.password_reset_asked", None, user.map(|user| user.0), json!({}))
            }
            Self::PasswordChanged { person, by_reset, lifted } => {
                let details = json!({ "by_reset": by_reset, "lifted": lifted });
                facts("user.password_changed", None, person.id.0, details)
            }
            Self::SignedIn { user, session, organization } => {
                own("session.started", *organization, *user, json!({ "session": session }))
            }
            Self::SessionRefreshed { user, session, generation, organization } => {
                let details = json!({ "session": session, "generation": generation });
                own("session.refreshed", *organization, *user, details)
            }
            Self::RefreshRepeated { user, session, generation } => {
                let details = json!({ "session": session, "generation": generation });
                own("session.refresh_repeated", None, *user, details)
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

/// A fact that changed.
fn changed(before: &Value, after: &Value) -> Value {
    json!({ "before": before, "after": after })
}

/// Permissions have no id: the name says which.
fn about_permission(event: &'static str, name: &str) -> AuditFacts {
    AuditFacts::new(event, None, None, json!({ "name": name }))
}

impl AuditFacts {
    fn new(event: &'static str, organization: Option<OrganizationId>, target: Option<Uuid>, details: Value) -> Self {
        Self { event, organization, target, actor: None, details }
    }
}

impl Conferred {
    fn audit(&self, event: &'static str) -> AuditFacts {
        let organization = self.organization.as_ref().map(|company| company.id);
        AuditFacts::new(event, organization, Some(self.principal.0), self.details())
    }

    fn details(&self) -> Value {
        json!({ "entry": self.entry, "what": self.what, "role": self.role })
    }
}
