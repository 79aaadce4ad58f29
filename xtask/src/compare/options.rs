//! Owns the command line of `cargo xtask compare`.
//! Measures nothing.

use std::path::PathBuf;
use std::time::Duration;

use harness::{Effort, WarmUp};

use super::contestant;
use super::size::parse_size;

/// What is compared: every size in every directory.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) directories: Vec<PathBuf>,
    pub(crate) sizes: Vec<u64>,
    pub(crate) effort: Effort,
    /// Names of contestants; empty for all.
    pub(crate) only: Vec<String>,
}

impl Options {
    /// # Errors
    /// What is not understood, and the usage.
    pub(crate) fn parse(arguments: &[&str]) -> Result<Options, String> {
        let (mut directories, mut sizes, mut only) = (Vec::new(), Vec::new(), Vec::new());
        let mut effort = Effort { patience: PATIENCE, ..Effort::of(ROUNDS, WarmUp::None) };
        for pair in arguments.chunks(2) {
            let &[name, value] = pair else { return Err(format!("{} needs a value\n{USAGE}", pair[0])) };
            match name {
                "--directory" => directories.push(value.into()),
                "--size" => sizes.push(parse_size(value)?),
                "--rounds" => effort.rounds = number(name, value)?,
                "--seconds" => effort.patience = Duration::from_secs(number(name, value)? as u64),
                "--only" => only = names(value)?,
                _ => return Err(format!("{name} is not known\n{USAGE}")),
            }
        }
        if directories.is_empty() {
            directories.push(DIRECTORY.into());
        }
        if sizes.is_empty() {
            sizes.push(SIZE);
        }
        Ok(Options { directories, sizes, effort, only })
    }
}

fn number(name: &str, value: &str) -> Result<usize, String> {
    let number = value.parse().ok().filter(|number| (1..=ROUNDS_MAX).contains(number));
    number.ok_or_else(|| format!("{name} takes a number from 1 to {ROUNDS_MAX}, not {value}"))
}

fn names(value: &str) -> Result<Vec<String>, String> {
    let known = contestant::names();
    match value.split(',').find(|name| !known.contains(name)) {
        None => Ok(value.split(',').map(str::to_owned).collect()),
        Some(name) => Err(format!("no contestant is called {name}; there are {}", known.join(", "))),
    }
}

const USAGE: &str =
    "use: cargo xtask compare [--directory DIR]… [--size 1GiB]… [--rounds N] [--seconds N] [--only NAME,…]";
const DIRECTORY: &str = "/dev/shm";
const SIZE: u64 = 1 << 30;
const ROUNDS: usize = 5;
const ROUNDS_MAX: usize = 1000;
/// Five rounds of everything that takes less than a second and a half per GiB, one or two of what is slower.
const PATIENCE: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_arguments_a_gib_on_tmpfs_is_compared() {
        let options = Options::parse(&[]).unwrap();
        assert_eq!(options.directories, [PathBuf::from("/dev/shm")]);
        assert_eq!((options.sizes, options.effort.rounds), (vec![1_073_741_824], 5));
    }

    #[test]
    fn options_that_repeat_add_up_and_the_others_replace() {
        let words = "--size 64MiB --size 1GiB --directory /tmp --rounds 2 --seconds 3 --only age,rage";
        let patience = Duration::from_secs(3);
        let expected = Options {
            directories: vec!["/tmp".into()],
            sizes: vec![64 << 20, 1 << 30],
            effort: Effort { patience, ..Effort::of(2, WarmUp::None) },
            only: vec!["age".to_owned(), "rage".to_owned()],
        };
        assert_eq!(Options::parse(&words.split(' ').collect::<Vec<_>>()), Ok(expected));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (arguments, part) in [
            (&["--size"][..], "--size needs a value"),
            (&["--size", "big"], "\"big\" is no size"),
            (&["--only", "age,nage"], "no contestant is called nage; there are cp-sync,"),
            (&["--rounds", "0"], "--rounds takes a number"),
            (&["--speed", "1"], "--speed is not known"),
        ] {
            let message = Options::parse(arguments).unwrap_err();
            assert!(message.contains(part), "{message}");
        }
    }
}
