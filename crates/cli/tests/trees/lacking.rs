//! Directories sealed and restored where the machine lacks something: /proc, room. In a namespace of their own.
//! Which errors the system has is the library's to know.

use std::fs;
use std::process::{Command, Stdio};

use crate::place::{Place, Ran, SMALL};
use crate::programs::{has, skipped};

/// Runs lines of shell with mounts of their own, where `cofferdam` is the program. None: this user may not, as it then says.
fn with_mounts(place: &Place, lines: &str) -> Option<Ran> {
    in_namespaces(place, &["--user", "--map-root-user", "--mount"], lines)
}

/// The same, in these namespaces.
fn in_namespaces(place: &Place, namespaces: &[&str], lines: &str) -> Option<Ran> {
    let program = format!("cofferdam() {{ {} \"$@\"; }}\n", env!("CARGO_BIN_EXE_cofferdam"));
    let mut command = Command::new("unshare");
    command.args(namespaces).args(["sh", "-c"]);
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
    assert!(refused.text().contains("Make room there, or name a target on another file system."));
}

/// Root in a user namespace may give files to others, and make no device.
#[test]
fn device_files_that_cannot_be_made_are_refused_before_anything_is_written() {
    if !has("unshare") || !has("strace") {
        return;
    }
    let place = Place::new();
    for tree in ["with", "without"] {
        fs::create_dir(place.path(tree)).unwrap();
        fs::write(place.path(tree).join("file"), "file").unwrap();
    }
    let (kind, mode) = (rustix::fs::FileType::CharacterDevice, rustix::fs::Mode::RUSR);
    let device = rustix::fs::makedev(1, 3);
    if rustix::fs::mknodat(rustix::fs::CWD, place.path("with/null"), kind, mode, device).is_err() {
        return skipped("this user may make no device");
    }
    for tree in ["with", "without"] {
        let command = ["seal", "-r", &place.recipient, tree];
        place.run(command.into_iter().chain(SMALL)).assert_done();
    }
    let program = env!("CARGO_BIN_EXE_cofferdam");
    let lines = format!(
        "set -e; mkdir at
        refused() {{ code=0; cofferdam restore -i key.txt --devices with.cfd at/target || code=$?; test $code = 1; }}
        refused; test -z \"$(ls -A at)\"
        cofferdam restore -i key.txt --devices without.cfd at/other
        ! strace -f -qq -o strace.log -e inject=syncfs:signal=SIGKILL {program} restore -i key.txt with.cfd at/target
        refused; test -f at/.target.cofferdam-staging/file
        cofferdam restore -i key.txt with.cfd at/target; echo; ls -A at at/target"
    );
    let Some(ran) = with_mounts(&place, &lines) else { return };
    ran.assert_done();
    assert_eq!(ran.text().matches("no device file can be made here").count(), 2, "{}", ran.text());
    assert!(ran.text().ends_with("\nat:\nother\ntarget\n\nat/target:\nfile\n"), "{}", ran.text());
    // Who may make them gets them.
    place.run(["restore", "-i", "key.txt", "--devices", "with.cfd", "made"]).assert_done();
    let made = fs::symlink_metadata(place.path("made/null")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::rdev(&made), device);
}

/// A file system that does not tell upper from lower case would have two directories be one.
#[test]
fn paths_that_differ_in_case_alone_are_refused_where_case_is_not_told_apart() {
    if !has("lowntfs-3g") || !has("mkntfs") || !rustix::process::geteuid().is_root() {
        return;
    }
    let place = Place::new();
    for (tree, names) in [("alike", ["A", "a"]), ("apart", ["A", "b"])] {
        for name in names {
            fs::create_dir_all(place.path(tree).join(name)).unwrap();
            fs::write(place.path(tree).join(name).join(format!("of-{name}")), name).unwrap();
        }
        let command = ["seal", "-r", &place.recipient, tree];
        place.run(command.into_iter().chain(SMALL)).assert_done();
    }
    let lines = "mkdir at; truncate -s 16M volume; mkntfs -F -Q -q volume >mkntfs.log || exit 77
        lowntfs-3g -o ignore_case,permissions volume at >mount.log || exit 77
        for tree in alike apart; do cofferdam restore -i key.txt $tree.cfd at/target; echo $tree: $?; done
        cofferdam restore -i key.txt --force apart.cfd at/target; echo again: $?; ls at/target
        ls -A at | grep -q cofferdam && echo something is left; umount at";
    let Some(ran) = in_namespaces(&place, &["--mount"], lines) else { return };
    let text = ran.text();
    let (alike, apart) = text.split_once("alike: 1\n").unwrap_or_else(|| panic!("{text}"));
    assert!(alike.contains("at/target/a: ") && alike.contains("upper and lower case alone"), "{text}");
    let (apart, again) = apart.split_once("apart: 0\n").unwrap_or_else(|| panic!("{text}"));
    // It exchanges no names, so what is there is not replaced.
    assert!(
        again.contains("exchange their names") && again.to_lowercase().contains("again: 1\na\nb\n"),
        "{text}"
    );
    assert!(!apart.contains("lower case") && !apart.contains("is left"), "{text}");
    // Where case is told apart there is nothing to refuse.
    place.run(["restore", "-i", "key.txt", "alike.cfd", "alike.out"]).assert_done();
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
