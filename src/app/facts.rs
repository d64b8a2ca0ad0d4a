//! Deciding over facts that may have to be gathered first, from a view of the cache or from within a change.

use smallvec::SmallVec;

use super::error::{Error, Result};
use crate::cache::{Source, Subject, View};
use crate::domain::catalogue::{Catalogue, PermissionId};
use crate::domain::decision::{CompiledPrincipal, Decision, Gathered, Needs, Question, World, try_decide};
use crate::domain::explain::{self, Explanation};
use crate::domain::ids::{OrganizationId, PrincipalId, UserId};
use crate::domain::policy::Team;
use crate::domain::snapshot::Organization;
use crate::domain::time::Timestamp;
use std::sync::Arc;

/// Chains of managers are at most so long; a longer one could only be a cycle.
pub(crate) const MANAGERS_MAX: usize = 32;

/// Facts of one revision of a realm.
pub(crate) trait Facts: Sync {
    /// What keeps facts from being had.
    type Fault: Send;

    fn catalogue(&self) -> &Catalogue;
    fn principal(
        &self,
        id: PrincipalId,
    ) -> impl Future<Output = std::result::Result<Option<Subject>, Self::Fault>> + Send;
    /// Somebody's direct manager.
    fn manager(&self, id: PrincipalId)
    -> impl Future<Output = std::result::Result<Option<UserId>, Self::Fault>> + Send;
    fn organization(
        &self,
        id: OrganizationId,
    ) -> impl Future<Output = std::result::Result<Option<Arc<Organization>>, Self::Fault>> + Send;
}

impl<S: Source> Facts for View<'_, S> {
    type Fault = crate::cache::Miss;

    fn catalogue(&self) -> &Catalogue {
        View::catalogue(self)
    }

    async fn principal(&self, id: PrincipalId) -> std::result::Result<Option<Subject>, Self::Fault> {
        View::principal(self, id).await
    }

    async fn manager(&self, id: PrincipalId) -> std::result::Result<Option<UserId>, Self::Fault> {
        Ok(View::principal(self, id).await?.and_then(|subject| subject.principal().manager))
    }

    async fn organization(&self, id: OrganizationId) -> std::result::Result<Option<Arc<Organization>>, Self::Fault> {
        View::organization(self, id).await
    }
}

/// What has been gathered for decisions about one subject.
#[derive(Debug, Default)]
pub(crate) struct Basket {
    organizations: SmallVec<[Gathered; 2]>,
    owner_managers: Option<(Option<PrincipalId>, SmallVec<[UserId; 4]>)>,
}

impl Basket {
    /// The world of a subject, as far as it was gathered for this owner.
    pub(crate) fn world<'a>(
        &'a self,
        catalogue: &'a Catalogue,
        subject: &'a CompiledPrincipal,
        owner: Option<PrincipalId>,
    ) -> World<'a> {
        let of_owner = self.owner_managers.as_ref().filter(|(of, _)| *of == owner);
        World {
            catalogue,
            subject,
            organizations: &self.organizations,
            owner_managers: of_owner.map(|(_, managers)| managers.as_slice()),
        }
    }

    /// A basket for questions about what this owner owns, whose managers are known.
    pub(crate) fn of_owner(owner: PrincipalId, managers: &[UserId]) -> Self {
        Self { owner_managers: Some((Some(owner), managers.into())), ..Self::default() }
    }

    /// Has this organization looked up.
    pub(crate) async fn organization<F: Facts>(
        &mut self,
        facts: &F,
        id: OrganizationId,
    ) -> std::result::Result<Option<Arc<Organization>>, F::Fault> {
        if let Some(known) = self.organizations.iter().find(|gathered| gathered.id == id) {
            return Ok(known.organization.clone());
        }
        let organization = facts.organization(id).await?;
        self.organizations.push(Gathered { id, organization: organization.clone() });
        Ok(organization)
    }

    /// Gathers what a decision asked for.
    pub(crate) async fn gather<F: Facts>(
        &mut self,
        facts: &F,
        needs: Needs,
        owner: Option<PrincipalId>,
    ) -> std::result::Result<(), F::Fault> {
        match needs {
            Needs::Organizations(ids) => {
                for id in ids {
                    self.organization(facts, id).await?;
                }
            }
            Needs::OwnerManagers => {
                let managers = match owner {
                    // Boxed: few questions need it, and all would have to have room for it.
                    Some(owner) => Box::pin(managers_of(facts, owner)).await?,
                    None => SmallVec::new(),
                };
                self.owner_managers = Some((owner, managers));
            }
        }
        Ok(())
    }
}

/// Decides, gathering what is missing on the way.
pub(crate) async fn decide<F: Facts>(
    facts: &F,
    basket: &mut Basket,
    subject: &CompiledPrincipal,
    question: &Question<'_>,
    now: Timestamp,
) -> std::result::Result<Decision, F::Fault> {
    loop {
        let needs = match try_decide(&basket.world(facts.catalogue(), subject, question.owner), question, now) {
            Ok(decision) => return Ok(decision),
            Err(needs) => needs,
        };
        basket.gather(facts, needs, question.owner).await?;
    }
}

/// Decides and explains, gathering what either needs.
pub(crate) async fn explained<F: Facts>(
    facts: &F,
    basket: &mut Basket,
    subject: &CompiledPrincipal,
    question: &Question<'_>,
    now: Timestamp,
) -> std::result::Result<Explanation, F::Fault> {
    decide(facts, basket, subject, question, now).await?;
    if let Some(needs) = explain::needs(&basket.world(facts.catalogue(), subject, question.owner), question) {
        basket.gather(facts, needs, question.owner).await?;
    }
    Ok(explain::explain(&basket.world(facts.catalogue(), subject, question.owner), question, now))
}

/// The managers above somebody: the direct one first; in a DIRECT realm that one alone.
pub(crate) async fn managers_of<F: Facts>(
    facts: &F,
    owner: PrincipalId,
) -> std::result::Result<SmallVec<[UserId; 4]>, F::Fault> {
    let most = match facts.catalogue().policy.team {
        Team::Direct => 1,
        Team::Chain => MANAGERS_MAX,
    };
    let mut managers = SmallVec::new();
    let mut next = facts.manager(owner).await?;
    while let Some(manager) = next.filter(|_| managers.len() < most) {
        managers.push(manager);
        if managers.len() < most {
            next = facts.manager(manager.into()).await?;
        }
    }
    Ok(managers)
}

/// Whether the subject holds the permission anywhere at all: in some scope, at some reach, for some resource.
pub(crate) async fn holds_somewhere<F: Facts>(
    facts: &F,
    subject: &CompiledPrincipal,
    permission: PermissionId,
    now: Timestamp,
) -> std::result::Result<bool, F::Fault> {
    let mut basket = Basket::default();
    let anywhere = Question { permission, organization: None, owner: None, resource: None };
    if decide(facts, &mut basket, subject, &anywhere, now).await?.is_allowed() {
        return Ok(true);
    }
    Box::pin(holds_by_an_entry(facts, subject, permission, now)).await
}

/// Asks of each entry what it could open at all.
async fn holds_by_an_entry<F: Facts>(
    facts: &F,
    subject: &CompiledPrincipal,
    permission: PermissionId,
    now: Timestamp,
) -> std::result::Result<bool, F::Fault> {
    let mut basket = Basket::default();
    let somebody = PrincipalId(uuid::Uuid::nil());
    let me = subject.principal().id;
    let entries = &subject.principal().entries;
    // An entry of mine that led somebody would reach whoever has me for a manager.
    basket.owner_managers = Some((Some(somebody), SmallVec::from_slice(&[UserId(me.0)])));
    for entry in entries {
        let places = subject.principal().active_memberships().map(|held| Some(held.organization)).chain([None]);
        let scope = entry.scope.organization();
        let places: SmallVec<[_; 4]> = if scope.is_some() { [scope].into_iter().collect() } else { places.collect() };
        for organization in places {
            for owner in [None, Some(me), Some(somebody)] {
                let resource = entry.resource.as_deref().map(Into::into);
                let question = Question { permission, organization, owner, resource };
                let world_owner = owner.filter(|owner| *owner == somebody);
                if decide_for(facts, &mut basket, subject, &question, world_owner, now).await? {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}

async fn decide_for<F: Facts>(
    facts: &F,
    basket: &mut Basket,
    subject: &CompiledPrincipal,
    question: &Question<'_>,
    owner: Option<PrincipalId>,
    now: Timestamp,
) -> std::result::Result<bool, F::Fault> {
    loop {
        match try_decide(&basket.world(facts.catalogue(), subject, owner), question, now) {
            Ok(decision) => return Ok(decision.is_allowed()),
            Err(Needs::Organizations(ids)) => basket.gather(facts, Needs::Organizations(ids), None).await?,
            Err(Needs::OwnerManagers) => return Ok(false),
        }
    }
}

/// The number of a permission that the service itself asks about.
pub(crate) fn reserved(catalogue: &Catalogue, name: &str) -> Result<PermissionId> {
    catalogue.permission_id(name).ok_or_else(|| Error::internal(format!("{name} is not in the catalogue")))
}
