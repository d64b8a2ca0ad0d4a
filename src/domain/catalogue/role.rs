//! What a role says, as its author wrote it. Stored as one document; a field added here needs a default.

use serde::{Deserialize, Serialize};

use crate::domain::ids::RoleId;
use crate::domain::permission::{Pattern, Reach};
use crate::domain::time::Timestamp;

/// A named set of permission patterns, each with a reach.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Role {
    pub id: RoleId,
    pub name: String,
    pub title: String,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub grants: Vec<(Pattern, Reach)>,
    /// Roles whose patterns and topics come with this one. A role that is gone is ignored.
    #[serde(default)]
    pub includes: Vec<RoleId>,
    #[serde(default)]
    pub assignable: Assignable,
    /// Assigned and revoked only by who holds `countersign.roles.assign_restricted` there.
    #[serde(default)]
    pub restricted: bool,
    /// Assignments must name a resource of this type.
    #[serde(default)]
    pub resource_type: Option<String>,
    /// Roles that holders of this one may give to users, without holding what those confer.
    #[serde(default)]
    pub may_assign: Vec<RoleId>,
    #[serde(default)]
    pub conditions: Conditions,
    /// The mail topics that holders take, and about whom.
    #[serde(default)]
    pub topics: Vec<(String, Reach)>,
}

impl Role {
    /// Whether the role comes with a membership in an organization of this kind.
    #[must_use]
    pub fn comes_with(&self, kind: &str) -> bool {
        let Assignable { organization, kinds, default, .. } = &self.assignable;
        let for_kind = kinds.is_empty() || kinds.iter().any(|own| own == kind);
        *organization && for_kind && default.includes(kind)
    }

    /// What is left of a role that was deleted: its id and its names. It confers nothing, and is assigned nowhere.
    #[must_use]
    pub fn emptied(&self) -> Self {
        Self {
            id: self.id,
            name: self.name.clone(),
            title: self.title.clone(),
            description: String::new(),
            grants: vec![],
            includes: vec![],
            assignable: Assignable::default(),
            restricted: false,
            resource_type: None,
            may_assign: vec![],
            conditions: Conditions::default(),
            topics: vec![],
        }
    }
}

/// A role as the record keeps it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RoleRow {
    pub role: Role,
    pub created_at: Timestamp,
    /// Counts the writes of this role; its printed form is the etag.
    pub version: i64,
}

impl RoleRow {
    /// Opaque to clients; equal as long as nobody wrote the role.
    #[must_use]
    pub fn etag(&self) -> String {
        format!("\"{}\"", self.version)
    }
}

/// Where a role may be assigned. The default is nowhere: such a role is there to be included.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Assignable {
    pub organization: bool,
    pub realm: bool,
    /// In organizations of these kinds only; realm-wide, to ACTIVE members of such an organization. Empty = any kind.
    pub kinds: Vec<String>,
    pub default: DefaultFor,
}

/// Whether a role comes with a membership.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum DefaultFor {
    #[default]
    No,
    AllKinds,
    Kinds(Vec<String>),
}

impl DefaultFor {
    /// Whether the role comes with a membership in an organization of this kind.
    #[must_use]
    pub fn includes(&self, kind: &str) -> bool {
        match self {
            Self::No => false,
            Self::AllKinds => true,
            Self::Kinds(kinds) => kinds.iter().any(|own| own == kind),
        }
    }
}

/// What must hold for a role to confer. They bind the role's own patterns, also where another role includes it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Conditions {
    /// The organization asked about licenses one of these products. Empty = no such condition.
    pub any_entitlement: Vec<String>,
    /// The ACTIVE membership there carries all of these attributes.
    pub attributes: Vec<String>,
    /// All of these are assigned beside it and active, there or realm-wide; whether they confer is not asked.
    pub roles: Vec<RoleId>,
}

impl Conditions {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.any_entitlement.is_empty() && self.attributes.is_empty() && self.roles.is_empty()
    }
}

/// A set of roles of which nobody may hold `limit` in one scope.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Exclusion {
    pub name: String,
    pub title: String,
    pub roles: Vec<RoleId>,
    pub limit: u32,
}
