//! Answers on their way to clients that may be slow to take them.
//!
//! An answer is encoded before its first byte leaves, so that what it holds is known: large ones count against a
//! [`Quota`](super::quota::Quota) until they are sent. They are handed to the connection in pieces, because it buffers
//! whatever it is handed. A client that leaves an answer untaken for too long loses its connection.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as _, Frame};
use tonic::Status;
use tonic::body::Body;

use super::connection::Open;
use super::quota::Share;

/// The largest piece that a connection is handed at once: one frame of HTTP/2 by default (RFC 9113 section 4.2).
pub(super) const PIECE_BYTES: usize = 16 << 10;
/// How often it is looked whether a client takes its answers.
pub(super) const LOOK: Duration = Duration::from_secs(10);
/// An answer that waits for this many looks, its first included, is given up: a client has 20 to 30 seconds.
const LOOKS: usize = 3;

/// How many answers of a connection wait for the client, by the look since which they do.
#[derive(Debug, Default)]
pub(super) struct Unread {
    look: AtomicUsize,
    waiting: [AtomicUsize; LOOKS],
}

impl Unread {
    /// An answer waits from now on. Returns what [`Unread::taken`] is to be told.
    fn waits(&self) -> usize {
        let slot = self.look.load(Ordering::Relaxed) % LOOKS;
        self.waiting[slot].fetch_add(1, Ordering::Relaxed);
        slot
    }

    fn taken(&self, slot: usize) {
        self.waiting[slot].fetch_sub(1, Ordering::Relaxed);
    }

    /// Looks again. Returns whether an answer has waited for too long.
    pub(super) fn look(&self) -> bool {
        let next = (self.look.load(Ordering::Relaxed) + 1) % LOOKS;
        let oldest = self.waiting[next].load(Ordering::Relaxed);
        self.look.store(next, Ordering::Relaxed);
        oldest > 0
    }
}

/// The body of an answer.
pub(super) struct Answer {
    /// What comes before the rest.
    first: Option<Result<Frame<Bytes>, Status>>,
    rest: Body,
    open: Open,
    /// While the client is waited for: since which look.
    waits: Option<usize>,
    /// For a large first frame, until it has left.
    share: Option<Share>,
}

impl Answer {
    /// The answer whose body begins with `first`.
    pub(super) fn new(
        first: Option<Result<Frame<Bytes>, Status>>,
        rest: Body,
        open: Open,
        share: Option<Share>,
    ) -> Self {
        let ended = first.is_none() && rest.is_end_stream();
        let waits = (!ended).then(|| open.0.unread.waits());
        Self { first, rest, open, waits, share }
    }

    /// The client is waited for, or no longer is.
    fn wait(&mut self, waits: bool) {
        if let Some(slot) = self.waits.take() {
            self.open.0.unread.taken(slot);
        }
        self.waits = waits.then(|| self.open.0.unread.waits());
    }

    /// Hands out a frame, or a piece of it.
    fn piece(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        match frame.into_data() {
            Ok(mut data) if data.len() > PIECE_BYTES => {
                let piece = data.split_to(PIECE_BYTES);
                self.first = Some(Ok(Frame::data(data)));
                Frame::data(piece)
            }
            Ok(data) => {
                self.share = None;
                Frame::data(data)
            }
            Err(trailers) => trailers,
        }
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let next = match self.first.take() {
            Some(frame) => Poll::Ready(Some(frame)),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        };
        let next = next.map_ok(|frame| self.piece(frame));
        // It is asked for more only once the client can take more.
        self.wait(matches!(next, Poll::Ready(Some(Ok(_)))));
        next
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.is_end_stream()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.wait(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_takes_between_two_looks_never_waits_too_long() {
        let unread = Unread::default();
        for _ in 0..20 {
            let slot = unread.waits();
            assert!(!unread.look());
            unread.taken(slot);
        }
        let slot = unread.waits();
        assert_eq!([unread.look(), unread.look(), unread.look()], [false, false, true]);
        unread.taken(slot);
    }
}
