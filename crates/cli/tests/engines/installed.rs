//! The C library as it is installed, and the programs of `examples/` built with what is installed alone.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};

use tempfile::TempDir;

use crate::programs::skipped;

/// A prefix with the library, its header and what pkg-config reads. One for all tests.
pub(crate) struct Installed {
    prefix: TempDir,
    /// One program is built after another.
    building: Mutex<()>,
}

impl Installed {
    /// None where the C library has not been built.
    pub(crate) fn shared() -> Option<&'static Installed> {
        static INSTALLED: OnceLock<Option<Installed>> = OnceLock::new();
        let installed = INSTALLED.get_or_init(|| {
            let built = built()?;
            let prefix = tempfile::tempdir().unwrap();
            install(prefix.path(), &built);
            Some(Installed { prefix, building: Mutex::new(()) })
        });
        if installed.is_none() {
            skipped("no C library here; `cargo test --workspace` builds it");
        }
        installed.as_ref()
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

/// As `cargo cinstall` does it, of what cargo has built beside this test.
fn install(prefix: &Path, built: &Path) {
    let (include, library) = (prefix.join("include"), prefix.join("lib"));
    for folder in [&include, &library.join("pkgconfig")] {
        fs::create_dir_all(folder).unwrap();
    }
    fs::copy(sources().join("crates/capi/include/cofferdam.h"), include.join("cofferdam.h")).unwrap();
    fs::copy(built, library.join("libcofferdam.so.0")).unwrap();
    symlink("libcofferdam.so.0", library.join("libcofferdam.so")).unwrap();
    let package = format!(
        "Name: cofferdam\nDescription: Sealed streams\nVersion: 0.1.0\nLibs: -L{} -lcofferdam\nCflags: -I{}\n",
        library.display(),
        include.display()
    );
    fs::write(library.join("pkgconfig/cofferdam.pc"), package).unwrap();
    // The server's user reads what is here.
    fs::set_permissions(prefix, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Where cargo has put the shared library of `crates/capi`.
fn built() -> Option<PathBuf> {
    let folder = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    Some(folder.join("libcofferdam_capi.so")).filter(|path| path.is_file())
}

fn sources() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
