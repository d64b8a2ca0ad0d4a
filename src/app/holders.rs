//! Who may do this, here: candidates by index, each decided by the evaluator of the check.

use super::authorization::{At, Desk, declared};
use super::effective::{CANDIDATES_MAX, Listed};
use super::error::{Error, Result};
use super::facts::{Basket, decide};
use super::guard::permissions;
use super::paging::{Page, Paging};
use super::read::again_with;
use super::{App, Ctx, Name, Reason};
use crate::cache::{Freshness, ReadSet};
use crate::domain::catalogue::PermissionId;
use crate::domain::decision::{Question, ResourceRef};
use crate::domain::ids::{OrganizationId, PrincipalId};
use crate::domain::permission::PermissionName;
use crate::domain::snapshot::Resource;
use crate::store::{HolderQuery, Places};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListPrincipals {
    pub permission: String,
    pub organization: Option<OrganizationId>,
    pub owner: Option<PrincipalId>,
    pub resource: Option<Resource>,
    pub freshness: Freshness,
    pub page: Paging,
}

impl App {
    /// A page of who may, by id.
    ///
    /// # Errors
    /// PERMISSION_UNDECLARED with the closest name; PAGE_TOKEN_INVALID; UNAVAILABLE if the freshness asked for can't be
    /// had.
    pub async fn list_principals(
        &self,
        ctx: &Ctx,
        cmd: &ListPrincipals,
    ) -> Result<At<Listed<(PrincipalId, Option<Name>)>>> {
        let after: Option<PrincipalId> = self.cursor(ctx, &cmd.page)?;
        // Candidates are read from the database and are seldom all at hand.
        let reads = ReadSet::recording();
        again_with(&reads, || async {
            let view = self.view_of(ctx, cmd.freshness, &reads).await?;
            let permission = declared(view.catalogue(), &cmd.permission)?;
            let mut desk = Desk::open(self, ctx, &view, permissions::LIST).await?;
            let known = match cmd.organization {
                Some(organization) => view.organization(organization).await?.is_some(),
                None => true,
            };
            let may_ask = desk.is_of_the_subject(cmd.organization) || desk.may_ask(cmd.organization).await?;
            let value = match known && may_ask {
                true => self.holders_after(ctx, &mut desk, cmd, permission, after).await?,
                false => Listed::none(Reason::OrganizationUnknown, String::new()),
            };
            Ok(At { value, revision: view.revision(), position: view.position() })
        })
        .await
    }

    async fn holders_after(
        &self,
        ctx: &Ctx,
        desk: &mut Desk<'_>,
        cmd: &ListPrincipals,
        permission: PermissionId,
        after: Option<PrincipalId>,
    ) -> Result<Listed<(PrincipalId, Option<Name>)>> {
        let rows = self.store.rows(ctx.realm);
        let query = query(desk, cmd, permission)?;
        // A few more than the page has room for: most candidates may.
        let batch = (cmd.page.size * 2).min(CANDIDATES_MAX);
        let (mut allowed, mut last, mut tried) = (vec![], after, 0);
        let more = 'pages: loop {
            let candidates = rows.holders(&query, last, batch).await?;
            desk.prepare(&candidates, []).await?;
            for candidate in &candidates {
                if allowed.len() as u64 == cmd.page.size || tried == CANDIDATES_MAX {
                    break 'pages true;
                }
                (last, tried) = (Some(*candidate), tried + 1);
                if desk.may(*candidate, permission, cmd).await? {
                    allowed.push(*candidate);
                }
            }
            if (candidates.len() as u64) < batch {
                break false;
            }
        };
        let next = match last.filter(|_| more) {
            Some(last) => self.next_token(ctx, &cmd.page, &last)?,
            None => String::new(),
        };
        let names = rows.names(&allowed).await?;
        let name = |id: PrincipalId| {
            let found = names.iter().find(|(known, ..)| *known == id);
            (id, found.map(|(_, person, handle)| Name { person: *person, handle: handle.clone() }))
        };
        let items = allowed.into_iter().map(name).collect();
        Ok(Listed { page: Page { items, next }, reason: None, detail: String::new() })
    }
}

impl Desk<'_> {
    /// Whether this candidate may, where the question is about for it and the caller may ask.
    async fn may(&mut self, id: PrincipalId, permission: PermissionId, cmd: &ListPrincipals) -> Result<bool> {
        let view = self.view;
        let Some(subject) = view.principal(id).await? else { return Ok(false) };
        let place = view.catalogue().effective_organization(subject.principal(), cmd.organization);
        if !self.may_ask(place).await? {
            return Ok(false);
        }
        let resource = cmd.resource.as_ref().map(ResourceRef::from);
        let question = Question { permission, organization: place, owner: cmd.owner, resource };
        let mut basket = Basket::default();
        Ok(decide(view, &mut basket, &subject, &question, self.now()).await?.is_allowed())
    }
}

/// Whose entries could open the permission.
fn query(desk: &Desk<'_>, cmd: &ListPrincipals, permission: PermissionId) -> Result<HolderQuery> {
    let catalogue = desk.view.catalogue();
    let row = catalogue.permission(permission).ok_or_else(|| Error::internal("a permission of another catalogue"))?;
    let places = match cmd.organization {
        Some(organization) => Places::Listed(vec![None, Some(organization)]),
        None if !desk.is_of_the_subject(None) => Places::Listed(vec![None]),
        None if desk.realm_wide => Places::Everywhere,
        None => {
            let asking = desk.guard.actor.principal().entries.iter().filter_map(|entry| entry.scope.organization());
            let asking: std::collections::BTreeSet<_> = asking.collect();
            Places::Listed(std::iter::once(None).chain(asking.into_iter().map(Some)).collect())
        }
    };
    Ok(HolderQuery {
        roles: catalogue.roles_covering(permission).collect(),
        patterns: PermissionName::covering(&row.name).collect(),
        resource: cmd.resource.clone(),
        places,
    })
}
