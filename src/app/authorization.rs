//! May they do this? The question that everything else is there for.
//!
//! A check opens a view of one revision and asks the pure evaluator. Whatever is unknown is an answer, so that a caller
//! needs no error path; only what is wrong with the question itself is an error.

use std::time::Duration;

use super::checker::{Checker, People, identity_of};
use super::clock::Clock;
use super::entry::{self, EntryView};
use super::error::{Error, Result};
use super::guard::{miss_reason, permissions, why};
use super::read::{again, again_with};
use super::{App, Ctx, Reason, Record};
use crate::cache::{Freshness, ReadSet, View};
use crate::domain::account::Gate;
use crate::domain::decision::Decision;
use crate::domain::explain::{Chain, Explanation};
use crate::domain::handle::Handle;
use crate::domain::ids::{Revision, RoleId};
use crate::domain::permission::{Pattern, Reach};
use crate::domain::realm::Position;
use crate::domain::snapshot::Resource;

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

/// What came of a question, for counting.
type DecisionMade<'a> = std::result::Result<Decision, &'a Error>;

impl App {
    /// Answers one question.
    ///
    /// # Errors
    /// PERMISSION_UNDECLARED with the closest name; UNAVAILABLE if the freshness asked for can't be had.
    pub async fn check(&self, ctx: &Ctx, asked: &Asked, how: How) -> Result<At<Answered>> {
        let began = Clock::elapsed();
        let outcome = again(|| async {
            let view = self.view(ctx, how.freshness).await?;
            let mut checker = Checker::open(self, ctx, &view, permissions::CHECK).await?;
            let value = checker.answer(asked, how.with_reason).await?;
            Ok(At { value, revision: view.revision(), position: view.position() })
        })
        .await;
        self.count_decisions(began, [outcome.as_ref().map(|at| at.value.decision)]);
        outcome
    }

    /// Counts decisions that were made together, each with its part of the time. What is wrong with a question, or keeps
    /// its caller from asking, is no decision.
    fn count_decisions<'a>(&self, began: Duration, made: impl IntoIterator<Item = DecisionMade<'a>>) {
        let (mut allowed, mut denied, mut undecided) = (0, 0, 0);
        for outcome in made {
            match outcome {
                Ok(decision) if decision.is_allowed() => allowed += 1,
                Ok(_) => denied += 1,
                Err(Error::Later { .. } | Error::Moved | Error::Internal(_)) => undecided += 1,
                Err(Error::Invalid(_) | Error::Refused(_) | Error::Gated { .. }) => {}
            }
        }
        let count = u32::try_from(allowed + denied + undecided).unwrap_or(u32::MAX).max(1);
        let took = (Clock::elapsed().saturating_sub(began) / count).as_secs_f64();
        self.decisions.allowed.record_many(took, allowed);
        self.decisions.denied.record_many(took, denied);
        self.decisions.undecided.record_many(took, undecided);
    }

    /// Answers one question with everything that the answer rests on.
    ///
    /// # Errors
    /// As [`App::check`].
    pub async fn explain(&self, ctx: &Ctx, asked: &Asked, freshness: Freshness) -> Result<At<Explained>> {
        let began = Clock::elapsed();
        let outcome = again(|| async {
            let view = self.view(ctx, freshness).await?;
            let mut checker = Checker::open(self, ctx, &view, permissions::EXPLAIN).await?;
            let value = match checker.explain(asked).await? {
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
        .await;
        self.count_decisions(began, [outcome.as_ref().map(|at| at.value.answered.decision)]);
        outcome
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

    /// Answers many questions at one revision. What is wrong with one is that one's answer. What is cold is loaded in a
    /// handful of statements.
    ///
    /// # Errors
    /// UNAVAILABLE.
    pub async fn check_batch(&self, ctx: &Ctx, asked: &[Result<Asked>], how: How) -> Result<At<Vec<Result<Answered>>>> {
        let began = Clock::elapsed();
        let people = self.people(ctx, asked.iter().flatten()).await?;
        let reads = ReadSet::default();
        let outcome: Result<At<Vec<Result<Answered>>>> = again_with(&reads, || async {
            let view = self.view_of(ctx, how.freshness, &reads).await?;
            let mut checker = Checker::open(self, ctx, &view, permissions::CHECK).await?.with_people(&people);
            if reads.is_recording() {
                checker.prepare_questions(asked).await?;
            }
            let mut value = Vec::with_capacity(asked.len());
            for question in asked {
                let answer = match question {
                    Ok(question) => checker.answer(question, how.with_reason).await,
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
        .await;
        match &outcome {
            Ok(at) => self.count_decisions(began, at.value.iter().map(|one| one.as_ref().map(|one| one.decision))),
            Err(error) => self.count_decisions(began, asked.iter().map(|_| Err(error))),
        }
        outcome
    }

    /// Whom the e-mail addresses in questions stand for.
    async fn people(&self, ctx: &Ctx, asked: impl Iterator<Item = &Asked>) -> Result<People> {
        let named = |asked: &Asked| {
            let subject = match &asked.about {
                About::Principal(handle) => Some(handle.clone()),
                About::AccessToken(_) => None,
            };
            [subject, asked.owner.clone()]
        };
        let identities = asked.flat_map(named).flatten().filter_map(|handle| identity_of(&handle));
        let identities: std::collections::BTreeSet<_> = identities.collect();
        let identities: Vec<_> = identities.into_iter().collect();
        Ok(self.store.loads(ctx.realm).users_by_identities(&identities).await?)
    }
}
