//! Owns `cargo xtask remote`: restores from real servers and uploads to them through a proxy that fails, many, each by its seed.
//! Knows nothing of what goes wrong in them, and of what must hold: the test of the library that it runs does.

use std::path::Path;

use crate::steps;

/// How many of each, and from which seed on.
#[derive(Debug, PartialEq, Eq)]
struct Choice {
    restores: u64,
    seals: u64,
    many: u64,
    seed: u64,
}

impl Choice {
    fn parse(arguments: &[&str]) -> Result<Choice, String> {
        let mut choice = SHORT;
        let mut arguments = arguments.iter();
        while let Some(&argument) = arguments.next() {
            let mut number = || {
                let parsed = arguments.next().and_then(|value| value.parse().ok());
                parsed.ok_or_else(|| format!("{argument} needs a number"))
            };
            match argument {
                "--full" => choice = Choice { seed: choice.seed, ..FULL },
                "--restore" => choice.restores = number()?,
                "--seal" => choice.seals = number()?,
                "--many" => choice.many = number()?,
                "--seed" => choice.seed = number()?,
                _ => return Err(format!("{argument} is not understood")),
            }
        }
        Ok(choice)
    }

    /// What the test is told by.
    fn environment(&self) -> [(&'static str, String); 4] {
        [
            ("COFFERDAM_REMOTE_RESTORES", self.restores),
            ("COFFERDAM_REMOTE_SEALS", self.seals),
            ("COFFERDAM_REMOTE_MANY", self.many),
            ("COFFERDAM_REMOTE_SEED", self.seed),
        ]
        .map(|(variable, number)| (variable, number.to_string()))
    }
}

/// The variables that have the test make as many runs as `cargo xtask test` does, for who starts it otherwise.
pub(crate) fn environment() -> [(&'static str, String); 4] {
    SHORT.environment()
}

/// Runs them, and prints how they ended and what went wrong in them.
///
/// # Errors
/// Arguments that are not understood; a run that ended otherwise than it may, or not at all, with its seed.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> Result<(), String> {
    let choice = Choice::parse(arguments)?;
    println!(
        "remote: {} restores, {} seals, seeds from {} on; {} restores under one budget",
        choice.restores, choice.seals, choice.seed, choice.many
    );
    let mut cargo = steps::cargo(root);
    // The same build as that of all tests.
    cargo.args(["test", "--quiet", "--workspace", "--exclude", "cofferdam-loom-tests", "--all-features"]);
    cargo.args(["--test", "remote_runs"]);
    cargo.envs(choice.environment());
    match cargo.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("the runs ended with {status}")),
        Err(error) => Err(format!("cannot start cargo: {error}")),
    }
}

/// What `cargo xtask test` runs.
const SHORT: Choice = Choice { restores: 60, seals: 30, many: 6, seed: 1 };

const FULL: Choice = Choice { restores: 1000, seals: 500, many: 100, seed: 1 };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_a_seed_can_be_chosen() {
        assert_eq!(Choice::parse(&[]), Ok(SHORT));
        assert_eq!(Choice::parse(&["--full"]), Ok(FULL));
        let one = Choice { restores: 1, seals: 0, many: 2, seed: 77 };
        assert_eq!(Choice::parse(&["--restore", "1", "--seal", "0", "--many", "2", "--seed", "77"]), Ok(one));
        assert!(Choice::parse(&["--seed"]).unwrap_err().contains("number"));
        assert!(Choice::parse(&["everything"]).is_err());
    }
}
