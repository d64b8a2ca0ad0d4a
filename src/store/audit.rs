//! The audit log. The service only ever appends.

use sea_orm::sea_query::ExprTrait;
use sea_orm::{
    ActiveValue::{NotSet, Set},
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};
use uuid::Uuid;

use super::entity::audit;
use super::error::{Result, corrupt};
use super::rows::{Rows, document, read};
use crate::domain::audit::{AuditEvent, AuditLine, Outcome};
use crate::domain::ids::{EventId, OrganizationId, PrincipalId};
use crate::domain::time::Timestamp;

/// Lines that one statement writes: a statement of PostgreSQL takes 65,535 values, one of SQLite half of that.
const LINES_AT_ONCE: usize = 1_000;

/// Which lines to list. Empty fields do not narrow.
#[derive(Clone, Default, Debug)]
pub struct AuditFilter {
    /// Who did it, or acted in whose name.
    pub actor: Option<PrincipalId>,
    pub target: Option<Uuid>,
    pub action: Option<String>,
    pub outcome: Option<Outcome>,
    /// Only lines of these organizations; absent = all, those of none among them.
    pub organizations: Option<Vec<OrganizationId>>,
    pub from: Option<Timestamp>,
    /// Up to, and not including.
    pub until: Option<Timestamp>,
    /// Only lines with a smaller sequence: the next page, newest first.
    pub before: Option<i64>,
}

impl<C: ConnectionTrait> Rows<'_, C> {
    /// Appends lines, in their order.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn append_audit(&self, lines: &[AuditLine]) -> Result<()> {
        for some in lines.chunks(LINES_AT_ONCE) {
            let rows = some.iter().map(|line| self.line(line)).collect::<Result<Vec<_>>>()?;
            audit::Entity::insert_many(rows).exec_without_returning(self.conn).await?;
        }
        Ok(())
    }

    fn line(&self, line: &AuditLine) -> Result<audit::ActiveModel> {
        Ok(audit::ActiveModel {
            sequence: NotSet,
            id: Set(line.id.0),
            realm_id: Set(self.realm.0),
            at: Set(line.at.0),
            organization_id: Set(line.organization.map(|id| id.0)),
            actor_id: Set(line.actor.map(|id| id.0)),
            impersonator_id: Set(line.impersonator.map(|id| id.0)),
            action: Set(line.action.clone()),
            target_id: Set(line.target),
            outcome: Set(outcome_word(line.outcome).to_owned()),
            reason: Set(line.reason.clone()),
            details: Set(document(&line.details)?),
            peer: Set(line.peer.clone()),
            request_id: Set(line.request_id.clone()),
            trace_id: Set(line.trace_id.clone()),
        })
    }

    /// A page of the log, newest first.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn list_audit(&self, filter: &AuditFilter, limit: u64) -> Result<Vec<AuditEvent>> {
        let AuditFilter { actor, target, action, outcome, organizations, from, until, before } = filter;
        let which = Condition::all()
            .add(audit::Column::RealmId.eq(self.realm.0))
            .add_option(actor.map(|id| audit::Column::ActorId.eq(id.0).or(audit::Column::ImpersonatorId.eq(id.0))))
            .add_option(target.map(|id| audit::Column::TargetId.eq(id)))
            .add_option(action.as_ref().map(|action| audit::Column::Action.eq(action.as_str())))
            .add_option(outcome.map(|outcome| audit::Column::Outcome.eq(outcome_word(outcome))))
            .add_option(
                organizations.as_ref().map(|ids| audit::Column::OrganizationId.is_in(ids.iter().map(|id| id.0))),
            )
            .add_option(from.map(|from| audit::Column::At.gte(from.0)))
            .add_option(until.map(|until| audit::Column::At.lt(until.0)))
            .add_option(before.map(|before| audit::Column::Sequence.lt(before)));
        let rows = audit::Entity::find()
            .filter(which)
            .order_by_desc(audit::Column::Sequence)
            .limit(limit)
            .all(self.conn)
            .await?;
        rows.into_iter().map(event).collect()
    }
}

fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "Done",
        Outcome::Refused => "Refused",
    }
}

fn event(row: audit::Model) -> Result<AuditEvent> {
    let audit::Model {
        sequence,
        id,
        realm_id: _,
        at,
        organization_id,
        actor_id,
        impersonator_id,
        action,
        target_id,
        outcome,
        reason,
        details,
        peer,
        request_id,
        trace_id,
    } = row;
    let outcome = match outcome.as_str() {
        "Done" => Outcome::Done,
        "Refused" => Outcome::Refused,
        _ => return Err(corrupt("outcome")),
    };
    let line = AuditLine {
        id: EventId(id),
        at: Timestamp(at),
        action,
        organization: organization_id.map(OrganizationId),
        actor: actor_id.map(PrincipalId),
        impersonator: impersonator_id.map(PrincipalId),
        target: target_id,
        outcome,
        reason,
        details: read(&details, "audit details")?,
        peer,
        request_id,
        trace_id,
    };
    Ok(AuditEvent { sequence, line })
}
