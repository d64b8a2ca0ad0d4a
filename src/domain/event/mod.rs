//! Everything that can have happened, and its consequences.
//!
//! A use case records events and nothing else. Beside the one list stand the three questions that are asked of each,
//! one file each: what the audit log says, which mails go out, which cached facts are stale. All three are exhaustive,
//! so a new event does not compile until they are answered.

mod audit;
mod mails;
mod stale;

pub use audit::AuditFacts;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::account::{HoldCause, VerifiedHow};
use super::ids::{
    ApiKeyId, CodeId, EntryId, MessageId, OrganizationId, PrincipalId, RealmId, RoleId, ServiceAccountId, SessionId,
    UserId,
};
use super::time::Timestamp;
use super::workload::SpiffeId;

/// A user as mails and the audit log name them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Person {
    pub id: UserId,
    pub email: String,
    pub name: String,
    /// Whether the address is verified.
    pub verified: bool,
}

/// An organization as mails and the audit log name it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Company {
    pub id: OrganizationId,
    pub title: String,
}

/// From when until when an account may be used.
pub type Validity = (Option<Timestamp>, Option<Timestamp>);

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
        /// What changed, by field: as it was, as it is.
        changes: BTreeMap<&'static str, (Value, Value)>,
    },
    /// Somebody registered, or registered again before anybody decided.
    Registered {
        person: Person,
        organization: Option<Company>,
        /// Absent where too many links went out lately.
        verify: Option<CodeId>,
        /// Of an account that was there before, whose facts begin anew.
        again: bool,
    },
    /// Somebody registered with an address that is taken or tombstoned.
    AddressTaken {
        /// Whose mailbox hears of it, in the owner's own spelling; absent once a deleted owner's data is erased.
        owner: Option<Person>,
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
        /// The registration waits for a decision, and its person hears of that now.
        awaits_approval: bool,
        organization: Option<Company>,
    },
    /// An administrator vouched for an address that nobody proved, or approved it: what was chosen as a password is
    /// nobody's, and the owner of the mailbox sets one.
    PasswordToBeSet {
        person: Person,
        /// Absent where too many links went out lately.
        reset: Option<CodeId>,
        /// By an approval; else by vouching.
        approved: bool,
    },
    /// A registration waits, and these are to hear of it.
    ApprovalAwaited {
        person: Person,
        organization: Option<Company>,
        approvers: Vec<Person>,
        /// They may have heard of it: since then it was registered anew.
        again: bool,
    },
    RegistrationApproved {
        person: Person,
        organization: Option<Company>,
        /// The person has to prove the mailbox first, and to set a password.
        to_set_password: bool,
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
    /// An account's fields were changed.
    UserUpdated {
        user: UserId,
        organization: Option<OrganizationId>,
        fields: Vec<&'static str>,
        /// From when until when it may be used, before and after.
        validity: [Validity; 2],
    },
    UserBlocked {
        user: UserId,
        organization: Option<OrganizationId>,
        reason: String,
    },
    UserUnblocked {
        user: UserId,
        organization: Option<OrganizationId>,
        note: Option<String>,
    },
    UserDeleted {
        person: Person,
        organization: Option<OrganizationId>,
        note: Option<String>,
    },
    UserRestored {
        person: Person,
        organization: Option<OrganizationId>,
        note: Option<String>,
    },
    TombstoneCleared {
        /// Whose deletion it was of.
        user: UserId,
        ticket: String,
    },
    /// Nobody decided on a registration in time.
    RegistrationExpired {
        person: Person,
    },
    /// Nobody decided in time on a membership that somebody asked for later.
    MembershipExpired {
        person: Person,
        organization: Company,
    },
    /// The personal data of an account is gone.
    UserErased {
        user: UserId,
    },
    /// Somebody with an account gave the codes of one more organization.
    MembershipAsked {
        user: UserId,
        organization: OrganizationId,
        /// Waits for a decision; else a member by it.
        pending: bool,
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
    /// A new slug or title, each as it was and as it is.
    OrganizationUpdated {
        organization: OrganizationId,
        slug: Option<(String, String)>,
        title: Option<(String, String)>,
    },
    OrganizationSuspended {
        organization: OrganizationId,
        reason: String,
    },
    OrganizationReinstated {
        organization: OrganizationId,
        note: Option<String>,
    },
    IdentifiersSet {
        organization: OrganizationId,
        before: Vec<String>,
        after: Vec<String>,
    },
    EntitlementsSet {
        organization: OrganizationId,
        before: BTreeSet<String>,
        after: BTreeSet<String>,
    },
    MemberAdded {
        organization: OrganizationId,
        user: UserId,
    },
    /// The attributes of a membership, by their names: what they say may be personal.
    MemberUpdated {
        organization: OrganizationId,
        user: UserId,
        written: Vec<String>,
        removed: Vec<String>,
    },
    /// A membership ended, and with it every entry there.
    MemberRemoved {
        organization: Company,
        person: Person,
        taken: Vec<Conferred>,
    },
    RoleCreated {
        role: RoleId,
        name: String,
    },
    RoleUpdated {
        role: RoleId,
        /// What changed, by field: as it was, as it is.
        changes: BTreeMap<String, (Value, Value)>,
    },
    /// Its assignments confer nothing from now on; they go in their own time.
    RoleDeleted {
        role: RoleId,
        name: String,
    },
    PermissionDeclared {
        name: String,
    },
    PermissionRetired {
        name: String,
    },
    RoleAssigned(Conferred),
    /// A default role, which comes with a membership; the mail about that says enough.
    DefaultRoleGiven(Conferred),
    RoleRevoked(Conferred),
    PermissionGranted(Conferred),
    PermissionRevoked(Conferred),
    ServiceAccountCreated {
        account: ServiceAccountId,
        name: String,
        organization: Option<OrganizationId>,
        spiffe_id: Option<SpiffeId>,
    },
    ServiceAccountEnabled {
        account: ServiceAccountId,
        organization: Option<OrganizationId>,
    },
    ServiceAccountDisabled {
        account: ServiceAccountId,
        organization: Option<OrganizationId>,
    },
    /// What it held is gone with it.
    ServiceAccountDeleted {
        account: ServiceAccountId,
        name: String,
        organization: Option<OrganizationId>,
        /// The hashes of the keys that were still to be revoked, and the digest of its SPIFFE id.
        keys: Vec<[u8; 32]>,
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
    /// A dead letter was put back.
    MessageRetried {
        message: MessageId,
        template: String,
        user: Option<UserId>,
        organization: Option<OrganizationId>,
    },
    /// The realm was put back from a copy with its database; sessions and codes of before count no more.
    RealmRestored {
        realm: RealmId,
    },
    SignedIn {
        user: UserId,
        session: SessionId,
        organization: Option<OrganizationId>,
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
    /// A refresh token was exchanged for the next one, the first time within the hour.
    SessionRefreshed {
        user: UserId,
        session: SessionId,
        generation: i64,
        organization: Option<OrganizationId>,
    },
    /// A refresh token that was exchanged a moment ago came again, and got the same answer: that may have been lost.
    RefreshRepeated {
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
