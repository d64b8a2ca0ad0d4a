//! Everything that can have happened, and its consequences.
//!
//! A use case records events and nothing else. Beside the one list stand the three questions that are asked of each,
//! one file each: what the audit log says, which mails go out, which cached facts are stale. All three are exhaustive,
//! so a new event does not compile until they are answered.

mod audit;
mod mails;
mod stale;

pub use audit::AuditFacts;

use super::account::{HoldCause, VerifiedHow};
use super::ids::{
    ApiKeyId, CodeId, EntryId, OrganizationId, PrincipalId, RealmId, RoleId, ServiceAccountId, SessionId, UserId,
};

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
    /// The right password, of somebody who has to change it: a token for that and for nothing else was answered.
    PasswordChangeDemanded {
        user: UserId,
    },
    /// As many failures in a row as the policy suspends for, at an account that this did nothing to: held already,
    /// deleted, or nobody's.
    SignInsFailed {
        user: Option<UserId>,
        failures: u32,
    },
    /// Suspended for failures in a row.
    HeldForFailures {
        person: Person,
        organization: Option<OrganizationId>,
        failures: u32,
    },
    PasswordResetSent {
        person: Person,
        reset: CodeId,
    },
    /// Somebody asked for a reset of an address that gets none: nobody's, kept out, or just mailed to often.
    PasswordResetAsked {
        user: Option<UserId>,
    },
    PasswordChanged {
        person: Person,
        /// By the link of a mail, and not by the password before.
        by_reset: bool,
        /// Holds that this lifted.
        lifted: Vec<HoldCause>,
    },
    /// A refresh token was exchanged for the next one.
    SessionRefreshed {
        user: UserId,
        session: SessionId,
        generation: i64,
    },
    /// A refresh token came that was exchanged before: two hold the family, which ends.
    RefreshTokenReplayed {
        user: UserId,
        session: SessionId,
        generation: i64,
    },
    SignedOut {
        user: UserId,
        session: SessionId,
    },
    SessionRevoked {
        user: UserId,
        session: SessionId,
        organization: Option<OrganizationId>,
    },
    /// Every session of a user ended, or all but one.
    SessionsRevoked {
        user: UserId,
        organization: Option<OrganizationId>,
        ended: u64,
        kept: Option<SessionId>,
    },
}
