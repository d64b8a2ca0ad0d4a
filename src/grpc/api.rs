//! What every handler has in hand: the service, and the call that the door let in.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tonic::{Request, Status};

use super::status;
use crate::app::{App, CallId, Ctx, Done, Error, Result};
use crate::domain::ids::RealmId;
use crate::domain::realm::Position;

/// Every service of ours: each `impl` of a generated trait stands in the file of its noun.
#[derive(Clone)]
pub struct Api {
    pub(super) app: Arc<App>,
    /// Ends the streams that are open.
    pub(super) closing: CancellationToken,
}

impl Api {
    /// The services of an app. Their streams end when `closing` is cancelled; else a shutdown would wait for them.
    #[must_use]
    pub fn new(app: Arc<App>, closing: CancellationToken) -> Self {
        Self { app, closing }
    }

    /// The consistency token of a change.
    pub(super) fn token<T>(&self, done: &Done<T>) -> String {
        self.token_at(done.realm, done.position)
    }

    /// The consistency token of a position.
    pub(super) fn token_at(&self, realm: RealmId, at: Position) -> String {
        self.app.consistency_token(realm, at)
    }
}

/// A call, with its context.
pub(super) struct Called {
    pub(super) ctx: Ctx,
}

impl Called {
    /// Takes a request apart.
    pub(super) fn new<T>(request: Request<T>) -> std::result::Result<(Self, T), Status> {
        let (_, mut extensions, message) = request.into_parts();
        let ctx = extensions.remove::<Ctx>().ok_or_else(|| {
            let fault = Error::internal("a call came in past the authentication layer");
            status::status(&fault, CallId::default())
        })?;
        Ok((Self { ctx }, message))
    }

    /// What was parsed, or the status that says what was wrong with it.
    pub(super) fn parsed<T>(&self, parsed: Result<T>) -> std::result::Result<T, Status> {
        parsed.map_err(|error| status::status(&error, self.ctx.call))
    }

    /// What a use case answered, or the status of its failure.
    pub(super) fn answer<T>(&self, answer: Result<T>) -> std::result::Result<T, Status> {
        answer.map_err(|error| status::status(&error, self.ctx.call))
    }
}
