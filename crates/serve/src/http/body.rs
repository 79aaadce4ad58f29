//! The body of an answer: pieces of the source in order, some of them read ahead, as fast as the client takes them.
//! A piece that cannot be read ends it early: the connection breaks, and the client sees that bytes are missing.

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesOrdered, StreamExt as _};
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use crate::reads::{Piece, Reads};

/// Some bytes that are there, and then those of the source that follow.
pub(super) struct Body {
    first: Bytes,
    rest: Option<Pieces>,
    taking: Option<Arc<Taking>>,
    left: u64,
}

/// A range of the source that is being read.
pub(super) struct Pieces {
    reads: Arc<Reads>,
    running: FuturesOrdered<BoxFuture<'static, io::Result<Piece>>>,
    next: u64,
    end: u64,
}

/// Since when a connection has had bytes that its client has not taken.
#[derive(Default)]
pub(super) struct Taking(Mutex<Option<Instant>>);

impl Body {
    /// Bytes that are there.
    pub(super) fn of(text: impl Into<Bytes>) -> Body {
        let first = text.into();
        Body { left: first.len() as u64, first, rest: None, taking: None }
    }

    /// The bytes of `range`, which is not empty, once the first of them have been read.
    ///
    /// # Errors
    /// They cannot be.
    pub(super) async fn begin(
        reads: &Arc<Reads>,
        range: Range<u64>,
        taking: Arc<Taking>,
    ) -> io::Result<Body> {
        let left = range.end - range.start;
        let mut rest = Pieces {
            reads: reads.clone(),
            running: FuturesOrdered::new(),
            next: range.start,
            end: range.end,
        };
        rest.read_ahead(1);
        let first = rest.running.next().await.transpose()?;
        let first = first.map(Bytes::from_owner).unwrap_or_default();
        Ok(Body { first, rest: Some(rest), taking: Some(taking), left })
    }

    fn poll_bytes(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if !self.first.is_empty() {
            return Poll::Ready(Some(Ok(std::mem::take(&mut self.first))));
        }
        let Some(pieces) = &mut self.rest else { return Poll::Ready(None) };
        pieces.read_ahead(PIECES_AHEAD);
        let next = ready!(pieces.running.poll_next_unpin(context));
        Poll::Ready(next.map(|piece| piece.map(Bytes::from_owner)))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let body = &mut *self;
        // Whoever asks for more has room for it.
        body.taking.iter().for_each(|taking| taking.begin());
        let next = ready!(body.poll_bytes(context));
        body.taking.iter().for_each(|taking| taking.wait());
        if let Some(Ok(bytes)) = &next {
            body.left -= bytes.len() as u64;
        }
        Poll::Ready(next.map(|bytes| bytes.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

impl Pieces {
    /// Begins reads until `count` are on their way, or there is nothing more to read.
    fn read_ahead(&mut self, count: usize) {
        while self.running.len() < count && self.next < self.end {
            // Where pieces end, so do units of the source, mostly.
            let end = ((self.next / PIECE_LEN + 1) * PIECE_LEN).min(self.end);
            let read = self.reads.read(self.next, (end - self.next) as usize);
            self.running.push_back(Box::pin(read));
            self.next = end;
        }
    }
}

impl Taking {
    /// The client has taken what there was.
    pub(super) fn begin(&self) {
        *self.lock() = None;
    }

    /// There are bytes for the client.
    fn wait(&self) {
        *self.lock() = Some(Instant::now());
    }

    /// Returns when the client has taken nothing for longer than `within`, by up to an eighth.
    pub(super) async fn stalled(&self, within: Duration) {
        loop {
            tokio::time::sleep(within / 8).await;
            if self.lock().is_some_and(|since| since.elapsed() >= within) {
                return;
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes of one read.
const PIECE_LEN: u64 = 256 << 10;
/// Reads of one answer at once.
const PIECES_AHEAD: usize = 4;
