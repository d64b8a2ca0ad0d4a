//! Reading organizations: one, or a list that a query narrows and in which each is still decided by itself.

use std::collections::BTreeSet;

use super::error::{Error, Result};
use super::facts::Facts;
use super::guard::{Guard, permissions};
use super::paging::{Page, Paging};
use super::read::again;
use super::{App, Ctx, Draft, Violation};
use crate::cache::Freshness;
use crate::domain::handle::Handle;
use crate::domain::ids::OrganizationId;
use crate::domain::organization::{Identifier, IdentifierFault, Organization, identifiers};
use crate::domain::policy::Policy;
use crate::domain::snapshot::Confers;
use crate::store::{OrganizationFilter, ReadRows, Within};

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
    pub async fn list_organizations(&self, ctx: &Ctx, draft: &Draft<ListOrganizations>) -> Result<Page<Organization>> {
        again(|| self.list_organizations_once(ctx, draft)).await
    }

    async fn list_organizations_once(&self, ctx: &Ctx, draft: &Draft<ListOrganizations>) -> Result<Page<Organization>> {
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
            within: reachable(&mut guard).await?,
            after: self.cursor(ctx, &cmd.page)?,
        };
        self.page_of_organizations(ctx, self.store.rows(ctx.realm), &mut guard, filter, &cmd.page).await
    }

    /// Reads on until the page is full: what is in the filter but not the caller's to read is passed over.
    async fn page_of_organizations<F: Facts>(
        &self,
        ctx: &Ctx,
        rows: ReadRows<'_>,
        guard: &mut Guard<'_, F>,
        mut filter: OrganizationFilter,
        page: &Paging,
    ) -> Result<Page<Organization>>
    where
        Error: From<F::Fault>,
    {
        // Who reads everywhere reads each.
        let everywhere = filter.within.is_none();
        let mut items: Vec<Organization> = vec![];
        loop {
            let found = rows.list_organizations(&filter, page.size + 1).await?;
            let more = found.len() as u64 > page.size;
            for organization in found.into_iter().take(usize::try_from(page.size).unwrap_or(usize::MAX)) {
                let id = organization.id;
                filter.after = Some(id);
                if everywhere || guard.allows(permissions::READ_ORGANIZATIONS, Some(id), None).await? {
                    items.push(organization);
                }
                if items.len() as u64 == page.size {
                    let next = if more { self.next_token(ctx, page, &id)? } else { String::new() };
                    return Ok(Page { items, next });
                }
            }
            if !more {
                return Ok(Page { items, next: String::new() });
            }
        }
    }
}

/// Where the caller may read an organization at all: where something of theirs is scoped, where they are a member, and
/// where a product is licensed that something realm-wide of theirs waits for. `None` = in every organization.
async fn reachable<F: Facts>(guard: &mut Guard<'_, F>) -> Result<Option<Within>>
where
    Error: From<F::Fault>,
{
    if guard.allows(permissions::READ_ORGANIZATIONS, None, None).await? {
        return Ok(None);
    }
    let (caller, catalogue) = (guard.actor.principal(), guard.facts.catalogue());
    let scoped = caller.entries.iter().filter_map(|entry| entry.scope.organization());
    let organizations: BTreeSet<OrganizationId> =
        scoped.chain(caller.active_memberships().map(|held| held.organization)).collect();
    let realm_wide = caller.entries.iter().filter(|entry| entry.scope.organization().is_none());
    let roles = realm_wide.filter_map(|entry| match entry.confers {
        Confers::Role(role) => Some(role),
        Confers::Grant { .. } => None,
    });
    let waiting =
        roles.flat_map(|role| catalogue.with_included(role)).flat_map(|role| &role.conditions.any_entitlement);
    let licensed: BTreeSet<String> = waiting.cloned().collect();
    Ok(Some(Within { organizations: organizations.into_iter().collect(), licensed: licensed.into_iter().collect() }))
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
