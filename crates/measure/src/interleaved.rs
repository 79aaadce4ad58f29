//! Ways of doing work that take turns, so that what the machine does meanwhile befalls all of them, and their medians.
//! It knows no work.

use std::io;
use std::num::NonZeroUsize;
use std::sync::{PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use cofferdam::CancelToken;

use crate::Error;
use crate::{Pace, Row, Step};

/// How fast something was: the median of some rounds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Figure {
    /// Bytes of plaintext, or of what was copied, digested, read or written.
    pub bytes: u64,
    /// How long they took.
    pub seconds: f64,
    /// Rounds that the median was taken of.
    pub rounds: usize,
}

impl Figure {
    /// Bytes a second.
    pub fn speed(&self) -> f64 {
        self.bytes as f64 / self.seconds
    }

    /// The middle one of `laps`, of which there is at least one.
    fn median(mut laps: Vec<Sample>) -> Figure {
        laps.sort_by(|one, other| one.seconds_a_byte().total_cmp(&other.seconds_a_byte()));
        let middle = laps[laps.len() / 2];
        Figure { bytes: middle.bytes, seconds: middle.seconds(), rounds: laps.len() }
    }
}

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

    /// Repeats `work`, which tells its bytes, until `at_least` has passed.
    pub(crate) fn repeat(
        at_least: Duration,
        mut work: impl FnMut() -> Result<u64, Error>,
    ) -> Result<Sample, Error> {
        let begun = Instant::now();
        let mut bytes = 0;
        loop {
            bytes += work()?;
            let took = begun.elapsed();
            if took >= at_least {
                return Ok(Sample { bytes, took });
            }
        }
    }

    /// Lets each of `workers` repeat its work on a thread of its own, all at the same time.
    pub(crate) fn together<W>(at_least: Duration, workers: Vec<W>) -> Result<Sample, Error>
    where
        W: FnMut() -> Result<u64, Error> + Send,
    {
        let gate = RwLock::new(());
        let closed = gate.write().unwrap_or_else(PoisonError::into_inner);
        let run = |mut work: W| {
            work()?; // Touches its buffers.
            drop(gate.read());
            Sample::repeat(at_least, work)
        };
        let jobs = workers.into_iter().map(|worker| || run(worker));
        let laps: Vec<Sample> = on_threads(jobs, || drop(closed))?;
        let took = laps.iter().map(|lap| lap.took).max().unwrap_or_default();
        Ok(Sample { bytes: laps.iter().map(|lap| lap.bytes).sum(), took })
    }

    /// Never zero, on whatever clock.
    fn seconds(&self) -> f64 {
        self.took.max(Duration::from_nanos(1)).as_secs_f64()
    }

    fn seconds_a_byte(&self) -> f64 {
        self.seconds() / self.bytes as f64
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

/// One way of doing one or more steps, a lap for each.
pub(crate) struct Variant<'a> {
    pub(crate) steps: Vec<Step>,
    pub(crate) threads: NonZeroUsize,
    pub(crate) run: Box<dyn FnMut() -> Result<Vec<Sample>, Error> + 'a>,
}

/// How much is done for a figure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Effort {
    /// Rounds, the first of which is forgotten where there is a second.
    rounds: usize,
    /// No round is begun after this.
    limit: Duration,
    /// What takes less is repeated so long.
    pub(crate) lap: Duration,
}

impl Effort {
    pub(crate) fn of(pace: Pace) -> Effort {
        match pace {
            Pace::Quick => Effort { rounds: 1, limit: Duration::ZERO, lap: LAP_QUICK },
            Pace::Thorough => Effort { rounds: ROUNDS, limit: LIMIT, lap: LAP },
        }
    }
}

/// Rounds of all `ways` in turn. The first round warms caches and disks, and counts only where there is no other.
pub(crate) fn in_turn(
    mut ways: Vec<Variant<'_>>,
    effort: Effort,
    cancel: &CancelToken,
) -> Result<Vec<Row>, Error> {
    let begun = Instant::now();
    let mut laps: Vec<Vec<Vec<Sample>>> = ways.iter().map(|way| vec![Vec::new(); way.steps.len()]).collect();
    for round in 0..effort.rounds {
        if round > 0 && begun.elapsed() >= effort.limit {
            break;
        }
        for (way, laps) in ways.iter_mut().zip(&mut laps) {
            if cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            for (lap, laps) in (way.run)()?.into_iter().zip(laps) {
                if round == 1 {
                    laps.clear();
                }
                laps.push(lap);
            }
        }
    }
    let rows = ways.iter().zip(laps).flat_map(|(way, laps)| {
        let figures = laps.into_iter().map(Figure::median);
        way.steps.iter().zip(figures).map(|(&step, figure)| Row { step, threads: way.threads, figure })
    });
    Ok(rows.collect())
}

/// One to warm up, and five.
const ROUNDS: usize = 6;
const LIMIT: Duration = Duration::from_secs(5);
const LAP: Duration = Duration::from_millis(30);
const LAP_QUICK: Duration = Duration::from_millis(15);

#[cfg(test)]
mod tests {
    use super::*;

    fn lap(bytes: u64, millis: u64) -> Sample {
        Sample { bytes, took: Duration::from_millis(millis) }
    }

    fn rows_of(laps: Vec<Sample>, rounds: usize, limit: Duration) -> Vec<Row> {
        let mut laps = laps.into_iter();
        let run = move || Ok(vec![laps.next().unwrap()]);
        let way = Variant { steps: vec![Step::CopyMemory], threads: NonZeroUsize::MIN, run: Box::new(run) };
        in_turn(vec![way], Effort { rounds, limit, lap: LAP }, &CancelToken::new()).unwrap()
    }

    #[test]
    fn the_figure_is_the_lap_of_middle_speed_whatever_the_bytes() {
        let figure = Figure::median(vec![lap(1000, 1000), lap(10, 1), lap(100, 20)]);
        assert_eq!(figure, Figure { bytes: 100, seconds: 0.02, rounds: 3 });
        assert_eq!(figure.speed(), 5000.0);
    }

    #[test]
    fn the_first_round_is_forgotten_where_there_is_a_second() {
        let slow_start = vec![lap(100, 9000), lap(100, 10), lap(100, 30), lap(100, 20)];
        let rows = rows_of(slow_start, 4, Duration::MAX);
        assert_eq!(rows[0].figure, Figure { bytes: 100, seconds: 0.02, rounds: 3 });
    }

    #[test]
    fn no_round_begins_after_the_limit_but_the_first() {
        let rows = rows_of(vec![lap(100, 9000)], 4, Duration::ZERO);
        assert_eq!(rows[0].figure, Figure { bytes: 100, seconds: 9.0, rounds: 1 });
    }

    #[test]
    fn workers_add_their_bytes_up_and_all_have_worked() {
        let worker = || || Ok(7);
        let lap = Sample::together(Duration::ZERO, vec![worker(), worker(), worker()]).unwrap();
        assert_eq!(lap.bytes, 21);
    }

    #[test]
    fn a_worker_that_fails_is_an_error_and_holds_nobody() {
        let workers: Vec<Box<dyn FnMut() -> Result<u64, Error> + Send>> =
            vec![Box::new(|| Ok(7)), Box::new(|| Err(Error::Cancelled))];
        assert!(Sample::together(Duration::ZERO, workers).is_err());
    }
}
