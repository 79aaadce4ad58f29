//! What this machine can do: ciphers, the digest, files in a directory, and then whole streams from file to file.
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
mod load;
mod parts;
mod plan;
mod rows;
mod samples;
mod streams;
mod volume;

use std::num::NonZeroUsize;

use cofferdam::CancelToken;

pub use self::advice::{Advice, Choice, TIE, advise};
pub use self::bottleneck::{Bottleneck, Stage};
pub use self::error::Error;
pub use self::load::Load;
pub use self::plan::{FILE_LEN_DEFAULT, FILE_LEN_MIN, Pace, Plan, THREADS_MAX};
pub use self::rows::{Figure, Recipe, Row, Step, Work, figure_of};
pub use self::volume::{FileSystem, Volume};

use self::files::Files;
use self::samples::rows;
use self::streams::Streams;

/// All that was measured. Steps of one group took turns, so they compare; groups came one after another.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Measured {
    /// The directory and its file system.
    pub volume: Volume,
    /// What else the machine did before anything was measured, where the system tells.
    pub load: Option<Load>,
    /// Plaintext bytes of each file.
    pub file_len: u64,
    /// Threads that were used at most, and are where no row says otherwise.
    pub threads: NonZeroUsize,
    /// Ciphers and the digest, on all threads.
    pub parts: Vec<Row>,
    /// Plain work on files: reads on all threads, writes on one and on all, copies on one.
    pub files: Vec<Row>,
    /// Streams by digest, on all threads.
    pub recipes: Vec<Row>,
    /// Streams by frame size, on all threads.
    pub frame_sizes: Vec<Row>,
    /// Restores by number of threads.
    pub thread_counts: Vec<Row>,
}

/// What is being measured now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Ciphers and the digest.
    Parts,
    /// Plain work on files.
    Files,
    /// Streams by digest.
    Recipes,
    /// Streams by frame size.
    FrameSizes,
    /// Restores by number of threads.
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
    let effort = plan.pace.effort();
    let files = Files::make(&volume, file_len, cancel)?;
    let streams = Streams { files: &files, memory: plan.memory, cancel };

    tell(Phase::Parts);
    let parts = rows(parts::variants(threads, plan.pace.part_time()), effort, cancel)?;
    tell(Phase::Files);
    let plain_files = rows(files.variants(threads), effort, cancel)?;
    tell(Phase::Recipes);
    let recipes = rows(streams.by_recipe(&Recipe::by_digest(), threads), effort, cancel)?;
    tell(Phase::FrameSizes);
    let frame_sizes = rows(streams.by_recipe(&Recipe::by_frame_len(), threads), effort, cancel)?;
    tell(Phase::ThreadCounts);
    let sealed = streams.seal(Recipe::default_here(), threads)?;
    let thread_counts = rows(streams.by_threads(&powers_of_two(threads), &sealed), effort, cancel)?;
    let file_len = files.len;
    files.end()?;
    Ok(Measured {
        volume,
        load,
        file_len,
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
    fn a_quick_run_measures_every_step_and_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let threads = NonZeroUsize::new(3);
        // Not a multiple of anything.
        let file_len = Some(FILE_LEN_MIN + 12345);
        let plan = Plan { file_len, threads, pace: Pace::Quick, ..Plan::of(directory.path()) };
        let measured = measure(&plan, &CancelToken::new(), &|_| {}).unwrap();
        let device_rows = usize::from(measured.volume.medium() == volume::Medium::Device);
        let groups = [
            (&measured.parts, 5),
            (&measured.files, 7 + device_rows),
            (&measured.recipes, 6),
            (&measured.frame_sizes, 8),
            (&measured.thread_counts, 3),
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
