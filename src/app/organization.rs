//! Making organizations, their names and what they are known by, and who is added to them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::error::{Error, Result};
use super::facts::Facts;
use super::gain::{Gain, Joining};
use super::guard::permissions;
use super::membership::company;
use super::user::{check_etag, require_live};
use super::write::{Change, Done, taken};
use super::{App, Ctx, Draft, Name, Reason, Violation};
use crate::domain::account::User;
use crate::domain::catalogue::Role;
use crate::domain::event::Event;
use crate::domain::handle::Handle;
use crate::domain::ids::{OrganizationId, PrincipalId, RoleId, UserId};
use crate::domain::organization::{Contact, Identifier, Member, Organization, claims, identifiers};
use crate::domain::policy::Policy;
use crate::domain::registration::{Unfounded, founding_role};
use crate::domain::snapshot::{Confers, MembershipState, Principal, Scope};
use crate::store::Constraint;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CreateOrganization {
    pub slug: String,
    pub title: String,
    /// May be left out in a realm of one kind.
    pub kind: Option<String>,
    /// Scheme and value, as given.
    pub identifiers: Vec<(String, String)>,
    pub entitlements: BTreeSet<String>,
    pub contacts: Vec<Contact>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SetIdentifiers {
    pub organization: Handle,
    /// Scheme and value, as given.
    pub identifiers: Vec<(String, String)>,
    pub etag: Option<String>,
}

/// What to write of an organization; what is absent stays.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UpdateOrganization {
    pub organization: Handle,
    pub slug: Option<String>,
    pub title: Option<String>,
    pub etag: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AddMember {
    pub organization: Handle,
    pub user: Handle,
    pub attributes: BTreeMap<String, String>,
}

/// A membership with the names of both sides.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MemberView {
    pub member: Member,
    pub slug: String,
    pub user: Name,
}

impl App {
    /// Makes an organization.
    ///
    /// # Errors
    /// INVALID_FIELDS, also for what the realm does not name; a nearest miss; ACTOR_WOULD_GAIN, ALREADY_EXISTS,
    /// IDENTIFIER_TAKEN.
    pub async fn create_organization(
        &self,
        ctx: &Ctx,
        draft: &Draft<CreateOrganization>,
    ) -> Result<Done<Organization>> {
        self.write(ctx, async |change: &mut Change<'_>| {
            let organization = new_organization(self, ctx, draft, &change.catalogue().policy)?;
            change.guard().await?.require(permissions::CREATE_ORGANIZATION, None, None).await?;
            change.require_no_opening(&organization.entitlements, Scope::Realm).await?;
            change.require_no_way_into(&organization).await?;
            change.require_unrivalled(&organization).await?;
            let inserted = change.rows().insert_organization(&organization).await;
            taken(inserted, Constraint::OrganizationSlug, "slug", &organization.slug)?;
            change.record(Event::OrganizationCreated { organization: company(&organization) });
            Ok(organization)
        })
        .await
    }

    /// Changes an organization's slug and title.
    ///
    /// # Errors
    /// NOT_FOUND, a nearest miss, ETAG_MISMATCH, ALREADY_EXISTS.
    pub async fn update_organization(&self, ctx: &Ctx, cmd: &UpdateOrganization) -> Result<Done<Organization>> {
        self.write(ctx, async |change: &mut Change<'_>| {
            let permission = permissions::UPDATE_ORGANIZATIONS;
            let mut organization = change.organization_to_act_on(&cmd.organization, permission).await?;
            check_etag(cmd.etag.as_deref(), &organization.etag())?;
            let slug = replaced(&mut organization.slug, cmd.slug.as_ref());
            let title = replaced(&mut organization.title, cmd.title.as_ref());
            if slug.is_some() || title.is_some() {
                organization.version += 1;
                let written = change.rows().update_organization(&organization).await;
                taken(written, Constraint::OrganizationSlug, "slug", &organization.slug)?;
                change.record(Event::OrganizationUpdated { organization: organization.id, slug, title });
            }
            change.organization_view(organization).await
        })
        .await
    }

    /// Replaces what an organization is known by. Members and their roles stay as they are.
    ///
    /// # Errors
    /// INVALID_FIELDS, NOT_FOUND, a nearest miss, ACTOR_WOULD_GAIN, ETAG_MISMATCH, IDENTIFIER_TAKEN.
    pub async fn set_identifiers(&self, ctx: &Ctx, draft: &Draft<SetIdentifiers>) -> Result<Done<Organization>> {
        self.write(ctx, async |change: &mut Change<'_>| {
            let read = read_identifiers(&change.catalogue().policy, &draft.said().identifiers);
            let (cmd, wanted) = draft.sound_as(read)?;
            let mut organization = change.organization_to_act_on(&cmd.organization, permissions::IDENTIFY).await?;
            change.require_no_way_in(organization.id).await?;
            check_etag(cmd.etag.as_deref(), &organization.etag())?;
            if organization.identifiers != wanted {
                let before = std::mem::replace(&mut organization.identifiers, wanted);
                change.require_unrivalled(&organization).await?;
                organization.version += 1;
                change.rows().update_organization(&organization).await?;
                let after = printed(&organization.identifiers);
                change.record(Event::IdentifiersSet { organization: organization.id, before: printed(&before), after });
            }
            change.organization_view(organization).await
        })
        .await
    }

    /// Makes an existing user an ACTIVE member, or decides the membership of one who waits. The account's approval
    /// stays as it is.
    ///
    /// # Errors
    /// NOT_FOUND, a nearest miss, ACTOR_WOULD_GAIN; NOT_CONTAINED and ROLE_RESTRICTED for attributes; ACCOUNT_DELETED,
    /// ERASED, ADMINISTRATORS_DO_NOT_CREATE_USERS, ONE_ORGANIZATION_PER_USER, EXCLUSIVE_KIND.
    pub async fn add_member(&self, ctx: &Ctx, cmd: &AddMember) -> Result<Done<MemberView>> {
        self.write(ctx, async |change: &mut Change<'_>| {
            let organization = change.organization_to_act_on(&cmd.organization, permissions::ADD_MEMBERS).await?;
            let user = change.readable_user(&cmd.user, "user").await?;
            let member = change.add(&user, &organization, &cmd.attributes).await?;
            let name = Name { person: true, handle: user.email };
            Ok(MemberView { member, slug: organization.slug, user: name })
        })
        .await
    }
}

impl Change<'_> {
    /// The organization that a call acts on, once it may: at ALL there.
    ///
    /// # Errors
    /// NOT_FOUND, also for one that the caller can't read; else the nearest miss.
    pub(super) async fn organization_to_act_on(
        &self,
        handle: &Handle,
        permission: &'static str,
    ) -> Result<Organization> {
        self.organization_named(handle, permission, "organization").await
    }

    /// As [`Change::organization_to_act_on`], named by this field of the request.
    pub(super) async fn organization_named(
        &self,
        handle: &Handle,
        permission: &'static str,
        field: &str,
    ) -> Result<Organization> {
        let organization = self.find_organization(handle).await?.ok_or_else(|| Error::not_found(field))?;
        let mut guard = self.guard().await?;
        if !guard.allows(permission, Some(organization.id), None).await?
            && !guard.reads_organization(organization.id).await?
        {
            return Err(Error::not_found(field));
        }
        guard.require(permission, Some(organization.id), None).await?;
        Ok(organization)
    }

    /// The organization of that handle, whoever asks.
    pub(super) async fn find_organization(&self, handle: &Handle) -> Result<Option<Organization>> {
        Ok(match handle {
            Handle::Id(id) => self.rows().organization(OrganizationId(*id)).await?,
            Handle::Natural(slug) => self.rows().organization_by_slug(slug).await?,
        })
    }

    /// The organization as the caller may see it after this change: its codes and addresses are whose who reads it.
    pub(super) async fn organization_view(&self, mut organization: Organization) -> Result<Organization> {
        let reads = permissions::READ_ORGANIZATIONS;
        if !self.guard().await?.allows(reads, Some(organization.id), None).await? {
            organization.identifiers.clear();
            organization.contacts.clear();
        }
        Ok(organization)
    }

    /// Requires that no other organization is known by the same.
    async fn require_unrivalled(&self, organization: &Organization) -> Result<()> {
        for claim in claims(&self.catalogue().policy, &organization.identifiers) {
            if self.rows().rival(&claim, organization.id).await?.is_some() {
                let schemes = claim.schemes();
                let message = format!("another organization has this {schemes}");
                return Err(Error::refused_with(Reason::IdentifierTaken, message, vec![("scheme", schemes)]));
            }
        }
        Ok(())
    }

    /// Where whoever knows the codes becomes a member, nobody makes the codes of an organization that they are not in:
    /// they could join with them.
    async fn require_no_way_in(&self, organization: OrganizationId) -> Result<()> {
        let mut guard = self.guard().await?;
        let open = self.catalogue().policy.codes_alone_admit();
        if !open || guard.allows(permissions::ESCALATE, Some(organization), None).await? {
            return Ok(());
        }
        for somebody in self.behind().await? {
            let Some(subject) = self.principal(somebody).await? else { continue };
            let known = subject.principal();
            if known.is_user() && known.active_membership(organization).is_none() {
                let message = "knowing these codes, the caller could become a member";
                return Err(Error::refused(Reason::ActorWouldGain, message));
            }
        }
        Ok(())
    }

    /// Nobody makes an organization whose codes, or whose contact they are, open something to them that they could not
    /// give.
    ///
    /// # Errors
    /// ACTOR_WOULD_GAIN.
    async fn require_no_way_into(&self, new: &Organization) -> Result<()> {
        let policy = &self.catalogue().policy;
        if policy.codes_alone_admit() && !new.identifiers.is_empty() {
            let message = "knowing these codes, the caller could become a member";
            let joining = Joining::New(&new.kind);
            self.require_no_gain(message, |holder| self.gains_by_joining(holder, policy, joining)).await?;
        }
        let founds = policy.founding_role.as_deref().and_then(|name| self.catalogue().role_named(name));
        let Some(role) = founds else { return Ok(()) };
        let mut founders = BTreeSet::new();
        for somebody in self.behind().await? {
            let Some(user) = self.rows().user(UserId(somebody.0)).await? else { continue };
            let unfounded = Unfounded { by_registration: false, has_members: false, is_led: false };
            if founding_role(policy, new, &user.email, unfounded).is_some() {
                founders.insert(somebody);
            }
        }
        let founding = |holder: &Principal| match founders.contains(&holder.id) {
            true => vec![Gain { confers: Confers::Role(role.id), scope: Scope::Realm, on_resource: false }],
            false => vec![],
        };
        self.require_no_gain("as a contact of the organization, the caller could found it", founding).await
    }

    /// Makes somebody a member by a call of the actor's, or finds them to be one.
    pub(super) async fn add(
        &mut self,
        user: &User,
        organization: &Organization,
        attributes: &BTreeMap<String, String>,
    ) -> Result<Member> {
        let known = self.rows().memberships(user.id).await?;
        let here = known.into_iter().find(|member| member.organization == organization.id);
        if let Some(active) = here.filter(|member| member.state == MembershipState::Active) {
            return Ok(active);
        }
        self.require_may_add(user.id.into(), organization.id, attributes).await?;
        require_live(user)?;
        if !self.catalogue().policy.administrators_create_users {
            let message = "in this realm people become members by registering alone";
            return Err(Error::refused(Reason::AdministratorsDoNotCreateUsers, message));
        }
        let mut member = self.activate_membership(user, organization).await?;
        if !attributes.is_empty() {
            member.attributes.extend(attributes.clone());
            self.rows().save_membership(&member).await?;
            self.forget_facts();
        }
        self.record(Event::MemberAdded { organization: organization.id, user: user.id });
        Ok(member)
    }

    /// Nobody adds themself, since default roles come with it; and attributes that a role's condition asks for confer
    /// that role.
    async fn require_may_add(
        &self,
        user: PrincipalId,
        organization: OrganizationId,
        attributes: &BTreeMap<String, String>,
    ) -> Result<()> {
        let subject = self.principal(user).await?.ok_or_else(|| Error::not_found("user"))?;
        self.require_not_for_oneself(subject.principal(), "nobody makes themself a member").await?;
        let asks = |role: &&Role| role.conditions.attributes.iter().any(|name| attributes.contains_key(name));
        let opened: Vec<RoleId> = self.catalogue().roles().filter(asks).map(|role| role.id).collect();
        for role in opened {
            self.require_may_give(subject.principal(), role, Scope::Organization(organization), false).await?;
        }
        Ok(())
    }
}

/// What the command makes in a realm of this policy.
fn new_organization(app: &App, ctx: &Ctx, draft: &Draft<CreateOrganization>, policy: &Policy) -> Result<Organization> {
    let said = draft.said();
    let mut violations = vec![];
    let kind = match (&said.kind, policy.kinds.as_slice()) {
        (Some(name), _) if policy.kind(name).is_some() => name.clone(),
        (None, [only]) => only.name.clone(),
        (given, kinds) => {
            let kinds: Vec<_> = kinds.iter().map(|kind| kind.name.as_str()).collect();
            let given = given.as_deref().unwrap_or_default();
            violations.push(Violation::new("kind", format!("is {given:?}, one of {} is allowed", kinds.join(", "))));
            String::new()
        }
    };
    for (at, contact) in said.contacts.iter().enumerate() {
        if !policy.topics.iter().any(|topic| topic.name == contact.topic) {
            violations.push(Violation::new(format!("contacts[{at}].topic"), "is no topic that the realm has"));
        }
    }
    let identifiers = read_identifiers(policy, &said.identifiers).unwrap_or_else(|faults| {
        violations.extend(faults);
        BTreeSet::new()
    });
    let cmd = draft.sound(violations)?;
    Ok(Organization {
        id: OrganizationId(app.clock.new_id()),
        slug: cmd.slug.clone(),
        title: cmd.title.clone(),
        kind,
        suspended: false,
        founded_at: None,
        entitlements: cmd.entitlements.clone(),
        contacts: cmd.contacts.clone(),
        identifiers,
        version: 1,
        created_at: ctx.now,
    })
}

/// Writes a text, if another one is given; answers what it was and what it is.
fn replaced(text: &mut String, with: Option<&String>) -> Option<(String, String)> {
    let with = with.filter(|with| *with != text)?.clone();
    let before = std::mem::replace(text, with.clone());
    Some((before, with))
}

fn read_identifiers(
    policy: &Policy,
    given: &[(String, String)],
) -> std::result::Result<BTreeSet<Identifier>, Vec<Violation>> {
    identifiers(policy, given).map_err(|faults| {
        faults.into_iter().map(|(at, fault)| Violation::new(format!("identifiers[{at}]"), fault.to_string())).collect()
    })
}

/// Identifiers as the audit log names them.
fn printed(identifiers: &BTreeSet<Identifier>) -> Vec<String> {
    identifiers.iter().map(|own| format!("{}:{}", own.scheme, own.value)).collect()
}
