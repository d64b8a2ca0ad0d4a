//! The keys that somebody leaves who is blocked or deleted: of the services that they made them for, and seen by them.

use serde::{Deserialize, Serialize};

use super::error::{Error, Result};
use super::guard::permissions;
use super::service_account::{ApiKeyView, key_views};
use super::service_accounts::managed_within;
use super::user::UserView;
use super::write::Change;
use crate::domain::ids::UserId;
use crate::store::ApiKeyFilter;

/// So many keys are answered, and revoked, at once.
const KEYS_TOLD: usize = 100;

/// Somebody who is kept out, and the keys that they made, as far as the caller manages their accounts.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct KeptOut {
    pub user: UserView,
    pub keys: Vec<ApiKeyView>,
    /// Whether there are more than these.
    pub more_keys: bool,
}

impl Change<'_> {
    /// The user with the live keys that it made. With `revoke`, those that the caller may revoke are revoked; the others
    /// stay as they are.
    ///
    /// # Errors
    /// To revoke, the nearest miss of `countersign.service_accounts.manage` for a caller who manages no account.
    pub(super) async fn kept_out(&mut self, maker: UserId, user: UserView, revoke: bool) -> Result<KeptOut> {
        let mut guard = self.guard().await?;
        if revoke {
            guard.require_somewhere(permissions::MANAGE_SERVICE_ACCOUNTS).await?;
        }
        let within = managed_within(&mut guard).await?;
        let (maker, living) = (Some(maker.into()), Some(self.ctx.now));
        let filter = ApiKeyFilter { maker, living, within, ..ApiKeyFilter::default() };
        let mut keys = self.rows().list_api_keys(&filter, KEYS_TOLD as u64 + 1).await?;
        let more_keys = keys.len() > KEYS_TOLD;
        keys.truncate(KEYS_TOLD);
        for key in keys.iter_mut().filter(|_| revoke) {
            match self.revoke(key).await {
                Err(Error::Refused(_)) | Ok(()) => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(KeptOut { user, keys: key_views(self.rows(), keys).await?, more_keys })
    }
}
