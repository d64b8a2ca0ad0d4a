//! `grpc.health.v1.Health`: whether this server lives, is ready, and may answer checks.
//!
//! Four names are known: `live`, `ready`, `checks`, and the empty one, which says the same as `checks`. A watcher is told the
//! status that a name has, then each change of it; of an unknown name it is told SERVICE_UNKNOWN, as the contract wants.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::{Stream, StreamExt as _, stream};
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_server};

use super::status;
use crate::app::{CallId, Reason};

/// What is told of the server as a whole.
const NAMES: [&str; 4] = ["live", "ready", "checks", ""];

/// The statuses. Everything starts as not serving.
#[derive(Clone)]
pub struct Health {
    statuses: Arc<[watch::Sender<ServingStatus>; 4]>,
    closing: CancellationToken,
}

impl Health {
    /// Streams of watchers end when `closing` is cancelled.
    #[must_use]
    pub fn new(closing: CancellationToken) -> Self {
        let status = |_| watch::Sender::new(ServingStatus::NotServing);
        Self { statuses: Arc::new(NAMES.map(status)), closing }
    }

    /// The process runs and answers.
    pub fn lives(&self) {
        self.report("live", true);
    }

    /// Says whether the database can be asked, and whether checks can be answered.
    pub fn serves(&self, ready: bool, checks: bool) {
        self.report("ready", ready);
        self.report("checks", checks);
        self.report("", checks);
    }

    fn report(&self, name: &str, serving: bool) {
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        if let Some(told) = self.of(name) {
            told.send_if_modified(|before| std::mem::replace(before, status) != status);
        }
    }

    fn of(&self, name: &str) -> Option<&watch::Sender<ServingStatus>> {
        NAMES.iter().position(|known| *known == name).map(|at| &self.statuses[at])
    }

    pub(super) fn service(self, bytes_max: usize) -> HealthServer<Self> {
        HealthServer::new(self).max_decoding_message_size(bytes_max)
    }
}

fn told(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl health_server::Health for Health {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        let status = self.of(&request.get_ref().service).map(|status| *status.borrow());
        let call = request.extensions().get::<CallId>().copied().unwrap_or_default();
        let unknown = || status::plain(Reason::NotFound, "there is no such name: live, ready, checks or none", call);
        Ok(Response::new(told(status.ok_or_else(unknown)?)))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let statuses = match self.of(&request.get_ref().service) {
            Some(status) => WatchStream::new(status.subscribe()).left_stream(),
            None => stream::iter([ServingStatus::ServiceUnknown]).chain(stream::pending()).right_stream(),
        };
        let until = self.closing.clone().cancelled_owned();
        Ok(Response::new(Box::pin(statuses.map(|status| Ok(told(status))).take_until(until))))
    }
}
