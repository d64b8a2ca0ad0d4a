//! What a session is carried by: an access token, and the refresh token that gets the next two.
//!
//! Both are a function of the session's row and the realm's keys, so that an answer that was lost can be given again.

use super::credential::issuer;
use super::error::{Error, Result};
use super::facts::Facts;
use super::session::SignedIn;
use super::write::Change;
use super::{ACCESS_TOKEN_TTL, Secret};
use crate::crypto::access_token::AccessClaims;
use crate::crypto::refresh_token::{self, Binding};
use crate::domain::session::Session;
use crate::domain::time::Timestamp;

impl Change<'_> {
    /// A session's next generation, and its tokens.
    pub(super) fn next_generation(&self, session: &Session) -> Result<(Session, SignedIn)> {
        let (generation, rotated_at) = (session.generation + 1, Some(self.ctx.now));
        self.with_token(Session { generation, rotated_at, ..session.clone() })
    }

    /// The session as it is kept, and its tokens.
    pub(super) fn with_token(&self, session: Session) -> Result<(Session, SignedIn)> {
        let token = self.binding(&session).derive(&self.app.keys);
        let kept = Session { token_hash: Some(refresh_token::hash(token.expose())), ..session };
        let tokens = self.signed_in(&kept, token)?;
        Ok((kept, tokens))
    }

    /// The tokens of a session's newest generation, once more; `None` if they were made under a root key that is gone.
    pub(super) fn tokens_again(&self, session: &Session) -> Result<Option<SignedIn>> {
        let hash = session.token_hash.as_ref();
        let token = hash.and_then(|hash| self.binding(session).derive_again(&self.app.keys, hash));
        token.map(|token| self.signed_in(session, token)).transpose()
    }

    fn signed_in(&self, session: &Session, refresh_token: Secret<String>) -> Result<SignedIn> {
        let issued_at = session.last_used_at();
        let expires_at = issued_at.after(ACCESS_TOKEN_TTL).min(session.expires_at);
        Ok(SignedIn {
            access_token: Some(self.access_token(session, issued_at, expires_at)?),
            expires_at,
            refresh_token: Some(refresh_token),
            refresh_expires_at: session.expires_at,
        })
    }

    fn access_token(&self, session: &Session, iat: Timestamp, exp: Timestamp) -> Result<Secret<String>> {
        let catalogue = self.catalogue();
        let claims = AccessClaims {
            iss: issuer(catalogue),
            sub: session.user.into(),
            aud: catalogue.policy.audience.clone(),
            client_id: session.client.clone(),
            iat,
            exp,
            jti: self.binding(session).access_token_id(),
            sid: session.id,
            epoch: session.epoch,
            realm: catalogue.realm,
            act: None,
        };
        let key = self.realm_keys().keys.last().ok_or_else(|| Error::internal("the realm has no signing key"))?;
        Ok(Secret::new(claims.sign(&key.signing).map_err(Error::internal)?))
    }

    fn binding(&self, session: &Session) -> Binding {
        Binding { realm: self.ctx.realm, session: session.id, generation: session.generation }
    }
}
