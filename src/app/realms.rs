//! Reading realms: one with its whole policy, or all of them.

use super::error::Result;
use super::guard::permissions;
use super::paging::{Listing, Page, Paging, Weighed};
use super::read::again;
use super::realm::require_platform;
use super::{App, Ctx, Error};
use crate::cache::Freshness;
use crate::domain::ids::RealmId;
use crate::domain::realm::Realm;
use crate::store::Store;

impl App {
    /// A realm: that of the call, or, for platform accounts, the one that they name.
    ///
    /// # Errors
    /// NOT_FOUND for another realm than the caller's; a nearest miss.
    pub async fn get_realm(&self, ctx: &Ctx, named: Option<&str>) -> Result<Realm> {
        let ctx = self.named_realm(ctx, named).await?;
        again(|| async {
            let view = self.view(&ctx, Freshness::Latest).await?;
            self.guard(&ctx, &view).await?.require(permissions::CONFIGURE, None, None).await?;
            let found = self.store.rows(ctx.realm).realm().await?;
            found.ok_or_else(|| Error::internal("the realm of the call is gone"))
        })
        .await
    }

    /// A page of all realms but the platform's own, oldest first.
    ///
    /// # Errors
    /// PERMISSION_MISSING for anybody but the platform; PAGE_TOKEN_INVALID.
    pub async fn list_realms<T: Weighed + Send>(
        &self,
        ctx: &Ctx,
        page: &Paging,
        print: impl Fn(Realm) -> T + Sync,
    ) -> Result<Page<T>> {
        require_platform(ctx)?;
        self.page(ctx, page, Realms(&self.store), &print).await
    }
}

/// All realms but the platform's own, by id.
struct Realms<'a>(&'a Store);

impl Listing for Realms<'_> {
    type At = RealmId;
    type Row = Realm;
    type Item = Realm;

    async fn read(&mut self, after: Option<&RealmId>, limit: u64) -> Result<Vec<Realm>> {
        Ok(self.0.list_realms(after.copied(), limit).await?)
    }

    fn at(realm: &Realm) -> RealmId {
        realm.id
    }

    async fn view(&mut self, realms: Vec<Realm>) -> Result<Vec<Realm>> {
        Ok(realms)
    }
}
