//! Bytes of a range as they arrive, handed over from the threads of requests to one reader that waits.
//! Knows neither place nor retries. How much is between the two is bounded.

use std::{
    sync::{
        Arc,
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    time::Duration,
};

use bytes::Bytes;
use cofferdam_io::FetchError;
use tokio::{runtime::Handle, sync::Semaphore, task::AbortHandle};

use crate::{request::RangeBody, runtime::CANCEL_POLL};

/// The bytes of one range, in order. Dropped, it ends the request.
pub(crate) struct Inflow {
    receiver: Receiver<Result<Bytes, FetchError>>,
    room: Arc<Semaphore>,
    task: AbortHandle,
}

/// What has come.
pub(crate) enum Piece {
    /// The next bytes, at least one.
    Bytes(Bytes),
    /// All have come.
    End,
    /// The patience ran out.
    NothingYet,
}

impl Inflow {
    pub(crate) fn start(runtime: &Handle, mut body: RangeBody) -> Self {
        let (sender, receiver) = mpsc::channel();
        let room = Arc::new(Semaphore::new(PIECES_MAX));
        let room_of_task = room.clone();
        let task = runtime.spawn(async move {
            loop {
                // Given back where the piece is taken out.
                let Ok(permit) = room_of_task.acquire().await else { return };
                permit.forget();
                let piece = match body.next().await {
                    Ok(Some(bytes)) => Ok(bytes),
                    Ok(None) => return,
                    Err(error) => Err(error),
                };
                let is_last = piece.is_err();
                if sender.send(piece).is_err() || is_last {
                    return;
                }
            }
        });
        Self { receiver, room, task: task.abort_handle() }
    }

    /// Waits at most about `patience` for the next bytes.
    ///
    /// # Errors
    /// They will not come.
    pub(crate) fn next(&self, patience: Duration) -> Result<Piece, FetchError> {
        let piece = match self.receiver.recv_timeout(patience) {
            Ok(piece) => piece?,
            Err(RecvTimeoutError::Timeout) => return Ok(Piece::NothingYet),
            Err(RecvTimeoutError::Disconnected) => return Ok(Piece::End),
        };
        self.room.add_permits(1);
        Ok(Piece::Bytes(piece))
    }

    /// Waits for the next bytes for as long as `cancelled` does not say otherwise; it is asked every 50 ms. Nothing at the end.
    ///
    /// # Errors
    /// They will not come, or it was cancelled: the error is then `cancellation`'s.
    pub(crate) fn next_unless(
        &self,
        cancelled: &dyn Fn() -> bool,
        cancellation: impl Fn() -> FetchError,
    ) -> Result<Option<Bytes>, FetchError> {
        loop {
            if cancelled() {
                return Err(cancellation());
            }
            match self.next(CANCEL_POLL)? {
                Piece::Bytes(bytes) => return Ok(Some(bytes)),
                Piece::End => return Ok(None),
                Piece::NothingYet => {}
            }
        }
    }
}

impl Drop for Inflow {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Pieces between the request and its reader; a piece is at most what one read of a connection brings, some 400 KiB.
const PIECES_MAX: usize = 8;
