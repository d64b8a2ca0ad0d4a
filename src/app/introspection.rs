//! What a token says, and whether it counts: for who can't or won't verify it.
//!
//! Asks the same snapshots as a check, so that it knows of a revocation as soon as one does.

use uuid::Uuid;

use super::admission::gates;
use super::credential::{Caller, issuer, verify};
use super::error::Result;
use super::guard::{Guard, permissions};
use super::read::again;
use super::{App, Ctx, Freshness, Record, Secret};
use crate::cache::View;
use crate::crypto::access_token::{self, AccessClaims};
use crate::crypto::api_key;
use crate::domain::ids::{PrincipalId, RealmId, SessionId};
use crate::domain::snapshot::{Principal, PrincipalKind};
use crate::domain::time::Timestamp;

/// A token that counts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Introspected {
    pub subject: PrincipalId,
    pub is_user: bool,
    /// Who got it: a service account, or `public`.
    pub client: String,
    pub issuer: String,
    pub realm: RealmId,
    pub expires_at: Option<Timestamp>,
    /// Of an access token.
    pub session: Option<OfSession>,
}

/// What an access token says beyond an API key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OfSession {
    pub audience: String,
    pub issued_at: Timestamp,
    pub token: Uuid,
    pub session: SessionId,
    /// Who really acts.
    pub impersonator: Option<PrincipalId>,
}

impl App {
    /// Says what a token says; `None` if it does not count, or is not the caller's to ask about.
    ///
    /// # Errors
    /// UNAVAILABLE if the freshness asked for can't be had.
    pub async fn introspect(
        &self,
        ctx: &Ctx,
        token: &Secret<String>,
        freshness: Freshness,
    ) -> Result<Option<Introspected>> {
        again(|| async {
            let view = self.view(ctx, freshness).await?;
            let mut guard = self.guard(ctx, &view).await?;
            let Some((caller, claims)) = self.read_token(ctx, &view, token.expose()).await? else { return Ok(None) };
            let Some(subject) = view.principal(caller.principal).await? else { return Ok(None) };
            let open = gates(&view, &subject, ctx.now).await?.is_empty();
            let counts = open && caller.still_holds(view.realm(), subject.principal());
            if !counts || !may_know(&mut guard, subject.principal()).await? {
                return Ok(None);
            }
            Ok(Some(Introspected {
                subject: caller.principal,
                is_user: subject.principal().is_user(),
                client: claims.as_ref().map_or_else(|| caller.principal.to_string(), |said| said.client_id.clone()),
                issuer: issuer(view.catalogue()),
                realm: caller.realm,
                expires_at: caller.expires_at,
                session: claims.map(of_session),
            }))
        })
        .await
    }

    /// Whom a token of the realm stands for, and what it says if it is an access token.
    async fn read_token(
        &self,
        ctx: &Ctx,
        view: &View<'_, Record>,
        token: &str,
    ) -> Result<Option<(Caller, Option<AccessClaims>)>> {
        if token.starts_with(api_key::PREFIX) {
            let caller = self.api_key(token, ctx.peer).await?.filter(|caller| caller.realm == ctx.realm);
            let lives = |caller: &Caller| caller.expires_at.is_none_or(|at| ctx.now < at);
            return Ok(caller.filter(lives).map(|caller| (caller, None)));
        }
        let Ok(unverified) = access_token::unverified(token) else { return Ok(None) };
        let claims = verify(token, view.catalogue(), &view.realm().extra, ctx.now);
        Ok(claims.map(|claims| (Caller::of_token(&claims, unverified.kid), Some(claims))))
    }
}

/// Whether the caller may check where the subject belongs: in one organization of its, or realm-wide. Of others it is
/// not told that there is such a token.
async fn may_know(guard: &mut Guard<'_, View<'_, Record>>, subject: &Principal) -> Result<bool> {
    if guard.allows(permissions::CHECK, None, None).await? {
        return Ok(true);
    }
    let of_account = match subject.kind {
        PrincipalKind::User(_) => None,
        PrincipalKind::ServiceAccount { organization, disabled: _ } => organization,
    };
    for organization in subject.active_memberships().map(|held| held.organization).chain(of_account) {
        if guard.allows(permissions::CHECK, Some(organization), None).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn of_session(claims: AccessClaims) -> OfSession {
    let AccessClaims { iss: _, sub: _, aud, client_id: _, iat, exp: _, jti, sid, epoch: _, realm: _, act } = claims;
    OfSession { audience: aud, issued_at: iat, token: jti, session: sid, impersonator: act.map(|act| act.sub) }
}
