//! Reading service accounts and their keys.

use super::error::{Error, Result};
use super::facts::Facts;
use super::guard::{Guard, permissions};
use super::paging::{Listing, Page, Paging, Weighed};
use super::reachable::reachable;
use super::read::{Reader, again};
use super::service_account::{ApiKeyView, ServiceAccountView, account_views, find_service_account, key_views};
use super::{App, Ctx};
use crate::cache::Freshness;
use crate::domain::handle::Handle;
use crate::domain::ids::{ApiKeyId, ServiceAccountId};
use crate::domain::service_account::{ApiKey, ServiceAccount};
use crate::domain::time::Timestamp;
use crate::store::{ReadRows, ServiceAccountFilter};

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
    pub service_account: Handle,
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

    /// A page of the keys of an account, by id.
    ///
    /// # Errors
    /// PAGE_TOKEN_INVALID; NOT_FOUND.
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
            let account = readable_account(rows, &mut guard, &cmd.service_account).await?;
            let living = cmd.live.then_some(ctx.now);
            self.page(ctx, &cmd.page, ApiKeys { rows, account, living }, &print).await
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

/// The keys of an account, by id.
struct ApiKeys<'a> {
    rows: ReadRows<'a>,
    account: ServiceAccount,
    /// Only those that live at this instant.
    living: Option<Timestamp>,
}

impl Listing for ApiKeys<'_> {
    type At = ApiKeyId;
    type Row = ApiKey;
    type Item = ApiKeyView;

    async fn read(&mut self, after: Option<&ApiKeyId>, limit: u64) -> Result<Vec<ApiKey>> {
        Ok(self.rows.list_api_keys(self.account.id, self.living, after.copied(), limit).await?)
    }

    fn at(key: &ApiKey) -> ApiKeyId {
        key.id
    }

    async fn view(&mut self, keys: Vec<ApiKey>) -> Result<Vec<ApiKeyView>> {
        key_views(self.rows, keys, &self.account).await
    }
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
