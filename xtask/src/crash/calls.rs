//! Owns the kills at system calls: before and after each one that changes files, then the next run.

use super::fixture::{Before, Fixture, Holds, Resumed, SEGMENT_LEN};
use super::tally::Tally;
use super::tracer::{self, Moment, Traced};
use super::{Extent, Setting};
use fastrand::Rng;

/// Kills a restore of twenty segments at every call, or at a sample of them.
pub(crate) fn run(setting: &Setting) -> Result<(), String> {
    let mut tally = Tally::new("killed at system calls");
    for (name, before) in [("new target", Before::Nothing), ("replaced target", Before::Old)] {
        let fixture = Fixture::new(&setting.program, &name.replace(' ', "-"), SEGMENTS, before)?
            .with_options(&["--threads", "1", "--durability", "each"]);
        kill_at_each(setting, &fixture, name, &mut tally)?;
    }
    let compressed = Fixture::new(&setting.program, "compressed", SEGMENTS, Before::Old)?
        .compressed()?
        .with_options(&["--threads", "1", "--durability", "each"]);
    kill_at_each(setting, &compressed, "compressed stream", &mut tally)?;
    let fixture = Fixture::new(&setting.program, "device", SEGMENTS, Before::Device)?.with_options(&[
        "--threads",
        "1",
        "--durability",
        "each",
    ]);
    match fixture.onto_device() {
        Ok(fixture) => kill_at_each(setting, &fixture, "block device", &mut tally)?,
        Err(why) => println!("NOT TRIED on a block device: {why}"),
    }
    let seeded = Fixture::new(&setting.program, "seeded-target", SEGMENTS, Before::Old)?
        .with_options(&["--threads", "1", "--durability", "each"])
        .with_seed(&[0, 7, 8, 15])?;
    kill_at_each(setting, &seeded, "seeded target", &mut tally)?;
    tally.close()
}

fn kill_at_each(setting: &Setting, fixture: &Fixture, name: &str, tally: &mut Tally) -> Result<(), String> {
    fixture.set()?;
    let whole = tracer::run(&fixture.program, &fixture.arguments(), &fixture.folder, Moment::Never)?;
    if whole.code != Some(0) || fixture.holds()? != Holds::New {
        return Err(format!("{name}: the restore does not work undisturbed: exit {:?}", whole.code));
    }
    tally.add(format!("calls ({name})"), whole.calls.len());
    let stride = match setting.extent {
        Extent::Full => 1,
        Extent::Short => whole.calls.len().div_ceil(CALLS_SHORT_MAX),
    };
    let mut rng = Rng::with_seed(setting.seed);
    for number in (1..=whole.calls.len()).step_by(stride) {
        for moment in [Moment::Before(number), Moment::After(number)] {
            fixture.set()?;
            let killed = tracer::run(&fixture.program, &fixture.arguments(), &fixture.folder, moment)?;
            // A run may make a call or two less than the first one did: where two threads meet.
            if killed.code.is_some() {
                tally.count("ended before its kill");
                continue;
            }
            let call = killed.calls.last().unwrap_or(&"no call");
            let place = format!("{name}, {moment:?} of {} ({call})", whole.calls.len());
            if let Some(holds) = tally.check(&place, fixture.holds()) {
                tally.count(format!("killed, target {holds:?}"));
                let resumed = tally.check(&place, fixture.resume());
                tally.check(&place, resumed.map_or(Ok(()), |resumed| check_kept(&killed, holds, &resumed)));
                kill_twice(fixture, moment, &mut rng, &place, tally)?;
            }
        }
    }
    Ok(())
}

/// The same kill, and then another at some call of the run that goes on.
fn kill_twice(
    fixture: &Fixture,
    moment: Moment,
    rng: &mut Rng,
    place: &str,
    tally: &mut Tally,
) -> Result<(), String> {
    fixture.set()?;
    let killed = tracer::run(&fixture.program, &fixture.arguments(), &fixture.folder, moment)?;
    let second = Moment::Before(1 + rng.u64(..killed.calls.len().max(CALLS_AGAIN) as u64) as usize);
    let again = tracer::run(&fixture.program, &fixture.arguments(), &fixture.folder, second)?;
    let place = format!("{place}, then {second:?} of the next run");
    if let Some(holds) = tally.check(&place, fixture.holds()) {
        tally.count(match again.code {
            None => "killed again",
            Some(_) => "done before it was killed again",
        });
        let resumed = tally.check(&place, fixture.resume());
        let durable = if killed.checkpoints > again.checkpoints { &killed } else { &again };
        tally.check(&place, resumed.map_or(Ok(()), |resumed| check_kept(durable, holds, &resumed)));
    }
    Ok(())
}

/// P3: as many segments are kept as there were durable checkpoints, but for the stream's last, which is always opened anew.
/// Where the target is the new one already, all is.
fn check_kept(killed: &Traced, holds: Holds, resumed: &Resumed) -> Result<(), String> {
    let durable = killed.checkpoints.min(SEGMENTS - 1) * SEGMENT_LEN;
    match holds == Holds::New || resumed.kept >= durable {
        true => Ok(()),
        false => Err(format!("P3: {durable} bytes were durable, and {} were kept", resumed.kept)),
    }
}

const SEGMENTS: usize = 20;

/// The run that goes on makes few calls where little was left to do.
const CALLS_AGAIN: usize = 12;

/// Calls at which the short run kills, in each setting.
const CALLS_SHORT_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::process::Command;

    use super::super::fixture::Scratch;
    use super::*;

    /// Does as the program does, but writes the target in its place.
    const CARELESS: &str = "#!/bin/sh
for last; do :; done
while [ $# -gt 0 ]; do
    case $1 in
    --key-file) folder=${2%/key} ;;
    esac
    [ \"$1\" = -o ] && exec cp \"$last\" \"$2\"
    shift
done
[ \"$last\" = --json ] && cp \"$folder/sealed\" \"$folder/out/target\" && echo '{\"kept\":0}' && exit
exec dd if=\"$folder/sealed\" of=\"$folder/out/target\" bs=65536
";

    #[test]
    fn a_program_that_writes_the_target_in_its_place_is_found_out() {
        let scratch = Scratch::new("careless").unwrap();
        let program = scratch.path.join("careless");
        // By a process of its own: a child of another test would have it open to write for a moment, and it could not be run.
        let write = ["-c", "printf %s \"$2\" >\"$1\" && chmod 755 \"$1\"", "sh"];
        let written = Command::new("sh").args(write).arg(&program).arg(CARELESS).status().unwrap();
        assert!(written.success());
        for (name, before) in [("careless-new", Before::Nothing), ("careless-old", Before::Old)] {
            let fixture = Fixture::new(&program, name, SEGMENTS, before).unwrap();
            let setting =
                Setting { root: PathBuf::new(), program: program.clone(), extent: Extent::Full, seed: 1 };
            let mut tally = Tally::new("a careless program");
            kill_at_each(&setting, &fixture, name, &mut tally).unwrap();
            let found = tally.close().unwrap_err();
            assert!(found.contains("P2: the target is neither old nor new"), "{found}");
        }
    }
}
