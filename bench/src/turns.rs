//! Ways of doing the same work that take turns, so that what the machine does meanwhile befalls all of them.
//! It knows no work.

use std::time::{Duration, Instant};

/// When a way runs without being timed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Warm {
    /// In a round before the first.
    Once,
    /// Before each of its turns: where memory that another way gave back is dear to get again, as under a hypervisor.
    EachTurn,
}

/// The times of each way, sorted: `rounds` of all of them in turn.
pub fn in_turn(ways: &[Box<dyn Fn() -> Duration + '_>], rounds: usize, warm: Warm) -> Vec<Vec<Duration>> {
    if warm == Warm::Once {
        for way in ways {
            way();
        }
    }
    let mut times = vec![Vec::with_capacity(rounds); ways.len()];
    for _ in 0..rounds {
        for (way, times) in ways.iter().zip(&mut times) {
            if warm == Warm::EachTurn {
                way();
            }
            times.push(way());
        }
    }
    times.iter_mut().for_each(|times| times.sort_unstable());
    times
}

/// The middle one of sorted times.
fn median(sorted: &[Duration]) -> Duration {
    sorted[sorted.len() / 2]
}

/// The columns `median`, `slowest to fastest` and `of the first` of a table in GB/s, 10^9 bytes.
pub fn columns(len: usize, times: &[Duration], first: &[Duration]) -> String {
    let of_first = median(first).as_secs_f64() / median(times).as_secs_f64();
    format!("{} | {of_first:.2}", speeds(len, times))
}

/// The first two of [`columns`].
pub fn speeds(len: usize, times: &[Duration]) -> String {
    let speed = |time: Duration| len as f64 / time.as_secs_f64() / 1e9;
    let (slowest, fastest) = (speed(times[times.len() - 1]), speed(times[0]));
    format!("{:.2} | {slowest:.2} to {fastest:.2}", speed(median(times)))
}

/// How long `work` takes.
pub fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}
