//! The public vocabulary of failure, and which code each word comes with.
//!
//! `grpc` maps a [`Reason`] to the enum of the contract by its name; a test holds the two lists together.

use crate::domain::account::Gate;

/// The codes that the service itself ever answers with: a closed part of gRPC's.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    InvalidArgument,
    Unauthenticated,
    PermissionDenied,
    NotFound,
    AlreadyExists,
    FailedPrecondition,
    Aborted,
    ResourceExhausted,
    Unimplemented,
    DeadlineExceeded,
    Unavailable,
    Internal,
}

macro_rules! reasons {
    ($($name:ident $text:literal $kind:ident)*) => {
        /// Why a call failed, or was denied.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum Reason { $($name,)* }

        impl Reason {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The name in the contract, without the prefix of its enum.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The code that a call fails with for this reason.
            #[must_use]
            pub fn kind(self) -> Kind {
                match self { $(Self::$name => Kind::$kind,)* }
            }
        }
    };
}

reasons! {
    CredentialMissing "CREDENTIAL_MISSING" Unauthenticated
    CredentialInvalid "CREDENTIAL_INVALID" Unauthenticated
    CredentialsConflict "CREDENTIALS_CONFLICT" Unauthenticated
    RealmUnknown "REALM_UNKNOWN" NotFound

    RealmSuspended "REALM_SUSPENDED" PermissionDenied
    Deleted "DELETED" PermissionDenied
    ApprovalPending "APPROVAL_PENDING" PermissionDenied
    ApprovalRejected "APPROVAL_REJECTED" PermissionDenied
    ApprovalExpired "APPROVAL_EXPIRED" PermissionDenied
    Blocked "BLOCKED" PermissionDenied
    Suspended "SUSPENDED" PermissionDenied
    NotYetValid "NOT_YET_VALID" PermissionDenied
    NoLongerValid "NO_LONGER_VALID" PermissionDenied
    EmailNotVerified "EMAIL_NOT_VERIFIED" PermissionDenied
    PasswordMustChange "PASSWORD_MUST_CHANGE" PermissionDenied
    BasicAccessMissing "BASIC_ACCESS_MISSING" PermissionDenied
    Disabled "DISABLED" PermissionDenied

    PermissionMissing "PERMISSION_MISSING" PermissionDenied
    NoSuchEntry "NO_SUCH_ENTRY" PermissionDenied
    WrongOrganization "WRONG_ORGANIZATION" PermissionDenied
    OutOfReach "OUT_OF_REACH" PermissionDenied
    OtherResource "OTHER_RESOURCE" PermissionDenied
    NotConferred "NOT_CONFERRED" PermissionDenied
    NotYet "NOT_YET" PermissionDenied
    Expired "EXPIRED" PermissionDenied
    SubjectUnknown "SUBJECT_UNKNOWN" NotFound
    OrganizationUnknown "ORGANIZATION_UNKNOWN" NotFound
    OrganizationSuspended "ORGANIZATION_SUSPENDED" PermissionDenied
    TokenInvalid "TOKEN_INVALID" Unauthenticated
    PermissionRetired "PERMISSION_RETIRED" FailedPrecondition
    PermissionUndeclared "PERMISSION_UNDECLARED" InvalidArgument

    InvalidFields "INVALID_FIELDS" InvalidArgument
    MessageMalformed "MESSAGE_MALFORMED" InvalidArgument
    MessageTooLarge "MESSAGE_TOO_LARGE" ResourceExhausted
    MethodUnknown "METHOD_UNKNOWN" Unimplemented
    PageTokenInvalid "PAGE_TOKEN_INVALID" InvalidArgument
    RequestIdReused "REQUEST_ID_REUSED" InvalidArgument
    NotFound "NOT_FOUND" NotFound
    EtagRequired "ETAG_REQUIRED" FailedPrecondition
    EtagMismatch "ETAG_MISMATCH" Aborted
    AlreadyExists "ALREADY_EXISTS" AlreadyExists
    IdentifierTaken "IDENTIFIER_TAKEN" AlreadyExists
    NamespaceReserved "NAMESPACE_RESERVED" InvalidArgument
    LimitReached "LIMIT_REACHED" FailedPrecondition
    ChangesMissed "CHANGES_MISSED" FailedPrecondition
    AlreadyDelivered "ALREADY_DELIVERED" FailedPrecondition

    RegistrationClosed "REGISTRATION_CLOSED" FailedPrecondition
    CodesUnknown "CODES_UNKNOWN" FailedPrecondition
    CodeInvalid "CODE_INVALID" FailedPrecondition
    SignInFailed "SIGN_IN_FAILED" Unauthenticated
    PasswordWrong "PASSWORD_WRONG" FailedPrecondition
    AlreadyDecided "ALREADY_DECIDED" FailedPrecondition
    OrganizationRequired "ORGANIZATION_REQUIRED" FailedPrecondition
    NotOnOneself "NOT_ON_ONESELF" FailedPrecondition

    NotContained "NOT_CONTAINED" PermissionDenied
    RoleRestricted "ROLE_RESTRICTED" PermissionDenied
    ReachesUp "REACHES_UP" PermissionDenied
    ActorWouldGain "ACTOR_WOULD_GAIN" PermissionDenied
    WouldOrphan "WOULD_ORPHAN" FailedPrecondition
    RoleScopeNotAllowed "ROLE_SCOPE_NOT_ALLOWED" FailedPrecondition
    KindNotAllowed "KIND_NOT_ALLOWED" FailedPrecondition
    ResourceRequired "RESOURCE_REQUIRED" FailedPrecondition
    ExcludedRoles "EXCLUDED_ROLES" FailedPrecondition
    RoleCycle "ROLE_CYCLE" FailedPrecondition
    RoleInUse "ROLE_IN_USE" FailedPrecondition

    NotAMember "NOT_A_MEMBER" FailedPrecondition
    ExclusiveKind "EXCLUSIVE_KIND" FailedPrecondition
    OneOrganizationPerUser "ONE_ORGANIZATION_PER_USER" FailedPrecondition
    AdministratorsDoNotCreateUsers "ADMINISTRATORS_DO_NOT_CREATE_USERS" FailedPrecondition
    ManagerCycle "MANAGER_CYCLE" FailedPrecondition
    ManagerChainTooDeep "MANAGER_CHAIN_TOO_DEEP" FailedPrecondition
    PolicyImpossible "POLICY_IMPOSSIBLE" FailedPrecondition
    TeamRemains "TEAM_REMAINS" FailedPrecondition
    AccountDeleted "ACCOUNT_DELETED" FailedPrecondition
    Erased "ERASED" FailedPrecondition

    RateLimited "RATE_LIMITED" ResourceExhausted
    Overloaded "OVERLOADED" ResourceExhausted
    Unavailable "UNAVAILABLE" Unavailable
    DeadlineExceeded "DEADLINE_EXCEEDED" DeadlineExceeded
    Internal "INTERNAL" Internal
    TooManyFollowers "TOO_MANY_FOLLOWERS" ResourceExhausted
    ShuttingDown "SHUTTING_DOWN" Unavailable
    CompressionUnsupported "COMPRESSION_UNSUPPORTED" Unimplemented
}

impl From<Gate> for Reason {
    fn from(gate: Gate) -> Self {
        match gate {
            Gate::RealmSuspended => Self::RealmSuspended,
            Gate::Deleted => Self::Deleted,
            Gate::ApprovalPending => Self::ApprovalPending,
            Gate::ApprovalRejected => Self::ApprovalRejected,
            Gate::ApprovalExpired => Self::ApprovalExpired,
            Gate::Blocked => Self::Blocked,
            Gate::Suspended(_) => Self::Suspended,
            Gate::NotYetValid => Self::NotYetValid,
            Gate::NoLongerValid => Self::NoLongerValid,
            Gate::EmailNotVerified => Self::EmailNotVerified,
            Gate::PasswordMustChange => Self::PasswordMustChange,
            Gate::BasicAccessMissing => Self::BasicAccessMissing,
            Gate::Disabled => Self::Disabled,
        }
    }
}
