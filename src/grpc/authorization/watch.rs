//! The stream of changes.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;
use futures_util::stream;
use tonic::{Request, Status};

use crate::app::{Error, Fact, Presented, Secret, Step, Watch};
use crate::domain::ids::RealmId;
use crate::grpc::api::{Api, Called};
use crate::grpc::connection::Peer;
use crate::grpc::layers::bearer;
use crate::grpc::{pb, status};

/// What a caller of WatchChanges receives.
pub(super) type Steps = Pin<Box<dyn Stream<Item = Result<pb::WatchChangesResponse, Status>> + Send>>;

impl Api {
    pub(super) async fn follow(&self, request: Request<pb::WatchChangesRequest>) -> Result<Steps, Status> {
        let bearer = bearer(request.metadata().as_ref()).map(|found| found.map(|text| Secret::new(text.to_owned())));
        let workload = request.extensions().get::<Arc<Peer>>().and_then(|peer| peer.workload.clone());
        let (called, pb::WatchChangesRequest { consistency_token }) = Called::new(request)?;
        let presented = Presented { bearer: called.answer(bearer)?, workload };
        let after = match (consistency_token.is_empty(), self.app.position_of(&consistency_token)) {
            (true, _) => None,
            (false, Some((realm, position))) if realm == called.ctx.realm => Some(position),
            (false, _) => {
                return called
                    .parsed(Err(Error::field("consistency_token", "is not a consistency token of this realm")));
            }
        };
        let watch = self.app.watch(&called.ctx, after, presented, self.closing.clone()).await;
        let watch = called.answer(watch)?;
        let (api, realm, call) = (self.clone(), called.ctx.realm, called.ctx.call);
        // What ends the stream is its last item.
        let steps = stream::unfold(Some(watch), move |watch: Option<Watch>| {
            let api = api.clone();
            async move {
                let mut watch = watch?;
                match watch.next().await {
                    Ok(step) => Some((Ok(api.step(realm, step)), Some(watch))),
                    Err(error) => Some((Err(status::status(&error, call)), None)),
                }
            }
        });
        Ok(Box::pin(steps))
    }

    fn step(&self, realm: RealmId, step: Step) -> pb::WatchChangesResponse {
        let Step { position, changed } = step;
        pb::WatchChangesResponse {
            revision: position.revision.0,
            consistency_token: self.token_at(realm, position),
            changes: changed.into_iter().map(fact).collect(),
        }
    }
}

fn fact(fact: Fact) -> pb::ChangedFact {
    use pb::changed_fact::Fact as Of;
    let of = match fact {
        Fact::Principal(id) => Of::Principal(id.to_string()),
        Fact::Organization(id) => Of::Organization(id.to_string()),
        Fact::Catalogue => Of::Catalogue(true),
    };
    pb::ChangedFact { fact: Some(of) }
}
