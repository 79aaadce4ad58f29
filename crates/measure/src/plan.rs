//! What to measure, where, and how long.
//! It measures nothing, and refuses what cannot be measured.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cofferdam::{ByteCount, Pool};

use harness::{Effort, WarmUp};

use crate::Error;

/// What to measure, where, and how long.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where files are written: in a directory of their own in it, which is removed at the end.
    pub directory: PathBuf,
    /// Plaintext bytes of each file. Three of them stand there at once. If `None`, [`FILE_LEN_DEFAULT`], or fewer where
    /// writing them takes more than a second.
    pub file_len: Option<u64>,
    /// Threads at most; as many as the machine runs at once if `None`.
    pub threads: Option<NonZeroUsize>,
    /// Bytes of frames that a stream holds in memory; the library's default if `None`.
    pub memory: Option<usize>,
    /// How long it may take.
    pub pace: Pace,
}

/// How long measuring may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// Every step once: seconds, and figures that vary.
    Quick,
    /// Rounds of all steps in turn: about half a minute, longer where a file takes seconds.
    Thorough,
}

impl Pace {
    pub(crate) fn effort(self) -> Effort {
        match self {
            Pace::Quick => Effort::of(1, WarmUp::None),
            Pace::Thorough => Effort { rounds: 5, patience: PATIENCE, warm_up: WarmUp::FirstRound },
        }
    }

    /// How long a part is repeated for a sample.
    pub(crate) fn part_time(self) -> Duration {
        match self {
            Pace::Quick => Duration::from_millis(15),
            Pace::Thorough => Duration::from_millis(30),
        }
    }
}

impl Plan {
    /// Files of the default length in `directory`, all threads, about half a minute.
    pub fn of(directory: &Path) -> Plan {
        let directory = directory.to_owned();
        Plan { directory, file_len: None, threads: None, memory: None, pace: Pace::Thorough }
    }

    /// The length of files that it asks for.
    pub(crate) fn checked_file_len(&self) -> Result<Option<u64>, Error> {
        if let Some(len) = self.file_len.filter(|len| *len < FILE_LEN_MIN) {
            return Err(Error::Plan {
                what: format!("files of {} say nothing", ByteCount(len)),
                advice: "Measure with at least 8 MiB; 256 MiB is the default.",
            });
        }
        Ok(self.file_len)
    }

    /// The threads that it asks for, or as many as the machine runs at once.
    pub(crate) fn checked_threads(&self) -> Result<NonZeroUsize, Error> {
        let threads = self.threads.unwrap_or_else(Pool::threads_of_the_machine);
        if threads.get() > THREADS_MAX {
            return Err(Error::Plan {
                what: format!("{threads} threads are too many to measure"),
                advice: "Measure with at most 1024.",
            });
        }
        Ok(threads)
    }
}

/// Plaintext bytes of each file, unless told otherwise.
pub const FILE_LEN_DEFAULT: u64 = 256 << 20;
/// A file is at least as long as a segment of a long one.
pub const FILE_LEN_MIN: u64 = cofferdam::SEGMENT_LEN_DEFAULT;
/// Threads that are measured at most.
pub const THREADS_MAX: usize = 1024;
/// Of a group of steps: after this no round begins.
const PATIENCE: Duration = Duration::from_secs(5);
