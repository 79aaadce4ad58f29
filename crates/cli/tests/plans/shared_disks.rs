//! File systems that many machines share. Their clients take no flag of renameat2(2) (NFS, CephFS, GlusterFS), and a file that is removed while
//! it is open keeps a name there until it is closed (NFS, libfuse).

use std::fs;
use std::process::{Command, Stdio};

use servers::installed::is_skipped_without;

use crate::fixture::{difference, list, make_tree};
use crate::place::{Place, Ran};
use crate::shards::Snapshot;

const COMMIT: [&str; 4] = ["restore", "--plan", "plan", "--commit"];
const NO_FLAGS: &str = "renameat2:error=EINVAL";

/// Runs a step as on a file system whose renames take no flag; `more` is injected as well.
fn without_flags(place: &Place, more: &[&str], step: &[&str]) -> Ran {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null"]);
    for fault in [&[NO_FLAGS], more].concat() {
        command.arg("-e").arg(format!("inject={fault}"));
    }
    command.arg("--").arg(env!("CARGO_BIN_EXE_cofferdam")).args(step).current_dir(place.directory());
    Ran::of(command.stdin(Stdio::null()).output().unwrap())
}

fn plan(more: &'static [&'static str]) -> Vec<&'static str> {
    let plan = ["restore", "--key-file", "stream.key", "--plan", "plan", "--parts", "2"];
    [&plan[..], more, &["sealed.cfd", "target"]].concat()
}

fn part(number: &str) -> [&str; 7] {
    ["restore", "--key-file", "stream.key", "--plan", "plan", "--part", number]
}

fn tree() -> Place {
    Place::of_tree(make_tree, "16KiB", "4KiB")
}

#[test]
fn a_new_directory_is_made_by_parts_where_renames_take_no_flags() {
    let place = tree();
    for step in [&plan(&["--set-id"])[..], &part("0"), &part("1"), &COMMIT] {
        without_flags(&place, &[], step).assert_done();
    }
    assert_eq!(difference(&list(&place.at("target")), &list(&place.at("plain"))), None);
    place.assert_tidy();
}

/// What has come to the name since is looked at, and stays: also an empty directory, which rename(2) would replace.
#[test]
fn what_has_come_to_the_targets_name_stays_where_renames_take_no_flags() {
    let place = tree();
    for step in [&plan(&[])[..], &part("0"), &part("1")] {
        without_flags(&place, &[], step).assert_done();
    }
    fs::create_dir(place.at("target")).unwrap();
    let before = list(&place.at("target"));
    without_flags(&place, &[], &COMMIT).assert_failed(6, "target");
    assert_eq!(difference(&list(&place.at("target")), &before), None);
    fs::remove_dir(place.at("target")).unwrap();
    without_flags(&place, &[], &COMMIT).assert_done();
    place.assert_tidy();
}

/// Not after all parts have been run.
#[test]
fn a_directory_that_could_not_be_replaced_is_refused_when_it_is_planned() {
    let place = tree();
    fs::create_dir(place.at("target")).unwrap();
    fs::write(place.at("target/old"), "old").unwrap();
    let planned = without_flags(&place, &[], &plan(&["--force"]));
    planned.assert_failed(1, "exchange their names");
    assert!(!place.at("plan").exists() && place.attempts().is_none());
    assert_eq!(place.read("target/old"), b"old");
    assert!(!place.names().iter().any(|name| name.contains("probe")), "{:?}", place.names());
}

#[test]
fn shards_become_a_directory_where_renames_take_no_flags() {
    let snapshot = Snapshot::new(3);
    let place = &snapshot.place;
    let restore = ["restore", "--key-file", "stream.key", "--manifest", "--signed-by", "signer.pub"];
    let restore = [&restore[..], &["may.manifest", "target"]].concat();
    // Killed when all shards are there, and run again by somebody else: the lock has gone with the one who had it.
    let killed = without_flags(place, &["renameat:signal=KILL:when=1"], &restore);
    assert!(killed.code != Some(0) && !place.at("target").exists(), "{killed:?}");
    without_flags(place, &[], &restore).assert_done();
    snapshot.assert_restored(1);
}

/// Another machine has no part in what `flock` says of a directory on NFS: the file in it keeps it out.
#[test]
fn a_file_keeps_others_out_of_the_private_directory_of_shards() {
    let snapshot = Snapshot::new(2);
    let place = &snapshot.place;
    fs::rename(place.at("shard-01.cfd"), place.at("away")).unwrap();
    snapshot.restore("may.manifest", &[]).assert_failed(1, "shard shard-01");
    fs::rename(place.at("away"), place.at("shard-01.cfd")).unwrap();
    let other = fs::File::open(place.at(".target.cofferdam-shards/lock")).unwrap();
    rustix::fs::flock(&other, rustix::fs::FlockOperation::LockExclusive).unwrap();
    snapshot.restore("may.manifest", &[]).assert_failed(9, "another process is at work");
    place.run(["discard", "target"]).assert_failed(9, "another process is at work");
    assert!(place.at(".target.cofferdam-shards/shards/shard-00").exists());
    drop(other);
    snapshot.restore("may.manifest", &[]).assert_done();
    snapshot.assert_restored(1);
}

/// Where a link stands in for a rename without replacing, there are two names of one file for a moment.
#[test]
fn whoever_was_killed_while_a_probe_had_two_names_is_followed_by_the_same_command() {
    let place = Place::small();
    let restore = ["restore", "--key-file", "stream.key", "sealed.cfd", "target"];
    for step in [&restore[..], &plan(&[]), &part("0"), &part("1"), &COMMIT] {
        let killed = without_flags(&place, &["unlinkat:signal=KILL:when=1"], step);
        let again = without_flags(&place, &[], step);
        assert_eq!(again.code, Some(0), "{step:?}: {killed:?}, then {again:?}");
        if step == restore {
            assert_eq!(place.read("target"), place.read("plain"));
            fs::remove_file(place.at("target")).unwrap();
        }
    }
    assert_eq!(place.read("target"), place.read("plain"));
    place.assert_tidy();
}

/// The lock's own file is closed before its directory is removed.
#[test]
fn nothing_stays_of_a_plan_where_open_files_keep_a_name() {
    if is_skipped_without(&["ntfs-3g", "mkntfs", "unshare"]) {
        return;
    }
    let place = Place::small();
    let cofferdam = env!("CARGO_BIN_EXE_cofferdam");
    let lines = format!(
        "mkdir at; truncate -s 16M volume; mkntfs -F -Q -q volume >mkntfs.log || exit 77
        ntfs-3g -o permissions volume at >mount.log || exit 77
        cp sealed.cfd stream.key at; cd at; set -e
        step() {{ {cofferdam} restore --plan \"$@\"; }}; key='--key-file stream.key'
        for plan in given committed; do step $plan $key --parts 2 sealed.cfd target; step $plan $key --part 0; step $plan $key --part 1; done
        step given --give-up; step committed --commit
        cmp target ../plain; cd ..; ls -A at; umount at"
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &lines]).current_dir(place.directory());
    let ran = Ran::of(command.stdin(Stdio::null()).output().unwrap());
    if ran.code == Some(77) {
        println!("skipped: nothing can be mounted here: {}", ran.stderr);
        return;
    }
    ran.assert_done();
    let left: Vec<&str> = ran.stdout.lines().filter(|line| line.starts_with('.')).collect();
    assert!(left.is_empty(), "{left:?}: {}", ran.stdout);
    assert!(!ran.stderr.contains("could not be removed"), "{}", ran.stderr);
}
