//! Requests, taken in whole before anything of them is decoded.
//!
//! A message that is too large is refused at its first five bytes, which say how large it is. While a request is not
//! complete, what it holds counts against its connection, its source and the process, so that any number of unfinished
//! ones fits in a known amount of memory. A request that comes at once, as nearly all do, is neither copied nor counted.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body as _, Frame};
use tonic::Status;
use tonic::body::Body;

use super::connection::Peer;
use super::quota::{Quota, Share};
use crate::app::{Error, Reason};
use crate::domain::source::{Network, Source};

/// The largest message of a caller with a credential, in bytes.
pub(super) const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// The largest message of a public RPC, in bytes.
pub(super) const PUBLIC_MESSAGE_BYTES_MAX: usize = 16 << 10;
/// How long a request may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(10);
/// How long a refused call waits for the rest of its request.
const LINGER: Duration = Duration::from_millis(100);
/// What comes before a message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;
/// What a call that waits for its request holds beside the request and its headers: a task, a stream, a timer. Measured as
/// the growth of the process by 3,000 such calls, rounded up.
const CALL_BYTES: usize = 8 << 10;
/// What unfinished requests of one connection may hold.
const CONNECTION_BYTES_MAX: usize = 8 << 20;
/// When one that was refused for want of room may come again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What unfinished requests may hold: those of known callers, and the others apart from them.
#[derive(Debug)]
pub(super) struct Room {
    known: Arc<Quota>,
    anonymous: Arc<Quota>,
}

impl Default for Room {
    fn default() -> Self {
        Self { known: Quota::new(16 << 20, 64 << 20), anonymous: Quota::new(8 << 20, 32 << 20) }
    }
}

/// Whose request it is.
#[derive(Clone, Copy)]
pub(super) struct Sender<'a> {
    pub(super) peer: &'a Arc<Peer>,
    /// Where the call came from: the peer, or whom a trusted proxy speaks for.
    pub(super) source: Source,
    pub(super) known: bool,
    pub(super) headers: &'a HeaderMap,
}

impl<'a> Sender<'a> {
    /// Somebody of whom no more is known than the connection.
    pub(super) fn unknown(peer: &'a Arc<Peer>, headers: &'a HeaderMap) -> Self {
        Self { peer, source: peer.source, known: false, headers }
    }

    /// What the call holds beside its message.
    fn call_bytes(&self) -> usize {
        CALL_BYTES + self.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>()
    }
}

impl Room {
    /// Waits until a request is there, and returns it as a body that is complete.
    ///
    /// # Errors
    /// MESSAGE_TOO_LARGE, MESSAGE_MALFORMED, COMPRESSION_UNSUPPORTED; OVERLOADED while too many requests are unfinished;
    /// DEADLINE_EXCEEDED.
    pub(super) async fn receive(&self, body: Body, bytes_max: usize, sender: Sender<'_>) -> Result<Body, Error> {
        let mut arriving = Arriving { body, bytes_max, message: Message::default(), held: None };
        let arrived = poll_fn(|cx| arriving.poll(cx, self, &sender));
        match tokio::time::timeout(ARRIVAL, arrived).await {
            Ok(arrived) => arrived.map(Body::new),
            Err(_) => Err(Error::refused(Reason::DeadlineExceeded, "the request did not arrive in time")),
        }
    }
}

impl Room {
    /// Takes what comes of a request that is refused, for a moment. HTTP/2 counts frames that nobody takes against their
    /// connection and ends it when they are many (h2 0.4.20, `too_many_data_frames`), with every other call on it.
    pub(super) async fn discard(&self, mut body: Body, sender: Sender<'_>) {
        let (mut bytes, mut held) = (0, None);
        let taken = poll_fn(|cx| {
            loop {
                match Pin::new(&mut body).poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) if bytes <= PUBLIC_MESSAGE_BYTES_MAX => {
                        bytes += frame.data_ref().map_or(0, Bytes::len);
                    }
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending if held.is_some() => return Poll::Pending,
                    Poll::Pending => match Held::take(self, &sender, sender.call_bytes()) {
                        Ok(taken) => held = Some(taken),
                        Err(_) => return Poll::Ready(()),
                    },
                }
            }
        });
        let _late = tokio::time::timeout(LINGER, taken).await;
    }
}

struct Arriving {
    body: Body,
    bytes_max: usize,
    message: Message,
    held: Option<Held>,
}

impl Arriving {
    fn poll(&mut self, cx: &mut Context<'_>, room: &Room, sender: &Sender<'_>) -> Poll<Result<Whole, Error>> {
        loop {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        self.message.push(data, self.bytes_max)?;
                    }
                }
                Poll::Ready(Some(Err(_))) => return Poll::Ready(Err(malformed("the request ended before its end"))),
                Poll::Ready(None) => {
                    let bytes = std::mem::take(&mut self.message).complete()?;
                    return Poll::Ready(Ok(Whole { bytes: Some(bytes), _held: self.held.take() }));
                }
                Poll::Pending => {
                    let bytes = sender.call_bytes() + self.message.keep();
                    match &mut self.held {
                        Some(held) => held.grow_to(bytes)?,
                        None => self.held = Some(Held::take(room, sender, bytes)?),
                    }
                    return Poll::Pending;
                }
            }
        }
    }
}

/// What came of a message so far, its prefix included.
enum Message {
    /// One piece, as it came: it keeps what the connection read together with it.
    Piece(Bytes),
    Copied(BytesMut),
}

impl Default for Message {
    fn default() -> Self {
        Self::Piece(Bytes::new())
    }
}

impl Message {
    fn so_far(&self) -> &[u8] {
        match self {
            Self::Piece(bytes) => bytes,
            Self::Copied(bytes) => bytes,
        }
    }

    fn push(&mut self, data: Bytes, bytes_max: usize) -> Result<(), Error> {
        match self {
            Self::Piece(bytes) if bytes.is_empty() => *self = Self::Piece(data),
            Self::Piece(_) => {
                self.keep();
                return self.push(data, bytes_max);
            }
            Self::Copied(bytes) => bytes.extend_from_slice(&data),
        }
        match self.length()? {
            Some(length) if length > bytes_max => {
                let told = format!("the message has {length} bytes, {bytes_max} are allowed");
                Err(Error::refused(Reason::MessageTooLarge, told))
            }
            Some(length) if self.so_far().len() > PREFIX_BYTES + length => {
                Err(malformed("more than one message came where one belongs"))
            }
            _ => Ok(()),
        }
    }

    /// What the prefix says; `None` = it is not there yet.
    fn length(&self) -> Result<Option<usize>, Error> {
        let Some(&[compressed, a, b, c, d]) = self.so_far().first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
        match compressed {
            0 => Ok(Some(usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX))),
            1 => Err(compressed_message()),
            _ => Err(malformed("the message's first byte is neither 0 nor 1")),
        }
    }

    /// Copies what came, so that it keeps nothing else. Returns how many bytes it takes.
    fn keep(&mut self) -> usize {
        if let Self::Piece(bytes) = self {
            *self = Self::Copied(BytesMut::from(&bytes[..]));
        }
        match self {
            Self::Piece(bytes) => bytes.len(),
            Self::Copied(bytes) => bytes.capacity(),
        }
    }

    fn complete(self) -> Result<Bytes, Error> {
        match self.length()? {
            Some(length) if self.so_far().len() == PREFIX_BYTES + length => Ok(match self {
                Self::Piece(bytes) => bytes,
                Self::Copied(bytes) => bytes.freeze(),
            }),
            _ => Err(malformed("the request ended before its message did")),
        }
    }
}

/// What an unfinished request holds.
struct Held {
    share: Share,
    peer: Arc<Peer>,
    /// Its part of what the connection may hold; none where others send over the same connection.
    of_connection: usize,
    alone: bool,
}

impl Held {
    fn take(room: &Room, sender: &Sender<'_>, bytes: usize) -> Result<Self, Error> {
        let quota = if sender.known { &room.known } else { &room.anonymous };
        let network: Network = sender.source.network();
        let share = quota.take(network, 0).map_err(|_| full())?;
        let alone = sender.peer.source == sender.source;
        let mut held = Self { share, peer: Arc::clone(sender.peer), of_connection: 0, alone };
        held.grow_to(bytes)?;
        Ok(held)
    }

    fn grow_to(&mut self, bytes: usize) -> Result<(), Error> {
        let more = bytes.saturating_sub(self.of_connection);
        if more == 0 {
            return Ok(());
        }
        self.share.grow_to(bytes).map_err(|_| full())?;
        let before = self.peer.held.fetch_add(more, Ordering::Relaxed);
        self.of_connection = bytes;
        match self.alone && before + more > CONNECTION_BYTES_MAX {
            true => Err(full()),
            false => Ok(()),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.peer.held.fetch_sub(self.of_connection, Ordering::Relaxed);
    }
}

/// A request that is complete.
struct Whole {
    bytes: Option<Bytes>,
    _held: Option<Held>,
}

impl http_body::Body for Whole {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }
}

/// The refusal of a message that is compressed: nothing that is compressed is read.
pub(super) fn compressed_message() -> Error {
    let told = "the message is compressed; send it as it is: grpc-encoding identity";
    Error::refused(Reason::CompressionUnsupported, told)
}

fn malformed(told: &str) -> Error {
    Error::refused(Reason::MessageMalformed, told)
}

fn full() -> Error {
    Error::Later { reason: Reason::Overloaded, retry_after: RETRY_AFTER }
}
