//! Owns `cargo xtask age`: round trips both ways with `age`, and in full with `rage` as well.
//! Knows nothing of what must hold: the test of the library that it runs does.

use std::path::{Path, PathBuf};

use servers::installed::find_on_path;

use crate::{server_programs, steps};

/// How many are tried in full, and of what size: the variables of the test, and their values. Without them it tries as much as a test may.
const FULL: [(&str, &str); 3] =
    [("COFFERDAM_AGE_CHUNKS", "40"), ("COFFERDAM_AGE_THREADS", "8"), ("COFFERDAM_AGE_LARGE", "1024")];

/// Names the programs to the test.
const PROGRAMS_VARIABLE: &str = "COFFERDAM_AGE_PROGRAMS";

/// Runs them: a sample with `age`, or `--full`.
///
/// # Errors
/// Arguments that are not understood; a program that is missing or cannot be built; what does not go both ways.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> Result<(), String> {
    let mut cargo = steps::cargo(root);
    // The same build as that of all tests.
    cargo.args(["test", "--quiet", "--workspace", "--exclude", "cofferdam-loom-tests", "--all-features"]);
    cargo.args(["--test", "age_round_trips"]);
    match arguments {
        [] => {}
        ["--full"] => {
            let programs = programs()?;
            let said: Vec<_> = programs.iter().map(|it| it.display().to_string()).collect();
            println!("age: each chunk edge, with {}", said.join(" and "));
            let programs = std::env::join_paths(programs).map_err(|error| error.to_string())?;
            cargo.env(PROGRAMS_VARIABLE, programs).envs(FULL);
        }
        [argument, ..] => return Err(format!("{argument} is not understood; `--full` is")),
    }
    match cargo.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("the round trips ended with {status}")),
        Err(error) => Err(format!("cannot start cargo: {error}")),
    }
}

/// `age`, and `rage`, which is built where it is not here.
fn programs() -> Result<[PathBuf; 2], String> {
    let age = find_on_path("age").ok_or("age is not installed; `cargo xtask setup` installs it")?;
    Ok([age, server_programs::OTHER_AGE.provide()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_understood_builds_nothing() {
        let refused = run(&crate::repository_root(), &["--all"]).unwrap_err();
        assert!(refused.contains("--full"), "{refused}");
    }
}
