//! Which step a stream between files waits for, and how fast it could be as far as its parts go.
//! It reads figures and measures nothing.

use std::num::NonZeroUsize;

use cofferdam::DigestKind;

use crate::{Measured, Recipe, Step, Work, figure_of};

/// A part of the way from one file to another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// Reading the input.
    Read,
    /// Sealing or opening frames, and digesting them.
    Frames,
    /// Writing the output.
    Write,
    /// Syncing and renaming it.
    Publish,
}

/// The limits of a seal or a restore from file to file. Speeds are bytes of plaintext per second.
#[derive(Clone, PartialEq, Debug)]
pub struct Bottleneck {
    /// What each stage does by itself, on all threads.
    pub stages: [(Stage, f64); 4],
    /// The slowest of them.
    pub slowest: Stage,
    /// What they come to together: see [`Bottleneck::of`].
    pub bound: f64,
    /// What the whole was measured to do.
    pub measured: f64,
    /// What a plain copy does that is synced as well.
    pub copy: f64,
}

impl Bottleneck {
    /// Of `work` by the default recipe. `None` where a step was not measured.
    ///
    /// Reading, frames and writing share the threads, so their times add up; reading and frames scale as they were
    /// measured to. Writers to one file may wait for each other while other threads read and open: of writing the time of
    /// one writer counts, divided by the threads, unless all of them together take longer than the whole. The sync at the
    /// end comes on top.
    pub fn of(measured: &Measured, work: Work) -> Option<Bottleneck> {
        let recipe = Recipe::default_here();
        let all = measured.threads;
        let part = |step| Some(figure_of(&measured.parts, step, all)?.speed());
        let file = |step, threads| Some(figure_of(&measured.files, step, threads)?.speed());
        let cipher = part(Step::Cipher(work, recipe.suite))?;
        let frames = match recipe.digest {
            DigestKind::Tags => cipher,
            digest => one_after_another([cipher, part(Step::Digest(digest))?]),
        };
        let read = file(Step::ReadFile, all)?;
        let write = file(Step::WriteFile, all)?;
        let publish = file(Step::PublishFile, all)?;
        let one_writer = file(Step::WriteFile, NonZeroUsize::MIN)?;
        let shared = one_after_another([read, frames, one_writer * all.get() as f64]);
        let bound = one_after_another([shared.min(write), publish]);
        let stages =
            [(Stage::Read, read), (Stage::Frames, frames), (Stage::Write, write), (Stage::Publish, publish)];
        let copy = [Step::CopyFile, Step::SyncCopy].map(|step| file(step, NonZeroUsize::MIN));
        let [Some(copied), Some(synced)] = copy else { return None };
        Some(Bottleneck {
            stages,
            slowest: slowest(&stages),
            bound,
            measured: figure_of(&measured.recipes, Step::Stream(work, recipe), all)?.speed(),
            copy: one_after_another([copied, synced]),
        })
    }

    /// What a stage does by itself.
    pub fn limit(&self, stage: Stage) -> f64 {
        self.stages.iter().find(|(found, _)| *found == stage).map_or(f64::INFINITY, |(_, speed)| *speed)
    }
}

/// The speed of all of `speeds` in sequence on the same bytes.
pub(crate) fn one_after_another<const N: usize>(speeds: [f64; N]) -> f64 {
    1.0 / speeds.iter().map(|speed| 1.0 / speed).sum::<f64>()
}

fn slowest(stages: &[(Stage, f64)]) -> Stage {
    let least = stages.iter().min_by(|(_, one), (_, other)| one.total_cmp(other));
    least.map_or(Stage::Write, |(stage, _)| *stage)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advice::made_up::{Speeds, measured};

    fn restore(speeds: Speeds) -> Bottleneck {
        Bottleneck::of(&measured(&speeds), Work::Open).unwrap()
    }

    /// Equal up to rounding, and to a sync that costs next to nothing.
    #[track_caller]
    fn assert_near(one: f64, other: f64) {
        assert!((one / other - 1.0).abs() < 1e-6, "{one} is not {other}");
    }

    #[test]
    fn where_writing_is_slowest_it_is_the_bound_if_the_threads_have_time_left() {
        let slow_disk = restore(Speeds {
            read: 20.0,
            cipher: 20.0,
            digest: 20.0,
            write: [1.0, 1.0],
            ..Speeds::default()
        });
        assert_eq!(slow_disk.slowest, Stage::Write);
        assert_eq!(slow_disk.limit(Stage::Frames), 10.0);
        assert_near(slow_disk.bound, 1.0);
    }

    #[test]
    fn what_shares_the_threads_adds_up() {
        // A second for 4 bytes of reading, two for the frames, half of two for writing by either thread.
        let even =
            restore(Speeds { read: 4.0, cipher: 4.0, digest: 4.0, write: [2.0, 2.0], ..Speeds::default() });
        assert_near(even.bound, 1.0);
        assert_eq!(even.limit(Stage::Write), 2.0);
    }

    #[test]
    fn the_sync_comes_on_top_and_can_be_what_is_slowest() {
        let never_scales =
            Speeds { read: 1e9, cipher: 1e9, digest: 1e9, write: [2.0, 2.0], ..Speeds::default() };
        let synced = restore(Speeds { publish: 2.0, ..never_scales.clone() });
        assert_near(synced.bound, 1.0);
        let slow_sync = restore(Speeds { publish: 0.5, ..never_scales });
        assert_eq!(slow_sync.slowest, Stage::Publish);
    }

    #[test]
    fn a_copy_is_timed_with_its_sync() {
        let bottleneck = restore(Speeds { copy: [3.0, 6.0], digests: [2.5, 1.0, 1.0], ..Speeds::default() });
        assert_near(bottleneck.copy, 2.0);
        assert_near(bottleneck.measured, 2.5);
    }

    #[test]
    fn nothing_is_said_of_what_was_not_measured() {
        let mut measured = measured(&Speeds::default());
        measured.files.retain(|row| row.step != Step::PublishFile);
        assert_eq!(Bottleneck::of(&measured, Work::Open), None);
    }
}
