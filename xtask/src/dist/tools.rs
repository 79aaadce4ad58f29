//! Owns the programs that `cargo xtask dist` needs: cargo's and Python's, which it installs into `target`, and Debian's, which it names.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::succeed;
use crate::{programs, python, steps};

/// Of cargo, in these versions.
const CARGO_TOOLS: [(&str, &str); 3] =
    [("cargo-auditable", "0.7.7"), ("cargo-cyclonedx", "0.5.9"), ("cargo-deb", "3.8.0")];

/// What builds: a program, and the Debian package that has it.
pub(super) const TO_BUILD: [(&str, &str); 3] =
    [("git", "git"), ("dpkg-shlibdeps", "dpkg-dev"), ("musl-gcc", "musl-tools")];

/// What the products are installed and tried with.
pub(super) const TO_TRY: [(&str, &str); 5] = [
    ("mmdebstrap", "mmdebstrap"),
    ("chroot", "coreutils"),
    ("unshare", "util-linux"),
    ("pkg-config", "pkgconf"),
    ("cc", "gcc"),
];

/// # Errors
/// Names those of `programs` that are missing, and how to get them.
pub(super) fn check(programs: &[(&str, &str)]) -> Result<(), String> {
    let missing = programs.iter().filter(|(name, _)| !programs::is_on_path(name));
    let packages: Vec<&str> = missing.map(|(_, package)| *package).collect();
    if packages.is_empty() {
        return Ok(());
    }
    Err(format!("programs are missing; as root, on Debian or Ubuntu: apt-get install {}", packages.join(" ")))
}

/// What is installed in `target/tools` and `target/python/tools`.
pub(super) struct Tools {
    /// In front of the search path.
    cargo_tools: PathBuf,
    pub(super) python_tools: PathBuf,
}

impl Tools {
    /// Installs what is not there in its version: some minutes, once.
    ///
    /// # Errors
    /// What cargo or pip say.
    pub(super) fn installed(root: &Path) -> Result<Tools, String> {
        let to = root.join("target/tools");
        for (name, version) in CARGO_TOOLS {
            // Says so, and does nothing, where it is installed. They do little: what they take to build is what counts.
            let mut cargo = steps::cargo(root);
            cargo
                .args(["install", "--quiet", "--locked", "--debug", name, "--version", version, "--root"])
                .arg(&to);
            cargo.env("CARGO_TARGET_DIR", to.join("build"));
            succeed(&mut cargo)?;
        }
        Ok(Tools { cargo_tools: to.join("bin"), python_tools: python::tools(root)? })
    }

    /// Lets `command` find them.
    pub(super) fn lend(&self, command: &mut Command) -> Result<(), String> {
        let path = env::var_os("PATH").unwrap_or_default();
        let folders = [self.cargo_tools.clone(), self.python_tools.join("bin")];
        let path = env::join_paths(folders.into_iter().chain(env::split_paths(&path)));
        command.env("PATH", path.map_err(|error| error.to_string())?).env("PYTHONPATH", &self.python_tools);
        Ok(())
    }
}

/// Where cargo keeps the crates.
pub(super) fn cargo_home() -> Result<PathBuf, String> {
    let in_home = || env::home_dir().map(|home| home.join(".cargo"));
    env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(in_home)
        .ok_or_else(|| "CARGO_HOME is not known".into())
}
