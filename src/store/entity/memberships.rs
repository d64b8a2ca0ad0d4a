//! Rows of `memberships`.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "memberships")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: Uuid,
    pub realm_id: Uuid,
    pub state: String,
    pub attributes: String,
    pub created_at: i64,
    pub decided_at: Option<i64>,
    pub decided_by: Option<Uuid>,
    /// The codes that it was registered with, as a document; absent where somebody added the member.
    pub codes: Option<String>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
