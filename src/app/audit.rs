//! Reading the audit log: all of it realm-wide, else of the organizations in which the caller may.
//!
//! An event is its actor's and its target's: who reads a team's events, and no others, has to say whose.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::error::{Error, Result};
use super::facts::Facts;
use super::guard::{Guard, permissions};
use super::paging::{Listing, Weighed, token_invalid};
use super::read::again;
use super::user::{find_user, names};
use super::{App, Ctx, Freshness, Name, Page, Paging};
use crate::domain::audit::{AuditEvent, Outcome};
use crate::domain::catalogue::Catalogue;
use crate::domain::handle::Handle;
use crate::domain::ids::{OrganizationId, PrincipalId, RoleId};
use crate::domain::time::Timestamp;
use crate::store::{AuditFilter, Before, ReadRows};

/// Which events to list. Empty fields do not narrow.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListEvents {
    pub actor: Option<Handle>,
    pub target: Option<Handle>,
    pub organization: Option<Handle>,
    pub action: Option<String>,
    pub outcome: Option<Outcome>,
    pub from: Option<Timestamp>,
    pub until: Option<Timestamp>,
    pub order: Order,
    pub page: Paging,
}

/// In which order events are listed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    NewestFirst,
    /// In the order in which they can be followed, the first one first. There is always a next page.
    AsLogged,
}

/// A page of those who follow looks at so many lines at most, however few of them meet the filters.
const FOLLOWED_AT_ONCE: u64 = 10_000;

/// An event with the names of what it refers to.
#[derive(Clone, PartialEq, Debug)]
pub struct EventView {
    pub event: AuditEvent,
    pub actor: Option<Name>,
    pub impersonator: Option<Name>,
    /// The slug of the organization.
    pub slug: Option<String>,
    pub target: Option<TargetView>,
}

/// What an event is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TargetView {
    pub id: Uuid,
    /// `user`, `service_account`, `organization`, `role` or `realm`; empty for what is gone and for other things.
    pub kind: &'static str,
    pub handle: String,
}

impl App {
    /// A page of the log.
    ///
    /// # Errors
    /// PAGE_TOKEN_INVALID; NOT_FOUND for an organization whose events the caller can't read.
    pub async fn list_events<T: Weighed + Send>(
        &self,
        ctx: &Ctx,
        cmd: &ListEvents,
        print: impl Fn(EventView) -> T + Sync,
    ) -> Result<Page<T>> {
        again(|| self.list_events_once(ctx, cmd, &print)).await
    }

    async fn list_events_once<T: Weighed + Send>(
        &self,
        ctx: &Ctx,
        cmd: &ListEvents,
        print: &(impl Fn(EventView) -> T + Sync),
    ) -> Result<Page<T>> {
        let view = self.view(ctx, Freshness::Latest).await?;
        let mut guard = self.guard(ctx, &view).await?;
        let rows = self.store.rows(ctx.realm);
        let (Some(actor), Some(target)) = (named(rows, &cmd.actor).await?, named(rows, &cmd.target).await?) else {
            return Ok(Page { items: vec![], next: String::new() });
        };
        let about: Vec<_> = actor.into_iter().chain(target).map(PrincipalId).collect();
        let filter = AuditFilter {
            actor: actor.map(PrincipalId),
            target,
            action: cmd.action.clone(),
            outcome: cmd.outcome,
            organizations: visible(rows, &mut guard, cmd.organization.as_ref(), &about).await?,
            from: cmd.from,
            until: cmd.until,
        };
        let catalogue = view.catalogue();
        match cmd.order {
            Order::NewestFirst => self.page(ctx, &cmd.page, Newest { rows, catalogue, filter }, print).await,
            Order::AsLogged => {
                let after = self.cursor::<i64>(ctx, &cmd.page)?.unwrap_or(0);
                // Read first: whatever has a position up to this one is seen by what is read after it.
                let placed = self.store.placed_audit().await?;
                if after > placed {
                    return Err(token_invalid("is of a log that was since replaced by an older copy: follow it anew"));
                }
                let until = rows.audit_position(after, FOLLOWED_AT_ONCE).await?.unwrap_or(placed).min(placed);
                let list = Followed { rows, catalogue, filter, until };
                self.page_until(ctx, &cmd.page, list, until.max(after), print).await
            }
        }
    }
}

/// Lines of the log, the newest first.
struct Newest<'a> {
    rows: ReadRows<'a>,
    catalogue: &'a Catalogue,
    filter: AuditFilter,
}

impl Listing for Newest<'_> {
    type At = Before;
    type Row = AuditEvent;
    type Item = EventView;

    async fn read(&mut self, before: Option<&Before>, limit: u64) -> Result<Vec<AuditEvent>> {
        Ok(self.rows.list_audit(&self.filter, before.copied(), limit).await?)
    }

    fn at(event: &AuditEvent) -> Before {
        (event.line.at, event.sequence)
    }

    async fn view(&mut self, events: Vec<AuditEvent>) -> Result<Vec<EventView>> {
        event_views(self.rows, self.catalogue, events).await
    }
}

/// Lines of the log in the order in which they can be followed, up to a position.
struct Followed<'a> {
    rows: ReadRows<'a>,
    catalogue: &'a Catalogue,
    filter: AuditFilter,
    until: i64,
}

impl Listing for Followed<'_> {
    type At = i64;
    type Row = AuditEvent;
    type Item = EventView;

    async fn read(&mut self, after: Option<&i64>, limit: u64) -> Result<Vec<AuditEvent>> {
        Ok(self.rows.follow_audit(&self.filter, after.copied().unwrap_or(0), self.until, limit).await?)
    }

    /// What is followed has a position.
    fn at(event: &AuditEvent) -> i64 {
        event.position.unwrap_or(0)
    }

    async fn view(&mut self, events: Vec<AuditEvent>) -> Result<Vec<EventView>> {
        event_views(self.rows, self.catalogue, events).await
    }
}

/// Events with the names of what they refer to.
async fn event_views(rows: ReadRows<'_>, catalogue: &Catalogue, events: Vec<AuditEvent>) -> Result<Vec<EventView>> {
    let people = |event: &AuditEvent| {
        let line = &event.line;
        line.actor.into_iter().chain(line.impersonator).chain(line.target.map(PrincipalId))
    };
    let places = |event: &AuditEvent| {
        let line = &event.line;
        line.organization.into_iter().chain(line.target.map(OrganizationId))
    };
    let principals = events.iter().flat_map(people).collect::<BTreeSet<_>>();
    let organizations = events.iter().flat_map(places).collect::<BTreeSet<_>>();
    let names = names(rows, &principals.into_iter().collect::<Vec<_>>()).await?;
    let slugs = rows.slugs(&organizations.into_iter().collect::<Vec<_>>()).await?;
    let target = |id: Uuid| {
        let role = catalogue.role(RoleId(id));
        let (kind, handle) = match (names.get(&PrincipalId(id)), slugs.get(&OrganizationId(id)), role) {
            (Some(name), _, _) if name.person => ("user", name.handle.clone()),
            (Some(name), _, _) => ("service_account", name.handle.clone()),
            (None, Some(slug), _) => ("organization", slug.clone()),
            (None, None, Some(role)) => ("role", role.name.clone()),
            (None, None, None) if catalogue.realm.0 == id => ("realm", catalogue.realm_name.clone()),
            (None, None, None) => ("", String::new()),
        };
        TargetView { id, kind, handle }
    };
    let view = |event: AuditEvent| EventView {
        actor: event.line.actor.and_then(|id| names.get(&id).cloned()),
        impersonator: event.line.impersonator.and_then(|id| names.get(&id).cloned()),
        slug: event.line.organization.and_then(|id| slugs.get(&id).cloned()),
        target: event.line.target.map(target),
        event,
    };
    Ok(events.into_iter().map(view).collect())
}

/// The organizations whose events the caller may read, narrowed to the one asked for; `None` = all events.
async fn visible<F: Facts>(
    rows: ReadRows<'_>,
    guard: &mut Guard<'_, F>,
    asked: Option<&Handle>,
    about: &[PrincipalId],
) -> Result<Option<Vec<OrganizationId>>>
where
    Error: From<F::Fault>,
{
    if let Some(handle) = asked {
        let found = match handle {
            Handle::Id(id) => rows.organization(OrganizationId(*id)).await?,
            Handle::Natural(slug) => rows.organization_by_slug(slug).await?,
        };
        let id = found.ok_or_else(|| Error::not_found("organization"))?.id;
        return match reads(guard, Some(id), about).await? {
            true => Ok(Some(vec![id])),
            false => Err(Error::not_found("organization")),
        };
    }
    if reads(guard, None, about).await? {
        return Ok(None);
    }
    let entries = &guard.actor.principal().entries;
    let scopes: BTreeSet<_> = entries.iter().filter_map(|entry| entry.scope.organization()).collect();
    let mut visible = vec![];
    for id in scopes {
        if reads(guard, Some(id), about).await? {
            visible.push(id);
        }
    }
    Ok(Some(visible))
}

/// Whether the caller reads the events of a place, be it only those of one of these who did it or had it done to them.
async fn reads<F: Facts>(guard: &mut Guard<'_, F>, place: Option<OrganizationId>, about: &[PrincipalId]) -> Result<bool>
where
    Error: From<F::Fault>,
{
    for whose in std::iter::once(None).chain(about.iter().copied().map(Some)) {
        if guard.allows(permissions::READ_AUDIT, place, whose).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The id that a filter means: `Some(None)` for no filter, `None` for a handle that is nobody's, which no event meets.
async fn named(rows: ReadRows<'_>, handle: &Option<Handle>) -> Result<Option<Option<Uuid>>> {
    Ok(match handle {
        None => Some(None),
        Some(Handle::Id(id)) => Some(Some(*id)),
        Some(natural @ Handle::Natural(name)) => match find_user(rows, natural).await? {
            Some(user) => Some(Some(user.id.0)),
            None => rows.service_account_named(name).await?.map(|account| Some(account.id.0)),
        },
    })
}
