//! Rows of `service_accounts`.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "service_accounts")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub realm_id: Uuid,
    pub organization_id: Option<Uuid>,
    pub name: String,
    pub title: String,
    pub spiffe_id: Option<String>,
    pub disabled_at: Option<i64>,
    pub created_at: i64,
    pub created_by: Option<Uuid>,
    pub version: i64,
    pub deleted_at: Option<i64>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
