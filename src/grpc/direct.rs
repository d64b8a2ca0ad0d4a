//! The way of checks past the router.
//!
//! What a router does for a call among many services (it looks up a path, boxes two bodies and a future) is a tenth of
//! what a check takes. So calls of `AuthorizationService` are handed to it behind the door, and all others to the router.

use std::convert::Infallible;
use std::task::{Context, Poll};

use futures_util::future::Either;
use http::{Request, Response};
use tonic::body::Body;
use tonic::server::NamedService;
use tower::{Layer, Service};

use super::Api;
use super::pb::authorization_service_server::AuthorizationServiceServer;

type Checks = AuthorizationServiceServer<Api>;

/// Puts the service of checks before the others.
#[derive(Clone)]
pub struct Direct(pub(super) Checks);

impl<S> Layer<S> for Direct {
    type Service = Directed<S>;

    fn layer(&self, others: S) -> Self::Service {
        Directed { checks: self.0.clone(), others }
    }
}

/// The service of checks, and the others.
#[derive(Clone)]
pub struct Directed<S> {
    checks: Checks,
    others: S,
}

impl<S> Service<Request<Body>> for Directed<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<<Checks as Service<Request<Body>>>::Future, S::Future>;

    /// The service of checks is always ready.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.others.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let service = request.uri().path().split('/').nth(1);
        if service == Some(Checks::NAME) {
            Either::Left(self.checks.call(request))
        } else {
            Either::Right(self.others.call(request))
        }
    }
}
