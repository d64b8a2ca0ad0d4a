//! What the mail relay needs of the service's secrets.

use super::App;
use crate::crypto::Secret;
use crate::crypto::code::{Binding, Purpose};
use crate::domain::message::Template;
use crate::store::{self, Due};

/// The code that a mail carries.
pub(crate) enum Carried {
    /// None: the mail has no link, or its code is gone.
    Nothing,
    Code(Secret<String>),
    /// One that opens nothing any more: it was used, voided by a newer one, or has expired.
    Ended,
}

impl App {
    /// The code of a mail's link, derived for this one delivery.
    ///
    /// # Errors
    /// [`store::Error::Unavailable`].
    pub(crate) async fn code_of(&self, due: &Due) -> store::Result<Carried> {
        let Some((id, purpose)) = due.mail.code.zip(purpose(due.mail.template)) else { return Ok(Carried::Nothing) };
        let Some(row) = self.store.code_of(due.realm, id).await? else { return Ok(Carried::Nothing) };
        if row.spent_at.is_some() || row.expires_at <= self.clock.now() {
            return Ok(Carried::Ended);
        }
        let binding = Binding { code: row.id, purpose, realm: due.realm, account: row.user, address: &row.address };
        Ok(Carried::Code(binding.derive(&self.keys)))
    }
}

/// What the code in a mail is for; `None` = the mail carries none.
fn purpose(template: Template) -> Option<Purpose> {
    match template {
        Template::VerifyEmail => Some(Purpose::VerifyEmail),
        Template::PasswordReset | Template::SetPassword => Some(Purpose::ResetPassword),
        Template::ApprovalRequired
        | Template::NewUserWaiting
        | Template::Approved
        | Template::Rejected
        | Template::AddressTaken
        | Template::Suspended
        | Template::SuspendedForFailures
        | Template::PasswordChanged
        | Template::Reinstated
        | Template::Deleted
        | Template::Restored
        | Template::Expired
        | Template::RoleAssigned
        | Template::RoleRevoked => None,
    }
}
