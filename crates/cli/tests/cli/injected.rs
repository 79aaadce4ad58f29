//! The program with faults in its system calls: strace stands in for machines and file systems that fail.
//! Who asks for it has asked `programs::has("strace")`.

use std::process::{Command, Stdio};

use crate::place::Place;

/// The program with `arguments`, in `place`, and with `faults` as strace(1) takes them behind `inject=`.
pub(crate) fn injected(place: &Place, faults: &[&str], arguments: &[&str]) -> Command {
    injected_at(place, &[], faults, arguments)
}

/// The same, with faults in those calls alone that name one of `paths`; in all, where there are none.
pub(crate) fn injected_at(place: &Place, paths: &[&str], faults: &[&str], arguments: &[&str]) -> Command {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null"]);
    for path in paths {
        command.args(["-P", path]);
    }
    for fault in faults {
        command.args(["-e", &format!("inject={fault}")]);
    }
    command.arg("--").arg(env!("CARGO_BIN_EXE_cofferdam")).args(arguments);
    command.current_dir(place.directory.path()).stdin(Stdio::null());
    command
}
