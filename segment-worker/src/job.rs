//! One run's path through a worker thread: read, open or seal, write, one result.
//! It takes no credit, holds no lock across I/O and waits for no other job.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use contract::{Lending, WriteAt};
use frame_worker::{Closing, FrameIndex, FrameWorker, OpenedFrame, SegmentIndex};

use crate::error::StreamError;
use crate::run::{Input, Run, RunContents, RunFault};
use crate::sequencer::OpenedRun;
use crate::{Buffer, Buffers, CancelToken, NoMemory, Stage, Stages};

/// Which way the bytes go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Work {
    Open,
    Seal,
    /// As sealing, of plaintext that is to be compared with what was sealed: nothing of it is stored or sent (FORMAT F12.3).
    Prove,
}

/// A run with all that its job needs.
pub(crate) struct Job {
    pub(crate) segment: SegmentIndex,
    pub(crate) run: Run,
    pub(crate) worker: Arc<FrameWorker>,
    pub(crate) work: Work,
    pub(crate) sink: Option<Arc<dyn WriteAt>>,
    pub(crate) buffers: Buffers,
    pub(crate) stops: [CancelToken; 2],
    pub(crate) stages: Arc<Stages>,
}

/// The one result of a job.
pub(crate) struct Outcome {
    pub(crate) segment: SegmentIndex,
    pub(crate) first: FrameIndex,
    pub(crate) result: Result<Done, JobError>,
}

/// A run that was done.
pub(crate) struct Done {
    pub(crate) run: OpenedRun<Option<Output>>,
    /// What closes its segment, where that was read with it.
    pub(crate) closing: Option<Closing>,
}

/// A run's output that has yet to go to the sink: the first `len` bytes of a buffer.
pub(crate) struct Output {
    pub(crate) buffer: Buffer,
    pub(crate) len: usize,
}

/// Why a job has no output.
#[derive(Debug)]
pub(crate) enum JobError {
    Run(RunFault),
    Read { offset: u64, source: io::Error },
    Write(io::Error),
    NoMemory(NoMemory),
    Panicked,
    Stopped,
}

impl Outcome {
    /// Where in the stream it belongs.
    pub(crate) fn position(&self) -> (SegmentIndex, FrameIndex) {
        (self.segment, self.first)
    }

    /// The stream's error, if the job has failed.
    pub(crate) fn into_error<E>(self) -> Option<StreamError<E>> {
        let Outcome { segment, result, .. } = self;
        Some(match result.err()? {
            JobError::Run(fault) => fault.in_segment(segment),
            JobError::Read { offset, source } => StreamError::Read { segment, offset, source },
            JobError::Write(source) => StreamError::Sink { segment, source },
            JobError::NoMemory(source) => StreamError::NoMemory(source),
            JobError::Panicked => StreamError::Panicked { segment },
            JobError::Stopped => StreamError::Cancelled,
        })
    }
}

impl Job {
    /// Does the run. A panic on the way becomes a result like any other.
    pub(crate) fn perform(self) -> Outcome {
        let (segment, first) = (self.segment, self.run.first);
        // Nothing of the job survives a panic but its buffers, and what those hold nobody reads.
        let result = catch_unwind(AssertUnwindSafe(|| self.steps())).unwrap_or(Err(JobError::Panicked));
        Outcome { segment, first, result }
    }

    fn steps(self) -> Result<Done, JobError> {
        self.check_stops()?;
        match self.in_place()? {
            Some(RunContents { frames, closing }) => {
                Ok(Done { run: OpenedRun { first: self.run.first, frames, output: None }, closing })
            }
            None => self.by_buffer(),
        }
    }

    /// Does the run in memory that the sink lends, if it lends any.
    fn in_place(&self) -> Result<Option<RunContents>, JobError> {
        let Some(sink) = self.sink.as_ref().filter(|_| self.run.output_len > 0) else { return Ok(None) };
        let mut made = None;
        let filled = sink.fill_at(self.run.sink_offset, self.run.output_len, &mut |out| {
            let contents = made.insert(self.contents(out));
            match contents {
                Ok(_) => Ok(()),
                Err(_) => Err(io::Error::other("what was to be there could not be made")),
            }
        });
        match (made.transpose()?, filled.map_err(JobError::Write)?) {
            (made, Lending::Filled) => {
                self.stages.add(Stage::Write, self.run.output_len);
                Ok(made)
            }
            (_, Lending::NotLent) => Ok(None),
        }
    }

    /// Does the run in buffers, and writes what came of it.
    fn by_buffer(self) -> Result<Done, JobError> {
        let mut buffer = self.buffers.take()?;
        let RunContents { frames, closing } = self.contents(&mut buffer[..self.run.output_len])?;
        let output_len = match self.work {
            Work::Seal => frames.iter().map(OpenedFrame::wire_len).sum(),
            Work::Open | Work::Prove => self.run.output_len,
        };
        self.check_stops()?;
        let Job { run, sink, work, stages, .. } = self;
        // The next job may have its buffer while this one writes.
        drop(run.input);
        let output = match sink {
            // It was looked at, and that is all.
            _ if work == Work::Prove => None,
            Some(sink) => {
                if output_len > 0 {
                    let write = || sink.write_all_at(run.sink_offset, &buffer[..output_len]);
                    stages.time(Stage::Write, output_len, write).map_err(JobError::Write)?;
                }
                None
            }
            None => Some(Output { buffer, len: output_len }),
        };
        Ok(Done { run: OpenedRun { first: run.first, frames, output }, closing })
    }

    /// Opens or seals the run into the beginning of `out`.
    fn contents(&self, out: &mut [u8]) -> Result<RunContents, JobError> {
        let Job { run, worker, .. } = self;
        self.on_input(|bytes| {
            self.check_stops()?;
            let plaintext_len = if self.work == Work::Open { run.output_len } else { run.input_len };
            let work = || match self.work {
                Work::Open => run.open(worker, bytes, out),
                // No two encoders compress alike: what proves compressed plaintext is its own digest.
                Work::Prove if worker.shape().is_compressed() => {
                    Ok(RunContents { frames: worker.hash_run(run.first, bytes), closing: None })
                }
                Work::Seal | Work::Prove => run.seal(worker, bytes, out),
            };
            self.stages.time(Stage::Process, plaintext_len, work).map_err(JobError::Run)
        })
    }

    /// Calls `work` on the bytes of the run, wherever they are.
    fn on_input<T>(&self, work: impl FnOnce(&[u8]) -> Result<T, JobError>) -> Result<T, JobError> {
        let run = &self.run;
        let (offset, len) = (run.read_offset(), run.read_len());
        match &run.input {
            Input::Bytes(buffer) => {
                self.stages.add(Stage::Read, len);
                work(&buffer[..len])
            }
            Input::Place(place) => {
                let mut buffer = self.buffers.take()?;
                let read = || place.read_exact_at(offset, &mut buffer[..len]);
                let read = self.stages.time(Stage::Read, len, read);
                read.map_err(|source| JobError::Read { offset, source })?;
                work(&buffer[..len])
            }
        }
    }

    fn check_stops(&self) -> Result<(), JobError> {
        match self.stops.iter().any(CancelToken::is_cancelled) {
            true => Err(JobError::Stopped),
            false => Ok(()),
        }
    }
}

impl From<NoMemory> for JobError {
    fn from(source: NoMemory) -> JobError {
        JobError::NoMemory(source)
    }
}
