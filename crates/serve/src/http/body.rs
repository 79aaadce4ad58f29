//! The body of an answer: pieces of the source in order, some of them read ahead, as fast as the client takes them.
//! A piece that cannot be read ends it early: the connection breaks, and the client sees that bytes are missing.

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesOrdered, StreamExt as _};
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use crate::reads::{ClientShare, OWN_LEN, Piece, Reads};

/// Some bytes that are there, and then those of the source that follow.
pub(super) struct Body {
    first: Bytes,
    rest: Option<Pieces>,
    left: u64,
}

/// A range of the source that is being read.
pub(super) struct Pieces {
    reads: Arc<Reads>,
    share: ClientShare,
    running: FuturesOrdered<BoxFuture<'static, io::Result<Piece>>>,
    next: u64,
    end: u64,
}

impl Body {
    /// Bytes that are there.
    pub(super) fn of(text: impl Into<Bytes>) -> Body {
        let first = text.into();
        Body { left: first.len() as u64, first, rest: None }
    }

    /// The bytes of `range`, which is not empty, once the first of them have been read.
    ///
    /// # Errors
    /// They cannot be.
    pub(super) async fn begin(
        reads: &Arc<Reads>,
        range: Range<u64>,
        share: &ClientShare,
    ) -> io::Result<Body> {
        let left = range.end - range.start;
        let mut rest = Pieces {
            reads: reads.clone(),
            share: share.clone(),
            running: FuturesOrdered::new(),
            next: range.start,
            end: range.end,
        };
        rest.read_ahead(1);
        let first = rest.running.next().await.transpose()?;
        let first = first.map(Bytes::from_owner).unwrap_or_default();
        Ok(Body { first, rest: Some(rest), left })
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
        let next = ready!(body.poll_bytes(context));
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
    /// Begins reads until `count` are on their way, there is nothing more to read, or no memory to share. The next one that is due
    /// has the connection's own.
    fn read_ahead(&mut self, count: usize) {
        while self.running.len() < count && self.next < self.end {
            // Where pieces end, so do units of the source, mostly.
            let end = ((self.next / PIECE_LEN + 1) * PIECE_LEN).min(self.end);
            let (offset, len) = (self.next, (end - self.next) as usize);
            match self.reads.try_lease(len) {
                // It runs from now on, while the client takes what came before it.
                Some(lease) => {
                    self.running.push_back(Box::pin(self.reads.read(offset, len, lease, &self.share)))
                }
                None if self.running.is_empty() => {
                    self.running.push_back(Box::pin(read_in(
                        self.share.clone(),
                        self.reads.clone(),
                        offset,
                        len,
                    )));
                }
                None => return,
            }
            self.next = end;
        }
    }
}

/// Reads into the memory of the connection.
async fn read_in(share: ClientShare, reads: Arc<Reads>, offset: u64, len: usize) -> io::Result<Piece> {
    let lease = share.lease().await?;
    reads.read(offset, len, lease, &share).await
}

/// Bytes of one read.
const PIECE_LEN: u64 = OWN_LEN as u64;
/// Reads of one answer at once.
const PIECES_AHEAD: usize = 4;
