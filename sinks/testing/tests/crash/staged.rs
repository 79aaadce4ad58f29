//! A restore into a staged file with its journal, as the library does it.
//! Knows nothing of how the sink sees to what must hold.

use std::{ffi::OsStr, io, sync::Arc};

use contract::{AttemptId, IfExists, ReadAt, StreamingSink};
use fastrand::Rng;
use local::{Opened, StagedFile};
use storage::{Seed, StageOptions, Storage, TargetError};
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
    /// What an earlier copy of the target holds, right in some segments.
    seed: Option<Vec<u8>>,
}

/// Where a second attempt goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Resume {
    /// Behind what proves to be right, up to the first segment that does not.
    AfterTheProof,
    /// There, and around what proves to be right behind it.
    AroundTheGaps,
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
        let resume =
            [Resume::AfterTheProof, Resume::AroundTheGaps, Resume::AroundTheGaps, Resume::FromTheStart];
        let resume = rng.choice(resume).unwrap();
        StagedRestore {
            seed: (resume == Resume::AroundTheGaps && rng.bool()).then(|| earlier_copy(&stream, &mut rng)),
            stream,
            before: rng.choice([Before::Nothing, Before::Old]).unwrap(),
            piece_len: rng.usize(100..600),
            group: rng.choice([1, 1, 2, 3, 0]).unwrap(),
            resume,
            order: rng.choice([Order::Ordered, Order::Positioned]).unwrap(),
        }
    }

    fn attempt_id(&self) -> AttemptId {
        AttemptId::new(b"this stream, this target").unwrap()
    }

    fn if_exists(&self) -> IfExists {
        if self.before == Before::Old { IfExists::Replace } else { IfExists::Refuse }
    }

    /// Begins over an earlier copy, if there is one.
    fn begin(&self, mut sink: StagedFile, promises: &Promises) -> Result<Done, Failure> {
        if self.seed.is_none() {
            return self.write(sink, 0, &vec![false; self.stream.segments()], promises);
        }
        self.take_seed(&mut sink, &vec![false; self.stream.segments()])?;
        match sink.resumable() {
            Some(_) => self.resume(sink, promises),
            // The copy is too short for a whole segment.
            None => self.write(sink, 0, &vec![false; self.stream.segments()], promises),
        }
    }

    /// Copies what the earlier copy has of segments that are not `proved`.
    fn take_seed(&self, sink: &mut StagedFile, proved: &[bool]) -> Result<(), Failure> {
        let Some(bytes) = &self.seed else { return Ok(()) };
        let copy = sink.copy_on_read(Arc::new(Seed::of_bytes(Arc::new(Bytes(bytes.clone())))));
        for index in (0..proved.len()).filter(|index| !proved[*index]) {
            let range = self.stream.segment(index);
            if range.end > bytes.len() {
                break;
            }
            let (start, mut read) = (range.start as u64, vec![0; range.len()]);
            copy.announce(start..range.end as u64);
            copy.read_exact_at(start, &mut read)?;
            if read != bytes[range] {
                return Err(Failure::wrong("what is read of a seed is not what it has"));
            }
        }
        Ok(sink.keep_copied()?)
    }

    /// Goes on behind what an earlier attempt left.
    fn resume(&self, mut sink: StagedFile, promises: &Promises) -> Result<Done, Failure> {
        let marked = match sink.last_commit()? {
            Some(checkpoint) => self.stream.counted(&checkpoint)?,
            None => 0,
        };
        let kept =
            |sink: &StagedFile| sink.resumable().ok_or(Failure::wrong("a resumable sink keeps nothing"));
        let mut right = self.proved(&*kept(&sink)?)?;
        let proved = right.iter().take_while(|right| **right).count();
        let promised = promises.made();
        if (marked as u64) < promised || proved < marked {
            let found = format!("the checkpoint says {marked}, and {proved} are right");
            return Err(Failure::wrong(format!("P3: {promised} segments were durable; {found}")));
        }
        self.take_seed(&mut sink, &right)?;
        if self.seed.is_some() {
            right = self.proved(&*kept(&sink)?)?;
        }
        let from = match self.resume {
            Resume::AfterTheProof | Resume::AroundTheGaps => right.iter().take_while(|right| **right).count(),
            Resume::FromTheStart => 0,
        };
        if self.resume != Resume::AroundTheGaps {
            right.fill(false);
        }
        if from == 0 {
            promises.withdraw();
        }
        sink.resume_at(from as u64, self.stream.end_of(from) as u64)?;
        self.write(sink, from, &right, promises)
    }

    /// Which segments' bytes are right. The library seals them again; here they are known.
    fn proved(&self, kept: &dyn ReadAt) -> Result<Vec<bool>, Failure> {
        let mut proved = vec![false; self.stream.segments()];
        for (index, right) in proved.iter_mut().enumerate() {
            let range = self.stream.segment(index);
            let mut found = vec![0; range.len()];
            if kept.len() < range.end as u64 {
                break;
            }
            kept.read_exact_at(range.start as u64, &mut found)?;
            *right = found == self.stream.bytes[range];
        }
        Ok(proved)
    }

    fn write(
        &self,
        mut sink: StagedFile,
        from: usize,
        proved: &[bool],
        promises: &Promises,
    ) -> Result<Done, Failure> {
        let (writer, keeper) = (sink.positioned().unwrap(), sink.durability().unwrap());
        let segments = self.stream.segments();
        let mut written = from;
        for index in from..segments {
            let range = self.stream.segment(index);
            match self.order {
                _ if proved[index] => {
                    sink.confirm_segment(index as u64, range.start as u64, range.len() as u64)?;
                    written = written.max(index + 1);
                }
                Order::Ordered => {
                    sink.begin_segment(index as u64, self.stream.segment(index).start as u64)?;
                    for (at, piece) in self.stream.pieces(index, self.piece_len) {
                        sink.write_tentative(at, piece)?;
                    }
                }
                Order::Positioned => {
                    let ahead = (index + 2).min(segments);
                    for index in (written..ahead).rev().filter(|index| !proved[*index]) {
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

/// The stream, wrong in some segments, cut or longer.
fn earlier_copy(stream: &Stream, rng: &mut Rng) -> Vec<u8> {
    let mut bytes = stream.bytes.clone();
    for index in (0..stream.segments()).filter(|_| rng.bool()) {
        if let Some(byte) = bytes.get_mut(stream.segment(index)).and_then(<[u8]>::last_mut) {
            *byte ^= 1;
        }
    }
    bytes.resize(rng.usize(0..=bytes.len() + 700), 0xA5);
    bytes
}

/// Bytes of a medium that outlives every crash.
struct Bytes(Vec<u8>);

impl ReadAt for Bytes {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let at = offset as usize;
        let there = self.0.get(at..at + buffer.len());
        buffer.copy_from_slice(there.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
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
            Ok(Opened::Fresh(sink)) => self.begin(sink, promises),
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
