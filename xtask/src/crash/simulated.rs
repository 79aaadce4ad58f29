//! Owns the crash tests of the sinks on a simulated disk, as the other parts are run: their counts are shown.
//! Knows nothing of what they try.

use std::process::Stdio;

use super::{Extent, Setting};
use crate::steps;

/// Runs the crash tests of package `cofferdam-sinks`, in the ordinary extent or the full one, and shows what they count.
pub(crate) fn run(setting: &Setting) -> Result<(), String> {
    let mut cargo = steps::cargo(&setting.root);
    cargo.args(["test", "-p", "cofferdam-sinks", "--features", FEATURES]);
    cargo.args(PROGRAMS.iter().flat_map(|program| ["--test", program])).args(["--", "--nocapture"]);
    if setting.extent == Extent::Full {
        cargo.env("COFFERDAM_CRASH_STATES", "full");
    }
    let output = cargo.stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("cannot start cargo: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    for line in said.lines() {
        if let Some(at) = COUNTS.iter().filter_map(|word| line.find(word)).min() {
            println!("{}", &line[at..]);
        }
    }
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("the crash tests on the simulated disk failed:\n{said}")),
    }
}

const FEATURES: &str = "simulation,mmap,wal,seeded-bugs";
const PROGRAMS: [&str; 4] = ["crash_staged", "crash_mapped", "crash_wal", "seeded_bugs"];

/// What a line of counts begins with.
const COUNTS: [&str; 3] = ["crash ", "faults ", "seeded "];
