//! Reading ahead of a caller who reads on: the runs that come next are opened on the pool, so that they are there in time.
//! It knows no bytes. What it does not get done, the caller does.

use std::sync::Arc;

use super::fetch::FetchTurn;
use super::frames::{Frames, Job};
use crate::Error;
use crate::resources::Workers;

/// How far one position has been read, and how far ahead of it jobs were queued.
#[derive(Default)]
pub(super) struct Prefetch {
    /// Where the last read ended.
    read: u64,
    /// Up to where runs have been queued.
    queued: u64,
    /// Of a far source: what was asked for.
    turn: Option<FetchTurn>,
}

impl Prefetch {
    /// A read of `count` bytes begins at `offset`. If it goes on where the last one ended, the runs after its own are queued; of a
    /// far source they are fetched, and no thread of the pool waits for them. Returns how many bytes to read.
    ///
    /// # Errors
    /// What was fetched will not come.
    pub(super) fn read_from(
        &mut self,
        frames: &Arc<Frames>,
        offset: u64,
        count: usize,
    ) -> Result<usize, Error> {
        if offset == 0 || offset != self.read {
            self.queued = 0;
            self.turn = None;
            return Ok(count);
        }
        FetchTurn::take(&mut self.turn, frames, offset);
        match &mut self.turn {
            Some(turn) => turn.fetch(frames, offset, count),
            None if frames.fetch.is_some() => Ok(count),
            None => {
                self.queue_from(frames, offset);
                Ok(count)
            }
        }
    }

    fn queue_from(&mut self, frames: &Arc<Frames>, offset: u64) {
        let end = frames.len().min(offset + frames.ahead_len());
        if self.queued < offset {
            self.queued = offset;
        }
        while self.queued < end {
            let Some(run_end) = frames.queue_run(self.queued, self.queued == offset) else { return };
            self.queued = run_end;
        }
    }

    /// The read has ended at `offset`.
    pub(super) fn read_until(&mut self, offset: u64) {
        self.read = offset;
        if let Some(turn) = &mut self.turn {
            turn.read_until(offset);
        }
    }
}

/// Another position, which has nothing fetched.
impl Clone for Prefetch {
    fn clone(&self) -> Prefetch {
        Prefetch { turn: None, ..*self }
    }
}

impl Frames {
    /// Plaintext bytes that are opened ahead of a position at most. What is read ahead must not push itself out.
    fn ahead_len(&self) -> u64 {
        let run_len = self.run_plaintext_len();
        let runs = (RUNS_AHEAD * self.plan.threads + 1).min(self.opened.len_max() / 2 / run_len);
        (runs * run_len) as u64
    }

    /// Has the run that begins at `offset`, or the rest of one, opened on the pool, and says where it ends. With `callers` it is the one
    /// that the caller opens itself, who needs it now. `None` where there is no thread, enough to do already, or no such segment.
    fn queue_run(self: &Arc<Frames>, offset: u64, callers: bool) -> Option<u64> {
        let segment = self.segment_at(offset, self.resources.stop()).ok()?;
        let first = segment.frame_at(offset);
        let per_run = self.plan.frames_per_run;
        let end = ((first / per_run + 1) * per_run).min(segment.frame_count());
        let run_end = segment.plaintext_of(end - 1).end;
        if callers {
            return Some(run_end);
        }
        let (Workers::Pool(pool) | Workers::PoolAndCaller(pool)) = self.workers()? else { return None };
        let job = Job::begin(&self.jobs, RUNS_AHEAD * self.plan.threads + 1)?;
        // Whoever drops the reader wants none of it.
        let frames = Arc::downgrade(self);
        pool.queue(move || {
            if let Some(frames) = frames.upgrade() {
                frames.open_ahead(&segment, first..end);
            }
            drop(job);
        });
        Some(run_end)
    }

    fn workers(&self) -> Option<&Workers> {
        let workers = || self.resources.workers_for(self.plan, self.envelope.shape(), None).ok();
        self.workers.get_or_init(workers).as_ref()
    }
}

/// Runs per thread: one that it works on, and one that waits for it.
const RUNS_AHEAD: usize = 2;
