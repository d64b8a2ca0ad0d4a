//! Reading the audit log: all of it realm-wide, else of the organizations in which the caller may.
//!
//! An event is its actor's: who reads a team's events, and no others, has to say whose.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::error::{Error, Result};
use super::facts::Facts;
use super::guard::{Guard, permissions};
use super::read::again;
use super::user::find_user;
use super::{App, Ctx, Freshness, Name, Page, Paging};
use crate::domain::audit::{AuditEvent, Outcome};
use crate::domain::handle::Handle;
use crate::domain::ids::{OrganizationId, PrincipalId, RoleId};
use crate::domain::time::Timestamp;
use crate::store::{AuditFilter, ReadRows};

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
    pub page: Paging,
}

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
    /// A page of the log, newest first.
    ///
    /// # Errors
    /// PAGE_TOKEN_INVALID; NOT_FOUND for an organization whose events the caller can't read.
    pub async fn list_events(&self, ctx: &Ctx, cmd: &ListEvents) -> Result<Page<EventView>> {
        again(|| self.list_events_once(ctx, cmd)).await
    }

    async fn list_events_once(&self, ctx: &Ctx, cmd: &ListEvents) -> Result<Page<EventView>> {
        let view = self.view(ctx, Freshness::Latest).await?;
        let mut guard = self.guard(ctx, &view).await?;
        let rows = self.store.rows(ctx.realm);
        let before = self.cursor::<i64>(ctx, &cmd.page)?;
        let (Some(actor), Some(target)) = (named(rows, &cmd.actor).await?, named(rows, &cmd.target).await?) else {
            return Ok(Page { items: vec![], next: String::new() });
        };
        let whose = actor.map(PrincipalId);
        let filter = AuditFilter {
            actor: whose,
            target,
            action: cmd.action.clone(),
            outcome: cmd.outcome,
            organizations: visible(rows, &mut guard, cmd.organization.as_ref(), whose).await?,
            from: cmd.from,
            until: cmd.until,
            before,
        };
        let mut found = rows.list_audit(&filter, cmd.page.size + 1).await?;
        let more = found.len() as u64 > cmd.page.size;
        found.truncate(usize::try_from(cmd.page.size).unwrap_or(usize::MAX));
        let last = found.last().map(|event| event.sequence).filter(|_| more);
        let next = last.map(|sequence| self.next_token(ctx, &cmd.page, &sequence)).transpose()?.unwrap_or_default();
        Ok(Page { items: self.event_views(rows, &guard, found).await?, next })
    }

    async fn event_views<F: Facts>(
        &self,
        rows: ReadRows<'_>,
        guard: &Guard<'_, F>,
        events: Vec<AuditEvent>,
    ) -> Result<Vec<EventView>> {
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
        let names = self.names_anywhere(rows, principals).await?;
        let slugs = rows.slugs(&organizations.into_iter().collect::<Vec<_>>()).await?;
        let target = |id: Uuid| {
            let catalogue = guard.facts.catalogue();
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

    /// The names of principals of the realm, and of the platform accounts that worked in it.
    async fn names_anywhere(
        &self,
        rows: ReadRows<'_>,
        mut wanted: BTreeSet<PrincipalId>,
    ) -> Result<BTreeMap<PrincipalId, Name>> {
        let mut found = rows.names(&wanted.iter().copied().collect::<Vec<_>>()).await?;
        for (id, _, _) in &found {
            wanted.remove(id);
        }
        if let Some(platform) = self.platform_realm().await?.filter(|_| !wanted.is_empty()) {
            found.extend(self.store.rows(platform).names(&wanted.into_iter().collect::<Vec<_>>()).await?);
        }
        Ok(found.into_iter().map(|(id, person, handle)| (id, Name { person, handle })).collect())
    }
}

/// The organizations whose events the caller may read, narrowed to the one asked for; `None` = all events.
async fn visible<F: Facts>(
    rows: ReadRows<'_>,
    guard: &mut Guard<'_, F>,
    asked: Option<&Handle>,
    whose: Option<PrincipalId>,
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
        return match guard.allows(permissions::READ_AUDIT, Some(id), whose).await? {
            true => Ok(Some(vec![id])),
            false => Err(Error::not_found("organization")),
        };
    }
    if guard.allows(permissions::READ_AUDIT, None, whose).await? {
        return Ok(None);
    }
    let entries = &guard.actor.principal().entries;
    let scopes: BTreeSet<_> = entries.iter().filter_map(|entry| entry.scope.organization()).collect();
    let mut visible = vec![];
    for id in scopes {
        if guard.allows(permissions::READ_AUDIT, Some(id), whose).await? {
            visible.push(id);
        }
    }
    Ok(Some(visible))
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
