//! Use cases: one async function per thing that a caller can ask.
//!
//! A reading one opens a view of the realm; a writing one tells its story inside `App::write` and records events. Who
//! may is decided here, about the very target, by the same evaluator as everybody's checks. This floor knows no wire
//! and no SQL.

mod admission;
mod authorization;
pub mod clock;
mod conferral;
mod credential;
mod ctx;
mod error;
mod facts;
pub mod failpoint;
mod guard;
mod limits;
mod membership;
mod orphaning;
mod read;
mod reason;
mod source;
mod user;
mod write;

use std::sync::Arc;

use tokio::sync::Notify;

pub use admission::Requirement;
pub use authorization::{About, Answered, Asked, At, How};
pub use credential::Caller;
pub use ctx::{Actor, CallId, Ctx, Repeat};
pub use error::{Error, Refusal, Result, Violation};
pub use limits::Rates;
pub use reason::{Kind, Reason};
pub use source::{ACCESS_TOKEN_TTL, RealmKey, RealmKeys, Record};
pub use user::{ListUsers, Name, Page, Paging, ReinstateUser, SetManager, SuspendUser, UserView};
pub use write::Done;

use crate::cache::{Options, Snapshots};
use crate::crypto::password::Hasher;
use crate::crypto::root_key::RootKeys;
use crate::store::Store;
use clock::Clock;

/// The service, without its wire.
pub struct App {
    pub(crate) store: Store,
    pub(crate) snapshots: Snapshots<Record>,
    pub(crate) keys: Arc<RootKeys>,
    pub(crate) hasher: Hasher,
    pub(crate) clock: Clock,
    credentials: credential::Remembered,
    realm_names: admission::RealmNames,
    limits: limits::Limits,
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
}

impl App {
    /// Builds the service on a record whose schema is up to date.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { store, keys, hasher, clock, cache, rates } = parts;
        let keys = Arc::new(keys);
        let record = Record { store: store.clone(), keys: Arc::clone(&keys), clock: clock.clone() };
        Self {
            snapshots: Snapshots::new(Arc::new(record), cache),
            store,
            keys,
            hasher,
            clock,
            credentials: credential::Remembered::default(),
            realm_names: admission::RealmNames::default(),
            limits: limits::Limits::new(rates),
            mail_waits: Notify::new(),
        }
    }

    /// The clock that rules are told.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The keys that everything else is derived from.
    #[must_use]
    pub fn keys(&self) -> &RootKeys {
        &self.keys
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
