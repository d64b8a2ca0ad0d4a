//! Reading organizations: one, or a list that a query narrows and in which each is still decided by itself.

use super::error::{Error, Result};
use super::guard::permissions;
use super::paging::{Listing, Page, Paging, Weighed};
use super::reachable::reachable;
use super::read::{Reader, again};
use super::{App, Ctx, Draft, Violation};
use crate::cache::Freshness;
use crate::domain::handle::Handle;
use crate::domain::ids::OrganizationId;
use crate::domain::organization::{Identifier, IdentifierFault, Organization, identifiers};
use crate::domain::policy::Policy;
use crate::store::{OrganizationFilter, ReadRows};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListOrganizations {
    /// Part of the slug or of the title.
    pub name: String,
    pub kind: Option<String>,
    pub suspended: Option<bool>,
    /// Scheme and value, as given.
    pub identifier: Option<(String, String)>,
    pub entitlement: Option<String>,
    pub page: Paging,
}

impl App {
    /// An organization that the caller may read.
    ///
    /// # Errors
    /// NOT_FOUND, also for one that the caller does not know of; else the nearest miss.
    pub async fn get_organization(&self, ctx: &Ctx, handle: &Handle) -> Result<Organization> {
        again(|| async {
            let view = self.view(ctx, Freshness::Latest).await?;
            let mut guard = self.guard(ctx, &view).await?;
            let id = self.readable_organization(&mut guard, handle).await?;
            guard.require(permissions::READ_ORGANIZATIONS, Some(id), None).await?;
            let found = self.store.rows(ctx.realm).organization(id).await?;
            found.ok_or_else(|| Error::not_found("organization"))
        })
        .await
    }

    /// A page of the organizations that the caller may read, by id.
    ///
    /// # Errors
    /// INVALID_FIELDS for an identifier that can't be one, PAGE_TOKEN_INVALID.
    pub async fn list_organizations<T: Weighed + Send>(
        &self,
        ctx: &Ctx,
        draft: &Draft<ListOrganizations>,
        print: impl Fn(Organization) -> T + Sync,
    ) -> Result<Page<T>> {
        again(|| self.list_organizations_once(ctx, draft, &print)).await
    }

    async fn list_organizations_once<T: Weighed + Send>(
        &self,
        ctx: &Ctx,
        draft: &Draft<ListOrganizations>,
        print: &(impl Fn(Organization) -> T + Sync),
    ) -> Result<Page<T>> {
        let view = self.view(ctx, Freshness::Latest).await?;
        let given = draft.said().identifier.as_ref();
        let read = given.map(|given| wanted(&view.catalogue().policy, given)).transpose();
        let (cmd, identifier) = draft.sound_as(read)?;
        let mut guard = self.guard(ctx, &view).await?;
        let filter = OrganizationFilter {
            name: Some(cmd.name.clone()).filter(|name| !name.is_empty()),
            kind: cmd.kind.clone(),
            suspended: cmd.suspended,
            identifier,
            entitlement: cmd.entitlement.clone(),
            within: reachable(&mut guard, &[permissions::READ_ORGANIZATIONS]).await?,
            after: None,
        };
        let list = Organizations { rows: self.store.rows(ctx.realm), guard: &mut guard, filter };
        self.page(ctx, &cmd.page, list, print).await
    }
}

/// Organizations, by id.
struct Organizations<'a, 'v> {
    rows: ReadRows<'a>,
    guard: &'a mut Reader<'v>,
    filter: OrganizationFilter,
}

impl Listing for Organizations<'_, '_> {
    type At = OrganizationId;
    type Row = Organization;
    type Item = Organization;

    async fn read(&mut self, after: Option<&OrganizationId>, limit: u64) -> Result<Vec<Organization>> {
        self.filter.after = after.copied();
        Ok(self.rows.list_organizations(&self.filter, limit).await?)
    }

    fn at(organization: &Organization) -> OrganizationId {
        organization.id
    }

    /// Who reads everywhere reads each.
    async fn is_seen(&mut self, organization: &Organization) -> Result<bool> {
        let everywhere = self.filter.within.is_none();
        Ok(everywhere || self.guard.allows(permissions::READ_ORGANIZATIONS, Some(organization.id), None).await?)
    }

    async fn view(&mut self, organizations: Vec<Organization>) -> Result<Vec<Organization>> {
        Ok(organizations)
    }
}

/// The identifier that is looked for, in the form in which it is stored.
fn wanted(policy: &Policy, given: &(String, String)) -> std::result::Result<Identifier, Vec<Violation>> {
    let read = identifiers(policy, std::slice::from_ref(given));
    let wrong = |fault: String| vec![Violation::new("identifier", fault)];
    let first =
        |faults: Vec<(usize, IdentifierFault)>| faults.into_iter().map(|(_, fault)| fault.to_string()).collect();
    let mut read = read.map_err(|faults| wrong(first(faults)))?;
    read.pop_first().ok_or_else(|| wrong("is empty".to_owned()))
}
