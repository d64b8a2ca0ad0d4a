//! Incoming connections: how many from one source and in all, how long one may take to begin, and who is at its end.
//!
//! Handshakes run beside each other and count as connections; a failed one is logged for debugging only. A connection
//! that does not begin in time is closed, and so is one that takes nothing of what is written to it.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::answer::Unread;
use super::quota::{Full, Quota, Share};
use super::tls::{Tls, workload};
use crate::app::clock::Clock;
use crate::domain::source::Source;
use crate::domain::workload::Workload;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::server::TlsStream;

/// How long a client may take for its part of the handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long it may take for the preface of HTTP/2. What stays silent after that is the keepalive's business.
const BEGINNING: Duration = Duration::from_secs(10);
/// The length of that preface (RFC 9113 section 3.4), in bytes.
const PREFACE_BYTES: usize = 24;
/// How long a client may take nothing of what is written to it.
const STALLED: Duration = Duration::from_secs(20);
/// A write of fewer bytes gives the other tasks one turn first, and takes along what other calls of the connection answer
/// meanwhile: the system, and the client, have one piece to handle instead of many. Batches of a thousand bytes are what
/// grpc-go aims at by the same means.
const SMALL_WRITE_BYTES: usize = 1000;
/// After a connection too many was logged, further ones are not for so long.
const QUIET: Duration = Duration::from_secs(1);
/// How long nobody is accepted after the system could not give one: too many open files, most likely.
const PAUSE: Duration = Duration::from_millis(200);

/// How many connections there may be, handshakes included.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// From one source; a mesh or a gateway may hold many.
    pub per_source: usize,
    /// In all.
    pub total: usize,
}

/// The connections that come in, each past its handshake where there is one.
pub struct Incoming {
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    seats: Arc<Quota>,
    handshakes: JoinSet<Option<Connection>>,
    /// Whether the last connection could not be accepted.
    starved: bool,
    /// When it was said last that there are too many, since the machine started.
    warned: Option<Duration>,
}

impl Incoming {
    /// Connections of a listener, with TLS or without.
    #[must_use]
    pub fn new(listener: TcpListener, tls: Option<Arc<Tls>>, limits: ConnectionLimits) -> Self {
        let seats = Quota::new(limits.per_source, limits.total);
        Self { listener, tls, seats, handshakes: JoinSet::new(), starved: false, warned: None }
    }

    /// The next connection; waits for it as long as it takes.
    pub(super) async fn next(&mut self) -> Connection {
        loop {
            tokio::select! {
                Some(shaken) = self.handshakes.join_next() => {
                    if let Ok(Some(connection)) = shaken {
                        return connection;
                    }
                }
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        self.starved = false;
                        if let Some(connection) = self.admit(stream, peer) {
                            return connection;
                        }
                    }
                    Err(error) => {
                        // The server goes on: those that are connected need it, and when they leave there is room.
                        if !self.starved {
                            tracing::warn!(%error, "connections can't be accepted");
                        }
                        self.starved = true;
                        sleep(PAUSE).await;
                    }
                },
            }
        }
    }

    /// Says which peer holds too many, at most once in [`QUIET`].
    fn warn_of(&mut self, peer: Source, full: Full) {
        let now = Clock::elapsed();
        if self.warned.is_none_or(|at| now.saturating_sub(at) >= QUIET) {
            self.warned = Some(now);
            match full {
                Full::Source => tracing::warn!(%peer, "connections_per_source is reached; more from there are closed"),
                Full::Process => tracing::warn!(%peer, "the limit `connections` is reached; more are closed"),
            }
        }
    }

    /// A connection that is ready; with TLS it is once its handshake is done.
    fn admit(&mut self, stream: TcpStream, peer: SocketAddr) -> Option<Connection> {
        let source = Source::of(peer.ip());
        let seat = match self.seats.take(source.network(), 1) {
            Ok(seat) => seat,
            Err(full) => {
                self.warn_of(source, full);
                return None;
            }
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection was gone before it was served");
            return None;
        }
        let Some(tls) = &self.tls else {
            return Some(Connection::new(Wire::Plain(stream), peer, None, seat));
        };
        let tls = Arc::clone(tls);
        self.handshakes.spawn(async move {
            match timeout(HANDSHAKE, tls.accept(stream)).await {
                Ok(Ok(stream)) => {
                    let workload = workload(&stream).map(Arc::new);
                    Some(Connection::new(Wire::Tls(Box::new(stream)), peer, workload, seat))
                }
                Ok(Err(error)) => {
                    tracing::debug!(%error, "a handshake failed");
                    None
                }
                Err(_) => {
                    tracing::debug!("a handshake took too long");
                    None
                }
            }
        });
        None
    }
}

/// Who is at the other end, and what this connection holds.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) source: Source,
    /// Tells the connections of one source apart.
    pub(super) port: u16,
    /// Whom its certificate names; read once, when the connection began.
    pub(super) workload: Option<Arc<Workload>>,
    /// Calls under way.
    pub(super) calls: AtomicUsize,
    /// Bytes of requests that are not complete.
    pub(super) held: AtomicUsize,
    /// Answers that the client has yet to take.
    pub(super) unread: Unread,
}

/// A call under way, until it is dropped.
#[derive(Debug)]
pub(super) struct Open(pub(super) Arc<Peer>);

impl Open {
    pub(super) fn new(peer: &Arc<Peer>) -> Self {
        peer.calls.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(peer))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    wire: Wire,
    peer: Arc<Peer>,
    /// Until the preface is there: how many bytes are missing, and how long they may.
    beginning: Option<(usize, Pin<Box<Sleep>>)>,
    /// Whether the write that is under way gave the others their turn.
    waited: bool,
    /// While a write makes no progress: until when it may.
    stalled: Option<Pin<Box<Sleep>>>,
    _seat: Share,
}

#[derive(Debug)]
enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection {
    fn new(wire: Wire, address: SocketAddr, workload: Option<Arc<Workload>>, seat: Share) -> Self {
        let beginning = Some((PREFACE_BYTES, Box::pin(sleep(BEGINNING))));
        let (source, port) = (Source::of(address.ip()), address.port());
        let (calls, held, unread) = Default::default();
        let peer = Arc::new(Peer { source, port, workload, calls, held, unread });
        Self { wire, peer, beginning, waited: false, stalled: None, _seat: seat }
    }

    /// Who is at the other end.
    pub(super) fn peer(&self) -> Arc<Peer> {
        Arc::clone(&self.peer)
    }

    /// What a write came to, unless none has made progress for too long.
    fn unless_stalled<T>(&mut self, written: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let limit = self.stalled.get_or_insert_with(|| Box::pin(sleep(STALLED)));
        ready!(limit.as_mut().poll(cx));
        tracing::debug!(peer = %self.peer.source, "a client that took nothing of what was written is closed");
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Whether a write of so many bytes is to wait; then it is asked for again, at the latest after the other tasks.
    fn waits(&mut self, bytes: usize, cx: &Context<'_>) -> bool {
        self.waited = !self.waited && bytes < SMALL_WRITE_BYTES;
        if self.waited {
            cx.waker().wake_by_ref();
        }
        self.waited
    }
}

/// Calls the wire, whichever it is.
macro_rules! on_wire {
    ($connection:ident, $wire:ident => $call:expr) => {
        match &mut $connection.wire {
            Wire::Plain($wire) => {
                let $wire = Pin::new($wire);
                $call
            }
            Wire::Tls($wire) => {
                let $wire = Pin::new(&mut **$wire);
                $call
            }
        }
    };
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = on_wire!(self, wire => wire.poll_read(cx, buf));
        if let Some((missing, limit)) = &mut self.beginning {
            match &read {
                Poll::Pending => {
                    ready!(limit.as_mut().poll(cx));
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                Poll::Ready(_) => {
                    *missing = missing.saturating_sub(buf.filled().len() - before);
                    if *missing == 0 {
                        self.beginning = None;
                    }
                }
            }
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.waits(buf.len(), cx) {
            return Poll::Pending;
        }
        let written = on_wire!(self, wire => wire.poll_write(cx, buf));
        self.unless_stalled(written, cx)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = on_wire!(self, wire => wire.poll_flush(cx));
        self.unless_stalled(flushed, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_wire!(self, wire => wire.poll_shutdown(cx))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // Of a message that is a piece of its own nothing can be made larger: h2 takes no other beside it.
        if let [one] = bufs
            && self.waits(one.len(), cx)
        {
            return Poll::Pending;
        }
        let written = on_wire!(self, wire => wire.poll_write_vectored(cx, bufs));
        self.unless_stalled(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.wire {
            Wire::Plain(wire) => wire.is_write_vectored(),
            Wire::Tls(wire) => wire.is_write_vectored(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test]
    async fn a_small_write_waits_for_one_turn_and_a_large_one_for_none() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let limits = ConnectionLimits { per_source: 1, total: 1 };
        let mut connection = Incoming::new(listener, None, limits).next().await;
        for (bytes, expected) in [(10, 2), (SMALL_WRITE_BYTES, 1), (10, 2)] {
            let mut turns = 0;
            let written = poll_fn(|cx| {
                turns += 1;
                Pin::new(&mut connection).poll_write(cx, &vec![0; bytes])
            });
            assert_eq!(written.await.unwrap(), bytes);
            assert_eq!(turns, expected, "{bytes} bytes");
        }
    }
}
