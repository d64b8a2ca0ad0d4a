//! What a realm asks of a newcomer. Of its organizations it says nothing.

use super::error::{Error, Result};
use super::{App, Ctx};
use crate::crypto::password::MAX_PASSWORD_CHARS;
use crate::crypto::password_policy::MIN_PASSWORD_CHARS;
use crate::domain::policy::{ApprovalBy, CodeFormat, CodeScheme, SelfRegistration};

/// The form, as far as the policy decides what is in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RegistrationForm {
    pub realm_title: String,
    pub self_registration: SelfRegistration,
    /// In the order of the form; empty where nobody registers.
    pub codes: Vec<AskedCode>,
    pub password_chars: (usize, usize),
    pub verification_required: bool,
    /// Whether somebody decides on the newcomer afterwards.
    pub approval_follows: bool,
}

/// One code that the form asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AskedCode {
    pub scheme: CodeScheme,
    /// Has to be typed: the domain is read from the address.
    pub typed: bool,
    /// Whether nobody registers without it. Where it is not so, all codes are given or none.
    pub required: bool,
}

impl App {
    /// The registration form of the realm.
    ///
    /// # Errors
    /// RATE_LIMITED.
    pub async fn registration_form(&self, ctx: &Ctx) -> Result<RegistrationForm> {
        self.limits.admit(ctx, None)?;
        let realm = self.store.rows(ctx.realm).realm().await?;
        let realm = realm.ok_or_else(|| Error::internal("the realm of the call is gone"))?;
        let policy = realm.policy;
        let open = policy.self_registration != SelfRegistration::Closed;
        let asked = |scheme: CodeScheme| AskedCode {
            typed: scheme.format != CodeFormat::Domain,
            required: policy.self_registration == SelfRegistration::ByOrganizationCode,
            scheme,
        };
        Ok(RegistrationForm {
            realm_title: realm.title,
            self_registration: policy.self_registration,
            codes: policy.code_schemes.into_iter().filter(|_| open).map(asked).collect(),
            password_chars: (MIN_PASSWORD_CHARS, MAX_PASSWORD_CHARS),
            verification_required: policy.verification_required,
            approval_follows: policy.approval != ApprovalBy::Nobody,
        })
    }
}
