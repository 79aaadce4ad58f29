//! What this machine can do: ciphers, digests, memory, files in a directory, and then the whole pipeline.
//! It prints nothing and decides nothing: figures come out, and advice that follows from figures alone.
//!
//! [`measure`] takes turns between what it compares and keeps medians. [`advise`] reads the figures and says which suite,
//! digest, frame size and thread count suit, and which step a restore or a seal waits for.
//!
//! ```
//! use cofferdam::measure::{Pace, Plan, advise, measure};
//!
//! # let directory = tempfile::tempdir()?;
//! let plan = Plan { file_len: Some(8 << 20), pace: Pace::Quick, ..Plan::of(directory.path()) };
//! let measured = measure(&plan, &cofferdam::CancelToken::new(), &|_| {})?;
//! let advice = advise(&measured).expect("every step was measured");
//! println!("{:?}: {:.1e} bytes a second", advice.restore.slowest, advice.restore.measured);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod advice;
mod bottleneck;
mod files;
mod ground;
mod load;
mod parts;
mod streams;
mod turns;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use frame_worker::{DigestKind, Pool, Suite};
use segment_worker::CancelToken;

pub use self::advice::{Advice, Choice, TIE, advise};
pub use self::bottleneck::{Bottleneck, Stage};
pub use self::ground::{FileSystem, Ground};
pub use self::load::Load;
pub use self::turns::Figure;

use self::files::Files;
use self::streams::Streams;
use self::turns::{Effort, in_turn};
use crate::sealer::default_suite;
use crate::{Error, ErrorKind, FRAME_LEN_DEFAULT};

/// What to measure, where, and how long.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where files are written: in a directory of their own in it, which is removed at the end.
    pub directory: PathBuf,
    /// Plaintext bytes of each file. Three of them stand there at once. If `None`, [`FILE_LEN_DEFAULT`], or fewer where
    /// writing so many takes more than a second.
    pub file_len: Option<u64>,
    /// So many threads at most; as many as the machine runs at once if `None`.
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

/// All that was measured. Steps of one group took turns, so they compare; groups came one after another.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The directory and its file system.
    pub ground: Ground,
    /// What else the machine did before anything was measured, where the system tells.
    pub load: Option<Load>,
    /// Plaintext bytes of each file.
    pub file_len: u64,
    /// Plaintext bytes of each stream in memory, and of the buffers that memory is copied between.
    pub memory_len: u64,
    /// Threads that were used at most, and are where no row says otherwise.
    pub threads: NonZeroUsize,
    /// Ciphers, digests, memory, on one thread and on all.
    pub parts: Vec<Row>,
    /// Plain work on files, on one thread and on all.
    pub files: Vec<Row>,
    /// Streams in memory and between files, by suite and digest, on all threads.
    pub recipes: Vec<Row>,
    /// Streams in memory and between files, by frame size, on all threads.
    pub frame_sizes: Vec<Row>,
    /// Streams in memory and restores to a file by number of threads.
    pub thread_counts: Vec<Row>,
}

/// One step, and how fast it was.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Row {
    /// What was done.
    pub step: Step,
    /// On how many threads.
    pub threads: NonZeroUsize,
    /// The median of the rounds.
    pub figure: Figure,
}

/// Something that was timed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Frames of 64 KiB were sealed or opened, from one buffer in the processor's cache to another.
    Cipher(Work, Suite),
    /// Frames of 64 KiB in the processor's cache were digested.
    Digest(DigestKind),
    /// Bytes were copied between two buffers of [`Measured::memory_len`].
    CopyMemory,
    /// A file was read after the system had been asked to forget it; not measured where the file system is memory.
    ReadDevice,
    /// A file in the page cache was read, 512 KiB at a time, by all threads at offsets.
    ReadFile,
    /// A new file was written as a restore writes it: beside its name, 512 KiB at a time, by all threads at offsets.
    WriteFile,
    /// That file was synced, renamed, and its directory synced.
    PublishFile,
    /// A file in the page cache was copied as `cp` does without the file system's help: read and write, 256 KiB at a time.
    CopyFile,
    /// The copy was synced.
    SyncCopy,
    /// A whole stream went through the pipeline, with every check.
    Stream(Work, Ends, Recipe),
}

/// Which way the bytes go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Work {
    /// Plaintext to sealed stream.
    Seal,
    /// Sealed stream to plaintext.
    Open,
}

/// Where a stream came from and went to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ends {
    /// From memory, and dropped once it was sealed or verified.
    Memory,
    /// From a file in the page cache to a file, staged, synced and renamed.
    Files,
}

/// How a stream is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Recipe {
    /// The AEAD.
    pub suite: Suite,
    /// What segments are digested with.
    pub digest: DigestKind,
    /// Plaintext bytes of a frame.
    pub frame_len: u32,
}

/// What is being measured now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Ciphers, digests, memory.
    Parts,
    /// Plain work on files.
    Files,
    /// Streams by suite and digest.
    Recipes,
    /// Streams by frame size.
    FrameSizes,
    /// Streams by number of threads.
    ThreadCounts,
}

impl Plan {
    /// Files of the default length in `directory`, all threads, about half a minute.
    pub fn of(directory: &Path) -> Plan {
        let directory = directory.to_owned();
        Plan { directory, file_len: None, threads: None, memory: None, pace: Pace::Thorough }
    }

    /// The length of files that it asks for.
    fn checked_file_len(&self) -> Result<Option<u64>, Error> {
        if let Some(len) = self.file_len.filter(|len| *len < FILE_LEN_MIN) {
            return Err(Error::new(ErrorKind::Usage, format!("files of {len} bytes say nothing"))
                .advise("Measure with at least 8 MiB, which is one segment; 256 MiB is the default."));
        }
        Ok(self.file_len)
    }

    /// The threads that it asks for, or as many as the machine runs at once.
    fn checked_threads(&self) -> Result<NonZeroUsize, Error> {
        let threads = self.threads.unwrap_or_else(Pool::threads_of_the_machine);
        if threads.get() > THREADS_MAX {
            return Err(Error::new(ErrorKind::Usage, format!("{threads} threads are too many to measure"))
                .advise("Measure with at most 1024."));
        }
        Ok(threads)
    }
}

impl Recipe {
    /// What a seal makes on this machine where nothing else is said.
    pub fn default_here() -> Recipe {
        Recipe { suite: default_suite(), digest: DigestKind::Blake3, frame_len: FRAME_LEN_DEFAULT }
    }

    /// The default one, each other digest, and the other suite.
    fn compared() -> [Recipe; 4] {
        let usual = Recipe::default_here();
        let other_suite = match usual.suite {
            Suite::Aes256Gcm => Suite::ChaCha20Poly1305,
            Suite::ChaCha20Poly1305 => Suite::Aes256Gcm,
        };
        [
            usual,
            Recipe { digest: DigestKind::Sha256, ..usual },
            Recipe { digest: DigestKind::Tags, ..usual },
            Recipe { suite: other_suite, ..usual },
        ]
    }
}

/// Measures. `tell` hears of each phase as it begins, on the calling thread.
///
/// Nothing stays in the directory, whether this succeeds, fails or is cancelled.
///
/// # Errors
/// [`ErrorKind::Usage`] for a plan that cannot be. [`ErrorKind::Io`] where the directory has no room or cannot be written,
/// before anything is. [`ErrorKind::Cancelled`].
pub fn measure(plan: &Plan, cancel: &CancelToken, tell: &dyn Fn(Phase)) -> Result<Measured, Error> {
    let load = Load::now();
    let file_len = plan.checked_file_len()?;
    let threads = plan.checked_threads()?;
    let ground = Ground::look_at(&plan.directory)?;
    let memory_len = memory_len(file_len.unwrap_or(FILE_LEN_DEFAULT), threads);
    let plaintext: Arc<[u8]> = bytes(memory_len).into();
    let effort = Effort::of(plan.pace);
    let counts = powers_of_two(threads);
    let both = if threads == NonZeroUsize::MIN { vec![threads] } else { vec![NonZeroUsize::MIN, threads] };
    let streams = Streams::new(plan.memory, &counts, plaintext.clone(), effort.lap, cancel)?;
    let files = Files::make(&ground, file_len, plaintext.clone(), cancel)?;

    tell(Phase::Parts);
    let parts = in_turn(parts::ways(&both, &plaintext, effort.lap), effort, cancel)?;
    tell(Phase::Files);
    let plain_files = in_turn(files.ways(&both), effort, cancel)?;
    tell(Phase::Recipes);
    let mut recipes = in_turn(streams.in_memory(&Recipe::compared(), &[threads])?, effort, cancel)?;
    recipes.extend(in_turn(streams.between_files(&Recipe::compared(), threads, &files), effort, cancel)?);
    tell(Phase::FrameSizes);
    let sizes = FRAME_LENS.map(|frame_len| Recipe { frame_len, ..Recipe::default_here() });
    let mut frame_sizes = in_turn(streams.in_memory(&sizes, &[threads])?, effort, cancel)?;
    frame_sizes.extend(in_turn(streams.between_files(&sizes, threads, &files), effort, cancel)?);
    tell(Phase::ThreadCounts);
    let usual = Recipe::default_here();
    let mut thread_counts = in_turn(streams.in_memory(&[usual], &counts)?, effort, cancel)?;
    let sealed = streams.sealed_file(usual, threads, &files)?;
    thread_counts.extend(in_turn(streams.restores(usual, &counts, &sealed, &files), effort, cancel)?);
    let (file_len, memory_len) = (files.len, memory_len as u64);
    files.end()?;
    Ok(Measured {
        ground,
        load,
        file_len,
        memory_len,
        threads,
        parts,
        files: plain_files,
        recipes,
        frame_sizes,
        thread_counts,
    })
}

/// The figure of a step on so many threads, in a group of rows.
pub fn figure_of(rows: &[Row], step: Step, threads: NonZeroUsize) -> Option<Figure> {
    rows.iter().find(|row| row.step == step && row.threads == threads).map(|row| row.figure)
}

/// 1, 2, 4, … and `most` itself.
fn powers_of_two(most: NonZeroUsize) -> Vec<NonZeroUsize> {
    let powers = (0..usize::BITS).map(|power| 1 << power).take_while(|count| *count < most.get());
    powers.filter_map(NonZeroUsize::new).chain([most]).collect()
}

/// Enough runs that every thread has some.
fn memory_len(file_len: u64, threads: NonZeroUsize) -> usize {
    let wanted = (threads.get() * MEMORY_LEN_A_THREAD).clamp(MEMORY_LEN_MIN, MEMORY_LEN_MAX);
    usize::try_from(file_len).unwrap_or(usize::MAX).min(wanted)
}

/// Bytes without a pattern that repeats soon, so that no file system makes them fewer.
fn bytes(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = vec![0; len];
    for word in bytes.chunks_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        word.copy_from_slice(&state.to_le_bytes()[..word.len()]);
    }
    bytes
}

fn cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, "interrupted")
}

/// Plaintext bytes of each file, unless told otherwise.
pub const FILE_LEN_DEFAULT: u64 = 256 << 20;
/// A file is at least one segment.
pub const FILE_LEN_MIN: u64 = crate::SEGMENT_LEN_DEFAULT;
/// Threads that are measured at most.
pub const THREADS_MAX: usize = 1024;
/// Frame sizes that are compared, in bytes.
const FRAME_LENS: [u32; 4] = [16 << 10, FRAME_LEN_DEFAULT, 256 << 10, 1 << 20];
/// Streams in memory: at most five are held at once.
const MEMORY_LEN_MIN: usize = 64 << 20;
const MEMORY_LEN_MAX: usize = 512 << 20;
const MEMORY_LEN_A_THREAD: usize = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thread_counts_are_powers_of_two_and_the_most() {
        let counts = |most| -> Vec<usize> {
            powers_of_two(NonZeroUsize::new(most).unwrap()).into_iter().map(NonZeroUsize::get).collect()
        };
        assert_eq!(counts(1), [1]);
        assert_eq!(counts(2), [1, 2]);
        assert_eq!(counts(3), [1, 2, 3]);
        assert_eq!(counts(16), [1, 2, 4, 8, 16]);
        assert_eq!(counts(24), [1, 2, 4, 8, 16, 24]);
    }

    #[test]
    fn streams_in_memory_are_no_longer_than_files_and_grow_with_the_threads() {
        let of = |file_len, threads| memory_len(file_len, NonZeroUsize::new(threads).unwrap());
        assert_eq!(of(8 << 20, 2), 8 << 20);
        assert_eq!(of(1 << 40, 2), 64 << 20);
        assert_eq!(of(1 << 40, 32), 256 << 20);
        assert_eq!(of(1 << 40, 1024), 512 << 20);
    }

    #[test]
    fn a_quick_run_measures_every_step_and_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let threads = NonZeroUsize::new(3);
        // Not a multiple of anything.
        let file_len = Some(FILE_LEN_MIN + 12345);
        let plan = Plan { file_len, threads, pace: Pace::Quick, ..Plan::of(directory.path()) };
        let measured = measure(&plan, &CancelToken::new(), &|_| {}).unwrap();
        let device_rows = usize::from(measured.ground.medium() == ground::Medium::Device);
        let groups = [
            (&measured.parts, 14),
            (&measured.files, 8 + device_rows),
            (&measured.recipes, 16),
            (&measured.frame_sizes, 16),
            (&measured.thread_counts, 9),
        ];
        for (rows, count) in groups {
            assert_eq!(rows.len(), count, "{rows:?}");
            for row in rows {
                assert!(
                    row.figure.bytes > 0 && row.figure.seconds > 0.0 && row.figure.rounds == 1,
                    "{row:?}"
                );
            }
        }
        assert!(advise(&measured).is_some());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_cancelled_run_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let plan = Plan { file_len: Some(FILE_LEN_MIN), pace: Pace::Quick, ..Plan::of(directory.path()) };
        for last in [Phase::Parts, Phase::Files, Phase::Recipes, Phase::FrameSizes, Phase::ThreadCounts] {
            let cancel = CancelToken::new();
            let stop = |phase| {
                if phase == last {
                    cancel.cancel()
                }
            };
            let refused = measure(&plan, &cancel, &stop).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Cancelled, "{last:?}");
            assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "{last:?}");
        }
    }

    #[test]
    fn plans_that_cannot_be_are_refused_before_anything_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let plan = Plan { pace: Pace::Quick, ..Plan::of(directory.path()) };
        let plans = [
            (Plan { file_len: Some(FILE_LEN_MIN - 1), ..plan.clone() }, ErrorKind::Usage),
            (Plan { threads: NonZeroUsize::new(THREADS_MAX + 1), ..plan.clone() }, ErrorKind::Usage),
            (Plan { file_len: Some(u64::MAX), ..plan.clone() }, ErrorKind::Io),
            (Plan { directory: directory.path().join("absent"), ..plan.clone() }, ErrorKind::Io),
        ];
        for (plan, kind) in plans {
            let refused = measure(&plan, &CancelToken::new(), &|_| {}).unwrap_err();
            assert_eq!(refused.kind(), kind, "{plan:?}: {refused:?}");
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
