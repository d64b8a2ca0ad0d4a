//! `SessionService`.

use tonic::{Request, Response, Status};

use super::api::{Api, Called};
use super::convert::instant;
use super::pb::{self, get_me_response::Principal, session_service_server::SessionService};
use super::registration::failing;
use super::service_account::service_account;
use super::user::shown;
use crate::app::{Jwk, Me, Secret, SignIn, SignedIn, SigningKeys, Who};

/// RFC 6750: whoever bears the token is believed.
const TOKEN_TYPE: &str = "Bearer";

#[tonic::async_trait]
impl SessionService for Api {
    async fn sign_in(&self, request: Request<pb::SignInRequest>) -> Result<Response<pb::SignInResponse>, Status> {
        let (called, pb::SignInRequest { email, password }) = Called::new(request)?;
        let command = SignIn { email, password: Secret::new(password) };
        let done = called.answer(self.app.sign_in(&called.ctx, &command).await)?;
        let SignedIn { access_token, expires_at } = done.value;
        let lives = expires_at.since(called.ctx.now).as_secs();
        Ok(Response::new(pb::SignInResponse {
            access_token: access_token.map(|token| token.expose().clone()).unwrap_or_default(),
            token_type: TOKEN_TYPE.to_owned(),
            expires_in: i32::try_from(lives).unwrap_or(i32::MAX),
            expire_time: Some(instant(expires_at)),
        }))
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
