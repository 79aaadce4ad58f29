//! Owns `cargo xtask parts`: restores by many processes, of files and of trees in turn, by seeds, as often as is asked.
//! Knows nothing of what must hold: the test that it runs does.

use std::path::Path;

use crate::steps;

/// Which runs.
#[derive(Debug, PartialEq, Eq)]
struct Extent {
    seed: u64,
    runs: u64,
}

impl Extent {
    fn parse(arguments: &[&str]) -> Result<Extent, String> {
        let mut extent = Extent { seed: 1, runs: 500 };
        let mut rest = arguments;
        while let [option, more @ ..] = rest {
            let (value, more) = more.split_first().ok_or_else(|| format!("{option} needs a number"))?;
            let number = value.parse().map_err(|_| format!("{value} is no number"))?;
            match *option {
                "--runs" => extent.runs = number,
                "--seed" => extent.seed = number,
                _ => return Err(format!("{option} is not understood")),
            }
            rest = more;
        }
        Ok(extent)
    }
}

/// Runs them.
///
/// # Errors
/// Arguments that are not understood; a run that fails, whose seed is printed.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> Result<(), String> {
    let Extent { seed, runs } = Extent::parse(arguments)?;
    println!("parts: {runs} runs from seed {seed} on");
    let mut cargo = steps::cargo(root);
    // The same build as that of all tests.
    cargo.args(["test", "--quiet", "--workspace", "--exclude", "cofferdam-loom-tests", "--all-features"]);
    cargo.args(["--test", "plans", "--", "--nocapture", "seeds::"]);
    cargo.env("COFFERDAM_PLANS_RUNS", runs.to_string()).env("COFFERDAM_PLANS_SEED", seed.to_string());
    match cargo.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("the test ended with {status}")),
        Err(error) => Err(format!("cannot start cargo: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runs_can_be_chosen() {
        assert_eq!(Extent::parse(&[]), Ok(Extent { seed: 1, runs: 500 }));
        assert_eq!(Extent::parse(&["--seed", "7", "--runs", "2"]), Ok(Extent { seed: 7, runs: 2 }));
        for wrong in [&["--runs"][..], &["--runs", "many"], &["--rounds", "2"]] {
            assert!(Extent::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
