//! What this machine can do: ciphers, digests, memory, files in a directory, and then the whole pipeline.
//! It prints nothing and decides nothing: figures come out, and advice that follows from figures alone.
//!
//! [`measure`] takes turns between what it compares and keeps medians. [`advise`] reads the figures and says which suite,
//! digest, frame size and thread count suit, and which step a restore or a seal waits for.
//!
//! ```
//! use measure::{Pace, Plan, advise, measure};
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
mod error;
mod files;
mod interleaved;
mod load;
mod parts;
mod plan;
mod step;
mod streams;
mod volume;

use std::num::NonZeroUsize;
use std::sync::Arc;

use cofferdam::CancelToken;

pub use self::advice::{Advice, Choice, TIE, advise};
pub use self::bottleneck::{Bottleneck, Stage};
pub use self::error::Error;
pub use self::interleaved::Figure;
pub use self::load::Load;
pub use self::plan::{FILE_LEN_DEFAULT, FILE_LEN_MIN, Pace, Plan, THREADS_MAX};
pub use self::step::{Ends, Recipe, Row, Step, Work, figure_of};
pub use self::volume::{FileSystem, Volume};

use self::files::Files;
use self::interleaved::{Effort, in_turn};
use self::streams::Streams;
use cofferdam::FRAME_LEN_DEFAULT;

/// All that was measured. Steps of one group took turns, so they compare; groups came one after another.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The directory and its file system.
    pub volume: Volume,
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

/// Measures. `tell` hears of each phase as it begins, on the calling thread.
///
/// Nothing stays in the directory, whether this succeeds, fails or is cancelled.
///
/// # Errors
/// [`Error::Plan`] for a plan that cannot be. [`Error::Directory`] where the directory has no room or cannot be written,
/// before anything is. [`Error::Cancelled`]; [`Error::Stream`], where a file cannot be sealed or restored.
pub fn measure(plan: &Plan, cancel: &CancelToken, tell: &dyn Fn(Phase)) -> Result<Measured, Error> {
    let load = Load::now();
    let file_len = plan.checked_file_len()?;
    let threads = plan.checked_threads()?;
    let volume = Volume::look_at(&plan.directory)?;
    let memory_len = memory_len(file_len.unwrap_or(FILE_LEN_DEFAULT), threads);
    let plaintext: Arc<[u8]> = bytes(memory_len).into();
    let effort = Effort::of(plan.pace);
    let counts = powers_of_two(threads);
    let both = if threads == NonZeroUsize::MIN { vec![threads] } else { vec![NonZeroUsize::MIN, threads] };
    let streams = Streams::new(plan.memory, plaintext.clone(), effort.lap, cancel);
    let files = Files::make(&volume, file_len, plaintext.clone(), cancel)?;

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
        volume,
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
        let device_rows = usize::from(measured.volume.medium() == volume::Medium::Device);
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

    /// Between the steps, or in a stream.
    fn is_cancelled(error: &Error) -> bool {
        match error {
            Error::Cancelled => true,
            Error::Stream(error) => error.kind() == cofferdam::ErrorKind::Cancelled,
            _ => false,
        }
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
            assert!(is_cancelled(&refused), "{last:?}: {refused:?}");
            assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "{last:?}");
        }
    }

    #[test]
    fn plans_that_cannot_be_are_refused_before_anything_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let plan = Plan { pace: Pace::Quick, ..Plan::of(directory.path()) };
        let plans = [
            (Plan { file_len: Some(FILE_LEN_MIN - 1), ..plan.clone() }, true),
            (Plan { threads: NonZeroUsize::new(THREADS_MAX + 1), ..plan.clone() }, true),
            (Plan { file_len: Some(u64::MAX), ..plan.clone() }, false),
            (Plan { directory: directory.path().join("absent"), ..plan.clone() }, false),
        ];
        for (plan, is_the_plans_fault) in plans {
            let refused = measure(&plan, &CancelToken::new(), &|_| {}).unwrap_err();
            assert_eq!(matches!(refused, Error::Plan { .. }), is_the_plans_fault, "{plan:?}: {refused:?}");
            assert!(is_the_plans_fault || matches!(refused, Error::Directory { .. }), "{refused:?}");
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
