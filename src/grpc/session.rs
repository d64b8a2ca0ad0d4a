//! `SessionService`.

use tonic::{Request, Response, Status};

use super::api::{Api, Called};
use super::convert::{Fields, instant};
use super::password;
use super::pb::{self, get_me_response::Principal, session_service_server::SessionService};
use super::registration::failing;
use super::service_account::service_account;
use super::sessions::{self, Tokens, introspected, session};
use super::user::shown;
use crate::app::{Entered, Jwk, Me, Secret, SignIn, SigningKeys, Who};

#[tonic::async_trait]
impl SessionService for Api {
    async fn sign_in(&self, request: Request<pb::SignInRequest>) -> Result<Response<pb::SignInResponse>, Status> {
        let (called, pb::SignInRequest { email, password }) = Called::new(request)?;
        let command = SignIn { email, password: Secret::new(password) };
        let done = called.answer(self.app.sign_in(&called.ctx, &command).await)?;
        Ok(Response::new(match done.value {
            Entered::Session(signed_in) => password::entered(signed_in, called.ctx.now),
            Entered::MustChange(must_change) => password::must_change(must_change),
        }))
    }

    async fn change_password(
        &self,
        request: Request<pb::ChangePasswordRequest>,
    ) -> Result<Response<pb::ChangePasswordResponse>, Status> {
        password::change(self, request).await
    }

    async fn request_password_reset(
        &self,
        request: Request<pb::RequestPasswordResetRequest>,
    ) -> Result<Response<pb::RequestPasswordResetResponse>, Status> {
        password::request_reset(self, request).await
    }

    async fn reset_password(
        &self,
        request: Request<pb::ResetPasswordRequest>,
    ) -> Result<Response<pb::ResetPasswordResponse>, Status> {
        password::reset(self, request).await
    }

    async fn refresh_session(
        &self,
        request: Request<pb::RefreshSessionRequest>,
    ) -> Result<Response<pb::RefreshSessionResponse>, Status> {
        let (called, pb::RefreshSessionRequest { refresh_token }) = Called::new(request)?;
        let tokens = called.answer(self.app.refresh_session(&called.ctx, &Secret::new(refresh_token)).await)?;
        let Tokens { access_token, token_type, expires_in, expire_time, refresh_token, refresh_expire_time } =
            Tokens::of(tokens, called.ctx.now);
        Ok(Response::new(pb::RefreshSessionResponse {
            access_token,
            token_type,
            expires_in,
            expire_time,
            refresh_token,
            refresh_expire_time,
        }))
    }

    async fn sign_out(&self, request: Request<pb::SignOutRequest>) -> Result<Response<pb::SignOutResponse>, Status> {
        let (called, pb::SignOutRequest { refresh_token }) = Called::new(request)?;
        let token = Some(refresh_token).filter(|token| !token.is_empty()).map(Secret::new);
        let done = called.answer(self.app.sign_out(&called.ctx, token.as_ref()).await)?;
        let consistency_token = done.map(|done| self.token(&done)).unwrap_or_default();
        Ok(Response::new(pb::SignOutResponse { consistency_token }))
    }

    async fn introspect_token(
        &self,
        request: Request<pb::IntrospectTokenRequest>,
    ) -> Result<Response<pb::IntrospectTokenResponse>, Status> {
        let (called, pb::IntrospectTokenRequest { token, consistency }) = Called::new(request)?;
        let mut fields = Fields::default();
        let freshness = self.freshness(&called.ctx, &mut fields, consistency);
        let freshness = called.parsed(fields.finish(freshness))?;
        let found = called.answer(self.app.introspect(&called.ctx, &Secret::new(token), freshness).await)?;
        Ok(Response::new(introspected(found)))
    }

    async fn list_sessions(
        &self,
        request: Request<pb::ListSessionsRequest>,
    ) -> Result<Response<pb::ListSessionsResponse>, Status> {
        let (called, request) = Called::new(request)?;
        let query = called.parsed(sessions::list(request))?;
        let page = called.answer(self.app.list_sessions(&called.ctx, &query, session).await)?;
        Ok(Response::new(pb::ListSessionsResponse { sessions: page.items, next_page_token: page.next }))
    }

    async fn revoke_session(
        &self,
        request: Request<pb::RevokeSessionRequest>,
    ) -> Result<Response<pb::RevokeSessionResponse>, Status> {
        let (mut called, request) = Called::new(request)?;
        let mut fields = Fields::default();
        called.ctx.repeat = fields.repeat(&request.request_id, &request);
        let pb::RevokeSessionRequest { session: id, request_id: _ } = request;
        let id = fields.id("session", &id).into();
        let id = called.parsed(fields.finish(id))?;
        let done = called.answer(self.app.revoke_session(&called.ctx, id).await)?;
        let consistency_token = self.token(&done);
        Ok(Response::new(pb::RevokeSessionResponse { session: Some(session(done.value)), consistency_token }))
    }

    async fn revoke_all_sessions(
        &self,
        request: Request<pb::RevokeAllSessionsRequest>,
    ) -> Result<Response<pb::RevokeAllSessionsResponse>, Status> {
        let (mut called, request) = Called::new(request)?;
        let mut fields = Fields::default();
        called.ctx.repeat = fields.repeat(&request.request_id, &request);
        let command = called.parsed(sessions::revoke_all(fields, &request))?;
        let done = called.answer(self.app.revoke_all_sessions(&called.ctx, &command).await)?;
        let consistency_token = self.token(&done);
        let ended_count = i32::try_from(done.value).unwrap_or(i32::MAX);
        Ok(Response::new(pb::RevokeAllSessionsResponse { ended_count, consistency_token }))
    }

    async fn get_me(&self, request: Request<pb::GetMeRequest>) -> Result<Response<pb::GetMeResponse>, Status> {
        let (called, pb::GetMeRequest {}) = Called::new(request)?;
        let Me { who, realm, realm_name, realm_title, gates } = called.answer(self.app.me(&called.ctx).await)?;
        Ok(Response::new(pb::GetMeResponse {
            principal: Some(principal(who)),
            realm_id: realm.to_string(),
            realm_name,
            realm_title,
            gates: gates.into_iter().map(failing).collect(),
            credential_expire_time: called.ctx.credential_expires_at.map(instant),
        }))
    }

    async fn get_signing_keys(
        &self,
        request: Request<pb::GetSigningKeysRequest>,
    ) -> Result<Response<pb::GetSigningKeysResponse>, Status> {
        let (called, pb::GetSigningKeysRequest {}) = Called::new(request)?;
        let SigningKeys { keys, issuer, audience } = called.answer(self.app.signing_keys(&called.ctx).await)?;
        let keys = keys.into_iter().map(signing_key).collect();
        Ok(Response::new(pb::GetSigningKeysResponse { keys, issuer, audience }))
    }
}

fn principal(who: Who) -> Principal {
    match who {
        Who::User(view) => Principal::User(shown(*view)),
        Who::ServiceAccount(view) => Principal::ServiceAccount(service_account(*view)),
    }
}

fn signing_key(key: Jwk) -> pb::SigningKey {
    let Jwk { kty, crv, x, kid, alg, usage } = key;
    pb::SigningKey {
        kty: kty.to_owned(),
        kid: kid.to_string(),
        alg: alg.to_owned(),
        crv: crv.to_owned(),
        r#use: usage.to_owned(),
        x,
    }
}
