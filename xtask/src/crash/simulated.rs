//! Owns the runs of the crash tests on a simulated disk, and of the planted mistakes: their counts are shown.

use std::process::Stdio;

use super::{Extent, Setting};
use crate::steps;

/// Runs the crash tests, in the ordinary extent or the full one, and shows what they count.
pub(crate) fn run(setting: &Setting) -> Result<(), String> {
    run_one(setting, SINKS)?;
    match setting.extent {
        Extent::Full => run_one(setting, LIBRARY),
        // `cargo xtask test` has run it, with the features of all the workspace.
        Extent::Short => Ok(()),
    }
}

fn run_one(setting: &Setting, programs: Programs) -> Result<(), String> {
    let mut cargo = steps::cargo(&setting.root);
    cargo.args(["test", "-p", programs.package, "--features", programs.features]);
    cargo.args(programs.names.iter().flat_map(|name| ["--test", name])).args(["--", "--nocapture"]);
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

/// Test programs of a package.
struct Programs {
    package: &'static str,
    /// Separated by commas.
    features: &'static str,
    names: &'static [&'static str],
}

const SINKS: Programs = Programs {
    package: "cofferdam-testing",
    features: "",
    names: &["crash_staged", "crash_mapped", "crash_wal", "seeded_bugs"],
};

const LIBRARY: Programs =
    Programs { package: "cofferdam", features: "seeded-bugs", names: &["seeded_bugs", "seeded_salt"] };

/// What a line of counts begins with.
const COUNTS: [&str; 3] = ["crash ", "faults ", "seeded "];
