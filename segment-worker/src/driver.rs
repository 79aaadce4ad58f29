//! The output side of one stream: the guarded sink, the thread that syncs it, and how far it has committed.
//! It knows no job and no credit. It checks whether the sink may be called.

use std::io;
use std::sync::Arc;
use std::thread;

use contract::{Checkpoint, StreamingSink, WriteAt};
use frame_worker::SegmentIndex;

use crate::durability::{SyncFailed, SyncThread};
use crate::error::StreamError;
use crate::guard::Guard;
use crate::proof::{Asserted, Complete, PartComplete, Verified};
use crate::settings::Committed;
use crate::{CancelToken, Stage, Stages};

/// Where the bytes of a stream go, and who is told what has become of them. Dropped, it waits for a sync that runs.
pub(crate) struct SinkDriver<'a, S: StreamingSink> {
    pub(crate) committed: Committed,
    pub(crate) guard: Guard<S>,
    /// Writes bytes at any offset, at any time. Without it they are written in order.
    pub(crate) positioned: Option<Arc<dyn WriteAt>>,
    /// The same, whether or not segments are written that way: for what belongs to none.
    pub(crate) appender: Option<Arc<dyn WriteAt>>,
    pub(crate) sync: Option<SyncThread>,
    pub(crate) cancel: &'a CancelToken,
    pub(crate) checkpoint: &'a dyn Fn(&Committed) -> Checkpoint,
    pub(crate) observe: &'a mut dyn FnMut(&Committed),
    pub(crate) stages: &'a Arc<Stages>,
}

impl<S: StreamingSink> SinkDriver<'_, S> {
    /// Checks whether the sink may be called: not after a cancellation, or a failed sync that has been seen. Returns
    /// the bytes that are durable.
    pub(crate) fn check<E>(&mut self) -> Result<u64, StreamError<E>> {
        if self.cancel.is_cancelled() {
            return Err(StreamError::Cancelled);
        }
        let durable = self.sync.as_ref().map_or(Ok(self.committed.durable_len), SyncThread::durable);
        self.check_sync(durable)
    }

    /// Reports what has become durable since the last commit, also while the source idles.
    pub(crate) fn report<E>(&mut self) -> Result<(), StreamError<E>> {
        let durable = self.check()?;
        self.note_durable(durable);
        Ok(())
    }

    /// Ordered mode: begins `segment` at `offset`, if it has not begun.
    pub(crate) fn begin<E>(&mut self, segment: SegmentIndex, offset: u64) -> Result<(), StreamError<E>> {
        self.check()?;
        if self.guard.is_open() {
            return Ok(());
        }
        self.guard.begin(offset).map_err(|source| StreamError::Sink { segment, source })
    }

    /// Writes bytes of `segment` that no job writes: at their position, or in order.
    pub(crate) fn write<E>(
        &mut self,
        segment: SegmentIndex,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), StreamError<E>> {
        self.check()?;
        let written = match &self.positioned {
            _ if bytes.is_empty() => Ok(()),
            Some(sink) => self.stages.time(Stage::Write, bytes.len(), || sink.write_all_at(offset, bytes)),
            None => self.guard.write(offset, bytes),
        };
        written.map_err(|source| StreamError::Sink { segment, source })
    }

    /// The next segment lies in the sink already: `len` bytes at `offset`, which have been proved.
    pub(crate) fn confirm<E>(
        &mut self,
        segment: SegmentIndex,
        offset: u64,
        len: u64,
    ) -> Result<(), StreamError<E>> {
        self.check()?;
        self.guard.confirm(offset, len).map_err(|source| StreamError::Sink { segment, source })
    }

    /// Commits a segment on its proof, and leaves it to be made durable.
    pub(crate) fn commit<E>(&mut self, proof: Verified, after: Committed) -> Result<(), StreamError<E>> {
        self.check()?;
        let (segment, checkpoint) = (SegmentIndex(proof.index), proof.checkpoint.clone());
        self.guard.commit(proof).map_err(|source| StreamError::Commit { segment, source })?;
        self.committed = after;
        let posted = self.sync.as_ref().map_or(Ok(after.durable_len), |sync| sync.post(&after, checkpoint));
        self.committed.durable_len = posted.as_ref().map_or(after.durable_len, |durable| *durable);
        // It has committed, whatever became of its sync.
        (self.observe)(&self.committed);
        self.check_sync(posted).map(drop)
    }

    /// Writes what follows the last segment, which has already committed. No commit follows that would say where an
    /// ordered sink's bytes belong, so only a sink with positions can take them.
    pub(crate) fn append<E>(&mut self, bytes: &[u8]) -> Result<(), StreamError<E>> {
        self.check()?;
        let at = self.committed.sink_len;
        let written = match &self.appender {
            Some(sink) => self.stages.time(Stage::Write, bytes.len(), || sink.write_all_at(at, bytes)),
            None => Err(io::Error::new(io::ErrorKind::Unsupported, NO_POSITION)),
        };
        let segment = SegmentIndex(self.committed.segments.saturating_sub(1));
        written.map_err(|source| StreamError::Sink { segment, source })?;
        self.committed.sink_len += bytes.len() as u64;
        Ok(())
    }

    /// Publishes the whole. All segments have committed.
    pub(crate) fn publish<E>(&mut self, proof: Complete) -> Result<(), StreamError<E>> {
        self.make_publishable()?;
        self.guard.publish(proof).map_err(StreamError::Publish)
    }

    /// Publishes what nothing proves to be the whole. All its segments have committed.
    pub(crate) fn publish_asserted<E>(&mut self, proof: Asserted) -> Result<(), StreamError<E>> {
        self.make_publishable()?;
        self.guard.publish_asserted(proof).map_err(StreamError::Publish)
    }

    /// Publishes a part of a stream. All its segments have committed.
    pub(crate) fn publish_part<E>(&mut self, proof: PartComplete) -> Result<(), StreamError<E>> {
        self.make_publishable()?;
        self.guard.publish_part(proof).map_err(StreamError::Publish)
    }

    fn make_publishable<E>(&mut self) -> Result<(), StreamError<E>> {
        if let Some(sync) = self.sync.take() {
            let durable = self.check_sync(sync.stop())?;
            self.note_durable(durable);
            self.check()?;
        }
        self.cancel.begin_publish();
        Ok(())
    }

    /// A failed sync ends the sink: it is not even asked to roll back.
    fn check_sync<E>(&mut self, durable: Result<u64, SyncFailed>) -> Result<u64, StreamError<E>> {
        durable.map_err(|failed| {
            self.guard.poison();
            failed.into()
        })
    }

    fn note_durable(&mut self, durable: u64) {
        if durable > self.committed.durable_len {
            self.committed.durable_len = durable;
            (self.observe)(&self.committed);
        }
    }
}

impl<S: StreamingSink> Drop for SinkDriver<'_, S> {
    fn drop(&mut self) {
        match self.sync.take().map(SyncThread::stop) {
            Some(Ok(durable)) if !thread::panicking() => self.note_durable(durable),
            Some(Err(_)) => self.guard.poison(),
            _ => {}
        }
    }
}

const NO_POSITION: &str =
    "what is left of this stream lies behind its last segment, and the sink takes no bytes there";
