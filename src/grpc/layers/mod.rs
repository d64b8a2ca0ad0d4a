//! What every call goes through before a handler sees it, outermost first:
//!
//! 1. **observe**: the call gets its id; it is counted and, if a known caller samples, traced. Outermost, so that what is
//!    refused further in is counted too.
//! 2. **deadline**: the caller's own, bounded by ours. What takes longer is answered DEADLINE_EXCEEDED.
//! 3. **authentication**: who calls, in which realm?
//! 4. **access**: may they call this at all?
//! 5. **limits**: public calls by source.
//! 6. **receive**: the request, whole, as large as its RPC may be. Nothing of a body is read before this.
//! 7. **detach**: a call that writes runs in a task of its own: a caller that hangs up does not stop it half-way.
//!
//! Health and reflection have no caller and no realm; they pass deadline and receive ([`foreign`]). One future is boxed per
//! call, and little else is allocated that a check does not need.

mod authn;
mod deadline;
mod foreign;
mod observe;

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use http_body::Body as _;
use ipnet::IpNet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tracing::Instrument;

pub(super) use self::authn::bearer;
use self::foreign::Foreign;
use self::observe::{Observer, Seen};
use super::access::{Method, Methods};
use super::connection::Peer;
use super::direct::Directed;
use super::receive::{self, MESSAGE_BYTES_MAX, PUBLIC_MESSAGE_BYTES_MAX, Room, Sender};
use super::status;
use crate::app::{Actor, Aimed, App, CallId, Ctx, Error, Reason, Requirement};
use deadline::Deadline;

/// What stands before the services.
#[derive(Clone)]
pub struct Door(Arc<Shared>);

struct Shared {
    app: Arc<App>,
    methods: Methods,
    observer: Observer,
    writes: TaskTracker,
    trusted_proxies: Vec<IpNet>,
    room: Room,
    foreign: foreign::Bounds,
}

impl Door {
    /// Calls that write are tracked in `writes`, so that a shutdown can wait for them; streams of others' services end by
    /// `closing`.
    #[must_use]
    pub fn new(
        app: Arc<App>,
        methods: Methods,
        writes: TaskTracker,
        trusted_proxies: Vec<IpNet>,
        closing: CancellationToken,
    ) -> Self {
        let observer = Observer::new(&methods, app.clock().clone());
        let (room, foreign) = (Room::default(), foreign::Bounds::new(closing));
        Self(Arc::new(Shared { app, methods, observer, writes, trusted_proxies, room, foreign }))
    }
}

/// Every service behind the door.
#[derive(Clone)]
pub struct Services {
    door: Arc<Shared>,
    inner: Directed,
}

/// How a call ended.
pub(super) struct Answered {
    pub(super) response: Response<Body>,
    pub(super) call: CallId,
    /// Whether something may have been changed, so that this answer is the one to give.
    pub(super) writes: bool,
}

impl Answered {
    /// An answer with the call's id in its headers, where it failed or wrote.
    fn named(mut response: Response<Body>, call: CallId, writes: bool) -> Self {
        let failed = response.body().is_end_stream();
        if failed || writes {
            status::name(&mut response, call);
        }
        Self { response, call, writes }
    }
}

impl Services {
    pub(super) fn new(door: &Door, inner: Directed) -> Self {
        Self { door: Arc::clone(&door.0), inner }
    }

    /// Answers a call that came over a connection of this peer.
    pub(super) fn call(&self, request: Request<Body>, peer: Arc<Peer>) -> BoxFuture<'static, Answered> {
        let (door, inner) = (Arc::clone(&self.door), self.inner.clone());
        let path = request.uri().path();
        let Some(method) = door.methods.get(path) else {
            let (call, foreign) = (door.observer.id(), Foreign::of(path));
            return Box::pin(async move {
                let response = match foreign {
                    Some(foreign) => foreign.answer(&door, inner, request, &peer, call).await,
                    None => {
                        let (head, body) = request.into_parts();
                        door.room.discard(body, Sender::unknown(&peer, &head.headers)).await;
                        Err(status::plain(Reason::MethodUnknown, "this method is not known here", call))
                    }
                };
                let response = response.map_or_else(status::response, |answer| mend(answer, call));
                Answered::named(response, call, false)
            });
        };
        let mut seen = door.observer.begin(method);
        let deadline = deadline::of(request.headers());
        Box::pin(async move {
            let call = seen.call;
            let answer = deadline.bound(door.handle(inner, request, peer, method, &mut seen, deadline), call).await;
            let response = answer.unwrap_or_else(status::response);
            Answered::named(door.observer.end(seen, response), call, method.writes)
        })
    }
}

impl Shared {
    async fn handle(
        &self,
        inner: Directed,
        request: Request<Body>,
        peer: Arc<Peer>,
        method: &'static Method,
        seen: &mut Seen,
        deadline: Deadline,
    ) -> Result<Response<Body>, Status> {
        let call = seen.call;
        // Who is at the other end of the connection; x-forwarded-client-cert is nobody's word on that.
        let entered = self.enter(request.headers(), &peer, method, call, deadline).await;
        let ctx = match entered {
            Ok(ctx) => ctx,
            Err(error) => {
                let (head, body) = request.into_parts();
                Box::pin(self.room.discard(body, Sender::unknown(&peer, &head.headers))).await;
                return Err(status::status(&error, call));
            }
        };
        let public = ctx.aimed.is_public().then(|| ctx.clone());
        if ctx.actor != Actor::Anonymous {
            seen.admit(request.headers());
        }
        let answer = self.admitted(inner, request, peer, method, ctx).instrument(seen.span.clone()).await;
        let response = match answer {
            Ok(response) => mend(response, call),
            Err(error) => status::response(status::status(&error, call)),
        };
        if let Some(ctx) = public
            && let Some(reason) = status::refusal(response.headers())
        {
            self.app.count_refusal(&ctx, reason);
        }
        Ok(response)
    }

    /// Takes the request of a caller who was let in, and has it handled.
    async fn admitted(
        &self,
        inner: Directed,
        request: Request<Body>,
        peer: Arc<Peer>,
        method: &'static Method,
        ctx: Ctx,
    ) -> Result<Response<Body>, Error> {
        let (mut head, body) = request.into_parts();
        let sender = Sender {
            source: ctx.peer.unwrap_or(peer.source),
            known: ctx.actor != Actor::Anonymous,
            ..Sender::unknown(&peer, &head.headers)
        };
        let in_bounds = if method.counted { self.app.admit_public(&ctx) } else { Ok(()) };
        let readable = if is_compressed(&head.headers) { Err(receive::compressed_message()) } else { Ok(()) };
        if let Err(error) = in_bounds.and(readable) {
            Box::pin(self.room.discard(body, sender)).await;
            return Err(error);
        }
        let public = method.needs == Requirement::Public;
        let bytes_max = if public { PUBLIC_MESSAGE_BYTES_MAX } else { MESSAGE_BYTES_MAX };
        let body = self.room.receive(body, bytes_max, sender).await?;
        head.extensions.insert(ctx);
        if method.streams {
            head.extensions.insert(peer);
        }
        let request = Request::from_parts(head, body);
        let response = if method.writes { self.detached(inner, request).await } else { caught(inner, request).await };
        response.ok_or_else(|| Error::internal("the handler panicked"))
    }

    /// Who calls, in which realm; refused before the request's body is looked at.
    async fn enter(
        &self,
        headers: &HeaderMap,
        peer: &Peer,
        method: &'static Method,
        call: CallId,
        deadline: Deadline,
    ) -> Result<Ctx, Error> {
        let now = self.app.clock().now();
        let source = authn::source(peer.source, headers, &self.trusted_proxies);
        let caller = self.app.caller(authn::bearer(headers)?, peer.workload.as_ref(), Some(source)).await?;
        if caller.is_none() && method.needs != Requirement::Public {
            return Err(Error::refused(Reason::CredentialMissing, "a credential is required"));
        }
        let realm = match authn::realm(headers) {
            Ok(named) => self.app.realm_of_call(named, caller.as_deref(), Some(source)).await,
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
            peer: Some(source),
            call,
            trace_id: observe::trace_id(headers),
            repeat: None,
            aimed: if method.needs == Requirement::Public { Aimed::unknown() } else { Aimed::default() },
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

    async fn detached(&self, inner: Directed, request: Request<Body>) -> Option<Response<Body>> {
        let span = tracing::Span::current();
        self.writes.spawn(caught(inner, request).instrument(span)).await.ok().flatten()
    }
}

/// Calls the handler; `None` if it panicked.
fn caught(mut inner: Directed, request: Request<Body>) -> impl Future<Output = Option<Response<Body>>> + Send {
    let answer = AssertUnwindSafe(async move { inner.call(request).await });
    answer.catch_unwind().map(|caught: Result<Result<_, Infallible>, _>| match caught {
        Ok(Ok(response)) => Some(response),
        Ok(Err(never)) => match never {},
        Err(_) => None,
    })
}

/// Whether the metadata announce compressed messages.
fn is_compressed(headers: &HeaderMap) -> bool {
    headers.get("grpc-encoding").is_some_and(|encoding| encoding != "identity")
}

/// Gives what the transport answered by itself the code and the reason that this service would have given.
fn mend(response: Response<Body>, call: CallId) -> Response<Body> {
    match Status::from_header_map(response.headers()).and_then(|transport| status::mended(&transport, call)) {
        Some(status) => status::response(status),
        None => response,
    }
}
