//! The sequencer of one segment: runs in any order in, index order out, and a proof at the end.
//! It never sees ciphertext and knows no thread: made-up frames test it.

use frame_worker::{
    ChainValue, Closing, FrameIndex, OpenedFrame, SegmentDigest, SegmentIndex, digests_equal,
};
use sinks::Checkpoint;

use crate::error::SegmentFault;
use crate::proof::Verified;
use crate::sync::reorder::Reorder;

/// Consecutive frames that a job has done, with what came out of them if it has not gone to the sink already.
pub struct OpenedRun<T> {
    /// The first frame.
    pub first: FrameIndex,
    /// All of them, in order.
    pub frames: Vec<OpenedFrame>,
    /// What came out.
    pub output: T,
}

/// Puts the runs of one segment in order, absorbs their fragments as soon as those before are there, and checks the whole.
pub struct Sequencer<T> {
    index: SegmentIndex,
    digest: SegmentDigest,
    frame_len: u32,
    runs: Reorder<OpenedRun<T>>,
    plaintext_len: u64,
    ended_short: bool,
}

impl<T> Sequencer<T> {
    /// For the segment `index` of frames of `frame_len` plaintext bytes.
    pub fn new(index: SegmentIndex, digest: SegmentDigest, frame_len: u32) -> Sequencer<T> {
        Sequencer { index, digest, frame_len, runs: Reorder::new(), plaintext_len: 0, ended_short: false }
    }

    /// Takes a run, in any order. Refuses a frame that came before, and a run whose frames are not consecutive.
    pub fn accept(&mut self, run: OpenedRun<T>) -> Result<(), SegmentFault> {
        let due = u64::from(run.first.0)..;
        let consecutive = run.frames.iter().zip(due).all(|(frame, due)| u64::from(frame.index.0) == due);
        let count = u32::try_from(run.frames.len()).map_err(|_| SegmentFault::Frames)?;
        if !consecutive || !self.runs.insert(run.first.0, count, run) {
            return Err(SegmentFault::Frames);
        }
        Ok(())
    }

    /// The run that is due, if it has come: its fragments are absorbed, its output is the caller's to pass on.
    pub fn pop(&mut self) -> Result<Option<OpenedRun<T>>, SegmentFault> {
        let Some(run) = self.runs.pop() else { return Ok(None) };
        for frame in &run.frames {
            if self.ended_short || frame.plaintext_len == 0 || frame.plaintext_len > self.frame_len {
                return Err(SegmentFault::Frames);
            }
            self.ended_short = frame.plaintext_len < self.frame_len;
            self.plaintext_len += u64::from(frame.plaintext_len);
            self.digest.absorb(&frame.fragment);
        }
        Ok(Some(run))
    }

    /// Frames absorbed so far.
    pub fn frame_count(&self) -> u32 {
        self.runs.next()
    }

    /// Plaintext bytes of them.
    pub fn plaintext_len(&self) -> u64 {
        self.plaintext_len
    }

    /// Checks the segment against its closing frames and the chain so far. The digests are compared in constant time.
    pub fn finish(
        self,
        closing: &Closing,
        chain: ChainValue,
        mark: impl FnOnce() -> Checkpoint,
    ) -> Result<Verified, SegmentFault> {
        let fields = &closing.fields;
        if self.runs.has_gap() {
            return Err(SegmentFault::Frames);
        }
        if fields.frame_count != self.frame_count() || fields.plaintext_len != self.plaintext_len {
            return Err(SegmentFault::Count);
        }
        if fields.chain_before != chain {
            return Err(SegmentFault::Chain);
        }
        if !digests_equal(&self.digest.finish(fields.frame_count), &fields.digest) {
            return Err(SegmentFault::Digest);
        }
        Ok(Verified { index: self.index.0, mark: mark() })
    }

    /// The digest of a segment that is being sealed: `frame_count` frames, none missing.
    pub(crate) fn digest(self, frame_count: u32) -> Result<[u8; 32], SegmentFault> {
        if self.runs.has_gap() || self.frame_count() != frame_count {
            return Err(SegmentFault::Frames);
        }
        Ok(self.digest.finish(frame_count))
    }
}
