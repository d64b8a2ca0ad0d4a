//! What the mail relay needs of the service's secrets.

use super::App;
use crate::crypto::Secret;
use crate::crypto::code::{Binding, Purpose};
use crate::domain::message::Template;
use crate::store::{self, Due};

impl App {
    /// The code of a mail's link, derived for this one delivery. `None` if the mail has none, or it is gone.
    ///
    /// One that was voided or has expired is derived all the same: it opens nothing.
    ///
    /// # Errors
    /// [`store::Error::Unavailable`].
    pub(crate) async fn code_of(&self, due: &Due) -> store::Result<Option<Secret<String>>> {
        let Some((id, purpose)) = due.mail.code.zip(purpose(due.mail.template)) else { return Ok(None) };
        let row = self.store.code_of(due.realm, id).await?;
        Ok(row.map(|row| {
            let binding = Binding { code: row.id, purpose, realm: due.realm, account: row.user, address: &row.address };
            binding.derive(&self.keys)
        }))
    }
}

/// What the code in a mail is for; `None` = the mail carries none.
fn purpose(template: Template) -> Option<Purpose> {
    match template {
        Template::VerifyEmail => Some(Purpose::VerifyEmail),
        Template::PasswordReset => Some(Purpose::ResetPassword),
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
