//! The way of checks past the router.
//!
//! What a router does for a call among many services (it looks up a path, boxes two bodies and a future) is a tenth of
//! what a check takes. So calls of `AuthorizationService` are handed to it directly, and all others to the router.

use std::convert::Infallible;
use std::task::{Context, Poll};

use futures_util::future::Either;
use http::{Request, Response};
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::server::NamedService;
use tonic::service::Routes;

use super::Api;
use super::pb::authorization_service_server::AuthorizationServiceServer;

type Checks = AuthorizationServiceServer<Api>;

/// The service of checks, and the others.
#[derive(Clone)]
pub(super) struct Directed {
    pub(super) checks: Checks,
    pub(super) others: Routes,
}

impl Service<Request<Body>> for Directed {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<<Checks as Service<Request<Body>>>::Future, <Routes as Service<Request<Body>>>::Future>;

    /// Every service is always ready.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
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
