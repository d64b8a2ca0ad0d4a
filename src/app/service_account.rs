//! Service accounts and the keys that they sign in with.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::error::{Error, Result};
use super::facts::Facts;
use super::guard::permissions;
use super::user::names;
use super::write::{Change, Done, taken};
use super::{App, Ctx, Name, Reason};
use crate::cache::Subject;
use crate::crypto::api_key::ApiKey as Secret;
use crate::domain::event::Event;
use crate::domain::handle::Handle;
use crate::domain::ids::{ApiKeyId, PrincipalId, ServiceAccountId};
use crate::domain::service_account::{ApiKey, LIVE_KEYS_MAX, ServiceAccount};
use crate::domain::snapshot::{Confers, Entry};
use crate::domain::time::Timestamp;
use crate::domain::workload::{SpiffeId, SpiffePrefix};
use crate::store::{self, Connection, Constraint, Rows};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CreateServiceAccount {
    pub name: String,
    pub title: String,
    /// Absent = of the realm.
    pub organization: Option<Handle>,
    pub spiffe_id: Option<SpiffeId>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CreateApiKey {
    pub service_account: Handle,
    pub title: String,
    pub expires_at: Option<Timestamp>,
}

/// A service account with the slug of its organization.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ServiceAccountView {
    pub account: ServiceAccount,
    pub slug: Option<String>,
}

/// An API key with the names of what it refers to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ApiKeyView {
    pub key: ApiKey,
    pub account: Name,
    /// Absent where no principal of the realm made it.
    pub created_by: Option<Name>,
}

/// A new key with its secret, which is in no repeated answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CreatedApiKey {
    pub view: ApiKeyView,
    #[serde(skip)]
    pub secret: Option<Secret>,
}

impl App {
    /// Makes a service account, which may do nothing yet.
    ///
    /// # Errors
    /// NOT_FOUND for the organization, a nearest miss, ALREADY_EXISTS; INVALID_FIELDS for a SPIFFE id that is not the
    /// realm's to give.
    pub async fn create_service_account(
        &self,
        ctx: &Ctx,
        cmd: &CreateServiceAccount,
    ) -> Result<Done<ServiceAccountView>> {
        self.write(ctx, async |change: &mut Change<'_>| {
            let organization = match &cmd.organization {
                Some(handle) => {
                    Some(change.organization_to_act_on(handle, permissions::MANAGE_SERVICE_ACCOUNTS).await?)
                }
                None => {
                    change.guard().await?.require(permissions::MANAGE_SERVICE_ACCOUNTS, None, None).await?;
                    None
                }
            };
            if let Some(spiffe_id) = &cmd.spiffe_id {
                change.require_may_name(spiffe_id).await?;
            }
            let account = ServiceAccount {
                id: ServiceAccountId(self.clock.new_id()),
                name: cmd.name.clone(),
                title: cmd.title.clone(),
                organization: organization.as_ref().map(|organization| organization.id),
                spiffe_id: cmd.spiffe_id.as_ref().map(|id| id.as_str().to_owned()),
                disabled_at: None,
                created_at: change.ctx.now,
                created_by: ctx.actor.id(),
                version: 1,
            };
            inserted(change.rows().insert_service_account(&account).await, &account)?;
            change.record(Event::ServiceAccountCreated {
                account: account.id,
                name: account.name.clone(),
                organization: account.organization,
                spiffe_id: cmd.spiffe_id.clone(),
            });
            Ok(ServiceAccountView { account, slug: organization.map(|organization| organization.slug) })
        })
        .await
    }

    /// Makes an API key. Whoever has it is the account, so that making it is checked as conferring what the account
    /// holds, also for the account itself.
    ///
    /// # Errors
    /// NOT_FOUND, a nearest miss, NOT_CONTAINED, ROLE_RESTRICTED, REACHES_UP, DISABLED, LIMIT_REACHED.
    pub async fn create_api_key(&self, ctx: &Ctx, cmd: &CreateApiKey) -> Result<Done<CreatedApiKey>> {
        self.write(ctx, async |change: &mut Change<'_>| {
            let (account, subject) = change.managed_account(&cmd.service_account).await?;
            change.require_may_mint(&subject).await?;
            change.require_room_for_key(&account).await?;
            let secret = Secret::generate();
            let key = change.keep_key(&account, &secret, &cmd.title, cmd.expires_at).await?;
            Ok(CreatedApiKey { view: change.api_key_view(key).await?, secret: Some(secret) })
        })
        .await
    }

    /// Revokes an API key, at once.
    ///
    /// # Errors
    /// NOT_FOUND, a nearest miss, REACHES_UP.
    pub async fn revoke_api_key(&self, ctx: &Ctx, key: ApiKeyId) -> Result<Done<ApiKeyView>> {
        self.write(ctx, async |change: &mut Change<'_>| {
            let found = change.rows().api_key(key).await?;
            let mut key = found.ok_or_else(|| Error::not_found("api_key"))?;
            change.revoke(&mut key).await?;
            change.api_key_view(key).await
        })
        .await
    }
}

impl Change<'_> {
    /// Whoever has an identity shuts out every other account that it could be: not for an organization to say of its
    /// neighbours' services, nor for a realm of another one's.
    ///
    /// # Errors
    /// The nearest miss; INVALID_FIELDS for an id that the platform did not give to the realm.
    async fn require_may_name(&self, spiffe_id: &SpiffeId) -> Result<()> {
        self.guard().await?.require(permissions::MANAGE_SERVICE_ACCOUNTS, None, None).await?;
        let realm = self.rows().realm().await?.ok_or_else(|| Error::internal("the realm of the call is gone"))?;
        if realm.may_name(spiffe_id) {
            return Ok(());
        }
        let prefixes: Vec<_> = realm.spiffe_prefixes.iter().map(SpiffePrefix::as_str).collect();
        let allowed = if prefixes.is_empty() { "nothing".to_owned() } else { prefixes.join(", ") };
        let given = spiffe_id.as_str();
        Err(Error::field(
            "spiffe_id",
            format!("is {given:?}; ids of this realm begin with {allowed}, by its spiffe_prefixes"),
        ))
    }

    /// The account of that handle, once the caller manages it.
    pub(super) async fn managed_account(&self, handle: &Handle) -> Result<(ServiceAccount, Subject)> {
        let found = find_service_account(self.rows(), handle).await?;
        self.managed(found, "service_account").await
    }

    /// The account, once the caller manages it: in its organization, or realm-wide. Who manages it not can't read it
    /// either, unless it is the caller itself.
    async fn managed(&self, account: Option<ServiceAccount>, field: &str) -> Result<(ServiceAccount, Subject)> {
        let account = account.ok_or_else(|| Error::not_found(field))?;
        let subject = self.principal(account.id.into()).await?.ok_or_else(|| Error::not_found(field))?;
        let mut guard = self.guard().await?;
        let manages = guard.allows(permissions::MANAGE_SERVICE_ACCOUNTS, account.organization, None).await?;
        if !manages && guard.actor.principal().id != account.id.into() {
            return Err(Error::not_found(field));
        }
        guard.require(permissions::MANAGE_SERVICE_ACCOUNTS, account.organization, None).await?;
        Ok((account, subject))
    }

    /// Requires that the caller could give everything that the account holds, now or later.
    pub(super) async fn require_may_mint(&self, account: &Subject) -> Result<()> {
        let mut guard = self.guard().await?;
        let principal = account.principal();
        let lasts = |entry: &&Entry| entry.window.expires_at().is_none_or(|until| self.ctx.now < until);
        for entry in principal.entries.iter().filter(lasts) {
            let Entry { confers, scope, resource, .. } = entry;
            match confers {
                Confers::Role(role) => self.require_may_give(principal, *role, *scope, resource.is_some()).await?,
                Confers::Grant { pattern, .. } => {
                    self.require_unrestricted(pattern, *scope).await?;
                    guard.require_contained(confers, *scope, resource.is_some(), None, principal.id).await?;
                }
            }
        }
        guard.require_not_reaching_up(principal, None).await
    }

    async fn require_room_for_key(&self, account: &ServiceAccount) -> Result<()> {
        if account.disabled_at.is_some() {
            return Err(Error::refused(Reason::Disabled, "the service account is disabled"));
        }
        if self.rows().live_api_keys(account.id, self.ctx.now).await? >= LIVE_KEYS_MAX {
            let message = format!("the account has {LIVE_KEYS_MAX} live keys, which is the most");
            let facts = vec![("limit", LIVE_KEYS_MAX.to_string())];
            return Err(Error::refused_with(Reason::LimitReached, message, facts));
        }
        Ok(())
    }

    /// Makes a secret one of the account's keys. Whether that may be is asked before.
    pub(super) async fn keep_key(
        &mut self,
        account: &ServiceAccount,
        secret: &Secret,
        title: &str,
        expires_at: Option<Timestamp>,
    ) -> Result<ApiKey> {
        let key = ApiKey {
            id: ApiKeyId(self.app.clock.new_id()),
            service_account: account.id,
            secret_hash: secret.hash(),
            title: title.to_owned(),
            created_at: self.ctx.now,
            created_by: self.ctx.actor.id(),
            expires_at,
            revoked_at: None,
            last_used_at: None,
        };
        self.rows().insert_api_key(&key).await?;
        self.record(Event::ApiKeyCreated {
            key: key.id,
            account: account.id,
            organization: account.organization,
            hash: key.secret_hash,
        });
        Ok(key)
    }

    /// Revokes a key of an account that the caller manages and that is not above it.
    ///
    /// # Errors
    /// NOT_FOUND, a nearest miss, REACHES_UP.
    pub(super) async fn revoke(&mut self, key: &mut ApiKey) -> Result<()> {
        let account = self.rows().service_account(key.service_account).await?;
        let (account, subject) = self.managed(account, "api_key").await?;
        self.guard().await?.require_not_reaching_up(subject.principal(), None).await?;
        if key.revoked_at.is_none() {
            key.revoked_at = Some(self.ctx.now);
            self.rows().revoke_api_key(key.id, self.ctx.now).await?;
            self.record(Event::ApiKeyRevoked {
                key: key.id,
                account: account.id,
                organization: account.organization,
                hash: key.secret_hash,
            });
        }
        Ok(())
    }

    async fn api_key_view(&self, key: ApiKey) -> Result<ApiKeyView> {
        let shown = key_views(self.rows(), vec![key]).await?;
        shown.into_iter().next().ok_or_else(|| Error::internal("a key got lost"))
    }

    /// The account as its caller may see it.
    pub(super) async fn account_view(&self, account: ServiceAccount) -> Result<ServiceAccountView> {
        let shown = account_views(self.rows(), vec![account]).await?;
        shown.into_iter().next().ok_or_else(|| Error::internal("an account got lost"))
    }
}

/// The service account of that handle.
pub(super) async fn find_service_account<C: Connection>(
    rows: Rows<'_, C>,
    handle: &Handle,
) -> Result<Option<ServiceAccount>> {
    Ok(match handle {
        Handle::Id(id) => rows.service_account(ServiceAccountId(*id)).await?,
        Handle::Natural(name) => rows.service_account_named(name).await?,
    })
}

/// Accounts with the slugs of their organizations.
pub(super) async fn account_views<C: Connection>(
    rows: Rows<'_, C>,
    accounts: Vec<ServiceAccount>,
) -> Result<Vec<ServiceAccountView>> {
    let organizations: Vec<_> = accounts.iter().filter_map(|account| account.organization).collect();
    let slugs = rows.slugs(&organizations).await?;
    let slug = |account: &ServiceAccount| account.organization.and_then(|id| slugs.get(&id).cloned());
    Ok(accounts.into_iter().map(|account| ServiceAccountView { slug: slug(&account), account }).collect())
}

/// Keys with the names of their accounts and of who made them.
pub(super) async fn key_views<C: Connection>(rows: Rows<'_, C>, keys: Vec<ApiKey>) -> Result<Vec<ApiKeyView>> {
    let accounts = keys.iter().map(|key| key.service_account.into());
    let named: BTreeSet<PrincipalId> = keys.iter().filter_map(|key| key.created_by).chain(accounts).collect();
    let names = names(rows, &named.into_iter().collect::<Vec<_>>()).await?;
    let account = |key: &ApiKey| names.get(&key.service_account.into()).cloned();
    let view = |key: ApiKey| ApiKeyView {
        account: account(&key).unwrap_or(Name { person: false, handle: String::new() }),
        created_by: key.created_by.and_then(|id| names.get(&id).cloned()),
        key,
    };
    Ok(keys.into_iter().map(view).collect())
}

/// Names what is taken of a new account.
fn inserted(result: store::Result<()>, account: &ServiceAccount) -> Result<()> {
    match result {
        Err(store::Error::Conflict(Constraint::SpiffeId)) => {
            let spiffe_id = account.spiffe_id.as_deref().unwrap_or_default();
            taken(result, Constraint::SpiffeId, "spiffe_id", spiffe_id)
        }
        other => taken(other, Constraint::ServiceAccountName, "name", &account.name),
    }
}
