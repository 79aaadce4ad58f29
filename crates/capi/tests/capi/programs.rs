//! The examples, and a program of misuses, each as it is, under valgrind and with ASan.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use cofferdam::{Identity, Recipients};

use crate::installed::{Checked, program, run};

const CHECKED: [Checked; 3] = [Checked::Plain, Checked::Valgrind, Checked::Asan];

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn noise(len: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(7);
    std::iter::repeat_with(|| random.u8(..)).take(len).collect()
}

#[test]
fn a_program_built_from_the_installed_header_seals_a_file_and_restores_it() {
    for checked in CHECKED {
        let directory = tempfile::tempdir().unwrap();
        let [input, sealed, restored] =
            ["input", "sealed", "restored"].map(|name| directory.path().join(name));
        let bytes = noise(300_000);
        fs::write(&input, &bytes).unwrap();
        let mut program = program(&source("examples/seal_and_restore.c"), directory.path(), checked);
        let said = run(program.args([&input, &sealed, &restored]));
        assert_eq!(said, "300000 bytes restored\n", "{checked:?}");
        assert!(fs::read(&restored).unwrap() == bytes);
        // The second run is refused: nothing is replaced that nobody asked to replace.
        let again = program.output().unwrap();
        assert_eq!(again.status.code(), Some(6), "{checked:?}");
        assert!(fs::read(&restored).unwrap() == bytes);
    }
}

#[test]
fn rows_that_are_pushed_come_out_of_a_sink_of_the_programs_own() {
    for checked in CHECKED {
        let directory = tempfile::tempdir().unwrap();
        let mut program = program(&source("examples/sink.c"), directory.path(), checked);
        let said = run(program.arg(directory.path().join("sealed")));
        assert_eq!(said, "100000 rows, released 1 time\n", "{checked:?}");
    }
}

#[test]
fn a_reader_gives_bytes_of_the_middle_of_what_rust_has_sealed() {
    let directory = tempfile::tempdir().unwrap();
    let [input, sealed] = ["input", "sealed"].map(|name| directory.path().join(name));
    let bytes = noise(3 << 20);
    fs::write(&input, &bytes).unwrap();
    let identity = Identity::generate();
    let recipients = Recipients::new().parse(&identity.recipient()).unwrap();
    cofferdam::seal(&input, &sealed, recipients).unwrap();
    for checked in CHECKED {
        let mut program = program(&source("examples/reader.c"), directory.path(), checked);
        program.arg(&sealed).args(["1048570", "4096"]);
        let mut running = program.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let text = identity.file_text("").unwrap();
        running.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = running.wait_with_output().unwrap();
        assert!(output.status.success(), "{checked:?}: {}", output.status);
        assert!(output.stdout == bytes[1_048_570..1_048_570 + 4096]);
    }
}

#[test]
fn a_directory_is_sealed_listed_read_and_restored() {
    // Not under valgrind: openat2(2), without which no tree is read or written, is a system call that Debian 12's does not know.
    for checked in [Checked::Plain, Checked::Asan] {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::create_dir_all(path("tree/sub")).unwrap();
        fs::write(path("tree/sub/note"), "of a tree\n").unwrap();
        fs::hard_link(path("tree/sub/note"), path("tree/other")).unwrap();
        symlink("sub/note", path("tree/link")).unwrap();
        for (name, mode) in [("tree", 0o755), ("tree/sub", 0o700), ("tree/sub/note", 0o640)] {
            fs::set_permissions(path(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        let mut program = program(&source("examples/tree.c"), directory.path(), checked);
        program.args([path("tree"), path("sealed"), path("state")]).arg("sub/note").arg(path("restored"));
        let said = run(&mut program);
        // The first of two names is the file, the other one its link.
        let listed = "5 0755 0 .\n2 0777 0 link -> sub/note\n0 0640 10 other\n5 0700 0 sub\n1 0640 10 sub/note -> other\n";
        assert_eq!(said, format!("{listed}of a tree\n5 entries restored\n"), "{checked:?}");
        assert_eq!(fs::read(path("restored/other")).unwrap(), b"of a tree\n");
        assert_eq!(fs::read_link(path("restored/link")).unwrap(), Path::new("sub/note"));
        let ino = |name: &str| fs::metadata(path(name)).unwrap().ino();
        assert_eq!(ino("restored/sub/note"), ino("restored/other"));
        // The plan named the files in clear.
        assert_eq!(files_below(&path("state")), 0);
        // The second run is refused: nothing is replaced that nobody asked to replace.
        assert_eq!(program.output().unwrap().status.code(), Some(6), "{checked:?}");
    }
}

fn files_below(directory: &Path) -> usize {
    let entries = fs::read_dir(directory).unwrap().map(Result::unwrap);
    entries.map(|entry| if entry.path().is_dir() { files_below(&entry.path()) } else { 1 }).sum()
}

/// What it checks is in the program: it ends with the line of the first check that fails.
#[test]
fn misuse_failing_callbacks_forks_and_cancellation_are_errors() {
    for checked in CHECKED {
        let directory = tempfile::tempdir().unwrap();
        let mut program = program(&source("tests/capi/misuse.c"), directory.path(), checked);
        assert_eq!(run(program.arg(directory.path())), "all checks passed\n", "{checked:?}");
    }
}

/// The same, of what comes at the edges of a call.
#[test]
fn too_little_memory_gone_readers_forks_beside_streams_and_calls_in_callbacks_do_no_harm() {
    for checked in CHECKED {
        let directory = tempfile::tempdir().unwrap();
        let mut program = program(&source("tests/capi/edges.c"), directory.path(), checked);
        assert_eq!(run(program.arg(directory.path())), "all checks passed\n", "{checked:?}");
    }
}

#[test]
fn the_program_of_the_operations_manual_restores_and_its_status_is_the_commands_exit_code() {
    let manual = fs::read_to_string(source("../../docs/OPERATIONS.md")).unwrap();
    let text = manual.split("```c\n").nth(1).unwrap().split("```").next().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let [code, input, sealed, keys, target] =
        ["restore.c", "input", "sealed", "keys", "target"].map(|name| directory.path().join(name));
    fs::write(&code, text).unwrap();
    let bytes = noise(300_000);
    fs::write(&input, &bytes).unwrap();
    let identity = Identity::generate();
    cofferdam::seal(&input, &sealed, Recipients::new().parse(&identity.recipient()).unwrap()).unwrap();
    fs::write(&keys, identity.file_text("").unwrap().as_bytes()).unwrap();
    let mut program = program(&code, directory.path(), Checked::Plain);
    assert_eq!(run(program.args([&keys, &sealed, &target])), "300000 bytes, every one verified\n");
    assert!(fs::read(&target).unwrap() == bytes);
    fs::remove_file(&target).unwrap();
    let mut damaged = fs::read(&sealed).unwrap();
    damaged[150_000] ^= 1;
    fs::write(&sealed, damaged).unwrap();
    assert_eq!(program.output().unwrap().status.code(), Some(3));
    assert!(!target.exists());
}
