//! Reading realms: one with its whole policy, or all of them.

use super::error::Result;
use super::guard::permissions;
use super::paging::{Page, Paging};
use super::read::again;
use super::realm::require_platform;
use super::{App, Ctx, Error};
use crate::cache::Freshness;
use crate::domain::realm::Realm;

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
    pub async fn list_realms(&self, ctx: &Ctx, page: &Paging) -> Result<Page<Realm>> {
        require_platform(ctx)?;
        let mut items = self.store.list_realms(self.cursor(ctx, page)?, page.size + 1).await?;
        let more = items.len() as u64 > page.size;
        items.truncate(usize::try_from(page.size).unwrap_or(usize::MAX));
        let next = match items.last().filter(|_| more) {
            Some(last) => self.next_token(ctx, page, &last.id)?,
            None => String::new(),
        };
        Ok(Page { items, next })
    }
}
