//! Choosing a password: what is wrong with one, said by the field that carries it.

use super::error::{Result, Violation};
use super::{App, Ctx};
use crate::crypto::Secret;
use crate::crypto::password::Password;
use crate::crypto::password_policy::{self, PasswordContext, PasswordFault};

impl App {
    /// Parses a new password, on the threads that are there for it; `names` are those that it must not be made of. What
    /// is wrong with it is not an error yet, so that it can be told with what is wrong with the other fields.
    ///
    /// # Errors
    /// OVERLOADED.
    pub(super) async fn new_password(
        &self,
        ctx: &Ctx,
        typed: &Secret<String>,
        names: Vec<String>,
    ) -> Result<std::result::Result<Password, Vec<Violation>>> {
        let typed = typed.clone();
        let checked = self.hasher.run(ctx.network(), move || {
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            password_policy::check(typed.expose(), &PasswordContext { names: &names })
        });
        Ok(checked.await?.map_err(|faults| faults.iter().map(violation).collect()))
    }
}

fn violation(fault: &PasswordFault) -> Violation {
    let text = fault.to_string();
    let description = text.strip_prefix("password ").unwrap_or(&text).to_owned();
    Violation::new("password", description)
}
