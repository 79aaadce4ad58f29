//! Owns the runs of the crash tests on a simulated disk, whose counts are shown, and in the full extent of the planted mistakes.

use std::process::Stdio;

use super::{Extent, Setting};
use crate::{planted, steps};

/// Runs the crash tests, in the ordinary extent or the full one, and shows what they count.
pub(crate) fn run(setting: &Setting) -> Result<(), String> {
    let mut cargo = steps::cargo(&setting.root);
    cargo.args(["test", "-p", "cofferdam-testing"]);
    cargo.args(PROGRAMS.iter().flat_map(|name| ["--test", name])).args(["--", "--nocapture"]);
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
    if !output.status.success() {
        return Err(format!("the crash tests on the simulated disk failed:\n{said}"));
    }
    match setting.extent {
        Extent::Full => planted::run(&setting.root, &[]),
        Extent::Short => Ok(()),
    }
}

const PROGRAMS: [&str; 3] = ["crash_staged", "crash_mapped", "crash_wal"];

/// What a line of counts begins with.
const COUNTS: [&str; 2] = ["crash ", "faults "];
