//! The mails that the service writes: which there are, to whom, with what in them. Their words are `mail`'s.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ids::{CodeId, MessageId, UserId};
use super::time::Timestamp;

macro_rules! templates {
    ($($(#[$doc:meta])* $name:ident = $text:literal)*) => {
        /// Which mail it is. The printed form names it in a realm's policy (`mails`) and in the record.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        pub enum Template { $($(#[$doc])* $name,)* }

        impl Template {
            /// Every template.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The name in the policy and in the record.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The template of that name.
            #[must_use]
            pub fn parse(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$name),)* _ => None }
            }
        }
    };
}

templates! {
    /// To a newcomer: the link that proves the address.
    VerifyEmail = "verify_email"
    /// To a newcomer: received, an administrator has to approve.
    ApprovalRequired = "registration_received"
    /// To those who may approve: somebody waits.
    NewUserWaiting = "approval_waiting"
    /// To a newcomer: approved, and what is still missing.
    Approved = "registration_approved"
    /// To a newcomer: rejected, and why.
    Rejected = "registration_rejected"
    /// To the owner of an address: somebody registered with it.
    AddressTaken = "address_taken"
    /// To the person: suspended, and why.
    Suspended = "user_suspended"
    /// To the person: suspended after too many failed sign-ins, and how that ends.
    SuspendedForFailures = "user_suspended_for_failures"
    /// To the person: no longer suspended.
    Reinstated = "user_reinstated"
    /// To the person: the account was deleted.
    Deleted = "user_deleted"
    /// To the person: the account is there again.
    Restored = "user_restored"
    /// To a newcomer: nobody decided in time.
    Expired = "registration_expired"
    /// To the person: the link that sets a new password.
    PasswordReset = "password_reset"
    /// To the owner of a registered address that an administrator vouched for or approved: the link that sets the first
    /// password.
    SetPassword = "set_password"
    /// To the person: the password was changed.
    PasswordChanged = "password_changed"
    /// To the person: a role was assigned.
    RoleAssigned = "role_assigned"
    /// To the person: a role was revoked.
    RoleRevoked = "role_revoked"
}

/// So many codes of a kind are made for one account within [`CODES_WITHIN`]: beyond, a stranger who keeps asking would
/// void each link before its owner could use it.
pub const CODES_AT_ONCE: u64 = 3;
/// The time in which [`CODES_AT_ONCE`] are counted. A link lives for a third of it at least.
pub const CODES_WITHIN: Duration = Duration::from_secs(15 * 60);
/// So many codes of a kind are made for one account within a day: one for each hour.
pub const CODES_A_DAY: u64 = 24;
/// What is counted as a day, back from now.
pub const DAY: Duration = Duration::from_secs(86_400);

impl Template {
    /// Whether the mail proves a mailbox, or tells its owner how to: nothing else goes to an address that is not
    /// verified.
    #[must_use]
    pub fn is_proof(self) -> bool {
        match self {
            Self::VerifyEmail | Self::PasswordReset | Self::SetPassword | Self::AddressTaken => true,
            Self::ApprovalRequired
            | Self::NewUserWaiting
            | Self::Approved
            | Self::Rejected
            | Self::Suspended
            | Self::SuspendedForFailures
            | Self::Reinstated
            | Self::Deleted
            | Self::Restored
            | Self::Expired
            | Self::PasswordChanged
            | Self::RoleAssigned
            | Self::RoleRevoked => false,
        }
    }

    /// How many of these mails one account gets within a day, of those that anybody can cause without a code's being
    /// made; `None` = as many as are caused.
    #[must_use]
    pub fn most_a_day(self) -> Option<u64> {
        match self {
            Self::AddressTaken => Some(5),
            // Who decides finds the others in the list.
            Self::NewUserWaiting => Some(200),
            Self::VerifyEmail
            | Self::PasswordReset
            | Self::SetPassword
            | Self::ApprovalRequired
            | Self::Approved
            | Self::Rejected
            | Self::Suspended
            | Self::SuspendedForFailures
            | Self::Reinstated
            | Self::Deleted
            | Self::Restored
            | Self::Expired
            | Self::PasswordChanged
            | Self::RoleAssigned
            | Self::RoleRevoked => None,
        }
    }
}

/// One mail to one person. It holds no code: the relay derives it from `code` at delivery.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mail {
    pub template: Template,
    /// The address, as typed.
    pub to: String,
    pub user: Option<UserId>,
    /// The code whose link the mail carries.
    pub code: Option<CodeId>,
    /// What the template is filled with; every value is escaped there.
    pub parameters: BTreeMap<String, String>,
}

/// What became of a mail so far. It has none of its words, and no code.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Message {
    pub id: MessageId,
    /// The name of its template, which an older version may have had.
    pub template: String,
    pub to: String,
    pub user: Option<UserId>,
    pub state: MessageState,
    pub created_at: Timestamp,
    pub attempts: i32,
    pub next_attempt_at: Option<Timestamp>,
    pub delivered_at: Option<Timestamp>,
    pub last_error: Option<String>,
}

/// Whether a mail has left.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum MessageState {
    /// It waits for an attempt.
    Waiting,
    /// It was handed over.
    Delivered,
    /// Nobody tries again by itself.
    Dead,
}
