//! Use cases: one async function per thing that a caller can ask.
//!
//! A reading one opens a view of the realm; a writing one tells its story inside `App::write` and records events. Who
//! may is decided here, about the very target, by the same evaluator as everybody's checks. This floor knows no wire
//! and no SQL.

mod admission;
mod approval;
mod approvers;
mod audit;
mod authorization;
mod begin;
mod behind;
mod block;
mod checker;
pub mod clock;
mod codes;
mod conferral;
mod credential;
mod ctx;
mod deletion;
mod draft;
mod effective;
mod entitlements;
mod entries;
mod entry;
mod error;
mod expiry;
mod facts;
pub mod failpoint;
mod feed;
mod gain;
mod grant;
mod guard;
mod holders;
mod introspection;
mod join;
mod key_use;
mod keys_left;
mod limits;
mod link;
mod lookups;
mod mail;
mod manager;
mod member;
mod members;
mod membership;
mod new_password;
mod notification;
mod organization;
mod organizations;
mod orphaning;
mod paging;
mod password;
mod password_reset;
mod permission;
mod policy;
mod reachable;
mod read;
mod realm;
mod realms;
mod reason;
mod receiver;
mod refresh;
mod refusals;
mod registration;
mod registration_form;
mod registrations;
mod resolve;
mod restore;
mod role;
mod role_assignment;
mod role_change;
mod roles;
mod seats;
mod service_account;
mod service_account_state;
mod service_accounts;
mod session;
mod sessions;
mod source;
mod suspension;
mod throttle;
mod tokens;
mod tombstone;
mod under_way;
mod update_assignments;
mod update_user;
mod user;
mod users;
mod verification;
mod vouching;
mod watch;
mod write;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use metrics::Histogram;
use parking_lot::RwLock;
use rustc_hash::FxBuildHasher;
use tokio::sync::{Notify, Semaphore};

pub use admission::{FailingGate, Requirement};
pub use approval::{ApproveRegistration, RejectRegistration};
pub use audit::{EventView, ListEvents, Order, TargetView};
pub use authorization::{About, Answered, Asked, At, ChainView, Explained, How, MissView};
pub use begin::{OPERATOR, ROOT_KEY};
pub use block::{BlockUser, UnblockUser};
pub use credential::Caller;
pub use ctx::{Actor, Aimed, CallId, Ctx, Repeat};
pub use deletion::{DeleteUser, RestoreUser};
pub use draft::Draft;
pub use effective::{ListAllowedOrganizations, ListEffectivePermissions, Listed};
pub use entitlements::SetEntitlements;
pub use entries::{ListEntries, Which};
pub use entry::EntryView;
pub use error::{Error, Refusal, Result, Violation};
pub use grant::{GrantPermission, RevokePermission, RevokedGrants};
pub use holders::ListPrincipals;
pub use introspection::{Introspected, OfSession};
pub use join::{JoinOrganization, Joined};
pub use keys_left::KeptOut;
pub use limits::{EVEN_TIME, Rates};
pub(crate) use mail::Carried;
pub use manager::SetManager;
pub use member::{MoveMember, Moved, RemoveMember, Removed, UpdateMember};
pub use members::{ListMembers, ListedMember};
pub use notification::{ListMessages, MessageView};
pub use organization::{AddMember, CreateOrganization, MemberView, SetIdentifiers, UpdateOrganization};
pub use organizations::ListOrganizations;
pub use paging::{Page, Paging, Weighed};
pub use password::{ChangePassword, PasswordChanged};
pub use password_reset::ResetPassword;
pub use permission::{DeclarePermission, ListPermissions, PermissionView};
pub use realm::{CreateRealm, UpdateRealm};
pub use reason::{Kind, Reason};
pub use receiver::Place;
pub use registration::Register;
pub use registration_form::{AskedCode, RegistrationForm};
pub use registrations::{ListRegistrations, Registration};
pub use role::{CreateRole, RoleView};
pub use role_assignment::{AssignRole, RevokeRole};
pub use role_change::{NewConditions, UpdateRole};
pub use roles::{ListRoles, RoleScope};
pub use service_account::{ApiKeyView, CreateApiKey, CreateServiceAccount, CreatedApiKey, ServiceAccountView};
pub use service_account_state::EndServiceAccount;
pub use service_accounts::{ListApiKeys, ListServiceAccounts};
pub use session::{Entered, Me, MustChange, SignIn, SignedIn, SigningKeys, Who};
pub use sessions::{ListSessions, RevokeAllSessions, SessionView};
pub use source::{ACCESS_TOKEN_TTL, RealmKey, RealmKeys, Record};
pub use suspension::{ReinstateOrganization, SuspendOrganization};
pub use tombstone::ClearTombstone;
pub use update_assignments::{UpdateAssignments, UpdatedAssignments};
pub use update_user::UpdateUser;
pub use user::{Name, ReinstateUser, SuspendUser, UserView};
pub use users::ListUsers;
pub use verification::VerifyEmail;
pub use vouching::MarkEmailVerified;
pub use watch::{Fact, Presented, Step, Watch};
pub use write::Done;

pub use crate::cache::Freshness;
use crate::cache::{Options, Snapshots};
pub use crate::crypto::Secret;
use crate::crypto::consistency_token::ConsistencyToken;
use crate::crypto::password::Hasher;
use crate::crypto::root_key::RootKeys;
pub use crate::crypto::signing::Jwk;
use crate::domain::ids::RealmId;
use crate::domain::origin::AllowedOrigin;
use crate::domain::realm::Position;
use crate::domain::time::Timestamp;
use crate::store::Store;
use crate::telemetry::metrics::{Database, Decisions};
use clock::Clock;

/// The service, without its wire.
pub struct App {
    pub(crate) store: Store,
    pub(crate) snapshots: Snapshots<Record>,
    pub(crate) keys: Arc<RootKeys>,
    pub(crate) hasher: Hasher,
    pub(crate) clock: Clock,
    credentials: credential::Remembered,
    key_uses: key_use::KeyUses,
    realm_names: admission::RealmNames,
    /// The consistency token printed last, by realm.
    printed: RwLock<HashMap<RealmId, (Position, Box<str>), FxBuildHasher>>,
    limits: limits::Limits,
    base_url_origins: Vec<AllowedOrigin>,
    lookups: lookups::Lookups,
    refusals: refusals::Refusals,
    /// What those who follow changes share.
    feeds: feed::Feeds,
    /// How long lines of the audit log are kept.
    audit_kept: Duration,
    under_way: under_way::UnderWay,
    /// How long changes take.
    writes: Histogram,
    /// How long checks take.
    decisions: Decisions,
    /// Told when a mail was put into the outbox.
    pub(crate) mail_waits: Notify,
}

/// What the service is built from.
pub struct Parts {
    pub store: Store,
    pub keys: RootKeys,
    pub hasher: Hasher,
    pub clock: Clock,
    pub cache: Options,
    /// Limits of public calls.
    pub rates: Rates,
    /// How long lines of the audit log are kept.
    pub audit_kept: Duration,
    /// Where links in mails may lead.
    pub base_url_origins: Vec<AllowedOrigin>,
}

/// So many lines of the audit log go in one statement: others wait for no more than that.
const AUDIT_FORGOTTEN_AT_ONCE: u64 = 1_000;

impl App {
    /// Builds the service on a record whose schema is up to date.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { store, keys, hasher, clock, cache, rates, base_url_origins, audit_kept } = parts;
        let keys = Arc::new(keys);
        let record = Record {
            store: store.clone(),
            keys: Arc::clone(&keys),
            clock: clock.clone(),
            credential_seats: Semaphore::new(source::CREDENTIAL_SEATS),
        };
        Self {
            snapshots: Snapshots::new(Arc::new(record), cache),
            store,
            keys,
            hasher,
            clock,
            credentials: credential::Remembered::default(),
            key_uses: key_use::KeyUses::default(),
            realm_names: admission::RealmNames::default(),
            printed: RwLock::default(),
            limits: limits::Limits::new(rates),
            base_url_origins,
            lookups: lookups::Lookups::new(rates.unknown_per_source),
            refusals: refusals::Refusals::default(),
            feeds: feed::Feeds::default(),
            audit_kept,
            under_way: under_way::UnderWay::default(),
            writes: Database::register().writes,
            decisions: Decisions::register(),
            mail_waits: Notify::new(),
        }
    }

    /// Forgets the public callers that have not called for a while.
    pub fn forget_idle_callers(&self) {
        self.limits.forget_idle();
        self.lookups.forget_idle();
    }

    /// By how many seconds this process's clock is ahead of the database's, or behind it; `None` where both are one.
    ///
    /// # Errors
    /// [`crate::store::Error::Unavailable`].
    pub async fn clock_skew(&self) -> crate::store::Result<Option<f64>> {
        let before = self.clock.now();
        let Some(database) = self.store.clock().await? else { return Ok(None) };
        // As if the database had looked half-way between.
        let here = before.0.midpoint(self.clock.now().0);
        Ok(Some(Duration::from_micros(here.abs_diff(database.0)).as_secs_f64().copysign(if here < database.0 {
            -1.0
        } else {
            1.0
        })))
    }

    /// Drops lines of the audit log that are older than they are to be kept, and answers how many.
    ///
    /// # Errors
    /// [`crate::store::Error::Unavailable`].
    pub async fn forget_audit(&self, now: Timestamp) -> crate::store::Result<u64> {
        let mut gone = 0;
        loop {
            match self.store.forget_audit(now.before(self.audit_kept), AUDIT_FORGOTTEN_AT_ONCE).await? {
                0 => return Ok(gone),
                some => gone += some,
            }
        }
    }

    /// The clock that rules are told.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The consistency token of a position of a realm, opaque to clients. Printed once for the checks of one position:
    /// to authenticate it costs more than to decide.
    #[must_use]
    pub fn consistency_token(&self, realm: RealmId, at: Position) -> String {
        if let Some((of, text)) = self.printed.read().get(&realm)
            && *of == at
        {
            return text.to_string();
        }
        let text = ConsistencyToken { realm, revision: at.revision, mark: at.mark }.print(&self.keys);
        self.printed.write().insert(realm, (at, text.as_str().into()));
        text
    }

    /// The position that a consistency token names; `None` if it is not one of this service.
    #[must_use]
    pub fn position_of(&self, token: &str) -> Option<(RealmId, Position)> {
        let ConsistencyToken { realm, revision, mark } = ConsistencyToken::parse(&self.keys, token)?;
        Some((realm, Position { revision, mark }))
    }

    /// The record.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The cache.
    #[must_use]
    pub fn snapshots(&self) -> &Snapshots<Record> {
        &self.snapshots
    }

    /// The pool that hashes passwords.
    #[must_use]
    pub fn hasher(&self) -> &Hasher {
        &self.hasher
    }
}
