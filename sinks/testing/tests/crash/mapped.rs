//! A restore into a mapped file.
//! Knows nothing of how the sink sees to what must hold.

use std::{ffi::OsStr, sync::Arc};

use contract::{IfExists, StreamingSink};
use fastrand::Rng;
use mmap::MappedFile;
use storage::Storage;
use testing::simulation::{Done, Failure, Promises, SimulatedDisk, Trial};

use super::{Before, Stream, TARGET, check_atomic};

/// A stream written through a map, in pieces and out of order.
pub(crate) struct MappedRestore {
    stream: Stream,
    before: Before,
    piece_len: usize,
}

impl MappedRestore {
    pub(crate) fn new(number: u64) -> MappedRestore {
        let mut rng = Rng::with_seed(number);
        let before = rng.choice([Before::Nothing, Before::Old]).unwrap();
        MappedRestore { stream: Stream::random(&mut rng), before, piece_len: rng.usize(100..600) }
    }
}

impl Trial for MappedRestore {
    fn disk(&self) -> SimulatedDisk {
        self.before.disk()
    }

    fn attempt(&self, storage: Arc<dyn Storage>, promises: &Promises) -> Result<Done, Failure> {
        if self.stream.is_at_target(&*storage)? {
            return Ok(Done::Before);
        }
        if promises.made() > 0 {
            return Err(Failure::wrong("P3: published, and gone"));
        }
        let if_exists = if self.before == Before::Old { IfExists::Replace } else { IfExists::Refuse };
        let mut sink = MappedFile::on(storage, OsStr::new(TARGET), if_exists, self.stream.len())?;
        let writer = sink.positioned().unwrap();
        let mut pieces: Vec<_> =
            (0..self.stream.segments()).flat_map(|index| self.stream.pieces(index, self.piece_len)).collect();
        pieces.reverse();
        for (at, piece) in pieces {
            writer.write_all_at(at, piece)?;
        }
        for count in 1..=self.stream.segments() {
            sink.commit_segment(&self.stream.checkpoint(count))?;
        }
        sink.publish(self.stream.len())?;
        promises.make(1);
        Ok(Done::Now)
    }

    fn check(&self, disk: &SimulatedDisk, done: bool) -> Result<(), String> {
        check_atomic(disk, self.before, &self.stream, done)
    }
}
