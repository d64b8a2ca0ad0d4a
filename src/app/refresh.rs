//! Keeping a session going: a refresh token for the next two tokens.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::{Error, Result};
use super::facts::Facts;
use super::session::SignedIn;
use super::write::Change;
use super::{App, Ctx, Reason, Secret};
use crate::crypto::refresh_token::Proven;
use crate::domain::event::Event;
use crate::domain::session::{Exchange, PUBLIC_CLIENT, Session};

/// What came of a token that was proven.
#[derive(Serialize, Deserialize)]
enum Refreshed {
    Goes(SignedIn),
    /// It was exchanged before: the family has to end.
    Replayed,
}

impl App {
    /// Exchanges a refresh token.
    ///
    /// Who goes on does not wait for changes of the realm: whatever changes the account raises its epoch, which the new
    /// tokens carry, and so ends what begins beside it. Ending a family does wait, since it changes what checks answer.
    ///
    /// # Errors
    /// TOKEN_INVALID; of a token that counts, the first failing gate, in the realm's words; UNAVAILABLE.
    pub async fn refresh_session(&self, ctx: &Ctx, token: &Secret<String>) -> Result<SignedIn> {
        let token = Proven::read(token.expose(), &self.keys, ctx.realm).ok_or_else(refused)?;
        match self.append(ctx, async |change: &mut Change<'_>| change.refresh(&token).await).await?.value {
            Refreshed::Goes(tokens) => Ok(tokens),
            Refreshed::Replayed => {
                self.write(ctx, async |change: &mut Change<'_>| change.end_family(&token).await).await?;
                Err(refused())
            }
        }
    }
}

impl Change<'_> {
    async fn refresh(&mut self, token: &Proven) -> Result<Refreshed> {
        loop {
            let (session, comes) = self.exchange(token).await?;
            match comes {
                Exchange::Refused => return Err(refused()),
                Exchange::Replay => return Ok(Refreshed::Replayed),
                Exchange::Rotate if session.token_hash != Some(token.hash) => return Err(refused()),
                Exchange::Rotate | Exchange::Repeat => self.require_open(&session).await?,
            }
            if comes == Exchange::Repeat {
                let tokens = self.tokens_again(&session)?.ok_or_else(refused)?;
                let Session { id: session, user, .. } = session;
                self.record(Event::RefreshRepeated { user, session, generation: token.generation });
                return Ok(Refreshed::Goes(tokens));
            }
            let (next, tokens) = self.next_generation(&session)?;
            // Who was first has moved the generation on, or ended the session: what is read then is another case.
            if self.rows().rotate_session(&next).await? {
                if session.is_first_refresh_of_the_hour(self.ctx.now) {
                    let Session { id: session, user, generation, .. } = next;
                    let organization = self.organization_of_record(user).await?;
                    self.record(Event::SessionRefreshed { user, session, generation, organization });
                }
                return Ok(Refreshed::Goes(tokens));
            }
        }
    }

    /// Ends the family of a token that was exchanged before, unless somebody was first.
    async fn end_family(&mut self, token: &Proven) -> Result<()> {
        let (session, comes) = self.exchange(token).await?;
        if comes == Exchange::Replay && self.rows().end_session(session.id, self.ctx.now).await? {
            let Session { id: session, user, .. } = session;
            self.record(Event::RefreshTokenReplayed { user, session, generation: token.generation });
        }
        Ok(())
    }

    /// The session of a token as it is now, and what comes of the token.
    async fn exchange(&self, token: &Proven) -> Result<(Session, Exchange)> {
        let session = self.rows().session(token.session).await?.ok_or_else(refused)?;
        if session.client != PUBLIC_CLIENT && session.client != self.client() {
            return Err(refused());
        }
        let subject = self.principal(session.user.into()).await?.ok_or_else(refused)?;
        let retry = Duration::from_secs(self.catalogue().policy.refresh_retry_seconds.into());
        let comes = session.exchange(token.generation, subject.principal().session_epoch, retry, self.ctx.now);
        Ok((session, comes))
    }

    /// Requires that no gate keeps the user out. That the account is deleted is not told.
    async fn require_open(&self, session: &Session) -> Result<()> {
        let subject = self.principal(session.user.into()).await?.ok_or_else(refused)?;
        self.require_no_gate(&subject, refused).await
    }
}

fn refused() -> Error {
    Error::refused(Reason::TokenInvalid, "the refresh token is unknown, used, expired or ended")
}
