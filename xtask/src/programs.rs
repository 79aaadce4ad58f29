//! Owns the programs that the tests call, and their installation on a machine that lacks them.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use servers::installed::find_on_path;

use crate::server_programs;

/// A program that tests call, or a header that they compile against, and the Debian package that has it.
struct Program {
    /// What is looked for on the search path, or a path.
    name: &'static str,
    package: &'static str,
    purpose: &'static str,
}

const PROGRAMS: [Program; 35] = [
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
    Program { name: "promtool", package: "prometheus", purpose: "the tests have it read what they count" },
    Program { name: "nginx", package: "nginx", purpose: "the tests restore from a server of their own" },
    Program { name: "sqlite3", package: "sqlite3", purpose: "the tests restore databases that it checks" },
    Program { name: "openssl", package: "openssl", purpose: "the tests have it wrap the keys of streams" },
    Program { name: "pass", package: "pass", purpose: "the tests take identities from it" },
    Program { name: "gpg", package: "gnupg", purpose: "`pass` keeps them with it" },
    Program { name: "curl", package: "curl", purpose: "the tests read what is served by HTTP" },
    Program { name: "qemu-img", package: "qemu-utils", purpose: "the tests read what is served by NBD" },
    Program { name: "nbdcopy", package: "libnbd-bin", purpose: "the tests read what is served by NBD" },
    Program {
        name: "nbdkit",
        package: "nbdkit",
        purpose: "the tests read a file of a file system that is served by NBD",
    },
    Program {
        name: "ssh-keygen",
        package: "openssh-client",
        purpose: "the tests sign and verify with it, and with its agent",
    },
    Program {
        name: "bsdtar",
        package: "libarchive-tools",
        purpose: "the tests have it read and write trees",
    },
    Program { name: "rsync", package: "rsync", purpose: "the tests compare trees with it" },
    Program { name: "mke2fs", package: "e2fsprogs", purpose: "the tests make that file system" },
    Program { name: "cc", package: "gcc", purpose: "the tests build programs in C" },
    Program { name: "pkg-config", package: "pkgconf", purpose: "programs in C find the library by it" },
    Program { name: "valgrind", package: "valgrind", purpose: "the tests run those programs under it" },
    Program { name: "nm", package: "binutils", purpose: "the tests list what the library exports" },
    Program { name: "make", package: "make", purpose: "the tests build the examples in C" },
    Program {
        name: "pg_buildext",
        package: "postgresql-server-dev-all",
        purpose: "the tests build a module of PostgreSQL",
    },
    Program { name: "mdb_dump", package: "lmdb-utils", purpose: "the tests compare what it shows" },
    Program {
        name: "fusermount3",
        package: "fuse3",
        purpose: "the tests mount a stream as a user other than root",
    },
    Program {
        name: "lowntfs-3g",
        package: "ntfs-3g",
        purpose: "the tests restore to a file system that does not tell upper from lower case",
    },
    Program {
        name: "fuse-overlayfs",
        package: "fuse-overlayfs",
        purpose: "the tests restore to a file system of FUSE",
    },
    Program { name: "setpriv", package: "util-linux", purpose: "the tests are that user by it" },
    Program { name: "c++", package: "g++", purpose: "the tests build the example in C++" },
    Program { name: "ldb", package: "rocksdb-tools", purpose: "the tests read a mounted database with it" },
    Program {
        name: "/usr/include/rocksdb/db.h",
        package: "librocksdb-dev",
        purpose: "the example in C++ uses it",
    },
    Program { name: "/usr/include/lmdb.h", package: "liblmdb-dev", purpose: "an example in C uses it" },
    Program { name: "/usr/include/sqlite3.h", package: "libsqlite3-dev", purpose: "an example in C uses it" },
    Program {
        name: "/usr/lib/python3/dist-packages/yaml/__init__.py",
        package: "python3-yaml",
        purpose: "the tests read a manifest with it",
    },
    Program {
        name: "/usr/lib/python3/dist-packages/jsonschema/__init__.py",
        package: "python3-jsonschema",
        purpose: "the tests check that manifest with it",
    },
];

/// Whether all programs are here: those of Debian, and those of servers that it does not have.
///
/// # Errors
/// Names those that are not, and how to get them.
pub(crate) fn check() -> Result<(), String> {
    let (programs, servers) = (missing(), server_programs::missing());
    if programs.is_empty() && servers.is_empty() {
        return Ok(());
    }
    let mut lines: Vec<String> = programs.iter().map(|it| format!("  {}: {}", it.name, it.purpose)).collect();
    lines.extend(servers.iter().map(|server| format!("  {}", server.line())));
    let mut commands = Vec::new();
    let packages = packages();
    if !packages.is_empty() {
        commands.push(format!("  apt-get install {}", packages.join(" ")));
    }
    commands.extend(servers.iter().map(|server| format!("  {}", server.by_hand())));
    Err(format!(
        "these programs are missing:\n{}\n`cargo xtask setup` installs them, as root where Debian has them; by hand, on \
         Debian or Ubuntu:\n{}",
        lines.join("\n"),
        commands.join("\n")
    ))
}

/// Installs the programs that are not here. Does nothing where all are.
///
/// # Errors
/// Names what to install where there is no `apt-get` or no right to use it, and what failed where it fails.
pub(crate) fn install_missing() -> Result<(), String> {
    let packages = packages();
    if !packages.is_empty() {
        if !is_on_path("apt-get") || !is_root() {
            return check();
        }
        println!("== installing {}", packages.join(", "));
        apt_get(&["update", "-q"])?;
        apt_get(&[&["install", "-q", "-y", "--no-install-recommends"][..], &packages].concat())?;
    }
    server_programs::missing().into_iter().try_for_each(|server| server.install())?;
    check()
}

fn missing() -> Vec<&'static Program> {
    PROGRAMS.iter().filter(|program| !is_installed(program.name)).collect()
}

/// The Debian packages that have what is missing, and what installs the rest.
fn packages() -> Vec<&'static str> {
    let mut packages: BTreeSet<_> = missing().iter().map(|program| program.package).collect();
    packages.extend(server_programs::missing().iter().flat_map(|server| server.debian_packages()));
    packages.into_iter().collect()
}

/// On the search path, where servers are, or where Debian keeps PostgreSQL's, a folder a version.
fn is_installed(name: &str) -> bool {
    let mut versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    if name.starts_with('/') {
        return Path::new(name).is_file();
    }
    find_on_path(name).is_some() || versions.any(|version| is_program(&version.path().join("bin").join(name)))
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
