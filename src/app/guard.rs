//! May they? Asked about the very target, on facts of one revision, in the order in which refusals are told.
//!
//! A target that the caller can't read is not found; one that the caller reads but does not reach is denied, with the
//! nearest miss. The same guard serves readers (facts of a view) and writers (facts of the locked revision).

use std::collections::{BTreeMap, BTreeSet};

use smallvec::SmallVec;

use super::error::{Error, Result};
use super::facts::{Basket, Facts, decide, explained, managers_of, reserved};
use super::reason::Reason;
use crate::cache::Subject;
use crate::domain::account::{AccountFacts, ApprovalState};
use crate::domain::containment::{Conferral, contained, holds_pattern, may_assign, reserved_strong, role_contained};
use crate::domain::decision::{Question, in_team};
use crate::domain::explain::{Explanation, Miss, MissKind, Missing};
use crate::domain::ids::{OrganizationId, PrincipalId, RealmId, Revision, RoleId};
use crate::domain::permission::Reach;
use crate::domain::policy::ApprovalBy;
use crate::domain::registration::is_hidden;
use crate::domain::snapshot::{Confers, Membership, MembershipState, Principal, PrincipalKind, Scope};
use crate::domain::time::Timestamp;

/// The reserved permissions that guards ask about.
pub(crate) mod permissions {
    pub(crate) const READ_USERS: &str = "countersign.users.read";
    pub(crate) const APPROVE: &str = "countersign.users.approve";
    pub(crate) const UPDATE_USERS: &str = "countersign.users.update";
    pub(crate) const SUSPEND: &str = "countersign.users.suspend";
    pub(crate) const END_SESSIONS: &str = "countersign.users.end_sessions";
    pub(crate) const BLOCK: &str = "countersign.users.block";
    pub(crate) const VERIFY_EMAIL: &str = "countersign.users.verify_email";
    pub(crate) const RESET_PASSWORD: &str = "countersign.users.reset_password";
    pub(crate) const DELETE: &str = "countersign.users.delete";
    pub(crate) const RESTORE: &str = "countersign.users.restore";
    pub(crate) const CLEAR_TOMBSTONE: &str = "countersign.users.clear_tombstone";
    pub(crate) const SET_MANAGER: &str = "countersign.users.set_manager";
    pub(crate) const CREATE_ORGANIZATION: &str = "countersign.organizations.create";
    pub(crate) const READ_ORGANIZATIONS: &str = "countersign.organizations.read";
    pub(crate) const UPDATE_ORGANIZATIONS: &str = "countersign.organizations.update";
    pub(crate) const IDENTIFY: &str = "countersign.organizations.identify";
    pub(crate) const SUSPEND_ORGANIZATIONS: &str = "countersign.organizations.suspend";
    pub(crate) const ENTITLE: &str = "countersign.organizations.entitle";
    pub(crate) const ADD_MEMBERS: &str = "countersign.organizations.add_members";
    pub(crate) const REMOVE_MEMBERS: &str = "countersign.organizations.remove_members";
    pub(crate) const ASSIGN: &str = "countersign.roles.assign";
    pub(crate) const ASSIGN_RESTRICTED: &str = "countersign.roles.assign_restricted";
    pub(crate) const ESCALATE: &str = "countersign.roles.escalate";
    pub(crate) const GRANT: &str = "countersign.roles.grant";
    pub(crate) const SHARE: &str = "countersign.access.share";
    pub(crate) const READ_ROLES: &str = "countersign.roles.read";
    pub(crate) const DEFINE: &str = "countersign.roles.define";
    pub(crate) const MANAGE_SERVICE_ACCOUNTS: &str = "countersign.service_accounts.manage";
    pub(crate) const CONFIGURE: &str = "countersign.realm.configure";
    pub(crate) const MANAGE_MAIL: &str = "countersign.mail.manage";
    pub(crate) const READ_AUDIT: &str = "countersign.audit.read";
    pub(crate) const CHECK: &str = "countersign.access.check";
    pub(crate) const EXPLAIN: &str = "countersign.access.explain";
    pub(crate) const LIST: &str = "countersign.access.list";
    pub(crate) const WATCH: &str = "countersign.access.watch";
}

/// Decides for one actor.
pub(crate) struct Guard<'a, F> {
    pub(crate) facts: &'a F,
    pub(crate) actor: Subject,
    pub(crate) now: Timestamp,
    basket: Basket,
}

/// Which memberships of a user an action goes through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Through {
    /// ACTIVE ones.
    Active,
    /// Those that wait.
    Pending,
    /// Those that wait or were decided: an approver's business.
    Undecided,
}

impl<'a, F: Facts> Guard<'a, F>
where
    Error: From<F::Fault>,
{
    pub(crate) fn new(facts: &'a F, actor: Subject, now: Timestamp) -> Self {
        Self { facts, actor, now, basket: Basket::default() }
    }

    /// Whether the actor holds the permission there, about what that owner owns.
    pub(crate) async fn allows(
        &mut self,
        permission: &str,
        organization: Option<OrganizationId>,
        owner: Option<PrincipalId>,
    ) -> Result<bool> {
        let permission = reserved(self.facts.catalogue(), permission)?;
        let question = Question { permission, organization, owner, resource: None };
        Ok(decide(self.facts, &mut self.basket, &self.actor, &question, self.now).await?.is_allowed())
    }

    /// As [`Guard::allows`], with the refusal that names the nearest miss.
    pub(crate) async fn require(
        &mut self,
        permission: &str,
        organization: Option<OrganizationId>,
        owner: Option<PrincipalId>,
    ) -> Result<()> {
        if self.allows(permission, organization, owner).await? {
            return Ok(());
        }
        let id = reserved(self.facts.catalogue(), permission)?;
        let question = Question { permission: id, organization, owner, resource: None };
        Err(denied(permission, &explained(self.facts, &mut self.basket, &self.actor, &question, self.now).await?))
    }

    /// Requires the permission somewhere, at ALL: realm-wide, or in an organization that an entry is scoped to. For what
    /// is the same everywhere in the realm.
    pub(crate) async fn require_somewhere(&mut self, permission: &str) -> Result<()> {
        for organization in self.scopes() {
            if self.allows(permission, Some(organization), None).await? {
                return Ok(());
            }
        }
        self.require(permission, None, None).await
    }

    /// The organizations that the actor's entries are scoped to: beyond them it reaches realm-wide or not at all.
    pub(crate) fn scopes(&self) -> BTreeSet<OrganizationId> {
        self.actor.principal().entries.iter().filter_map(|entry| entry.scope.organization()).collect()
    }

    /// Whether the actor may read something of an organization, and so know of it: its own, it itself, or its users.
    pub(crate) async fn reads_organization(&mut self, organization: OrganizationId) -> Result<bool> {
        if self.actor.principal().belongs_to(organization) {
            return Ok(true);
        }
        for permission in [permissions::READ_ORGANIZATIONS, permissions::READ_USERS, permissions::APPROVE] {
            if self.allows(permission, Some(organization), None).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the actor may read this user: themself, a member of an organization in which it reads users, or one who
    /// waits where it approves.
    pub(crate) async fn reads_user(&mut self, target: &Principal) -> Result<bool> {
        if target.id == self.actor.principal().id {
            return Ok(true);
        }
        Ok(self.allows_in_one(permissions::READ_USERS, target, Through::Active).await?
            || self.knows_newcomer(target).await?)
    }

    /// Asks whatever would be asked about a user that there is and that the actor does not read, so that the time which a
    /// call takes does not tell that there is none.
    pub(crate) async fn asks_of_nobody(&mut self) -> Result<()> {
        self.facts.principal(NOBODY).await?;
        let somebody = nobody(self.facts.catalogue().realm);
        self.reads_user(&somebody).await.map(drop)
    }

    /// Whether the actor decides on this newcomer there (`None`: as one who registered without an organization).
    pub(crate) async fn approves(
        &mut self,
        newcomer: &Principal,
        organization: Option<OrganizationId>,
    ) -> Result<bool> {
        let place = self.place_of_approval(newcomer, organization);
        self.allows(permissions::APPROVE, place, Some(newcomer.id)).await
    }

    /// As [`Guard::approves`], with the refusal that names the nearest miss.
    pub(crate) async fn require_approves(
        &mut self,
        newcomer: &Principal,
        organization: Option<OrganizationId>,
    ) -> Result<()> {
        let place = self.place_of_approval(newcomer, organization);
        self.require(permissions::APPROVE, place, Some(newcomer.id)).await
    }

    /// Whether the actor decides on newcomers where this one waits or was decided on.
    async fn knows_newcomer(&mut self, newcomer: &Principal) -> Result<bool> {
        for organization in organizations(newcomer, Through::Undecided) {
            if self.approves(newcomer, Some(organization)).await? {
                return Ok(true);
            }
        }
        self.approves(newcomer, None).await
    }

    /// Where the actor must hold the permission: in the organization, unless the realm decides, or the newcomer only
    /// claims an address of the organization's domain so far.
    fn place_of_approval(&self, newcomer: &Principal, organization: Option<OrganizationId>) -> Option<OrganizationId> {
        let policy = &self.facts.catalogue().policy;
        let verified = matches!(&newcomer.kind, PrincipalKind::User(facts) if facts.email_verified);
        let realm_wide = policy.approval == ApprovalBy::Realm || is_hidden(policy, verified);
        organization.filter(|_| !realm_wide)
    }

    /// Whether the actor holds the permission over this user in one of its organizations, or realm-wide.
    pub(crate) async fn allows_in_one(
        &mut self,
        permission: &str,
        target: &Principal,
        through: Through,
    ) -> Result<bool> {
        for organization in organizations(target, through) {
            if self.allows(permission, Some(organization), Some(target.id)).await? {
                return Ok(true);
            }
        }
        self.allows(permission, None, Some(target.id)).await
    }

    /// Requires the permission over this user's account: in every organization where it is an ACTIVE member, or
    /// realm-wide. A user who is nowhere one is reached through the organizations in which it waits, by who may approve it
    /// there.
    pub(crate) async fn require_over_account(&mut self, permission: &str, target: &Principal) -> Result<()> {
        if self.allows(permission, None, Some(target.id)).await? {
            return Ok(());
        }
        let memberships = organizations(target, Through::Active);
        if memberships.is_empty() {
            return self.require_over_newcomer(permission, target).await;
        }
        for organization in memberships {
            self.require(permission, Some(organization), Some(target.id)).await?;
        }
        Ok(())
    }

    async fn require_over_newcomer(&mut self, permission: &str, target: &Principal) -> Result<()> {
        let waits = organizations(target, Through::Pending);
        if waits.is_empty() {
            return self.require(permission, None, Some(target.id)).await;
        }
        for organization in waits {
            self.require_approves(target, Some(organization)).await?;
            self.require(permission, Some(organization), Some(target.id)).await?;
        }
        Ok(())
    }

    /// As [`Guard::require_over_account`], as an answer.
    pub(crate) async fn allows_over_account(&mut self, permission: &str, target: &Principal) -> Result<bool> {
        match self.require_over_account(permission, target).await {
            Ok(()) => Ok(true),
            Err(refused) if refused.is_about_access() => Ok(false),
            Err(fault) => Err(fault),
        }
    }

    /// Whether somebody is in the actor's team.
    pub(crate) async fn leads(&self, somebody: PrincipalId) -> Result<bool> {
        let managers = managers_of(self.facts, somebody).await?;
        Ok(in_team(self.actor.principal().id, &managers, self.facts.catalogue().policy.team))
    }

    /// Rule 3: nobody gives what they do not have. `stated_owner` is whose resource it is, as the caller says.
    pub(crate) async fn require_contained(
        &mut self,
        confers: &Confers,
        scope: Scope,
        on_resource: bool,
        stated_owner: Option<PrincipalId>,
        receiver: PrincipalId,
    ) -> Result<()> {
        if self.allows(permissions::ESCALATE, scope.organization(), None).await? {
            return Ok(());
        }
        let in_team = self.leads(receiver).await?;
        // Gathers the owner's managers, should the actor be one that shares.
        self.allows(permissions::SHARE, scope.organization(), stated_owner).await?;
        let conferral = Conferral { scope, on_resource, stated_owner, in_team };
        let world = self.basket.world(self.facts.catalogue(), &self.actor, stated_owner);
        let outcome = match confers {
            Confers::Role(role) => role_contained(&world, *role, &conferral, self.now),
            Confers::Grant { pattern, reach } => contained(&world, (pattern, *reach), &conferral, self.now),
        };
        outcome.map_err(|lacking| {
            let facts = vec![("pattern", lacking.pattern.to_string()), ("reach", reach_name(lacking.reach).to_owned())];
            Error::refused_with(Reason::NotContained, lacking.to_string(), facts)
        })
    }

    /// Whether a role that the actor holds in the scope, conferring, says that it may give this one away.
    pub(crate) async fn may_assign(&mut self, role: RoleId, scope: Scope) -> Result<bool> {
        if let Some(organization) = scope.organization() {
            self.basket.organization(self.facts, organization).await?;
        }
        let world = self.basket.world(self.facts.catalogue(), &self.actor, None);
        Ok(may_assign(&world, role, scope, self.now))
    }

    /// Whether the actor manages this service account and holds what it holds, as far as the containment table goes:
    /// nobody else can make a key of it.
    pub(crate) async fn could_mint(&mut self, account: &Principal) -> Result<bool> {
        let PrincipalKind::ServiceAccount { organization, disabled: _ } = account.kind else { return Ok(false) };
        if !self.allows(permissions::MANAGE_SERVICE_ACCOUNTS, organization, None).await? {
            return Ok(false);
        }
        for entry in account.lasting_entries(self.now) {
            let there = entry.scope.organization();
            let restricted =
                matches!(entry.confers, Confers::Role(role) if self.facts.catalogue().role_is_restricted(role));
            if restricted && self.allows(permissions::ASSIGN_RESTRICTED, there, None).await? {
                continue;
            }
            let on_resource = entry.resource.is_some();
            match self.require_contained(&entry.confers, entry.scope, on_resource, None, account.id).await {
                Ok(()) => {}
                Err(error) if error.is_about_access() => return Ok(false),
                Err(fault) => return Err(fault),
            }
        }
        Ok(true)
    }

    /// Nobody reaches up: acting on somebody who holds something reserved at TEAM or ALL takes as much. `within` limits
    /// the question to one organization; an account's operations ask everywhere.
    pub(crate) async fn require_not_reaching_up(
        &mut self,
        target: &Principal,
        within: Option<OrganizationId>,
    ) -> Result<()> {
        if self.allows(permissions::ESCALATE, within, None).await? {
            return Ok(());
        }
        let strong: Vec<_> = reserved_strong(self.facts.catalogue(), target, self.now)
            .filter(|strong| within.is_none() || strong.scope == Scope::Realm || strong.scope.organization() == within)
            .map(|strong| (strong.pattern.clone(), strong.sufficient(), strong.scope))
            .collect();
        for (pattern, sufficient, scope) in strong {
            if let Some(organization) = scope.organization() {
                self.basket.organization(self.facts, organization).await?;
            }
            let world = self.basket.world(self.facts.catalogue(), &self.actor, None);
            if !holds_pattern(&world, &pattern, sufficient, scope, self.now) {
                let message = format!("the target holds {pattern}, which the caller does not");
                return Err(Error::refused_with(Reason::ReachesUp, message, vec![("pattern", pattern.to_string())]));
            }
        }
        Ok(())
    }
}

/// The id that no principal has.
pub(crate) const NOBODY: PrincipalId = PrincipalId(uuid::Uuid::nil());

/// In place of a user that there is not: an approved member of an organization that there is not either.
pub(crate) fn nobody(realm: RealmId) -> Principal {
    let facts = AccountFacts {
        approval: ApprovalState::Approved,
        holds: vec![],
        email_verified: true,
        deleted: false,
        valid_from: None,
        valid_until: None,
        password_must_change: false,
    };
    let membership = Membership {
        organization: OrganizationId(uuid::Uuid::nil()),
        kind: String::new(),
        state: MembershipState::Active,
        attributes: BTreeMap::new(),
    };
    Principal {
        id: NOBODY,
        realm,
        as_of: Revision(0),
        kind: PrincipalKind::User(facts),
        memberships: vec![membership],
        manager: None,
        entries: vec![],
        session_epoch: 0,
        ended_sessions: vec![],
    }
}

/// The organizations that an action on a user goes through.
pub(crate) fn organizations(target: &Principal, through: Through) -> SmallVec<[OrganizationId; 4]> {
    let wanted = |state: MembershipState| match through {
        Through::Active => state == MembershipState::Active,
        Through::Pending => state == MembershipState::Pending,
        Through::Undecided => state != MembershipState::Active,
    };
    target.memberships.iter().filter(|held| wanted(held.state)).map(|held| held.organization).collect()
}

/// The refusal of a permission that reaches something else.
pub(crate) fn denied(permission: &str, explanation: &Explanation) -> Error {
    if let Explanation::Gates(gates) = explanation
        && let Some(gate) = gates.first()
    {
        return Error::Gated { gate: *gate, words: None };
    }
    let (reason, detail) = why(explanation);
    let mut facts = vec![("permission", permission.to_owned())];
    if !detail.is_empty() {
        facts.push(("missing", detail));
    }
    Error::refused_with(reason, format!("{permission} does not reach this"), facts)
}

/// The reason of a denial, and what its entry lacks.
pub(crate) fn why(explanation: &Explanation) -> (Reason, String) {
    match explanation {
        Explanation::Allowed(_) => (Reason::NoSuchEntry, String::new()),
        Explanation::Gates(gates) => gates.first().map_or((Reason::NoSuchEntry, String::new()), |gate| {
            let cause = match gate {
                crate::domain::account::Gate::Suspended(cause) => format!("{cause:?}"),
                _ => String::new(),
            };
            ((*gate).into(), cause)
        }),
        Explanation::OrganizationUnknown => (Reason::OrganizationUnknown, String::new()),
        Explanation::PermissionRetired => (Reason::PermissionRetired, String::new()),
        Explanation::Misses { near, .. } => near.first().map_or((Reason::NoSuchEntry, String::new()), miss_reason),
    }
}

/// The reason that a near miss stands for, and what is missing.
pub(crate) fn miss_reason(miss: &Miss) -> (Reason, String) {
    match &miss.kind {
        MissKind::NoSuchEntry => (Reason::NoSuchEntry, String::new()),
        MissKind::WrongOrganization => (Reason::WrongOrganization, String::new()),
        MissKind::OutOfReach => (Reason::OutOfReach, String::new()),
        MissKind::OtherResource => (Reason::OtherResource, String::new()),
        MissKind::NotConferred(missing) => (Reason::NotConferred, missing_text(missing)),
        MissKind::NotYet(_) => (Reason::NotYet, String::new()),
        MissKind::Expired(_) => (Reason::Expired, String::new()),
        MissKind::OrganizationSuspended => (Reason::OrganizationSuspended, String::new()),
    }
}

fn missing_text(missing: &[Missing]) -> String {
    let one = |missing: &Missing| match missing {
        Missing::Membership => "membership".to_owned(),
        Missing::Kind(kinds) => format!("kind:{}", kinds.join("|")),
        Missing::Entitlement(products) => format!("entitlement:{}", products.join("|")),
        Missing::Attribute(name) => format!("attribute:{name}"),
        Missing::Role(role) => format!("role:{role}"),
    };
    missing.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn reach_name(reach: Reach) -> &'static str {
    match reach {
        Reach::Own => "OWN",
        Reach::Team => "TEAM",
        Reach::All => "ALL",
    }
}
