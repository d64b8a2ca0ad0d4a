//! Reading service accounts and their keys.

use super::error::{Error, Result};
use super::facts::Facts;
use super::guard::{Guard, permissions};
use super::paging::{Listing, Page, Paging, Weighed};
use super::reachable::reachable;
use super::read::{Reader, again};
use super::service_account::{ApiKeyView, ServiceAccountView, account_views, find_service_account, key_views};
use super::user::find_user;
use super::{App, Ctx, Reason};
use crate::cache::Freshness;
use crate::domain::handle::Handle;
use crate::domain::ids::{ApiKeyId, OrganizationId, PrincipalId, ServiceAccountId};
use crate::domain::service_account::{ApiKey, ServiceAccount};
use crate::store::{ApiKeyFilter, ReadRows, ServiceAccountFilter};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListServiceAccounts {
    /// Part of the name.
    pub name: String,
    pub organization: Option<Handle>,
    pub disabled: bool,
    pub page: Paging,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListApiKeys {
    /// Absent = of every account that the caller manages; then somebody is named who made them.
    pub service_account: Option<Handle>,
    /// Who made them.
    pub created_by: Option<Handle>,
    /// Only keys that are neither revoked nor expired.
    pub live: bool,
    pub page: Paging,
}

impl App {
    /// A service account that the caller manages, or is.
    ///
    /// # Errors
    /// NOT_FOUND.
    pub async fn get_service_account(&self, ctx: &Ctx, handle: &Handle) -> Result<ServiceAccountView> {
        again(|| async {
            let view = self.view(ctx, Freshness::Latest).await?;
            let mut guard = self.guard(ctx, &view).await?;
            let rows = self.store.rows(ctx.realm);
            let account = readable_account(rows, &mut guard, handle).await?;
            let shown = account_views(rows, vec![account]).await?;
            shown.into_iter().next().ok_or_else(|| Error::internal("an account got lost"))
        })
        .await
    }

    /// A page of the service accounts that the caller manages, by id.
    ///
    /// # Errors
    /// PAGE_TOKEN_INVALID; NOT_FOUND for an organization that the caller can't read.
    pub async fn list_service_accounts<T: Weighed + Send>(
        &self,
        ctx: &Ctx,
        cmd: &ListServiceAccounts,
        print: impl Fn(ServiceAccountView) -> T + Sync,
    ) -> Result<Page<T>> {
        again(|| self.list_service_accounts_once(ctx, cmd, &print)).await
    }

    async fn list_service_accounts_once<T: Weighed + Send>(
        &self,
        ctx: &Ctx,
        cmd: &ListServiceAccounts,
        print: &(impl Fn(ServiceAccountView) -> T + Sync),
    ) -> Result<Page<T>> {
        let view = self.view(ctx, Freshness::Latest).await?;
        let mut guard = self.guard(ctx, &view).await?;
        let mut filter = ServiceAccountFilter {
            name: Some(cmd.name.clone()).filter(|text| !text.is_empty()),
            disabled: cmd.disabled,
            ..ServiceAccountFilter::default()
        };
        if let Some(handle) = &cmd.organization {
            filter.organization = Some(self.readable_organization(&mut guard, handle).await?);
        }
        filter.within = reachable(&mut guard, &[permissions::MANAGE_SERVICE_ACCOUNTS]).await?;
        let list = ServiceAccounts { rows: self.store.rows(ctx.realm), guard: &mut guard, filter };
        self.page(ctx, &cmd.page, list, print).await
    }

    /// A page of the keys of an account, or of those that somebody made, by id.
    ///
    /// # Errors
    /// PAGE_TOKEN_INVALID; NOT_FOUND, also for a maker that the caller can't read.
    pub async fn list_api_keys<T: Weighed + Send>(
        &self,
        ctx: &Ctx,
        cmd: &ListApiKeys,
        print: impl Fn(ApiKeyView) -> T + Sync,
    ) -> Result<Page<T>> {
        again(|| async {
            let view = self.view(ctx, Freshness::Latest).await?;
            let mut guard = self.guard(ctx, &view).await?;
            let rows = self.store.rows(ctx.realm);
            let living = cmd.live.then_some(ctx.now);
            let mut filter = ApiKeyFilter { living, ..ApiKeyFilter::default() };
            match &cmd.service_account {
                Some(handle) => filter.account = Some(readable_account(rows, &mut guard, handle).await?.id),
                None => filter.within = managed_within(&mut guard).await?,
            }
            if let Some(handle) = &cmd.created_by {
                filter.maker = Some(readable_maker(rows, &mut guard, handle).await?);
            }
            self.page(ctx, &cmd.page, ApiKeys { rows, filter }, &print).await
        })
        .await
    }
}

/// Service accounts, by id.
struct ServiceAccounts<'a, 'v> {
    rows: ReadRows<'a>,
    guard: &'a mut Reader<'v>,
    filter: ServiceAccountFilter,
}

impl Listing for ServiceAccounts<'_, '_> {
    type At = ServiceAccountId;
    type Row = ServiceAccount;
    type Item = ServiceAccountView;

    async fn read(&mut self, after: Option<&ServiceAccountId>, limit: u64) -> Result<Vec<ServiceAccount>> {
        self.filter.after = after.copied();
        Ok(self.rows.list_service_accounts(&self.filter, limit).await?)
    }

    fn at(account: &ServiceAccount) -> ServiceAccountId {
        account.id
    }

    async fn is_seen(&mut self, account: &ServiceAccount) -> Result<bool> {
        self.guard.allows(permissions::MANAGE_SERVICE_ACCOUNTS, account.organization, None).await
    }

    async fn view(&mut self, accounts: Vec<ServiceAccount>) -> Result<Vec<ServiceAccountView>> {
        account_views(self.rows, accounts).await
    }
}

/// Keys, by id.
struct ApiKeys<'a> {
    rows: ReadRows<'a>,
    filter: ApiKeyFilter,
}

impl Listing for ApiKeys<'_> {
    type At = ApiKeyId;
    type Row = ApiKey;
    type Item = ApiKeyView;

    async fn read(&mut self, after: Option<&ApiKeyId>, limit: u64) -> Result<Vec<ApiKey>> {
        self.filter.after = after.copied();
        Ok(self.rows.list_api_keys(&self.filter, limit).await?)
    }

    fn at(key: &ApiKey) -> ApiKeyId {
        key.id
    }

    async fn view(&mut self, keys: Vec<ApiKey>) -> Result<Vec<ApiKeyView>> {
        key_views(self.rows, keys).await
    }
}

/// The organizations whose accounts the caller manages; `None` = all of the realm's.
pub(super) async fn managed_within<F: Facts>(guard: &mut Guard<'_, F>) -> Result<Option<Vec<OrganizationId>>>
where
    Error: From<F::Fault>,
{
    if guard.allows(permissions::MANAGE_SERVICE_ACCOUNTS, None, None).await? {
        return Ok(None);
    }
    let mut within = vec![];
    for organization in guard.scopes() {
        if guard.allows(permissions::MANAGE_SERVICE_ACCOUNTS, Some(organization), None).await? {
            within.push(organization);
        }
    }
    Ok(Some(within))
}

/// A user whom the caller reads, or an account that it manages.
async fn readable_maker<F: Facts>(rows: ReadRows<'_>, guard: &mut Guard<'_, F>, handle: &Handle) -> Result<PrincipalId>
where
    Error: From<F::Fault>,
{
    let unknown = || Error::not_found("created_by");
    if let Some(user) = find_user(rows, handle).await? {
        let subject = guard.facts.principal(user.id.into()).await?.ok_or_else(unknown)?;
        return if guard.reads_user(subject.principal()).await? { Ok(user.id.into()) } else { Err(unknown()) };
    }
    let account = readable_account(rows, guard, handle).await;
    account.map(|account| account.id.into()).map_err(|error| match error.reason() {
        Reason::NotFound => unknown(),
        _ => error,
    })
}

/// An account that the caller manages, or is.
pub(super) async fn readable_account<F: Facts>(
    rows: ReadRows<'_>,
    guard: &mut Guard<'_, F>,
    handle: &Handle,
) -> Result<ServiceAccount>
where
    Error: From<F::Fault>,
{
    let found = find_service_account(rows, handle).await?;
    let account = found.ok_or_else(|| Error::not_found("service_account"))?;
    let mine = guard.actor.principal().id == account.id.into();
    if mine || guard.allows(permissions::MANAGE_SERVICE_ACCOUNTS, account.organization, None).await? {
        Ok(account)
    } else {
        Err(Error::not_found("service_account"))
    }
}
