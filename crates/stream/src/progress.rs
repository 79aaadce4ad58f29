//! How far a stream is: what an observer is told.
//! It knows bytes and clocks; what is counted is the engine's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use local::{StagedFile, TargetNotice};
use segment_worker::{Committed, MemoryPressure};

use crate::throughput::Throughput;

/// Observes a stream's progress, on the thread that runs it. It should return quickly.
pub trait Observer: Send + Sync {
    /// A segment has committed, or what had committed before has become durable.
    fn progress(&self, progress: &Progress);

    /// From now on there is a file beside the target, and a failure or a cancellation is followed by cleanup. Before
    /// this call the process can be killed without loss: keys are being read, and sources opened.
    fn staging(&self) {}

    /// What an earlier attempt left is being proved: how many plaintext bytes of it have proved right so far.
    fn proving(&self, _proved: u64) {}

    /// All of the stream is in a log, verified and durable, and the log is being replayed: the target has the first `written` bytes of it,
    /// not durably yet.
    fn replaying(&self, _written: u64) {}

    /// Bytes of a seed are being taken over and proved: how many have been taken so far, right or not.
    fn seeding(&self, _taken: u64) {}

    /// The stream resumes after an earlier attempt: so many plaintext bytes of it have proved right, in this many
    /// segments, wherever they are.
    fn resumed(&self, _bytes: u64, _segments: u64) {}

    /// So many plaintext bytes that a seed had have proved right, in this many segments.
    fn seeded(&self, _bytes: u64, _segments: u64) {}

    /// Memory is shorter than before, or less short: the stream takes less or more of it beyond what it needs, and goes on. Of streams
    /// that share a budget one is told.
    fn memory_pressure(&self, _pressure: MemoryPressure) {}

    /// Something is wrong that does not stop the stream.
    fn warning(&self, _warning: &Warning) {}
}

/// A closure that is told of progress alone.
impl<F: Fn(&Progress) + Send + Sync> Observer for F {
    fn progress(&self, progress: &Progress) {
        self(progress);
    }
}

/// How far a stream is. Counts committed plaintext, and never goes back.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub struct Progress {
    /// Plaintext bytes committed.
    pub committed: u64,
    /// Plaintext bytes that are known to survive a power cut; 0 until publish for sinks that are durable only then.
    pub durable: u64,
    /// Plaintext bytes in all, where that is known.
    pub total: Option<u64>,
    /// Segments committed.
    pub segments: u64,
    /// Plaintext bytes per second of late: over up to 30 seconds, and over less where it has changed since. Bytes that are there already
    /// and are only counted, kept ones and a seed's, are left out. Absent until some have come.
    pub throughput: Option<f64>,
    /// Estimated time left at that rate for what is still to come, if the total is known.
    pub eta: Option<Duration>,
}

/// Something that does not keep a stream from being opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Warning {
    /// One of the two key copies is damaged; the other one served. Re-wrapping the stream mends it.
    KeyCopyDamaged {
        /// Which one, 0 or 1.
        copy: u8,
    },
    /// The two key copies are of different generations: a re-wrap was cut off. Re-wrapping again mends it.
    RewrapUnfinished,
    /// An interrupted seal left no complete segment. A new stream is sealed, from the start.
    NothingToResume,
    /// The output is in place, and the state of its sealing, which holds the key of that one stream, could not be removed.
    SealingStateLeft,
    /// What the stream says of the sealed file's mode and time cannot be read. The target gets those of a new file.
    FileAttributesMalformed,
    /// Segments that an earlier attempt had made durable are not what they were: the medium lost or changed them, or
    /// somebody did. They are read from the stream again.
    KeptSegmentsLost {
        /// The first of them.
        first: u64,
        /// How many, there or behind it.
        segments: u64,
    },
    /// Some of a seed cannot be read. It comes from the stream.
    SeedUnreadable {
        /// Where the read that failed first began.
        at: u64,
    },
    /// The target's file system gives new files to another user than their creator: nothing is kept for a later
    /// attempt.
    OwnersNotKept,
    /// The target's file system does not support changing modes: the target has the mode that it assigns.
    ModesNotKept,
    /// The target's file system did not take the sealed file's time of modification.
    TimesNotKept,
    /// There is no room for the target's length. The restore goes on: it fits if enough of it is zeros.
    MayNotFit {
        /// Bytes of the length for which no room was taken yet.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
}

impl Warning {
    fn of_target(notice: TargetNotice) -> Option<Warning> {
        match notice {
            TargetNotice::OwnersNotKept => Some(Warning::OwnersNotKept),
            TargetNotice::ModesNotKept => Some(Warning::ModesNotKept),
            TargetNotice::TimesNotKept => Some(Warning::TimesNotKept),
            TargetNotice::MayNotFit { needed, free } => Some(Warning::MayNotFit { needed, free }),
            _ => None,
        }
    }
}

/// Has `observer` hear what the target's file system cannot do.
pub fn tell_notices(sink: &mut StagedFile, observer: Option<Arc<dyn Observer>>) {
    if let Some(observer) = observer {
        sink.on_notice(move |notice| {
            if let Some(warning) = Warning::of_target(notice) {
                observer.warning(&warning);
            }
        });
    }
}

impl Warning {
    /// Whether a complete verification calls it *damaged* (FORMAT F5.16).
    pub(crate) fn is_damage(&self) -> bool {
        matches!(self, Warning::KeyCopyDamaged { .. })
    }
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Warning::KeyCopyDamaged { copy } => write!(
                f,
                "key copy {copy} of the stream is damaged; the other one served. `rewrap` writes both anew"
            ),
            Warning::NothingToResume => f.write_str(
                "no whole segment is left of the interrupted sealing; a new stream is sealed from the start",
            ),
            Warning::SealingStateLeft => f.write_str(
                "the state of this sealing, which holds the key of the stream, could not be removed; `discard` with \
                 the output's name removes it",
            ),
            Warning::FileAttributesMalformed => f.write_str(
                "the stream's note of the sealed file's mode and time cannot be read; the target has those of a new file",
            ),
            Warning::KeptSegmentsLost { first, segments: 1 } => write!(
                f,
                "of what an earlier attempt had made durable, segment {first} is no longer what it was and is read again; look at the disk"
            ),
            Warning::KeptSegmentsLost { first, segments } => write!(
                f,
                "of what an earlier attempt had made durable, {segments} segments, the first of them segment {first}, are no \
                 longer what they were and are read again; look at the disk"
            ),
            Warning::SeedUnreadable { at } => write!(
                f,
                "the seed cannot be read at byte {at}; what is missing comes from the stream; look at its disk"
            ),
            Warning::OwnersNotKept => TargetNotice::OwnersNotKept.fmt(f),
            Warning::ModesNotKept => TargetNotice::ModesNotKept.fmt(f),
            Warning::TimesNotKept => TargetNotice::TimesNotKept.fmt(f),
            &Warning::MayNotFit { needed, free } => TargetNotice::MayNotFit { needed, free }.fmt(f),
            Warning::RewrapUnfinished => {
                f.write_str("a re-wrap of this stream was cut off, and what it was to change may be in the list already: look at the list first, then re-wrap it again to finish")
            }
        }
    }
}

/// Turns commits into progress.
pub(crate) struct Meter {
    observer: Option<Arc<dyn Observer>>,
    total: Option<u64>,
    /// Plaintext bytes that are proved to be there already, wherever they are, and that take no time.
    proved: u64,
    throughput: Throughput,
}

impl Meter {
    /// `proved` plaintext bytes of `total` are there already, wherever they are.
    pub(crate) fn new(observer: Option<Arc<dyn Observer>>, total: Option<u64>, proved: u64) -> Meter {
        Meter { observer, total, proved, throughput: Throughput::new(Instant::now(), 0) }
    }

    /// A segment has committed; `durable` plaintext bytes are durable. Of what has committed, `passed` plaintext bytes were there already.
    pub(crate) fn committed(&mut self, so_far: &Committed, durable: u64, passed: u64) {
        let Some(observer) = self.observer.clone() else { return };
        observer.progress(&self.progress(Instant::now(), so_far, durable, passed));
    }

    fn progress(&mut self, now: Instant, so_far: &Committed, durable: u64, passed: u64) -> Progress {
        let &Committed { plaintext_len: committed, segments, .. } = so_far;
        self.throughput.note(now, committed.saturating_sub(passed));
        let throughput = self.throughput.per_second();
        let to_pass = self.proved.saturating_sub(passed);
        let left = self.total.map(|total| total.saturating_sub(committed).saturating_sub(to_pass));
        let eta = left
            .zip(throughput)
            .and_then(|(left, pace)| Duration::try_from_secs_f64(left as f64 / pace).ok());
        Progress { committed, durable, total: self.total, segments, throughput, eta }
    }
}

#[cfg(test)]
mod tests {
    use frame_worker::ChainValue;

    use super::*;

    const MIB: u64 = 1 << 20;

    /// A stream of 800 MiB in segments of 8, under a clock of the test's own.
    struct Run {
        meter: Meter,
        begun: Instant,
        committed: u64,
        passed: u64,
    }

    impl Run {
        fn new(proved: u64, start: u64) -> Run {
            let begun = Instant::now();
            let throughput = Throughput::new(begun, 0);
            let meter = Meter { observer: None, total: Some(800 * MIB), proved, throughput };
            Run { meter, begun, committed: start, passed: start }
        }

        fn commit(&mut self, millis: u64) -> Progress {
            self.committed += 8 * MIB;
            let so_far = Committed {
                segments: self.committed / (8 * MIB),
                plaintext_len: self.committed,
                sink_len: self.committed,
                ..Committed::at_start(ChainValue([0; 32]))
            };
            let now = self.begun + Duration::from_millis(millis);
            self.meter.progress(now, &so_far, 0, self.passed)
        }

        fn pass(&mut self, millis: u64) -> Progress {
            self.passed += 8 * MIB;
            self.commit(millis)
        }
    }

    fn assert_eta(progress: &Progress, millis: u64) {
        let eta = progress.eta.unwrap().as_secs_f64();
        let truth = millis as f64 / 1000.0;
        assert!((eta - truth).abs() <= (truth / 10.0).max(1.0), "{eta} s instead of {truth}");
    }

    /// 100 segments, one each 400 ms: 40 seconds.
    #[test]
    fn a_steady_stream_says_when_it_ends_from_its_first_commit_on() {
        let mut run = Run::new(0, 0);
        let mut before = 0;
        for count in 1..=100 {
            let progress = run.commit(count * 400);
            assert_eta(&progress, (100 - count) * 400);
            assert!((progress.throughput.unwrap() / (20.0 * MIB as f64) - 1.0).abs() < 1e-9);
            assert!(progress.committed > before && progress.total == Some(800 * MIB));
            before = progress.committed;
        }
        assert_eq!(before, 800 * MIB);
    }

    /// The same in bursts of five every 2 seconds.
    #[test]
    fn a_stream_in_bursts_says_when_it_ends() {
        let mut run = Run::new(0, 0);
        for count in 1..=100_u64 {
            let progress = run.commit(count.div_ceil(5) * 2000 + count % 5);
            if count > 25 && count % 5 == 0 {
                assert_eta(&progress, (100 - count) * 400);
            }
        }
    }

    /// 400 ms each for the first half of the segments, 800 for the others: after five of those the rest takes 800 ms each.
    #[test]
    fn a_stream_that_becomes_half_as_fast_says_so_within_five_updates() {
        let mut run = Run::new(0, 0);
        for count in 1..=50 {
            run.commit(count * 400);
        }
        for count in 1..=50 {
            let progress = run.commit(20_000 + count * 800);
            if count >= 5 {
                assert_eta(&progress, (50 - count) * 800);
                assert!((progress.throughput.unwrap() / (10.0 * MIB as f64) - 1.0).abs() < 0.1);
            }
        }
    }

    /// The first 40 segments were kept, and of the other 60 every second one, which takes no time: 30 take a second each.
    #[test]
    fn what_is_there_already_is_left_out_of_pace_and_estimate_alike() {
        let mut run = Run::new(70 * 8 * MIB, 40 * 8 * MIB);
        for count in 1..=30 {
            for progress in [run.commit(count * 1000), run.pass(count * 1000)] {
                assert_eta(&progress, (30 - count) * 1000);
                assert!((progress.throughput.unwrap() / (8.0 * MIB as f64) - 1.0).abs() < 1e-9);
            }
        }
        assert_eq!(run.committed, 800 * MIB);
    }

    #[test]
    fn nothing_is_estimated_before_bytes_have_come_or_where_no_end_is_known() {
        let mut run = Run::new(8 * MIB, 0);
        assert_eq!(run.pass(100).eta, None, "what was passed over is no pace");
        let progress = run.commit(1100);
        assert_eta(&progress, 98 * 1100);
        run.meter.total = None;
        let progress = run.commit(2200);
        assert!(progress.eta.is_none() && progress.throughput.is_some());
    }
}
