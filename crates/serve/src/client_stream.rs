//! A connection that knows since when its client has taken nothing of what is there for it.
//! Knows no protocol.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A stream that stops its clock while the client takes what is written.
pub(super) struct TimedStream {
    stream: TcpStream,
    clock: Arc<StallClock>,
}

/// Since when a write has waited for the client; `None` while none does.
#[derive(Default)]
pub(super) struct StallClock(Mutex<Option<Instant>>);

impl TimedStream {
    pub(super) fn new(stream: TcpStream, clock: Arc<StallClock>) -> TimedStream {
        TimedStream { stream, clock }
    }
}

impl StallClock {
    /// Returns when the client has taken nothing for longer than `within`, by up to an eighth.
    pub(super) async fn stalled(&self, within: Duration) {
        loop {
            tokio::time::sleep(within / 8).await;
            if self.lock().is_some_and(|since| since.elapsed() >= within) {
                return;
            }
        }
    }

    /// Notes how a write went.
    fn see<T>(&self, written: Poll<T>) -> Poll<T> {
        let mut since = self.lock();
        *since = if written.is_pending() { since.or_else(|| Some(Instant::now())) } else { None };
        written
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsyncRead for TimedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for TimedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.clock.see(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.clock.see(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
