//! Owns the races: two restores at once into one target.

use std::thread;
use std::time::{Duration, Instant};

use super::fixture::{Before, EXIT_EXISTS, EXIT_HELD, Fixture, Holds};
use super::tally::Tally;
use super::{Extent, Setting};
use fastrand::Rng;

/// Starts two restores, the second a little behind, over and over: one wins, the other says that it was held off, or
/// came too late.
pub(crate) fn run(setting: &Setting) -> Result<(), String> {
    let mut tally = Tally::new("two writers");
    let races = match setting.extent {
        Extent::Full => RACES_FULL,
        Extent::Short => RACES_SHORT,
    };
    let fixture = Fixture::new(&setting.program, "race", SEGMENTS, Before::Nothing)?;
    let mut rng = Rng::with_seed(setting.seed);
    let begun = Instant::now();
    fixture.resume()?;
    let whole = begun.elapsed().as_nanos() as u64;
    for race in 0..races {
        fixture.set()?;
        // Half of them at once.
        let behind = Duration::from_nanos(rng.u64(..whole) * rng.u64(..2));
        let place = format!("race {race}, {behind:?} behind");
        if let Some(loser) = tally.check(&place, race_once(&fixture, behind)) {
            tally.count(loser);
        }
    }
    tally.close()
}

fn race_once(fixture: &Fixture, behind: Duration) -> Result<&'static str, String> {
    let arguments = fixture.arguments();
    let cannot = |error| format!("cannot run the program: {error}");
    let first = fixture.command(&arguments).spawn();
    thread::sleep(behind);
    let pair = [first, fixture.command(&arguments).spawn()];
    let mut codes = Vec::new();
    for child in pair {
        let ended = child.and_then(std::process::Child::wait_with_output).map_err(cannot)?;
        codes.push(ended.status.code());
    }
    codes.sort_unstable();
    let loser = match codes[..] {
        [Some(0), Some(EXIT_HELD)] => "loser held off (exit 9)",
        [Some(0), Some(EXIT_EXISTS)] => "loser too late (exit 6)",
        _ => return Err(format!("the two ended with {codes:?}")),
    };
    if fixture.holds()? != Holds::New {
        return Err("one of them ended well, and the target is not there".into());
    }
    match fixture.left_behind() {
        None => Ok(loser),
        Some(name) => Err(format!("{name} stays behind")),
    }
}

const SEGMENTS: usize = 20;
const RACES_FULL: usize = 1000;
const RACES_SHORT: usize = 30;
