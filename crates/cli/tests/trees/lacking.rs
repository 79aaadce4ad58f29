//! Directories sealed and restored where the machine lacks something: /proc, room. In a namespace of their own.
//! Which errors the system has is the library's to know.

use std::fs;
use std::process::{Command, Stdio};

use crate::place::{Place, Ran, SMALL};
use crate::programs::{has, skipped};

/// Runs lines of shell with mounts of their own, where `cofferdam` is the program. None: this user may not, as it then says.
fn with_mounts(place: &Place, lines: &str) -> Option<Ran> {
    let program = format!("cofferdam() {{ {} \"$@\"; }}\n", env!("CARGO_BIN_EXE_cofferdam"));
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c"]);
    command.arg(["exec 2>&1\n", &program, lines].concat()).current_dir(place.directory.path());
    let ran = Ran::of(command.env("XDG_STATE_HOME", place.states.path()).stdin(Stdio::null()).output().ok()?);
    if ran.code == 77 || ran.text().contains("unshare failed") {
        skipped(&format!("this user may mount nothing: {}", ran.text()));
        return None;
    }
    Some(ran)
}

/// A rescue system may have none.
#[test]
fn without_proc_attributes_are_sealed_or_it_is_said_that_they_cannot_be_read() {
    if !has("unshare") {
        return;
    }
    let place = Place::new();
    fs::create_dir(place.path("tree")).unwrap();
    fs::write(place.path("tree/f"), "f").unwrap();
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(place.path("tree/f"), "user.note", b"x", flags).unwrap();
    let seal = format!("cofferdam seal -r {} tree -o tree.cfd", place.recipient);
    let without = "mount -t tmpfs none /proc || exit 77\n";
    let Some(sealed) = with_mounts(&place, &[without, &seal].concat()) else { return };
    sealed.assert_done();
    // What was sealed there is what was there.
    let compared = place.run(["diff", "-i", "key.txt", "tree.cfd", "tree"]);
    compared.assert_done();
    rustix::fs::removexattr(place.path("tree/f"), "user.note").unwrap();
    assert_eq!(place.run(["diff", "-i", "key.txt", "tree.cfd", "tree"]).code, 18);
    // Who compares has no thread of its own for it.
    let compared = with_mounts(&place, &[without, "cofferdam diff -i key.txt tree.cfd tree"].concat());
    let compared = compared.unwrap();
    assert_eq!((compared.code, compared.text().contains("needs /proc")), (1, true), "{}", compared.text());
}

/// Small files take a block each, and their headers are kept beside them.
#[test]
fn room_is_looked_for_in_blocks() {
    if !has("unshare") {
        return;
    }
    let place = Place::new();
    fs::create_dir(place.path("tree")).unwrap();
    for number in 0..5_000 {
        fs::write(place.path("tree").join(format!("{number}")), [b'x'; 1_000]).unwrap();
    }
    let command = ["seal", "-r", &place.recipient, "tree", "-o", "tree.cfd"];
    place.run(command.into_iter().chain(SMALL)).assert_done();
    let lines = "mkdir at; mount -t tmpfs -o size=16m none at || exit 77
        cofferdam restore -i key.txt --sparse never tree.cfd at/target; code=$?
        test -z \"$(ls -A at)\" || exit 99
        exit $code";
    let Some(refused) = with_mounts(&place, lines) else { return };
    assert_eq!((refused.code, refused.text().contains("free")), (1, true), "{}", refused.text());
}

/// A limit of processes is met at any thread: what it was to help with is done without it, or there is an error.
#[test]
fn a_thread_that_the_system_does_not_give_is_no_panic() {
    if !has("strace") {
        return;
    }
    let place = Place::new();
    fs::create_dir_all(place.path("tree/d")).unwrap();
    // With names as long as these it takes two pages of a catalog, which two threads share.
    for number in 0..1_000 {
        fs::write(place.path("tree/d").join(format!("{number:0240}")), [b'x'; 10]).unwrap();
    }
    let seal = ["seal", "-r", &place.recipient, "tree", "-o", "tree.cfd"];
    let restore = ["restore", "-i", "key.txt", "tree.cfd", "out"];
    let chosen = [&restore[..], &["--path", "/d"]].concat();
    place.run(seal).assert_done();
    fs::rename(place.path("tree.cfd"), place.path("sealed.cfd")).unwrap();
    for (command, made) in [(&seal[..], "tree.cfd"), (&restore, "out"), (&chosen, "out")] {
        let mut done = 0;
        for when in 2..=3 {
            fs::copy(place.path("sealed.cfd"), place.path("tree.cfd")).unwrap();
            if made == "tree.cfd" {
                fs::remove_file(place.path(made)).unwrap();
            }
            let fault = format!("inject=clone3:error=EAGAIN:when={when}");
            let mut limited = Command::new("strace");
            // No other call is slowed down.
            limited.args([
                "-f",
                "-qq",
                "--seccomp-bpf",
                "-o",
                "/dev/null",
                "-e",
                "trace=clone3",
                "-e",
                &fault,
            ]);
            limited.arg("--").arg(env!("CARGO_BIN_EXE_cofferdam")).args(command);
            let ran = Ran::of(limited.current_dir(place.directory.path()).output().unwrap());
            match ran.code {
                0 => done += 1,
                _ => ran.assert_failed(1, "thread"),
            }
            assert_eq!(place.path(made).exists(), ran.code == 0, "{command:?} {when}");
            let _ = fs::remove_dir_all(place.path("out"));
        }
        assert!(done > 0, "{command:?}");
    }
}
