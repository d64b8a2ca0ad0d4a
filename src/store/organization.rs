//! Organizations, their identifiers, and memberships.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::{
    ActiveModelTrait, ActiveValue::NotSet, ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, EntityTrait,
    QueryFilter, QueryOrder, QuerySelect, sea_query::OnConflict,
};

use super::entity::{identifiers, memberships, organizations};
use super::error::Result;
use super::rows::{Attributes, Rows, document, read, search_text, variant, word};
use crate::domain::ids::{OrganizationId, PrincipalId, UserId};
use crate::domain::organization::{Identifier, Member, Organization};
use crate::domain::time::Timestamp;

impl<C: ConnectionTrait> Rows<'_, C> {
    /// The organization of that id.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn organization(&self, id: OrganizationId) -> Result<Option<Organization>> {
        Ok(self.organizations_where(organizations::Column::Id.eq(id.0).into()).await?.pop())
    }

    /// The organization of that slug.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn organization_by_slug(&self, slug: &str) -> Result<Option<Organization>> {
        Ok(self.organizations_where(organizations::Column::Slug.eq(slug).into()).await?.pop())
    }

    /// The organizations of these ids, by id; unknown ids are left out.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn organizations_of(&self, ids: &[OrganizationId]) -> Result<Vec<Organization>> {
        self.organizations_where(organizations::Column::Id.is_in(ids.iter().map(|id| id.0)).into()).await
    }

    /// The slugs of these organizations.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn slugs(&self, ids: &[OrganizationId]) -> Result<BTreeMap<OrganizationId, String>> {
        if ids.is_empty() {
            return Ok(BTreeMap::new());
        }
        let rows: Vec<(uuid::Uuid, String)> = organizations::Entity::find()
            .select_only()
            .columns([organizations::Column::Id, organizations::Column::Slug])
            .filter(organizations::Column::RealmId.eq(self.realm.0))
            .filter(organizations::Column::Id.is_in(ids.iter().map(|id| id.0)))
            .into_tuple()
            .all(self.conn)
            .await?;
        Ok(rows.into_iter().map(|(id, slug)| (OrganizationId(id), slug)).collect())
    }

    /// The organizations that carry all of these identifiers; at most two are looked for.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn organizations_with(&self, wanted: &BTreeSet<Identifier>) -> Result<Vec<OrganizationId>> {
        let mut common: Option<BTreeSet<uuid::Uuid>> = None;
        for identifier in wanted {
            let carriers: Vec<uuid::Uuid> = identifiers::Entity::find()
                .select_only()
                .column(identifiers::Column::OrganizationId)
                .filter(identifiers::Column::RealmId.eq(self.realm.0))
                .filter(identifiers::Column::Scheme.eq(identifier.scheme.as_str()))
                .filter(identifiers::Column::Value.eq(identifier.value.as_str()))
                .into_tuple()
                .all(self.conn)
                .await?;
            let carriers: BTreeSet<_> = carriers.into_iter().collect();
            common = Some(match common {
                Some(before) => before.intersection(&carriers).copied().collect(),
                None => carriers,
            });
        }
        Ok(common.unwrap_or_default().into_iter().take(2).map(OrganizationId).collect())
    }

    /// Makes an organization with its identifiers.
    ///
    /// # Errors
    /// [`super::Constraint::OrganizationSlug`] if the slug is taken.
    pub async fn insert_organization(&self, new: &Organization) -> Result<()> {
        self.organization_row(new)?.insert(self.conn).await?;
        self.replace_identifiers(new).await
    }

    /// Writes an organization and its identifiers.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn update_organization(&self, to: &Organization) -> Result<()> {
        self.organization_row(to)?.update(self.conn).await?;
        self.replace_identifiers(to).await
    }

    /// A user's memberships, in every state.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn memberships(&self, user: UserId) -> Result<Vec<Member>> {
        self.memberships_of(&[user]).await
    }

    /// The memberships of these users, in every state, by user and organization.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn memberships_of(&self, users: &[UserId]) -> Result<Vec<Member>> {
        let rows = memberships::Entity::find()
            .filter(memberships::Column::RealmId.eq(self.realm.0))
            .filter(memberships::Column::UserId.is_in(users.iter().map(|id| id.0)))
            .order_by_asc(memberships::Column::UserId)
            .order_by_asc(memberships::Column::OrganizationId)
            .all(self.conn)
            .await?;
        rows.into_iter().map(member).collect()
    }

    /// Writes a membership, new or known.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn save_membership(&self, member: &Member) -> Result<()> {
        let row = memberships::ActiveModel {
            user_id: Set(member.user.0),
            organization_id: Set(member.organization.0),
            realm_id: Set(self.realm.0),
            state: Set(word(member.state)?),
            attributes: Set(document(&member.attributes)?),
            created_at: Set(member.created_at.0),
            decided_at: Set(member.decided_at.map(|at| at.0)),
            decided_by: Set(member.decided_by.map(|by| by.0)),
            codes: NotSet,
        };
        let known = [memberships::Column::UserId, memberships::Column::OrganizationId];
        let written = [
            memberships::Column::State,
            memberships::Column::Attributes,
            memberships::Column::DecidedAt,
            memberships::Column::DecidedBy,
        ];
        let update = OnConflict::columns(known).update_columns(written).to_owned();
        memberships::Entity::insert(row).on_conflict(update).exec_without_returning(self.conn).await?;
        Ok(())
    }

    /// Removes a membership.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn delete_membership(&self, user: UserId, organization: OrganizationId) -> Result<()> {
        memberships::Entity::delete_many()
            .filter(memberships::Column::RealmId.eq(self.realm.0))
            .filter(memberships::Column::UserId.eq(user.0))
            .filter(memberships::Column::OrganizationId.eq(organization.0))
            .exec(self.conn)
            .await?;
        Ok(())
    }

    async fn organizations_where(&self, which: Condition) -> Result<Vec<Organization>> {
        let rows = organizations::Entity::find()
            .filter(organizations::Column::RealmId.eq(self.realm.0))
            .filter(which)
            .order_by_asc(organizations::Column::Id)
            .all(self.conn)
            .await?;
        self.with_identifiers(rows).await
    }

    /// The organizations of these rows, in their order.
    pub(in crate::store) async fn with_identifiers(
        &self,
        rows: Vec<organizations::Model>,
    ) -> Result<Vec<Organization>> {
        let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
        let mut carried: BTreeMap<uuid::Uuid, BTreeSet<Identifier>> = BTreeMap::new();
        if !ids.is_empty() {
            let found = identifiers::Entity::find()
                .filter(identifiers::Column::OrganizationId.is_in(ids))
                .all(self.conn)
                .await?;
            for row in found {
                let identifier = Identifier { scheme: row.scheme, value: row.value };
                carried.entry(row.organization_id).or_default().insert(identifier);
            }
        }
        rows.into_iter()
            .map(|row| {
                let identifiers = carried.remove(&row.id).unwrap_or_default();
                organization(row, identifiers)
            })
            .collect()
    }

    async fn replace_identifiers(&self, of: &Organization) -> Result<()> {
        identifiers::Entity::delete_many()
            .filter(identifiers::Column::OrganizationId.eq(of.id.0))
            .exec(self.conn)
            .await?;
        let rows: Vec<_> = of
            .identifiers
            .iter()
            .map(|identifier| identifiers::ActiveModel {
                organization_id: Set(of.id.0),
                realm_id: Set(self.realm.0),
                scheme: Set(identifier.scheme.clone()),
                value: Set(identifier.value.clone()),
            })
            .collect();
        if !rows.is_empty() {
            identifiers::Entity::insert_many(rows).exec_without_returning(self.conn).await?;
        }
        Ok(())
    }

    fn organization_row(&self, of: &Organization) -> Result<organizations::ActiveModel> {
        Ok(organizations::ActiveModel {
            id: Set(of.id.0),
            realm_id: Set(self.realm.0),
            slug: Set(of.slug.clone()),
            title: Set(of.title.clone()),
            kind: Set(of.kind.clone()),
            suspended: Set(of.suspended),
            founded_at: Set(of.founded_at.map(|at| at.0)),
            entitlements: Set(document(&of.entitlements)?),
            contacts: Set(document(&of.contacts)?),
            version: Set(of.version),
            created_at: Set(of.created_at.0),
            registered_by: NotSet,
            search: Set(search_text(&of.slug, &of.title)),
        })
    }
}

fn organization(row: organizations::Model, identifiers: BTreeSet<Identifier>) -> Result<Organization> {
    let organizations::Model {
        id,
        realm_id: _,
        slug,
        title,
        kind,
        suspended,
        founded_at,
        entitlements,
        contacts,
        version,
        created_at,
        registered_by: _,
        search: _,
    } = row;
    Ok(Organization {
        id: OrganizationId(id),
        slug,
        title,
        kind,
        suspended,
        founded_at: founded_at.map(Timestamp),
        entitlements: read(&entitlements, "entitlements")?,
        contacts: read(&contacts, "contacts")?,
        identifiers,
        version,
        created_at: Timestamp(created_at),
    })
}

/// A membership as the record has it.
pub(in crate::store) fn member(row: memberships::Model) -> Result<Member> {
    Ok(Member {
        user: UserId(row.user_id),
        organization: OrganizationId(row.organization_id),
        state: variant(&row.state, "membership")?,
        attributes: read::<Attributes>(&row.attributes, "attributes")?,
        created_at: Timestamp(row.created_at),
        decided_at: row.decided_at.map(Timestamp),
        decided_by: row.decided_by.map(PrincipalId),
    })
}
