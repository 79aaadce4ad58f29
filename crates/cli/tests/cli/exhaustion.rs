//! A machine that gives too little: memory, threads, stack, random numbers. Whatever is missing, the command ends with a
//! documented exit code and words, and the same command does its work once there is enough.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use crate::injected::injected;
use crate::place::{Place, Ran, SMALL, plaintext};
use crate::programs::has;

/// Longer than a run, so that the stream needs threads, buffers of a full length, and several of them.
const LEN: usize = 3 << 20;

/// What is run, under a name: the file that it makes comes last.
fn commands(place: &Place) -> [Vec<&str>; 4] {
    [
        vec!["keygen", "-o", "made"],
        vec!["seal", "--threads", "2", "-r", &place.recipient, "plain", "-o", "made"],
        vec!["restore", "--threads", "2", "-i", "key.txt", "sealed.cfd", "made"],
        vec!["verify", "--threads", "2", "-i", "key.txt", "sealed.cfd"],
    ]
}

/// With `plain` and `sealed.cfd`, in frames and segments of the default length.
fn place() -> Place {
    let place = Place::new();
    fs::write(place.path("plain"), plaintext(LEN)).unwrap();
    place.run(["seal", "-r", &place.recipient, "plain", "-o", "sealed.cfd"]).assert_done();
    place
}

/// Runs the program under limits as `prlimit` takes them.
fn limited(place: &Place, limits: &[&str], arguments: &[&str]) -> Option<Ran> {
    let mut command = Command::new("prlimit");
    command.args(limits).arg(env!("CARGO_BIN_EXE_cofferdam")).args(arguments);
    run(place, command)
}

/// `None`: the system ended it, before the program was loaded.
fn run(place: &Place, mut command: Command) -> Option<Ran> {
    // Where memory ends in the middle of a backtrace, Rust's runtime waits for a lock of its own, for ever.
    let child = command
        .env_remove("RUST_BACKTRACE")
        .current_dir(place.directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let output = child.wait_with_output().unwrap();
    output.status.code()?;
    let ran = Ran::of(output);
    // What the dynamic linker says.
    (ran.code != 127).then_some(ran)
}

/// Whether it has done its work. If not, it has said why, and left nothing by the name it was to make.
fn is_done(place: &Place, what: &str, ran: &Ran) -> bool {
    let made = place.path("made");
    match ran.code {
        0 => drop(fs::remove_file(made)),
        1 => {
            assert!(!ran.stderr.trim().is_empty(), "{what}: no word");
            assert!(!made.exists(), "{what}: {}", ran.stderr);
        }
        code => panic!("{what}: exit code {code}, {}", ran.stderr),
    }
    ran.code == 0
}

#[test]
fn with_any_limit_on_memory_a_command_does_its_work_or_says_that_there_is_too_little() {
    const STEP_KIB: usize = 128;
    const MOST_KIB: usize = 4 << 20;
    let place = place();
    let under =
        |kib: usize, arguments: &[&str]| limited(&place, &[&format!("--as={}", kib * 1024)], arguments);
    let says_its_version = |kib: &usize| under(*kib, &["--version"]).is_some_and(|ran| ran.code == 0);
    // Below that the dynamic linker, or the runtime before it calls the program, has too little already.
    let least = (STEP_KIB..MOST_KIB).step_by(STEP_KIB).find(says_its_version).unwrap() + STEP_KIB;
    for arguments in commands(&place) {
        let mut refused = 0;
        for kib in (least..MOST_KIB).step_by(STEP_KIB) {
            let what = format!("{arguments:?} in {kib} KiB");
            let ran = under(kib, &arguments).unwrap_or_else(|| panic!("{what}: ended by the system"));
            if is_done(&place, &what, &ran) {
                break;
            }
            refused += 1;
        }
        assert!(refused > 0 || arguments[0] == "keygen", "{arguments:?}: no limit was too low");
        place.run(&arguments).assert_done();
        let _ = fs::remove_file(place.path("made"));
    }
}

#[test]
fn with_any_limit_on_the_stack_a_command_does_its_work_or_says_that_it_is_too_small() {
    let place = place();
    let mut refused = 0;
    for kib in [24, 32, 48, 64, 96, 128, 256, 1024] {
        for arguments in commands(&place) {
            let what = format!("{arguments:?} on {kib} KiB of stack");
            // On some processors what a signal saves is longer than the least of these.
            let Some(ran) = limited(&place, &[&format!("--stack={}", kib * 1024)], &arguments) else {
                assert!(kib < 64, "{what}: ended by the system");
                continue;
            };
            if !is_done(&place, &what, &ran) {
                refused += 1;
                assert!(kib < 1024 && ran.stderr.contains("stack"), "{what}: {}", ran.stderr);
            }
        }
    }
    assert!(refused > 0, "no stack was too small");
}

/// Root is under no such limit: there it is another user, who has no processes.
#[test]
fn where_no_thread_is_to_be_had_a_command_says_so() {
    let place = place();
    let as_another = |arguments: &[&str]| {
        let mut command = Command::new("prlimit");
        command.arg("--nproc=1");
        if rustix::process::geteuid().is_root() {
            command.args(["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups"]);
        }
        command.arg(env!("CARGO_BIN_EXE_cofferdam")).args(arguments);
        run(&place, command).unwrap()
    };
    fs::set_permissions(place.directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
    fs::set_permissions(place.path("key.txt"), fs::Permissions::from_mode(0o644)).unwrap();
    for name in ["plain", "sealed.cfd"] {
        fs::set_permissions(place.path(name), fs::Permissions::from_mode(0o644)).unwrap();
    }
    for arguments in &commands(&place)[1..] {
        let ran = as_another(arguments);
        assert!(!is_done(&place, &format!("{arguments:?}"), &ran), "{arguments:?} had its threads");
        ran.assert_failed(1, "thread");
    }
    as_another(&["receive", "--listen", "unix:socket", "made"]).assert_failed(1, "thread");
    assert!(!place.path("made").exists());
}

#[test]
fn where_there_are_no_random_numbers_a_command_says_so_and_what_needs_none_works() {
    if !has("strace") {
        return;
    }
    let place = Place::with_sealed(1);
    place.run(["keygen", "--key-file", "-o", "file.key"]).assert_done();
    fs::write(place.path("pass.txt"), "a passphrase").unwrap();
    let recipient = place.recipient.as_str();
    let needing: [&[&str]; 7] = [
        &["keygen", "-o", "made"],
        &["keygen", "--key-file", "-o", "made"],
        &["seal", "-r", recipient, "plain", "-o", "made"],
        &["seal", "--key-file", "file.key", "plain", "-o", "made"],
        &["seal", "--passphrase-file", "pass.txt", "plain", "-o", "made"],
        &["restore", "-i", "key.txt", "sealed.cfd", "made"],
        &["restore", "-i", "key.txt", "sealed.cfd", "unix:socket"],
    ];
    let sealed = place.read("sealed.cfd");
    for arguments in needing {
        let ran = without_random_numbers(&place, arguments);
        ran.assert_failed(1, "no random numbers");
        assert!(!ran.stderr.contains("panicked"), "{arguments:?}: {}", ran.stderr);
        assert!(!place.path("made").exists());
    }
    let rewrap = ["rewrap", "-i", "key.txt", "-r", recipient, "sealed.cfd"];
    without_random_numbers(&place, &rewrap).assert_failed(1, "no random numbers");
    assert_eq!(place.read("sealed.cfd"), sealed);
    without_random_numbers(&place, &["verify", "-i", "key.txt", "sealed.cfd"]).assert_done();
    without_random_numbers(&place, &["inspect", "sealed.cfd"]).assert_done();
    place.run(["seal", "-r", recipient, "plain", "-o", "made"].iter().chain(&SMALL)).assert_done();
}

fn without_random_numbers(place: &Place, arguments: &[&str]) -> Ran {
    run(place, injected(place, &["getrandom:error=EIO"], arguments)).unwrap()
}
