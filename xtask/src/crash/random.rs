//! Owns the kills at random moments: a restore somewhat larger, on all threads, killed and run again.

use std::thread;
use std::time::{Duration, Instant};

use super::fixture::{Before, Fixture};
use super::tally::Tally;
use super::{Extent, Setting};
use fastrand::Rng;

/// Kills restores after delays that the seed draws, from none to what a whole run takes.
pub(crate) fn run(setting: &Setting) -> Result<(), String> {
    let mut tally = Tally::new("killed at random");
    let kills = match setting.extent {
        Extent::Full => KILLS_FULL,
        Extent::Short => KILLS_SHORT,
    };
    let mut rng = Rng::with_seed(setting.seed);
    let scenes = [("random-new", Before::Nothing), ("random-old", Before::Old)];
    for (name, before) in scenes {
        let fixture = Fixture::new(&setting.program, name, SEGMENTS, before)?;
        let whole = whole_run(&fixture)?;
        let mut found_at_work = 0;
        for run in 0..RUNS_A_KILL_MAX * kills / scenes.len() {
            if found_at_work == kills / scenes.len() {
                break;
            }
            let delay = Duration::from_nanos(rng.u64(..whole.as_nanos() as u64));
            fixture.set()?;
            let place = format!("{name}, run {run}, killed after {delay:?} of {whole:?}");
            let Some(Ended::Killed) = tally.check(&place, kill_after(&fixture, delay)) else {
                tally.count("done before its kill");
                continue;
            };
            found_at_work += 1;
            if let Some(holds) = tally.check(&place, fixture.holds()) {
                tally.count(format!("killed, target {holds:?}"));
                tally.check(&place, fixture.resume());
            }
        }
    }
    tally.close()
}

/// How long an undisturbed run takes: the shortest of a few.
fn whole_run(fixture: &Fixture) -> Result<Duration, String> {
    let mut shortest = Duration::MAX;
    for _ in 0..3 {
        fixture.set()?;
        let begun = Instant::now();
        fixture.resume()?;
        shortest = shortest.min(begun.elapsed());
    }
    Ok(shortest)
}

enum Ended {
    Killed,
    Done,
}

fn kill_after(fixture: &Fixture, delay: Duration) -> Result<Ended, String> {
    let spawned = fixture.command(&fixture.arguments()).spawn();
    let mut child = spawned.map_err(|error| format!("cannot start the program: {error}"))?;
    thread::sleep(delay);
    let killed = child.kill().and_then(|()| child.wait());
    match killed.map_err(|error| format!("cannot kill the program: {error}"))?.code() {
        None => Ok(Ended::Killed),
        Some(0) => Ok(Ended::Done),
        Some(code) => Err(format!("the program ended by itself with {code}")),
    }
}

/// 16 MiB: long enough for a kill to find it at work.
const SEGMENTS: usize = 1024;
const KILLS_FULL: usize = 1000;
const KILLS_SHORT: usize = 30;
/// Runs until one is found at work, on average and at most.
const RUNS_A_KILL_MAX: usize = 4;
