//! Who may do this, here: candidates by index, each decided by the evaluator of the check.

use std::collections::BTreeMap;

use super::authorization::At;
use super::checker::{Checker, declared};
use super::effective::Listed;
use super::error::{Error, Result};
use super::facts::{Basket, decide};
use super::guard::permissions;
use super::paging::{Listing, Paging, Weighed};
use super::reachable::reachable;
use super::read::again_with;
use super::{App, Ctx, Name, Reason};
use crate::cache::{Freshness, ReadSet};
use crate::domain::catalogue::PermissionId;
use crate::domain::decision::{Question, ResourceRef};
use crate::domain::handle::Handle;
use crate::domain::ids::{OrganizationId, PrincipalId};
use crate::domain::permission::PermissionName;
use crate::domain::snapshot::Resource;
use crate::store::{HolderQuery, Places, ReadRows};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListPrincipals {
    pub permission: String,
    pub organization: Option<Handle>,
    pub owner: Option<Handle>,
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
    pub async fn list_principals<T: Weighed + Send>(
        &self,
        ctx: &Ctx,
        cmd: &ListPrincipals,
        print: impl Fn((PrincipalId, Option<Name>)) -> T + Sync,
    ) -> Result<At<Listed<T>>> {
        // Candidates are read from the database and are seldom all at hand.
        let reads = ReadSet::recording();
        again_with(&reads, || async {
            let view = self.view_of(ctx, cmd.freshness, &reads).await?;
            let permission = declared(view.catalogue(), &cmd.permission)?;
            let mut checker = Checker::open(self, ctx, &view, permissions::LIST).await?;
            let value = match checker.place_to_list(cmd.organization.as_ref()).await? {
                Some(organization) => {
                    let asked = AskedOfAll {
                        permission,
                        organization,
                        owner: checker.owner(cmd.owner.as_ref()).await?,
                        resource: cmd.resource.as_ref(),
                    };
                    let (rows, query) = (self.store.rows(ctx.realm), query(&mut checker, &asked).await?);
                    let list = Holders { rows, checker: &mut checker, asked, query };
                    self.page(ctx, &cmd.page, list, &print).await?.into()
                }
                None => Listed::none(Reason::OrganizationUnknown, String::new()),
            };
            Ok(At { value, revision: view.revision(), position: view.position() })
        })
        .await
    }
}

/// The question whose answer is asked of each candidate.
struct AskedOfAll<'a> {
    permission: PermissionId,
    organization: Option<OrganizationId>,
    owner: Option<PrincipalId>,
    resource: Option<&'a Resource>,
}

/// Who might hold a permission, by id; seen are those who do.
struct Holders<'a, 'v> {
    rows: ReadRows<'a>,
    checker: &'a mut Checker<'v>,
    asked: AskedOfAll<'a>,
    query: HolderQuery,
}

impl Listing for Holders<'_, '_> {
    type At = PrincipalId;
    type Row = PrincipalId;
    type Item = (PrincipalId, Option<Name>);

    async fn read(&mut self, after: Option<&PrincipalId>, limit: u64) -> Result<Vec<PrincipalId>> {
        Ok(self.rows.holders(&self.query, after.copied(), limit).await?)
    }

    fn at(candidate: &PrincipalId) -> PrincipalId {
        *candidate
    }

    async fn prepare(&mut self, candidates: &[PrincipalId]) -> Result<()> {
        self.checker.prepare(candidates, []).await
    }

    async fn is_seen(&mut self, candidate: &PrincipalId) -> Result<bool> {
        self.checker.may(*candidate, &self.asked).await
    }

    async fn view(&mut self, holders: Vec<PrincipalId>) -> Result<Vec<Self::Item>> {
        let names = self.rows.names(&holders).await?;
        let mut names: BTreeMap<_, _> =
            names.into_iter().map(|(id, person, handle)| (id, Name { person, handle })).collect();
        Ok(holders.into_iter().map(|id| (id, names.remove(&id))).collect())
    }
}

impl Checker<'_> {
    /// The organization that a list of holders names, if there is one and the caller may ask there.
    async fn place_to_list(&mut self, named: Option<&Handle>) -> Result<Option<Option<OrganizationId>>> {
        let Some(place) = self.organization(named).await? else { return Ok(None) };
        let known = match place {
            Some(organization) => self.view.organization(organization).await?.is_some(),
            None => true,
        };
        let may_ask = self.is_of_the_subject(place) || self.may_ask(place).await?;
        Ok(Some(place).filter(|_| known && may_ask))
    }

    /// Whether this candidate may, where the question is about for it and the caller may ask.
    async fn may(&mut self, id: PrincipalId, asked: &AskedOfAll<'_>) -> Result<bool> {
        let view = self.view;
        let Some(subject) = view.principal(id).await? else { return Ok(false) };
        let place = view.catalogue().effective_organization(subject.principal(), asked.organization);
        if !self.may_ask(place).await? {
            return Ok(false);
        }
        let AskedOfAll { permission, organization: _, owner, resource } = *asked;
        let resource = resource.map(ResourceRef::from);
        let question = Question { permission, organization: place, owner, resource };
        let mut basket = Basket::default();
        Ok(decide(view, &mut basket, &subject, &question, self.now()).await?.is_allowed())
    }
}

/// Whose entries could open the permission.
async fn query(checker: &mut Checker<'_>, asked: &AskedOfAll<'_>) -> Result<HolderQuery> {
    let view = checker.view;
    let catalogue = view.catalogue();
    let row =
        catalogue.permission(asked.permission).ok_or_else(|| Error::internal("a permission of another catalogue"))?;
    let places = match asked.organization {
        Some(organization) => Places::Listed(vec![None, Some(organization)]),
        None if !checker.is_of_the_subject(None) => Places::Listed(vec![None]),
        None => match reachable(&mut checker.guard, &[permissions::LIST]).await? {
            // Which organizations license something is not asked: each candidate is decided by itself.
            Some(within) if within.licensed.is_empty() => {
                Places::Listed(std::iter::once(None).chain(within.organizations.into_iter().map(Some)).collect())
            }
            Some(_) | None => Places::Everywhere,
        },
    };
    Ok(HolderQuery {
        roles: catalogue.roles_covering(asked.permission).collect(),
        patterns: PermissionName::covering(&row.name).collect(),
        resource: asked.resource.cloned(),
        places,
    })
}
