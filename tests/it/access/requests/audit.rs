//! `AuditService`.

use countersign::grpc::pb;

use super::{Asked, PAGE, Target, encoded, unwritten};

pub(super) async fn request(asked: &Asked<'_>, rpc: &str) -> Option<Vec<u8>> {
    match rpc {
        "ListEvents" => events(asked),
        unknown => unwritten(unknown),
    }
}

fn events(asked: &Asked<'_>) -> Option<Vec<u8>> {
    let actor = match asked.target {
        Target::OwnTeam | Target::OtherTeam => asked.world.resident(asked.target).id.clone(),
        Target::Oneself => asked.who.id.clone(),
        _ => String::new(),
    };
    let organization = if actor.is_empty() { asked.place()? } else { String::new() };
    encoded(&pb::ListEventsRequest { actor, organization, page_size: PAGE, ..Default::default() })
}
