//! `RegistrationService`.

use tonic::{Request, Response, Status};

use super::api::{Api, Called};
use super::convert::{Fields, TITLE_CHARS_MAX, gate};
use super::pb::{self, registration_service_server::RegistrationService};
use crate::app::{Draft, Error, FailingGate, Register, Secret, VerifyEmail};
use crate::domain::email::Email;

/// The most codes that a registration carries.
const CODES_MAX: usize = 16;
/// The longest code.
const CODE_CHARS_MAX: usize = 200;

/// Said to everybody who registers, whatever came of it.
const REGISTERED: &str = "your registration was received; a mail tells you how to go on";
/// Said to everybody who asks for a link, whatever came of it.
const RESENT: &str = "if this address waits to be verified, a new link is on its way";

#[tonic::async_trait]
impl RegistrationService for Api {
    async fn register(&self, request: Request<pb::RegisterRequest>) -> Result<Response<pb::RegisterResponse>, Status> {
        let (called, request) = Called::new(request)?;
        called.answer(self.app.register(&called.ctx, &said(request)).await)?;
        Ok(Response::new(pb::RegisterResponse { message: REGISTERED.to_owned() }))
    }

    async fn verify_email(
        &self,
        request: Request<pb::VerifyEmailRequest>,
    ) -> Result<Response<pb::VerifyEmailResponse>, Status> {
        let (called, pb::VerifyEmailRequest { code, password }) = Called::new(request)?;
        let command = VerifyEmail { code: Secret::new(code), password: Secret::new(password) };
        let done = called.answer(self.app.verify_email(&called.ctx, &command).await)?;
        let consistency_token = self.token(&done);
        let gates = done.value.into_iter().map(failing).collect();
        Ok(Response::new(pb::VerifyEmailResponse { gates, consistency_token }))
    }

    async fn resend_verification(
        &self,
        request: Request<pb::ResendVerificationRequest>,
    ) -> Result<Response<pb::ResendVerificationResponse>, Status> {
        let (called, pb::ResendVerificationRequest { email }) = Called::new(request)?;
        let email = called.parsed(Email::parse(&email).map_err(|fault| Error::field("email", fault.to_string())))?;
        called.answer(self.app.resend_verification(&called.ctx, &email).await)?;
        Ok(Response::new(pb::ResendVerificationResponse { message: RESENT.to_owned() }))
    }
}

fn said(request: pb::RegisterRequest) -> Draft<Register> {
    let pb::RegisterRequest { email, display_name, password, codes } = request;
    let mut fields = Fields::default();
    if codes.len() > CODES_MAX {
        fields.wrong("codes", format!("has {} codes, at most {CODES_MAX} are allowed", codes.len()));
    }
    let display_name = fields.text("display_name", &display_name, 1..=TITLE_CHARS_MAX);
    let codes = codes
        .iter()
        .take(CODES_MAX)
        .map(|(scheme, value)| {
            let value = fields.text(&format!("codes.{scheme}"), value, 1..=CODE_CHARS_MAX);
            (scheme.clone(), value)
        })
        .collect();
    let email = fields.keep("email", Email::parse(&email));
    fields.draft(Register { email, display_name, password: Secret::new(password), codes })
}

/// A failing gate on the wire.
pub(super) fn failing(FailingGate { gate: it, words }: FailingGate) -> pb::Gate {
    gate(it, Some(words))
}
