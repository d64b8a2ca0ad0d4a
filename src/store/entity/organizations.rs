//! Rows of `organizations`.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "organizations")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub realm_id: Uuid,
    pub slug: String,
    pub title: String,
    pub kind: String,
    pub suspended: bool,
    pub founded_at: Option<i64>,
    pub entitlements: String,
    pub contacts: String,
    pub version: i64,
    pub created_at: i64,
    /// The account whose registration made it; absent where somebody created it.
    pub registered_by: Option<Uuid>,
    /// The slug, a line further the title, folded alike.
    pub search: String,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
