//! Directories that were sealed, restored by the real program: as a whole, over another one, again, and by two at once.
//! Knows nothing of how they are laid out; what a directory is made of is the fixture's.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

#[path = "../../tree/tests/fixture/mod.rs"]
mod fixture;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use cofferdam::tree::{OnChange, Plan, TreeRoot, TreeSource, WalkOptions};
use cofferdam::{BytesSource, MemorySink, Recipients, Sealer, WrappingKey};
use fixture::{Listing, difference, list, make_tree};

const KEY: [u8; 32] = [3; 32];

struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    /// With `tree`, which has one of everything, and `sealed`, sealed from it in small segments.
    fn new() -> Place {
        Place::of(make_tree)
    }

    fn of(make: impl Fn(&Path)) -> Place {
        let place = Place { directory: tempfile::tempdir().unwrap() };
        fs::write(place.path("key"), format!("{}\n", "03".repeat(32))).unwrap();
        fs::create_dir(place.path("at")).unwrap();
        place.seal("tree", "sealed", make);
        place
    }

    fn seal(&self, tree: &str, sealed: &str, make: impl Fn(&Path)) {
        fs::create_dir(self.path(tree)).unwrap();
        make(&self.path(tree));
        let root = || TreeRoot::open(&self.path(tree)).unwrap();
        let (plan, _) = Plan::create(&root(), &self.path("plan"), &WalkOptions::default()).unwrap();
        let source = TreeSource::new(root(), Arc::new(plan), OnChange::Refuse).unwrap();
        let (sink, contents) = MemorySink::new();
        sealer().tree().seal(source, sink).unwrap();
        fs::write(self.path(sealed), contents.take().unwrap()).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn target(&self) -> PathBuf {
        self.path("at/target")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cofferdam"));
        command.args(["restore", "--key-file", "key"]).args(arguments);
        command.current_dir(self.directory.path()).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments).output().unwrap())
    }

    /// With the file `sealed` in a pipe.
    fn run_from(&self, sealed: &str, arguments: &[&str]) -> Ran {
        let sealed = fs::read(self.path(sealed)).unwrap();
        let (reading, mut writing) = std::io::pipe().unwrap();
        // Who is refused reads no more.
        let feeding = std::thread::spawn(move || drop(writing.write_all(&sealed)));
        let ran = Ran::of(self.command(arguments).stdin(reading).output().unwrap());
        feeding.join().unwrap();
        ran
    }

    fn tree(&self) -> Listing {
        list(&self.path("tree"))
    }

    fn beside(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("at")).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn assert_restored(&self) {
        assert_eq!(difference(&self.tree(), &list(&self.target())), None);
        assert_eq!(self.beside(), ["target"]);
    }
}

/// A restore of `sealed` that is not done for as long as a test takes: at a rate at which the catalog comes in a second, and megabytes in
/// most of a minute.
struct Held {
    child: Child,
    rate: PathBuf,
}

impl Held {
    /// Waits until it has made `begun`.
    fn start(place: &Place, options: &[&str], begun: &Path) -> Held {
        let rate = place.path("rate");
        fs::write(&rate, "64KiB\n").unwrap();
        let arguments = [options, &["--limit-rate-file", "rate", "sealed", "at/target"]].concat();
        let mut command = place.command(&arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        while !begun.exists() {
            assert!(child.try_wait().unwrap().is_none(), "it has ended before it could be disturbed");
            std::thread::sleep(Duration::from_millis(1));
        }
        Held { child, rate }
    }

    /// Lets it go on at any rate, and waits for its end.
    fn go_on(self) -> Ran {
        let new = self.rate.with_extension("new");
        fs::write(&new, "0\n").unwrap();
        fs::rename(&new, &self.rate).unwrap();
        let ran = Ran::of(self.child.wait_with_output().unwrap());
        fs::remove_file(self.rate).unwrap();
        ran
    }
}

fn sealer() -> Sealer {
    Sealer::new(Recipients::new().wrapping_key(WrappingKey::from_bytes(KEY)))
        .frame_len(4096)
        .segment_len(65_536)
}

struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ran {
    fn of(output: Output) -> Ran {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    #[track_caller]
    fn assert_done(&self) {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
    }

    #[track_caller]
    fn assert_failed(&self, code: i32, says: &str) {
        assert_eq!(self.code, Some(code), "{}", self.stderr);
        assert!(self.stderr.contains(says), "{}", self.stderr);
    }
}

const ALL: [&str; 3] = ["--set-id", "sealed", "at/target"];

#[test]
fn a_directory_comes_back_and_the_second_run_is_refused_or_replaces_it() {
    let place = Place::new();
    let ran = place.run(&ALL);
    ran.assert_done();
    place.assert_restored();
    assert!(ran.stdout.contains(" files, ") && ran.stdout.contains(" directories, "), "{}", ran.stdout);
    place.run(&ALL).assert_failed(6, "--force");
    fs::write(place.target().join("mine"), "changed since").unwrap();
    place.run(&[&["--force"], &ALL[..]].concat()).assert_done();
    place.assert_restored();
    fs::write(place.target().join("mine"), "changed since").unwrap();
    let ran = place.run(&[&["--force", "--keep-old", "--json"], &ALL[..]].concat());
    ran.assert_done();
    assert!(ran.stdout.contains("\"old_tree\":\"at/target.cofferdam-old\""), "{}", ran.stdout);
    assert_eq!(fs::read(place.path("at/target.cofferdam-old/mine")).unwrap(), b"changed since");
    assert_eq!(difference(&place.tree(), &list(&place.target())), None);
}

#[test]
fn what_is_left_out_is_said() {
    let place = Place::new();
    let ran = place.run(&["sealed", "at/target"]);
    ran.assert_done();
    assert!(
        ran.stderr.contains("1 file: did not get its set-id bits or capabilities; --set-id"),
        "{}",
        ran.stderr
    );
    let ran = place.run(&["--force", "--json", "sealed", "at/target"]);
    assert!(ran.stdout.contains("\"set_id_bits_left_out\":1"), "{}", ran.stdout);
}

#[test]
fn a_target_that_is_no_directory_is_not_replaced() {
    let place = Place::new();
    fs::write(place.target(), "a file").unwrap();
    place.run(&ALL).assert_failed(6, "--force");
    place.run(&[&["--force"], &ALL[..]].concat()).assert_failed(2, "a directory");
    assert_eq!(fs::read(place.target()).unwrap(), b"a file");
    fs::remove_file(place.target()).unwrap();
    symlink("../tree", place.target()).unwrap();
    place.run(&ALL).assert_failed(6, "symbolic link");
    place.run(&[&["--force"], &ALL[..]].concat()).assert_failed(6, "symbolic link");
    assert!(place.target().is_symlink());
    fs::remove_file(place.target()).unwrap();
    place.run(&["sealed", "nowhere/target"]).assert_failed(1, "no such directory");
    assert!(place.beside().is_empty());
}

#[test]
fn a_directory_that_holds_what_is_read_is_not_replaced_and_removed() {
    let place = Place::new();
    fs::create_dir(place.target()).unwrap();
    for name in ["sealed", "key"] {
        let within = place.target().join(name);
        fs::rename(place.path(name), &within).unwrap();
        let paths = ["sealed", "key"]
            .map(|other| if other == name { format!("at/target/{name}") } else { other.to_owned() });
        let run = |more: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_cofferdam"));
            command.args(["restore", "--force", &paths[0], "at/target", "--key-file", &paths[1]]).args(more);
            Ran::of(command.current_dir(place.directory.path()).stdin(Stdio::null()).output().unwrap())
        };
        let refused = run(&[]);
        assert_eq!(refused.code, Some(2), "{}", refused.stderr);
        assert!(refused.stderr.contains("--keep-old"), "{}", refused.stderr);
        assert!(within.exists());
        fs::rename(&within, place.path(name)).unwrap();
    }
    place.run(&["--force", "--set-id", "sealed", "at/target"]).assert_done();
    place.assert_restored();
}

/// capabilities(7) are as good as the bits.
#[test]
fn capabilities_come_back_with_set_id_bits_alone() {
    // VFS_CAP_REVISION_2 with CAP_NET_RAW permitted and effective: linux/capability.h.
    let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let is_set = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let made = is_set.clone();
    let place = Place::of(move |tree| {
        let path = tree.join("program");
        fs::write(&path, "a program").unwrap();
        let set =
            rustix::fs::setxattr(&path, "security.capability", &capability, rustix::fs::XattrFlags::empty());
        made.store(set.is_ok(), std::sync::atomic::Ordering::Relaxed);
    });
    if !is_set.load(std::sync::atomic::Ordering::Relaxed) {
        // Nobody but root may.
        return;
    }
    let has = || {
        let mut value = [0; 64];
        rustix::fs::getxattr(place.target().join("program"), "security.capability", &mut value[..]).is_ok()
    };
    let run = place.run(&["sealed", "at/target"]);
    run.assert_done();
    assert!(run.stderr.contains("--set-id"), "{}", run.stderr);
    assert!(!has());
    place.run(&["--force", "--set-id", "sealed", "at/target"]).assert_done();
    assert!(has());
}

#[test]
fn options_for_directories_are_refused_where_there_is_none() {
    let place = Place::new();
    let sealed = |bytes: &[u8]| {
        fs::write(place.path("plain"), bytes).unwrap();
        sealer().seal_file(place.path("plain"), place.path("sealed-file")).unwrap();
    };
    sealed(b"a file");
    for option in ["--set-id", "--devices", "--numeric-owner", "--no-owner"] {
        place.run(&[option, "sealed-file", "at/target"]).assert_failed(2, "the stream is no tree");
        place.run(&[option, "sealed", "-"]).assert_failed(2, option);
    }
    assert!(place.beside().is_empty());
    place.run(&["sealed-file", "at/target"]).assert_done();
    assert_eq!(fs::read(place.target()).unwrap(), b"a file");
}

#[test]
fn a_damaged_tree_leaves_what_was_there() {
    let place = Place::new();
    fs::create_dir(place.target()).unwrap();
    fs::write(place.target().join("old"), "old").unwrap();
    let whole = fs::read(place.path("sealed")).unwrap();
    for at in (whole.len() / 9..whole.len()).step_by(whole.len() / 9) {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(place.path("damaged"), damaged).unwrap();
        let ran = place.run(&["--force", "damaged", "at/target"]);
        assert!(matches!(ran.code, Some(0 | 3)), "byte {at}: {}", ran.stderr);
        if ran.code == Some(0) {
            // One of the two copies of the key, which nothing depends on.
            assert!(ran.stderr.contains("warning"), "byte {at}: {}", ran.stderr);
            place.run(&["--force", "--restart", "sealed", "at/target"]).assert_done();
            fs::remove_dir_all(place.target()).unwrap();
            fs::create_dir(place.target()).unwrap();
            fs::write(place.target().join("old"), "old").unwrap();
        }
        assert_eq!(fs::read(place.target().join("old")).unwrap(), b"old", "byte {at}");
    }
    // What is kept of the damaged one is of the same stream, and the whole one goes on with it.
    place.run(&[&["--force"], &ALL[..]].concat()).assert_done();
    place.assert_restored();
}

#[test]
fn another_trees_attempt_is_neither_gone_on_with_nor_removed_without_a_word() {
    let place = Place::new();
    place.seal("other", "sealed-other", |tree| fs::write(tree.join("f"), "other").unwrap());
    leave_half(&place);
    let kept = list(&place.path("at/.target.cofferdam-staging"));
    place.run(&["sealed-other", "at/target"]).assert_failed(8, "--restart");
    assert_eq!(difference(&kept, &list(&place.path("at/.target.cofferdam-staging"))), None);
    place.run(&["--restart", "sealed-other", "at/target"]).assert_done();
    assert_eq!(fs::read(place.target().join("f")).unwrap(), b"other");
    assert_eq!(place.beside(), ["target"]);
}

/// A restore that ends at a damaged segment, about in the middle.
fn leave_half(place: &Place) {
    let mut damaged = fs::read(place.path("sealed")).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(place.path("half"), damaged).unwrap();
    place.run(&["half", "at/target"]).assert_failed(3, "");
    assert_eq!(place.beside(), [".target.cofferdam-journal", ".target.cofferdam-staging"]);
}

#[test]
fn an_interrupted_restore_goes_on_and_says_what_it_kept() {
    let place = Place::new();
    leave_half(&place);
    let ran = place.run(&[&["--json"], &ALL[..]].concat());
    ran.assert_done();
    let kept: u64 = ran
        .stdout
        .split_once("\"kept\":")
        .unwrap()
        .1
        .split(|char: char| !char.is_ascii_digit())
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!(kept > 1 << 20, "{kept} bytes");
    place.assert_restored();
}

#[test]
fn pins_and_sequence_numbers_are_compared_before_anything_is_made() {
    let place = Place::new();
    let ran = place.run(&["--expect-digest", &"0".repeat(64), "sealed", "at/target"]);
    ran.assert_failed(3, "digest");
    place.run(&["--min-sequence", "1", "sealed", "at/target"]).assert_failed(14, "sequence");
    assert!(place.beside().is_empty());
    let ran = place.run(&["--json", "--set-id", "sealed", "at/target"]);
    let digest = ran.stdout.split_once("\"stream_digest\":\"").unwrap().1[..64].to_owned();
    place.run(&["--force", "--expect-digest", &digest, "--set-id", "sealed", "at/target"]).assert_done();
    place.assert_restored();
}

/// Two replace one directory at once, again and again: one of them holds the other off, and the directory is always a whole one.
#[test]
fn two_that_replace_one_directory_leave_one_of_both() {
    let place = Place::of(|tree| {
        for name in 0..30 {
            fs::write(tree.join(format!("{name}")), format!("{name}").repeat(500)).unwrap();
        }
    });
    place.run(&["sealed", "at/target"]).assert_done();
    let mut held_off = 0;
    for round in 0..40 {
        let options: &[&str] = if round % 2 == 0 { &["--force"] } else { &["--force", "--keep-old"] };
        let spawn = || {
            let mut command = place.command(&[options, &["sealed", "at/target"]].concat());
            command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let both = [spawn(), spawn()];
        let codes = both.map(|child| child.wait_with_output().unwrap().status.code());
        // The directory that the other one has put there since it began is another one: exit 6.
        assert!(codes.iter().all(|code| matches!(code, Some(0 | 6 | 9))), "{codes:?}");
        assert!(codes.contains(&Some(0)), "{codes:?}");
        held_off += codes.iter().filter(|code| **code != Some(0)).count();
        assert_eq!(difference(&place.tree(), &list(&place.target())), None, "round {round}");
        let mut kept = 0;
        for name in place.beside().iter().filter(|name| *name != "target") {
            assert!(name.starts_with("target.cofferdam-old"), "{name}");
            let old = place.path("at").join(name);
            assert_eq!(difference(&place.tree(), &list(&old)), None, "round {round}: {name}");
            fs::remove_dir_all(old).unwrap();
            kept += 1;
        }
        let done = codes.iter().filter(|code| **code == Some(0)).count();
        assert_eq!(kept, if round % 2 == 0 { 0 } else { done }, "round {round}: each old tree is kept");
    }
    assert!(held_off > 0);
}

/// As root alone: who may mount. A directory in which something is mounted is replaced, and kept with what is mounted there.
#[test]
fn what_is_mounted_in_the_old_tree_is_never_touched() {
    let place = Place::new();
    let mounted = place.target().join("deep/mounted");
    fs::create_dir_all(&mounted).unwrap();
    let mount = |arguments: &[&str]| {
        let ran = Command::new("mount").args(arguments).arg(&mounted).stderr(Stdio::null()).status();
        ran.is_ok_and(|status| status.success())
    };
    fs::create_dir(place.path("elsewhere")).unwrap();
    let elsewhere = place.path("elsewhere");
    // Another file system, and another directory of the same one.
    for arguments in [vec!["-t", "tmpfs", "none"], vec!["--bind", elsewhere.to_str().unwrap()]] {
        if !mount(&arguments) {
            eprintln!("skipped: this user may not mount");
            return;
        }
        fs::write(mounted.join("inside"), "of another file system").unwrap();
        let ran = place.run(&[&["--force"], &ALL[..]].concat());
        let old = place.path("at/target.cofferdam-old/deep/mounted");
        let inside = fs::read(old.join("inside"));
        let unmounted = Command::new("umount").arg(&old).status().unwrap();
        assert!(unmounted.success());
        ran.assert_done();
        assert!(ran.stderr.contains("another file system is mounted in it"), "{}", ran.stderr);
        assert_eq!(inside.unwrap(), b"of another file system");
        assert_eq!(difference(&place.tree(), &list(&place.target())), None);
        fs::remove_dir_all(place.path("at/target.cofferdam-old")).unwrap();
        fs::create_dir_all(&mounted).unwrap();
    }
    assert_eq!(fs::read(elsewhere.join("inside")).unwrap(), b"of another file system");
    // A target that is itself mounted is refused before anything is made, whichever file system it is of.
    fs::remove_dir_all(place.target()).unwrap();
    fs::create_dir(place.target()).unwrap();
    for arguments in [vec!["-t", "tmpfs", "none"], vec!["--bind", elsewhere.to_str().unwrap()]] {
        let status = Command::new("mount").args(&arguments).arg(place.target()).status().unwrap();
        assert!(status.success());
        let ran = place.run(&[&["--force"], &ALL[..]].concat());
        assert!(Command::new("umount").arg(place.target()).status().unwrap().success());
        ran.assert_failed(1, "mount point");
        assert_eq!(place.beside(), ["target"]);
    }
}

#[test]
fn what_was_kept_is_discarded_by_name_whether_there_is_a_target_or_not() {
    let place = Place::new();
    let discard = |name: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cofferdam"));
        command.args(["discard", name]).current_dir(place.directory.path());
        Ran::of(command.env("XDG_STATE_HOME", place.path("states")).output().unwrap())
    };
    leave_half(&place);
    discard("at/target").assert_done();
    assert!(place.beside().is_empty());
    for name in ["at/target", "at/target/"] {
        fs::create_dir(place.target()).unwrap();
        place.run(&["--force", "half", name]).assert_failed(3, "are kept");
        assert_eq!(place.beside(), [".target.cofferdam-journal", ".target.cofferdam-staging", "target"]);
        let ran = discard(name);
        ran.assert_done();
        assert!(ran.stdout.contains(".target.cofferdam-staging"), "{}", ran.stdout);
        assert_eq!(place.beside(), ["target"]);
        fs::remove_dir(place.target()).unwrap();
    }
}

/// Some members alone: each as it was, with the directories that they are in, and a hard link without its target as the file itself.
#[test]
fn some_paths_come_back_alone_and_nothing_else_is_read() {
    let place = Place::new();
    let ran = place.run(&["--set-id", "--path", "/a/b/c", "--path", "*.txt", "sealed", "at/target"]);
    ran.assert_done();
    assert!(ran.stdout.contains("only these bytes were read and proved"), "{}", ran.stdout);
    let whole = place.tree();
    let chosen =
        |path: &str| path.starts_with("a/b/c/") || ["", "a", "a/b", "a/b/c", "a.txt"].contains(&path);
    let found = list(&place.target());
    let text = |path: &Vec<u8>| String::from_utf8_lossy(path).into_owned();
    let names = |listing: &Listing| listing.keys().map(text).filter(|path| chosen(path)).collect::<Vec<_>>();
    assert_eq!(found.keys().map(text).collect::<Vec<_>>(), names(&whole));
    for (path, found) in &found {
        // The hard link's target was not chosen: the first of its names here is another.
        let expected = fixture::Found { first_name: found.first_name.clone(), ..whole[path].clone() };
        assert!(*found == expected, "{}", text(path));
    }
    assert_eq!(place.beside(), ["target"]);
    place.run(&["--path", "/a", "sealed", "at/target"]).assert_failed(6, "--force");
    place.run(&["--path", "/a", "sealed", "at/target"]).assert_failed(6, "--into");
    // What was not chosen would be lost.
    place.run(&["--force", "--path", "/a", "sealed", "at/target"]).assert_failed(2, "would replace all of");
    assert_eq!(list(&place.target()), found);
    // Where nothing is there, nothing would be.
    place.run(&["--force", "--path", "/a", "sealed", "at/other"]).assert_done();
    let chosen: Vec<String> = list(&place.path("at/other")).keys().map(text).collect();
    assert!(chosen.contains(&"a/b/7".to_owned()) && !chosen.contains(&"a.txt".to_owned()), "{chosen:?}");
    fs::remove_dir_all(place.path("at/other")).unwrap();
    place
        .run(&["--force", "--keep-old", "--path", "/nowhere", "sealed", "at/target"])
        .assert_failed(2, "nothing in the tree");
    place.run(&["--force", "--keep-old", "--path", "/a/b/7", "sealed", "at/target"]).assert_done();
    assert_eq!(list(&place.path("at/target.cofferdam-old")), found);
    fs::remove_dir_all(place.path("at/target.cofferdam-old")).unwrap();
    for glob in ["a[", "/", "", "."] {
        place.run(&["--path", glob, "sealed", "at/other"]).assert_failed(2, "--path");
    }
    place.run(&["--path", ".nothing*", "sealed", "at/other"]).assert_failed(2, "matches");
    place.run(&["--path", "a", "sealed", "-"]).assert_failed(2, "--path");
    // A frame of another file is damaged: that is not read. One of its own is.
    let sealed = fs::read(place.path("sealed")).unwrap();
    let (mut done, mut failed) = (0, 0);
    for at in (sealed.len() / 10..sealed.len() * 9 / 10).step_by(sealed.len() / 12) {
        let mut damaged = sealed.clone();
        damaged[at] ^= 1;
        fs::write(place.path("damaged"), damaged).unwrap();
        let _ = fs::remove_dir_all(place.target());
        match place.run(&["--path", "/a/b/7", "damaged", "at/target"]).code {
            Some(0) => done += 1,
            Some(3) => failed += 1,
            code => panic!("exit {code:?}"),
        }
        let found = fs::read(place.target().join("a/b/7")).ok();
        assert!(found.is_none() || found == fs::read(place.path("tree/a/b/7")).ok());
    }
    assert!(done > 0 && failed > 0, "{done} {failed}");
    // What an interrupted restore of all has left is not thrown away.
    let _ = fs::remove_dir_all(place.target());
    leave_half(&place);
    place.run(&["--path", "/a", "sealed", "at/target"]).assert_failed(8, "would be lost");
    place.run(&ALL).assert_done();
    place.assert_restored();
}

/// TREE T5.4: every reader takes it as a plain file of what is before its tail.
#[test]
fn a_tree_without_a_catalog_is_restored_as_the_file_that_it_is() {
    let place = Place::new();
    for len in [0, 1, 65_535, 65_536, 200_000_u64] {
        let archive: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
        let mut plaintext = archive.clone();
        plaintext.extend(b"CFDTREE\0\x01\0\x01\0\0\0\0\0");
        for number in [len, 0, len, len, len + 64, 0] {
            plaintext.extend(number.to_le_bytes());
        }
        let (sink, contents) = MemorySink::new();
        sealer().tree().seal(BytesSource::new(plaintext), sink).unwrap();
        fs::write(place.path("no-catalog"), contents.take().unwrap()).unwrap();
        place.run(&["--force", "no-catalog", "at/file"]).assert_done();
        assert!(fs::read(place.path("at/file")).unwrap() == archive, "{len} bytes");
        assert_eq!(place.beside(), ["file"]);
        fs::write(place.path("at/file"), "before").unwrap();
        place.run_from("no-catalog", &["-", "at/file"]).assert_failed(6, "--force");
        place.run_from("no-catalog", &["--force", "-", "at/file"]).assert_done();
        assert!(fs::read(place.path("at/file")).unwrap() == archive, "{len} bytes from a pipe");
        assert_eq!(place.beside(), ["file"]);
        place
            .run_from("no-catalog", &["--set-id", "-", "at/other"])
            .assert_failed(2, "the stream is no tree");
        place.run(&["--set-id", "no-catalog", "at/other"]).assert_failed(2, "the stream is no tree");
        place.run(&["--path", "a", "no-catalog", "at/other"]).assert_failed(2, "the stream is a file");
    }
}

#[test]
fn a_directory_is_moved_into_one_that_is_there() {
    let place = Place::new();
    place.run(&["--into", "sealed", "at/target"]).assert_failed(1, "no such directory");
    fs::create_dir(place.target()).unwrap();
    fs::write(place.target().join("mine"), "mine").unwrap();
    place.run(&[&["--into"], &ALL[..]].concat()).assert_done();
    let mut found = list(&place.target());
    assert_eq!(found.remove(&b"mine"[..]).unwrap().contents, b"mine");
    let mut expected = place.tree();
    for listing in [&mut found, &mut expected] {
        listing.remove(&b""[..]);
    }
    assert_eq!(difference(&expected, &found), None);
    place.run(&[&["--into"], &ALL[..]].concat()).assert_failed(6, "--force");
    place.run(&[&["--into", "--force"], &ALL[..]].concat()).assert_done();
    assert_eq!(place.beside(), ["target"]);
}

#[test]
fn a_tree_from_a_pipe_comes_back_as_from_a_file() {
    let place = Place::new();
    // What is to be a directory does not replace a file, which shows when it has come.
    fs::write(place.target(), "a file").unwrap();
    place.run_from("sealed", &["--force", "-", "at/target"]).assert_failed(2, "a directory");
    assert_eq!(fs::read(place.target()).unwrap(), b"a file");
    fs::remove_file(place.target()).unwrap();
    place.run_from("sealed", &["--set-id", "-", "at/target"]).assert_done();
    place.assert_restored();
}

/// Whoever takes the directory's name away while a tree is restored into it hears where it is, and nothing is said to be restored.
#[test]
fn a_directory_that_is_renamed_while_a_tree_is_restored_into_it_is_not_called_restored() {
    let place = Place::of(|tree| {
        for name in 0..8 {
            let mut bytes = vec![0; 256 << 10];
            fastrand::Rng::with_seed(name).fill(&mut bytes);
            fs::write(tree.join(format!("{name}")), bytes).unwrap();
        }
    });
    for options in [&["--into"][..], &["--into", "--path", "**"]] {
        fs::create_dir(place.target()).unwrap();
        let held = Held::start(&place, options, &place.target().join(".cofferdam-staging"));
        fs::rename(place.target(), place.path("at/elsewhere")).unwrap();
        fs::create_dir(place.target()).unwrap();
        let ran = held.go_on();
        ran.assert_failed(1, "nothing was moved into the target");
        assert!(ran.stderr.contains("at/elsewhere"), "{}", ran.stderr);
        assert_eq!(fs::read_dir(place.target()).unwrap().count(), 0);
        fs::remove_dir(place.target()).unwrap();
        fs::rename(place.path("at/elsewhere"), place.target()).unwrap();
        place.run(&[options, &["sealed", "at/target"]].concat()).assert_done();
        for name in 0..8 {
            let name = format!("{name}");
            assert!(
                fs::read(place.target().join(&name)).unwrap()
                    == fs::read(place.path("tree").join(&name)).unwrap()
            );
        }
        assert_eq!(fs::read_dir(place.target()).unwrap().count(), 8);
        fs::remove_dir_all(place.target()).unwrap();
    }
}

#[test]
fn a_directory_that_another_process_has_locked_is_neither_replaced_nor_moved_into() {
    let place = Place::new();
    fs::create_dir(place.target()).unwrap();
    let held = fs::File::open(place.target()).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    for option in ["--force", "--into"] {
        place.run(&[&[option], &ALL[..]].concat()).assert_failed(9, "another process");
        assert_eq!(
            (place.beside(), fs::read_dir(place.target()).unwrap().count()),
            (vec!["target".to_owned()], 0)
        );
    }
    // Not by closing it: a child of another test has it open until it has become its program.
    rustix::fs::flock(&held, rustix::fs::FlockOperation::Unlock).unwrap();
    place.run(&[&["--force"], &ALL[..]].concat()).assert_done();
    place.assert_restored();
}

/// `cofferdam status`, which changes nothing.
fn status(place: &Place) -> (String, serde_json::Value) {
    let before = list(place.directory.path());
    let told = |option: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cofferdam"));
        command.args([&["status"], option, &["at/target"]].concat()).current_dir(place.directory.path());
        let ran = Ran::of(command.env("XDG_STATE_HOME", place.path("states")).output().unwrap());
        ran.assert_done();
        ran.stdout
    };
    let told = (told(&[]), serde_json::from_str(&told(&["--json"])).unwrap());
    assert_eq!(difference(&before, &list(place.directory.path())), None);
    told
}

#[test]
fn what_an_interrupted_restore_has_left_in_a_directory_is_told_with_what_the_next_run_does() {
    let place = Place::new();
    fs::create_dir(place.target()).unwrap();
    assert!(status(&place).0.contains("nothing is kept"));
    let mut damaged = fs::read(place.path("sealed")).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(place.path("half"), damaged).unwrap();
    place.run(&["--into", "half", "at/target"]).assert_failed(3, "");
    let (text, json) = status(&place);
    assert!(
        text.contains("the same command goes on") && text.contains("at/target/.cofferdam-staging"),
        "{text}"
    );
    assert_eq!((&json["attempt"], &json["within"]["attempt"]), (&serde_json::Value::Null, &"restore".into()));
    assert_eq!(json["within"]["journal"], "at/target/.cofferdam-journal");
    // The same of a move that is cut off, and of one that cannot be gone on with.
    for (options, attempt) in [(&["--into"][..], Some("moving")), (&["--into", "--path", "**"], None)] {
        fs::remove_dir_all(place.target()).unwrap();
        fs::create_dir(place.target()).unwrap();
        let held = Held::start(&place, options, &place.target().join(".cofferdam-staging"));
        fs::create_dir(place.target().join("a.txt")).unwrap();
        held.go_on().assert_failed(10, "a.txt");
        let (text, json) = status(&place);
        assert_eq!(json["within"]["attempt"], serde_json::Value::from(attempt), "{text}");
        assert!(
            text.contains(if attempt.is_some() { "brings that to its end" } else { "has to replace it" }),
            "{text}"
        );
        // Without it the first file that is there would be what is refused: which of them are is the directory's order.
        let force: &[&str] = if attempt.is_some() { &[] } else { &["--force"] };
        place
            .run(&[options, force, &["sealed", "at/target"]].concat())
            .assert_failed(6, "a.txt: this is a directory");
        fs::remove_dir(place.target().join("a.txt")).unwrap();
        place.run(&[options, force, &["sealed", "at/target"]].concat()).assert_done();
        assert!(status(&place).0.contains("nothing is kept"));
    }
}

/// Of a directory it is what its files take up: a link that leads out, a hole and a second name take none.
#[test]
fn the_room_that_an_interrupted_restore_takes_is_told() {
    let place = Place::new();
    fs::create_dir(place.target()).unwrap();
    fs::write(place.path("elsewhere"), vec![1; 8 << 20]).unwrap();
    for staging in ["at/.target.cofferdam-staging", "at/target/.cofferdam-staging"] {
        let path = |name: &str| place.path(staging).join(name);
        fs::create_dir_all(path("d/e")).unwrap();
        fs::write(path("file"), vec![1; 3 << 20]).unwrap();
        fs::hard_link(path("file"), path("d/name")).unwrap();
        fs::write(path("d/e/file"), vec![1; 1 << 20]).unwrap();
        fs::File::create(path("hole")).unwrap().set_len(1 << 30).unwrap();
        symlink("../../elsewhere", path("d/link")).unwrap();
    }
    let (text, json) = status(&place);
    for record in [&json, &json["within"]] {
        let len = record["staging_len"].as_u64().unwrap();
        assert!((4 << 20..(4 << 20) + (64 << 10)).contains(&len), "{len}: {text}");
    }
    assert_eq!(text.matches("-staging: 4.00 MiB allocated").count(), 2, "{text}");
}

/// What is at the names that are needed, and nobody's who restores: said as the next run will find it, for each kind.
#[test]
fn what_is_in_the_way_of_a_tree_is_told_as_the_next_run_tells_it() {
    let place = Place::new();
    let staging = place.path("at/.target.cofferdam-staging");
    type Make<'a> = &'a dyn Fn();
    let makes: [Make<'_>; 4] = [
        &|| symlink("../tree", &staging).unwrap(),
        &|| {
            rustix::fs::mknodat(
                rustix::fs::CWD,
                &staging,
                rustix::fs::FileType::Fifo,
                rustix::fs::Mode::RWXU,
                0,
            )
            .unwrap()
        },
        &|| fs::create_dir_all(staging.join("precious")).unwrap(),
        &|| {
            fs::create_dir(&staging).unwrap();
            std::os::unix::fs::chown(&staging, Some(65_534), None).unwrap();
        },
    ];
    for (kind, make) in makes.iter().enumerate() {
        if kind == 3 && !rustix::process::geteuid().is_root() {
            continue;
        }
        make();
        let (text, json) = status(&place);
        assert_eq!(json["attempt"], "in-the-way", "{kind}: {text}");
        assert!(text.contains("the next run refuses"), "{kind}: {text}");
        let ran = place.run(&ALL);
        assert!(matches!(ran.code, Some(1 | 8)), "{kind}: {}", ran.stderr);
        let problem = json["problems"][0].as_str().unwrap();
        // Of another user's directory it says what to do as well.
        assert_eq!(problem.contains("belongs to user 65534"), kind == 3, "{problem}");
        let mut sentences = problem.split(". ");
        assert!(sentences.all(|said| ran.stderr.contains(said)), "{kind}: {problem}: {}", ran.stderr);
        assert!(
            if staging.is_dir() && !staging.is_symlink() {
                fs::remove_dir_all(&staging)
            } else {
                fs::remove_file(&staging)
            }
            .is_ok()
        );
    }
    // What a restore of some paths leaves when it is killed is of no use to anybody.
    let mut held = Held::start(&place, &["--path", "**"], &staging);
    held.child.kill().unwrap();
    held.child.wait().unwrap();
    fs::remove_file(held.rate).unwrap();
    let (text, json) = status(&place);
    assert!(text.contains("of no use; the next run replaces it"), "{text}");
    assert_eq!(json["attempt"], serde_json::Value::Null);
    place.run(&ALL).assert_done();
    place.assert_restored();
}

#[test]
fn words_for_directories_say_what_helps() {
    let place = Place::new();
    for name in [".", "/", ".."] {
        place.run(&["sealed", name]).assert_failed(2, "moved into it");
    }
    fs::create_dir(place.target()).unwrap();
    place.run(&ALL).assert_failed(6, "this directory exists already");
    symlink("target", place.path("at/link")).unwrap();
    let ran = place.run(&["--force", "sealed", "at/link"]);
    ran.assert_failed(6, "symbolic link");
    assert!(!ran.stderr.contains("--force"), "{}", ran.stderr);
    // What it leads to is filled.
    place.run(&["--into", "sealed", "at/link"]).assert_done();
    assert_eq!(fs::read(place.target().join("a.txt")).unwrap(), fs::read(place.path("tree/a.txt")).unwrap());
    fs::remove_file(place.target().join("a.txt")).unwrap();
    fs::create_dir(place.target().join("a.txt")).unwrap();
    let ran = place.run(&["--into", "--force", "sealed", "at/target"]);
    ran.assert_failed(6, "a.txt: this is a directory");
    assert!(!ran.stderr.contains("exists already"), "{}", ran.stderr);
    // How a `[` is written helps where there is one.
    for (glob, is_told) in [("a[", true), ("{a", false), ("/", false)] {
        let ran = place.run(&["--path", glob, "sealed", "at/paths"]);
        ran.assert_failed(2, "--path");
        assert_eq!(ran.stderr.contains("[[]"), is_told, "{glob}: {}", ran.stderr);
    }
    // Archives outside of the strict profile: the same from a pipe as from a file.
    let plaintext = [&b"archive"[..], b"CFDTREE\0\x01\0\x01\0\0\0\0\0"].concat();
    let numbers = [7_u64, 0, 7, 7, 71, 0].map(u64::to_le_bytes).concat();
    let (sink, contents) = MemorySink::new();
    sealer().tree().seal(BytesSource::new([plaintext, numbers].concat()), sink).unwrap();
    let sealed = contents.take().unwrap();
    let mut child = place
        .command(&["--into", "-", "at/target"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&sealed).unwrap();
    Ran::of(child.wait_with_output().unwrap()).assert_failed(2, "the stream is no tree");
}

/// As root alone: who may mount. Holes need no room: what may fit is tried, with a warning, whether all is restored or some paths.
#[test]
fn files_with_holes_that_are_longer_than_the_file_system_come_back() {
    let place = Place::of(|tree| {
        fs::write(tree.join("text"), "text").unwrap();
        fs::File::create(tree.join("sparse")).unwrap().set_len(48 << 20).unwrap();
    });
    let mount = ["-t", "tmpfs", "-o", "size=8m", "none"];
    let mounted = Command::new("mount").args(mount).arg(place.path("at")).stderr(Stdio::null()).status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("skipped: this user may not mount");
        return;
    }
    // From a pipe, where nobody knows beforehand that there is too much, the bytes are kept in a file meanwhile.
    let from_pipe = &["from a pipe"][..];
    for options in [&[][..], &["--path", "/sparse"], from_pipe] {
        let ran = match options == from_pipe {
            true => place.run_from("sealed", &["-", "at/target"]),
            false => place.run(&[options, &["sealed", "at/target"]].concat()),
        };
        let len = fs::metadata(place.target().join("sparse")).map(|found| found.len());
        let _ = fs::remove_dir_all(place.target());
        let is_told = options == from_pipe || ran.stderr.contains("warning");
        if ran.code != Some(0) || len.as_ref().ok() != Some(&(48 << 20)) || !is_told {
            assert!(Command::new("umount").arg(place.path("at")).status().unwrap().success());
            panic!("{options:?}: {:?}, {len:?}: {}", ran.code, ran.stderr);
        }
    }
    assert!(Command::new("umount").arg(place.path("at")).status().unwrap().success());
}
