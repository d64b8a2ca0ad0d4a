//! What somebody may do, and where: the lists beside the check, each line of them a decision by the same evaluator.

use std::collections::BTreeSet;

use super::authorization::{About, At, Desk, Found, declared};
use super::error::{Error, Result};
use super::guard::{permissions, why};
use super::paging::{Page, Paging};
use super::read::again_with;
use super::{App, Ctx, Reason};
use crate::cache::{Freshness, ReadSet};
use crate::domain::account::Gate;
use crate::domain::catalogue::{Permission, PermissionId};
use crate::domain::decision::{Question, ResourceRef};
use crate::domain::explain::{Explanation, Miss, MissKind};
use crate::domain::ids::{OrganizationId, PrincipalId};
use crate::domain::permission::PermissionName;
use crate::domain::snapshot::{Resource, Scope};

/// One call of a list decides so many candidates at most; whoever asks for the next page goes on.
pub(super) const CANDIDATES_MAX: u64 = 1_000;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListEffectivePermissions {
    pub about: About,
    pub organization: Option<OrganizationId>,
    pub owner: Option<PrincipalId>,
    pub resource: Option<Resource>,
    /// Empty = of any.
    pub section: String,
    pub freshness: Freshness,
    pub page: Paging,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListAllowedOrganizations {
    pub about: About,
    pub permission: String,
    pub owner: Option<PrincipalId>,
    pub resource: Option<Resource>,
    pub freshness: Freshness,
    pub page: Paging,
}

/// A page of decisions, and why there can be none.
#[derive(Clone, PartialEq, Debug)]
pub struct Listed<T> {
    pub page: Page<T>,
    pub reason: Option<Reason>,
    /// The cause of a suspension.
    pub detail: String,
}

impl<T> Listed<T> {
    pub(super) fn none(reason: Reason, detail: String) -> Self {
        Self { page: Page { items: vec![], next: String::new() }, reason: Some(reason), detail }
    }
}

impl App {
    /// A page of what the subject may do, by name.
    ///
    /// # Errors
    /// PAGE_TOKEN_INVALID; UNAVAILABLE if the freshness asked for can't be had.
    pub async fn list_effective_permissions(
        &self,
        ctx: &Ctx,
        cmd: &ListEffectivePermissions,
    ) -> Result<At<Listed<Permission>>> {
        let after: Option<PermissionName> = self.cursor(ctx, &cmd.page)?;
        let reads = ReadSet::default();
        again_with(&reads, || async {
            let view = self.view_of(ctx, cmd.freshness, &reads).await?;
            let mut desk = Desk::open(self, ctx, &view, permissions::LIST).await?;
            let value = match desk.place(&cmd.about, cmd.organization).await? {
                Ok(place) => self.effective_in(ctx, &mut desk, cmd, place, after.as_ref()).await?,
                Err(reason) => Listed::none(reason, String::new()),
            };
            Ok(At { value, revision: view.revision(), position: view.position() })
        })
        .await
    }

    async fn effective_in(
        &self,
        ctx: &Ctx,
        desk: &mut Desk<'_>,
        cmd: &ListEffectivePermissions,
        place: Option<OrganizationId>,
        after: Option<&PermissionName>,
    ) -> Result<Listed<Permission>> {
        let view = desk.view;
        let mut items: Vec<Permission> = vec![];
        let asked = |row: &&(PermissionId, &Permission)| {
            after.is_none_or(|after| row.1.name > *after) && (cmd.section.is_empty() || row.1.section == cmd.section)
        };
        for (permission, row) in view.catalogue().permissions().filter(|row| asked(&row)) {
            let resource = cmd.resource.as_ref().map(ResourceRef::from);
            let question = Question { permission, organization: place, owner: cmd.owner, resource };
            if !desk.decides(&question).await? {
                continue;
            }
            if items.len() as u64 == cmd.page.size {
                let next = match items.last() {
                    Some(last) => self.next_token(ctx, &cmd.page, &last.name)?,
                    None => String::new(),
                };
                return Ok(Listed { page: Page { items, next }, reason: None, detail: String::new() });
            }
            items.push(row.clone());
        }
        if items.is_empty() && after.is_none() {
            let (reason, detail) = desk.why_nothing(&cmd.about, place).await?;
            return Ok(Listed::none(reason, detail));
        }
        Ok(Listed { page: Page { items, next: String::new() }, reason: None, detail: String::new() })
    }

    /// A page of the organizations in which the subject may, by id.
    ///
    /// # Errors
    /// PERMISSION_UNDECLARED with the closest name; as [`App::list_effective_permissions`].
    pub async fn list_allowed_organizations(
        &self,
        ctx: &Ctx,
        cmd: &ListAllowedOrganizations,
    ) -> Result<At<Listed<(OrganizationId, String)>>> {
        let after: Option<OrganizationId> = self.cursor(ctx, &cmd.page)?;
        let reads = ReadSet::default();
        again_with(&reads, || async {
            let view = self.view_of(ctx, cmd.freshness, &reads).await?;
            let permission = declared(view.catalogue(), &cmd.permission)?;
            let mut desk = Desk::open(self, ctx, &view, permissions::LIST).await?;
            let value = self.allowed_after(ctx, &mut desk, cmd, permission, after).await?;
            Ok(At { value, revision: view.revision(), position: view.position() })
        })
        .await
    }

    async fn allowed_after(
        &self,
        ctx: &Ctx,
        desk: &mut Desk<'_>,
        cmd: &ListAllowedOrganizations,
        permission: PermissionId,
        after: Option<OrganizationId>,
    ) -> Result<Listed<(OrganizationId, String)>> {
        if let Some((reason, detail)) = desk.nothing_at_all(&cmd.about).await? {
            return Ok(Listed::none(reason, detail));
        }
        let candidates = self.places_to_try(ctx, desk, &cmd.about, permission, after).await?;
        desk.view.prepare([], candidates.iter().copied()).await?;
        let mut allowed = vec![];
        let mut last = None;
        for organization in candidates.iter().copied() {
            if allowed.len() as u64 == cmd.page.size {
                break;
            }
            last = Some(organization);
            let resource = cmd.resource.as_ref().map(ResourceRef::from);
            let question = Question { permission, organization: Some(organization), owner: cmd.owner, resource };
            if desk.may_ask(Some(organization)).await? && desk.decides(&question).await? {
                allowed.push(organization);
            }
        }
        let exhausted = last == candidates.last().copied() && (candidates.len() as u64) < CANDIDATES_MAX;
        let next = match last.filter(|_| !exhausted) {
            Some(last) => self.next_token(ctx, &cmd.page, &last)?,
            None => String::new(),
        };
        let mut slugs = self.store.rows(ctx.realm).slugs(&allowed).await?;
        let items = allowed.into_iter().map(|id| (id, slugs.remove(&id).unwrap_or_default())).collect();
        Ok(Listed { page: Page { items, next }, reason: None, detail: String::new() })
    }

    /// The next organizations in which the subject might be allowed: those that its entries name, or any, where something
    /// realm-wide may confer the permission; and of these those that the caller's entries name, unless it asks
    /// realm-wide.
    async fn places_to_try(
        &self,
        ctx: &Ctx,
        desk: &mut Desk<'_>,
        about: &About,
        permission: PermissionId,
        after: Option<OrganizationId>,
    ) -> Result<Vec<OrganizationId>> {
        let Ok(subject) = desk.subject(about).await? else { return Ok(vec![]) };
        let confers =
            |entry: &&crate::domain::snapshot::Entry| desk.view.catalogue().may_confer(&entry.confers, permission);
        let mut scopes = BTreeSet::new();
        let mut anywhere = false;
        for entry in subject.principal().entries.iter().filter(confers) {
            match entry.scope {
                Scope::Realm => anywhere = true,
                Scope::Organization(organization) => drop(scopes.insert(organization)),
            }
        }
        if anywhere && desk.realm_wide {
            return Ok(self.store.rows(ctx.realm).organizations_after(after, CANDIDATES_MAX).await?);
        }
        if anywhere {
            let asking = &desk.guard.actor.principal().entries;
            scopes = asking.iter().filter_map(|entry| entry.scope.organization()).collect();
        }
        Ok(scopes.into_iter().filter(|id| after.is_none_or(|after| *id > after)).collect())
    }
}

impl Desk<'_> {
    /// Why the subject of a list may nothing there, as far as the caller may know.
    async fn why_nothing(&mut self, about: &About, place: Option<OrganizationId>) -> Result<(Reason, String)> {
        let explanation = match self.first_gate(about).await? {
            Some(gate) => Explanation::Gates(vec![gate]),
            None => {
                let none = Miss { kind: MissKind::NoSuchEntry, chain: None };
                Explanation::Misses { near: vec![none], left_off: 0 }
            }
        };
        Ok(match self.tellable(about, place, explanation).await? {
            Ok(explanation) => why(&explanation),
            Err(reason) => (reason, String::new()),
        })
    }

    /// Why the subject can be allowed nowhere, whatever is asked. To who does not ask realm-wide a subject that is kept
    /// out is as unknown as one that there is not.
    async fn nothing_at_all(&mut self, about: &About) -> Result<Option<(Reason, String)>> {
        if let Err(reason) = self.subject(about).await? {
            return Ok(Some((reason, String::new())));
        }
        let Some(gate) = self.first_gate(about).await? else { return Ok(None) };
        let known = self.realm_wide || matches!(about, About::AccessToken(_));
        let told = if known { why(&Explanation::Gates(vec![gate])) } else { (Reason::SubjectUnknown, String::new()) };
        Ok(Some(told))
    }

    async fn first_gate(&mut self, about: &About) -> Result<Option<Gate>> {
        match self.subject(about).await? {
            Found::Ok(subject) => {
                let gates = super::admission::gates(self.view, &subject, self.now()).await?;
                Ok(gates.first().copied())
            }
            Found::Err(_) => Err(Error::internal("no subject")),
        }
    }
}
