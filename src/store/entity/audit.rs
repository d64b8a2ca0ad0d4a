//! Rows of `audit`.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub sequence: i64,
    pub id: Uuid,
    pub realm_id: Uuid,
    pub at: i64,
    pub organization_id: Option<Uuid>,
    pub actor_id: Option<Uuid>,
    pub impersonator_id: Option<Uuid>,
    pub action: String,
    pub target_id: Option<Uuid>,
    pub outcome: String,
    pub reason: Option<String>,
    pub details: String,
    pub peer: Option<String>,
    pub request_id: Option<String>,
    pub trace_id: Option<String>,
    pub position: Option<i64>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
