//! Large files of a tree, which attempts write to files of their own: what a commit takes of them without reading it, and when it reads all the same.

use std::collections::BTreeMap;
use std::fs::{self, File, FileTimes};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use rustix::fs::{XattrFlags, setxattr};
use rustix::process::{Pid, Signal, kill_process};

use crate::fixture::{Listing, difference, list};
use crate::killed::is_killed;
use crate::place::{Place, Ran, end_of, plaintext, started, wait_until};
use crate::vouched::Volume;

const COMMIT: [&str; 3] = ["--plan", "plan", "--commit"];

/// Files that are whole in a part, one that is in three of them, some that are too short for files of their own, and one that its owner may not read.
fn make_large(root: &Path) {
    let bytes = plaintext(900 << 10);
    fs::create_dir(root.join("inner")).unwrap();
    for (name, range) in [
        ("a", 0..100 << 10),
        ("inner/b", 1000..201_000),
        ("inner/c", 7..(80 << 10) + 7),
        ("long", 0..900 << 10),
        ("short", 0..5000),
        ("z", 77..(70 << 10) + 77),
    ] {
        fs::write(root.join(name), &bytes[range]).unwrap();
    }
    // Runs of zeros are holes, as one process leaves them.
    let holes = [&bytes[..70_000], &[0; 140_000], &bytes[..70_000]].concat();
    fs::write(root.join("holes"), holes).unwrap();
    fs::hard_link(root.join("a"), root.join("inner/same")).unwrap();
    for (name, mode) in
        [("a", 0o4751), ("inner/b", 0o440), ("inner/c", 0o000), ("z", 0o000), ("inner", 0o750)]
    {
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
}

/// Four parts, run.
fn run_in(parent: &Path, more: &[&str]) -> Place {
    let place = Place::of_tree_in(parent, make_large, "16KiB", "4KiB");
    place.plan(4, &[&["--set-id"], more].concat()).assert_done();
    (0..4).for_each(|part| place.part(part).assert_done());
    place
}

/// Where files share nothing.
fn unshared() -> PathBuf {
    PathBuf::from("/dev/shm")
}

/// Inodes of the files of members, and what is in them.
fn members(place: &Place) -> BTreeMap<u64, Vec<u8>> {
    let files = place.attempt_files("member-");
    files.iter().map(|file| (fs::metadata(file).unwrap().ino(), fs::read(file).unwrap())).collect()
}

/// Inodes of the files in the target, and what is in them.
fn target_files(place: &Place) -> BTreeMap<u64, Vec<u8>> {
    let names = ["a", "inner/b", "inner/c", "holes", "long", "short", "z"];
    let path = |name: &str| place.at("target").join(name);
    names
        .iter()
        .map(|name| (fs::metadata(path(name)).unwrap().ino(), fs::read(path(name)).unwrap()))
        .collect()
}

#[track_caller]
fn assert_restored(place: &Place) {
    assert_eq!(difference(&list(&place.at("plain")), &list(&place.at("target"))), None);
    place.assert_tidy();
}

/// Commits under strace: bytes that were read of files of members, and bytes that the system shared.
fn commit_counted(place: &Place, more: &[&str]) -> (u64, u64) {
    let traces = tempfile::tempdir().unwrap();
    let mut strace = Command::new("strace");
    strace.args([
        "-ff",
        "-y",
        "-qq",
        "-e",
        "trace=read,pread64,readv,preadv,preadv2,copy_file_range,mmap",
        "-o",
    ]);
    strace.arg(traces.path().join("calls")).arg("--").arg(env!("CARGO_BIN_EXE_cofferdam")).arg("restore");
    let ran = strace.args(COMMIT).args(more).current_dir(place.directory()).stdin(Stdio::null()).output();
    let ran = ran.unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let (mut read, mut shared) = (0, 0);
    for file in fs::read_dir(traces.path()).unwrap() {
        let calls = fs::read(file.unwrap().path()).unwrap();
        for call in String::from_utf8_lossy(&calls).lines() {
            let Some((call, result)) = call.rsplit_once(" = ") else { continue };
            // What is mapped, or fails, is more than any count.
            let count: u64 = result.parse().unwrap_or(u64::MAX / 8);
            match call.starts_with("copy_file_range(") {
                true => shared += count,
                false if call.contains("/member-") => read += count,
                false => {}
            }
        }
    }
    (read, shared)
}

/// Bytes that are in files of members, as the receipts say (docs/PARTS.md, 3.2).
fn large_len(place: &Place) -> u64 {
    let receipts = place.attempt_files("receipt-").into_iter().map(|file| fs::read_to_string(file).unwrap());
    let len = receipts.flat_map(|receipt| {
        let lens = receipt.lines().filter_map(|line| {
            let mut numbers =
                line.strip_prefix("member ")?.split(' ').map(|number| number.parse::<u64>().unwrap());
            let start = numbers.next()?;
            Some(numbers.next()? - start)
        });
        lens.collect::<Vec<_>>()
    });
    let len = len.sum();
    // But for the short ends of what is in several parts.
    let all: u64 = (100 << 10) + 200_000 + (80 << 10) + (900 << 10) + (70 << 10) + 280_000;
    assert!(len <= all && len + 4 * (64 << 10) > all, "{len} of {all}");
    len
}

#[test]
fn where_nothing_is_shared_a_file_that_is_whole_in_a_part_is_the_trees_own_as_its_attempt_has_made_it() {
    let place = run_in(&unshared(), &[]);
    let (made, large) = (members(&place), large_len(&place));
    let counted = commit_counted(&place, &[]);
    // What is in several parts is read, once; all else is not.
    let files = target_files(&place);
    let taken = files.iter().filter(|(ino, _)| made.contains_key(ino)).map(|(_, bytes)| bytes.len() as u64);
    let taken: Vec<u64> = taken.collect();
    assert!(taken.len() >= 3, "{taken:?}");
    assert_eq!(counted, (large - taken.iter().sum::<u64>(), 0));
    assert!(files.iter().all(|(ino, bytes)| made.get(ino).is_none_or(|made| made == bytes)));
    assert_restored(&place);
    let names = ["inner/b", "inner/c", "holes", "z"].map(|name| place.at("target").join(name));
    assert!(names.iter().all(|name| fs::metadata(name).unwrap().nlink() == 1));
}

#[test]
fn where_files_share_the_trees_are_its_own_and_nothing_large_is_read() {
    let Some(xfs) = Volume::xfs() else { return };
    let place = run_in(xfs.path(), &[]);
    let (made, large) = (members(&place), large_len(&place));
    assert_eq!(commit_counted(&place, &[]), (0, large));
    assert!(target_files(&place).keys().all(|ino| !made.contains_key(ino)));
    assert_restored(&place);
}

#[test]
fn all_is_read_if_it_is_to_be_compared() {
    for parent in
        [Some(unshared()), Volume::xfs().as_ref().map(|xfs| xfs.path().to_owned())].into_iter().flatten()
    {
        if !parent.is_dir() {
            continue;
        }
        let place = run_in(&parent, &[]);
        let (made, large) = (members(&place), large_len(&place));
        assert_eq!(commit_counted(&place, &["--compare"]), (large, 0));
        assert!(target_files(&place).keys().all(|ino| !made.contains_key(ino)));
        assert_restored(&place);
    }
}

/// Other bytes, and the times that were there before.
fn change_in_place(file: &Path) {
    let before = fs::metadata(file).unwrap();
    let opened = File::options().read(true).write(true).open(file).unwrap();
    let mut byte = [0];
    opened.read_exact_at(&mut byte, before.len() - 1).unwrap();
    opened.write_all_at(&byte.map(|byte| !byte), before.len() - 1).unwrap();
    let times = FileTimes::new().set_accessed(before.accessed().unwrap());
    opened.set_times(times.set_modified(before.modified().unwrap())).unwrap();
}

#[test]
fn a_file_of_a_member_that_is_not_what_its_attempt_has_made_is_read_and_refused_if_it_is_wrong() {
    let xfs = Volume::xfs();
    for parent in [Some(&*unshared()), xfs.as_ref().map(Volume::path)].into_iter().flatten() {
        let changes: [fn(&Path); 6] = [
            change_in_place,
            |file| fs::remove_file(file).unwrap(),
            |file| File::options().append(true).open(file).unwrap().set_len(70_000).unwrap(),
            |file| {
                fs::remove_file(file).unwrap();
                fs::write(file, plaintext(70_000)).unwrap();
            },
            |file| {
                fs::remove_file(file).unwrap();
                std::os::unix::fs::symlink("/etc/passwd", file).unwrap();
            },
            |file| {
                fs::remove_file(file).unwrap();
                fs::create_dir(file).unwrap();
            },
        ];
        for change in changes {
            let place = run_in(parent, &[]);
            let file = &place.attempt_files("member-2-")[0];
            change(file);
            place.commit().assert_failed(19, "1 part missing: 2");
            assert!(!place.at("target").exists());
            place.part(2).assert_done();
            place.commit().assert_done();
            assert_restored(&place);
        }
        // The same bytes in another file, or at another time: read, and right.
        let place = run_in(parent, &[]);
        for (number, file) in place.attempt_files("member-").iter().enumerate() {
            let copy = file.with_extension("copy");
            fs::copy(file, &copy).unwrap();
            match number % 2 {
                0 => fs::rename(copy, file).unwrap(),
                _ => {
                    fs::remove_file(copy).unwrap();
                    change_in_place(file);
                    change_in_place(file);
                }
            }
        }
        let made = members(&place);
        assert_eq!(commit_counted(&place, &[]).1, 0);
        assert!(target_files(&place).keys().all(|ino| !made.contains_key(ino)));
        assert_restored(&place);
    }
}

/// What was shared meanwhile is written over, zeros too.
#[test]
fn a_file_that_is_another_one_only_while_it_is_shared_leaves_nothing_in_the_tree() {
    let Some(xfs) = Volume::xfs() else { return };
    let make = |root: &Path| {
        let bytes = plaintext(140_000);
        fs::write(root.join("holes"), [&bytes[..70_000], &[0; 140_000], &bytes[70_000..]].concat()).unwrap();
    };
    let run = || {
        let place = Place::of_tree_in(xfs.path(), make, "16KiB", "4KiB");
        place.plan(1, &[]).assert_done();
        place.part(0).assert_done();
        place
    };
    let traced = |place: &Place, faults: &[String]| {
        let mut commit = Command::new("strace");
        commit.args(["-f", "-qq", "-y", "-o", "calls", "-e", "trace=statx,copy_file_range"]);
        faults.iter().for_each(|fault| _ = commit.args(["-e", &format!("inject={fault}:signal=SIGSTOP")]));
        commit.args(["--", env!("CARGO_BIN_EXE_cofferdam"), "restore"]).args(COMMIT);
        started(commit.current_dir(place.directory()).stdin(Stdio::null()))
    };
    // The last look at it before it is shared.
    let place = run();
    end_of(traced(&place, &[])).assert_done();
    let calls = fs::read_to_string(place.at("calls")).unwrap();
    let before: Vec<&str> = calls.lines().take_while(|call| !call.contains("copy_file_range")).collect();
    let statx: Vec<&&str> = before.iter().filter(|call| call.contains("statx(")).collect();
    let look = 1 + statx.iter().rposition(|call| call.contains("/member-0-")).unwrap();
    let place = run();
    let commit = traced(&place, &[format!("statx:when={look}"), "copy_file_range:when=1".to_owned()]);
    let file = place.attempt_files("member-0-")[0].clone();
    let (right, hole) = (fs::read(&file).unwrap(), 100_000);
    for (stops, byte) in [(1, b'x'), (2, 0)] {
        wait_until("the stop", || {
            let calls = fs::read_to_string(place.at("calls")).unwrap_or_default();
            calls.matches("--- SIGSTOP {").count() == stops && calls.ends_with("stopped by SIGSTOP ---\n")
        });
        File::options().write(true).open(&file).unwrap().write_all_at(&[byte], hole).unwrap();
        kill_stopped(&place, Signal::CONT);
    }
    assert_eq!(fs::read(&file).unwrap_or(right.clone()), right);
    end_of(commit).assert_done();
    fs::remove_file(place.at("calls")).unwrap();
    assert!(place.read("target/holes") == right);
    assert_restored(&place);
}

/// Before each call by which it changes something; the second one ends it, as the superuser and as somebody whom the modes that were sealed keep out.
#[test]
fn a_commit_that_is_killed_anywhere_is_ended_by_the_next_one() {
    let xfs = Volume::xfs();
    for parent in [Some(&*unshared()), xfs.as_ref().map(Volume::path)].into_iter().flatten() {
        let (mut kills, mut after) = (0, 0);
        for call in
            ["linkat", "unlinkat", "renameat2", "fchmod", "syncfs", "copy_file_range", "fsync", "mkdirat"]
        {
            for when in 1.. {
                assert!(when < 200, "{call} is called without end");
                let place = run_in(parent, &[]);
                let was_killed = is_killed(&place, call, when, &[&["restore"], &COMMIT[..]].concat());
                let at = format!("{call} {when} in {}", parent.display());
                let is_new = place.at("target").exists();
                let inodes = is_new.then(|| target_files(&place));
                let ran = place.commit();
                assert_eq!(ran.code, Some(0), "{at}: {ran:?}");
                assert!(inodes.is_none_or(|before| before == target_files(&place)), "{at}");
                assert_restored(&place);
                if !was_killed {
                    break;
                }
                kills += 1;
                after += u64::from(is_new);
            }
        }
        assert!(kills > 20 && after > 5, "{kills} {after}");
    }
}

/// The window in which the tree has the only name of its files: all of it is durable, and not in its place.
fn killed_alone(parent: &Path) -> Place {
    for when in 1..20 {
        let place = run_in(parent, &[]);
        let made = members(&place);
        let was_killed = is_killed(&place, "renameat2", when, &[&["restore"], &COMMIT[..]].concat());
        let staged = fs::metadata(place.at(".target.cofferdam-staging/z"));
        if was_killed && staged.is_ok_and(|it| made.contains_key(&it.ino()) && it.nlink() == 1) {
            return place;
        }
    }
    panic!("no commit was killed between the two");
}

#[test]
fn what_a_killed_commit_has_the_only_name_of_is_read_where_it_is_and_believed_if_it_is_right() {
    let place = killed_alone(&unshared());
    let staged = place.at(".target.cofferdam-staging");
    let before = fs::metadata(staged.join("z")).unwrap().ino();
    place.commit().assert_done();
    assert_eq!(fs::metadata(place.at("target/z")).unwrap().ino(), before);
    assert_restored(&place);
    // Somebody has changed it, or put something else there.
    let changes: [fn(&Path); 3] = [
        change_in_place,
        |file| fs::remove_file(file).unwrap(),
        |file| {
            fs::remove_file(file).unwrap();
            fs::write(file, plaintext(70 << 10)).unwrap();
        },
    ];
    for change in changes {
        let place = killed_alone(&unshared());
        change(&place.at(".target.cofferdam-staging/z"));
        place.commit().assert_failed(19, "missing");
        assert!(!place.at("target").exists());
        (0..4).for_each(|part| place.part(part).assert_done());
        place.commit().assert_done();
        assert_restored(&place);
    }
    // Nor if the second commit is killed too: nobody else removes it.
    let place = killed_alone(&unshared());
    assert!(is_killed(&place, "pwrite64", 2, &[&["restore"], &COMMIT[..]].concat()));
    place.run(["discard", "target"]).assert_failed(8, "of a plan whose commit has not ended");
    place.commit().assert_done();
    assert_restored(&place);
    // Given up, nothing is left.
    let place = killed_alone(&unshared());
    place.run(["restore", "--plan", "plan", "--give-up"]).assert_done();
    assert_eq!(place.names(), ["plain", "plan", "plan.key", "sealed.cfd", "stream.key"]);
}

/// The names that attempts have are gone by then.
#[test]
fn a_commit_whose_rename_fails_keeps_what_it_has_the_only_name_of() {
    let mut failed_alone = 0;
    for when in 1..20 {
        let place = run_in(&unshared(), &[]);
        let mut commit = Command::new("strace");
        commit.args([
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            &format!("inject=renameat2:error=EIO:when={when}"),
        ]);
        commit.args(["--", env!("CARGO_BIN_EXE_cofferdam"), "restore"]).args(COMMIT);
        let ran = Ran::of(commit.current_dir(place.directory()).stdin(Stdio::null()).output().unwrap());
        if ran.code == Some(0) {
            break;
        }
        assert!(!place.at("target").exists(), "{ran:?}");
        let staged = fs::metadata(place.at(".target.cofferdam-staging/z"));
        failed_alone += u64::from(staged.is_ok_and(|it| it.nlink() == 1));
        place.commit().assert_done();
        assert_restored(&place);
    }
    assert_eq!(failed_alone, 1);
}

/// Modes that were sealed, given to files that attempts have as well, keep this user out of them.
#[test]
fn a_user_whom_the_modes_keep_out_ends_what_was_killed() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let place = Place::of_tree_in(&unshared(), make_large, "16KiB", "4KiB");
    let nobody = 65_534;
    for name in ["", "stream.key", "sealed.cfd"] {
        std::os::unix::fs::chown(place.at(name), Some(nobody), Some(nobody)).unwrap();
    }
    let program = place.at("program");
    fs::copy(env!("CARGO_BIN_EXE_cofferdam"), &program).unwrap();
    let step = |arguments: &[&str], fault: Option<&str>| {
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-o", "/dev/null"]);
        if let Some(fault) = fault {
            command.arg("-e").arg(format!("inject={fault}"));
        }
        command.arg("--").arg(&program).arg("restore").args(arguments);
        command.env("HOME", place.directory()).current_dir(place.directory()).uid(nobody).gid(nobody);
        command.stdin(Stdio::null()).output().unwrap()
    };
    let with_key = ["--key-file", "stream.key", "--plan", "plan"];
    let plan = [&with_key[..], &["--parts", "4", "sealed.cfd", "target"]].concat();
    assert!(step(&plan, None).status.success());
    for part in ["0", "1", "2", "3"] {
        assert!(step(&[&with_key[..], &["--part", part]].concat(), None).status.success());
    }
    // All has its mode by then, and the attempts' names are there.
    let killed = step(&COMMIT, Some("syncfs:signal=KILL"));
    assert!(!killed.status.success() && place.attempt_files("member-").len() > 3);
    let closed = place.attempt_files("member-").into_iter();
    assert!(closed.map(|file| fs::metadata(file).unwrap().mode() & 0o777).any(|mode| mode == 0));
    let ran = step(&COMMIT, None);
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let sizes = |listing: Listing| listing.into_keys().collect::<Vec<_>>();
    assert_eq!(sizes(list(&place.at("target"))), sizes(list(&place.at("plain"))));
    for name in ["a", "inner/b", "inner/c", "holes", "long", "z"] {
        assert!(
            fs::read(place.at("target").join(name)).unwrap()
                == fs::read(place.at("plain").join(name)).unwrap()
        );
    }
}

/// Files that the system gives something that files of the tree would not have are copied.
#[test]
fn files_that_are_not_as_the_tree_would_have_made_them_are_copied() {
    let place = Place::of_tree_in(&unshared(), make_large, "16KiB", "4KiB");
    place.plan(4, &["--set-id"]).assert_done();
    // acl(5), and linux/posix_acl_xattr.h: version, then tag, permissions and id of each entry. One user more may read.
    let entries = [
        (0x01_u16, 6_u16, u32::MAX),
        (0x02, 4, 65_534),
        (0x04, 0, u32::MAX),
        (0x10, 4, u32::MAX),
        (0x20, 0, u32::MAX),
    ];
    let mut acl = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        acl.extend([&tag.to_le_bytes()[..], &permissions.to_le_bytes(), &id.to_le_bytes()].concat());
    }
    setxattr(place.attempts().unwrap(), "system.posix_acl_default", &acl, XattrFlags::empty()).unwrap();
    (0..4).for_each(|part| place.part(part).assert_done());
    let made = members(&place);
    place.commit().assert_done();
    assert!(target_files(&place).keys().all(|ino| !made.contains_key(ino)));
    assert_restored(&place);
}

#[test]
fn a_dead_attempts_files_go_with_the_next_one_and_those_of_a_paused_one_stay() {
    let place = Place::of_tree_in(&unshared(), make_large, "16KiB", "4KiB");
    place.plan(4, &["--set-id"]).assert_done();
    let step = ["restore", "--key-file", "stream.key", "--plan", "plan", "--part", "2"];
    assert!(is_killed(&place, "syncfs", 1, &step));
    let dead = place.attempt_files("member-2-");
    assert!(!dead.is_empty());
    // Another one has written all of its files, and is held.
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", "inject=syncfs:signal=STOP", "--"]);
    let paused = strace.arg(env!("CARGO_BIN_EXE_cofferdam"));
    let paused = started(paused.args(step).current_dir(place.directory()));
    let is_held = || place.attempt_files("member-2-").len() == 2 * dead.len() && is_stopped(&place);
    wait_until("a held attempt", is_held);
    let held: Vec<PathBuf> =
        place.attempt_files("member-2-").into_iter().filter(|file| !dead.contains(file)).collect();
    let hours_ago = SystemTime::now() - Duration::from_secs(7200);
    let files = place.attempt_files("member-2-").into_iter().chain(place.attempt_files(".part-2-"));
    files.for_each(|file| File::options().write(true).open(file).unwrap().set_modified(hours_ago).unwrap());
    place.part(2).assert_done();
    assert!(dead.iter().all(|file| !file.exists()), "what a dead attempt has left is there");
    assert!(held.iter().all(|file| file.exists()), "a paused attempt has lost its files");
    [0, 1, 3].into_iter().for_each(|part| place.part(part).assert_done());
    place.commit().assert_done();
    let before = target_files(&place);
    kill_stopped(&place, Signal::CONT);
    end_of(paused).assert_done();
    assert_eq!(target_files(&place), before);
    assert_restored(&place);
}

/// Processes in the place's directory that a signal has stopped.
fn stopped(place: &Place) -> Vec<Pid> {
    let processes = fs::read_dir("/proc").unwrap().filter_map(|found| {
        let number: i32 = found.unwrap().file_name().to_str()?.parse().ok()?;
        let is_here = fs::read_link(format!("/proc/{number}/cwd")).is_ok_and(|cwd| cwd == place.directory());
        let stat = fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
        let state = stat.rsplit_once(") ")?.1.chars().next()?;
        (is_here && matches!(state, 'T' | 't')).then(|| Pid::from_raw(number))?
    });
    processes.collect()
}

fn is_stopped(place: &Place) -> bool {
    !stopped(place).is_empty()
}

fn kill_stopped(place: &Place, signal: Signal) {
    stopped(place).into_iter().for_each(|process| kill_process(process, signal).unwrap());
}
