//! A mapped file on a disk that loses power at every call, and on one whose calls fail.
//! Knows nothing of how the sink sees to what must hold.
#![cfg(all(feature = "simulation", feature = "mmap"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod crash;

use std::{ffi::OsStr, sync::Arc};

use crash::{Before, Draws, Goal, Stream, TARGET, check_atomic, sweep_crashes, sweep_faults};
use sinks::{
    Existing, MappedFile, StreamingSink,
    simulation::{Done, Failure, Promises, SimulatedDisk, Trial},
    storage::Storage,
};

/// A stream written through a map, in pieces and out of order.
struct Restore {
    stream: Stream,
    before: Before,
    piece_len: usize,
}

impl Restore {
    fn new(number: u64) -> Restore {
        let mut draws = Draws(number);
        let before = draws.one_of(&[Before::Nothing, Before::Old]);
        Restore { stream: draws.stream(), before, piece_len: 100 + draws.below(500) }
    }
}

impl Trial for Restore {
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
        let existing = if self.before == Before::Old { Existing::Replace } else { Existing::Refuse };
        let mut sink = MappedFile::on(storage, OsStr::new(TARGET), existing, self.stream.len())?;
        let writer = sink.positioned().unwrap();
        let mut pieces: Vec<_> =
            (0..self.stream.segments()).flat_map(|index| self.stream.pieces(index, self.piece_len)).collect();
        pieces.reverse();
        for (at, piece) in pieces {
            writer.write_at(at, piece)?;
        }
        for count in 1..=self.stream.segments() {
            sink.commit_segment(&self.stream.mark(count))?;
        }
        sink.publish(self.stream.len())?;
        promises.make(1);
        Ok(Done::Now)
    }

    fn check(&self, disk: &SimulatedDisk, done: bool) -> Result<(), String> {
        check_atomic(disk, self.before, &self.stream, done)
    }
}

#[test]
fn whatever_a_power_cut_leaves_the_target_is_old_or_new_and_can_be_written_again() {
    let (ordinary, full) =
        (Goal { states: 10_000, deep_states: 2_000 }, Goal { states: 100_000, deep_states: 30_000 });
    sweep_crashes("mapped file", &Goal::chosen(ordinary, full), Restore::new);
}

#[test]
fn whichever_call_fails_the_target_is_old_or_new_and_the_next_attempt_succeeds() {
    sweep_faults("mapped file", [0, 1, 2, 3].map(Restore::new));
}
