//! What is timed: steps, their samples, and the rows that come of them. The harness has the clock's rounds.
//! It knows no work.

use std::io;
use std::num::NonZeroUsize;
use std::sync::{PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use cofferdam::CancelToken;
use harness::{Effort, interleaved};

use crate::{Error, Figure, Row, Step};

/// Work that was done once.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Sample {
    pub(crate) bytes: u64,
    pub(crate) took: Duration,
}

impl Sample {
    /// Times `work` on `bytes` bytes.
    pub(crate) fn of(bytes: u64, work: impl FnOnce() -> Result<(), Error>) -> Result<Sample, Error> {
        let begun = Instant::now();
        work()?;
        Ok(Sample { bytes, took: begun.elapsed() })
    }

    /// Lets each of `workers` repeat its work, which tells its bytes, on a thread of its own until `at_least` has passed.
    pub(crate) fn together<W>(at_least: Duration, workers: Vec<W>) -> Result<Sample, Error>
    where
        W: FnMut() -> Result<u64, Error> + Send,
    {
        let gate = RwLock::new(());
        let closed = gate.write().unwrap_or_else(PoisonError::into_inner);
        let run = |mut work: W| {
            work()?; // Touches its buffers.
            drop(gate.read());
            let begun = Instant::now();
            let mut bytes = 0;
            while bytes == 0 || begun.elapsed() < at_least {
                bytes += work()?;
            }
            Ok(Sample { bytes, took: begun.elapsed() })
        };
        let jobs = workers.into_iter().map(|worker| || run(worker));
        let samples: Vec<Sample> = on_threads(jobs, || drop(closed))?;
        let took = samples.iter().map(|sample| sample.took).max().unwrap_or_default();
        Ok(Sample { bytes: samples.iter().map(|sample| sample.bytes).sum(), took })
    }

    /// Never zero, on whatever clock.
    fn seconds(&self) -> f64 {
        self.took.max(Duration::from_nanos(1)).as_secs_f64()
    }
}

/// Runs each of `jobs` on a thread of its own; `started` is called when all of them run, or one could not be started.
pub(crate) fn on_threads<T: Send>(
    jobs: impl IntoIterator<Item = impl FnOnce() -> Result<T, Error> + Send>,
    started: impl FnOnce(),
) -> Result<Vec<T>, Error> {
    thread::scope(|scope| {
        let spawned: io::Result<Vec<_>> =
            jobs.into_iter().map(|job| thread::Builder::new().spawn_scoped(scope, job)).collect();
        started();
        let threads = spawned.map_err(|error| Error::io("no threads could be started", error))?;
        let done = threads.into_iter().map(|thread| thread.join());
        done.map(|done| done.expect("work that is measured does not panic")).collect()
    })
}

/// One way of doing one or more steps, a sample for each.
pub(crate) struct Variant<'a> {
    pub(crate) steps: Vec<Step>,
    pub(crate) threads: NonZeroUsize,
    pub(crate) run: Box<dyn FnMut() -> Result<Vec<Sample>, Error> + 'a>,
}

/// The rows of `variants`, in turn.
pub(crate) fn rows(
    variants: Vec<Variant<'_>>,
    effort: Effort,
    cancel: &CancelToken,
) -> Result<Vec<Row>, Error> {
    let mut labels = Vec::new();
    let mut timed: Vec<harness::Variant<'_, Vec<Sample>, Error>> = Vec::new();
    for Variant { steps, threads, mut run } in variants {
        labels.push((steps, threads));
        timed.push(Box::new(move || if cancel.is_cancelled() { Err(Error::Cancelled) } else { run() }));
    }
    let samples = interleaved(&mut timed, effort)?;
    let rows = labels.into_iter().zip(&samples).flat_map(|((steps, threads), samples)| {
        let figure = move |index: usize| median(samples.iter().map(|sample| sample[index]).collect());
        steps.into_iter().enumerate().map(move |(index, step)| Row { step, threads, figure: figure(index) })
    });
    Ok(rows.collect())
}

/// The sample of middle speed.
fn median(mut samples: Vec<Sample>) -> Figure {
    let seconds_per_byte = |sample: &Sample| sample.seconds() / sample.bytes as f64;
    samples.sort_by(|one, other| seconds_per_byte(one).total_cmp(&seconds_per_byte(other)));
    let middle = samples[samples.len() / 2];
    Figure { bytes: middle.bytes, seconds: middle.seconds(), rounds: samples.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(bytes: u64, millis: u64) -> Sample {
        Sample { bytes, took: Duration::from_millis(millis) }
    }

    #[test]
    fn the_figure_is_the_sample_of_middle_speed_whatever_the_bytes() {
        let figure = median(vec![sample(1000, 1000), sample(10, 1), sample(100, 20)]);
        assert_eq!(figure, Figure { bytes: 100, seconds: 0.02, rounds: 3 });
        assert_eq!(figure.speed(), 5000.0);
    }

    #[test]
    fn each_step_of_a_variant_has_a_row_of_its_own() {
        let run = Box::new(|| Ok(vec![sample(100, 10), sample(100, 20)]));
        let variant =
            Variant { steps: vec![Step::CopyFile, Step::SyncCopy], threads: NonZeroUsize::MIN, run };
        let rows = rows(vec![variant], Effort::of(3, harness::WarmUp::None), &CancelToken::new()).unwrap();
        let seconds: Vec<_> = rows.iter().map(|row| (row.step, row.figure.seconds)).collect();
        assert_eq!(seconds, [(Step::CopyFile, 0.01), (Step::SyncCopy, 0.02)]);
    }

    #[test]
    fn workers_add_their_bytes_up_and_all_have_worked() {
        let worker = || || Ok(7);
        let sample = Sample::together(Duration::ZERO, vec![worker(), worker(), worker()]).unwrap();
        assert_eq!(sample.bytes, 21);
    }

    #[test]
    fn a_worker_that_fails_is_an_error_and_holds_nobody() {
        let workers: Vec<Box<dyn FnMut() -> Result<u64, Error> + Send>> =
            vec![Box::new(|| Ok(7)), Box::new(|| Err(Error::Cancelled))];
        assert!(Sample::together(Duration::ZERO, workers).is_err());
    }
}
