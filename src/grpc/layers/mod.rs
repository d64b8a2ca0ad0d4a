//! What every call goes through before a handler sees it, outermost first:
//!
//! 1. **observe**: the call gets its id; it is counted and, if its caller samples, traced. Outermost, so that what is
//!    refused further in is counted too.
//! 2. **deadline**: the caller's own, bounded by ours. What takes longer is answered DEADLINE_EXCEEDED.
//! 3. **authn**: who is this?
//! 4. **access**: may they call this at all? In which realm?
//! 5. **detach**: a call that writes runs in a task of its own: a caller that hangs up does not stop it half-way.
//!
//! Health and reflection pass untouched. One future is boxed per call, and nothing else is allocated that a check does
//! not need.

mod authn;
mod deadline;
mod observe;

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use ipnet::IpNet;
use tokio_util::task::TaskTracker;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};
use tracing::Instrument;

pub(super) use self::authn::bearer;
use super::access::{FOREIGN, Method, Methods};
use super::connection::Peer;
use super::status;
use crate::app::{Actor, Aimed, App, CallId, Ctx, Error, Reason};
use deadline::Deadline;
use observe::Observer;

/// The layers, as one.
#[derive(Clone)]
pub struct Door(Arc<Shared>);

struct Shared {
    app: Arc<App>,
    methods: Methods,
    observer: Observer,
    writes: TaskTracker,
    trusted_proxies: Vec<IpNet>,
}

impl Door {
    /// Calls that write are tracked in `writes`, so that a shutdown can wait for them.
    #[must_use]
    pub fn new(app: Arc<App>, methods: Methods, writes: TaskTracker, trusted_proxies: Vec<IpNet>) -> Self {
        let observer = Observer::new(&methods);
        Self(Arc::new(Shared { app, methods, observer, writes, trusted_proxies }))
    }
}

impl<S> Layer<S> for Door {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Guarded { inner, door: Arc::clone(&self.0) }
    }
}

/// A service behind the door.
#[derive(Clone)]
pub struct Guarded<S> {
    inner: S,
    door: Arc<Shared>,
}

impl<S> Service<Request<Body>> for Guarded<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let ready = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, ready);
        let path = request.uri().path();
        let Some(method) = self.door.methods.get(path) else {
            return if FOREIGN.iter().any(|prefix| path.starts_with(prefix)) {
                pass(inner, request)
            } else {
                unknown()
            };
        };
        let door = Arc::clone(&self.door);
        let seen = door.observer.begin(method, request.headers());
        let deadline = deadline::of(request.headers());
        Box::pin(async move {
            let answer =
                deadline.bound(door.handle(inner, request, method, seen.call, deadline)).instrument(seen.span.clone());
            let response = answer.await.unwrap_or_else(|refused| refused.into_http());
            door.observer.end(seen, &response);
            Ok(response)
        })
    }
}

impl Shared {
    async fn handle<S>(
        &self,
        inner: S,
        mut request: Request<Body>,
        method: &'static Method,
        call: CallId,
        deadline: Deadline,
    ) -> Result<Response<Body>, Status>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Send + 'static,
        S::Future: Send + 'static,
    {
        // Who is at the other end of the connection; x-forwarded-client-cert is nobody's word on that.
        let peer = request.extensions().get::<Peer>().cloned();
        let entered = self.enter(request.headers(), peer, method, call, deadline).await;
        let ctx = entered.map_err(|error| status::status(&error, call))?;
        let public = ctx.aimed.is_public().then(|| ctx.clone());
        request.extensions_mut().insert(ctx);
        let response = if method.writes { self.detached(inner, request).await } else { caught(inner, request).await };
        let response = response.ok_or_else(|| status::status(&Error::internal("the handler panicked"), call))?;
        let response = mend(response);
        if let Some(ctx) = public
            && let Some(reason) = status::refusal(response.headers())
        {
            self.app.count_refusal(&ctx, reason);
        }
        Ok(response)
    }

    /// Who calls, in which realm; refused before the request's body is looked at.
    async fn enter(
        &self,
        headers: &HeaderMap,
        peer: Option<Peer>,
        method: &'static Method,
        call: CallId,
        deadline: Deadline,
    ) -> Result<Ctx, Error> {
        let now = self.app.clock().now();
        let certificate = peer.as_ref().and_then(|peer| peer.workload.as_ref());
        let source = peer.as_ref().map(|peer| authn::source(peer.address.ip(), headers, &self.trusted_proxies));
        let caller = self.app.caller(authn::bearer(headers)?, certificate, source).await?;
        if caller.is_none() && method.needs != crate::app::Requirement::Public {
            return Err(Error::refused(Reason::CredentialMissing, "a credential is required"));
        }
        let realm = match authn::realm(headers) {
            Ok(named) => self.app.realm_of_call(named, caller.as_deref()).await,
            Err(error) => Err(error),
        };
        let realm = match realm {
            Ok(realm) => realm,
            Err(error) => return Err(Box::pin(self.app.told_first(caller.as_deref(), error)).await),
        };
        let mut ctx = Ctx {
            realm,
            actor: Actor::Anonymous,
            rpc: method.name,
            now,
            deadline: Some(deadline.at()),
            caller: caller.clone(),
            credential_expires_at: caller.as_ref().and_then(|caller| caller.expires_at),
            peer: source,
            call,
            trace_id: observe::trace_id(headers),
            repeat: None,
            aimed: if method.needs == crate::app::Requirement::Public { Aimed::unknown() } else { Aimed::default() },
        };
        if let Some(caller) = caller {
            match self.app.admit(&caller, realm, &method.needs, now).await {
                Ok(actor) => ctx.actor = actor,
                Err(error) if method.writes => {
                    ctx.actor = Actor::Principal { id: caller.principal, session: None };
                    Box::pin(self.app.note_refusal(&ctx, &error)).await;
                    return Err(error);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(ctx)
    }

    async fn detached<S>(&self, inner: S, request: Request<Body>) -> Option<Response<Body>>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Send + 'static,
        S::Future: Send + 'static,
    {
        let span = tracing::Span::current();
        self.writes.spawn(caught(inner, request).instrument(span)).await.ok().flatten()
    }
}

/// Calls the handler; `None` if it panicked.
fn caught<S>(mut inner: S, request: Request<Body>) -> impl Future<Output = Option<Response<Body>>> + Send
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Send + 'static,
    S::Future: Send,
{
    let answer = AssertUnwindSafe(async move { inner.call(request).await });
    answer.catch_unwind().map(|caught| match caught {
        Ok(Ok(response)) => Some(response),
        Ok(Err(never)) => match never {},
        Err(_) => None,
    })
}

/// Gives what the transport answered by itself the code and the reason that this service would have given.
fn mend(response: Response<Body>) -> Response<Body> {
    match Status::from_header_map(response.headers()).and_then(|transport| status::mended(&transport)) {
        Some(status) => status.into_http(),
        None => response,
    }
}

fn pass<S>(mut inner: S, request: Request<Body>) -> BoxFuture<'static, Result<Response<Body>, Infallible>>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Send + 'static,
    S::Future: Send,
{
    Box::pin(async move { inner.call(request).await.map(mend) })
}

fn unknown() -> BoxFuture<'static, Result<Response<Body>, Infallible>> {
    let refused = status::plain(Reason::MethodUnknown, "this method is not known here");
    Box::pin(std::future::ready(Ok(refused.into_http())))
}
