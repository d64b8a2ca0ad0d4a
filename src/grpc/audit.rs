//! `AuditService`.

use serde_json::Value;
use tonic::{Request, Response, Status};

use super::api::{Api, Called};
use super::convert::{Fields, instant, none_if_empty, principal};
use super::pb::{self, audit_service_server::AuditService};
use crate::app::{Error, EventView, ListEvents, Order, TargetView};
use crate::domain::audit::{AuditEvent, AuditLine, Outcome};
use crate::domain::handle::{LABEL_BYTES_MAX, Named};
use crate::domain::ids::RealmId;

#[tonic::async_trait]
impl AuditService for Api {
    async fn list_events(
        &self,
        request: Request<pb::ListEventsRequest>,
    ) -> Result<Response<pb::ListEventsResponse>, Status> {
        let (called, request) = Called::new(request)?;
        let query = called.parsed(list(request))?;
        let print = |view| event(called.ctx.realm, view);
        let page = called.answer(self.app.list_events(&called.ctx, &query, print).await)?;
        Ok(Response::new(pb::ListEventsResponse { events: page.items, next_page_token: page.next }))
    }
}

fn list(request: pb::ListEventsRequest) -> Result<ListEvents, Error> {
    let mut fields = Fields::default();
    let query = pb::ListEventsRequest { page_size: 0, page_token: String::new(), ..request.clone() };
    let pb::ListEventsRequest {
        actor,
        target,
        organization,
        action,
        outcome,
        start_time,
        end_time,
        page_size,
        page_token,
        order,
    } = request;
    let query = ListEvents {
        actor: fields.optional_handle(Named::Principal, "actor", &actor),
        target: fields.optional_handle(Named::Anything, "target", &target),
        organization: fields.optional_handle(Named::Organization, "organization", &organization),
        action: none_if_empty(fields.text("action", &action, 0..=LABEL_BYTES_MAX)),
        outcome: outcome_filter(&mut fields, outcome),
        from: fields.instant("start_time", start_time.as_ref()),
        until: fields.instant("end_time", end_time.as_ref()),
        order: order_of(&mut fields, order),
        page: fields.page(page_size, page_token, &query),
    };
    fields.finish(query)
}

fn outcome_filter(fields: &mut Fields, outcome: i32) -> Option<Outcome> {
    match pb::Outcome::try_from(outcome) {
        Ok(pb::Outcome::Unspecified) => None,
        Ok(pb::Outcome::Done) => Some(Outcome::Done),
        Ok(pb::Outcome::Refused) => Some(Outcome::Refused),
        Err(_) => {
            fields.wrong("outcome", format!("is {outcome}, which is no outcome"));
            None
        }
    }
}

fn order_of(fields: &mut Fields, order: i32) -> Order {
    match pb::EventOrder::try_from(order) {
        Ok(pb::EventOrder::Unspecified | pb::EventOrder::NewestFirst) => Order::NewestFirst,
        Ok(pb::EventOrder::AsLogged) => Order::AsLogged,
        Err(_) => {
            fields.wrong("order", format!("is {order}, which is no order"));
            Order::NewestFirst
        }
    }
}

/// A line of the log on the wire.
fn event(realm: RealmId, view: EventView) -> pb::Event {
    let EventView { event: AuditEvent { sequence, position: _, line }, actor, impersonator, slug, target } = view;
    let AuditLine {
        id,
        at,
        action,
        organization,
        actor: actor_id,
        impersonator: impersonator_id,
        target: _,
        outcome,
        reason,
        details,
        peer,
        request_id,
        trace_id,
    } = line;
    let outcome = match outcome {
        Outcome::Done => pb::Outcome::Done,
        Outcome::Refused => pb::Outcome::Refused,
    };
    let reason = reason.and_then(|name| pb::ErrorReason::from_str_name(&format!("ERROR_REASON_{name}")));
    let slug = slug.unwrap_or_default();
    let count = details.get("count").and_then(Value::as_i64).and_then(|count| i32::try_from(count).ok());
    let (event, changes) = told(details);
    pb::Event {
        id: id.to_string(),
        sequence,
        time: Some(instant(at)),
        realm_id: realm.to_string(),
        organization: organization.map(|id| pb::OrganizationRef { id: id.to_string(), slug }),
        actor: actor_id.map(|id| principal(id, actor.as_ref())),
        impersonator: impersonator_id.map(|id| principal(id, impersonator.as_ref())),
        action,
        event,
        targets: target.into_iter().map(event_target).collect(),
        outcome: outcome.into(),
        reason: reason.unwrap_or(pb::ErrorReason::Unspecified).into(),
        changes,
        peer_address: peer.unwrap_or_default(),
        request_id: request_id.unwrap_or_default(),
        trace_id: trace_id.unwrap_or_default(),
        count: count.unwrap_or(1),
    }
}

fn event_target(TargetView { id, kind, handle }: TargetView) -> pb::EventTarget {
    pb::EventTarget { r#type: kind.to_owned(), id: id.to_string(), handle }
}

/// The name of what happened, and the facts that it was told with.
fn told(details: Value) -> (String, Vec<pb::EventChange>) {
    let Value::Object(mut details) = details else { return (String::new(), vec![]) };
    let event = details.remove("event").map(|name| text(&name)).unwrap_or_default();
    let change = |(field, value): (String, Value)| match (value.get("before"), value.get("after")) {
        (None, None) => pb::EventChange { field, before: String::new(), after: text(&value) },
        (before, after) => pb::EventChange {
            field,
            before: before.map(text).unwrap_or_default(),
            after: after.map(text).unwrap_or_default(),
        },
    };
    (event, details.into_iter().map(change).collect())
}

/// A fact in words: a text as it is, a list with commas, nothing for what is not there.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn facts_are_told_in_words() {
        let (event, changes) = told(json!({
            "event": "organization.identifiers_set",
            "identifiers": { "before": [], "after": ["cage:1ABC2", "domain:a.example"] },
            "role": null,
            "told": 3,
        }));
        assert_eq!(event, "organization.identifiers_set");
        let changes: Vec<_> =
            changes.iter().map(|it| (it.field.as_str(), it.before.as_str(), it.after.as_str())).collect();
        assert_eq!(changes, [("identifiers", "", "cage:1ABC2, domain:a.example"), ("role", "", ""), ("told", "", "3")]);
    }
}
