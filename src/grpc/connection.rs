//! The connections that come in: how many from one address, how long one may take to begin, and who is at its end.
//!
//! What a stranger does with a connection costs nobody else anything: handshakes run beside each other, a failing one
//! is heard of by nobody but a debugging operator, and whoever does not begin in time is closed.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use super::tls::{Tls, workload};
use crate::domain::workload::Workload;

/// The most connections from one address, handshakes included; a mesh or a gateway may hold many.
const CONNECTIONS_PER_PEER: usize = 512;
/// How long a client may take for its part of the handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long it may take for the preface of HTTP/2. What stays silent after that is the keepalive's business.
const BEGINNING: Duration = Duration::from_secs(10);
/// The length of that preface (RFC 9113 section 3.4), in bytes.
const PREFACE_BYTES: usize = 24;
/// A write of fewer bytes gives the other tasks one turn first, and takes along what other calls of the connection answer
/// meanwhile: the system, and the client, have one piece to handle instead of many. Batches of a thousand bytes are what
/// grpc-go aims at by the same means.
const SMALL_WRITE_BYTES: usize = 1000;
/// How long nobody is accepted after the system could not give one: too many open files, most likely.
const PAUSE: Duration = Duration::from_millis(200);

/// The connections that come in, each past its handshake where there is one. Never ends, never fails.
pub fn incoming(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
) -> impl tokio_stream::Stream<Item = io::Result<Connection>> {
    let gate = Gate { listener, tls, peers: Arc::default(), handshakes: JoinSet::new(), starved: false };
    futures_util::stream::unfold(gate, |mut gate| async move {
        let connection = gate.next().await;
        Some((Ok(connection), gate))
    })
}

struct Gate {
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    peers: Arc<Peers>,
    handshakes: JoinSet<Option<Connection>>,
    /// Whether the last connection could not be accepted.
    starved: bool,
}

impl Gate {
    async fn next(&mut self) -> Connection {
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

    /// A connection that is ready; with TLS it is once its handshake is done.
    fn admit(&mut self, stream: TcpStream, peer: SocketAddr) -> Option<Connection> {
        let seat = Seat::take(&self.peers, peer.ip())?;
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

/// How many connections each address holds.
#[derive(Debug, Default)]
struct Peers(parking_lot::Mutex<HashMap<IpAddr, usize>>);

/// Counts for its address until it is dropped.
#[derive(Debug)]
struct Seat {
    peers: Arc<Peers>,
    peer: IpAddr,
}

impl Seat {
    fn take(peers: &Arc<Peers>, peer: IpAddr) -> Option<Self> {
        let mut held = peers.0.lock();
        let count = held.entry(peer).or_insert(0);
        if *count >= CONNECTIONS_PER_PEER {
            tracing::warn!("a peer holds too many connections; one more is closed");
            return None;
        }
        *count += 1;
        Some(Self { peers: Arc::clone(peers), peer })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut held = self.peers.0.lock();
        if let Some(count) = held.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.peer);
            }
        }
    }
}

/// Who is at the other end.
#[derive(Clone, Debug)]
pub struct Peer {
    pub(super) address: SocketAddr,
    /// Whom its certificate names; read once, when the connection began.
    pub(super) workload: Option<Arc<Workload>>,
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    wire: Wire,
    peer: Peer,
    /// Until the preface is there: how many bytes are missing, and how long they may.
    beginning: Option<(usize, Pin<Box<Sleep>>)>,
    /// Whether the write that is under way gave the others their turn.
    waited: bool,
    _seat: Seat,
}

#[derive(Debug)]
enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection {
    fn new(wire: Wire, address: SocketAddr, workload: Option<Arc<Workload>>, seat: Seat) -> Self {
        let beginning = Some((PREFACE_BYTES, Box::pin(sleep(BEGINNING))));
        Self { wire, peer: Peer { address, workload }, beginning, waited: false, _seat: seat }
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

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
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
        on_wire!(self, wire => wire.poll_write(cx, buf))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_wire!(self, wire => wire.poll_flush(cx))
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
        on_wire!(self, wire => wire.poll_write_vectored(cx, bufs))
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

    use tokio_stream::StreamExt as _;

    use super::*;

    #[tokio::test]
    async fn a_small_write_waits_for_one_turn_and_a_large_one_for_none() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut connection = Box::pin(incoming(listener, None)).next().await.unwrap().unwrap();
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
