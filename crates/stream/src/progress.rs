//! How far a stream is: what an observer is told.
//! It knows bytes and clocks; what is counted is the engine's.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use local::{StagedFile, TargetNotice};
use segment_worker::Committed;

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
    /// Plaintext bytes per second over the last five updates; absent until there are two.
    pub throughput: Option<f64>,
    /// Estimated time left at that rate, if the total is known.
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
                f.write_str("a re-wrap of this stream was cut off; re-wrap it again to finish")
            }
        }
    }
}

/// Turns commits into progress.
pub(crate) struct Meter {
    observer: Option<Arc<dyn Observer>>,
    total: Option<u64>,
    seen: VecDeque<(Instant, u64)>,
}

impl Meter {
    /// `kept` plaintext bytes are there already.
    pub(crate) fn new(observer: Option<Arc<dyn Observer>>, total: Option<u64>, kept: u64) -> Meter {
        Meter { observer, total, seen: VecDeque::from([(Instant::now(), kept)]) }
    }

    /// A segment has committed; `durable` plaintext bytes are durable.
    pub(crate) fn committed(&mut self, so_far: &Committed, durable: u64) {
        let &Committed { plaintext_len: committed, segments, .. } = so_far;
        let Some(observer) = &self.observer else { return };
        self.seen.push_back((Instant::now(), committed));
        if self.seen.len() > UPDATES + 1 {
            self.seen.pop_front();
        }
        let throughput = throughput(&self.seen);
        let left = self.total.map(|total| total.saturating_sub(committed));
        let eta = left
            .zip(throughput)
            .and_then(|(left, pace)| Duration::try_from_secs_f64(left as f64 / pace).ok());
        observer.progress(&Progress { committed, durable, total: self.total, segments, throughput, eta });
    }
}

fn throughput(seen: &VecDeque<(Instant, u64)>) -> Option<f64> {
    let ((start, before), (end, after)) = (seen.front()?, seen.back()?);
    let seconds = end.duration_since(*start).as_secs_f64();
    (seconds > 0.0 && after > before).then(|| (after - before) as f64 / seconds)
}

/// Throughput is that of so many updates.
const UPDATES: usize = 5;
