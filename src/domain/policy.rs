//! The policy of a realm: who may register, who approves, what a team is.
//!
//! Stored as one document with the realm. A field added here needs a default, so that older rows still read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::account::RealmGates;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum SelfRegistration {
    Closed,
    Open,
    /// The codes of the form must together match one organization.
    ByOrganizationCode,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum UnknownCodes {
    Refuse,
    CreateOrganization,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ApprovalBy {
    Nobody,
    /// Someone who may approve in the organization.
    Organization,
    /// Someone who may approve realm-wide.
    Realm,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Founding {
    Nobody,
    /// The verified address is a listed contact of the organization.
    ListedContact,
    /// Only of an organization that a registration created and that has no members yet, and once.
    FirstVerified,
}

/// Whose things TEAM reaches.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Team {
    /// Those whose manager the subject is.
    Direct,
    /// Those, and those below them.
    Chain,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum OrganizationsPerUser {
    One,
    Many,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum InitialPassword {
    SetByLink,
    SetByAdministrator,
}

/// A kind of organization that the realm names.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Kind {
    pub name: String,
    /// Members of such an organization belong to no organization of another kind.
    pub exclusive: bool,
}

/// What the values of an identifier scheme look like.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum CodeFormat {
    /// 12 of A–Z 0–9, never I or O, not starting with 0.
    Uei,
    /// 5 of 0–9 A–Z, never I or O.
    Cage,
    /// The domain of the address given, compared exactly.
    Domain,
    /// 1 to 64 printable characters without spaces.
    Text,
}

/// One identifier scheme, and whether the registration form asks for it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CodeScheme {
    pub name: String,
    pub format: CodeFormat,
    /// A value belongs to one organization by itself; otherwise only together with the form's other schemes.
    pub unique: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum TopicTo {
    Roles,
    Contact,
    Both,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Topic {
    pub name: String,
    pub title: String,
    pub to: TopicTo,
}

/// A realm's own words for one mail; an empty part keeps the shipped one.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MailText {
    pub subject: String,
    pub text: String,
}

/// Everything that a realm may decide for itself. See [`Policy::default`] for the first realm's.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    pub self_registration: SelfRegistration,
    pub unknown_codes: UnknownCodes,
    pub code_schemes: Vec<CodeScheme>,
    pub approval: ApprovalBy,
    /// Realm-wide approvers decide where an organization has nobody.
    pub approval_fallback_realm: bool,
    pub founding: Founding,
    /// The name of the role that a founder gets.
    pub founding_role: Option<String>,
    pub organizations_per_user: OrganizationsPerUser,
    pub administrators_create_users: bool,
    pub team: Team,
    /// A permission that a user must hold somewhere to sign in at all.
    pub basic_permission: Option<String>,
    pub verification_required: bool,
    pub reregistration_after_delete: bool,
    pub reregistration_after_reject: bool,
    pub registration_days: u32,
    pub retention_days: u32,
    /// What links in mails begin with; never taken from a request.
    pub base_url: String,
    /// The `aud` of access tokens.
    pub audience: String,
    pub kinds: Vec<Kind>,
    pub topics: Vec<Topic>,
    /// What people read, by the name of the gate.
    pub messages: BTreeMap<String, String>,
    /// By the name of the template.
    pub mails: BTreeMap<String, MailText>,
    pub initial_password: InitialPassword,
    /// Suspends after so many days without a sign-in; 0 = never.
    pub inactivity_days: u32,
    /// Suspends after so many consecutive failures; 0 = only throttle.
    pub failed_sign_ins: u32,
    /// How long after an exchange a refresh token that was exchanged gets the same answer again, in seconds.
    pub refresh_retry_seconds: u32,
}

/// The shortest and the longest `refresh_retry_seconds`: whoever steals a refresh token may use it for as long beside its
/// owner, unnoticed; below, clients on slow networks lose their sessions.
pub const REFRESH_RETRY_SECONDS: std::ops::RangeInclusive<u32> = 10..=60;

/// NIST SP 800-63B-4 section 3.2.2 bounds consecutive failures by this.
pub const FAILED_SIGN_INS_MAX: u32 = 100;

impl Default for Policy {
    fn default() -> Self {
        Self {
            self_registration: SelfRegistration::ByOrganizationCode,
            unknown_codes: UnknownCodes::Refuse,
            code_schemes: vec![CodeScheme { name: "domain".into(), format: CodeFormat::Domain, unique: true }],
            approval: ApprovalBy::Organization,
            approval_fallback_realm: true,
            founding: Founding::Nobody,
            founding_role: None,
            organizations_per_user: OrganizationsPerUser::One,
            administrators_create_users: true,
            team: Team::Direct,
            basic_permission: None,
            verification_required: true,
            reregistration_after_delete: false,
            reregistration_after_reject: false,
            registration_days: 30,
            retention_days: 30,
            base_url: "http://localhost".into(),
            audience: "countersign".into(),
            kinds: vec![Kind { name: "company".into(), exclusive: false }],
            topics: vec![Topic { name: "approvals".into(), title: "Approvals".into(), to: TopicTo::Roles }],
            messages: BTreeMap::new(),
            mails: BTreeMap::new(),
            initial_password: InitialPassword::SetByLink,
            inactivity_days: 0,
            failed_sign_ins: 0,
            refresh_retry_seconds: 10,
        }
    }
}

impl Policy {
    /// The scheme of this name.
    #[must_use]
    pub fn scheme(&self, name: &str) -> Option<&CodeScheme> {
        self.code_schemes.iter().find(|scheme| scheme.name == name)
    }

    /// The kind of this name.
    #[must_use]
    pub fn kind(&self, name: &str) -> Option<&Kind> {
        self.kinds.iter().find(|kind| kind.name == name)
    }

    /// Whether whoever knows an organization's codes becomes a member without anybody deciding.
    #[must_use]
    pub fn codes_alone_admit(&self) -> bool {
        self.self_registration != SelfRegistration::Closed && self.approval == ApprovalBy::Nobody
    }

    /// What this policy contributes to the gates of a realm in that state.
    #[must_use]
    pub fn gates(&self, suspended: bool) -> RealmGates {
        RealmGates { suspended, verification_required: self.verification_required }
    }
}
