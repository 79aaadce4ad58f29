//! Owns the programs that the tests call, and their installation on a machine that lacks them.

use std::path::Path;
use std::process::Command;

/// A program that tests call, and the Debian package that has it.
struct Program {
    name: &'static str,
    package: &'static str,
    purpose: &'static str,
}

const PROGRAMS: [Program; 3] = [
    Program { name: "age", package: "age", purpose: "the tests open and make age files with it" },
    Program {
        name: "strace",
        package: "strace",
        purpose: "the tests stop the program at each system call with it",
    },
    Program {
        name: "initdb",
        package: "postgresql",
        purpose: "the tests restore into a server of their own",
    },
];

/// Whether all programs are on the search path.
///
/// # Errors
/// Names those that are not, and how to get them.
pub(crate) fn check() -> Result<(), String> {
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = missing.iter().map(|p| format!("  {}: {}", p.name, p.purpose)).collect();
    let packages = packages(&missing).join(" ");
    let advice = format!(
        "`cargo xtask setup` installs them as root; by hand, on Debian or Ubuntu: apt-get install {packages}"
    );
    Err(format!("these programs are missing:\n{}\n{advice}", lines.join("\n")))
}

/// Installs the programs that are not on the search path. Does nothing where all are there.
///
/// # Errors
/// Names what to install where there is no `apt-get` or no right to use it, and what failed where it fails.
pub(crate) fn install_missing() -> Result<(), String> {
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    if !is_on_path("apt-get") || !is_root() {
        return check();
    }
    let packages = packages(&missing);
    println!("== installing {}", packages.join(", "));
    apt_get(&["update", "-q"])?;
    apt_get(&[&["install", "-q", "-y", "--no-install-recommends"][..], &packages].concat())?;
    match missing.iter().find(|program| !is_installed(program.name)) {
        Some(program) => {
            Err(format!("{} is still missing after apt-get installed {}", program.name, program.package))
        }
        None => Ok(()),
    }
}

fn missing() -> Vec<&'static Program> {
    PROGRAMS.iter().filter(|program| !is_installed(program.name)).collect()
}

fn packages(programs: &[&Program]) -> Vec<&'static str> {
    programs.iter().map(|program| program.package).collect()
}

/// On the search path, or where Debian keeps PostgreSQL's servers, a folder a version.
fn is_installed(name: &str) -> bool {
    let mut versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    is_on_path(name) || versions.any(|version| is_program(&version.path().join("bin").join(name)))
}

/// Whether the search path has a program of this name.
pub(crate) fn is_on_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| is_program(&folder.join(name)))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

fn apt_get(arguments: &[&str]) -> Result<(), String> {
    let status = Command::new("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive").status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("apt-get {} ended with {status}", arguments.join(" "))),
        Err(error) => Err(format!("cannot start apt-get: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_by_its_name_alone() {
        assert!(is_on_path("sh"));
        assert!(!is_on_path("no-such-program-anywhere"));
    }
}
