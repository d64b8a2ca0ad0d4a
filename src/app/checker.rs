//! The per-request checker: where the questions of one call are answered.
//!
//! It holds one view and what was loaded for its subjects, finds whom handles stand for, and decides what of an answer the
//! caller may be told. `authorization`, `effective` and `holders` ask it; it opens no view by itself.

use super::authorization::{About, Answered, Asked};
use super::error::{Error, Result};
use super::facts::{Basket, decide, explained};
use super::guard::{Guard, why};
use super::permission::undeclared_name;
use super::resolve::{organization_id, principal_id};
use super::{App, Ctx, Reason, Record};
use crate::cache::{Subject, View};
use crate::domain::catalogue::{Catalogue, PermissionId};
use crate::domain::decision::{self, Decision};
use crate::domain::email::identity;
use crate::domain::explain::{Explanation, Miss, MissKind};
use crate::domain::handle::Handle;
use crate::domain::ids::{OrganizationId, PrincipalId, UserId};
use crate::domain::policy::OrganizationsPerUser;
use crate::store::LoadRows;

/// A subject that was found, or why it was not.
pub(super) type Found = std::result::Result<Subject, Reason>;

/// People by the identity of their e-mail address.
pub(super) type People = std::collections::HashMap<String, UserId>;

/// Where questions of one call are answered: one view, and what was gathered for its subjects.
pub(super) struct Checker<'a> {
    app: &'a App,
    ctx: &'a Ctx,
    pub(super) view: &'a View<'a, Record>,
    pub(super) guard: Guard<'a, View<'a, Record>>,
    /// What the caller needs: `countersign.access.check`, `explain` or `list`.
    right: &'static str,
    pub(super) realm_wide: bool,
    subject: Option<(About, Found, Basket)>,
    /// The people of a batch, looked up beforehand.
    people: Option<&'a People>,
}

impl<'a> Checker<'a> {
    pub(super) async fn open(
        app: &'a App,
        ctx: &'a Ctx,
        view: &'a View<'a, Record>,
        right: &'static str,
    ) -> Result<Self> {
        let mut guard = app.guard(ctx, view).await?;
        let realm_wide = guard.allows(right, None, None).await?;
        Ok(Self { app, ctx, view, guard, right, realm_wide, subject: None, people: None })
    }

    /// Has these people looked up already.
    pub(super) fn with_people(self, people: &'a People) -> Self {
        Self { people: Some(people), ..self }
    }

    /// Answers one question.
    pub(super) async fn answer(&mut self, asked: &Asked, with_reason: bool) -> Result<Answered> {
        let permission = declared(self.view.catalogue(), &asked.permission)?;
        let place = match self.place(&asked.about, asked.organization.as_ref()).await? {
            Ok(place) => place,
            Err(reason) => return Ok(Answered::denied(reason, with_reason)),
        };
        let owner = self.owner(asked.owner.as_ref()).await?;
        let Some((_, Ok(subject), basket)) = &mut self.subject else { return Err(Error::internal("no subject")) };
        let question = question(asked, permission, place, owner);
        let decision = decide(self.view, basket, subject, &question, self.ctx.now).await?;
        if decision.is_allowed() || !with_reason {
            return Ok(Answered { decision, reason: None, detail: String::new() });
        }
        let explanation = explained(self.view, basket, subject, &question, self.ctx.now).await?;
        let (reason, detail) = match self.tellable(&asked.about, place, explanation).await? {
            Ok(explanation) => why(&explanation),
            Err(reason) => (reason, String::new()),
        };
        Ok(Answered { decision, reason: Some(reason), detail })
    }

    /// Explains one question.
    pub(super) async fn explain(&mut self, asked: &Asked) -> Result<std::result::Result<Explanation, Reason>> {
        let permission = declared(self.view.catalogue(), &asked.permission)?;
        let place = match self.place(&asked.about, asked.organization.as_ref()).await? {
            Ok(place) => place,
            Err(reason) => return Ok(Err(reason)),
        };
        let owner = self.owner(asked.owner.as_ref()).await?;
        let Some((_, Ok(subject), basket)) = &mut self.subject else { return Err(Error::internal("no subject")) };
        let question = question(asked, permission, place, owner);
        let explanation = explained(self.view, basket, subject, &question, self.ctx.now).await?;
        self.tellable(&asked.about, place, explanation).await
    }

    /// What of an explanation is the caller's to know. Who does not ask realm-wide learns nothing of somebody who does
    /// not belong where they ask but that they may not, and of nobody what they hold where the caller may not ask.
    /// Whoever has somebody's token knows of them.
    pub(super) async fn tellable(
        &mut self,
        about: &About,
        place: Option<OrganizationId>,
        explanation: Explanation,
    ) -> Result<std::result::Result<Explanation, Reason>> {
        if self.realm_wide || explanation.decision().is_allowed() {
            return Ok(Ok(explanation));
        }
        let belongs = match (&self.subject, place) {
            (Some((_, Ok(subject), _)), Some(place)) => subject.principal().belongs_to(place),
            _ => false,
        };
        if !belongs && !matches!(about, About::AccessToken(_)) {
            return Ok(Err(Reason::SubjectUnknown));
        }
        Ok(Ok(match explanation {
            Explanation::Misses { near, left_off } => self.misses_to_tell(near, left_off).await?,
            explanation => explanation,
        }))
    }

    /// Leaves off what is held where the caller may not ask. Such misses are the farthest, so that those which an
    /// explanation has no room for may be of that kind too, and are not counted.
    async fn misses_to_tell(&mut self, near: Vec<Miss>, left_off: usize) -> Result<Explanation> {
        let all = near.len();
        let mut kept = Vec::with_capacity(all);
        for miss in near {
            let elsewhere = miss.chain.as_ref().filter(|_| miss.kind == MissKind::WrongOrganization);
            let known = match elsewhere.and_then(|chain| chain.scope.organization()) {
                Some(organization) => self.may_ask(Some(organization)).await?,
                None => true,
            };
            kept.extend(known.then_some(miss));
        }
        let left_off = if kept.len() == all { left_off } else { 0 };
        if kept.is_empty() {
            kept.push(Miss { kind: MissKind::NoSuchEntry, chain: None });
        }
        Ok(Explanation::Misses { near: kept, left_off })
    }

    pub(super) async fn may_ask(&mut self, place: Option<OrganizationId>) -> Result<bool> {
        Ok(self.realm_wide || self.guard.allows(self.right, place, None).await?)
    }

    /// The organization that the question is about, once its subject is found and the caller may ask there. The place
    /// comes first: where the caller may not ask, the answer does not depend on who there is.
    pub(super) async fn place(
        &mut self,
        about: &About,
        organization: Option<&Handle>,
    ) -> Result<std::result::Result<Option<OrganizationId>, Reason>> {
        let Some(organization) = self.organization(organization).await? else {
            return Ok(Err(Reason::OrganizationUnknown));
        };
        let of_the_subject = self.is_of_the_subject(organization);
        if !of_the_subject && !self.may_ask(organization).await? {
            return Ok(Err(Reason::OrganizationUnknown));
        }
        if let Err(reason) = self.subject(about).await? {
            return Ok(Err(reason));
        }
        let Some((_, Ok(subject), _)) = &self.subject else { return Err(Error::internal("no subject")) };
        let place = self.view.catalogue().effective_organization(subject.principal(), organization);
        Ok(match about {
            _ if !of_the_subject || self.may_ask(place).await? => Ok(place),
            About::AccessToken(_) => Err(Reason::OrganizationUnknown),
            About::Principal(_) => Err(Reason::SubjectUnknown),
        })
    }

    /// The organization that is named, if any is; `None` for a slug that no organization has.
    pub(super) async fn organization(&self, named: Option<&Handle>) -> Result<Option<Option<OrganizationId>>> {
        let Some(handle) = named else { return Ok(Some(None)) };
        if let Handle::Id(id) = handle {
            return Ok(Some(Some(OrganizationId(*id))));
        }
        Ok(Box::pin(organization_id(self.rows(), handle)).await?.map(Some))
    }

    /// The owner that is named, if any is. A handle that is nobody's is an owner in nobody's team.
    pub(super) async fn owner(&self, named: Option<&Handle>) -> Result<Option<PrincipalId>> {
        let Some(handle) = named else { return Ok(None) };
        let nobody = PrincipalId(uuid::Uuid::nil());
        Ok(Some(self.principal(handle).await?.unwrap_or(nobody)))
    }

    /// Handles of checks are looked up where checks load what they need.
    fn rows(&self) -> LoadRows<'a> {
        self.app.store.loads(self.ctx.realm)
    }

    /// The instant of the call.
    pub(super) fn now(&self) -> crate::domain::time::Timestamp {
        self.ctx.now
    }

    /// Whether a question is about the subject's own organization, since it names none.
    pub(super) fn is_of_the_subject(&self, organization: Option<OrganizationId>) -> bool {
        organization.is_none() && self.view.catalogue().policy.organizations_per_user == OrganizationsPerUser::One
    }

    /// The subject of the questions that follow, unless it is that already.
    pub(super) async fn subject(&mut self, about: &About) -> Result<Found> {
        if self.subject.as_ref().is_none_or(|(known, ..)| known != about) {
            let found = self.find(about).await?;
            self.subject = Some((about.clone(), found, Basket::default()));
        }
        match &self.subject {
            Some((_, found, _)) => Ok(found.clone()),
            None => Err(Error::internal("no subject")),
        }
    }

    /// Whether the subject may; its place is known to be one where the caller may ask.
    pub(super) async fn decides(&mut self, question: &decision::Question<'_>) -> Result<bool> {
        let Some((_, Ok(subject), basket)) = &mut self.subject else { return Err(Error::internal("no subject")) };
        Ok(decide(self.view, basket, subject, question, self.ctx.now).await?.is_allowed())
    }

    /// Has everything loaded at once that the answers to these questions rest on, as far as that can be foreseen.
    pub(super) async fn prepare_questions(&self, asked: &[Result<Asked>]) -> Result<()> {
        let (mut principals, mut organizations) = (vec![], vec![]);
        for question in asked.iter().flatten() {
            let subject = match &question.about {
                About::Principal(handle) => self.principal(handle).await?,
                About::AccessToken(token) => {
                    let caller = Box::pin(self.app.access_token(token, self.ctx.now, self.ctx.peer)).await?;
                    caller.map(|caller| caller.principal)
                }
            };
            principals.extend(subject);
            principals.extend(self.owner(question.owner.as_ref()).await?);
            organizations.extend(self.organization(question.organization.as_ref()).await?.flatten());
        }
        self.prepare(&principals, organizations).await
    }

    /// Has principals loaded at once, and then the organizations that they belong to, and these.
    pub(super) async fn prepare(
        &self,
        principals: &[PrincipalId],
        organizations: impl IntoIterator<Item = OrganizationId> + Send,
    ) -> Result<()> {
        let mut organizations: Vec<_> = organizations.into_iter().collect();
        self.view.prepare(principals.iter().copied(), []).await?;
        for id in principals {
            if let Some(subject) = self.view.principal(*id).await? {
                organizations.extend(subject.principal().active_memberships().map(|held| held.organization));
            }
        }
        Ok(self.view.prepare([], organizations).await?)
    }

    /// The principal of a handle. The people whom a batch names by their addresses were looked up before.
    async fn principal(&self, handle: &Handle) -> Result<Option<PrincipalId>> {
        match self.people.zip(identity_of(handle)) {
            Some((people, identity)) => Ok(people.get(&identity).map(|id| (*id).into())),
            None => Box::pin(principal_id(self.rows(), handle)).await,
        }
    }

    async fn find(&self, about: &About) -> Result<Found> {
        let (id, caller) = match about {
            About::Principal(handle) => match self.principal(handle).await? {
                Some(id) => (id, None),
                None => return Ok(Err(Reason::SubjectUnknown)),
            },
            About::AccessToken(token) => {
                let caller = Box::pin(self.app.access_token(token, self.ctx.now, self.ctx.peer)).await?;
                match caller.filter(|caller| caller.realm == self.ctx.realm) {
                    Some(caller) => (caller.principal, Some(caller)),
                    None => return Ok(Err(Reason::TokenInvalid)),
                }
            }
        };
        let unknown = if caller.is_some() { Reason::TokenInvalid } else { Reason::SubjectUnknown };
        let Some(subject) = self.view.principal(id).await? else { return Ok(Err(unknown)) };
        let holds = caller.is_none_or(|caller| caller.still_holds(self.view.realm(), subject.principal()));
        Ok(if holds { Ok(subject) } else { Err(Reason::TokenInvalid) })
    }
}

impl Answered {
    pub(super) fn denied(reason: Reason, with_reason: bool) -> Self {
        Self { decision: Decision::Denied, reason: with_reason.then_some(reason), detail: String::new() }
    }
}

/// The identity of the e-mail address that a handle is; `None` for any other handle.
pub(super) fn identity_of(handle: &Handle) -> Option<String> {
    match handle {
        Handle::Natural(email) if email.contains('@') => Some(identity(email)),
        Handle::Natural(_) | Handle::Id(_) => None,
    }
}

fn question(
    asked: &Asked,
    permission: PermissionId,
    organization: Option<OrganizationId>,
    owner: Option<PrincipalId>,
) -> decision::Question<'_> {
    decision::Question { permission, organization, owner, resource: asked.resource.as_ref().map(Into::into) }
}

/// A typo must not read as a denial.
pub(super) fn declared(catalogue: &Catalogue, name: &str) -> Result<PermissionId> {
    let undeclared = || Error::Invalid(vec![undeclared_name(catalogue, "permission", name)]);
    catalogue.permission_id(name).ok_or_else(undeclared)
}
