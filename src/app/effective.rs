//! What somebody may do, and where: the lists beside the check, each line of them a decision by the same evaluator.

use std::collections::BTreeSet;

use super::authorization::{About, At};
use super::checker::{Checker, Found, declared};
use super::error::{Error, Result};
use super::guard::{permissions, why};
use super::paging::{Listing, Page, Paging, Weighed};
use super::reachable::reachable;
use super::read::again_with;
use super::{App, Ctx, Reason};
use crate::cache::{Freshness, ReadSet};
use crate::domain::account::Gate;
use crate::domain::catalogue::{Permission, PermissionId};
use crate::domain::decision::{Question, ResourceRef};
use crate::domain::explain::{Explanation, Miss, MissKind};
use crate::domain::handle::Handle;
use crate::domain::ids::{OrganizationId, PrincipalId};
use crate::domain::permission::PermissionName;
use crate::domain::snapshot::{Entry, Resource, Scope};
use crate::store::{ReadRows, Within};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListEffectivePermissions {
    pub about: About,
    pub organization: Option<Handle>,
    pub owner: Option<Handle>,
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
    pub owner: Option<Handle>,
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

impl<T> From<Page<T>> for Listed<T> {
    fn from(page: Page<T>) -> Self {
        Self { page, reason: None, detail: String::new() }
    }
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
    pub async fn list_effective_permissions<T: Weighed + Send>(
        &self,
        ctx: &Ctx,
        cmd: &ListEffectivePermissions,
        print: impl Fn(Permission) -> T + Sync,
    ) -> Result<At<Listed<T>>> {
        let reads = ReadSet::default();
        again_with(&reads, || async {
            let view = self.view_of(ctx, cmd.freshness, &reads).await?;
            let mut checker = Checker::open(self, ctx, &view, permissions::LIST).await?;
            let value = match checker.place(&cmd.about, cmd.organization.as_ref()).await? {
                Ok(place) => self.effective_in(ctx, &mut checker, cmd, place, &print).await?,
                Err(reason) => Listed::none(reason, String::new()),
            };
            Ok(At { value, revision: view.revision(), position: view.position() })
        })
        .await
    }

    async fn effective_in<T: Weighed + Send>(
        &self,
        ctx: &Ctx,
        checker: &mut Checker<'_>,
        cmd: &ListEffectivePermissions,
        place: Option<OrganizationId>,
        print: &(impl Fn(Permission) -> T + Sync),
    ) -> Result<Listed<T>> {
        let owner = checker.owner(cmd.owner.as_ref()).await?;
        let page = self.page(ctx, &cmd.page, Effective { checker: &mut *checker, cmd, place, owner }, print).await?;
        if page.items.is_empty() && cmd.page.token.is_empty() {
            let (reason, detail) = checker.why_nothing(&cmd.about, place).await?;
            return Ok(Listed::none(reason, detail));
        }
        Ok(page.into())
    }

    /// A page of the organizations in which the subject may, by id.
    ///
    /// # Errors
    /// PERMISSION_UNDECLARED with the closest name; as [`App::list_effective_permissions`].
    pub async fn list_allowed_organizations<T: Weighed + Send>(
        &self,
        ctx: &Ctx,
        cmd: &ListAllowedOrganizations,
        print: impl Fn((OrganizationId, String)) -> T + Sync,
    ) -> Result<At<Listed<T>>> {
        let reads = ReadSet::default();
        again_with(&reads, || async {
            let view = self.view_of(ctx, cmd.freshness, &reads).await?;
            let permission = declared(view.catalogue(), &cmd.permission)?;
            let mut checker = Checker::open(self, ctx, &view, permissions::LIST).await?;
            let value = match checker.nothing_at_all(&cmd.about).await? {
                Some((reason, detail)) => Listed::none(reason, detail),
                None => {
                    let rows = self.store.rows(ctx.realm);
                    let places = checker.places_to_try(&cmd.about, permission).await?;
                    let owner = checker.owner(cmd.owner.as_ref()).await?;
                    let list = Allowed { rows, checker: &mut checker, cmd, permission, owner, places };
                    self.page(ctx, &cmd.page, list, &print).await?.into()
                }
            };
            Ok(At { value, revision: view.revision(), position: view.position() })
        })
        .await
    }
}

/// Every declared permission, by name; seen are those that the subject holds.
struct Effective<'a, 'v> {
    checker: &'a mut Checker<'v>,
    cmd: &'a ListEffectivePermissions,
    place: Option<OrganizationId>,
    owner: Option<PrincipalId>,
}

impl Listing for Effective<'_, '_> {
    type At = PermissionName;
    type Row = (PermissionId, Permission);
    type Item = Permission;

    /// A catalogue is bounded, and a decision about one subject reads nothing: an empty page is the whole answer.
    const EXAMINED_MAX: u64 = u64::MAX;

    async fn read(&mut self, after: Option<&PermissionName>, limit: u64) -> Result<Vec<Self::Row>> {
        let section = &self.cmd.section;
        let asked = |(_, row): &(PermissionId, &Permission)| {
            after.is_none_or(|after| row.name > *after) && (section.is_empty() || row.section == *section)
        };
        let rows = self.checker.view.catalogue().permissions().filter(asked);
        let owned = rows.map(|(id, permission)| (id, permission.clone()));
        Ok(owned.take(usize::try_from(limit).unwrap_or(usize::MAX)).collect())
    }

    fn at((_, permission): &Self::Row) -> PermissionName {
        permission.name.clone()
    }

    async fn is_seen(&mut self, (permission, _): &Self::Row) -> Result<bool> {
        let resource = self.cmd.resource.as_ref().map(ResourceRef::from);
        let (organization, owner) = (self.place, self.owner);
        self.checker.decides(&Question { permission: *permission, organization, owner, resource }).await
    }

    async fn view(&mut self, rows: Vec<Self::Row>) -> Result<Vec<Permission>> {
        Ok(rows.into_iter().map(|(_, permission)| permission).collect())
    }
}

/// Where a subject might be allowed.
enum PlacesToTry {
    /// Wherever the caller may ask; absent = everywhere.
    Anywhere(Option<Within>),
    These(BTreeSet<OrganizationId>),
}

/// Organizations, by id; seen are those in which the subject may, and the caller may ask.
struct Allowed<'a, 'v> {
    rows: ReadRows<'a>,
    checker: &'a mut Checker<'v>,
    cmd: &'a ListAllowedOrganizations,
    permission: PermissionId,
    owner: Option<PrincipalId>,
    places: PlacesToTry,
}

impl Listing for Allowed<'_, '_> {
    type At = OrganizationId;
    type Row = OrganizationId;
    type Item = (OrganizationId, String);

    async fn read(&mut self, after: Option<&OrganizationId>, limit: u64) -> Result<Vec<OrganizationId>> {
        Ok(match &self.places {
            PlacesToTry::Anywhere(within) => {
                self.rows.organizations_after(within.as_ref(), after.copied(), limit).await?
            }
            PlacesToTry::These(places) => {
                let rest = places.iter().filter(|id| after.is_none_or(|after| *id > after));
                rest.take(usize::try_from(limit).unwrap_or(usize::MAX)).copied().collect()
            }
        })
    }

    fn at(organization: &OrganizationId) -> OrganizationId {
        *organization
    }

    async fn prepare(&mut self, organizations: &[OrganizationId]) -> Result<()> {
        self.checker.prepare(&[], organizations.iter().copied()).await
    }

    async fn is_seen(&mut self, organization: &OrganizationId) -> Result<bool> {
        let organization = Some(*organization);
        let resource = self.cmd.resource.as_ref().map(ResourceRef::from);
        let question = Question { permission: self.permission, organization, owner: self.owner, resource };
        Ok(self.checker.may_ask(organization).await? && self.checker.decides(&question).await?)
    }

    async fn view(&mut self, organizations: Vec<OrganizationId>) -> Result<Vec<(OrganizationId, String)>> {
        let mut slugs = self.rows.slugs(&organizations).await?;
        Ok(organizations.into_iter().map(|id| (id, slugs.remove(&id).unwrap_or_default())).collect())
    }
}

impl Checker<'_> {
    /// The organizations in which the subject might be allowed: those that its entries name, or any, where something
    /// realm-wide may confer the permission; and of these those in which the caller may ask at all.
    async fn places_to_try(&mut self, about: &About, permission: PermissionId) -> Result<PlacesToTry> {
        let Ok(subject) = self.subject(about).await? else { return Ok(PlacesToTry::These(BTreeSet::new())) };
        let confers = |entry: &&Entry| self.view.catalogue().may_confer(&entry.confers, permission);
        let mut scopes = BTreeSet::new();
        let mut anywhere = false;
        for entry in subject.principal().entries.iter().filter(confers) {
            match entry.scope {
                Scope::Realm => anywhere = true,
                Scope::Organization(organization) => drop(scopes.insert(organization)),
            }
        }
        Ok(match anywhere {
            true => PlacesToTry::Anywhere(reachable(&mut self.guard, &[permissions::LIST]).await?),
            false => PlacesToTry::These(scopes),
        })
    }

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
