//! Owns `cargo xtask crash`: the real program stopped wherever it can be stopped, and what is found afterwards.
//! Knows what must hold, and nothing of how the program sees to it.

mod calls;
mod device;
mod fixture;
mod full_disk;
mod race;
mod random;
mod restless_seed;
mod shutdown;
mod simulated;
mod tally;
mod tracer;
mod trees;

use std::path::{Path, PathBuf};
use std::time::Instant;

use self::fixture::Scratch;
use crate::steps;

/// What every part is told.
pub(crate) struct Setting {
    root: PathBuf,
    program: PathBuf,
    extent: Extent,
    seed: u64,
}

/// How much is tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Extent {
    /// A sample, within a minute: what `cargo xtask test` runs.
    Short,
    Full,
}

/// One part of the harness.
type Part = (&'static str, fn(&Setting) -> Result<(), String>);

const PARTS: [Part; 8] = [
    ("simulated", simulated::run),
    ("calls", calls::run),
    ("trees", trees::run),
    ("random", random::run),
    ("full-disk", full_disk::run),
    ("shut-down", shutdown::run),
    ("race", race::run),
    ("restless-seed", restless_seed::run),
];

/// Builds the program and tries it: all parts, or the one that is named.
///
/// # Errors
/// Arguments that are not understood; a part that cannot run; what was violated.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> Result<(), String> {
    let (mut chosen, mut program) = (None, None);
    let (mut extent, mut seed) = (Extent::Short, SEED);
    let mut arguments = arguments.iter();
    while let Some(&argument) = arguments.next() {
        match argument {
            "--full" => extent = Extent::Full,
            "--seed" => seed = number(arguments.next())?,
            "--program" => program = Some(path(arguments.next())?),
            part => chosen = Some(find(part)?),
        }
    }
    let scratch = Scratch::new("program")?;
    let program = match program {
        Some(program) => program,
        None => build(root, &scratch)?,
    };
    let setting = Setting { root: root.into(), program, extent, seed };
    println!("crash: seed {}, {:?}", setting.seed, setting.extent);
    let mut failed = Vec::new();
    for (name, part) in PARTS {
        if chosen.is_some_and(|(chosen, _)| chosen != name) {
            continue;
        }
        let begun = Instant::now();
        failed.extend(part(&setting).err());
        println!("crash {name}: {:.1} s", begun.elapsed().as_secs_f64());
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(failed.join("\n")),
    }
}

fn find(name: &str) -> Result<Part, String> {
    let known: Vec<&str> = PARTS.iter().map(|(name, _)| *name).collect();
    let found = PARTS.into_iter().find(|(part, _)| *part == name);
    found.ok_or_else(|| format!("no part is called {name}; they are {}", known.join(", ")))
}

fn path(argument: Option<&&str>) -> Result<PathBuf, String> {
    argument.map(PathBuf::from).ok_or_else(|| "--program needs a path".to_owned())
}

fn number(argument: Option<&&str>) -> Result<u64, String> {
    let parsed = argument.and_then(|argument| argument.parse().ok());
    parsed.ok_or_else(|| "--seed needs a number".to_owned())
}

/// Builds the program, and copies it from where this one lies: another build meanwhile must not replace it.
fn build(root: &Path, scratch: &Scratch) -> Result<PathBuf, String> {
    let built = steps::cargo(root).args(["build", "--quiet", "-p", "cofferdam-cli"]).status();
    match built {
        Ok(status) if status.success() => {}
        Ok(status) => return Err(format!("the program does not build: {status}")),
        Err(error) => return Err(format!("cannot start cargo: {error}")),
    }
    let own = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    let (built, program) = (own.with_file_name("cofferdam"), scratch.path.join("cofferdam"));
    match std::fs::copy(&built, &program) {
        Ok(_) => Ok(program),
        Err(error) => Err(format!("cannot copy {}: {error}", built.display())),
    }
}

/// Unless another is given: a run can be made again.
const SEED: u64 = 3;
