//! May they do this? The question that everything else is there for.
//!
//! A check opens a view of one revision and asks the pure evaluator. Whatever is unknown is an answer, so that a caller
//! needs no error path; only what is wrong with the question itself is an error.

use super::clock::Clock;
use super::entry::{self, EntryView};
use super::error::{Error, Result};
use super::facts::{Basket, decide, explained};
use super::guard::{Guard, miss_reason, permissions, why};
use super::permission::undeclared_name;
use super::read::again;
use super::resolve::{organization_id, principal_id};
use super::{App, Ctx, Reason, Record};
use crate::cache::{Freshness, Subject, View};
use crate::domain::account::Gate;
use crate::domain::catalogue::{Catalogue, PermissionId};
use crate::domain::decision::{self, Decision};
use crate::domain::explain::{Chain, Explanation, Miss, MissKind};
use crate::domain::handle::Handle;
use crate::domain::ids::{OrganizationId, PrincipalId, Revision, RoleId};
use crate::domain::permission::{Pattern, Reach};
use crate::domain::policy::OrganizationsPerUser;
use crate::domain::realm::Position;
use crate::domain::snapshot::Resource;
use crate::store::LoadRows;

/// Whom a question is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum About {
    /// A natural handle is looked up in the database each time.
    Principal(Handle),
    AccessToken(String),
}

/// One question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asked {
    pub about: About,
    pub permission: String,
    pub organization: Option<Handle>,
    pub owner: Option<Handle>,
    pub resource: Option<Resource>,
}

/// How to answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct How {
    pub freshness: Freshness,
    pub with_reason: bool,
}

/// An answer, and why, if that was asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answered {
    pub decision: Decision,
    pub reason: Option<Reason>,
    /// The cause of a suspension, or what an entry lacks.
    pub detail: String,
}

/// Answers of one revision.
#[derive(Clone, PartialEq, Debug)]
pub struct At<T> {
    pub value: T,
    pub revision: Revision,
    pub position: Position,
}

/// A decision with everything that it rests on.
#[derive(Clone, PartialEq, Debug)]
pub struct Explained {
    pub answered: Answered,
    /// How the permission is held, if the answer is ALLOWED.
    pub allowed_by: Option<ChainView>,
    /// Every gate that fails, with what people read in this realm.
    pub gates: Vec<(Gate, Option<String>)>,
    /// What comes near, the nearest first.
    pub misses: Vec<MissView>,
    /// How many more come near.
    pub left_off: usize,
}

/// How an entry covers the permission, with names.
#[derive(Clone, PartialEq, Debug)]
pub struct ChainView {
    /// Absent if the entry was removed meanwhile.
    pub entry: Option<EntryView>,
    pub path: Vec<(RoleId, String)>,
    pub pattern: Pattern,
    pub reach: Reach,
}

/// A chain that does not open, and why.
#[derive(Clone, PartialEq, Debug)]
pub struct MissView {
    pub chain: Option<ChainView>,
    pub reason: Reason,
    pub missing: String,
}

/// A subject that was found, or why it was not.
pub(super) type Found = std::result::Result<Subject, Reason>;

impl App {
    /// Answers one question.
    ///
    /// # Errors
    /// PERMISSION_UNDECLARED with the closest name; UNAVAILABLE if the freshness asked for can't be had.
    pub async fn check(&self, ctx: &Ctx, asked: &Asked, how: How) -> Result<At<Answered>> {
        let began = Clock::elapsed();
        let outcome = again(|| async {
            let view = self.view(ctx, how.freshness).await?;
            let mut desk = Desk::open(self, ctx, &view, permissions::CHECK).await?;
            let value = desk.answer(asked, how.with_reason).await?;
            Ok(At { value, revision: view.revision(), position: view.position() })
        })
        .await;
        let took = (Clock::elapsed() - began).as_secs_f64();
        match &outcome {
            Ok(at) if at.value.decision.is_allowed() => self.decisions.allowed.record(took),
            Ok(_) => self.decisions.denied.record(took),
            Err(_) => self.decisions.undecided.record(took),
        }
        outcome
    }

    /// Answers one question with everything that the answer rests on.
    ///
    /// # Errors
    /// As [`App::check`].
    pub async fn explain(&self, ctx: &Ctx, asked: &Asked, freshness: Freshness) -> Result<At<Explained>> {
        again(|| async {
            let view = self.view(ctx, freshness).await?;
            let mut desk = Desk::open(self, ctx, &view, permissions::EXPLAIN).await?;
            let value = match desk.explain(asked).await? {
                Ok(explanation) => self.explained(ctx, &view, explanation).await?,
                Err(reason) => Explained {
                    answered: Answered::denied(reason, true),
                    allowed_by: None,
                    gates: vec![],
                    misses: vec![],
                    left_off: 0,
                },
            };
            Ok(At { value, revision: view.revision(), position: view.position() })
        })
        .await
    }

    async fn explained(&self, ctx: &Ctx, view: &View<'_, Record>, explanation: Explanation) -> Result<Explained> {
        let decision = explanation.decision();
        let (reason, detail) = why(&explanation);
        let reason = (!decision.is_allowed()).then_some(reason);
        let answered = Answered { decision, reason, detail };
        let (mut allowed_by, mut gates, mut misses, mut left_off) = (None, vec![], vec![], 0);
        match explanation {
            Explanation::Allowed(chain) => allowed_by = Some(self.chain_view(ctx, view, chain).await?),
            Explanation::Gates(failing) => {
                let words = &view.catalogue().policy.messages;
                gates.extend(failing.into_iter().map(|gate| (gate, words.get(Reason::from(gate).name()).cloned())));
            }
            Explanation::OrganizationUnknown | Explanation::PermissionRetired => {}
            Explanation::Misses { near, left_off: more } => {
                left_off = more;
                for miss in near {
                    let (reason, missing) = miss_reason(&miss);
                    let chain = match miss.chain {
                        Some(chain) => Some(self.chain_view(ctx, view, chain).await?),
                        None => None,
                    };
                    misses.push(MissView { chain, reason, missing });
                }
            }
        }
        Ok(Explained { answered, allowed_by, gates, misses, left_off })
    }

    async fn chain_view(&self, ctx: &Ctx, view: &View<'_, Record>, chain: Chain) -> Result<ChainView> {
        let Chain { entry, scope: _, window: _, path, pattern, reach } = chain;
        let rows = self.store.rows(ctx.realm);
        let row = rows.entry(entry).await?.into_iter().collect();
        let entry = entry::views(rows, view.catalogue(), row).await?.pop();
        let named = |id: RoleId| (id, view.catalogue().role(id).map(|role| role.name.clone()).unwrap_or_default());
        Ok(ChainView { entry, path: path.into_iter().map(named).collect(), pattern, reach })
    }

    /// Answers many questions at one revision. What is wrong with one is that one's answer.
    ///
    /// # Errors
    /// UNAVAILABLE.
    pub async fn check_batch(&self, ctx: &Ctx, asked: &[Result<Asked>], how: How) -> Result<At<Vec<Result<Answered>>>> {
        again(|| async {
            let view = self.view(ctx, how.freshness).await?;
            let mut desk = Desk::open(self, ctx, &view, permissions::CHECK).await?;
            let mut value = Vec::with_capacity(asked.len());
            for question in asked {
                let answer = match question {
                    Ok(question) => desk.answer(question, how.with_reason).await,
                    Err(error) => Err(error.again()),
                };
                match answer {
                    Err(Error::Moved) => return Err(Error::Moved),
                    Err(error @ (Error::Later { .. } | Error::Internal(_))) => return Err(error),
                    answer => value.push(answer),
                }
            }
            Ok(At { value, revision: view.revision(), position: view.position() })
        })
        .await
    }
}

/// Where questions of one call are answered: one view, and what was gathered for its subjects.
pub(super) struct Desk<'a> {
    app: &'a App,
    ctx: &'a Ctx,
    pub(super) view: &'a View<'a, Record>,
    pub(super) guard: Guard<'a, View<'a, Record>>,
    /// What the caller needs: `countersign.access.check`, `explain` or `list`.
    right: &'static str,
    pub(super) realm_wide: bool,
    subject: Option<(About, Found, Basket)>,
}

impl<'a> Desk<'a> {
    pub(super) async fn open(
        app: &'a App,
        ctx: &'a Ctx,
        view: &'a View<'a, Record>,
        right: &'static str,
    ) -> Result<Self> {
        let mut guard = app.guard(ctx, view).await?;
        let realm_wide = guard.allows(right, None, None).await?;
        Ok(Self { app, ctx, view, guard, right, realm_wide, subject: None })
    }

    async fn answer(&mut self, asked: &Asked, with_reason: bool) -> Result<Answered> {
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
        if let Handle::Id(id) = handle {
            return Ok(Some(PrincipalId(*id)));
        }
        let nobody = PrincipalId(uuid::Uuid::nil());
        Ok(Some(Box::pin(principal_id(self.rows(), handle)).await?.unwrap_or(nobody)))
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

    async fn find(&self, about: &About) -> Result<Found> {
        let (id, caller) = match about {
            About::Principal(Handle::Id(id)) => (PrincipalId(*id), None),
            About::Principal(handle) => match Box::pin(principal_id(self.rows(), handle)).await? {
                Some(id) => (id, None),
                None => return Ok(Err(Reason::SubjectUnknown)),
            },
            About::AccessToken(token) => {
                let caller = Box::pin(self.app.access_token(token, self.ctx.now)).await?;
                match caller.filter(|caller| caller.realm == self.ctx.realm) {
                    Some(caller) => (caller.principal, Some(caller)),
                    None => return Ok(Err(Reason::TokenInvalid)),
                }
            }
        };
        let unknown = if caller.is_some() { Reason::TokenInvalid } else { Reason::SubjectUnknown };
        let Some(subject) = self.view.principal(id).await? else { return Ok(Err(unknown)) };
        let holds = caller.is_none_or(|caller| caller.still_holds(subject.principal()));
        Ok(if holds { Ok(subject) } else { Err(Reason::TokenInvalid) })
    }
}

impl Answered {
    fn denied(reason: Reason, with_reason: bool) -> Self {
        Self { decision: Decision::Denied, reason: with_reason.then_some(reason), detail: String::new() }
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
