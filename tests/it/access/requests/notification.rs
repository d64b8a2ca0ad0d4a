//! `NotificationService`.

use countersign::grpc::pb;

use super::{Asked, Kind, PAGE, Target, encoded, unwritten};
use crate::access::world::nobody;

pub(super) async fn request(asked: &Asked<'_>, rpc: &str) -> Option<Vec<u8>> {
    match rpc {
        "ListMessages" => messages(asked),
        "RetryMessage" => {
            if asked.names_another_organization() || asked.target == Target::Oneself {
                return None;
            }
            let message = asked.subject(Kind::Undelivered).await.extra;
            encoded(&pb::RetryMessageRequest { message, ..Default::default() })
        }
        unknown => unwritten(unknown),
    }
}

/// The mails to somebody who is never acted on.
fn messages(asked: &Asked<'_>) -> Option<Vec<u8>> {
    let recipient = match asked.target {
        Target::OtherAsOwn | Target::NowhereInOther | Target::Oneself => return None,
        Target::Nowhere => nobody(),
        target => asked.world.resident(target).id.clone(),
    };
    encoded(&pb::ListMessagesRequest { recipient, page_size: PAGE, ..Default::default() })
}
