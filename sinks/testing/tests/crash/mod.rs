//! What the crash tests have in common: a small stream, its checkpoints, and how much is tried.
//! Knows no sink.
#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

pub(crate) mod mapped;
pub(crate) mod staged;
pub(crate) mod wal;

use std::{
    ffi::OsStr,
    ops::Range,
    sync::{Arc, Mutex},
};

use contract::Checkpoint;
use fastrand::Rng;
use storage::Storage;
use testing::simulation::{
    Done, Extent, Failure, HookedStorage, Promises, Report, SimulatedDisk, Trial, crashes, faults,
};

pub(crate) const TARGET: &str = "target";
pub(crate) const OLD: &[u8] = b"what stood here before";

/// A stream of a few segments of odd sizes, no byte of it zero.
pub(crate) struct Stream {
    pub(crate) bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Stream {
    pub(crate) fn new(lens: &[usize]) -> Stream {
        let ends: Vec<usize> = lens
            .iter()
            .scan(0, |end, len| {
                *end += len;
                Some(*end)
            })
            .collect();
        // 251 is a prime: the same bytes come again at no distance that a sector or a segment has.
        let bytes = (0..ends.last().copied().unwrap_or(0)).map(|at| (at % 251) as u8 + 1).collect();
        Stream { bytes, ends }
    }

    pub(crate) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    pub(crate) fn segments(&self) -> usize {
        self.ends.len()
    }

    /// Where the first `count` segments end.
    pub(crate) fn end_of(&self, count: usize) -> usize {
        if count == 0 { 0 } else { self.ends[count - 1] }
    }

    pub(crate) fn segment(&self, index: usize) -> Range<usize> {
        self.end_of(index)..self.end_of(index + 1)
    }

    /// Three to five segments, of sizes about a sector's and of any.
    pub(crate) fn random(rng: &mut Rng) -> Stream {
        let lens: Vec<usize> = (0..rng.usize(3..6))
            .map(|_| match rng.u8(..3) {
                0 => rng.choice([1, 511, 512, 513, 1024]).unwrap(),
                _ => rng.usize(1..=700),
            })
            .collect();
        Stream::new(&lens)
    }

    /// The same stream with some of its segments all zeros, and ends of others.
    pub(crate) fn with_zeros(mut self, rng: &mut Rng) -> Stream {
        for index in 0..self.segments() {
            let segment = self.segment(index);
            let from = match rng.u8(..3) {
                0 => segment.start,
                1 => segment.end,
                _ => rng.usize(segment.clone()),
            };
            self.bytes[from..segment.end].fill(0);
        }
        self
    }

    /// The pieces of a segment, each with its place in the stream.
    pub(crate) fn pieces(&self, index: usize, piece_len: usize) -> impl Iterator<Item = (u64, &[u8])> {
        let range = self.segment(index);
        let starts = range.clone().step_by(piece_len);
        starts.map(move |at| (at as u64, &self.bytes[at..(at + piece_len).min(range.end)]))
    }

    /// What says that the first `count` segments have committed.
    pub(crate) fn checkpoint(&self, count: usize) -> Checkpoint {
        let mut bytes = [count as u8; Checkpoint::LEN];
        bytes[..8].copy_from_slice(&(count as u64).to_le_bytes());
        Checkpoint::from_bytes(bytes)
    }

    /// How many segments a checkpoint speaks of.
    pub(crate) fn counted(&self, checkpoint: &Checkpoint) -> Result<usize, Failure> {
        let known =
            (0..=self.segments()).find(|count| self.checkpoint(*count).to_bytes() == checkpoint.to_bytes());
        known.ok_or_else(|| Failure::wrong("P3: a checkpoint was found that nobody made"))
    }

    /// Whether the whole stream stands at the target.
    pub(crate) fn is_at_target(&self, storage: &dyn Storage) -> Result<bool, Failure> {
        let Some(file) = storage.open(OsStr::new(TARGET))? else { return Ok(false) };
        if file.len()? != self.len() {
            return Ok(false);
        }
        let mut found = vec![0; self.bytes.len()];
        file.read_exact_at(&mut found, 0)?;
        Ok(found == self.bytes)
    }
}

/// What stands at the target before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Before {
    Nothing,
    Old,
}

impl Before {
    pub(crate) fn disk(self) -> SimulatedDisk {
        let disk = SimulatedDisk::new();
        if self == Before::Old {
            disk.put(TARGET, OLD);
        }
        disk
    }

    pub(crate) fn contents(self) -> Option<&'static [u8]> {
        (self == Before::Old).then_some(OLD)
    }
}

/// P2: the target is exactly the old one, or exactly the new one with its rights.
pub(crate) fn check_atomic(
    disk: &SimulatedDisk,
    before: Before,
    stream: &Stream,
    done: bool,
) -> Result<(), String> {
    let found = disk.contents(TARGET);
    if found.as_deref() == Some(&stream.bytes[..]) {
        // What replaces nothing is its owner's alone until the publish is through.
        return match disk.has_target_metadata(TARGET) || before == Before::Nothing && !done {
            true => Ok(()),
            false => Err("P2: the target is new, and its mode and owner are not".into()),
        };
    }
    match found.as_deref() == before.contents() {
        true if !done => Ok(()),
        true => Err("P2: the target is the old one after a publish".into()),
        false => {
            Err(format!("P2: the target is neither old nor new: {:?} bytes", found.map(|found| found.len())))
        }
    }
}

/// A trial whose first attempt was killed somewhere: the attempts that are looked at go on from there.
pub(crate) struct Killed<T> {
    disk: SimulatedDisk,
    trial: T,
}

impl<T: Trial> Killed<T> {
    /// Killed before a change that the number picks.
    pub(crate) fn new(trial: T, number: u64) -> Killed<T> {
        let disk = trial.disk();
        let left = Arc::new(Mutex::new(Vec::new()));
        let (looking, kept) = (disk.clone(), left.clone());
        let watched = HookedStorage::new(Arc::new(disk), move |call| {
            if call.operation.changes() {
                kept.lock().unwrap().push(looking.after_kill());
            }
            None
        });
        trial.attempt(Arc::new(watched), &Promises::default()).expect("nothing disturbs it");
        let disk = Rng::with_seed(number).choice(&*left.lock().unwrap()).unwrap().clone();
        Killed { disk, trial }
    }
}

impl<T: Trial> Trial for Killed<T> {
    fn disk(&self) -> SimulatedDisk {
        self.disk.after_kill()
    }

    fn attempt(&self, storage: Arc<dyn Storage>, promises: &Promises) -> Result<Done, Failure> {
        self.trial.attempt(storage, promises)
    }

    fn check(&self, disk: &SimulatedDisk, done: bool) -> Result<(), String> {
        self.trial.check(disk, done)
    }
}

/// How much a sink's tests try: states at one crash and at two, in all.
pub(crate) struct Goal {
    pub(crate) states: usize,
    pub(crate) deep_states: usize,
}

/// The extent for every day, or with `COFFERDAM_CRASH_STATES=full` the other.
pub(crate) fn chosen<T>(ordinary: T, full: T) -> T {
    match std::env::var_os("COFFERDAM_CRASH_STATES") {
        Some(value) if value == "full" => full,
        _ => ordinary,
    }
}

/// Sweeps over the trials that `make` makes of the numbers from 0, until the goal is reached, and prints what was done.
pub(crate) fn sweep_crashes<T: Trial>(sink: &str, goal: &Goal, make: impl Fn(u64) -> T) {
    let mut whole = Report::default();
    let mut trials = 0;
    while whole.states < goal.states || whole.deep_states < goal.deep_states {
        whole.merge(crashes(&make(trials), &extent(trials, &whole, goal)));
        trials += 1;
        whole.assert_clean();
    }
    println!("crash {sink}: {trials} trials, {whole}");
}

/// Sweeps over the calls that fail, in the trials that `make` makes of the numbers from 0.
pub(crate) fn sweep_faults<T: Trial>(sink: &str, make: impl Fn(u64) -> T) {
    let mut whole = Report::default();
    for trial in (0..chosen(FAULT_TRIALS, FAULT_TRIALS_FULL)).map(make) {
        whole.merge(faults(
            &trial,
            &Extent { states_max: 0, deep_every: 0, deep_states_max: 12, killed_states_max: 0, seed: SEED },
        ));
        whole.assert_clean();
    }
    println!("faults {sink}: {whole}");
}

/// Crashed a second time as long as the goal asks for it.
fn extent(trial: u64, so_far: &Report, goal: &Goal) -> Extent {
    let deep_every = if so_far.deep_states < goal.deep_states { DEEP_EVERY } else { 0 };
    Extent { states_max: 4096, deep_every, deep_states_max: 16, killed_states_max: 8, seed: SEED + trial }
}

/// Trials in each of which every call is made to fail.
const FAULT_TRIALS: u64 = 5;
const FAULT_TRIALS_FULL: u64 = 60;

/// One first state of so many is crashed again: its recovery has some thirty calls with up to sixteen states each.
const DEEP_EVERY: usize = 1000;

/// Of all samples. A violation prints it.
pub(crate) const SEED: u64 = 3;
