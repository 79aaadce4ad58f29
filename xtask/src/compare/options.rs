//! Owns the command line of `cargo xtask compare`.
//! Measures nothing.

use std::path::PathBuf;
use std::time::Duration;

use super::contestants;
use super::group::Order;
use super::input::Kind;
use super::rounds::Limits;
use super::size::parse_size;

/// What is compared: every kind of input of every size in every directory, one group after the other.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) directories: Vec<PathBuf>,
    pub(crate) sizes: Vec<u64>,
    pub(crate) kinds: Vec<Kind>,
    pub(crate) limits: Limits,
    pub(crate) order: Order,
    /// Names of contestants; empty for all.
    pub(crate) only: Vec<String>,
    pub(crate) output: Output,
}

/// Where the tables go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// To standard output.
    Print,
    /// And into `bench/RESULTS.md`, with charts beside it.
    Write,
}

impl Options {
    /// # Errors
    /// What is not understood, and the usage.
    pub(crate) fn parse(arguments: &[&str]) -> Result<Options, String> {
        let mut options = Options {
            directories: Vec::new(),
            sizes: Vec::new(),
            kinds: Vec::new(),
            limits: Limits { rounds: ROUNDS, patience: PATIENCE },
            order: Order::Blocks,
            only: Vec::new(),
            output: Output::Print,
        };
        let mut arguments = arguments.iter();
        while let Some(&name) = arguments.next() {
            if name == "--write" {
                options.output = Output::Write;
                continue;
            }
            let missing = || format!("{name} needs a value, or is not known\n{USAGE}");
            options.read(name, arguments.next().ok_or_else(missing)?)?;
        }
        options.fill_in();
        Ok(options)
    }

    fn read(&mut self, name: &str, value: &str) -> Result<(), String> {
        let number = || match value.parse() {
            Ok(number @ 1..=ROUNDS_MAX) => Ok(number),
            _ => Err(format!("{name} takes a number from 1 to {ROUNDS_MAX}, not {value}")),
        };
        match name {
            "--directory" => self.directories.push(value.into()),
            "--size" => self.sizes.push(parse_size(value)?),
            "--input" => self.kinds.push(kind(value)?),
            "--rounds" => self.limits.rounds = number()?,
            "--seconds" => self.limits.patience = Duration::from_secs(number()? as u64),
            "--order" => self.order = order(value)?,
            "--only" => self.only = names(value)?,
            _ => return Err(format!("{name} is not known\n{USAGE}")),
        }
        Ok(())
    }

    fn fill_in(&mut self) {
        if self.directories.is_empty() {
            self.directories.push(DIRECTORY.into());
        }
        if self.sizes.is_empty() {
            self.sizes.push(SIZE);
        }
        if self.kinds.is_empty() {
            self.kinds.push(Kind::Real);
        }
    }
}

fn kind(value: &str) -> Result<Kind, String> {
    let found = Kind::ALL.into_iter().find(|kind| kind.name() == value);
    found.ok_or_else(|| format!("no input is called {value}; there are real, random and zeros"))
}

fn order(value: &str) -> Result<Order, String> {
    let found = [Order::Blocks, Order::Turns].into_iter().find(|order| order.name() == value);
    found.ok_or_else(|| format!("no order is called {value}; there are blocks and turns"))
}

fn names(value: &str) -> Result<Vec<String>, String> {
    match value.split(',').find(|name| contestants::find(name).is_none()) {
        None => Ok(value.split(',').map(str::to_owned).collect()),
        Some(name) => {
            Err(format!("no contestant is called {name}; there are {}", contestants::names().join(", ")))
        }
    }
}

const USAGE: &str = "use: cargo xtask compare [--directory DIR]… [--size 1GiB]… [--input real|random|zeros]… \
    [--rounds N] [--seconds N] [--order blocks|turns] [--only NAME,…] [--write]";

const DIRECTORY: &str = "/dev/shm";
const SIZE: u64 = 1 << 30;
const ROUNDS: usize = 5;
const ROUNDS_MAX: usize = 1000;
/// Five rounds of everything that takes less than 2 s a GiB, one or two of what is slower.
const PATIENCE: Duration = Duration::from_secs(12);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_arguments_one_group_on_tmpfs_is_compared() {
        let options = Options::parse(&[]).unwrap();
        assert_eq!(options.directories, [PathBuf::from("/dev/shm")]);
        assert_eq!((options.sizes, options.kinds), (vec![1_073_741_824], vec![Kind::Real]));
        assert_eq!((options.order, options.output), (Order::Blocks, Output::Print));
    }

    #[test]
    fn options_that_repeat_add_up_and_the_others_replace() {
        let options = Options::parse(&[
            "--size",
            "64MiB",
            "--write",
            "--size",
            "1GiB",
            "--input",
            "zeros",
            "--input",
            "random",
            "--directory",
            "/tmp",
            "--rounds",
            "2",
            "--seconds",
            "3",
            "--order",
            "turns",
            "--only",
            "age,rage",
        ]);
        let expected = Options {
            directories: vec!["/tmp".into()],
            sizes: vec![64 << 20, 1 << 30],
            kinds: vec![Kind::Zeros, Kind::Random],
            limits: Limits { rounds: 2, patience: Duration::from_secs(3) },
            order: Order::Turns,
            only: vec!["age".to_owned(), "rage".to_owned()],
            output: Output::Write,
        };
        assert_eq!(options, Ok(expected));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (arguments, part) in [
            (&["--size"][..], "--size needs a value"),
            (&["--size", "big"], "\"big\" is no size"),
            (&["--input", "ones"], "no input is called ones"),
            (&["--order", "random"], "no order is called random"),
            (&["--only", "age,nage"], "no contestant is called nage; there are cp,"),
            (&["--rounds", "0"], "--rounds takes a number"),
            (&["--speed", "1"], "--speed is not known"),
        ] {
            let message = Options::parse(arguments).unwrap_err();
            assert!(message.contains(part), "{message}");
        }
    }
}
