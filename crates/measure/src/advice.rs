//! What figures say for the choices of a caller: suite, digest, frame size, threads.
//! It reads figures and measures nothing; words are the caller's.

use std::num::NonZeroUsize;

use cofferdam::{DigestKind, Suite};

use crate::bottleneck::{Bottleneck, one_after_another};
use crate::rows::FRAME_LENS;
use crate::{Measured, Recipe, Row, Step, Work, figure_of};

/// What suits the machine that was measured.
#[derive(Clone, PartialEq, Debug)]
pub struct Advice {
    /// By its own speed, sealing and opening alike, on all threads: there is nothing else to weigh.
    pub suite: Choice<Suite>,
    /// By streams from file to file, sealing and restoring alike. Tags are among the speeds and never the best: they rule
    /// out checks without a key, so they are the caller's to choose.
    pub digest: Choice<DigestKind>,
    /// Bytes of a frame, likewise.
    pub frame_len: Choice<u32>,
    /// By restores to a file.
    pub threads: Choice<NonZeroUsize>,
    /// Of a restore from file to file.
    pub restore: Bottleneck,
    /// Of a seal from file to file.
    pub seal: Bottleneck,
}

/// Which of several settings is best, and what the others would do.
#[derive(Clone, PartialEq, Debug)]
pub struct Choice<T> {
    /// The default, unless another is faster by more than [`TIE`].
    pub best: T,
    /// What is taken where nothing is said.
    pub default: T,
    /// Bytes per second with each.
    pub speeds: Vec<(T, f64)>,
}

/// Something has to be faster by this factor than what it would replace.
pub const TIE: f64 = 1.05;

impl<T: Copy + PartialEq> Choice<T> {
    /// Among settings with these speeds: the default, unless another beats it clearly; then the first of those that the
    /// fastest does not beat clearly. `None` where the default has no speed.
    pub fn among(default: T, speeds: Vec<(T, f64)>) -> Option<Choice<T>> {
        let usual = speed_of(&speeds, default)?;
        let fastest = speeds.iter().map(|(_, speed)| *speed).fold(usual, f64::max);
        let good = speeds.iter().find(|(_, speed)| fastest <= speed * TIE);
        let best =
            if fastest <= usual * TIE { default } else { good.map_or(default, |(setting, _)| *setting) };
        Some(Choice { best, default, speeds })
    }

    /// Time that `other` takes for what takes 1 with the best setting.
    pub fn time_of(&self, other: T) -> Option<f64> {
        Some(speed_of(&self.speeds, self.best)? / speed_of(&self.speeds, other)?)
    }
}

fn speed_of<T: PartialEq>(speeds: &[(T, f64)], setting: T) -> Option<f64> {
    speeds.iter().find(|(found, _)| *found == setting).map(|(_, speed)| *speed)
}

/// What the figures say. `None` where a step was not measured.
pub fn advise(measured: &Measured) -> Option<Advice> {
    let usual = Recipe::default_here();
    let between_files =
        |rows: &[Row], recipe| both_ways(rows, measured.threads, |work| Step::Stream(work, recipe));
    let cipher = |suite| both_ways(&measured.parts, measured.threads, |work| Step::Cipher(work, suite));
    let digest = |digest| between_files(&measured.recipes, Recipe { digest, ..usual });
    let frame_len = |frame_len| between_files(&measured.frame_sizes, Recipe { frame_len, ..usual });
    let hashes = [DigestKind::Blake3, DigestKind::Sha256];
    let mut digests = Choice::among(usual.digest, speeds(hashes, digest))?;
    digests.speeds.extend(speeds([DigestKind::Tags], digest));
    Some(Advice {
        suite: Choice::among(usual.suite, speeds([Suite::Aes256Gcm, Suite::ChaCha20Poly1305], cipher))?,
        digest: digests,
        frame_len: Choice::among(usual.frame_len, speeds(FRAME_LENS, frame_len))?,
        threads: Choice::among(measured.threads, restores(measured, usual))?,
        restore: Bottleneck::of(measured, Work::Open)?,
        seal: Bottleneck::of(measured, Work::Seal)?,
    })
}

/// The speed of sealing and then opening the same bytes.
fn both_ways(rows: &[Row], threads: NonZeroUsize, step: impl Fn(Work) -> Step) -> Option<f64> {
    let seal = figure_of(rows, step(Work::Seal), threads)?.speed();
    let open = figure_of(rows, step(Work::Open), threads)?.speed();
    Some(one_after_another([seal, open]))
}

fn speeds<T: Copy>(settings: impl IntoIterator<Item = T>, speed: impl Fn(T) -> Option<f64>) -> Vec<(T, f64)> {
    settings.into_iter().filter_map(|setting| Some((setting, speed(setting)?))).collect()
}

/// By number of threads, ascending.
fn restores(measured: &Measured, recipe: Recipe) -> Vec<(NonZeroUsize, f64)> {
    let step = Step::Stream(Work::Open, recipe);
    let rows = measured.thread_counts.iter().filter(|row| row.step == step);
    rows.map(|row| (row.threads, row.figure.speed())).collect()
}

/// Measurements that nobody made.
#[cfg(test)]
pub(crate) mod made_up {
    use std::path::PathBuf;

    use super::*;
    use crate::{Figure, Volume};

    /// Speeds on two threads, in bytes a second. Pairs are for one thread and for two, or for a copy and its sync.
    #[derive(Clone)]
    pub(crate) struct Speeds {
        pub(crate) read: f64,
        pub(crate) cipher: f64,
        pub(crate) other_cipher: f64,
        pub(crate) digest: f64,
        pub(crate) write: [f64; 2],
        pub(crate) publish: f64,
        pub(crate) copy: [f64; 2],
        /// Between files, with BLAKE3, SHA-256, tags.
        pub(crate) digests: [f64; 3],
        /// Between files, by frame size.
        pub(crate) frame_sizes: [f64; 4],
        /// To a file, on 1, 2, 4 threads and so on; the last is that of all.
        pub(crate) thread_counts: Vec<f64>,
    }

    impl Default for Speeds {
        fn default() -> Speeds {
            Speeds {
                read: 8.0,
                cipher: 16.0,
                other_cipher: 4.0,
                digest: 8.0,
                write: [3.0, 3.0],
                publish: 1e9,
                copy: [2.0, 1e9],
                digests: [6.0, 3.0, 12.0],
                frame_sizes: [5.0, 6.0, 6.0, 5.9],
                thread_counts: vec![1.5, 2.5],
            }
        }
    }

    pub(crate) fn measured(speeds: &Speeds) -> Measured {
        let one = NonZeroUsize::MIN;
        let two = one.saturating_add(1);
        let row = |step, threads, speed: f64| Row {
            step,
            threads,
            figure: Figure { bytes: 1 << 20, seconds: f64::from(1 << 20) / speed, rounds: 5 },
        };
        let usual = Recipe::default_here();
        let both = |step: &dyn Fn(Work) -> Step, speed| {
            [Work::Seal, Work::Open].map(|work| row(step(work), two, speed))
        };
        let other = match usual.suite {
            Suite::Aes256Gcm => Suite::ChaCha20Poly1305,
            Suite::ChaCha20Poly1305 => Suite::Aes256Gcm,
        };
        let mut parts = Vec::new();
        parts.extend(both(&|work| Step::Cipher(work, usual.suite), speeds.cipher));
        parts.extend(both(&|work| Step::Cipher(work, other), speeds.other_cipher));
        parts.push(row(Step::Digest(DigestKind::Blake3), two, speeds.digest));
        let files = vec![
            row(Step::ReadFile, two, speeds.read),
            row(Step::WriteFile, one, speeds.write[0]),
            row(Step::WriteFile, two, speeds.write[1]),
            row(Step::PublishFile, two, speeds.publish),
            row(Step::CopyFile, one, speeds.copy[0]),
            row(Step::SyncCopy, one, speeds.copy[1]),
        ];
        let mut recipes = Vec::new();
        let digests = [DigestKind::Blake3, DigestKind::Sha256, DigestKind::Tags];
        for (digest, speed) in digests.into_iter().zip(speeds.digests) {
            let recipe = Recipe { digest, ..usual };
            recipes.extend(both(&|work| Step::Stream(work, recipe), speed));
        }
        let mut frame_sizes = Vec::new();
        for (frame_len, speed) in FRAME_LENS.into_iter().zip(speeds.frame_sizes) {
            let recipe = Recipe { frame_len, ..usual };
            frame_sizes.extend(both(&|work| Step::Stream(work, recipe), speed));
        }
        let counts = speeds.thread_counts.iter().zip(0..).map(|(speed, power)| {
            let threads = NonZeroUsize::new(1 << power).unwrap();
            row(Step::Stream(Work::Open, usual), threads, *speed)
        });
        Measured {
            volume: Volume { directory: PathBuf::from("/srv"), file_system: None, free: 1 << 40 },
            load: None,
            file_len: 1 << 20,
            threads: two,
            parts,
            files,
            recipes,
            frame_sizes,
            thread_counts: counts.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::made_up::{Speeds, measured};
    use super::*;

    fn advice(speeds: Speeds) -> Advice {
        advise(&measured(&speeds)).unwrap()
    }

    fn best(default: u32, speeds: &[(u32, f64)]) -> u32 {
        Choice::among(default, speeds.to_vec()).unwrap().best
    }

    #[test]
    fn the_default_wins_unless_it_is_beaten_by_more_than_a_tie() {
        assert_eq!(best(1, &[(1, 100.0), (2, 100.0)]), 1);
        assert_eq!(best(1, &[(1, 100.0), (2, 105.0)]), 1);
        assert_eq!(best(1, &[(1, 100.0), (2, 106.0)]), 2);
        assert_eq!(best(1, &[(1, 100.0), (2, 10.0)]), 1);
    }

    #[test]
    fn of_several_that_beat_the_default_the_first_that_is_about_as_fast_as_the_fastest_wins() {
        assert_eq!(best(1, &[(1, 100.0), (2, 150.0), (3, 155.0), (4, 120.0)]), 2);
        assert_eq!(best(1, &[(1, 100.0), (2, 120.0), (3, 155.0), (4, 150.0)]), 3);
        // The first need not be better than the default by itself: the fastest is, and it is as fast.
        assert_eq!(best(2, &[(1, 103.0), (2, 100.0), (3, 106.0)]), 1);
    }

    #[test]
    fn a_choice_without_its_default_is_none() {
        assert_eq!(Choice::among(1, vec![(2, 100.0)]), None);
        assert_eq!(Choice::among(1, Vec::new()), None);
    }

    #[test]
    fn the_time_of_a_setting_is_told_beside_the_best() {
        let choice = Choice::among(1, vec![(1, 100.0), (2, 50.0), (3, 200.0)]).unwrap();
        assert_eq!((choice.best, choice.time_of(1), choice.time_of(2)), (3, Some(2.0), Some(4.0)));
        assert_eq!(choice.time_of(4), None);
    }

    #[test]
    fn on_a_machine_as_it_is_meant_to_be_the_defaults_are_best() {
        let advice = advice(Speeds::default());
        let usual = Recipe::default_here();
        assert_eq!(advice.suite.best, usual.suite);
        assert_eq!(advice.digest.best, usual.digest);
        assert_eq!(advice.frame_len.best, usual.frame_len);
        assert_eq!(advice.threads.best.get(), 2);
    }

    #[test]
    fn a_faster_suite_digest_or_frame_size_is_taken() {
        let advice = advice(Speeds {
            other_cipher: 17.0,
            digests: [6.0, 7.0, 12.0],
            frame_sizes: [5.0, 6.0, 6.2, 6.4],
            ..Speeds::default()
        });
        let usual = Recipe::default_here();
        assert_ne!(advice.suite.best, usual.suite);
        assert_eq!(advice.digest.best, DigestKind::Sha256);
        // 6.4 beats the default, and 6.2 is about as fast.
        assert_eq!(advice.frame_len.best, 256 << 10);
    }

    #[test]
    fn tags_are_told_of_and_never_advised() {
        let advice = advice(Speeds { digests: [6.0, 3.0, 600.0], ..Speeds::default() });
        assert_eq!(advice.digest.best, DigestKind::Blake3);
        let time = advice.digest.time_of(DigestKind::Tags).unwrap();
        assert!((time - 0.01).abs() < 1e-9, "{time}");
    }

    #[test]
    fn fewer_threads_are_advised_only_where_more_of_them_lose() {
        let threads = |speeds: &[f64]| {
            let mut measured = measured(&Speeds { thread_counts: speeds.to_vec(), ..Speeds::default() });
            measured.threads = NonZeroUsize::new(1 << (speeds.len() - 1)).unwrap();
            Choice::among(measured.threads, restores(&measured, Recipe::default_here())).unwrap().best.get()
        };
        assert_eq!(threads(&[1.0, 2.0, 2.0, 2.0]), 8);
        assert_eq!(threads(&[1.0, 2.0, 2.09, 2.0]), 8);
        assert_eq!(threads(&[1.0, 2.0, 2.1, 1.5]), 2);
        assert_eq!(threads(&[3.0]), 1);
    }

    #[test]
    fn without_a_step_there_is_no_advice() {
        let mut measured = measured(&Speeds::default());
        measured.frame_sizes.clear();
        assert_eq!(advise(&measured), None);
    }
}
