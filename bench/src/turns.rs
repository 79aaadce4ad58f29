//! Ways of doing the same work that take turns, so that what the machine does meanwhile befalls all of them.
//! It knows no work.

use std::time::{Duration, Instant};

/// The times of each way, sorted: a round each to warm up, then `rounds` of all of them in turn.
pub fn in_turn(ways: &[Box<dyn Fn() -> Duration + '_>], rounds: usize) -> Vec<Vec<Duration>> {
    for way in ways {
        way();
    }
    let mut times = vec![Vec::with_capacity(rounds); ways.len()];
    for _ in 0..rounds {
        for (way, times) in ways.iter().zip(&mut times) {
            times.push(way());
        }
    }
    times.iter_mut().for_each(|times| times.sort_unstable());
    times
}

/// The middle one of sorted times.
pub fn median(sorted: &[Duration]) -> Duration {
    sorted[sorted.len() / 2]
}

/// The columns `median`, `slowest to fastest` and `of the first` of a table in GB/s, 10^9 bytes.
pub fn columns(len: usize, times: &[Duration], first: &[Duration]) -> String {
    let speed = |time: Duration| len as f64 / time.as_secs_f64() / 1e9;
    let of_first = median(first).as_secs_f64() / median(times).as_secs_f64();
    let (slowest, fastest) = (speed(times[times.len() - 1]), speed(times[0]));
    format!("{:.2} | {slowest:.2} to {fastest:.2} | {of_first:.2}", speed(median(times)))
}

/// How long `work` takes.
pub fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}
