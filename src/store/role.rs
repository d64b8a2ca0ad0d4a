//! Roles, those among them that were deleted and still have assignments.

use sea_orm::sea_query::{ExprTrait, IntoCondition, Query};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect,
};

use super::Store;
use super::entity::{entries, roles};
use super::error::Result;
use super::rows::{Rows, document, read};
use crate::domain::catalogue::{Role, RoleRow};
use crate::domain::ids::{RealmId, RoleId};
use crate::domain::time::Timestamp;

/// Assignments that a role would no longer allow.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Forbidden {
    /// Those in organizations.
    InOrganizations,
    RealmWide,
    /// Those that name no resource of this type.
    WithoutResource(String),
}

impl<C: ConnectionTrait> Rows<'_, C> {
    /// Every role of the realm, by name.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn roles(&self) -> Result<Vec<Role>> {
        let rows = self.living_roles().order_by_asc(roles::Column::Name).all(self.conn).await?;
        rows.iter().map(|row| read(&row.definition, "role")).collect()
    }

    /// The roles of these ids, the oldest first; unknown ids are left out.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn role_rows(&self, ids: &[RoleId]) -> Result<Vec<RoleRow>> {
        let wanted = roles::Column::Id.is_in(ids.iter().map(|id| id.0));
        let rows = self.living_roles().filter(wanted).order_by_asc(roles::Column::Id).all(self.conn).await?;
        rows.into_iter().map(role).collect()
    }

    /// Makes a role.
    ///
    /// # Errors
    /// [`super::Constraint::RoleName`] if the name is taken.
    pub async fn insert_role(&self, new: &Role, now: Timestamp) -> Result<()> {
        let row = RoleRow { role: new.clone(), created_at: now, version: 1 };
        self.role_row(&row, None)?.insert(self.conn).await?;
        Ok(())
    }

    /// Writes a role.
    ///
    /// # Errors
    /// [`super::Constraint::RoleName`] if the name is taken.
    pub async fn update_role(&self, to: &RoleRow) -> Result<()> {
        self.role_row(to, None)?.update(self.conn).await?;
        Ok(())
    }

    /// Deletes a role: its name is free, its assignments stay for [`Store::tidy_roles`].
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn delete_role(&self, gone: &RoleRow, now: Timestamp) -> Result<()> {
        let RoleRow { role, created_at, version } = gone;
        // No role has such a name. Whoever reads the row without asking whether it was deleted finds an empty role.
        let role = Role { name: format!("{}#{}", role.name, role.id), ..role.emptied() };
        let emptied = RoleRow { role, created_at: *created_at, version: version + 1 };
        self.role_row(&emptied, Some(now))?.update(self.conn).await?;
        Ok(())
    }

    /// How many assignments of the role are such, expired ones aside; counts up to `most`.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn count_forbidden(&self, role: RoleId, which: &Forbidden, now: Timestamp, most: u64) -> Result<u64> {
        let which = match which {
            Forbidden::InOrganizations => entries::Column::OrganizationId.is_not_null().into_condition(),
            Forbidden::RealmWide => entries::Column::OrganizationId.is_null().into_condition(),
            Forbidden::WithoutResource(kind) => Condition::any()
                .add(entries::Column::ResourceType.is_null())
                .add(entries::Column::ResourceType.ne(kind.as_str())),
        };
        let lasting = entries::Column::ExpiresAt.is_null().or(entries::Column::ExpiresAt.gt(now.0));
        let found: Vec<uuid::Uuid> = entries::Entity::find()
            .select_only()
            .column(entries::Column::Id)
            .filter(entries::Column::RealmId.eq(self.realm.0))
            .filter(entries::Column::RoleId.eq(role.0))
            .filter(which)
            .filter(lasting)
            .limit(most)
            .into_tuple()
            .all(self.conn)
            .await?;
        Ok(found.len() as u64)
    }

    fn living_roles(&self) -> sea_orm::Select<roles::Entity> {
        roles::Entity::find().filter(roles::Column::RealmId.eq(self.realm.0)).filter(roles::Column::DeletedAt.is_null())
    }

    fn role_row(&self, row: &RoleRow, deleted_at: Option<Timestamp>) -> Result<roles::ActiveModel> {
        let RoleRow { role, created_at, version } = row;
        Ok(roles::ActiveModel {
            id: Set(role.id.0),
            realm_id: Set(self.realm.0),
            name: Set(role.name.clone()),
            title: Set(role.title.clone()),
            definition: Set(document(role)?),
            version: Set(*version),
            created_at: Set(created_at.0),
            deleted_at: Set(deleted_at.map(|at| at.0)),
        })
    }
}

impl Store {
    /// Removes some assignments of a role that was deleted, or the role itself if it has none left. Answers how many rows
    /// went; none once there is nothing left to tidy. No decision changes by it, so that nobody has to wait or be told.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn tidy_roles(&self, at_once: u64) -> Result<u64> {
        let deleted = roles::Entity::find().filter(roles::Column::DeletedAt.is_not_null());
        let Some(role) = deleted.order_by_asc(roles::Column::DeletedAt).one(&self.read).await? else { return Ok(0) };
        let (realm, role) = (RealmId(role.realm_id), RoleId(role.id));
        let some = Query::select()
            .column(entries::Column::Id)
            .from(entries::Entity)
            .and_where(entries::Column::RealmId.eq(realm.0))
            .and_where(entries::Column::RoleId.eq(role.0))
            .limit(at_once)
            .take();
        let gone =
            entries::Entity::delete_many().filter(entries::Column::Id.in_subquery(some)).exec(&self.write).await?;
        if gone.rows_affected > 0 {
            return Ok(gone.rows_affected);
        }
        Ok(roles::Entity::delete_by_id(role.0).exec(&self.write).await?.rows_affected)
    }
}

fn role(row: roles::Model) -> Result<RoleRow> {
    let roles::Model { id: _, realm_id: _, name: _, title: _, definition, version, created_at, deleted_at: _ } = row;
    Ok(RoleRow { role: read(&definition, "role")?, created_at: Timestamp(created_at), version })
}
