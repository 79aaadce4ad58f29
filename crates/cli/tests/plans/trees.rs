//! Directories restored by many processes: each step, its second run, and what it refuses. What is expected is the directory that was sealed,
//! and what one process makes of it.

use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Child, Command};

use crate::fixture::{Listing, difference, list, make_tree};
use crate::place::{Place, Ran, end_of, started};

/// One of everything, files over several parts, and some hundred small ones.
fn make_many(root: &Path) {
    make_tree(root);
    for number in 0..300 {
        let directory = root.join(format!("many/{}", number % 7));
        fs::create_dir_all(&directory).unwrap();
        let bytes: Vec<u8> = (0..number * 13).map(|at| (at % 251) as u8).collect();
        fs::write(directory.join(format!("file {number}")), bytes).unwrap();
    }
}

fn sealed() -> Place {
    Place::of_tree(make_many, "256KiB", "64KiB")
}

/// Plans, and runs all parts, several at once.
fn with_parts(parts: u64, more: &[&str]) -> Place {
    let place = sealed();
    place.plan(parts, more).assert_done();
    run_all(&place, parts);
    place
}

fn run_all(place: &Place, parts: u64) {
    let workers: Vec<Child> = (0..parts).map(|part| started(&mut place.part_command(part))).collect();
    workers.into_iter().map(end_of).for_each(|ran| ran.assert_done());
}

#[track_caller]
fn assert_same(one: &Listing, other: &Listing) {
    assert_eq!(difference(one, other), None);
}

/// What changes of a file if anybody writes to it, replaces it, or sets an attribute of it.
fn stamps(root: &Path) -> Vec<(String, u64, i64, i64)> {
    let mut stamps: Vec<_> = list(root)
        .keys()
        .map(|name| {
            use std::os::unix::ffi::OsStrExt as _;
            let found = root.join(std::ffi::OsStr::from_bytes(name)).symlink_metadata().unwrap();
            (name.escape_ascii().to_string(), found.ino(), found.ctime(), found.ctime_nsec())
        })
        .collect();
    stamps.sort();
    stamps
}

#[test]
fn four_processes_make_the_directory_that_was_sealed_and_the_second_commit_does_nothing() {
    let place = with_parts(4, &["--set-id"]);
    assert!(!place.at("target").exists());
    let committed = place.run(["restore", "--json", "--plan", "plan", "--commit"]);
    committed.assert_done();
    let record: serde_json::Value = serde_json::from_str(&committed.stdout).unwrap();
    let [plain, target] = [place.at("plain"), place.at("target")];
    assert_same(&list(&plain), &list(&target));
    let files = list(&plain).values().filter(|found| found.kind_and_mode & 0o170_000 == 0o100_000).count();
    assert_eq!((&record["tree"]["files"], &record["tree"]["hard_links"]), (&(files - 2).into(), &2.into()));
    place.assert_tidy();
    // Another program says so, too: links, attributes, and no byte.
    let mut rsync = Command::new("rsync");
    rsync.args(["-aHAXni", "--checksum", "--delete", "plain/", "target/"]).current_dir(place.directory());
    let said = rsync.output().unwrap();
    assert!(said.status.success());
    assert_eq!(String::from_utf8_lossy(&said.stdout), "");
    // Holes stay holes: as many blocks as one process takes.
    place.run(["restore", "--key-file", "stream.key", "--set-id", "sealed.cfd", "alone"]).assert_done();
    let blocks = |name: &str| fs::metadata(place.at(name)).unwrap().blocks();
    assert_eq!(blocks("target/sparse"), blocks("alone/sparse"));
    assert!(blocks("target/sparse") * 512 < 5 << 20);
    fs::remove_dir_all(place.at("alone")).unwrap();
    let before = stamps(&target);
    let again = place.commit();
    again.assert_done();
    assert!(again.stdout.contains("before"), "{again:?}");
    (0..4).for_each(|part| place.part(part).assert_done());
    assert_eq!(stamps(&target), before);
    // Whatever has become of it since.
    fs::remove_dir_all(&target).unwrap();
    place.commit().assert_done();
    assert!(!target.exists());
}

/// The plan keeps what whoever planned said; whoever commits is not asked.
#[test]
fn what_decides_how_a_directory_is_made_is_the_plans() {
    for options in [&[][..], &["--numeric-owner"], &["--no-owner", "--set-id"]] {
        let place = with_parts(3, options);
        place.commit().assert_done();
        let alone = ["restore", "--key-file", "stream.key"];
        place.run([&alone[..], options, &["sealed.cfd", "alone"]].concat()).assert_done();
        assert_same(&list(&place.at("alone")), &list(&place.at("target")));
        let is_set = fs::metadata(place.at("target/a/b/1")).unwrap().mode() & 0o4000 != 0;
        assert_eq!(is_set, options.contains(&"--set-id"));
    }
    let place = sealed();
    place.plan(3, &["--set-id"]).assert_done();
    place.plan(3, &["--set-id"]).assert_done();
    place.plan(3, &[]).assert_failed(8, "plans something else already");
    for option in ["--set-id", "--numeric-owner", "--devices"] {
        let commit = ["restore", "--plan", "plan", "--commit", option];
        place.run(commit).assert_failed(2, "the plan says how a directory is made");
    }
}

/// As one process does: a directory is replaced as a whole, and removed or kept.
#[test]
fn a_directory_is_replaced_only_if_the_plan_says_so_and_kept_if_it_says_that() {
    for keep in [false, true] {
        let place = sealed();
        fs::create_dir_all(place.at("target/old")).unwrap();
        fs::write(place.at("target/old/file"), "old").unwrap();
        place.plan(3, &["--set-id"]).assert_failed(6, "target");
        let more: &[&str] =
            if keep { &["--force", "--keep-old", "--set-id"] } else { &["--force", "--set-id"] };
        place.plan(3, more).assert_done();
        run_all(&place, 3);
        assert_eq!(place.read("target/old/file"), b"old");
        let committed = place.commit();
        committed.assert_done();
        assert_same(&list(&place.at("plain")), &list(&place.at("target")));
        assert_eq!(committed.stdout.contains("target.cofferdam-old"), keep, "{committed:?}");
        if keep {
            assert_eq!(place.read("target.cofferdam-old/old/file"), b"old");
            fs::remove_dir_all(place.at("target.cofferdam-old")).unwrap();
        }
        place.assert_tidy();
    }
}

/// It has come since the plan was made, and is somebody's.
#[test]
fn a_directory_that_has_appeared_is_not_replaced() {
    let place = with_parts(3, &["--set-id"]);
    fs::create_dir(place.at("target")).unwrap();
    fs::write(place.at("target/file"), "somebody's").unwrap();
    let before = stamps(&place.at("target"));
    for _ in 0..2 {
        place.commit().assert_failed(6, "plan again with --force");
        assert_eq!(stamps(&place.at("target")), before);
    }
    fs::rename(place.at("target"), place.at("away")).unwrap();
    place.commit().assert_done();
    assert_same(&list(&place.at("plain")), &list(&place.at("target")));
    fs::remove_dir_all(place.at("away")).unwrap();
    place.assert_tidy();
}

#[test]
fn what_no_plan_of_a_directory_can_mean_is_refused_before_anything_is_made() {
    let place = sealed();
    let plan = |more: &[&str], ends: [&str; 2]| {
        let plan = ["restore", "--key-file", "stream.key", "--parts", "2", "--plan"];
        place.run([&plan[..], more, &ends].concat())
    };
    fs::create_dir_all(place.at("old/inner")).unwrap();
    fs::write(place.at("file"), "a file").unwrap();
    symlink("old", place.at("link")).unwrap();
    plan(&["plan", "--into"], ["sealed.cfd", "old"]).assert_failed(2, "--into: a plan is for a directory");
    plan(&["plan", "--path", "a"], ["sealed.cfd", "target"]).assert_failed(2, "--path: a plan is for");
    plan(&["plan", "--keep-old"], ["sealed.cfd", "target"]).assert_failed(2, "--force");
    for inside in ["old/plan", "old/inner/plan"] {
        let refused = plan(&[inside, "--force", "--plan-key", "key"], ["sealed.cfd", "old"]);
        refused.assert_failed(2, "the plan would lie in the directory that is to be replaced");
        let key = ["plan", "--force", "--keep-old", "--plan-key", inside];
        plan(&key, ["sealed.cfd", "old"]).assert_failed(2, "the plan's key would lie in the directory");
    }
    fs::copy(place.at("sealed.cfd"), place.at("old/inner/sealed.cfd")).unwrap();
    plan(&["plan", "--force"], ["old/inner/sealed.cfd", "old"]).assert_failed(2, "would be removed with it");
    plan(&["plan", "--force"], ["sealed.cfd", "file"]).assert_failed(2, "this is a regular file");
    plan(&["plan", "--force"], ["sealed.cfd", "link"]).assert_failed(6, "this is a symbolic link");
    // Of a file nothing of a directory can be said.
    let small = Place::small();
    small.plan(2, &["--set-id"]).assert_failed(2, "an option is for directories");
    assert!(fs::read_dir(place.directory()).unwrap().all(|found| {
        let name = found.unwrap().file_name();
        !name.to_str().unwrap().starts_with(".") && name != "plan"
    }));
    assert_eq!(place.read("file"), b"a file");
}

/// A slash at the end is none of a directory's name; and a worker that starts elsewhere finds it.
#[test]
fn a_directory_may_be_named_with_a_slash() {
    let place = sealed();
    let plan = ["restore", "--key-file", "stream.key", "--plan", "plan", "--parts", "2", "--set-id"];
    place.run([&plan[..], &["sealed.cfd", "target/"]].concat()).assert_done();
    run_all(&place, 2);
    place.commit().assert_done();
    assert_same(&list(&place.at("plain")), &list(&place.at("target")));
    place.assert_tidy();
}

/// The one with the catalog, and one in the middle: another attempt's is taken, and where there is none the part is missing.
#[test]
fn a_part_that_is_not_what_its_receipt_says_is_missing_or_another_attempts_is_taken() {
    for part in [0, 2, 5] {
        let place = with_parts(6, &["--set-id"]);
        let [file] = place.attempt_files(&format!("part-{part}-")).try_into().unwrap();
        let len = fs::metadata(&file).unwrap().len();
        let opened = fs::OpenOptions::new().read(true).write(true).open(&file).unwrap();
        // In the middle, and where a catalog has its end.
        for at in [len / 2, len - 1] {
            let mut byte = [0];
            opened.read_exact_at(&mut byte, at).unwrap();
            opened.write_all_at(&[byte[0] ^ 1], at).unwrap();
        }
        let words = format!("1 part missing: {part}");
        place.commit().assert_failed(19, &words);
        place.commit().assert_failed(19, &words);
        assert!(!place.at("target").exists());
        place.part(part).assert_done();
        place.commit().assert_done();
        assert_same(&list(&place.at("plain")), &list(&place.at("target")));
        place.assert_tidy();
    }
}

#[test]
fn parts_without_a_receipt_and_shorter_files_are_missing_all_at_once() {
    let place = with_parts(5, &["--set-id"]);
    for receipt in place.attempt_files("receipt-1-") {
        fs::remove_file(receipt).unwrap();
    }
    // Of one part the file of a member, of the other the part's own.
    for files in [place.attempt_files("member-3-"), place.attempt_files("part-4-")] {
        let opened = fs::OpenOptions::new().write(true).open(&files[0]).unwrap();
        opened.set_len(fs::metadata(&files[0]).unwrap().len() - 1).unwrap();
    }
    place.commit().assert_failed(19, "1 part missing: 1");
    place.part(1).assert_done();
    place.commit().assert_failed(19, "parts missing: 3-4");
    run_all(&place, 5);
    place.commit().assert_done();
    assert_same(&list(&place.at("plain")), &list(&place.at("target")));
    place.assert_tidy();
}

#[test]
fn of_coordinators_at_once_one_makes_the_directory_and_the_others_say_so() {
    let place = with_parts(4, &["--set-id"]);
    let commits: Vec<_> = (0..5).map(|_| started(&mut place.commit_command())).collect();
    let said: Vec<Ran> = commits.into_iter().map(end_of).collect();
    assert!(said.iter().all(|ran| matches!(ran.code, Some(0 | 9))), "{said:?}");
    let first = said.iter().filter(|ran| ran.code == Some(0) && !ran.stdout.contains("before"));
    assert_eq!(first.count(), 1, "{said:?}");
    assert_same(&list(&place.at("plain")), &list(&place.at("target")));
    place.assert_tidy();
}

/// Of one process, and of another stream: it is kept, and refused.
#[test]
fn what_an_interrupted_restore_has_left_is_not_taken_for_a_commit_of_the_plan() {
    let place = with_parts(3, &["--set-id"]);
    let mut sealed = place.read("sealed.cfd");
    let middle = sealed.len() / 2;
    sealed[middle] ^= 1;
    fs::write(place.at("damaged.cfd"), sealed).unwrap();
    assert_eq!(place.run(["restore", "--key-file", "stream.key", "damaged.cfd", "target"]).code, Some(3));
    assert!(place.at(".target.cofferdam-staging").exists());
    let kept = stamps(&place.at(".target.cofferdam-staging"));
    place.commit().assert_failed(8, "an interrupted restore of something else is kept beside the target");
    assert_eq!(stamps(&place.at(".target.cofferdam-staging")), kept);
    // Nor is it given up with the plan.
    place.run(["restore", "--plan", "plan", "--give-up"]).assert_done();
    assert_eq!(stamps(&place.at(".target.cofferdam-staging")), kept);
}

/// TREE T5.4, as one process does: a file of the archive, to the byte, with the mode that the plan says.
#[test]
fn a_tree_without_a_catalog_becomes_the_file_of_its_archive() {
    let place = sealed();
    let long = "n".repeat(120);
    fs::write(place.at(&format!("plain/{long}")), "of a long name").unwrap();
    // GNU's own format is outside of the profile.
    let mut tar = Command::new("tar");
    tar.args(["--format=gnu", "-cf", "archive.tar", "plain"]).current_dir(place.directory());
    assert!(tar.status().unwrap().success());
    let seal = ["seal", "--force", "--tar", "--key-file", "stream.key", "-o", "sealed.cfd", "archive.tar"];
    let sizes = ["--no-zstd", "--frame-size", "64KiB", "--segment-size", "256KiB"];
    let ran = place.run([&seal[..], &sizes].concat());
    ran.assert_done();
    assert!(ran.stderr.contains("has no catalog"), "{ran:?}");
    place.plan(4, &["--set-id"]).assert_failed(2, "an option is for directories");
    place.plan(4, &[]).assert_done();
    run_all(&place, 4);
    place.commit().assert_done();
    assert_eq!(place.read("target"), place.read("archive.tar"));
    place.run(["restore", "--key-file", "stream.key", "sealed.cfd", "alone"]).assert_done();
    assert_eq!(place.read("alone"), place.read("archive.tar"));
    let mode = |name: &str| fs::metadata(place.at(name)).unwrap().permissions().mode();
    assert_eq!(mode("target"), mode("alone"));
    place.commit().assert_done();
}

/// What is made of an archive by others: its root is no member of it.
#[test]
fn a_directory_without_a_member_for_its_root_gets_the_mode_that_one_process_gives_it() {
    let place = sealed();
    let names = ["a", "a.txt", "many"];
    let tar = Command::new("tar")
        .args(["--format=posix", "--pax-option=delete=atime,delete=ctime", "-cf", "../archive.tar"])
        .args(names)
        .current_dir(place.at("plain"))
        .status();
    assert!(tar.unwrap().success());
    let seal = ["seal", "--force", "--tar", "--key-file", "stream.key", "-o", "sealed.cfd", "archive.tar"];
    place.run([&seal[..], &["--frame-size", "64KiB", "--segment-size", "256KiB"]].concat()).assert_done();
    place.plan(3, &[]).assert_done();
    run_all(&place, 3);
    place.commit().assert_done();
    place.run(["restore", "--key-file", "stream.key", "sealed.cfd", "alone"]).assert_done();
    let [mut target, mut alone] = ["target", "alone"].map(|name| list(&place.at(name)));
    assert_eq!(target[&b""[..]].kind_and_mode, alone[&b""[..]].kind_and_mode);
    // The root's time is that of each restore.
    for listing in [&mut target, &mut alone] {
        listing.remove(&b""[..]);
    }
    assert_same(&alone, &target);
}
