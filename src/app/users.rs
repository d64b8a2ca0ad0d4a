//! Listing users: a query narrows, and each of whom it finds is still decided by itself.

use super::error::{Error, Result};
use super::guard::permissions;
use super::paging::{Listing, Page, Paging, Weighed};
use super::reachable::reachable_people;
use super::read::{Reader, again};
use super::user::{UserView, find_role, user_views};
use super::{App, Ctx};
use crate::cache::Freshness;
use crate::domain::account::{Status, User};
use crate::domain::handle::Handle;
use crate::domain::ids::UserId;
use crate::store::{ReadRows, UserFilter};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListUsers {
    /// Part of the address, or the whole of it.
    pub email: String,
    /// Part of the name.
    pub display_name: String,
    pub status: Option<Status>,
    pub organization: Option<Handle>,
    pub role: Option<Handle>,
    pub manager: Option<Handle>,
    pub held: bool,
    pub unverified: bool,
    pub page: Paging,
}

impl App {
    /// A page of the users that the caller may read, by id.
    ///
    /// # Errors
    /// PAGE_TOKEN_INVALID; NOT_FOUND for an organization, role or manager that the caller can't read.
    pub async fn list_users<T: Weighed + Send>(
        &self,
        ctx: &Ctx,
        cmd: &ListUsers,
        print: impl Fn(UserView) -> T + Sync,
    ) -> Result<Page<T>> {
        again(|| self.list_users_once(ctx, cmd, &print)).await
    }

    async fn list_users_once<T: Weighed + Send>(
        &self,
        ctx: &Ctx,
        cmd: &ListUsers,
        print: &(impl Fn(UserView) -> T + Sync),
    ) -> Result<Page<T>> {
        let view = self.view(ctx, Freshness::Latest).await?;
        let mut guard = self.guard(ctx, &view).await?;
        let rows = self.store.rows(ctx.realm);
        let mut filter = UserFilter { status: cmd.status, ..UserFilter::default() };
        filter.held = cmd.held.then_some(true);
        filter.unverified = cmd.unverified.then_some(true);
        filter.email = Some(cmd.email.clone()).filter(|text| !text.is_empty());
        filter.name = Some(cmd.display_name.clone()).filter(|text| !text.is_empty());
        filter.organization = match &cmd.organization {
            Some(handle) => Some(self.readable_organization(&mut guard, handle).await?),
            None => None,
        };
        filter.role = match &cmd.role {
            Some(handle) => Some(find_role(view.catalogue(), handle).ok_or_else(|| Error::not_found("role"))?),
            None => None,
        };
        filter.manager = match &cmd.manager {
            Some(handle) => Some(self.readable_person(rows, &mut guard, handle, "manager").await?.id),
            None => None,
        };
        filter.reach = reachable_people(&mut guard, &[permissions::READ_USERS, permissions::APPROVE]).await?;
        self.page(ctx, &cmd.page, Users { rows, guard: &mut guard, filter }, print).await
    }
}

/// Users, by id.
struct Users<'a, 'v> {
    rows: ReadRows<'a>,
    guard: &'a mut Reader<'v>,
    filter: UserFilter,
}

impl Listing for Users<'_, '_> {
    type At = UserId;
    type Row = User;
    type Item = UserView;

    async fn read(&mut self, after: Option<&UserId>, limit: u64) -> Result<Vec<User>> {
        self.filter.after = after.copied();
        Ok(self.rows.list_users(&self.filter, limit).await?)
    }

    fn at(user: &User) -> UserId {
        user.id
    }

    async fn is_seen(&mut self, user: &User) -> Result<bool> {
        match self.guard.facts.principal(user.id.into()).await? {
            Some(subject) => self.guard.reads_user(subject.principal()).await,
            None => Ok(false),
        }
    }

    async fn view(&mut self, users: Vec<User>) -> Result<Vec<UserView>> {
        user_views(self.rows, self.guard, users).await
    }
}
