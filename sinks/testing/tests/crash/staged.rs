//! A restore into a staged file with its journal, as the library does it.
//! Knows nothing of how the sink sees to what must hold.

use std::{ffi::OsStr, sync::Arc};

use contract::{AttemptId, IfExists, ReadAt, StreamingSink};
use fastrand::Rng;
use local::{Opened, StagedFile};
use storage::{StageOptions, Storage, TargetError};
use testing::simulation::{Done, Failure, Promises, SimulatedDisk, Trial};

use super::{Before, Stream, TARGET, check_atomic};

const JOURNAL: &str = ".target.cofferdam-journal";

/// A stream staged in pieces, durable in groups, and published.
pub(crate) struct StagedRestore {
    stream: Stream,
    before: Before,
    piece_len: usize,
    /// Segments that become durable together; 0: none before publish.
    group: usize,
    resume: Resume,
    order: Order,
}

/// Where a second attempt goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Resume {
    /// Behind what proves to be right.
    AfterTheProof,
    /// From the first byte, over what is there: the source is a pipe.
    FromTheStart,
}

/// How a segment's pieces reach the sink.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Order {
    Ordered,
    /// At offsets, the next segment before this one.
    Positioned,
}

impl StagedRestore {
    pub(crate) fn new(number: u64) -> StagedRestore {
        let mut rng = Rng::with_seed(number);
        let mut stream = Stream::random(&mut rng);
        // Zeros are left out: then the length of the file alone says that they are there.
        if rng.bool() {
            stream = stream.with_zeros(&mut rng);
        }
        StagedRestore {
            stream,
            before: rng.choice([Before::Nothing, Before::Old]).unwrap(),
            piece_len: rng.usize(100..600),
            group: rng.choice([1, 1, 2, 3, 0]).unwrap(),
            resume: rng.choice([Resume::AfterTheProof, Resume::AfterTheProof, Resume::FromTheStart]).unwrap(),
            order: rng.choice([Order::Ordered, Order::Positioned]).unwrap(),
        }
    }

    fn attempt_id(&self) -> AttemptId {
        AttemptId::new(b"this stream, this target").unwrap()
    }

    fn if_exists(&self) -> IfExists {
        if self.before == Before::Old { IfExists::Replace } else { IfExists::Refuse }
    }

    /// Goes on behind what an earlier attempt left.
    fn resume(&self, mut sink: StagedFile, promises: &Promises) -> Result<Done, Failure> {
        let marked = match sink.last_commit()? {
            Some(checkpoint) => self.stream.counted(&checkpoint)?,
            None => 0,
        };
        let proved =
            self.proved(&*sink.resumable().ok_or(Failure::wrong("a resumable sink keeps nothing"))?)?;
        let promised = promises.made();
        if (marked as u64) < promised || proved < marked {
            let found = format!("the checkpoint says {marked}, and {proved} are right");
            return Err(Failure::wrong(format!("P3: {promised} segments were durable; {found}")));
        }
        let from = match self.resume {
            Resume::AfterTheProof => proved,
            Resume::FromTheStart => 0,
        };
        if from == 0 {
            promises.withdraw();
        }
        sink.resume_at(from as u64, self.stream.end_of(from) as u64)?;
        self.write(sink, from, promises)
    }

    /// Segments whose bytes are right, from the first on. The library seals them again; here they are known.
    fn proved(&self, kept: &dyn ReadAt) -> Result<usize, Failure> {
        let len = kept.len();
        for index in 0..self.stream.segments() {
            let range = self.stream.segment(index);
            let mut found = vec![0; range.len()];
            if len < range.end as u64 {
                return Ok(index);
            }
            kept.read_exact_at(range.start as u64, &mut found)?;
            if found != self.stream.bytes[range] {
                return Ok(index);
            }
        }
        Ok(self.stream.segments())
    }

    fn write(&self, mut sink: StagedFile, from: usize, promises: &Promises) -> Result<Done, Failure> {
        let (writer, keeper) = (sink.positioned().unwrap(), sink.durability().unwrap());
        let segments = self.stream.segments();
        let mut written = from;
        for index in from..segments {
            match self.order {
                Order::Ordered => {
                    sink.begin_segment(index as u64, self.stream.segment(index).start as u64)?;
                    for (at, piece) in self.stream.pieces(index, self.piece_len) {
                        sink.write_tentative(at, piece)?;
                    }
                }
                Order::Positioned => {
                    let ahead = (index + 2).min(segments);
                    for index in (written..ahead).rev() {
                        for (at, piece) in self.stream.pieces(index, self.piece_len) {
                            writer.write_all_at(at, piece)?;
                        }
                    }
                    written = ahead;
                }
            }
            let checkpoint = self.stream.checkpoint(index + 1);
            sink.commit_segment(&checkpoint)?;
            if self.group > 0 && (index + 1) % self.group == 0 {
                keeper.make_durable(&checkpoint)?;
                promises.make(index as u64 + 1);
            }
        }
        sink.publish(self.stream.len())?;
        promises.make(segments as u64);
        Ok(Done::Now)
    }
}

impl Trial for StagedRestore {
    fn disk(&self) -> SimulatedDisk {
        self.before.disk()
    }

    fn attempt(&self, storage: Arc<dyn Storage>, promises: &Promises) -> Result<Done, Failure> {
        // The journal goes last: where there is none, and the target is whole, all is done.
        if storage.id_at(OsStr::new(JOURNAL))?.is_none() && self.stream.is_at_target(&*storage)? {
            return Ok(Done::Before);
        }
        let options = StageOptions::default().if_exists(self.if_exists());
        let attempt_id = self.attempt_id();
        match StagedFile::open_in(storage.clone(), OsStr::new(TARGET), &options, &attempt_id) {
            Ok(Opened::Fresh(_)) if promises.made() > 0 => Err(Failure::wrong(format!(
                "P3: {} segments were durable, and none is kept",
                promises.made()
            ))),
            Ok(Opened::Fresh(sink)) => self.write(sink, 0, promises),
            Ok(Opened::Resumable { attempt_id: found, .. }) if found != attempt_id => {
                Err(Failure::wrong("the label has changed"))
            }
            Ok(Opened::Resumable { sink, .. }) => self.resume(sink, promises),
            Ok(Opened::Published(_)) if !self.stream.is_at_target(&*storage)? => {
                Err(Failure::wrong("P2: it says that it was published, and the target is not whole"))
            }
            Ok(Opened::Published(published)) => {
                published.finish()?;
                Ok(Done::Now)
            }
            // No crash leaves a journal that cannot be used.
            Err(error @ TargetError::Journal { .. }) => Err(Failure::wrong(error.to_string())),
            Err(error) => Err(error.into()),
        }
    }

    fn check(&self, disk: &SimulatedDisk, done: bool) -> Result<(), String> {
        check_atomic(disk, self.before, &self.stream, done)
    }
}
