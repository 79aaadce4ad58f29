//! The program of a check, as it is found before the restore and run after it: what others did to its name meanwhile changes nothing.
//! It knows no stream, and starts nothing.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{Access, access};

use super::lookup::{Found, Purpose, find};
use super::trust::refuse_foreign_program;
use crate::failure::{Failure, FailureKind};
use crate::printable::Name;

/// A program that can be run.
pub(super) struct Program {
    /// As the file of the drill names it; one with a slash from the root on.
    name: PathBuf,
    /// None of a bare name, which is looked for on the search path as it is run.
    found: Option<Found>,
}

impl Program {
    /// # Errors
    /// It is not there; others could change it, or put another in its place.
    pub(super) fn find(name: &Path) -> Result<Program, Failure> {
        if !name.is_absolute() {
            return match is_on_search_path(name) {
                true => Ok(Program { name: name.to_owned(), found: None }),
                false => Err(cannot_run(name, &io::ErrorKind::NotFound.into())),
            };
        }
        let found = find(name, Purpose::Run).map_err(|error| cannot_run(name, &error))?;
        refuse_foreign_program(name, &found)?;
        access(&found.path, Access::EXEC_OK).map_err(|error| cannot_run(name, &error.into()))?;
        Ok(Program { name: name.to_owned(), found: Some(found) })
    }

    /// It is run by the file that was found, which is looked up by no name again. What an interpreter reads that has to open it itself, a
    /// script, is run by the path without links by which it was found: nobody else can write to a directory of that.
    pub(super) fn command(&self) -> Command {
        let Some(found) = &self.found else { return Command::new(&self.name) };
        let mut command = Command::new(descriptor(found).unwrap_or_else(|| found.path.clone().into()));
        command.arg0(&self.name);
        command
    }

    pub(super) fn cannot_run(&self, error: &io::Error) -> Failure {
        cannot_run(&self.name, error)
    }
}

/// What stands for the file in this process and in the one that is to run it; none of what has an interpreter, and where there is no such
/// name.
fn descriptor(found: &Found) -> Option<OsString> {
    let mut head = [0; MACHINE_CODE.len()];
    // What cannot be read no interpreter could read.
    if found.file.read_exact_at(&mut head, 0).is_ok() && head != MACHINE_CODE {
        return None;
    }
    let descriptor = format!("/proc/self/fd/{}", found.file.as_raw_fd());
    Path::new(&descriptor).exists().then(|| descriptor.into())
}

/// As execvp(3) looks, where the path is set.
fn is_on_search_path(name: &Path) -> bool {
    let Some(directories) = env::var_os("PATH") else { return true };
    env::split_paths(&directories).any(|directory| access(directory.join(name), Access::EXEC_OK).is_ok())
}

fn cannot_run(name: &Path, error: &io::Error) -> Failure {
    let what = format!("the check could not be run: {}: {error}", Name::from(name));
    Failure::new(FailureKind::CheckFailed, what)
        .advise("A name with a slash is beside the file of the drill, any other on the search path.")
}

/// What an ELF file begins with (elf(5)).
const MACHINE_CODE: [u8; 4] = *b"\x7fELF";

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails by panicking.
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn found(path: &Path) -> Program {
        Program::find(path).unwrap_or_else(|failure| panic!("{}", failure.message))
    }

    /// Written by another process: nobody could run what one that was started meanwhile had open.
    fn write_script(path: &Path, line: &str) {
        let line = format!("printf '#!/bin/sh\n{line}\n' > '{0}' && chmod 755 '{0}'", path.display());
        assert!(Command::new("sh").arg("-c").arg(line).status().unwrap().success());
    }

    #[test]
    fn what_was_found_is_what_is_run_wherever_its_name_leads_by_then() {
        let place = tempfile::tempdir().unwrap();
        let link = place.path().join("true");
        let target = place.path().join("script");
        write_script(&target, "exit 0");
        write_script(&place.path().join("other"), "exit 1");
        for (meant, other) in [("/bin/true", "/bin/false"), ("script", "other")] {
            symlink(meant, &link).unwrap();
            let program = found(&link);
            fs::remove_file(&link).unwrap();
            symlink(other, &link).unwrap();
            assert!(program.command().status().unwrap().success(), "{meant}");
            assert!(!found(&link).command().status().unwrap().success(), "{other}");
            fs::remove_file(&link).unwrap();
        }
    }

    #[test]
    fn what_cannot_be_run_is_known_before_anything_is_restored() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("data"), "no program").unwrap();
        fs::create_dir(place.path().join("directory")).unwrap();
        symlink("loop", place.path().join("loop")).unwrap();
        let at = |name: &str| place.path().join(name);
        for name in [at("absent"), at("data"), at("directory"), at("loop"), "no-such-program-0".into()] {
            let refused = Program::find(&name).err().unwrap();
            assert_eq!(refused.exit_code(), 16, "{}", refused.message);
        }
        assert!(Program::find(Path::new("sh")).is_ok());
    }
}
