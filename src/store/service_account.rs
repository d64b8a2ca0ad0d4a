//! Service accounts and their API keys.

use sea_orm::sea_query::ExprTrait;
use sea_orm::{
    ActiveModelTrait, ActiveValue::NotSet, ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, EntityTrait,
    PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
};

use super::Store;
use super::entity::{api_keys, realms, service_accounts};
use super::error::{Result, corrupt};
use super::reach::Within;
use super::rows::{Rows, matching};
use crate::domain::change::Loaded;
use crate::domain::ids::{ApiKeyId, Mark, OrganizationId, PrincipalId, RealmId, Revision, ServiceAccountId};
use crate::domain::realm::Position;
use crate::domain::service_account::{ApiKey, Credential, ServiceAccount};
use crate::domain::time::Timestamp;
use crate::domain::workload::Presented;

/// Realm, account, when the key expires, when it was revoked, whether the realm is the platform's, revision, mark.
type CredentialRow = (uuid::Uuid, uuid::Uuid, Option<i64>, Option<i64>, bool, i64, i64);

/// What comes between the name that an account had and its id, once the name is free. No name has it.
const FREED: char = '#';

/// Which service accounts to list. Empty fields do not narrow.
#[derive(Clone, Default, Debug)]
pub struct ServiceAccountFilter {
    /// Part of the name, in any case.
    pub name: Option<String>,
    pub organization: Option<OrganizationId>,
    /// Only disabled ones.
    pub disabled: bool,
    /// Only those of these organizations; absent = also those of the realm.
    pub within: Option<Within>,
    /// Only accounts after this one.
    pub after: Option<ServiceAccountId>,
}

/// Which API keys to list. Empty fields do not narrow.
#[derive(Clone, Default, Debug)]
pub struct ApiKeyFilter {
    pub account: Option<ServiceAccountId>,
    /// Who made them.
    pub maker: Option<PrincipalId>,
    /// Only those that are neither revoked nor expired then.
    pub living: Option<Timestamp>,
    /// Only those of accounts of these organizations; absent = also those of the realm's.
    pub within: Option<Vec<OrganizationId>>,
    /// Only keys after this one.
    pub after: Option<ApiKeyId>,
}

impl<C: ConnectionTrait> Rows<'_, C> {
    /// Whether the realm has a key of that hash which is not revoked.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn is_key_good(&self, secret_hash: &[u8; 32]) -> Result<bool> {
        let good = api_keys::Entity::find()
            .filter(api_keys::Column::RealmId.eq(self.realm.0))
            .filter(api_keys::Column::SecretHash.eq(secret_hash.to_vec()))
            .filter(api_keys::Column::RevokedAt.is_null());
        Ok(good.one(self.conn).await?.is_some())
    }
}

impl Store {
    /// Writes down when keys were used last, each by its hash; an earlier instant than the one written stays unwritten.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn note_uses(&self, uses: &[([u8; 32], Timestamp)]) -> Result<()> {
        for (hash, at) in uses {
            let earlier = api_keys::Column::LastUsedAt.is_null().or(api_keys::Column::LastUsedAt.lt(at.0));
            api_keys::Entity::update_many()
                .col_expr(api_keys::Column::LastUsedAt, Some(at.0).into())
                .filter(api_keys::Column::SecretHash.eq(hash.to_vec()))
                .filter(earlier)
                .exec(&self.append)
                .await?;
        }
        Ok(())
    }

    /// Whom an API key or a certificate stands for, nobody if the key is revoked; `None` if it is unknown. One statement,
    /// in any realm: a credential names its realm and not the other way round.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn credential(&self, presented: &Presented) -> Result<Option<Loaded<Credential>>> {
        match presented {
            Presented::ApiKey(secret_hash) => self.credential_of_key(secret_hash).await,
            Presented::Workload(workload) => self.credential_of_workload(workload.spiffe_id.as_str()).await,
        }
    }

    async fn credential_of_key(&self, secret_hash: &[u8; 32]) -> Result<Option<Loaded<Credential>>> {
        let row: Option<CredentialRow> = api_keys::Entity::find()
            .select_only()
            .column(api_keys::Column::RealmId)
            .column(api_keys::Column::ServiceAccountId)
            .column(api_keys::Column::ExpiresAt)
            .column(api_keys::Column::RevokedAt)
            .column(realms::Column::Platform)
            .column(realms::Column::Revision)
            .column(realms::Column::Mark)
            .join(
                sea_orm::JoinType::InnerJoin,
                api_keys::Entity::belongs_to(realms::Entity)
                    .from(api_keys::Column::RealmId)
                    .to(realms::Column::Id)
                    .into(),
            )
            .filter(api_keys::Column::SecretHash.eq(secret_hash.to_vec()))
            .into_tuple()
            .one(&self.loads)
            .await?;
        Ok(row.map(|(realm, account, expires_at, revoked_at, platform, revision, mark)| {
            let credential = Credential {
                realm: RealmId(realm),
                platform,
                service_account: ServiceAccountId(account),
                expires_at: expires_at.map(Timestamp),
            };
            let as_of = Position { revision: Revision(revision), mark: Mark(mark) };
            Loaded { as_of, value: revoked_at.is_none().then_some(credential) }
        }))
    }

    /// Whether the account is disabled is its principal's business.
    async fn credential_of_workload(&self, spiffe_id: &str) -> Result<Option<Loaded<Credential>>> {
        let row: Option<(uuid::Uuid, uuid::Uuid, bool, i64, i64)> = service_accounts::Entity::find()
            .select_only()
            .column(service_accounts::Column::RealmId)
            .column(service_accounts::Column::Id)
            .column(realms::Column::Platform)
            .column(realms::Column::Revision)
            .column(realms::Column::Mark)
            .join(
                sea_orm::JoinType::InnerJoin,
                service_accounts::Entity::belongs_to(realms::Entity)
                    .from(service_accounts::Column::RealmId)
                    .to(realms::Column::Id)
                    .into(),
            )
            .filter(service_accounts::Column::SpiffeId.eq(spiffe_id))
            .into_tuple()
            .one(&self.loads)
            .await?;
        Ok(row.map(|(realm, account, platform, revision, mark)| {
            let service_account = ServiceAccountId(account);
            let credential = Credential { realm: RealmId(realm), platform, service_account, expires_at: None };
            Loaded { as_of: Position { revision: Revision(revision), mark: Mark(mark) }, value: Some(credential) }
        }))
    }
}

impl<C: ConnectionTrait> Rows<'_, C> {
    /// The service account of that id.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn service_account(&self, id: ServiceAccountId) -> Result<Option<ServiceAccount>> {
        self.service_account_where(service_accounts::Column::Id.eq(id.0)).await
    }

    /// The service account of that name.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn service_account_named(&self, name: &str) -> Result<Option<ServiceAccount>> {
        self.service_account_where(service_accounts::Column::Name.eq(name)).await
    }

    /// Makes a service account.
    ///
    /// # Errors
    /// [`super::Constraint::ServiceAccountName`] and [`super::Constraint::SpiffeId`] if those are taken.
    pub async fn insert_service_account(&self, account: &ServiceAccount) -> Result<()> {
        self.service_account_row(account).insert(self.conn).await?;
        Ok(())
    }

    /// Writes a service account.
    ///
    /// # Errors
    /// As [`Rows::insert_service_account`].
    pub async fn update_service_account(&self, account: &ServiceAccount) -> Result<()> {
        self.service_account_row(account).update(self.conn).await?;
        Ok(())
    }

    /// A page of service accounts, the oldest first.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn list_service_accounts(
        &self,
        filter: &ServiceAccountFilter,
        limit: u64,
    ) -> Result<Vec<ServiceAccount>> {
        let ServiceAccountFilter { name, organization, disabled, within, after } = filter;
        let which = Condition::all()
            .add_option(name.as_ref().map(|part| service_accounts::Column::Name.like(matching("%", part))))
            .add_option(organization.map(|id| service_accounts::Column::OrganizationId.eq(id.0)))
            .add_option(disabled.then(|| service_accounts::Column::DisabledAt.is_not_null()))
            .add_option(within.as_ref().map(|within| self.within(within, service_accounts::Column::OrganizationId)))
            .add_option(after.map(|after| service_accounts::Column::Id.gt(after.0)));
        let page = self.living_accounts().filter(which).order_by_asc(service_accounts::Column::Id).limit(limit);
        Ok(page.all(self.conn).await?.into_iter().map(service_account).collect())
    }

    /// Deletes a service account: its name and SPIFFE id are free. The row stays, since the audit log and whatever it
    /// made refer to it.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn delete_service_account(&self, account: &ServiceAccount, now: Timestamp) -> Result<()> {
        let gone = ServiceAccount {
            // No account has such a name.
            name: format!("{}{FREED}{}", account.name, account.id),
            spiffe_id: None,
            disabled_at: Some(account.disabled_at.unwrap_or(now)),
            version: account.version + 1,
            ..account.clone()
        };
        let row = service_accounts::ActiveModel { deleted_at: Set(Some(now.0)), ..self.service_account_row(&gone) };
        row.update(self.conn).await?;
        Ok(())
    }

    /// How many keys of the account are neither revoked nor expired.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn live_api_keys(&self, account: ServiceAccountId, now: Timestamp) -> Result<u64> {
        Ok(self.keys_of(account).filter(live(now)).count(self.conn).await?)
    }

    /// A page of API keys, the oldest first.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn list_api_keys(&self, filter: &ApiKeyFilter, limit: u64) -> Result<Vec<ApiKey>> {
        let ApiKeyFilter { account, maker, living, within, after } = filter;
        let of_accounts = |organizations: &Vec<OrganizationId>| {
            let accounts = service_accounts::Entity::find()
                .select_only()
                .column(service_accounts::Column::Id)
                .filter(service_accounts::Column::RealmId.eq(self.realm.0))
                .filter(service_accounts::Column::OrganizationId.is_in(organizations.iter().map(|id| id.0)));
            api_keys::Column::ServiceAccountId.in_subquery(accounts.into_query())
        };
        let which = Condition::all()
            .add(api_keys::Column::RealmId.eq(self.realm.0))
            .add_option(account.map(|account| api_keys::Column::ServiceAccountId.eq(account.0)))
            .add_option(maker.map(|maker| api_keys::Column::CreatedBy.eq(maker.0)))
            .add_option(living.map(live))
            .add_option(within.as_ref().map(of_accounts))
            .add_option(after.map(|after| api_keys::Column::Id.gt(after.0)));
        let page = api_keys::Entity::find().filter(which).order_by_asc(api_keys::Column::Id).limit(limit);
        page.all(self.conn).await?.into_iter().map(api_key).collect()
    }

    /// Revokes every key of the account that is not revoked yet. Answers their hashes.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn revoke_api_keys(&self, account: ServiceAccountId, now: Timestamp) -> Result<Vec<[u8; 32]>> {
        let unrevoked = self.keys_of(account).filter(api_keys::Column::RevokedAt.is_null());
        let keys = unrevoked.all(self.conn).await?.into_iter().map(api_key).collect::<Result<Vec<_>>>()?;
        for key in &keys {
            self.revoke_api_key(key.id, now).await?;
        }
        Ok(keys.into_iter().map(|key| key.secret_hash).collect())
    }

    /// Who ever made a key of the account, revoked ones included, or named the workload that it is.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn credential_makers(&self, account: ServiceAccountId) -> Result<Vec<PrincipalId>> {
        let makers = api_keys::Entity::find()
            .select_only()
            .column(api_keys::Column::CreatedBy)
            .distinct()
            .filter(api_keys::Column::RealmId.eq(self.realm.0))
            .filter(api_keys::Column::ServiceAccountId.eq(account.0))
            .filter(api_keys::Column::CreatedBy.is_not_null())
            .into_tuple::<uuid::Uuid>()
            .all(self.conn)
            .await?;
        let named = self.service_account(account).await?.filter(|account| account.spiffe_id.is_some());
        let namer = named.and_then(|account| account.created_by);
        Ok(makers.into_iter().map(PrincipalId).chain(namer).collect())
    }

    /// The API key of that id.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn api_key(&self, id: ApiKeyId) -> Result<Option<ApiKey>> {
        let row = api_keys::Entity::find_by_id(id.0)
            .filter(api_keys::Column::RealmId.eq(self.realm.0))
            .one(self.conn)
            .await?;
        row.map(api_key).transpose()
    }

    /// Keeps a new API key; its secret is not among what is kept.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn insert_api_key(&self, key: &ApiKey) -> Result<()> {
        let row = api_keys::ActiveModel {
            id: Set(key.id.0),
            realm_id: Set(self.realm.0),
            service_account_id: Set(key.service_account.0),
            secret_hash: Set(key.secret_hash.to_vec()),
            title: Set(key.title.clone()),
            created_at: Set(key.created_at.0),
            created_by: Set(key.created_by.map(|by| by.0)),
            expires_at: Set(key.expires_at.map(|at| at.0)),
            revoked_at: Set(key.revoked_at.map(|at| at.0)),
            last_used_at: Set(key.last_used_at.map(|at| at.0)),
        };
        row.insert(self.conn).await?;
        Ok(())
    }

    /// Revokes an API key.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn revoke_api_key(&self, id: ApiKeyId, now: Timestamp) -> Result<()> {
        api_keys::Entity::update_many()
            .col_expr(api_keys::Column::RevokedAt, Some(now.0).into())
            .filter(api_keys::Column::RealmId.eq(self.realm.0))
            .filter(api_keys::Column::Id.eq(id.0))
            .exec(self.conn)
            .await?;
        Ok(())
    }

    fn service_account_row(&self, account: &ServiceAccount) -> service_accounts::ActiveModel {
        service_accounts::ActiveModel {
            id: Set(account.id.0),
            realm_id: Set(self.realm.0),
            organization_id: Set(account.organization.map(|id| id.0)),
            name: Set(account.name.clone()),
            title: Set(account.title.clone()),
            spiffe_id: Set(account.spiffe_id.clone()),
            disabled_at: Set(account.disabled_at.map(|at| at.0)),
            created_at: Set(account.created_at.0),
            created_by: Set(account.created_by.map(|by| by.0)),
            version: Set(account.version),
            deleted_at: NotSet,
        }
    }

    fn living_accounts(&self) -> sea_orm::Select<service_accounts::Entity> {
        service_accounts::Entity::find()
            .filter(service_accounts::Column::RealmId.eq(self.realm.0))
            .filter(service_accounts::Column::DeletedAt.is_null())
    }

    fn keys_of(&self, account: ServiceAccountId) -> sea_orm::Select<api_keys::Entity> {
        api_keys::Entity::find()
            .filter(api_keys::Column::RealmId.eq(self.realm.0))
            .filter(api_keys::Column::ServiceAccountId.eq(account.0))
    }

    async fn service_account_where(
        &self,
        which: impl sea_orm::sea_query::IntoCondition,
    ) -> Result<Option<ServiceAccount>> {
        Ok(self.living_accounts().filter(which).one(self.conn).await?.map(service_account))
    }
}

/// The name of an account, also of one whose name is free again.
pub(in crate::store) fn as_it_was(name: String) -> String {
    match name.split_once(FREED) {
        Some((name, _)) => name.to_owned(),
        None => name,
    }
}

/// Neither revoked nor expired.
fn live(now: Timestamp) -> Condition {
    let unexpired = api_keys::Column::ExpiresAt.is_null().or(api_keys::Column::ExpiresAt.gt(now.0));
    Condition::all().add(api_keys::Column::RevokedAt.is_null()).add(unexpired)
}

fn service_account(row: service_accounts::Model) -> ServiceAccount {
    let service_accounts::Model {
        id,
        realm_id: _,
        organization_id,
        name,
        title,
        spiffe_id,
        disabled_at,
        created_at,
        created_by,
        version,
        deleted_at: _,
    } = row;
    ServiceAccount {
        id: ServiceAccountId(id),
        name,
        title,
        organization: organization_id.map(OrganizationId),
        spiffe_id,
        disabled_at: disabled_at.map(Timestamp),
        created_at: Timestamp(created_at),
        created_by: created_by.map(PrincipalId),
        version,
    }
}

fn api_key(row: api_keys::Model) -> Result<ApiKey> {
    let api_keys::Model {
        id,
        realm_id: _,
        service_account_id,
        secret_hash,
        title,
        created_at,
        created_by,
        expires_at,
        revoked_at,
        last_used_at,
    } = row;
    Ok(ApiKey {
        id: ApiKeyId(id),
        service_account: ServiceAccountId(service_account_id),
        secret_hash: secret_hash.try_into().map_err(|_| corrupt("hash of an API key"))?,
        title,
        created_at: Timestamp(created_at),
        created_by: created_by.map(PrincipalId),
        expires_at: expires_at.map(Timestamp),
        revoked_at: revoked_at.map(Timestamp),
        last_used_at: last_used_at.map(Timestamp),
    })
}
