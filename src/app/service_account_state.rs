//! Disabling, enabling and deleting service accounts.

use super::error::{Error, Result};
use super::facts::Facts;
use super::service_account::ServiceAccountView;
use super::user::check_etag;
use super::write::{Change, Done};
use super::{Actor, App, Ctx, Reason};
use crate::cache::Subject;
use crate::domain::event::Event;
use crate::domain::handle::Handle;
use crate::domain::service_account::ServiceAccount;
use crate::domain::snapshot::PrincipalKind;
use crate::domain::workload::SpiffeId;

/// Which account a call disables, enables or deletes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EndServiceAccount {
    pub service_account: Handle,
    pub etag: Option<String>,
}

impl App {
    /// Disables a service account: its credentials are refused from the next call on.
    ///
    /// # Errors
    /// NOT_FOUND, a nearest miss, NOT_ON_ONESELF, REACHES_UP, ETAG_MISMATCH.
    pub async fn disable_service_account(
        &self,
        ctx: &Ctx,
        cmd: &EndServiceAccount,
    ) -> Result<Done<ServiceAccountView>> {
        self.write(ctx, async |change: &mut Change<'_>| {
            let (mut account, _) = change.account_to_end(cmd).await?;
            if account.disabled_at.is_none() {
                account.disabled_at = Some(change.ctx.now);
                change.save_account(&mut account).await?;
                let ServiceAccount { id, organization, .. } = account;
                change.record(Event::ServiceAccountDisabled { account: id, organization });
            }
            change.account_view(account).await
        })
        .await
    }

    /// Enables a service account again, which gives whoever has its keys what it holds.
    ///
    /// # Errors
    /// As [`App::disable_service_account`]; NOT_CONTAINED, ROLE_RESTRICTED.
    pub async fn enable_service_account(&self, ctx: &Ctx, cmd: &EndServiceAccount) -> Result<Done<ServiceAccountView>> {
        self.write(ctx, async |change: &mut Change<'_>| {
            let (mut account, subject) = change.account_to_end(cmd).await?;
            change.require_may_mint(&subject).await?;
            if account.disabled_at.is_some() {
                account.disabled_at = None;
                change.save_account(&mut account).await?;
                let ServiceAccount { id, organization, .. } = account;
                change.record(Event::ServiceAccountEnabled { account: id, organization });
            }
            change.account_view(account).await
        })
        .await
    }

    /// Deletes a service account with its keys and with everything that it holds.
    ///
    /// # Errors
    /// As [`App::disable_service_account`].
    pub async fn delete_service_account(&self, ctx: &Ctx, cmd: &EndServiceAccount) -> Result<Done<()>> {
        self.write(ctx, async |change: &mut Change<'_>| {
            if change.is_repeated() {
                return Ok(());
            }
            let (account, _) = change.account_to_end(cmd).await?;
            let rows = change.rows();
            let mut keys = rows.revoke_api_keys(account.id, change.ctx.now).await?;
            keys.extend(account.spiffe_id.as_deref().and_then(SpiffeId::parse).map(|id| id.digest()));
            rows.delete_entries_of(account.id.into()).await?;
            rows.delete_service_account(&account, change.ctx.now).await?;
            let ServiceAccount { id, name, organization, .. } = account;
            change.record(Event::ServiceAccountDeleted { account: id, name, organization, keys });
            Ok(())
        })
        .await
    }
}

impl Change<'_> {
    /// The account that a call changes, once it may: managed, not oneself, not above the caller, as last seen.
    async fn account_to_end(&self, cmd: &EndServiceAccount) -> Result<(ServiceAccount, Subject)> {
        self.require_standing().await?;
        let (account, subject) = self.managed_account(&cmd.service_account).await?;
        self.require_not_on_oneself(subject.principal()).await?;
        self.guard().await?.require_not_reaching_up(subject.principal(), None).await?;
        check_etag(cmd.etag.as_deref(), &account.etag())?;
        Ok((account, subject))
    }

    /// Requires that a platform account that acts on another one is still there itself. Of two that end each other at
    /// once one is left: who acts in its own realm passes gates like everybody, a platform account has none.
    async fn require_standing(&self) -> Result<()> {
        let Actor::Platform { id } = self.ctx.actor else { return Ok(()) };
        if !self.rows().realm().await?.is_some_and(|realm| realm.platform) {
            return Ok(());
        }
        let stands = |kind: &PrincipalKind| !matches!(kind, PrincipalKind::ServiceAccount { disabled: true, .. });
        match self.principal(id).await? {
            Some(subject) if stands(&subject.principal().kind) => Ok(()),
            _ => Err(Error::refused(Reason::CredentialInvalid, "the account of the caller was disabled or deleted")),
        }
    }

    async fn save_account(&mut self, account: &mut ServiceAccount) -> Result<()> {
        account.version += 1;
        self.rows().update_service_account(account).await?;
        self.forget_facts();
        Ok(())
    }
}
