//! Links in mails: making their codes, and how often a mailbox gets one.
//!
//! Anybody may ask for a link to any address. So that nobody voids the owner's links by asking, or fills a mailbox, only
//! so many codes of a kind are made for an account, counted in the database for all replicas; beyond that the last one
//! stays valid and no mail goes out.

use std::time::Duration;

use super::error::Result;
use super::user::person;
use super::write::Change;
use crate::crypto::code::Purpose;
use crate::domain::account::User;
use crate::domain::event::Event;
use crate::domain::ids::CodeId;
use crate::domain::message::{CODES_A_DAY, CODES_AT_ONCE, CODES_WITHIN, DAY};
use crate::domain::password::RESET_TTL;
use crate::domain::registration::VERIFICATION_TTL;
use crate::store::CodeRow;

impl Change<'_> {
    /// Makes the code whose link proves the account's address. Older ones are void from now on. `None` if there were
    /// too many lately: then the last one stays.
    pub(super) async fn new_verification(&self, user: &User) -> Result<Option<CodeId>> {
        self.new_code(user, Purpose::VerifyEmail, VERIFICATION_TTL).await
    }

    /// Makes the code whose link sets a new password; else as [`Change::new_verification`].
    pub(super) async fn new_reset(&self, user: &User) -> Result<Option<CodeId>> {
        self.new_code(user, Purpose::ResetPassword, RESET_TTL).await
    }

    /// Takes the password of an account away whose person has not proven the mailbox: a stranger may have chosen it. The
    /// person gets a link to set one, which holds as long as one that verifies. The caller saves the account.
    pub(super) async fn clear_unproven_password(&mut self, user: &mut User, approved: bool) -> Result<()> {
        if user.has_proven() {
            return Ok(());
        }
        if user.password_set {
            user.password_set = false;
            user.session_epoch += 1;
            self.rows().clear_password(user.id).await?;
        }
        let reset = self.new_code(user, Purpose::ResetPassword, VERIFICATION_TTL).await?;
        self.record(Event::PasswordToBeSet { person: person(user), reset, approved });
        Ok(())
    }

    async fn new_code(&self, user: &User, purpose: Purpose, holds: Duration) -> Result<Option<CodeId>> {
        let (rows, now) = (self.rows(), self.ctx.now);
        rows.lock_user(user.id).await?;
        for (most, within) in [(CODES_AT_ONCE, CODES_WITHIN), (CODES_A_DAY, DAY)] {
            if rows.codes_made(user.id, purpose.text(), now.before(within)).await? >= most {
                return Ok(None);
            }
        }
        let code = CodeRow {
            id: CodeId(self.app.clock.new_id()),
            user: user.id,
            purpose: purpose.text().to_owned(),
            address: user.email.clone(),
            created_at: now,
            expires_at: now.after(holds),
            spent_at: None,
        };
        rows.insert_code(&code).await?;
        Ok(Some(code.id))
    }
}
