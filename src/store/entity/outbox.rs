//! Rows of `outbox`.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "outbox")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub realm_id: Uuid,
    pub template: String,
    pub recipient: String,
    pub user_id: Option<Uuid>,
    pub code_id: Option<Uuid>,
    pub parameters: String,
    pub created_at: i64,
    pub next_attempt_at: Option<i64>,
    pub attempts: i32,
    pub delivered_at: Option<i64>,
    pub last_error: Option<String>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
