//! The C library as it is installed, and the programs of `examples/` built with what is installed alone.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};

use tempfile::TempDir;

/// A prefix with the library, its header and what pkg-config reads. One for all tests.
pub(crate) struct Installed {
    prefix: TempDir,
    /// One program is built after another.
    building: Mutex<()>,
}

impl Installed {
    pub(crate) fn shared() -> &'static Installed {
        static INSTALLED: OnceLock<Installed> = OnceLock::new();
        INSTALLED.get_or_init(|| {
            let prefix = tempfile::tempdir().unwrap();
            install(prefix.path(), &built());
            Installed { prefix, building: Mutex::new(()) }
        })
    }

    /// The folder with the shared library.
    pub(crate) fn library(&self) -> PathBuf {
        self.prefix.path().join("lib")
    }

    /// PostgreSQL's module, for the server whose programs are in `programs`.
    pub(crate) fn archive_module(&self, programs: &Path) -> PathBuf {
        self.build("archive-module", "cofferdam_archive.so", Some(&programs.join("pg_config")))
    }

    /// A program of `examples/`.
    pub(crate) fn program(&self, example: &str, name: &str) -> PathBuf {
        self.build(example, name, None)
    }

    /// Makes a copy of the example, so that nothing is built in the sources.
    fn build(&self, example: &str, name: &str, pg_config: Option<&Path>) -> PathBuf {
        let _building = self.building.lock();
        let folder = self.prefix.path().join(example);
        if !folder.join(name).exists() {
            copy(&sources().join("examples").join(example), &folder);
            let mut make = Command::new("make");
            make.arg(name).current_dir(&folder).env("PKG_CONFIG_PATH", self.library().join("pkgconfig"));
            make.arg(format!("LDFLAGS=-Wl,-rpath,{}", self.library().display()));
            make.args(pg_config.map(|program| format!("PG_CONFIG={}", program.display())));
            let output = make.output().unwrap();
            assert!(output.status.success(), "{example}: {}", String::from_utf8_lossy(&output.stderr));
        }
        folder.join(name)
    }
}

/// Copies a file or a folder.
pub(crate) fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-R").arg(from).arg(to).status().unwrap().success());
}

/// As whoever has no cargo-c does it.
fn install(prefix: &Path, built: &Path) {
    let script = sources().join("crates/capi/install.sh");
    assert!(Command::new(script).arg(built).arg(prefix).status().unwrap().success());
    // The server's user reads what is here.
    fs::set_permissions(prefix, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Where cargo has put the shared library of `crates/capi`, which these tests depend on.
fn built() -> PathBuf {
    let path = std::env::current_exe().unwrap().parent().unwrap().join("libcofferdam_capi.so");
    assert!(path.is_file(), "no {}", path.display());
    path
}

fn sources() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
