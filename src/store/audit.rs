//! The audit log. The service appends, and drops what is older than it is to be kept.
//!
//! Lines get their sequence when they are written and are seen when they are committed, in another order: who reads on
//! from a sequence misses some. So lines that are committed are given positions, by one process at a time; who follows
//! the log reads on from a position and misses nothing.

use sea_orm::sea_query::{Expr, ExprTrait, Order, Query};
use sea_orm::{
    ActiveValue::{NotSet, Set},
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};
use uuid::Uuid;

use super::Store;
use super::entity::{audit, meta};
use super::error::{Result, corrupt};
use super::rows::{Rows, document, is_postgres, read, statement};
use crate::domain::audit::{AuditEvent, AuditLine, Outcome};
use crate::domain::ids::{EventId, OrganizationId, PrincipalId};
use crate::domain::time::Timestamp;

/// The fact of the whole record that says which position was given last.
const PLACED: &str = "audit.placed";

/// $1 = the last position given, $2 = how many lines.
const PLACE: &str = "
UPDATE audit SET position = $1 + placed.number
FROM (SELECT sequence AS line, row_number() OVER (ORDER BY sequence) AS number
      FROM (SELECT sequence FROM audit WHERE position IS NULL ORDER BY sequence LIMIT $2) unplaced) placed
WHERE audit.sequence = placed.line";

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
}

/// Where a page of the log, newest first, ended.
pub type Before = (Timestamp, i64);

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
            position: NotSet,
        })
    }

    /// A page of the log, newest first.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn list_audit(
        &self,
        filter: &AuditFilter,
        before: Option<Before>,
        limit: u64,
    ) -> Result<Vec<AuditEvent>> {
        let place = || Expr::tuple([Expr::col(audit::Column::At), Expr::col(audit::Column::Sequence)]);
        let rows = audit::Entity::find()
            .filter(self.which(filter))
            .filter(
                Condition::all()
                    .add_option(before.map(|(at, sequence)| place().lt(Expr::tuple([at.0.into(), sequence.into()])))),
            )
            .order_by_desc(audit::Column::At)
            .order_by_desc(audit::Column::Sequence)
            .limit(limit)
            .all(self.conn)
            .await?;
        rows.into_iter().map(event).collect()
    }

    /// The lines after a position and up to another one, in the order in which they got theirs.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn follow_audit(
        &self,
        filter: &AuditFilter,
        after: i64,
        until: i64,
        limit: u64,
    ) -> Result<Vec<AuditEvent>> {
        let rows = audit::Entity::find()
            .filter(self.which(filter))
            .filter(audit::Column::Position.gt(after).and(audit::Column::Position.lte(until)))
            .order_by_asc(audit::Column::Position)
            .limit(limit)
            .all(self.conn)
            .await?;
        rows.into_iter().map(event).collect()
    }

    /// The position of the last of so many lines of the realm after one; `None` if there is none.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn audit_position(&self, after: i64, lines: u64) -> Result<Option<i64>> {
        let some = Query::select()
            .column(audit::Column::Position)
            .from(audit::Entity)
            .and_where(audit::Column::RealmId.eq(self.realm.0))
            .and_where(audit::Column::Position.gt(after))
            .order_by(audit::Column::Position, Order::Asc)
            .limit(lines)
            .take();
        let last = Query::select()
            .expr_as(Expr::col(audit::Column::Position).max(), "position")
            .from_subquery(some, "some")
            .take();
        let row = self.conn.query_one(&last).await?;
        Ok(row.map(|row| row.try_get("", "position")).transpose()?.flatten())
    }

    fn which(&self, filter: &AuditFilter) -> Condition {
        let AuditFilter { actor, target, action, outcome, organizations, from, until } = filter;
        Condition::all()
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
    }
}

impl Store {
    /// Gives lines that are committed the next positions, so many at once, and answers how many. One process does so at a
    /// time: whoever sees a position sees every smaller one, and none is given later.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn place_audit(&self, limit: u64) -> Result<u64> {
        let unplaced = audit::Entity::find().filter(audit::Column::Position.is_null()).limit(1);
        if unplaced.one(&self.read).await?.is_none() {
            return Ok(0);
        }
        self.keep_once(PLACED, 0_i64.to_be_bytes().to_vec()).await?;
        let tx = self.append.begin().await?;
        let clause = if is_postgres(&tx) { " FOR UPDATE" } else { "" };
        let sql = format!("SELECT value FROM meta WHERE name = $1{clause}");
        let row = tx.query_one_raw(statement(&tx, sql, [PLACED.into()])).await?;
        let placed = placed(row.map(|row| row.try_get("", "value")).transpose()?)?;
        let values = [placed.into(), i64::try_from(limit).unwrap_or(i64::MAX).into()];
        let done = tx.execute_raw(statement(&tx, PLACE, values)).await?.rows_affected();
        let placed = placed.saturating_add(i64::try_from(done).unwrap_or(i64::MAX));
        let values = [placed.to_be_bytes().to_vec().into(), PLACED.into()];
        tx.execute_raw(statement(&tx, "UPDATE meta SET value = $1 WHERE name = $2", values)).await?;
        tx.commit().await?;
        Ok(done)
    }

    /// The last position that was given.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn placed_audit(&self) -> Result<i64> {
        let row = meta::Entity::find_by_id(PLACED.to_owned()).one(&self.read).await?;
        placed(row.map(|row| row.value))
    }

    /// Drops lines from before an instant, so many at once, and answers how many.
    ///
    /// # Errors
    /// [`super::Error::Unavailable`].
    pub async fn forget_audit(&self, before: Timestamp, limit: u64) -> Result<u64> {
        let old = Query::select()
            .column(audit::Column::Sequence)
            .from(audit::Entity)
            .and_where(audit::Column::At.lt(before.0))
            .order_by(audit::Column::At, Order::Asc)
            .limit(limit)
            .take();
        let gone = audit::Entity::delete_many().filter(audit::Column::Sequence.in_subquery(old));
        Ok(gone.exec(&self.write).await?.rows_affected)
    }
}

fn placed(value: Option<Vec<u8>>) -> Result<i64> {
    let bytes = value.map_or(Ok([0; 8]), <[u8; 8]>::try_from);
    bytes.map(i64::from_be_bytes).map_err(|_| corrupt(PLACED))
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
        position,
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
    Ok(AuditEvent { sequence, position, line })
}
