//! The facts of an account, the gates that they close, and the transitions between them.
//!
//! The facts are independent of each other: lifting one never lifts another. Sign-in, checks and the completion of a
//! mailed code all ask [`gates`]; none of them has a rule of its own.

use serde::{Deserialize, Serialize};

use super::ids::{PrincipalId, UserId};
use super::time::Timestamp;

/// Whether somebody decided that this account may be.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum ApprovalState {
    Pending,
    Approved,
    Rejected,
    Expired,
}

/// The approval of an account: the state, and who decided it when and why.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Approval {
    pub state: ApprovalState,
    /// When it was decided; absent while nobody has.
    pub at: Option<Timestamp>,
    /// Who decided; absent where the policy did.
    pub by: Option<PrincipalId>,
    pub note: Option<String>,
}

impl Approval {
    /// An approval that nobody has decided.
    pub const PENDING: Self = Self { state: ApprovalState::Pending, at: None, by: None, note: None };

    /// An approval decided `at` that instant.
    #[must_use]
    pub fn decided(state: ApprovalState, at: Timestamp, by: Option<PrincipalId>, note: Option<String>) -> Self {
        Self { state, at: Some(at), by, note }
    }
}

/// Why an account is held. Each cause has its own way in and its own way out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum HoldCause {
    /// Set by BlockUser, lifted by UnblockUser.
    Blocked,
    /// Set by SuspendUser, lifted by ReinstateUser.
    Administrator,
    /// Set after the realm's `inactivity_days`, lifted by ReinstateUser.
    Inactivity,
    /// Set after the realm's `failed_sign_ins`, lifted by ReinstateUser or by a completed password reset.
    FailedSignIns,
}

/// One hold on an account.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hold {
    pub cause: HoldCause,
    pub at: Timestamp,
    /// Who set it; absent where a rule did.
    pub by: Option<PrincipalId>,
    pub note: Option<String>,
}

/// How the address was proven.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum VerifiedHow {
    Link,
    Administrator,
    Invitation,
    Reset,
}

/// When and how the address was proven to be the person's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Verified {
    pub at: Timestamp,
    pub how: VerifiedHow,
}

impl Verified {
    /// Whether the person proved it, and nobody only vouched for them.
    #[must_use]
    pub fn is_own_proof(&self) -> bool {
        match self.how {
            VerifiedHow::Link | VerifiedHow::Invitation | VerifiedHow::Reset => true,
            VerifiedHow::Administrator => false,
        }
    }
}

/// What the gates of a user are computed from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AccountFacts {
    pub approval: ApprovalState,
    /// The causes of the holds, in the order of [`HoldCause`].
    pub holds: Vec<HoldCause>,
    pub email_verified: bool,
    pub deleted: bool,
    pub valid_from: Option<Timestamp>,
    pub valid_until: Option<Timestamp>,
    pub password_must_change: bool,
}

/// The status that a person reads. Derived; nothing decides by it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Status {
    Initial,
    Active,
    Suspended,
    Deleted,
}

impl AccountFacts {
    /// The status that a person reads.
    #[must_use]
    pub fn status(&self) -> Status {
        let held = self.holds.iter().any(|cause| *cause != HoldCause::Blocked);
        match self.approval {
            _ if self.deleted => Status::Deleted,
            ApprovalState::Rejected | ApprovalState::Expired => Status::Suspended,
            _ if held => Status::Suspended,
            ApprovalState::Pending => Status::Initial,
            ApprovalState::Approved => Status::Active,
        }
    }

    fn held(&self, cause: HoldCause) -> bool {
        self.holds.contains(&cause)
    }
}

/// Something that keeps a principal out, in the order in which it is named.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Gate {
    RealmSuspended,
    /// Never named to the person.
    Deleted,
    ApprovalPending,
    ApprovalRejected,
    ApprovalExpired,
    Blocked,
    Suspended(HoldCause),
    NotYetValid,
    NoLongerValid,
    EmailNotVerified,
    PasswordMustChange,
    BasicAccessMissing,
    /// A service account's only one.
    Disabled,
}

impl Gate {
    /// One of each name, in the order of their naming.
    pub const NAMED: [Self; 13] = [
        Self::RealmSuspended,
        Self::Deleted,
        Self::ApprovalPending,
        Self::ApprovalRejected,
        Self::ApprovalExpired,
        Self::Blocked,
        Self::Suspended(HoldCause::Administrator),
        Self::NotYetValid,
        Self::NoLongerValid,
        Self::EmailNotVerified,
        Self::PasswordMustChange,
        Self::BasicAccessMissing,
        Self::Disabled,
    ];

    /// Whether the gate also keeps who proves the mailbox from completing a password reset or an invitation. Completing
    /// one opens nothing but what it proves: EMAIL_NOT_VERIFIED, and the hold for failed sign-ins.
    #[must_use]
    pub fn closes_completion(self) -> bool {
        match self {
            Self::Deleted | Self::ApprovalRejected | Self::ApprovalExpired | Self::Disabled => true,
            // From outside all who have an account look alike: who is held, too, sets a password, and gets no further.
            Self::Blocked
            | Self::Suspended(_)
            | Self::NotYetValid
            | Self::NoLongerValid
            | Self::RealmSuspended
            | Self::ApprovalPending
            | Self::EmailNotVerified
            | Self::PasswordMustChange
            | Self::BasicAccessMissing => false,
        }
    }

    /// The calls that lift this gate, as an administrator would name them.
    #[must_use]
    pub fn lifted_by(self) -> &'static str {
        match self {
            Self::RealmSuspended => "UpdateRealm",
            Self::Deleted => "RestoreUser",
            Self::ApprovalPending | Self::ApprovalRejected => "ApproveRegistration",
            Self::ApprovalExpired => "Register",
            Self::Blocked => "UnblockUser",
            Self::Suspended(HoldCause::FailedSignIns) => "ReinstateUser or ResetPassword",
            Self::Suspended(_) => "ReinstateUser",
            Self::NotYetValid | Self::NoLongerValid => "UpdateUser",
            Self::EmailNotVerified => "VerifyEmail or MarkEmailVerified",
            Self::PasswordMustChange => "ChangePassword",
            Self::BasicAccessMissing => "AssignRole",
            Self::Disabled => "EnableServiceAccount",
        }
    }
}

/// What the realm contributes to the gates.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RealmGates {
    pub suspended: bool,
    pub verification_required: bool,
}

/// Every gate that fails for a user, in the order of [`Gate`].
///
/// `holds_basic` says whether the decision below the gates finds the realm's basic permission somewhere; a realm
/// without one passes `true`.
pub fn gates(
    facts: &AccountFacts,
    realm: RealmGates,
    holds_basic: bool,
    now: Timestamp,
) -> impl Iterator<Item = Gate> + '_ {
    use HoldCause::{Administrator, Blocked, FailedSignIns, Inactivity};
    [
        (realm.suspended, Gate::RealmSuspended),
        (facts.deleted, Gate::Deleted),
        (facts.approval == ApprovalState::Pending, Gate::ApprovalPending),
        (facts.approval == ApprovalState::Rejected, Gate::ApprovalRejected),
        (facts.approval == ApprovalState::Expired, Gate::ApprovalExpired),
        (facts.held(Blocked), Gate::Blocked),
        (facts.held(Administrator), Gate::Suspended(Administrator)),
        (facts.held(Inactivity), Gate::Suspended(Inactivity)),
        (facts.held(FailedSignIns), Gate::Suspended(FailedSignIns)),
        (facts.valid_from.is_some_and(|from| now < from), Gate::NotYetValid),
        (facts.valid_until.is_some_and(|until| now >= until), Gate::NoLongerValid),
        (realm.verification_required && !facts.email_verified, Gate::EmailNotVerified),
        (facts.password_must_change, Gate::PasswordMustChange),
        (!holds_basic, Gate::BasicAccessMissing),
    ]
    .into_iter()
    .filter_map(|(fails, gate)| fails.then_some(gate))
}

/// One person's account, as the record has it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct User {
    pub id: UserId,
    /// As typed.
    pub email: String,
    /// The e-mail address as an identity.
    pub identity: String,
    pub display_name: String,
    pub approval: Approval,
    pub holds: Vec<Hold>,
    pub verified: Option<Verified>,
    pub deleted_at: Option<Timestamp>,
    pub deleted_by: Option<PrincipalId>,
    pub valid_from: Option<Timestamp>,
    pub valid_until: Option<Timestamp>,
    /// Whether a password is set; the hash stays in the store.
    pub password_set: bool,
    pub password_must_change: bool,
    pub session_epoch: i64,
    pub manager: Option<UserId>,
    /// Counts the writes of this account; its printed form is the etag.
    pub version: i64,
    pub created_at: Timestamp,
    pub last_sign_in_at: Option<Timestamp>,
    /// How often the address was registered while it waited for this decision.
    pub registrations: i32,
}

impl User {
    /// What the gates are computed from.
    #[must_use]
    pub fn facts(&self) -> AccountFacts {
        let mut holds: Vec<_> = self.holds.iter().map(|hold| hold.cause).collect();
        holds.sort_unstable();
        AccountFacts {
            approval: self.approval.state,
            holds,
            email_verified: self.verified.is_some(),
            deleted: self.deleted_at.is_some(),
            valid_from: self.valid_from,
            valid_until: self.valid_until,
            password_must_change: self.password_must_change,
        }
    }

    /// Whether the person proved that the mailbox is theirs. Until then nothing of the account is known to be theirs: a
    /// stranger may have registered it.
    #[must_use]
    pub fn has_proven(&self) -> bool {
        self.verified.as_ref().is_some_and(Verified::is_own_proof)
    }

    /// Whether somebody who knows the password may be the person: they proved the mailbox, or the realm asks for no proof
    /// and nobody vouched for the address.
    #[must_use]
    pub fn password_counts(&self, verification_required: bool) -> bool {
        self.has_proven() || (self.verified.is_none() && !verification_required)
    }

    /// Whether an address that nobody proved was registered again while it waited, so that a decision on what was read
    /// before could be one on somebody else.
    #[must_use]
    pub fn was_registered_again(&self) -> bool {
        self.registrations > 1 && !self.has_proven()
    }

    /// The cause's hold, if it is set.
    #[must_use]
    pub fn hold(&self, cause: HoldCause) -> Option<&Hold> {
        self.holds.iter().find(|hold| hold.cause == cause)
    }

    /// Whether the account is outside the time in which it may be used.
    #[must_use]
    pub fn is_out_of_time(&self, now: Timestamp) -> bool {
        self.valid_from.is_some_and(|from| now < from) || self.valid_until.is_some_and(|until| now >= until)
    }

    /// Whether the personal data is gone. What is left is the id that the audit log names, and what was decided.
    #[must_use]
    pub fn is_erased(&self) -> bool {
        self.email.is_empty()
    }

    /// The account without its personal data.
    #[must_use]
    pub fn erased(self) -> Self {
        Self {
            email: String::new(),
            // No address is an id: nobody signs in or registers with it.
            identity: self.id.to_string(),
            display_name: String::new(),
            approval: Approval { note: None, ..self.approval },
            holds: vec![],
            verified: None,
            valid_from: None,
            valid_until: None,
            password_set: false,
            password_must_change: false,
            session_epoch: self.session_epoch + 1,
            manager: None,
            last_sign_in_at: None,
            ..self
        }
    }

    /// Opaque to clients; equal as long as nobody wrote the account.
    #[must_use]
    pub fn etag(&self) -> String {
        format!("\"{}\"", self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: RealmGates = RealmGates { suspended: false, verification_required: true };

    fn active() -> AccountFacts {
        AccountFacts {
            approval: ApprovalState::Approved,
            holds: vec![],
            email_verified: true,
            deleted: false,
            valid_from: None,
            valid_until: None,
            password_must_change: false,
        }
    }

    #[test]
    fn an_active_account_fails_no_gate() {
        assert_eq!(gates(&active(), OPEN, true, Timestamp(0)).next(), None);
        assert_eq!(active().status(), Status::Active);
    }

    #[test]
    fn every_failing_gate_is_named_in_order() {
        let facts = AccountFacts {
            approval: ApprovalState::Pending,
            holds: vec![HoldCause::Blocked, HoldCause::FailedSignIns],
            email_verified: false,
            ..active()
        };
        let failing: Vec<_> = gates(&facts, OPEN, false, Timestamp(0)).collect();
        assert_eq!(
            failing,
            [
                Gate::ApprovalPending,
                Gate::Blocked,
                Gate::Suspended(HoldCause::FailedSignIns),
                Gate::EmailNotVerified,
                Gate::BasicAccessMissing
            ]
        );
    }

    #[test]
    fn validity_begins_at_its_first_instant_and_ends_before_its_last() {
        let facts = AccountFacts { valid_from: Some(Timestamp(10)), valid_until: Some(Timestamp(20)), ..active() };
        let at = |now| gates(&facts, OPEN, true, Timestamp(now)).next();
        assert_eq!(at(9), Some(Gate::NotYetValid));
        assert_eq!(at(10), None);
        assert_eq!(at(19), None);
        assert_eq!(at(20), Some(Gate::NoLongerValid));
    }

    #[test]
    fn a_block_alone_does_not_show_as_suspended() {
        let facts = AccountFacts { holds: vec![HoldCause::Blocked], ..active() };
        assert_eq!(facts.status(), Status::Active);
    }
}
