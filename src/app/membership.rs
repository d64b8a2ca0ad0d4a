//! Becoming a member: by approval, by AddMember, by an assignment. Whatever the way, the same rules and the same default
//! roles.

use super::error::{Error, Result};
use super::facts::Facts;
use super::write::Change;
use super::{Reason, user::person};
use crate::domain::account::User;
use crate::domain::entry::{EntryRow, Origin};
use crate::domain::event::{Company, Conferred, Event};
use crate::domain::ids::{EntryId, OrganizationId, RoleId};
use crate::domain::organization::{Member, Organization};
use crate::domain::policy::OrganizationsPerUser;
use crate::domain::snapshot::{Confers, Entry, MembershipState, Principal, PrincipalKind, Scope, Window};
use crate::store::EntryFilter;

impl Change<'_> {
    /// Makes a membership ACTIVE and gives the default roles that come with it. A membership that is ACTIVE stays as it
    /// is.
    ///
    /// # Errors
    /// ONE_ORGANIZATION_PER_USER, EXCLUSIVE_KIND.
    pub(super) async fn activate_membership(&mut self, user: &User, organization: &Organization) -> Result<Member> {
        let memberships = self.rows().memberships(user.id).await?;
        let known = memberships.iter().find(|member| member.organization == organization.id).cloned();
        if let Some(active) = known.as_ref().filter(|member| member.state == MembershipState::Active) {
            return Ok(active.clone());
        }
        self.require_room_for(&memberships, organization).await?;
        let member = Member {
            user: user.id,
            organization: organization.id,
            state: MembershipState::Active,
            attributes: known.as_ref().map(|member| member.attributes.clone()).unwrap_or_default(),
            created_at: known.map_or(self.ctx.now, |member| member.created_at),
            decided_at: Some(self.ctx.now),
            decided_by: self.ctx.actor.id(),
        };
        self.rows().save_membership(&member).await?;
        self.give_default_roles(user, organization).await?;
        self.forget_facts();
        Ok(member)
    }

    /// Whether somebody with these memberships may become a member of one more organization.
    pub(super) async fn require_room_for(&self, memberships: &[Member], organization: &Organization) -> Result<()> {
        let counts =
            |member: &&Member| member.organization != organization.id && member.state != MembershipState::Rejected;
        let others: Vec<_> = memberships.iter().filter(counts).map(|member| member.organization).collect();
        let policy = &self.catalogue().policy;
        if !others.is_empty() && policy.organizations_per_user == OrganizationsPerUser::One {
            let message = "a user of this realm belongs to one organization";
            return Err(Error::refused(Reason::OneOrganizationPerUser, message));
        }
        let exclusive = |kind: &str| policy.kind(kind).is_some_and(|kind| kind.exclusive);
        for other in self.rows().organizations_of(&others).await? {
            if other.kind != organization.kind && (exclusive(&other.kind) || exclusive(&organization.kind)) {
                let message = format!("a member of a {} can't be one of a {}", other.kind, organization.kind);
                let facts = vec![("kind", organization.kind.clone()), ("other_kind", other.kind)];
                return Err(Error::refused_with(Reason::ExclusiveKind, message, facts));
            }
        }
        Ok(())
    }

    async fn give_default_roles(&mut self, user: &User, organization: &Organization) -> Result<()> {
        let scope = Scope::Organization(organization.id);
        let (principal, there) = (Some(user.id.into()), Some(scope));
        let held = self.rows().entries(&EntryFilter { principal, scope: there, ..EntryFilter::default() }).await?;
        let comes = |role: &&crate::domain::catalogue::Role| {
            let confers = Confers::Role(role.id);
            let held = held.iter().any(|row| row.entry.confers == confers);
            role.comes_with(&organization.kind) && !held
        };
        let roles: Vec<(RoleId, String)> =
            self.catalogue().roles().filter(comes).map(|role| (role.id, role.title.clone())).collect();
        for (role, title) in roles {
            let conferred = self.confer_by_policy(user, organization, (role, title), Origin::Default).await?;
            self.record(Event::DefaultRoleGiven(conferred));
        }
        Ok(())
    }

    /// Whether an ACTIVE member of the organization holds the founding role there, as an account that is not deleted.
    pub(super) async fn is_led(&self, organization: OrganizationId) -> Result<bool> {
        let policy = &self.catalogue().policy;
        let named = policy.founding_role.as_deref().and_then(|name| self.catalogue().role_named(name));
        let Some(role) = named.map(|role| role.id) else { return Ok(false) };
        let (roles, scope) = (Some(vec![role]), Some(Scope::Organization(organization)));
        for row in self.rows().entries(&EntryFilter { roles, scope, ..EntryFilter::default() }).await? {
            let holder = self.principal(row.principal).await?.filter(|_| row.entry.window.contains(self.ctx.now));
            if holder.is_some_and(|holder| leads(holder.principal(), organization)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Makes an entry that the realm's policy confers in the organization.
    pub(super) async fn confer_by_policy(
        &mut self,
        user: &User,
        organization: &Organization,
        (role, title): (RoleId, String),
        origin: Origin,
    ) -> Result<Conferred> {
        let entry = Entry {
            id: EntryId(self.app.clock.new_id()),
            confers: Confers::Role(role),
            scope: Scope::Organization(organization.id),
            resource: None,
            window: Window::ALWAYS,
        };
        let row = EntryRow { principal: user.id.into(), entry, assigned_by: None, assigned_at: self.ctx.now, origin };
        self.rows().insert_entry(&row).await?;
        self.forget_facts();
        Ok(Conferred {
            entry: row.entry.id,
            principal: user.id.into(),
            person: Some(person(user)),
            organization: Some(company(organization)),
            what: title,
            role: Some(role),
        })
    }
}

fn leads(holder: &Principal, organization: OrganizationId) -> bool {
    let lives = matches!(&holder.kind, PrincipalKind::User(facts) if !facts.deleted);
    lives && holder.active_membership(organization).is_some()
}

/// An organization as mails and the audit log name it.
pub(super) fn company(organization: &Organization) -> Company {
    Company { id: organization.id, title: organization.title.clone() }
}
