//! What becomes of a membership: its attributes, its end, and its move to another organization.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::conferral::{not_a_member, restricted, shown_title};
use super::entry::{EntryView, views};
use super::error::{Error, Result};
use super::facts::Facts;
use super::guard::permissions;
use super::membership::company;
use super::organization::MemberView;
use super::user::{check_etag, find_user, nobody, person, require_live};
use super::write::{Change, Done};
use super::{App, Ctx, Name, Reason};
use crate::cache::Subject;
use crate::domain::account::User;
use crate::domain::catalogue::{Catalogue, Role};
use crate::domain::entry::EntryRow;
use crate::domain::event::{Conferred, Event};
use crate::domain::handle::Handle;
use crate::domain::ids::{RoleId, UserId};
use crate::domain::organization::{Member, Organization};
use crate::domain::snapshot::{Confers, MembershipState, Scope};
use crate::store::EntryFilter;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UpdateMember {
    pub organization: Handle,
    pub user: Handle,
    /// All of them.
    pub attributes: BTreeMap<String, String>,
    pub etag: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RemoveMember {
    pub organization: Handle,
    pub user: Handle,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MoveMember {
    pub organization: Handle,
    pub user: Handle,
    pub destination: Handle,
    /// Of the new membership.
    pub attributes: BTreeMap<String, String>,
}

/// Who was removed, and what went with the membership.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Removed {
    pub user: UserId,
    pub name: Name,
    pub entries: Vec<EntryView>,
}

/// The new membership, and what went with the old one.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Moved {
    pub member: MemberView,
    pub entries: Vec<EntryView>,
}

/// A user and an organization that a call is about, once it may be.
struct Case {
    organization: Organization,
    user: User,
    subject: Subject,
    /// Absent for who has no membership there.
    member: Option<Member>,
}

impl App {
    /// Replaces the attributes of a membership.
    ///
    /// # Errors
    /// NOT_FOUND, NOT_ON_ONESELF, a nearest miss, NOT_A_MEMBER; ACTOR_WOULD_GAIN, NOT_CONTAINED and ROLE_RESTRICTED for
    /// attributes that a role's condition asks for; ACCOUNT_DELETED, ERASED, ETAG_MISMATCH, WOULD_ORPHAN.
    pub async fn update_member(&self, ctx: &Ctx, cmd: &UpdateMember) -> Result<Done<MemberView>> {
        self.write(ctx, async |change: &mut Change<'_>| {
            let case = change.member_to_act_on(&cmd.organization, &cmd.user, permissions::UPDATE_USERS).await?;
            let member = case.active()?.clone();
            change.require_may_attribute(&case, &member.attributes, &cmd.attributes).await?;
            check_etag(cmd.etag.as_deref(), &member.etag())?;
            let member = change.attribute(&case, member, &cmd.attributes).await?;
            Ok(case.view(member))
        })
        .await
    }

    /// Ends a membership, and what somebody has in the organization with it.
    ///
    /// # Errors
    /// NOT_FOUND, NOT_ON_ONESELF, a nearest miss, REACHES_UP, ROLE_RESTRICTED; NOT_A_MEMBER for one that is undecided;
    /// WOULD_ORPHAN.
    pub async fn remove_member(&self, ctx: &Ctx, cmd: &RemoveMember) -> Result<Done<Removed>> {
        self.write(ctx, async |change: &mut Change<'_>| {
            let case = change.member_to_act_on(&cmd.organization, &cmd.user, permissions::REMOVE_MEMBERS).await?;
            let entries = change.end_membership(&case).await?;
            Ok(Removed { user: case.user.id, name: case.name(), entries })
        })
        .await
    }

    /// Ends a membership and begins another one.
    ///
    /// # Errors
    /// Those of [`App::remove_member`] and [`App::add_member`]; NOT_A_MEMBER; a violation if both are one.
    pub async fn move_member(&self, ctx: &Ctx, cmd: &MoveMember) -> Result<Done<Moved>> {
        self.write(ctx, async |change: &mut Change<'_>| {
            let case = change.member_to_act_on(&cmd.organization, &cmd.user, permissions::REMOVE_MEMBERS).await?;
            let adds = permissions::ADD_MEMBERS;
            let destination = change.organization_named(&cmd.destination, adds, "destination").await?;
            if destination.id == case.organization.id {
                return Err(Error::field("destination", "is the organization that the member is to leave"));
            }
            let moved_before = change.is_active_member(&case.user, &destination).await?;
            if !moved_before {
                case.active()?;
            }
            // First the end of the one, then the beginning of the other: there is room for one alone.
            let entries = change.end_membership(&case).await?;
            let member = change.add(&case.user, &destination, &cmd.attributes).await?;
            Ok(Moved { member: MemberView { member, slug: destination.slug, user: case.name() }, entries })
        })
        .await
    }
}

impl Change<'_> {
    /// A user in an organization, both the caller's to know of, and the permission there reaching that user. Reaching a
    /// member is knowing of them, also for a call that ended the membership when it was first made.
    ///
    /// # Errors
    /// NOT_FOUND, NOT_ON_ONESELF, the nearest miss.
    async fn member_to_act_on(&self, place: &Handle, user: &Handle, permission: &'static str) -> Result<Case> {
        let mut guard = self.guard().await?;
        let unknown = || Error::not_found("organization");
        let organization = self.find_organization(place).await?.ok_or_else(unknown)?;
        let here = Some(organization.id);
        let found = find_user(self.rows(), user).await?;
        let subject = match &found {
            Some(user) => self.principal(user.id.into()).await?,
            None => nobody(self.rows(), &mut guard, "user").await.map(|_| None)?,
        };
        let reaches = match &subject {
            Some(subject) => {
                let belongs = subject.principal().belongs_to(organization.id) || self.is_repeated();
                belongs && guard.allows(permission, here, Some(subject.principal().id)).await?
            }
            None => false,
        };
        if !reaches
            && !guard.allows(permission, here, None).await?
            && !guard.reads_organization(organization.id).await?
        {
            return Err(unknown());
        }
        let (user, subject) = found.zip(subject).ok_or_else(|| Error::not_found("user"))?;
        if !reaches && !guard.reads_user(subject.principal()).await? {
            return Err(Error::not_found("user"));
        }
        self.require_not_on_oneself(subject.principal()).await?;
        guard.require(permission, here, Some(user.id.into())).await?;
        let memberships = self.rows().memberships(user.id).await?;
        let member = memberships.into_iter().find(|member| member.organization == organization.id);
        Ok(Case { organization, user, subject, member })
    }

    async fn is_active_member(&self, user: &User, organization: &Organization) -> Result<bool> {
        let known = self.rows().memberships(user.id).await?;
        let active = |member: &Member| member.state == MembershipState::Active;
        Ok(known.iter().any(|member| member.organization == organization.id && active(member)))
    }

    /// Attributes that a role's condition asks for confer that role: whoever writes or removes one could give it.
    ///
    /// # Errors
    /// ACTOR_WOULD_GAIN for oneself; else as for giving the role.
    async fn require_may_attribute(
        &self,
        case: &Case,
        before: &BTreeMap<String, String>,
        after: &BTreeMap<String, String>,
    ) -> Result<()> {
        let differs = |name: &&String| before.get(*name) != after.get(*name);
        let changed: BTreeSet<&String> = before.keys().chain(after.keys()).filter(differs).collect();
        let asks = |role: &&Role| role.conditions.attributes.iter().any(|name| changed.contains(name));
        let opened: Vec<RoleId> = self.catalogue().roles().filter(asks).map(|role| role.id).collect();
        if !opened.is_empty() {
            let message = "nobody writes what their own roles wait for";
            self.require_not_for_oneself(case.subject.principal(), message).await?;
        }
        let scope = Scope::Organization(case.organization.id);
        for role in opened {
            self.require_may_give(case.subject.principal(), role, scope, false).await?;
        }
        Ok(())
    }

    async fn attribute(&mut self, case: &Case, mut member: Member, after: &BTreeMap<String, String>) -> Result<Member> {
        if member.attributes == *after {
            return Ok(member);
        }
        require_live(&case.user)?;
        let (user, organization) = (member.user, member.organization);
        let assigned = self.assigns_roles_in(user, organization).await?;
        let before = std::mem::replace(&mut member.attributes, after.clone());
        self.rows().save_membership(&member).await?;
        self.forget_facts();
        if assigned && !self.assigns_roles_in(user, organization).await? {
            self.require_another_who_assigns(user, case.organization.id).await?;
        }
        let differs = |(name, value): &(&String, &String)| before.get(*name) != Some(*value);
        let written: Vec<String> = after.iter().filter(differs).map(|(name, _)| name.clone()).collect();
        let removed = before.into_keys().filter(|name| !after.contains_key(name)).collect();
        self.record(Event::MemberUpdated { organization, user, written, removed });
        Ok(member)
    }

    /// Ends an ACTIVE membership and revokes every entry that is scoped to the organization. Who is no member is left as
    /// they are.
    ///
    /// # Errors
    /// NOT_A_MEMBER for one that is undecided, REACHES_UP, ROLE_RESTRICTED, WOULD_ORPHAN.
    async fn end_membership(&mut self, case: &Case) -> Result<Vec<EntryView>> {
        let Case { organization, user, subject, member } = case;
        match member.as_ref().map(|member| member.state) {
            Some(MembershipState::Active) => {}
            Some(MembershipState::Pending) => return Err(case.undecided()),
            Some(MembershipState::Rejected) | None => return Ok(vec![]),
        }
        let mut guard = self.guard().await?;
        guard.require_not_reaching_up(subject.principal(), Some(organization.id)).await?;
        let (principal, scope) = (Some(user.id.into()), Some(Scope::Organization(organization.id)));
        let filter = EntryFilter { principal, scope, ..EntryFilter::default() };
        let rows = self.rows().entries(&filter).await?;
        self.require_may_take_restricted(&rows).await?;
        self.require_no_orphaning(user.id, Some(organization.id)).await?;
        self.rows().delete_entries_in(user.id.into(), organization.id).await?;
        self.rows().delete_membership(user.id, organization.id).await?;
        self.forget_facts();
        let taken = rows.iter().map(|row| case.conferred(self.catalogue(), row)).collect();
        self.record(Event::MemberRemoved { organization: company(organization), person: person(user), taken });
        views(self.rows(), self.catalogue(), rows).await
    }

    /// What is restricted is taken only by who holds `countersign.roles.assign_restricted` there.
    ///
    /// # Errors
    /// ROLE_RESTRICTED, for the first one.
    async fn require_may_take_restricted(&self, rows: &[EntryRow]) -> Result<()> {
        for row in rows {
            match &row.entry.confers {
                Confers::Role(role) if self.catalogue().role_is_restricted(*role) => {
                    let place = row.entry.scope.organization();
                    if !self.guard().await?.allows(permissions::ASSIGN_RESTRICTED, place, None).await? {
                        return Err(restricted(self.catalogue().role(*role)));
                    }
                }
                Confers::Role(_) => {}
                Confers::Grant { pattern, .. } => self.require_unrestricted(pattern, row.entry.scope).await?,
            }
        }
        Ok(())
    }
}

impl Case {
    /// The membership, if it is ACTIVE.
    fn active(&self) -> Result<&Member> {
        match &self.member {
            Some(member) if member.state == MembershipState::Active => Ok(member),
            Some(member) if member.state == MembershipState::Pending => Err(self.undecided()),
            _ => Err(not_a_member(self.organization.id)),
        }
    }

    fn undecided(&self) -> Error {
        let facts = vec![("organization", self.organization.id.to_string())];
        let message = "the membership waits for approval, which ApproveRegistration and RejectRegistration decide";
        Error::refused_with(Reason::NotAMember, message, facts)
    }

    fn name(&self) -> Name {
        Name { person: true, handle: self.user.email.clone() }
    }

    fn view(&self, member: Member) -> MemberView {
        MemberView { member, slug: self.organization.slug.clone(), user: self.name() }
    }

    /// What goes with the membership, as mails and the audit log name it.
    fn conferred(&self, catalogue: &Catalogue, row: &EntryRow) -> Conferred {
        let (what, role) = match &row.entry.confers {
            Confers::Role(role) => (catalogue.role(*role).map(shown_title).unwrap_or_default(), Some(*role)),
            Confers::Grant { pattern, .. } => (pattern.to_string(), None),
        };
        Conferred {
            entry: row.entry.id,
            principal: row.principal,
            person: Some(person(&self.user)),
            organization: Some(company(&self.organization)),
            what,
            role,
        }
    }
}
