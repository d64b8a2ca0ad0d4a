//! Rows of `users`.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "users")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub realm_id: Uuid,
    pub email: String,
    pub identity: String,
    pub display_name: String,
    pub search: String,
    pub approval: String,
    pub approval_at: Option<i64>,
    pub approval_by: Option<Uuid>,
    pub approval_note: Option<String>,
    pub verified_at: Option<i64>,
    pub verified_how: Option<String>,
    pub deleted_at: Option<i64>,
    pub deleted_by: Option<Uuid>,
    pub valid_from: Option<i64>,
    pub valid_until: Option<i64>,
    pub password_hash: Option<String>,
    pub password_set_at: Option<i64>,
    pub password_must_change: bool,
    pub session_epoch: i64,
    pub manager_id: Option<Uuid>,
    pub version: i64,
    pub created_at: i64,
    pub last_sign_in_at: Option<i64>,
    pub registrations: i32,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
