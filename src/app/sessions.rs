//! Which sessions there are, and ending them: one's own, and other people's.

use serde::{Deserialize, Serialize};

use super::error::{Error, Result};
use super::facts::Facts;
use super::guard::{Guard, Through, permissions};
use super::paging::{Listing, Weighed};
use super::read::again;
use super::user::find_user;
use super::write::{Change, Done};
use super::{Actor, App, Ctx, Name, Page, Paging, Secret};
use crate::cache::{Freshness, Subject};
use crate::crypto::refresh_token::Proven;
use crate::domain::account::User;
use crate::domain::event::Event;
use crate::domain::handle::Handle;
use crate::domain::ids::{PrincipalId, SessionId, UserId};
use crate::domain::session::Session;
use crate::domain::snapshot::Principal;
use crate::store::{LiveSessions, ReadRows};

/// A session with the name of whose it is.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SessionView {
    pub session: Session,
    pub user: Name,
    /// In whatever way.
    pub ended: bool,
    /// Whether it is the one that calls.
    pub current: bool,
}

/// `None` = one's own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListSessions {
    pub user: Option<Handle>,
    pub page: Paging,
}

/// `None` = one's own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RevokeAllSessions {
    pub user: Option<Handle>,
    /// All but the one that calls.
    pub keep_current: bool,
}

impl App {
    /// A page of a user's live sessions, the newest first.
    ///
    /// # Errors
    /// PAGE_TOKEN_INVALID, NOT_FOUND, a nearest miss.
    pub async fn list_sessions<T: Weighed + Send>(
        &self,
        ctx: &Ctx,
        cmd: &ListSessions,
        print: impl Fn(SessionView) -> T + Sync,
    ) -> Result<Page<T>> {
        let handle = whose(ctx, cmd.user.as_ref())?;
        again(|| async {
            let view = self.view(ctx, Freshness::Latest).await?;
            let mut guard = self.guard(ctx, &view).await?;
            let rows = self.store.rows(ctx.realm);
            let user = find_user(rows, &handle).await?.ok_or_else(|| Error::not_found("user"))?;
            let subject = view.principal(user.id.into()).await?.ok_or_else(|| Error::not_found("user"))?;
            require_to_read(&mut guard, subject.principal()).await?;
            let live = LiveSessions { user: user.id, epoch: user.session_epoch, now: ctx.now };
            self.page(ctx, &cmd.page, Sessions { rows, ctx, live, user }, &print).await
        })
        .await
    }

    /// Ends a session by one of its refresh tokens, or else the one that calls. `None` if the token is not one of ours,
    /// for which nobody has to wait.
    ///
    /// # Errors
    /// CREDENTIAL_MISSING, INVALID_FIELDS without a token and a session.
    pub async fn sign_out(&self, ctx: &Ctx, token: Option<&Secret<String>>) -> Result<Option<Done<()>>> {
        let session = match (token, ctx.actor) {
            (Some(token), _) => match Proven::read(token.expose(), &self.keys, ctx.realm) {
                Some(token) => token.session,
                None => return Ok(None),
            },
            (None, Actor::Principal { session: Some(session), .. }) => session,
            (None, _) => {
                ctx.actor_id()?;
                return Err(Error::field("refresh_token", "is required of who calls without a session"));
            }
        };
        let done = self.write(ctx, async |change: &mut Change<'_>| {
            let Some(session) = change.rows().session(session).await? else { return Ok(()) };
            let user = change.principal(session.user.into()).await?;
            let epoch = user.map(|user| user.principal().session_epoch);
            if epoch.is_some_and(|epoch| session.is_live(epoch, change.ctx.now)) {
                change.rows().end_session(session.id, change.ctx.now).await?;
                change.record(Event::SignedOut { user: session.user, session: session.id });
            }
            Ok(())
        });
        done.await.map(Some)
    }

    /// Ends one session.
    ///
    /// # Errors
    /// NOT_FOUND, a nearest miss, REACHES_UP.
    pub async fn revoke_session(&self, ctx: &Ctx, id: SessionId) -> Result<Done<SessionView>> {
        self.write(ctx, async |change: &mut Change<'_>| {
            let found = change.rows().session(id).await?;
            let mut session = found.ok_or_else(|| Error::not_found("session"))?;
            let (user, subject) = change.found_user(&Handle::Id(session.user.0), "session").await?;
            change.require_may_end(&subject, "session").await?;
            if session.is_live(user.session_epoch, change.ctx.now) {
                session.ended_at = Some(change.ctx.now);
                change.rows().end_session(session.id, change.ctx.now).await?;
                let organization = change.organization_of_record(user.id).await?;
                change.record(Event::SessionRevoked { user: user.id, session: session.id, organization });
            }
            Ok(shown(ctx, session, Name { person: true, handle: user.email }, user.session_epoch))
        })
        .await
    }

    /// Ends every session of a user, or all but the one that calls. Answers how many.
    ///
    /// All of them end with the account's epoch, which ends also what begins meanwhile. To keep one, the others end one
    /// by one, and what begins meanwhile stays.
    ///
    /// # Errors
    /// As [`App::revoke_session`].
    pub async fn revoke_all_sessions(&self, ctx: &Ctx, cmd: &RevokeAllSessions) -> Result<Done<u64>> {
        let handle = whose(ctx, cmd.user.as_ref())?;
        self.write(ctx, async |change: &mut Change<'_>| {
            let (mut user, subject) = change.found_user(&handle, "user").await?;
            change.require_may_end(&subject, "user").await?;
            let live = LiveSessions { user: user.id, epoch: user.session_epoch, now: change.ctx.now };
            let kept = current(ctx, user.id).filter(|_| cmd.keep_current);
            let ended = match kept {
                Some(kept) => change.rows().end_sessions_but(kept, live).await?,
                None => change.rows().count_sessions(live).await?,
            };
            if ended > 0 {
                if kept.is_none() {
                    user.session_epoch += 1;
                    change.save_user(&mut user).await?;
                }
                let organization = change.organization_of_record(user.id).await?;
                change.record(Event::SessionsRevoked { user: user.id, organization, ended, kept });
            }
            Ok(ended)
        })
        .await
    }
}

/// The live sessions of a user, the newest first.
struct Sessions<'a> {
    rows: ReadRows<'a>,
    ctx: &'a Ctx,
    live: LiveSessions,
    user: User,
}

impl Listing for Sessions<'_> {
    type At = SessionId;
    type Row = Session;
    type Item = SessionView;

    async fn read(&mut self, before: Option<&SessionId>, limit: u64) -> Result<Vec<Session>> {
        Ok(self.rows.list_sessions(self.live, before.copied(), limit).await?)
    }

    fn at(session: &Session) -> SessionId {
        session.id
    }

    async fn view(&mut self, sessions: Vec<Session>) -> Result<Vec<SessionView>> {
        let name = Name { person: true, handle: self.user.email.clone() };
        let view = |session| shown(self.ctx, session, name.clone(), self.user.session_epoch);
        Ok(sessions.into_iter().map(view).collect())
    }
}

impl Change<'_> {
    /// Requires that the caller may end this user's sessions: their own, or over the whole account and not above the
    /// caller. Of whom the caller can't read nothing is told.
    async fn require_may_end(&self, subject: &Subject, field: &str) -> Result<()> {
        let (mut guard, target) = (self.guard().await?, subject.principal());
        if guard.actor.principal().id == target.id {
            return Ok(());
        }
        let reaches = guard.allows_in_one(permissions::END_SESSIONS, target, Through::Active).await?;
        if !reaches && !guard.reads_user(target).await? {
            return Err(Error::not_found(field));
        }
        guard.require_over_account(permissions::END_SESSIONS, target).await?;
        guard.require_not_reaching_up(target, None).await
    }
}

/// Requires that the caller may see this user's sessions: their own, or where it may end some.
async fn require_to_read<F: Facts>(guard: &mut Guard<'_, F>, target: &Principal) -> Result<()>
where
    Error: From<F::Fault>,
{
    if guard.actor.principal().id == target.id
        || guard.allows_in_one(permissions::END_SESSIONS, target, Through::Active).await?
    {
        return Ok(());
    }
    if !guard.reads_user(target).await? {
        return Err(Error::not_found("user"));
    }
    guard.require_over_account(permissions::END_SESSIONS, target).await
}

/// The user that a call is about: the one named, or who calls.
fn whose(ctx: &Ctx, user: Option<&Handle>) -> Result<Handle> {
    Ok(match user {
        Some(handle) => handle.clone(),
        None => Handle::Id(ctx.actor_id()?.0),
    })
}

/// The session that calls, if it is one of this user's.
fn current(ctx: &Ctx, user: UserId) -> Option<SessionId> {
    match ctx.actor {
        Actor::Principal { id, session } if id == PrincipalId::from(user) => session,
        Actor::Principal { .. } | Actor::Platform { .. } | Actor::Anonymous => None,
    }
}

fn shown(ctx: &Ctx, session: Session, user: Name, epoch: i64) -> SessionView {
    let current = current(ctx, session.user) == Some(session.id);
    SessionView { ended: !session.is_live(epoch, ctx.now), current, user, session }
}
