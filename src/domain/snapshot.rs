//! What a decision is computed from, as the record has it at one revision: a principal, an organization.
//!
//! Plain data without behaviour beyond look-ups; the store loads it, the caches keep and encode it. A principal stores
//! its direct manager alone and names roles by id, so that moving a manager or deleting a role makes one snapshot
//! stale. Sizes matter: a million of these lie in memory.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::account::AccountFacts;
use super::ids::{EntryId, OrganizationId, PrincipalId, RealmId, Revision, RoleId, SessionId, UserId};
use super::permission::{Pattern, Reach};
use super::time::Timestamp;

/// A user or a service account, with everything that it holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Principal {
    pub id: PrincipalId,
    pub realm: RealmId,
    /// The realm's revision, read in the same statement as the rest.
    pub as_of: Revision,
    pub kind: PrincipalKind,
    pub memberships: Vec<Membership>,
    /// The direct manager; who stands above is found by walking up.
    pub manager: Option<UserId>,
    pub entries: Vec<Entry>,
    pub session_epoch: i64,
    /// Sessions ended within the life of an access token.
    pub ended_sessions: Vec<SessionId>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum PrincipalKind {
    User(AccountFacts),
    ServiceAccount {
        /// Absent for an account of the realm.
        organization: Option<OrganizationId>,
        disabled: bool,
    },
}

/// A user in an organization.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Membership {
    pub organization: OrganizationId,
    /// The kind of that organization, which never changes.
    pub kind: String,
    pub state: MembershipState,
    pub attributes: BTreeMap<String, String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum MembershipState {
    Pending,
    Active,
    Rejected,
}

/// An assignment or a grant. Who made it, and when, stays in the record under its id: no decision asks.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Entry {
    pub id: EntryId,
    pub confers: Confers,
    pub scope: Scope,
    /// The entry counts for this resource alone, and then for whoever owns it.
    pub resource: Option<Box<Resource>>,
    pub window: Window,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Confers {
    /// An assignment. The role may be gone by now: then it confers nothing.
    Role(RoleId),
    Grant {
        pattern: Pattern,
        reach: Reach,
    },
}

/// Where an entry counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Scope {
    /// In every organization, and for what belongs to none.
    Realm,
    Organization(OrganizationId),
}

impl Scope {
    /// Whether what counts here counts in `place` (`None`: for what belongs to no organization).
    #[must_use]
    pub fn covers(self, place: Option<OrganizationId>) -> bool {
        match self {
            Self::Realm => true,
            Self::Organization(id) => place == Some(id),
        }
    }

    /// The organization that this scope is limited to.
    #[must_use]
    pub fn organization(self) -> Option<OrganizationId> {
        match self {
            Self::Realm => None,
            Self::Organization(id) => Some(id),
        }
    }
}

/// The most bytes of a resource's id.
pub const RESOURCE_ID_BYTES_MAX: usize = 200;

/// One thing of a sibling service, by a name that it chose: compared byte by byte.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Resource {
    pub kind: String,
    pub id: String,
}

/// When an entry counts: from its first instant until before its last.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Window {
    from: Timestamp,
    until: Timestamp,
}

impl Window {
    pub const ALWAYS: Self = Self { from: Timestamp(i64::MIN), until: Timestamp(i64::MAX) };

    #[must_use]
    pub fn new(not_before: Option<Timestamp>, expires_at: Option<Timestamp>) -> Self {
        Self { from: not_before.unwrap_or(Self::ALWAYS.from), until: expires_at.unwrap_or(Self::ALWAYS.until) }
    }

    #[must_use]
    pub fn not_before(self) -> Option<Timestamp> {
        (self.from != Self::ALWAYS.from).then_some(self.from)
    }

    #[must_use]
    pub fn expires_at(self) -> Option<Timestamp> {
        (self.until != Self::ALWAYS.until).then_some(self.until)
    }

    #[must_use]
    pub fn contains(self, now: Timestamp) -> bool {
        self.from <= now && self.lasts(now)
    }

    /// Whether it has not ended yet, whenever it begins.
    #[must_use]
    pub fn lasts(self, now: Timestamp) -> bool {
        now < self.until
    }
}

/// What a decision needs to know of an organization.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Organization {
    pub id: OrganizationId,
    pub realm: RealmId,
    /// The realm's revision, read in the same statement as the rest.
    pub as_of: Revision,
    pub kind: String,
    pub suspended: bool,
    /// The products that it licenses.
    pub entitlements: Vec<String>,
}

impl Principal {
    /// Whether this is a person; service accounts need no membership and are in no team.
    #[must_use]
    pub fn is_user(&self) -> bool {
        matches!(self.kind, PrincipalKind::User(_))
    }

    /// The ACTIVE memberships.
    pub fn active_memberships(&self) -> impl Iterator<Item = &Membership> {
        self.memberships.iter().filter(|membership| membership.state == MembershipState::Active)
    }

    /// The ACTIVE membership in that organization.
    #[must_use]
    pub fn active_membership(&self, organization: OrganizationId) -> Option<&Membership> {
        self.active_memberships().find(|membership| membership.organization == organization)
    }

    /// The entries that have not expired; those that are yet to begin are among them.
    pub fn lasting_entries(&self, now: Timestamp) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.window.lasts(now))
    }

    /// Whether this is an ACTIVE member, or a service account, of that organization.
    #[must_use]
    pub fn belongs_to(&self, organization: OrganizationId) -> bool {
        match self.kind {
            PrincipalKind::User(_) => self.active_membership(organization).is_some(),
            PrincipalKind::ServiceAccount { organization: own, disabled: _ } => own == Some(organization),
        }
    }

    /// What this snapshot takes in memory, in bytes, the allocator's own share aside.
    #[must_use]
    pub fn weight(&self) -> usize {
        let resource = |it: &Resource| size_of::<Resource>() + it.kind.capacity() + it.id.capacity();
        let entry = |it: &Entry| {
            let pattern = match &it.confers {
                Confers::Role(_) => 0,
                Confers::Grant { pattern, .. } => pattern.as_str().len(),
            };
            pattern + it.resource.as_deref().map_or(0, resource)
        };
        let membership = |it: &Membership| {
            let texts = it.attributes.iter().map(|(name, value)| name.capacity() + value.capacity());
            it.kind.capacity() + texts.sum::<usize>() + it.attributes.len() * 2 * size_of::<String>()
        };
        size_of::<Self>()
            + self.entries.capacity() * size_of::<Entry>()
            + self.entries.iter().map(entry).sum::<usize>()
            + self.memberships.capacity() * size_of::<Membership>()
            + self.memberships.iter().map(membership).sum::<usize>()
            + self.ended_sessions.capacity() * size_of::<SessionId>()
    }
}
