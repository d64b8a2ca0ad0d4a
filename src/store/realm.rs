//! Realms, their signing keys, and the two facts of the whole record: the root key's check value and the first start.

use sea_orm::{
    ActiveModelTrait,
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, ExprTrait, Func, LockType, OnConflict},
};

use super::entity::{changes, meta, realms, service_accounts, signing_keys};
use super::error::{Error, Result};
use super::rows::{Rows, document, read};
use super::{Constraint, Store, Tx};
use crate::domain::change::Key;
use crate::domain::ids::{Mark, RealmId, Revision, SigningKeyId};
use crate::domain::realm::{Position, Realm, SigningKeyRow};
use crate::domain::time::Timestamp;
use crate::domain::workload::SpiffePrefix;

impl Store {
    /// The realm of that id, the platform's among them.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn realm(&self, id: RealmId) -> Result<Option<Realm>> {
        realms::Entity::find_by_id(id.0).one(&self.loads).await?.map(realm).transpose()
    }

    /// The realm of that name.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn realm_named(&self, name: &str) -> Result<Option<Realm>> {
        realms::Entity::find().filter(realms::Column::Name.eq(name)).one(&self.loads).await?.map(realm).transpose()
    }

    /// Every realm, the platform's among them, oldest first.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn realms(&self) -> Result<Vec<Realm>> {
        realms::Entity::find().order_by_asc(realms::Column::Id).all(&self.read).await?.into_iter().map(realm).collect()
    }

    /// A page of the realms after this one, the platform's left out, oldest first.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn list_realms(&self, after: Option<RealmId>, limit: u64) -> Result<Vec<Realm>> {
        let mut found = realms::Entity::find()
            .filter(realms::Column::Platform.eq(false))
            .order_by_asc(realms::Column::Id)
            .limit(limit);
        if let Some(after) = after {
            found = found.filter(realms::Column::Id.gt(after.0));
        }
        found.all(&self.read).await?.into_iter().map(realm).collect()
    }

    /// Keeps a fact of the whole record, unless it is kept already; answers what is kept.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn keep_once(&self, name: &str, value: Vec<u8>) -> Result<Vec<u8>> {
        let row = meta::ActiveModel { name: Set(name.to_owned()), value: Set(value.clone()) };
        let keep = OnConflict::column(meta::Column::Name).do_nothing().to_owned();
        meta::Entity::insert(row).on_conflict(keep).exec_without_returning(&self.write).await?;
        let kept = meta::Entity::find_by_id(name.to_owned()).one(&self.write).await?;
        Ok(kept.map_or(value, |row| row.value))
    }

    /// Replaces a fact of the whole record.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn replace(&self, name: &str, value: Vec<u8>) -> Result<()> {
        meta::Entity::update_many()
            .col_expr(meta::Column::Value, value.into())
            .filter(meta::Column::Name.eq(name))
            .exec(&self.write)
            .await?;
        Ok(())
    }

    /// Replaces the sealed half of a signing key.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn reseal(&self, key: SigningKeyId, sealed: Vec<u8>) -> Result<()> {
        signing_keys::Entity::update_many()
            .col_expr(signing_keys::Column::SealedKey, sealed.into())
            .filter(signing_keys::Column::Id.eq(key.0))
            .exec(&self.write)
            .await?;
        Ok(())
    }

    /// Begins the change that a record begins with: the first realm, the platform's, is made in it, and whatever else
    /// the change makes. `None` = some process did that before; while another one is at it, this waits for its outcome.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn begin_first(&self, platform: &Realm) -> Result<Option<Tx>> {
        if self.realm_named(&platform.name).await?.is_some() {
            return Ok(None);
        }
        let tx = self.begin_new(platform).await?;
        match row(platform)?.insert(tx.rows().conn).await.map_err(Error::from) {
            Ok(_) => Ok(Some(tx)),
            Err(Error::Conflict(Constraint::RealmName)) => {
                tx.rollback().await;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

impl Tx {
    /// Makes a realm and the first line of its log, within a change of another one.
    ///
    /// # Errors
    /// [`Constraint::RealmName`] if the name is taken.
    pub async fn insert_realm(&self, new: &Realm) -> Result<()> {
        let conn = self.rows().conn;
        row(new)?.insert(conn).await?;
        let line = changes::ActiveModel {
            realm_id: Set(new.id.0),
            revision: Set(new.position.revision.0),
            key: Set(Key::Catalogue.to_string()),
            mark: Set(new.position.mark.0),
            at: Set(new.created_at.0),
        };
        changes::Entity::insert(line).exec_without_returning(conn).await?;
        Ok(())
    }
}

impl Tx {
    /// What the SPIFFE ids of other realms begin with, and the realm that has each. Whoever else asks waits for the end of
    /// this transaction, so that two realms can't be given the same at once.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn other_spiffe_prefixes(&self) -> Result<Vec<(String, SpiffePrefix)>> {
        let conn = self.rows().conn;
        let platform = realms::Entity::find().filter(realms::Column::Platform.eq(true));
        platform.lock(LockType::NoKeyUpdate).all(conn).await?;
        let given: Vec<(String, String)> = realms::Entity::find()
            .select_only()
            .column(realms::Column::Name)
            .column(realms::Column::SpiffePrefixes)
            .filter(realms::Column::Id.ne(self.rows().realm.0))
            .filter(realms::Column::SpiffePrefixes.ne("[]"))
            .into_tuple()
            .all(conn)
            .await?;
        let mut found = vec![];
        for (name, prefixes) in given {
            let prefixes: Vec<SpiffePrefix> = read(&prefixes, "spiffe_prefixes")?;
            found.extend(prefixes.into_iter().map(|prefix| (name.clone(), prefix)));
        }
        Ok(found)
    }

    /// The first SPIFFE id of another realm's service account that begins so.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn other_spiffe_id(&self, prefix: &SpiffePrefix) -> Result<Option<String>> {
        let id = Expr::col(service_accounts::Column::SpiffeId);
        let length = i32::try_from(prefix.as_str().len()).unwrap_or(i32::MAX);
        // Not LIKE, which on SQLite has no case.
        let beginning = Func::cust("substr").arg(id).arg(1_i32).arg(length);
        let found = service_accounts::Entity::find()
            .filter(service_accounts::Column::RealmId.ne(self.rows().realm.0))
            .filter(ExprTrait::eq(Expr::from(beginning), prefix.as_str()))
            .one(self.rows().conn)
            .await?;
        Ok(found.and_then(|account| account.spiffe_id))
    }
}

impl<C: ConnectionTrait> Rows<'_, C> {
    /// The realm itself.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn realm(&self) -> Result<Option<Realm>> {
        realms::Entity::find_by_id(self.realm.0).one(self.conn).await?.map(realm).transpose()
    }

    /// Writes title, state, policy and SPIFFE prefixes; the revision is the transaction's business.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn update_realm(&self, to: &Realm) -> Result<()> {
        realms::Entity::update_many()
            .col_expr(realms::Column::Title, to.title.clone().into())
            .col_expr(realms::Column::Suspended, to.suspended.into())
            .col_expr(realms::Column::Policy, document(&to.policy)?.into())
            .col_expr(realms::Column::SpiffePrefixes, document(&to.spiffe_prefixes)?.into())
            .col_expr(realms::Column::Version, to.version.into())
            .filter(realms::Column::Id.eq(self.realm.0))
            .exec(self.conn)
            .await?;
        Ok(())
    }

    /// The realm's signing keys, oldest first.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn signing_keys(&self) -> Result<Vec<SigningKeyRow>> {
        let rows = signing_keys::Entity::find()
            .filter(signing_keys::Column::RealmId.eq(self.realm.0))
            .order_by_asc(signing_keys::Column::Id)
            .all(self.conn)
            .await?;
        Ok(rows.into_iter().map(signing_key).collect())
    }

    /// Keeps a new signing key.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn insert_signing_key(&self, key: &SigningKeyRow) -> Result<()> {
        let row = signing_keys::ActiveModel {
            id: Set(key.id.0),
            realm_id: Set(self.realm.0),
            public_key: Set(key.public_key.clone()),
            sealed_key: Set(key.sealed_key.clone()),
            created_at: Set(key.created_at.0),
            retired_at: Set(key.retired_at.map(|at| at.0)),
        };
        row.insert(self.conn).await?;
        Ok(())
    }
}

fn realm(row: realms::Model) -> Result<Realm> {
    let realms::Model {
        id,
        name,
        title,
        platform,
        suspended,
        policy,
        spiffe_prefixes,
        revision,
        mark,
        catalogue_revision,
        version,
        created_at,
    } = row;
    Ok(Realm {
        id: RealmId(id),
        name,
        title,
        platform,
        suspended,
        policy: read(&policy, "policy")?,
        spiffe_prefixes: read(&spiffe_prefixes, "spiffe_prefixes")?,
        position: Position { revision: Revision(revision), mark: Mark(mark) },
        catalogue_revision: Revision(catalogue_revision),
        version,
        created_at: Timestamp(created_at),
    })
}

fn row(realm: &Realm) -> Result<realms::ActiveModel> {
    Ok(realms::ActiveModel {
        id: Set(realm.id.0),
        name: Set(realm.name.clone()),
        title: Set(realm.title.clone()),
        platform: Set(realm.platform),
        suspended: Set(realm.suspended),
        policy: Set(document(&realm.policy)?),
        spiffe_prefixes: Set(document(&realm.spiffe_prefixes)?),
        revision: Set(realm.position.revision.0),
        mark: Set(realm.position.mark.0),
        catalogue_revision: Set(realm.catalogue_revision.0),
        version: Set(realm.version),
        created_at: Set(realm.created_at.0),
    })
}

fn signing_key(row: signing_keys::Model) -> SigningKeyRow {
    let signing_keys::Model { id, realm_id: _, public_key, sealed_key, created_at, retired_at } = row;
    SigningKeyRow {
        id: SigningKeyId(id),
        public_key,
        sealed_key,
        created_at: Timestamp(created_at),
        retired_at: retired_at.map(Timestamp),
    }
}
