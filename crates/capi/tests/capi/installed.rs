//! The library as it is installed, and C programs built with it.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

/// The shared library that cargo has built beside this test.
pub(crate) fn library() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().join("libcofferdam_capi.so")
}

/// Where it has been installed.
pub(crate) fn prefix() -> &'static Path {
    static PREFIX: OnceLock<TempDir> = OnceLock::new();
    PREFIX
        .get_or_init(|| {
            let prefix = tempfile::tempdir().unwrap();
            install(prefix.path());
            prefix
        })
        .path()
}

fn install(prefix: &Path) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("install.sh");
    run(Command::new(script).arg(library()).arg(prefix));
}

/// How a program is built, and run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Checked {
    Plain,
    Valgrind,
    Asan,
}

/// The program that `source` is, in `directory`, ready to be given arguments.
pub(crate) fn program(source: &Path, directory: &Path, checked: Checked) -> Command {
    let output = directory.join(format!("{}-{checked:?}", source.file_stem().unwrap().display()));
    let pkg_config = Command::new("pkg-config")
        .args(["--cflags", "--libs", "cofferdam"])
        .env("PKG_CONFIG_PATH", prefix().join("lib/pkgconfig"))
        .output()
        .unwrap();
    assert!(pkg_config.status.success());
    let flags = String::from_utf8(pkg_config.stdout).unwrap();
    let mut cc = Command::new("cc");
    cc.args([
        "-std=c11",
        "-D_POSIX_C_SOURCE=200809L",
        "-O1",
        "-g",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-pthread",
    ]);
    if checked == Checked::Asan {
        cc.arg("-fsanitize=address");
    }
    run(cc.arg("-o").arg(&output).arg(source).args(flags.split_whitespace()));
    let mut command = match checked {
        Checked::Valgrind => {
            let mut valgrind = Command::new("valgrind");
            valgrind.args([
                "-q",
                "--error-exitcode=98",
                "--leak-check=full",
                "--errors-for-leak-kinds=definite",
            ]);
            // Instructions that this valgrind does not know are left out by the ciphers: AVX-512, VAES (`OPENSSL_ia32cap` of aws-lc).
            valgrind.env("OPENSSL_ia32cap", "~0x0:~0xffffffffffffffff").arg(&output);
            valgrind
        }
        Checked::Plain | Checked::Asan => Command::new(&output),
    };
    command.env("LD_LIBRARY_PATH", prefix().join("lib"));
    command
}

/// Runs a program that has to succeed; what it prints.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}: {errors}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// A server that has it mapped goes on with what it has.
#[test]
fn a_library_that_is_in_use_is_replaced_and_not_written_to() {
    let prefix = tempfile::tempdir().unwrap();
    install(prefix.path());
    let in_use = File::open(prefix.path().join("lib/libcofferdam.so")).unwrap();
    install(prefix.path());
    let installed = fs::metadata(prefix.path().join("lib/libcofferdam.so")).unwrap();
    assert_eq!(installed.mode() & 0o777, 0o755);
    assert_ne!(installed.ino(), in_use.metadata().unwrap().ino());
    // The library, two links to it, and the folder of pkg-config: nothing else is left.
    assert_eq!(fs::read_dir(prefix.path().join("lib")).unwrap().count(), 4);
}
