//! Permissions and entries.

use std::collections::BTreeMap;

use sea_orm::sea_query::ExprTrait;
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, EntityTrait, PaginatorTrait,
    QueryFilter, QueryOrder, QuerySelect,
};

use super::entity::{entries, permissions};
use super::error::{Result, corrupt};
use super::rows::{Rows, variant, word};
use crate::domain::catalogue::Permission;
use crate::domain::entry::EntryRow;
use crate::domain::ids::{EntryId, OrganizationId, PrincipalId, RoleId};
use crate::domain::permission::{Pattern, PermissionName, Reach};
use crate::domain::snapshot::{Confers, Entry, Resource, Scope, Window};
use crate::domain::time::Timestamp;

/// Which entries to read. Empty fields do not narrow.
#[derive(Clone, Default, Debug)]
pub struct EntryFilter {
    pub principal: Option<PrincipalId>,
    /// Assignments of one of these.
    pub roles: Option<Vec<RoleId>>,
    /// Grants of this pattern.
    pub pattern: Option<Pattern>,
    /// Only entries of this scope: those of the realm are not in its organizations.
    pub scope: Option<Scope>,
    /// Only entries on this resource, or on none.
    pub resource: Option<Option<Resource>>,
}

impl<C: ConnectionTrait> Rows<'_, C> {
    /// Every declared permission of the realm, retired ones among them, by name.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn permissions(&self) -> Result<Vec<Permission>> {
        let rows = permissions::Entity::find()
            .filter(permissions::Column::RealmId.eq(self.realm.0))
            .order_by_asc(permissions::Column::Name)
            .all(self.conn)
            .await?;
        rows.into_iter().map(permission).collect()
    }

    /// A declared permission, and when it was first declared.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn permission(&self, name: &PermissionName) -> Result<Option<(Permission, Timestamp)>> {
        let row = permissions::Entity::find_by_id((self.realm.0, name.to_string())).one(self.conn).await?;
        row.map(|row| {
            let declared_at = Timestamp(row.created_at);
            Ok((permission(row)?, declared_at))
        })
        .transpose()
    }

    /// When each of these permissions was first declared; unknown names are left out.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn declared_at(&self, names: &[&str]) -> Result<BTreeMap<String, Timestamp>> {
        let rows: Vec<(String, i64)> = permissions::Entity::find()
            .select_only()
            .columns([permissions::Column::Name, permissions::Column::CreatedAt])
            .filter(permissions::Column::RealmId.eq(self.realm.0))
            .filter(permissions::Column::Name.is_in(names.iter().copied()))
            .into_tuple()
            .all(self.conn)
            .await?;
        Ok(rows.into_iter().map(|(name, at)| (name, Timestamp(at))).collect())
    }

    /// Writes a permission, new or known; when it was first declared stays.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn save_permission(&self, permission: &Permission, now: Timestamp) -> Result<()> {
        let row = permissions::ActiveModel {
            realm_id: Set(self.realm.0),
            name: Set(permission.name.to_string()),
            title: Set(permission.title.clone()),
            section: Set(permission.section.clone()),
            protected: Set(permission.protected),
            retired_at: Set(permission.retired.then_some(now.0)),
            created_at: Set(now.0),
        };
        let update = sea_orm::sea_query::OnConflict::columns([permissions::Column::RealmId, permissions::Column::Name])
            .update_columns([
                permissions::Column::Title,
                permissions::Column::Section,
                permissions::Column::Protected,
                permissions::Column::RetiredAt,
            ])
            .to_owned();
        permissions::Entity::insert(row).on_conflict(update).exec_without_returning(self.conn).await?;
        Ok(())
    }

    /// Reads entries, oldest first.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn entries(&self, filter: &EntryFilter) -> Result<Vec<EntryRow>> {
        let EntryFilter { principal, roles, pattern, scope, resource } = filter;
        let which = Condition::all()
            .add(entries::Column::RealmId.eq(self.realm.0))
            .add_option(principal.map(|id| entries::Column::PrincipalId.eq(id.0)))
            .add_option(roles.as_ref().map(|roles| entries::Column::RoleId.is_in(roles.iter().map(|role| role.0))))
            .add_option(roles.as_ref().map(|_| entries::Column::Pattern.is_null()))
            .add_option(pattern.as_ref().map(|pattern| entries::Column::Pattern.eq(pattern.as_str())))
            .add_option(pattern.as_ref().map(|_| entries::Column::RoleId.is_null()))
            .add_option(scope.map(|scope| match scope.organization() {
                Some(id) => entries::Column::OrganizationId.eq(id.0),
                None => entries::Column::OrganizationId.is_null(),
            }))
            .add_option(resource.as_ref().map(|resource| match resource {
                Some(Resource { kind, id }) => {
                    entries::Column::ResourceType.eq(kind.as_str()).and(entries::Column::ResourceId.eq(id.as_str()))
                }
                None => entries::Column::ResourceId.is_null(),
            }));
        let rows = entries::Entity::find().filter(which).order_by_asc(entries::Column::Id).all(self.conn).await?;
        rows.into_iter().map(entry).collect()
    }

    /// Everything that a principal holds, oldest first.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn entries_of(&self, principal: PrincipalId) -> Result<Vec<EntryRow>> {
        self.entries(&EntryFilter { principal: Some(principal), ..EntryFilter::default() }).await
    }

    /// How many entries a principal holds.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn count_entries(&self, principal: PrincipalId) -> Result<u64> {
        let held = entries::Entity::find().filter(entries::Column::RealmId.eq(self.realm.0));
        Ok(held.filter(entries::Column::PrincipalId.eq(principal.0)).count(self.conn).await?)
    }

    /// The entry of that id.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn entry(&self, id: EntryId) -> Result<Option<EntryRow>> {
        let row =
            entries::Entity::find_by_id(id.0).filter(entries::Column::RealmId.eq(self.realm.0)).one(self.conn).await?;
        row.map(entry).transpose()
    }

    /// Removes everything that a principal holds.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn delete_entries_of(&self, principal: PrincipalId) -> Result<()> {
        entries::Entity::delete_many()
            .filter(entries::Column::RealmId.eq(self.realm.0))
            .filter(entries::Column::PrincipalId.eq(principal.0))
            .exec(self.conn)
            .await?;
        Ok(())
    }

    /// Who holds an entry in the organization or realm-wide, each once.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn holders_in(&self, organization: Option<OrganizationId>) -> Result<Vec<PrincipalId>> {
        let scope = Condition::any()
            .add(entries::Column::OrganizationId.is_null())
            .add_option(organization.map(|id| entries::Column::OrganizationId.eq(id.0)));
        let ids: Vec<uuid::Uuid> = entries::Entity::find()
            .select_only()
            .column(entries::Column::PrincipalId)
            .distinct()
            .filter(entries::Column::RealmId.eq(self.realm.0))
            .filter(scope)
            .order_by_asc(entries::Column::PrincipalId)
            .into_tuple()
            .all(self.conn)
            .await?;
        Ok(ids.into_iter().map(PrincipalId).collect())
    }

    /// Who is assigned one of these roles in the organization or realm-wide, each once.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn holders_of(&self, roles: &[RoleId], organization: Option<OrganizationId>) -> Result<Vec<PrincipalId>> {
        let scope = Condition::any()
            .add(entries::Column::OrganizationId.is_null())
            .add_option(organization.map(|id| entries::Column::OrganizationId.eq(id.0)));
        let ids: Vec<uuid::Uuid> = entries::Entity::find()
            .select_only()
            .column(entries::Column::PrincipalId)
            .distinct()
            .filter(entries::Column::RealmId.eq(self.realm.0))
            .filter(entries::Column::RoleId.is_in(roles.iter().map(|role| role.0)))
            .filter(scope)
            .order_by_asc(entries::Column::PrincipalId)
            .into_tuple()
            .all(self.conn)
            .await?;
        Ok(ids.into_iter().map(PrincipalId).collect())
    }

    /// Makes an entry.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn insert_entry(&self, new: &EntryRow) -> Result<()> {
        let EntryRow { principal, entry, assigned_by, assigned_at, origin } = new;
        let (role_id, pattern, reach) = match &entry.confers {
            Confers::Role(role) => (Some(role.0), None, None),
            Confers::Grant { pattern, reach } => (None, Some(pattern.to_string()), Some(word(*reach)?)),
        };
        let row = entries::ActiveModel {
            id: Set(entry.id.0),
            realm_id: Set(self.realm.0),
            principal_id: Set(principal.0),
            role_id: Set(role_id),
            pattern: Set(pattern),
            reach: Set(reach),
            organization_id: Set(entry.scope.organization().map(|id| id.0)),
            resource_type: Set(entry.resource.as_ref().map(|resource| resource.kind.clone())),
            resource_id: Set(entry.resource.as_ref().map(|resource| resource.id.clone())),
            not_before: Set(entry.window.not_before().map(|at| at.0)),
            expires_at: Set(entry.window.expires_at().map(|at| at.0)),
            source: Set(word(*origin)?),
            created_at: Set(assigned_at.0),
            created_by: Set(assigned_by.map(|by| by.0)),
        };
        row.insert(self.conn).await?;
        Ok(())
    }

    /// Removes an entry.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn delete_entry(&self, id: EntryId) -> Result<()> {
        entries::Entity::delete_many()
            .filter(entries::Column::RealmId.eq(self.realm.0))
            .filter(entries::Column::Id.eq(id.0))
            .exec(self.conn)
            .await?;
        Ok(())
    }
}

fn permission(row: permissions::Model) -> Result<Permission> {
    let permissions::Model { realm_id: _, name, title, section, protected, retired_at, created_at: _ } = row;
    Ok(Permission {
        name: PermissionName::parse(&name).map_err(|_| corrupt("permission name"))?,
        title,
        section,
        protected,
        retired: retired_at.is_some(),
    })
}

pub(in crate::store) fn entry(row: entries::Model) -> Result<EntryRow> {
    let confers = match (row.role_id, row.pattern, row.reach) {
        (Some(role), _, _) => Confers::Role(RoleId(role)),
        (None, Some(pattern), Some(reach)) => grant(&pattern, &reach)?,
        _ => return Err(corrupt("entry")),
    };
    let entry = Entry {
        id: EntryId(row.id),
        confers,
        scope: row.organization_id.map_or(Scope::Realm, |id| Scope::Organization(OrganizationId(id))),
        resource: row.resource_type.zip(row.resource_id).map(|(kind, id)| Box::new(Resource { kind, id })),
        window: Window::new(row.not_before.map(Timestamp), row.expires_at.map(Timestamp)),
    };
    Ok(EntryRow {
        principal: PrincipalId(row.principal_id),
        entry,
        assigned_by: row.created_by.map(PrincipalId),
        assigned_at: Timestamp(row.created_at),
        origin: variant(&row.source, "origin")?,
    })
}

/// A grant as its columns hold it.
pub(in crate::store) fn grant(pattern: &str, reach: &str) -> Result<Confers> {
    let pattern = Pattern::parse(pattern).map_err(|_| corrupt("pattern"))?;
    let reach: Reach = variant(reach, "reach")?;
    Ok(Confers::Grant { pattern, reach })
}
