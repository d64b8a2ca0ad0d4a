//! Sessions and tokens on the wire: the conversions of `SessionService` that concern them.

use super::convert::{Fields, instant, principal};
use super::pb;
use crate::app::{Error, Introspected, ListSessions, OfSession, RevokeAllSessions, SessionView, SignedIn};
use crate::domain::handle::Named;
use crate::domain::session::Session;
use crate::domain::time::Timestamp;

/// RFC 6750: whoever bears the token is believed.
const TOKEN_TYPE: &str = "Bearer";

/// What SignIn and RefreshSession answer alike.
pub(super) struct Tokens {
    pub(super) access_token: String,
    pub(super) token_type: String,
    pub(super) expires_in: i32,
    pub(super) expire_time: Option<prost_types::Timestamp>,
    pub(super) refresh_token: String,
    pub(super) refresh_expire_time: Option<prost_types::Timestamp>,
}

impl Tokens {
    /// Tokens on the wire.
    pub(super) fn of(tokens: SignedIn, now: Timestamp) -> Self {
        let SignedIn { access_token, expires_at, refresh_token, refresh_expires_at } = tokens;
        Self {
            access_token: access_token.map(|token| token.expose().clone()).unwrap_or_default(),
            token_type: TOKEN_TYPE.to_owned(),
            expires_in: i32::try_from(expires_at.since(now).as_secs()).unwrap_or(i32::MAX),
            expire_time: Some(instant(expires_at)),
            refresh_token: refresh_token.map(|token| token.expose().clone()).unwrap_or_default(),
            refresh_expire_time: Some(instant(refresh_expires_at)),
        }
    }
}

pub(super) fn list(request: pb::ListSessionsRequest) -> Result<ListSessions, Error> {
    let mut fields = Fields::default();
    let query = pb::ListSessionsRequest { page_size: 0, page_token: String::new(), ..request.clone() };
    let pb::ListSessionsRequest { user, page_size, page_token } = request;
    let user = fields.optional_handle(Named::User, "user", &user);
    let page = fields.page(page_size, page_token, &query);
    fields.finish(ListSessions { user, page })
}

pub(super) fn revoke_all(
    mut fields: Fields,
    request: &pb::RevokeAllSessionsRequest,
) -> Result<RevokeAllSessions, Error> {
    let pb::RevokeAllSessionsRequest { user, keep_current, request_id: _ } = request;
    let user = fields.optional_handle(Named::User, "user", user);
    fields.finish(RevokeAllSessions { user, keep_current: *keep_current })
}

/// A session on the wire.
pub(super) fn session(view: SessionView) -> pb::Session {
    let SessionView { session, user: name, ended, current } = view;
    let last_used_at = session.last_used_at();
    let Session {
        id,
        user,
        client,
        epoch: _,
        created_at,
        expires_at,
        ended_at,
        generation: _,
        rotated_at: _,
        token_hash: _,
    } = session;
    pb::Session {
        id: id.to_string(),
        user: Some(principal(user.into(), Some(&name))),
        client_id: client,
        create_time: Some(instant(created_at)),
        last_used_time: Some(instant(last_used_at)),
        expire_time: Some(instant(expires_at)),
        ended,
        end_time: ended_at.map(instant),
        current,
    }
}

/// What a token says; nothing of one that does not count.
pub(super) fn introspected(found: Option<Introspected>) -> pb::IntrospectTokenResponse {
    let Some(found) = found else { return pb::IntrospectTokenResponse::default() };
    let Introspected { subject, is_user, client, issuer, realm, expires_at, session } = found;
    let kind = if is_user { pb::PrincipalKind::User } else { pb::PrincipalKind::ServiceAccount };
    let (aud, iat, jti, sid, act) = match session {
        Some(OfSession { audience, issued_at, token, session, impersonator }) => {
            let act = impersonator.map(|sub| pb::TokenActor { sub: sub.to_string() });
            (audience, seconds(issued_at), token.to_string(), session.to_string(), act)
        }
        None => (String::new(), 0, String::new(), String::new(), None),
    };
    pb::IntrospectTokenResponse {
        active: true,
        token_type: TOKEN_TYPE.to_owned(),
        sub: subject.to_string(),
        principal_kind: kind.into(),
        client_id: client,
        iss: issuer,
        aud,
        exp: expires_at.map_or(0, seconds),
        iat,
        jti,
        sid,
        realm: realm.to_string(),
        act,
    }
}

/// An instant as the RFCs print it: whole seconds.
fn seconds(at: Timestamp) -> u32 {
    u32::try_from(at.0.div_euclid(1_000_000)).unwrap_or(u32::MAX)
}
