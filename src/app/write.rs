//! The only road to a mutation: one transaction, and everything that its events imply.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::admission::credential_ended;
use super::clock::Clock;
use super::error::{Error, Result};
use super::facts::Facts;
use super::guard::Guard;
use super::{Actor, App, Ctx, RealmKeys, Reason, Repeat};
use crate::cache::{RealmCatalogue, Subject};
use crate::crypto::random_mark;
use crate::crypto::root_key::Label;
use crate::domain::audit::{AuditLine, Outcome};
use crate::domain::catalogue::Catalogue;
use crate::domain::change::{Committed, Key};
use crate::domain::decision::CompiledPrincipal;
use crate::domain::event::Event;
use crate::domain::ids::{EventId, MessageId, OrganizationId, PrincipalId, RealmId, UserId};
use crate::domain::message::{DAY, Mail};
use crate::domain::realm::Position;
use crate::domain::snapshot::{Organization, Principal};
use crate::domain::time::Timestamp;
use crate::store::{self, Answer, Constraint, Lock, Tx, TxRows};

/// Who waited for their turn for longer is asked again for the credential that they came with.
const UNDOUBTED: Duration = Duration::from_millis(100);

/// A change that was made, or had been made before under the same request id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Done<T> {
    pub value: T,
    pub realm: RealmId,
    /// What a consistency token of this change names.
    pub position: Position,
    /// The answer is the first one's; a secret in it was delivered then.
    pub replayed: bool,
}

/// A change under way: its rows, its facts at the locked revision, the events recorded so far.
pub(crate) struct Change<'a> {
    pub(crate) app: &'a App,
    pub(crate) ctx: &'a Ctx,
    tx: Tx,
    realm: Arc<RealmCatalogue<RealmKeys>>,
    subjects: Mutex<HashMap<PrincipalId, Option<Subject>>>,
    organizations: Mutex<HashMap<OrganizationId, Option<Arc<Organization>>>>,
    events: Vec<Event>,
    /// What the log of another realm is told.
    elsewhere: Vec<(RealmId, Event)>,
    /// Whether the call was made before, under the same request id.
    repeated: bool,
}

impl App {
    /// Tells a story that can change decisions: guards, rows, events, all at one locked revision, or none of it.
    ///
    /// # Errors
    /// Those of the story; OVERLOADED if this caller has too many changes under way; DEADLINE_EXCEEDED, and then nothing
    /// was made; UNAVAILABLE if it was not the call's turn in time, or the database can't be asked, in which case the
    /// change may or may not have been made.
    pub(crate) async fn write<T, F>(&self, ctx: &Ctx, story: F) -> Result<Done<T>>
    where
        F: AsyncFnOnce(&mut Change<'_>) -> Result<T>,
        T: Serialize + DeserializeOwned,
    {
        self.change(ctx, Lock::Realm, story).await
    }

    /// Tells a story that can't change a decision: registering, signing in. It does not wait for others of the realm.
    ///
    /// # Errors
    /// As [`App::write`].
    pub(crate) async fn append<T, F>(&self, ctx: &Ctx, story: F) -> Result<Done<T>>
    where
        F: AsyncFnOnce(&mut Change<'_>) -> Result<T>,
        T: Serialize + DeserializeOwned,
    {
        self.change(ctx, Lock::Nothing, story).await
    }

    async fn change<T, F>(&self, ctx: &Ctx, lock: Lock, story: F) -> Result<Done<T>>
    where
        F: AsyncFnOnce(&mut Change<'_>) -> Result<T>,
        T: Serialize + DeserializeOwned,
    {
        let began = Clock::elapsed();
        let _counted = self.under_way.one_more(ctx)?;
        let tx = ctx.in_time(Box::pin(self.store.begin(ctx.realm, lock))).await??;
        let waited = Clock::elapsed().saturating_sub(began);
        // Rules go by the time of the change, not by that at which its caller began to wait.
        let ctx = &Ctx { now: self.clock.now(), ..ctx.clone() };
        let mut change = Change::begin(self, ctx, tx).await?;
        if waited > UNDOUBTED {
            change.require_credential().await?;
        }
        let earlier = change.earlier_answer().await?;
        change.repeated = earlier.is_some();
        // Boxed: a bound moves what it bounds.
        let told = ctx.in_time(Box::pin(story(&mut change))).await.flatten();
        let outcome = match (told, earlier) {
            // Who may is decided again also for a repeated call; all else is the first answer's.
            (Err(error), Some(_)) if error.is_about_access() || error.is_undecided() => {
                self.refuse(change, error).await
            }
            (_, Some(earlier)) => self.replay(change, &earlier).await,
            (Ok(value), None) => self.commit(change, value).await,
            (Err(error), None) => self.refuse(change, error).await,
        };
        self.writes.record((Clock::elapsed() - began).as_secs_f64());
        outcome
    }

    async fn commit<T: Serialize>(&self, change: Change<'_>, value: T) -> Result<Done<T>> {
        let (keys, mails) = change.ctx.in_time(Box::pin(self.write_consequences(&change, &value))).await??;
        let Change { ctx, tx, .. } = change;
        super::failpoint::reach_in("write.before_commit", ctx.realm).await;
        // Nothing is made once its caller was told that it took too long.
        ctx.require_time()?;
        // Whatever happens between here and the application below, nothing kept is used before the log was read.
        let unsettled = Unsettled(Some(self));
        let committed = match tx.commit(keys, random_mark(), ctx.now).await {
            Ok(committed) => committed,
            Err(error) => {
                self.snapshots.look_again().await;
                return Err(error.into());
            }
        };
        super::failpoint::reach_in("write.after_commit", ctx.realm).await;
        self.snapshots.committed(&committed).await;
        unsettled.settle();
        if mails > 0 {
            self.mail_waits.notify_one();
        }
        Ok(Done { value, realm: ctx.realm, position: committed.position, replayed: false })
    }

    fn new_message(&self) -> MessageId {
        MessageId(self.clock.new_id())
    }

    /// Writes what the events of a change imply. Answers which keys they make stale, and how many mails they send.
    async fn write_consequences<T: Serialize>(&self, change: &Change<'_>, value: &T) -> Result<(Vec<Key>, usize)> {
        let Change { ctx, tx, events, elsewhere, .. } = change;
        let rows = tx.rows();
        let lines: Vec<_> = events.iter().map(|event| done_line(self, ctx, event)).collect();
        rows.append_audit(&lines).await?;
        let mut mails = vec![];
        for mail in events.iter().flat_map(Event::mails) {
            if is_wanted(&rows, &mail, ctx).await? {
                mails.push((self.new_message(), mail));
            }
        }
        rows.enqueue(&mails, ctx.now).await?;
        for (realm, event) in elsewhere {
            tx.rows_of(*realm).append_audit(&[done_line(self, ctx, event)]).await?;
        }
        if let Some((actor, repeat)) = ctx.actor.id().zip(ctx.repeat.as_ref()) {
            rows.keep_answer(&answer(self, ctx, actor, repeat, value, tx.position())?).await?;
        }
        Ok((events.iter().flat_map(Event::stale).collect(), mails.len()))
    }

    async fn replay<T: DeserializeOwned>(&self, change: Change<'_>, earlier: &Answer) -> Result<Done<T>> {
        let (ctx, position) = (change.ctx, change.tx.position());
        change.tx.rollback().await;
        // The first call may have been made elsewhere: whoever asks after this answer sees what it did.
        let seen = Committed { realm: ctx.realm, position, before: position, keys: vec![] };
        self.snapshots.committed(&seen).await;
        let value = serde_json::from_str(&earlier.answer).map_err(Error::internal)?;
        Ok(Done { value, realm: ctx.realm, position, replayed: true })
    }

    async fn refuse<T>(&self, change: Change<'_>, error: Error) -> Result<T> {
        let ctx = change.ctx;
        change.tx.rollback().await;
        self.note_refusal(ctx, &error).await;
        Err(error)
    }

    /// Whether an answer was given to this very request. What is kept of requests is keyed: one may hold a password.
    fn is_of(&self, earlier: &Answer, realm: RealmId, repeat: &Repeat) -> bool {
        self.keys.proves(Label::RequestBody, &[realm.0.as_bytes(), &repeat.body_digest], &earlier.body_digest)
    }

    /// Leaves the audit event of a refused call by somebody who is known, in a transaction of its own; of an RPC that is
    /// refused to an account for the same reason again within a minute, the count. Of public calls, all are counted.
    pub(crate) async fn note_refusal(&self, ctx: &Ctx, error: &Error) {
        let noted = error.is_refusal() && !ctx.aimed.is_public();
        let Some(account) = ctx.actor.id().filter(|_| noted) else { return };
        if !self.is_first_refusal(ctx, account, error.reason()) {
            return;
        }
        if let Err(fault) = self.append_refusal(ctx, error.reason()).await {
            tracing::error!(error = &fault as &dyn std::error::Error, rpc = ctx.rpc, "a refusal was not audited");
        }
    }

    async fn append_refusal(&self, ctx: &Ctx, reason: Reason) -> store::Result<()> {
        let tx = self.store.begin(ctx.realm, Lock::Nothing).await?;
        let line = AuditLine {
            outcome: Outcome::Refused,
            reason: Some(reason.name().to_owned()),
            ..line(self, ctx, None, None, json!({}))
        };
        tx.rows().append_audit(&[line]).await?;
        tx.commit(vec![], random_mark(), ctx.now).await.map(drop)
    }
}

impl<'a> Change<'a> {
    async fn begin(app: &'a App, ctx: &'a Ctx, tx: Tx) -> Result<Self> {
        let rows = tx.rows();
        let has = async |position| rows.has_position(position).await;
        let realm = match app.snapshots.catalogue_for(ctx.realm, tx.position(), tx.catalogue_revision(), has).await? {
            Some(current) => current,
            None => {
                let (as_of, source, keys) = tx.rows().catalogue().await?;
                let extra = RealmKeys::open(&app.keys, ctx.realm, &keys);
                Arc::new(RealmCatalogue { as_of, catalogue: Catalogue::compile(source), extra })
            }
        };
        Ok(Self {
            app,
            ctx,
            tx,
            realm,
            subjects: Mutex::default(),
            organizations: Mutex::default(),
            events: vec![],
            elsewhere: vec![],
            repeated: false,
        })
    }

    /// The realm's rows, as this change sees them.
    pub(crate) fn rows(&self) -> TxRows<'_> {
        self.tx.rows()
    }

    /// The transaction, for what concerns another realm or the realm itself.
    pub(crate) fn tx(&self) -> &Tx {
        &self.tx
    }

    /// The realm's signing keys.
    pub(crate) fn realm_keys(&self) -> &RealmKeys {
        &self.realm.extra
    }

    /// Says that something happened. What follows from it is written at the commit.
    pub(crate) fn record(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Tells the log of a realm that this very change makes. Nothing else follows from it there.
    pub(crate) fn record_in(&mut self, realm: RealmId, event: Event) {
        self.elsewhere.push((realm, event));
    }

    /// Whether the call was made before, under the same request id, so that the first answer is given again. For a story
    /// that took away what it is about, and would not find it.
    pub(crate) fn is_repeated(&self) -> bool {
        self.repeated
    }

    /// The guard of the principal that acts.
    pub(crate) async fn guard(&self) -> Result<Guard<'_, Self>> {
        Ok(Guard::new(self, self.actor().await?, self.ctx.now))
    }

    /// Has a principal or an organization that this change wrote read again when it is next asked about.
    pub(crate) fn forget_facts(&mut self) {
        self.subjects.lock().clear();
        self.organizations.lock().clear();
    }

    /// The principal that acts, with its index.
    pub(crate) async fn actor(&self) -> Result<Subject> {
        match self.ctx.actor {
            Actor::Platform { id } => {
                Ok(Arc::new(CompiledPrincipal::platform_operator(id, self.ctx.realm, self.catalogue())))
            }
            Actor::Anonymous | Actor::Principal { .. } => {
                let id = self.ctx.actor_id()?;
                self.principal(id).await?.ok_or_else(|| Error::internal("the actor is gone"))
            }
        }
    }

    /// Has these principals at hand, in a handful of statements, for what is asked about each of them.
    pub(crate) async fn gather(&self, ids: impl IntoIterator<Item = PrincipalId>) -> Result<()> {
        let unknown: BTreeSet<_> = {
            let known = self.subjects.lock();
            ids.into_iter().filter(|id| !known.contains_key(id)).collect()
        };
        let unknown: Vec<_> = unknown.into_iter().collect();
        let loaded = self.tx.rows().principals(&unknown, self.ended_since()).await?;
        let mut known = self.subjects.lock();
        known.extend(
            unknown.into_iter().zip(loaded.into_iter().map(|read| read.value.map(|found| self.compiled(found)))),
        );
        Ok(())
    }

    fn compiled(&self, found: Principal) -> Subject {
        Arc::new(CompiledPrincipal::compile(Arc::new(found), self.catalogue()))
    }

    /// Since when ended sessions count: tokens of those that ended before have run out.
    pub(crate) fn ended_since(&self) -> Timestamp {
        self.ctx.now.before(2 * super::ACCESS_TOKEN_TTL)
    }

    /// Requires that the caller's credential still counts, on facts at the locked revision.
    async fn require_credential(&self) -> Result<()> {
        let Some(caller) = &self.ctx.caller else { return Ok(()) };
        if caller.expires_at.is_some_and(|at| at <= self.ctx.now) {
            return Err(credential_ended());
        }
        // A platform account lives in another realm than the one that is locked.
        if caller.realm != self.ctx.realm {
            return Ok(());
        }
        if let Some(key) = &caller.key
            && !self.rows().is_key_good(key).await?
        {
            return Err(credential_ended());
        }
        let subject = self.principal(caller.principal).await?.ok_or_else(credential_ended)?;
        if caller.is_held_by(&self.realm, subject.principal()) { Ok(()) } else { Err(credential_ended()) }
    }

    async fn earlier_answer(&self) -> Result<Option<Answer>> {
        let Some((actor, repeat)) = self.ctx.actor.id().zip(self.ctx.repeat.as_ref()) else { return Ok(None) };
        let earlier = self.tx.rows().answer(actor, self.ctx.rpc, &repeat.request_id).await?;
        match earlier {
            Some(earlier) if !self.app.is_of(&earlier, self.ctx.realm, repeat) => Err(Error::refused_with(
                Reason::RequestIdReused,
                "the request id was used for another request",
                vec![("request_id", repeat.request_id.clone())],
            )),
            earlier => Ok(earlier),
        }
    }
}

impl Facts for Change<'_> {
    type Fault = Error;

    fn catalogue(&self) -> &Catalogue {
        &self.realm.catalogue
    }

    async fn principal(&self, id: PrincipalId) -> Result<Option<Subject>> {
        if let Some(known) = self.subjects.lock().get(&id) {
            return Ok(known.clone());
        }
        let loaded = self.tx.rows().principal(id, self.ended_since()).await?.value;
        let subject = loaded.map(|found| self.compiled(found));
        self.subjects.lock().insert(id, subject.clone());
        Ok(subject)
    }

    async fn manager(&self, id: PrincipalId) -> Result<Option<UserId>> {
        if let Some(known) = self.subjects.lock().get(&id) {
            return Ok(known.as_ref().and_then(|subject| subject.principal().manager));
        }
        Ok(self.tx.rows().manager_of(UserId(id.0)).await?)
    }

    async fn organization(&self, id: OrganizationId) -> Result<Option<Arc<Organization>>> {
        if let Some(known) = self.organizations.lock().get(&id) {
            return Ok(known.clone());
        }
        let loaded = self.tx.rows().organization_facts(id).await?.value.map(Arc::new);
        self.organizations.lock().insert(id, loaded.clone());
        Ok(loaded)
    }
}

/// While it lives, a commit may have happened that this process has not applied.
struct Unsettled<'a>(Option<&'a App>);

impl Unsettled<'_> {
    fn settle(mut self) {
        self.0 = None;
    }
}

impl Drop for Unsettled<'_> {
    fn drop(&mut self) {
        if let Some(app) = self.0 {
            app.snapshots.distrust();
        }
    }
}

/// Whether a mailbox did not get as many of these mails lately as strangers may have it get.
async fn is_wanted(rows: &TxRows<'_>, mail: &Mail, ctx: &Ctx) -> Result<bool> {
    let Some((most, user)) = mail.template.most_a_day().zip(mail.user) else { return Ok(true) };
    Ok(rows.mails_made(user, mail.template, ctx.now.before(DAY)).await? < most)
}

fn answer<T: Serialize>(
    app: &App,
    ctx: &Ctx,
    actor: PrincipalId,
    repeat: &Repeat,
    value: &T,
    at: Position,
) -> Result<Answer> {
    Ok(Answer {
        actor,
        rpc: ctx.rpc.to_owned(),
        request_id: repeat.request_id.clone(),
        body_digest: app.keys.mac(Label::RequestBody, &[ctx.realm.0.as_bytes(), &repeat.body_digest]),
        answer: serde_json::to_string(value).map_err(Error::internal)?,
        revision: at.revision,
        created_at: ctx.now,
    })
}

/// The line of the log that an event leaves.
pub(super) fn done_line(app: &App, ctx: &Ctx, event: &Event) -> AuditLine {
    let facts = event.audit();
    let mut details = facts.details;
    details["event"] = facts.event.into();
    let line = line(app, ctx, facts.organization, facts.target, details);
    AuditLine { actor: line.actor.or(facts.actor), ..line }
}

fn line(
    app: &App,
    ctx: &Ctx,
    organization: Option<OrganizationId>,
    target: Option<uuid::Uuid>,
    details: serde_json::Value,
) -> AuditLine {
    AuditLine {
        id: EventId(app.clock.new_id()),
        at: ctx.now,
        action: ctx.rpc.to_owned(),
        organization,
        actor: ctx.actor.id(),
        impersonator: None,
        target,
        outcome: Outcome::Done,
        reason: None,
        details,
        peer: ctx.peer.map(|peer| peer.to_string()),
        request_id: Some(ctx.call.to_string()),
        trace_id: ctx.trace_id.clone(),
    }
}

/// Turns the violation of a uniqueness into the caller's refusal; other faults stay what they are.
pub(crate) fn taken<T>(result: store::Result<T>, constraint: Constraint, what: &str, value: &str) -> Result<T> {
    match result {
        Err(store::Error::Conflict(found)) if found == constraint => Err(Error::refused_with(
            Reason::AlreadyExists,
            format!("{what} {value:?} is taken"),
            vec![("field", what.to_owned())],
        )),
        other => Ok(other?),
    }
}
