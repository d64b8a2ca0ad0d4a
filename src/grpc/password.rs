//! The RPCs of `SessionService` that are about passwords.

use tonic::{Request, Response, Status};

use super::api::{Api, Called};
use super::convert::instant;
use super::pb;
use super::registration::failing;
use super::sessions::Tokens;
use crate::app::{ChangePassword, Error, MustChange, PasswordChanged, ResetPassword, Secret, SignedIn};
use crate::domain::email::Email;
use crate::domain::time::Timestamp;

/// Said to everybody who asks for a reset, whatever came of it.
const ASKED: &str = "if this address has an account, a link to set a new password is on its way";

pub(super) async fn change(
    api: &Api,
    request: Request<pb::ChangePasswordRequest>,
) -> Result<Response<pb::ChangePasswordResponse>, Status> {
    let (called, pb::ChangePasswordRequest { current_password, new_password }) = Called::new(request)?;
    let command = ChangePassword { current: Secret::new(current_password), new: Secret::new(new_password) };
    let done = called.answer(api.app.change_password(&called.ctx, &command).await)?;
    let consistency_token = api.token(&done);
    let PasswordChanged { session, gates } = done.value;
    let gates = gates.into_iter().map(failing).collect();
    let answer = pb::ChangePasswordResponse {
        access_token: String::new(),
        token_type: String::new(),
        expires_in: 0,
        expire_time: None,
        gates,
        consistency_token,
        refresh_token: String::new(),
        refresh_expire_time: None,
    };
    let Some(session) = session else { return Ok(Response::new(answer)) };
    let Tokens { access_token, token_type, expires_in, expire_time, refresh_token, refresh_expire_time } =
        Tokens::of(session, called.ctx.now);
    Ok(Response::new(pb::ChangePasswordResponse {
        access_token,
        token_type,
        expires_in,
        expire_time,
        refresh_token,
        refresh_expire_time,
        ..answer
    }))
}

pub(super) async fn request_reset(
    api: &Api,
    request: Request<pb::RequestPasswordResetRequest>,
) -> Result<Response<pb::RequestPasswordResetResponse>, Status> {
    let (called, pb::RequestPasswordResetRequest { email }) = Called::new(request)?;
    let email = called.parsed(Email::parse(&email).map_err(|fault| Error::field("email", fault.to_string())))?;
    called.answer(api.app.request_password_reset(&called.ctx, &email).await)?;
    Ok(Response::new(pb::RequestPasswordResetResponse { message: ASKED.to_owned() }))
}

pub(super) async fn reset(
    api: &Api,
    request: Request<pb::ResetPasswordRequest>,
) -> Result<Response<pb::ResetPasswordResponse>, Status> {
    let (called, pb::ResetPasswordRequest { code, new_password }) = Called::new(request)?;
    let command = ResetPassword { code: Secret::new(code), new: Secret::new(new_password) };
    let done = called.answer(api.app.reset_password(&called.ctx, &command).await)?;
    let consistency_token = api.token(&done);
    let gates = done.value.into_iter().map(failing).collect();
    Ok(Response::new(pb::ResetPasswordResponse { gates, consistency_token }))
}

/// The answer of a session that began.
pub(super) fn entered(signed_in: SignedIn, now: Timestamp) -> pb::SignInResponse {
    let Tokens { access_token, token_type, expires_in, expire_time, refresh_token, refresh_expire_time } =
        Tokens::of(signed_in, now);
    pb::SignInResponse {
        access_token,
        token_type,
        expires_in,
        expire_time,
        refresh_token,
        refresh_expire_time,
        password_change_token: String::new(),
        password_change_expire_time: None,
        gate: None,
    }
}

/// The answer to the right password of somebody who has to change it.
pub(super) fn must_change(must_change: MustChange) -> pb::SignInResponse {
    let MustChange { token, expires_at, gate } = must_change;
    pb::SignInResponse {
        access_token: String::new(),
        token_type: String::new(),
        expires_in: 0,
        expire_time: None,
        refresh_token: String::new(),
        refresh_expire_time: None,
        password_change_token: token.map(|token| token.expose().clone()).unwrap_or_default(),
        password_change_expire_time: Some(instant(expires_at)),
        gate: Some(failing(gate)),
    }
}
