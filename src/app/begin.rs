//! What a record begins with, and the way back when every operator's key is lost.
//!
//! The first start is taken once, by the unique row of the platform's realm, and is one transaction: either there is
//! nothing, or all of it. It never happens again, whatever becomes of the accounts and keys that it made.

use super::ctx::Aimed;
use super::error::{Error, Result};
use super::write::{Change, done_line};
use super::{Actor, App, CallId, Ctx};
use crate::crypto::api_key::ApiKey as NewKey;
use crate::crypto::random_mark;
use crate::crypto::root_key::Generation;
use crate::crypto::signing::SigningKey;
use crate::crypto::tombstone::TombstoneKey;
use crate::domain::event::Event;
use crate::domain::ids::{ApiKeyId, RealmId, Revision, ServiceAccountId};
use crate::domain::realm::{DEFAULT_REALM, PLATFORM_REALM, Position, Realm};
use crate::domain::service_account::{ApiKey, ServiceAccount};
use crate::store::Tx;

/// The platform account that the first start makes.
pub const OPERATOR: &str = "operator";
/// Under which name the record keeps the root key's check value.
pub const ROOT_KEY: &str = "root_key";

/// Under which name the database keeps which database it is.
pub(super) const IDENTITY: &str = "identity";

/// Why a database can't be served, or an operator's key not be made anew.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("the root key is not the one that this database was begun with")]
    RootKey,
    #[error("this database was never begun: start the server first")]
    NeverBegun,
    #[error(
        "this database is a copy that was put into another one: run `countersign restored`, which ends the sessions and \
         codes that it brings back"
    )]
    Copy,
    #[error("there is no platform account {0:?}; the first start made {OPERATOR:?}")]
    NoAccount(String),
}

impl App {
    /// Whether some process has begun this database.
    ///
    /// # Errors
    /// UNAVAILABLE.
    pub async fn is_begun(&self) -> Result<bool> {
        Ok(self.platform_realm().await?.is_some())
    }

    /// Makes sure that the root key is this database's, and begins the database if nobody has: `key` becomes the
    /// operator's. `false` = it was begun before, by whatever process, and `key` is nobody's.
    ///
    /// # Errors
    /// Another root key; UNAVAILABLE.
    pub async fn begin(&self, key: &NewKey) -> Result<bool> {
        self.open().await?;
        let ctx = self.own_call(RealmId(self.clock.new_id()), "FirstStart");
        let platform = Realm {
            id: ctx.realm,
            platform: true,
            // The commit makes the first revision.
            position: Position::default(),
            catalogue_revision: Revision::default(),
            ..self.new_realm(PLATFORM_REALM, "Platform", ctx.now)
        };
        let Some(tx) = self.store.begin_first(&platform).await? else { return Ok(false) };
        self.make_default_realm(&tx, &ctx).await?;
        let events = self.make_operator(&tx, &ctx, key).await?;
        let mut stale = vec![crate::domain::change::Key::Catalogue];
        for event in &events {
            tx.rows().append_audit(&[done_line(self, &ctx, event)]).await?;
            stale.extend(event.stale());
        }
        super::failpoint::reach("begin.before_commit").await;
        tx.commit(stale, random_mark(), ctx.now).await?;
        Ok(true)
    }

    /// Makes `key` one of a platform account: the way back when every operator's key is lost. A disabled account is
    /// enabled, and the operator's is made again if it was deleted. For whoever holds the root key and the database; no
    /// call leads here.
    ///
    /// # Errors
    /// Another root key, a database that was never begun, no account of that name; UNAVAILABLE.
    pub async fn recover_key(&self, name: &str, key: &NewKey) -> Result<()> {
        let platform = self.platform_realm().await?.ok_or_else(|| Error::internal(Fault::NeverBegun))?;
        self.require_root_key().await?;
        let ctx = self.own_call(platform, "RecoverKey");
        self.write(&ctx, async |change: &mut Change<'_>| {
            let account = change.enabled_account(name).await?;
            change.keep_key(&account, key, "made by key recover", None).await?;
            Ok(())
        })
        .await?;
        Ok(())
    }

    /// Makes sure that the root key is this database's, and that the database is not a copy of it which nobody has said
    /// was put back ([`App::restored`]).
    ///
    /// # Errors
    /// Another root key; a copy; UNAVAILABLE.
    pub async fn open(&self) -> Result<()> {
        self.require_root_key().await?;
        let Some(identity) = self.store.identity().await? else { return Ok(()) };
        let kept = self.store.keep_once(IDENTITY, identity.clone()).await?;
        if kept == identity { Ok(()) } else { Err(Error::internal(Fault::Copy)) }
    }

    /// Makes sure that the root key is this database's. While the key is rotated, this seals everything anew.
    ///
    /// # Errors
    /// Another root key; UNAVAILABLE.
    async fn require_root_key(&self) -> Result<()> {
        let kept = self.store.keep_once(ROOT_KEY, self.keys.check_value().to_vec()).await?;
        match self.keys.opens(&kept) {
            Some(Generation::Current) => Ok(()),
            Some(Generation::Previous) => self.rotate().await,
            None => Err(Error::internal(Fault::RootKey)),
        }
    }

    /// Seals everything anew under the current root key, so that the previous one can be taken away. Stopped half-way,
    /// it begins again at the next start: what is sealed under either key opens until the check value is replaced.
    async fn rotate(&self) -> Result<()> {
        for realm in self.store.realms().await? {
            let rows = self.store.rows(realm.id);
            let tombstones = rows.tombstone_key().await?;
            let tombstones = tombstones.and_then(|sealed| TombstoneKey::open(&self.keys, realm.id, &sealed));
            if let Some(key) = tombstones {
                self.store.reseal_tombstone_key(realm.id, key.seal(&self.keys, realm.id)).await?;
            }
            for row in rows.signing_keys().await? {
                if let Some(key) = SigningKey::open(&self.keys, realm.id, row.id, &row.sealed_key) {
                    self.store.reseal(row.id, key.seal(&self.keys, realm.id)).await?;
                }
            }
        }
        self.store.replace(ROOT_KEY, self.keys.check_value().to_vec()).await?;
        tracing::info!("everything is sealed under the current root key; the previous one is no longer needed");
        Ok(())
    }

    /// A call that nobody sent.
    pub(super) fn own_call(&self, realm: RealmId, action: &'static str) -> Ctx {
        Ctx {
            realm,
            actor: Actor::Anonymous,
            rpc: action,
            now: self.clock.now(),
            deadline: None,
            caller: None,
            credential_expires_at: None,
            peer: None,
            call: CallId::default(),
            trace_id: None,
            repeat: None,
            aimed: Aimed::default(),
        }
    }

    async fn make_default_realm(&self, tx: &Tx, ctx: &Ctx) -> Result<()> {
        let realm = self.new_realm(DEFAULT_REALM, "Default", ctx.now);
        tx.insert_realm(&realm).await?;
        let rows = tx.rows_of(realm.id);
        rows.insert_signing_key(&self.new_signing_key(realm.id, ctx.now)).await?;
        let created = Event::RealmCreated { realm: realm.id, name: realm.name };
        rows.append_audit(&[done_line(self, ctx, &created)]).await?;
        Ok(())
    }

    async fn make_operator(&self, tx: &Tx, ctx: &Ctx, secret: &NewKey) -> Result<[Event; 2]> {
        let account = self.platform_account(OPERATOR, ctx);
        let key = ApiKey {
            id: ApiKeyId(self.clock.new_id()),
            service_account: account.id,
            secret_hash: secret.hash(),
            title: "made by the first start".to_owned(),
            created_at: ctx.now,
            created_by: None,
            expires_at: None,
            revoked_at: None,
            last_used_at: None,
        };
        tx.rows().insert_service_account(&account).await?;
        tx.rows().insert_api_key(&key).await?;
        Ok([
            created(&account),
            Event::ApiKeyCreated { key: key.id, account: account.id, organization: None, hash: key.secret_hash },
        ])
    }

    fn platform_account(&self, name: &str, ctx: &Ctx) -> ServiceAccount {
        ServiceAccount {
            id: ServiceAccountId(self.clock.new_id()),
            name: name.to_owned(),
            title: name.to_owned(),
            organization: None,
            spiffe_id: None,
            disabled_at: None,
            created_at: ctx.now,
            created_by: None,
            version: 1,
        }
    }
}

impl Change<'_> {
    /// The account of that name, enabled if need be. The operator's is made if it is gone; a mistyped name makes none.
    async fn enabled_account(&mut self, name: &str) -> Result<ServiceAccount> {
        match self.rows().service_account_named(name).await? {
            Some(account) if account.disabled_at.is_none() => Ok(account),
            Some(mut account) => {
                account.disabled_at = None;
                account.version += 1;
                self.rows().update_service_account(&account).await?;
                let ServiceAccount { id, organization, .. } = account;
                self.record(Event::ServiceAccountEnabled { account: id, organization });
                Ok(account)
            }
            None if name != OPERATOR => Err(Error::internal(Fault::NoAccount(name.to_owned()))),
            None => {
                let account = self.app.platform_account(name, self.ctx);
                self.rows().insert_service_account(&account).await?;
                self.record(created(&account));
                Ok(account)
            }
        }
    }
}

fn created(account: &ServiceAccount) -> Event {
    let ServiceAccount { id, name, organization, .. } = account;
    Event::ServiceAccountCreated { account: *id, name: name.clone(), organization: *organization, spiffe_id: None }
}
