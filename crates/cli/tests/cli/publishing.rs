//! Files that are published on file systems that lack something, by runs that are killed on the way, and beside what is
//! another user's. strace stands in for the file systems, and kills.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Command, Stdio};

use crate::injected::{injected, injected_at};
use crate::place::{Place, Ran, plaintext, wait_until};
use crate::programs::has;

/// Runs the program with faults injected into its system calls.
fn injured(place: &Place, faults: &[&str], arguments: &[&str]) -> std::process::Output {
    injected(place, faults, arguments).output().unwrap()
}

fn mode(place: &Place, name: &str) -> u32 {
    fs::metadata(place.path(name)).unwrap().permissions().mode() & 0o777
}

/// Names that begin with a dot: what is beside targets.
fn beside(place: &Place) -> Vec<String> {
    place.names().into_iter().filter(|name| name.starts_with('.')).collect()
}

const RESTORE: [&str; 5] = ["restore", "-i", "key.txt", "sealed.cfd", "target"];

#[test]
fn where_modes_cannot_be_changed_the_target_is_published_with_a_warning() {
    if !has("strace") {
        return;
    }
    let place = Place::with_sealed(3);
    for arguments in [&RESTORE[..], &[&RESTORE[..], &["--force"]].concat()] {
        let ran = Ran::of(injured(&place, &["fchmod:error=EPERM"], arguments));
        ran.assert_done();
        assert!(ran.stderr.contains("does not change modes"), "{}", ran.stderr);
        assert_eq!(place.read("target"), place.read("plain"));
        assert!(beside(&place).is_empty());
    }
    let recipient = place.recipient.clone();
    let ran = Ran::of(injured(
        &place,
        &["fchmod:error=EPERM"],
        &["seal", "-r", &recipient, "-o", "again.cfd", "plain"],
    ));
    ran.assert_done();
    assert!(ran.stderr.contains("does not change modes"), "{}", ran.stderr);
}

#[test]
fn where_nothing_can_be_published_without_replacing_that_is_said_before_the_first_byte_and_force_works() {
    if !has("strace") {
        return;
    }
    let place = Place::with_sealed(3);
    let poor = ["renameat2:error=EINVAL", "linkat:error=EPERM"];
    for _ in 0..2 {
        // A source that cannot be read to its end: it is not begun with.
        let ran = Ran::of(injured(&place, &poor, &RESTORE));
        ran.assert_failed(1, "--force");
        assert!(beside(&place).is_empty(), "{:?}", beside(&place));
        assert!(!place.path("target").exists());
    }
    Ran::of(injured(&place, &poor, &[&RESTORE[..], &["--force"]].concat())).assert_done();
    assert_eq!(place.read("target"), place.read("plain"));
}

#[test]
fn a_restart_after_a_kill_between_rename_and_tidying_up_finds_the_target_done() {
    if !has("strace") {
        return;
    }
    // Of the staging file, the journal and the directory before the rename; of the target and the directory after it.
    for sync in [4, 5] {
        let place = Place::with_sealed(3);
        let kill = format!("fsync:signal=SIGKILL:when={sync}");
        assert!(!injured(&place, &[&kill], &RESTORE).status.success());
        assert_eq!(place.read("target"), place.read("plain"));
        assert_eq!(beside(&place), [".target.cofferdam-journal"]);
        let ran = place.run([&RESTORE[..], &["--restart"]].concat());
        ran.assert_done();
        assert_eq!(place.read("target"), place.read("plain"));
        assert!(beside(&place).is_empty());
        // Now it is a target like any other.
        place.run([&RESTORE[..], &["--restart"]].concat()).assert_failed(6, "exists");
    }
}

#[test]
fn killed_before_the_rename_the_staging_file_is_its_owners_alone_and_killed_after_it_the_next_run_gives_the_mode()
 {
    if !has("strace") {
        return;
    }
    let place = Place::with_sealed(3);
    assert!(!injured(&place, &["/^rename:signal=SIGKILL:when=2"], &RESTORE).status.success());
    assert_eq!(beside(&place), [".target.cofferdam-journal", ".target.cofferdam-staging"]);
    assert_eq!(mode(&place, ".target.cofferdam-staging"), 0o600);
    // The first one finds out whether there are modes.
    assert!(!injured(&place, &["fchmod:signal=SIGKILL:when=2"], &RESTORE).status.success());
    assert_eq!(beside(&place), [".target.cofferdam-journal"]);
    assert_eq!(mode(&place, "target"), 0o600);
    place.run(RESTORE).assert_done();
    fs::write(place.path("ordinary"), b"").unwrap();
    assert_eq!(mode(&place, "target"), mode(&place, "ordinary"));
    assert!(beside(&place).is_empty());
}

#[test]
fn a_keygen_that_is_killed_anywhere_is_not_in_the_way_of_the_next() {
    if !has("strace") {
        return;
    }
    let place = Place::new();
    let kills = [
        ("flock", 1),
        ("pwrite64", 1),
        ("ftruncate", 1),
        ("fsync", 1),
        ("/^rename", 1),
        ("/^rename", 2),
        ("fsync", 2),
        ("fsync", 3),
    ];
    for (number, (call, count)) in kills.into_iter().enumerate() {
        let name = format!("new-{number}.txt");
        let kill = format!("{call}:signal=SIGKILL:when={count}");
        assert!(!injured(&place, &[&kill], &["keygen", "-o", &name]).status.success(), "{kill}");
        let found = fs::read_to_string(place.path(&name)).ok();
        let again = place.run(["keygen", "-o", &name]);
        match &found {
            // It appears whole, and is never replaced.
            Some(key) => {
                assert!(key.contains("AGE-SECRET-KEY-1"), "{kill}: {key:?}");
                again.assert_failed(6, "exists");
                assert_eq!(fs::read_to_string(place.path(&name)).unwrap(), *key);
            }
            None => again.assert_done(),
        }
        assert_eq!(found.is_some(), call == "fsync" && count > 1, "{kill}");
        assert_eq!(mode(&place, &name), 0o600);
        assert!(beside(&place).is_empty(), "{kill}: {:?}", beside(&place));
    }
}

#[test]
fn a_seal_that_is_killed_between_link_and_unlink_leaves_one_name_after_the_next() {
    if !has("strace") {
        return;
    }
    let place = Place::new();
    fs::write(place.path("plain"), plaintext(50_000)).unwrap();
    let recipient = place.recipient.clone();
    let seal = ["seal", "-r", &recipient, "-o", "out.cfd", "plain"];
    // Two names of the try go first.
    let faults = ["renameat2:error=EINVAL", "unlinkat:signal=SIGKILL:when=3"];
    assert!(!injured(&place, &faults, &seal).status.success());
    assert_eq!(fs::metadata(place.path("out.cfd")).unwrap().nlink(), 2);
    assert_eq!(beside(&place), [".out.cfd.cofferdam-staging"]);
    place.run(seal).assert_failed(6, "out.cfd");
    assert!(beside(&place).is_empty());
    place.run(["verify", "-i", "key.txt", "out.cfd"]).assert_done();
}

#[test]
fn what_another_user_has_put_beside_the_target_is_refused_by_name_and_replaced_by_a_restart() {
    if !has("strace") {
        return;
    }
    if !rustix::process::geteuid().is_root() {
        return; // Only root can make the files of another user that this is about.
    }
    let place = Place::with_sealed(20);
    assert!(!injured(&place, &["/^rename:signal=SIGKILL:when=2"], &RESTORE).status.success());
    for name in [".target.cofferdam-staging", ".target.cofferdam-journal"] {
        std::os::unix::fs::chown(place.path(name), Some(65_534), None).unwrap();
        let ran = place.run(RESTORE);
        ran.assert_failed(8, name);
        assert!(ran.stderr.contains("user 65534") && ran.stderr.contains("--restart"), "{}", ran.stderr);
        assert!(!place.path("target").exists());
    }
    place.run([&RESTORE[..], &["--restart"]].concat()).assert_done();
    assert_eq!(fs::metadata(place.path("target")).unwrap().uid(), 0);
    assert_eq!(place.read("target"), place.read("plain"));
    assert!(beside(&place).is_empty());
}

#[test]
fn a_second_signal_while_the_target_is_put_in_place_does_not_say_that_it_is_as_it_was() {
    if !has("strace") {
        return;
    }
    let place = Place::with_sealed(3);
    let mut command = Command::new("strace");
    // The first sync after the rename takes longer than any machine is busy: the second signal ends it.
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", "inject=fsync:delay_enter=30000000:when=4", "--"]);
    command.arg(env!("CARGO_BIN_EXE_cofferdam")).args(RESTORE).current_dir(place.directory.path());
    let mut strace = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("the rename", || place.path("target").exists());
    let children = format!("/proc/{0}/task/{0}/children", strace.id());
    let program = fs::read_to_string(children).unwrap().trim().parse().unwrap();
    let program = rustix::process::Pid::from_raw(program).unwrap();
    wait_until("the end of the program", || {
        // Two that come at once are one.
        let _ = rustix::process::kill_process(program, rustix::process::Signal::INT);
        strace.try_wait().unwrap().is_some()
    });
    let ran = Ran::of(strace.wait_with_output().unwrap());
    ran.assert_failed(10, "the old one or the new one");
    assert!(!ran.stderr.contains("as it was"), "{}", ran.stderr);
    place.run(RESTORE).assert_done();
    assert_eq!(place.read("target"), place.read("plain"));
    assert!(beside(&place).is_empty());
}

/// What is tried before the first byte is this program's own, and no reason to leave a name behind.
#[test]
fn a_try_that_fails_leaves_nothing_beside_the_output() {
    if !has("strace") {
        return;
    }
    let place = Place::new();
    fs::write(place.path("plain"), plaintext(100)).unwrap();
    let arguments = ["seal", "-r", &place.recipient, "plain", "-o", "x.cfd"];
    let probe = [".x.cfd.cofferdam-probe2"];
    let ran = injected_at(&place, &probe, &["newfstatat:error=EIO:when=1"], &arguments).output().unwrap();
    Ran::of(ran).assert_failed(1, "Input/output error");
    assert_eq!(beside(&place), [""; 0]);
    place.run(arguments).assert_done();
}
