//! A connection that knows whether its client is still there: whether it takes what is written, and has not left.
//! Knows no protocol.

use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection's stream. Clones are the same one: to read, to write, and to ask about.
pub(crate) struct ClientStream<S>(Arc<Mutex<State<S>>>);

struct State<S> {
    stream: S,
    /// Since when a write has waited for the client; `None` while none does.
    stalled_since: Option<Instant>,
    /// When the client last took something.
    taken_at: Instant,
}

impl<S: AsyncRead + AsyncWrite + AsFd + Unpin> ClientStream<S> {
    pub(crate) fn new(stream: S) -> ClientStream<S> {
        let state = State { stream, stalled_since: None, taken_at: Instant::now() };
        ClientStream(Arc::new(Mutex::new(state)))
    }

    /// Returns when the client has taken nothing of what is there for it for longer than `within`, by up to a second. Or when it has
    /// closed its side and nothing has come for it for 2 seconds: it may still read, but mostly it has left, and a socket
    /// tells the two apart only when it is written to.
    pub(crate) async fn gone(&self, within: Duration) {
        let mut closed_since = None;
        loop {
            tokio::time::sleep(LOOK_INTERVAL.min(within / 8)).await;
            let state = self.lock();
            if state.stalled_since.is_some_and(|since| since.elapsed() >= within) {
                return;
            }
            if !state.is_closed_by_client() {
                continue;
            }
            let since = *closed_since.get_or_insert_with(Instant::now);
            if since.max(state.taken_at).elapsed() >= CLOSED_MAX {
                return;
            }
        }
    }
}

impl<S> ClientStream<S> {
    fn lock(&self) -> MutexGuard<'_, State<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: AsyncWrite + AsFd + Unpin> State<S> {
    fn write<T>(&mut self, write: impl FnOnce(Pin<&mut S>) -> Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        let written = write(Pin::new(&mut self.stream));
        match written {
            Poll::Pending => {
                self.stalled_since.get_or_insert_with(Instant::now);
            }
            Poll::Ready(_) => (self.stalled_since, self.taken_at) = (None, Instant::now()),
        }
        written
    }

    /// Whether nothing more will come from the client.
    fn is_closed_by_client(&self) -> bool {
        let mut state = [PollFd::new(&self.stream, PollFlags::RDHUP)];
        let looked = poll(&mut state, Some(&Timespec::default()));
        looked.is_ok_and(|count| count > 0)
    }
}

impl<S> Clone for ClientStream<S> {
    fn clone(&self) -> ClientStream<S> {
        ClientStream(self.0.clone())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ClientStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.lock().stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + AsFd + Unpin> AsyncWrite for ClientStream<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.lock().write(|stream| stream.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.lock().write(|stream| stream.poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.lock().stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.lock().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.lock().stream).poll_shutdown(context)
    }
}

/// How often a connection is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// How long a client that has closed its side is read for while it takes nothing.
const CLOSED_MAX: Duration = Duration::from_secs(2);
