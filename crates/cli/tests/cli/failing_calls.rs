//! The program in a process where some system calls fail, whoever makes them.
//! It judges nothing.

use std::env;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

use crate::place::Place;

/// System calls with one purpose.
#[derive(Clone, Copy)]
pub(crate) enum Calls {
    /// getrandom(2).
    RandomNumbers,
    /// unlink(2) and unlinkat(2).
    Removal,
}

impl Calls {
    /// Their numbers on this processor.
    fn numbers(self) -> Vec<i64> {
        match (self, env::consts::ARCH) {
            (Calls::RandomNumbers, "x86_64") => vec![318],
            (Calls::RandomNumbers, "aarch64") => vec![278],
            (Calls::Removal, "x86_64") => vec![87, 263],
            (Calls::Removal, "aarch64") => vec![35],
            (_, other) => panic!("the numbers of system calls on {other} are not known here"),
        }
    }
}

/// The program with `arguments`, in `place`; all of `calls` fail with EIO. What a test runner says comes first on its
/// standard output.
pub(crate) fn failing(place: &Place, calls: Calls, arguments: &[&str]) -> Command {
    let numbers: Vec<String> = calls.numbers().iter().map(i64::to_string).collect();
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "failing_calls::child_in_which_calls_fail", "--nocapture"]);
    command.env(NUMBERS, numbers.join("\n")).env(ARGUMENTS, arguments.join("\n"));
    command.current_dir(place.directory.path());
    command
}

/// Becomes the program. Only as the child that [`failing`] makes.
#[test]
fn child_in_which_calls_fail() {
    let (Ok(numbers), Ok(arguments)) = (env::var(NUMBERS), env::var(ARGUMENTS)) else { return };
    let fails = SeccompAction::Errno(rustix::io::Errno::IO.raw_os_error().cast_unsigned());
    let rules = numbers.lines().map(|number| (number.parse().unwrap(), Vec::new())).collect();
    let arch = env::consts::ARCH.try_into().unwrap();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, fails, arch).unwrap();
    apply_filter(&BpfProgram::try_from(filter).unwrap()).unwrap();
    panic!("{}", Command::new(env!("CARGO_BIN_EXE_cofferdam")).args(arguments.split('\n')).exec());
}

const NUMBERS: &str = "COFFERDAM_TEST_FAILING_CALLS";
const ARGUMENTS: &str = "COFFERDAM_TEST_ARGUMENTS";
