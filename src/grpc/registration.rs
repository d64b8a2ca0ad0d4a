//! `RegistrationService`.

use std::collections::BTreeMap;

use tonic::{Request, Response, Status};

use super::api::{Api, Called};
use super::convert::{Fields, TITLE_CHARS_MAX, gate};
use super::pb::{self, registration_service_server::RegistrationService};
use super::policy::words::{print_code_format, print_self_registration, print_verification};
use crate::app::{
    AskedCode, Draft, Error, FailingGate, JoinOrganization, Joined, Register, RegistrationForm, Secret, VerifyEmail,
};
use crate::domain::email::Email;
use crate::domain::policy::CodeScheme;

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

    async fn get_registration_form(
        &self,
        request: Request<pb::GetRegistrationFormRequest>,
    ) -> Result<Response<pb::GetRegistrationFormResponse>, Status> {
        let (called, pb::GetRegistrationFormRequest {}) = Called::new(request)?;
        let form = called.answer(self.app.registration_form(&called.ctx).await)?;
        Ok(Response::new(shown(form)))
    }

    async fn join_organization(
        &self,
        request: Request<pb::JoinOrganizationRequest>,
    ) -> Result<Response<pb::JoinOrganizationResponse>, Status> {
        let (mut called, request) = Called::new(request)?;
        let mut fields = Fields::default();
        called.ctx.repeat = fields.repeat(&request.request_id, &request);
        let pb::JoinOrganizationRequest { codes, request_id: _ } = request;
        let codes = read_codes(&mut fields, codes);
        let draft = fields.draft(JoinOrganization { codes });
        let done = called.answer(self.app.join_organization(&called.ctx, &draft).await)?;
        let consistency_token = self.token(&done);
        let Joined { member, slug } = done.value;
        let membership = Some(super::user::membership((member, slug)));
        Ok(Response::new(pb::JoinOrganizationResponse { membership, consistency_token }))
    }
}

fn said(request: pb::RegisterRequest) -> Draft<Register> {
    let pb::RegisterRequest { email, display_name, password, codes } = request;
    let mut fields = Fields::default();
    let display_name = fields.text("display_name", &display_name, 1..=TITLE_CHARS_MAX);
    let codes = read_codes(&mut fields, codes);
    let email = fields.keep("email", Email::parse(&email));
    fields.draft(Register { email, display_name, password: Secret::new(password), codes })
}

fn read_codes(fields: &mut Fields, codes: BTreeMap<String, String>) -> BTreeMap<String, String> {
    if codes.len() > CODES_MAX {
        fields.wrong("codes", format!("has {} codes, at most {CODES_MAX} are allowed", codes.len()));
    }
    codes
        .iter()
        .take(CODES_MAX)
        .map(|(scheme, value)| {
            let value = fields.text(&format!("codes.{scheme}"), value, 1..=CODE_CHARS_MAX);
            (scheme.clone(), value)
        })
        .collect()
}

/// A form on the wire.
fn shown(form: RegistrationForm) -> pb::GetRegistrationFormResponse {
    let RegistrationForm {
        realm_title,
        self_registration,
        codes,
        password_chars: (least, most),
        verification_required,
        approval_follows,
    } = form;
    let code = |AskedCode { scheme, typed, required }| {
        let CodeScheme { name, format, unique: _ } = scheme;
        pb::FormCode { scheme: name, format: print_code_format(format), required, from_email: !typed }
    };
    let chars = |count| i32::try_from(count).unwrap_or(i32::MAX);
    pb::GetRegistrationFormResponse {
        realm_title,
        self_registration: print_self_registration(self_registration),
        codes: codes.into_iter().map(code).collect(),
        password_min_chars: chars(least),
        password_max_chars: chars(most),
        email_verification: print_verification(verification_required),
        approval_follows,
    }
}

/// A failing gate on the wire.
pub(super) fn failing(FailingGate { gate: it, words }: FailingGate) -> pb::Gate {
    gate(it, Some(words))
}
