//! The commit of a directory, killed before each of the system calls by which it changes something, and what others do between two of its runs.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use crate::fixture::{Listing, difference, list};
use crate::killed::is_killed;
use crate::place::Place;

const COMMIT: [&str; 4] = ["restore", "--plan", "plan", "--commit"];

/// What makes, removes, names, changes or syncs a file or a directory.
const CALLS: [&str; 17] = [
    "renameat2",
    "linkat",
    "unlinkat",
    "mkdirat",
    "symlinkat",
    "flock",
    "ftruncate",
    "chmod",
    "fchmod",
    "fchown",
    "fchownat",
    "utimensat",
    "fsetxattr",
    "lsetxattr",
    "fsync",
    "syncfs",
    "pwrite64",
];
/// Those of them that come after a directory is in place, or put it there.
const LAST_CALLS: [&str; 5] = ["renameat2", "linkat", "unlinkat", "chmod", "fsync"];

/// A few files: each call is one run.
fn make_few(root: &Path) {
    fs::create_dir(root.join("inner")).unwrap();
    fs::write(root.join("inner/file"), vec![7; 30_000]).unwrap();
    fs::write(root.join("empty"), "").unwrap();
    fs::hard_link(root.join("inner/file"), root.join("same")).unwrap();
    symlink("inner/file", root.join("link")).unwrap();
    rustix::fs::lsetxattr(root.join("same"), "user.note", b"of both", rustix::fs::XattrFlags::empty())
        .unwrap();
    fs::set_permissions(root.join("inner"), fs::Permissions::from_mode(0o750)).unwrap();
    fs::set_permissions(root, fs::Permissions::from_mode(0o711)).unwrap();
}

/// A place with two parts that have been run, and all that is in it, to begin anew from.
pub(crate) struct Saved {
    pub(crate) place: Place,
    copy: tempfile::TempDir,
}

impl Saved {
    pub(crate) fn new(old: bool, more: &[&str]) -> Saved {
        let place = Place::of_tree(make_few, "16KiB", "4KiB");
        if old {
            make_old(&place);
        }
        place
            .plan(2, if old { [&["--force"], more].concat() } else { more.to_vec() }.as_slice())
            .assert_done();
        (0..2).for_each(|part| place.part(part).assert_done());
        let saved = Saved { place, copy: tempfile::tempdir().unwrap() };
        saved.copy(saved.place.directory(), saved.copy.path());
        saved
    }

    /// The same of an archive with these members.
    fn seal_archive(&mut self, members: &[&str]) {
        let place = self.begin_anew();
        place.run(["restore", "--plan", "plan", "--give-up"]).assert_done();
        for name in ["plan", "plan.key"] {
            fs::remove_file(place.at(name)).unwrap();
        }
        let mut tar = Command::new("tar");
        tar.args(["--format=posix", "--pax-option=delete=atime,delete=ctime", "-cf", "../archive"]);
        assert!(tar.args(members).current_dir(place.at("plain")).status().unwrap().success());
        let seal = ["seal", "--force", "--tar", "--no-zstd", "--key-file", "stream.key", "-o", "sealed.cfd"];
        let sizes = ["--frame-size", "4KiB", "--segment-size", "16KiB", "archive"];
        place.run([&seal[..], &sizes].concat()).assert_done();
        fs::remove_file(place.at("archive")).unwrap();
        place.plan(2, &[]).assert_done();
        (0..2).for_each(|part| place.part(part).assert_done());
        let copy = tempfile::tempdir().unwrap();
        self.copy(place.directory(), copy.path());
        self.copy = copy;
    }

    fn copy(&self, from: &Path, to: &Path) {
        let from = from.join(".");
        assert!(Command::new("cp").arg("-a").args([&from, to]).status().unwrap().success());
    }

    /// As it was.
    pub(crate) fn begin_anew(&self) -> &Place {
        for found in fs::read_dir(self.place.directory()).unwrap() {
            let path = found.unwrap().path();
            match path.symlink_metadata().unwrap().is_dir() {
                true => fs::remove_dir_all(path).unwrap(),
                false => fs::remove_file(path).unwrap(),
            }
        }
        self.copy(self.copy.path(), self.place.directory());
        &self.place
    }
}

fn make_old(place: &Place) {
    fs::create_dir_all(place.at("target/of")).unwrap();
    fs::write(place.at("target/of/old"), "old").unwrap();
}

fn inode(place: &Place) -> Option<u64> {
    fs::metadata(place.at("target")).map(|found| found.ino()).ok()
}

/// Without the root, which gets its attributes when it is in place.
fn without_root(mut listing: Listing) -> Listing {
    listing.remove(&b""[..]);
    listing
}

#[test]
fn a_commit_that_is_killed_anywhere_leaves_the_old_directory_or_the_new_one_and_the_next_one_ends_it() {
    for (old, more, calls) in
        [(true, &[][..], &CALLS[..]), (false, &[], &LAST_CALLS), (true, &["--keep-old"], &LAST_CALLS)]
    {
        let saved = Saved::new(old, more);
        let new = list(&saved.place.at("plain"));
        let old_tree = old.then(|| without_root(list(&saved.place.at("target"))));
        let (mut kills, mut after) = (0, 0);
        for call in calls {
            for when in 1.. {
                assert!(when < 200, "{call} is called without end");
                let place = saved.begin_anew();
                let was_killed = is_killed(place, call, when, &COMMIT);
                let at = format!("{call} {when}, old {old} {more:?}");
                let found = inode(place).map(|_| without_root(list(&place.at("target"))));
                let is_new = found
                    .as_ref()
                    .is_some_and(|found| difference(found, &without_root(new.clone())).is_none());
                assert!(is_new || found == old_tree, "{at}: neither the old one nor the new one");
                let before = inode(place);
                let ran = place.commit();
                assert_eq!(ran.code, Some(0), "{at}: {ran:?}");
                assert_eq!(difference(&list(&place.at("target")), &new), None, "{at}");
                assert!(!is_new || inode(place) == before, "{at}: it was put in place twice");
                if !more.is_empty() {
                    assert_eq!(place.read("target.cofferdam-old/of/old"), b"old", "{at}");
                    fs::remove_dir_all(place.at("target.cofferdam-old")).unwrap();
                }
                place.assert_tidy();
                if !was_killed {
                    break;
                }
                kills += 1;
                after += usize::from(is_new);
            }
        }
        assert!(kills > 20 && after > 5, "{kills} {after}");
    }
}

/// Kills a commit before the first call of a name that leaves the new directory in place, and not noted.
fn killed_in_place<'a>(saved: &'a Saved, call: &str) -> &'a Place {
    for when in 1..20 {
        let place = saved.begin_anew();
        let before = inode(place);
        assert!(is_killed(place, call, when, &COMMIT), "{call} does not come in between");
        if inode(place).is_some() && inode(place) != before {
            assert!(!place.at("plan.committed").exists());
            return place;
        }
    }
    panic!("{call} never comes after the rename");
}

/// As of an archive that others have made: the tree says nothing of its root, or says it last.
#[test]
fn a_root_that_is_no_member_or_the_last_one_gets_its_mode_from_the_next_commit() {
    for (members, call, mode) in [
        (&["inner", "same"][..], "fchmod", 0o755),
        (&["inner", "same", "--no-recursion", "."], "chmod", 0o711),
    ] {
        let mut saved = Saved::new(false, &[]);
        saved.seal_archive(members);
        let place = killed_in_place(&saved, call);
        let root = || fs::metadata(place.at("target")).unwrap().permissions().mode() & 0o7777;
        assert_eq!(root(), 0o700);
        // Of the parts nothing is needed for that.
        for part in place.attempt_files("part-") {
            fs::write(part, "").unwrap();
        }
        place.commit().assert_done();
        assert_eq!(root(), mode);
        place.assert_tidy();
    }
}

/// The rename fails, and it is known that it did: the next commit is not told that the target was replaced.
#[test]
fn a_commit_whose_rename_fails_leaves_the_target_and_the_next_one_makes_it() {
    for old in [false, true] {
        let saved = Saved::new(old, &[]);
        let place = saved.begin_anew();
        let before = inode(place);
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-o", "/dev/null", "-e", "inject=renameat2:error=EIO:when=3", "--"]);
        strace.arg(env!("CARGO_BIN_EXE_cofferdam")).args(COMMIT).current_dir(place.directory());
        assert_eq!(strace.status().unwrap().code(), Some(1));
        assert_eq!(inode(place), before);
        assert!(!place.at(".target.cofferdam-staging").exists());
        place.commit().assert_done();
        assert_eq!(difference(&list(&place.at("target")), &list(&place.at("plain"))), None);
        place.assert_tidy();
    }
}

/// The engine starts on what it finds, as a node goes down in the middle of a commit: what it writes stays.
#[test]
fn what_an_engine_has_written_into_the_directory_since_stays() {
    for old in [false, true] {
        let saved = Saved::new(old, &[]);
        let place = killed_in_place(&saved, "linkat");
        fs::write(place.at("target/inner/file"), "later").unwrap();
        fs::write(place.at("target/more"), "more").unwrap();
        fs::remove_file(place.at("target/empty")).unwrap();
        let written = without_root(list(&place.at("target")));
        place.commit().assert_done();
        assert_eq!(difference(&without_root(list(&place.at("target"))), &written), None);
        place.assert_tidy();
    }
}

/// It has put another directory there.
#[test]
fn a_directory_that_was_put_there_after_a_commit_that_was_killed_is_not_replaced() {
    let saved = Saved::new(true, &[]);
    let mut kept = 0;
    for call in ["linkat", "chmod", "fsync"] {
        let place = killed_in_place(&saved, call);
        fs::rename(place.at("target"), place.at("away")).unwrap();
        make_old(place);
        let written = list(&place.at("target"));
        for _ in 0..2 {
            place.commit().assert_failed(8, "something else stands there since");
            assert_eq!(difference(&list(&place.at("target")), &written), None);
        }
        // What was replaced may be the only one left: it is named, and not removed.
        let give_up = ["restore", "--plan", "plan", "--give-up"];
        let staging = ".target.cofferdam-staging";
        if place.at(staging).exists() {
            place.run(give_up).assert_failed(1, "target.cofferdam-staging: this name is needed");
            assert_eq!(place.read(&format!("{staging}/of/old")), b"old");
            fs::rename(place.at(staging), place.at("plain/old")).unwrap();
            kept += 1;
        }
        place.run(give_up).assert_done();
        assert_eq!(difference(&list(&place.at("target")), &written), None);
        let left = ["away", "plain", "plan", "plan.key", "sealed.cfd", "stream.key", "target"];
        assert_eq!(place.names(), left);
    }
    assert!(kept > 0);
}

/// Before its rename: what it has made goes with the plan, and what was there stays.
#[test]
fn a_plan_that_is_given_up_after_a_commit_that_was_killed_leaves_nothing() {
    let saved = Saved::new(true, &[]);
    for (call, when) in [("mkdirat", 2), ("symlinkat", 1), ("renameat2", 3)] {
        let place = saved.begin_anew();
        let before = list(&place.at("target"));
        assert!(is_killed(place, call, when, &COMMIT), "{call}");
        assert!(place.at(".target.cofferdam-staging").exists(), "{call}");
        place.run(["restore", "--plan", "plan", "--give-up"]).assert_done();
        assert_eq!(difference(&list(&place.at("target")), &before), None);
        let names = ["plain", "plan", "plan.key", "sealed.cfd", "stream.key", "target"];
        assert_eq!(place.names(), names, "{call}");
    }
    // After it, it is in place: what is left to do is done, and it is noted.
    let place = killed_in_place(&saved, "linkat");
    let given_up = place.run(["restore", "--plan", "plan", "--give-up"]);
    given_up.assert_done();
    assert!(given_up.stdout.contains("has been put in place before"), "{given_up:?}");
    assert_eq!(difference(&list(&place.at("target")), &list(&place.at("plain"))), None);
    place.assert_tidy();
    place.commit().assert_done();
}

/// Whoever looks at the target, or restores to it without the plan, is told whose that is.
#[test]
fn what_a_commit_that_was_killed_has_left_is_said_to_be_a_plans() {
    let saved = Saved::new(true, &[]);
    let place = saved.begin_anew();
    assert!(is_killed(place, "symlinkat", 1, &COMMIT));
    let status = place.run(["status", "target"]);
    status.assert_done();
    assert!(status.stdout.contains("its plan's commands go on from there"), "{status:?}");
    let refused = place.run(["restore", "--force", "--key-file", "stream.key", "sealed.cfd", "target"]);
    refused.assert_failed(8, "the commit of a plan has left");
    assert!(refused.stderr.contains("--plan FILE --commit"), "{refused:?}");
    place.commit().assert_done();
    place.assert_tidy();
}

/// A file of an attempt is not what it was when the commit is run again: what is in place is not looked at, and what is not is missing.
#[test]
fn a_part_that_is_damaged_between_two_commits_is_in_nobodys_way() {
    let saved = Saved::new(true, &[]);
    let damage = |place: &Place| {
        for part in place.attempt_files("part-") {
            let len = fs::metadata(&part).unwrap().len();
            fs::OpenOptions::new().write(true).open(part).unwrap().set_len(len - 1).unwrap();
        }
    };
    let place = killed_in_place(&saved, "linkat");
    damage(place);
    place.commit().assert_done();
    assert_eq!(difference(&list(&place.at("target")), &list(&place.at("plain"))), None);
    place.assert_tidy();
    let place = saved.begin_anew();
    assert!(is_killed(place, "renameat2", 3, &COMMIT));
    assert_eq!(place.attempt_files("publishing").len(), 1);
    damage(place);
    for _ in 0..2 {
        place.commit().assert_failed(19, "missing");
        assert_eq!(place.read("target/of/old"), b"old");
    }
    (0..2).for_each(|part| place.part(part).assert_done());
    place.commit().assert_done();
    assert_eq!(difference(&list(&place.at("target")), &list(&place.at("plain"))), None);
    place.assert_tidy();
}

/// Whoever runs the second commit is told what the first would have said: where the old directory is, and what was left out.
#[test]
fn a_commit_that_finds_its_directory_in_place_says_what_the_one_before_it_had_made() {
    let place = Place::of_tree(
        |root| {
            make_few(root);
            // Without the right to make one, none is left out.
            let device = rustix::fs::FileType::CharacterDevice;
            let _ = rustix::fs::mknodat(rustix::fs::CWD, root.join("null"), device, 0o600.into(), 0x103);
        },
        "16KiB",
        "4KiB",
    );
    let has_device = place.at("plain/null").exists();
    make_old(&place);
    place.plan(2, &["--force", "--keep-old"]).assert_done();
    (0..2).for_each(|part| place.part(part).assert_done());
    let copy = tempfile::tempdir().unwrap();
    let saved = Saved { place, copy };
    saved.copy(saved.place.directory(), saved.copy.path());
    let mut told = 0;
    for (call, when) in ["renameat2", "fsync", "unlinkat", "linkat"]
        .iter()
        .flat_map(|call| (1..12).map(move |when| (call, when)))
    {
        let place = saved.begin_anew();
        let is_old = |place: &Place| place.at("target/of/old").exists();
        if !is_killed(place, call, when, &COMMIT) || is_old(place) || place.at("plan.committed").exists() {
            continue;
        }
        let ran = place.run([&COMMIT[..], &["--json"]].concat());
        ran.assert_done();
        let record: serde_json::Value = serde_json::from_str(ran.stdout.lines().last().unwrap()).unwrap();
        assert_eq!(record["was_there"], true, "{call} {when}: {record}");
        assert_eq!(fs::read(place.at("target.cofferdam-old/of/old")).unwrap(), b"old", "{call} {when}");
        if record["tree"].is_null() {
            continue;
        }
        told += 1;
        let expected = list(&place.at("plain"));
        let files = expected.len() as u64;
        let tree = &record["tree"];
        let sum: u64 = ["files", "directories", "symlinks", "hard_links", "others"]
            .iter()
            .map(|kind| tree[kind].as_u64().unwrap())
            .sum();
        assert_eq!(sum, files, "{call} {when}: {record}");
        assert_eq!(tree["devices_left_out"], u64::from(has_device), "{call} {when}: {record}");
        assert_eq!(ran.stderr.contains("being a device file"), has_device, "{call} {when}: {ran:?}");
    }
    assert!(told > 0);
    // Where nobody knows the name any more, those that it can be are said.
    let place = saved.begin_anew();
    place.commit().assert_done();
    for ran in [place.commit(), place.run(["restore", "--plan", "plan", "--give-up"])] {
        ran.assert_done();
        assert!(ran.stdout.contains("target.cofferdam-old, or that with a number"), "{ran:?}");
    }
}
