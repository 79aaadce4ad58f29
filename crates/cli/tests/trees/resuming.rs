//! `seal --resume DIR`: the real program killed in the middle, and run again.
//! How much of a sealing is kept byte by byte is the library's to test.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
use std::path::PathBuf;

use rustix::fs::{CWD, Mode, mkfifoat};

use crate::fixture::{difference, list};
use crate::place::{Place, Ran, SMALL, end_of, plaintext, wait_until};
use crate::{extract, open, records, seal, with_tree};

/// With enough in it to be killed before its end.
fn place() -> Place {
    let place = with_tree();
    fs::write(place.path("tree/m-long"), plaintext(48 << 20)).unwrap();
    place
}

const RESUME: [&str; 3] = ["--resume", "--json", "--no-zstd"];

/// Runs until the first progress is reported, and kills it.
fn kill(place: &Place, more: &[&str]) {
    let command = ["seal", "-r", &place.recipient, "tree", "-o", "tree.cfd"];
    let mut sealing = place.spawn([&command[..], &SMALL, more].concat());
    let mut stderr = sealing.stderr.take().unwrap();
    stderr.read_exact(&mut [0; 1]).unwrap();
    sealing.kill().unwrap();
    sealing.wait().unwrap();
    assert!(!place.path("tree.cfd").exists(), "it had ended before");
}

/// Where the plan is kept.
fn plan_dir(place: &Place) -> PathBuf {
    let name = place.state_names().into_iter().find(|name| name.ends_with(".tree")).unwrap();
    place.states.path().join("cofferdam").join(name)
}

#[test]
fn a_killed_sealing_resumes_by_its_plan_which_is_private_and_goes_in_the_end() {
    let place = place();
    let expected = list(&place.path("tree"));
    kill(&place, &RESUME);
    assert_eq!(
        place.names(),
        [".tree.cfd.cofferdam-journal", ".tree.cfd.cofferdam-staging", "key.txt", "tree"]
    );
    assert_eq!(place.state_names().len(), 2);
    let plan = plan_dir(&place);
    assert_eq!(fs::metadata(&plan).unwrap().permissions().mode() & 0o7777, 0o700);
    for entry in fs::read_dir(&plan).unwrap() {
        assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o7777, 0o600);
    }
    let status = place.run(["status", "--json", "tree.cfd"]);
    assert_eq!(records(&status.stdout, "status")[0]["plan"], plan.to_str().unwrap());
    // What is new belongs to another tree.
    fs::write(place.path("tree/a/new"), "new").unwrap();
    let again = seal(&place, &RESUME);
    again.assert_done();
    let record = &records(&again.stdout, "sealed")[0];
    assert!(record["kept"].as_u64().unwrap() > 0, "{record}");
    assert_eq!((place.names(), place.state_names()), (names(), Vec::new()));
    assert!(!open(&place, "ls", &[]).text().contains("a/new"));
    extract(&place, "extracted");
    let mut found = list(&place.path("extracted"));
    // The time of the directory as it was walked.
    let times = [expected[b"a".as_slice()].clone(), found.remove(b"a".as_slice()).unwrap()];
    assert_eq!(times[0].modified, times[1].modified);
    found.insert(b"a".to_vec(), times[0].clone());
    assert_eq!(difference(&expected, &found), None);
    place.run(["verify", "-i", "key.txt", "tree.cfd"]).assert_done();
}

fn names() -> Vec<String> {
    ["key.txt", "tree", "tree.cfd"].map(str::to_owned).to_vec()
}

#[test]
fn a_sealing_of_another_choice_of_files_does_not_resume_and_restart_begins_anew() {
    let place = place();
    kill(&place, &RESUME);
    for other in [&["--exclude", "a"][..], &["--strict"], &["--all-file-systems"]] {
        seal(&place, &[&RESUME, other].concat()).assert_failed(8, "--restart");
    }
    // Without --resume what is kept is not thrown away.
    seal(&place, &[]).assert_failed(8, "--resume");
    assert_eq!(place.state_names().len(), 2);
    let again = seal(&place, &[&RESUME[..], &["--exclude", "a", "--restart"]].concat());
    again.assert_done();
    assert_eq!(records(&again.stdout, "sealed")[0]["kept"], 0);
    assert!(!open(&place, "ls", &[]).text().lines().any(|line| line == "a"));
    assert_eq!((place.names(), place.state_names()), (names(), Vec::new()));
}

#[test]
fn what_is_kept_of_a_tree_can_be_discarded() {
    let place = place();
    kill(&place, &RESUME);
    place.run(["discard", "tree.cfd"]).assert_done();
    assert_eq!(place.names(), ["key.txt", "tree"]);
    assert_eq!(place.state_names(), [""; 0]);
}

#[test]
fn bytes_that_are_sealed_and_no_longer_the_trees_are_an_input_that_changed() {
    let place = place();
    let killed = |name: &str, at: u64| {
        kill(&place, &RESUME);
        let file = File::options().write(true).open(place.path(name)).unwrap();
        file.write_all_at(b"other", at).unwrap();
        seal(&place, &RESUME)
    };
    // It is in the first segment.
    killed("tree/0-before-its-target", 0).assert_failed(12, "--restart");
    seal(&place, &[&RESUME[..], &["--restart"]].concat()).assert_done();
    fs::remove_file(place.path("tree.cfd")).unwrap();
    // Behind what is sealed a change is one of a file that changes: it is sealed, and flagged.
    let ran = killed("tree/m-long", 48 << 20);
    ran.assert_done();
    assert_eq!(records(&ran.stdout, "sealed")[0]["tree"]["changed_paths"][0], "m-long");
}

#[test]
fn nothing_is_begun_by_an_old_plan() {
    let place = place();
    kill(&place, &RESUME);
    for name in [".tree.cfd.cofferdam-journal", ".tree.cfd.cofferdam-staging"] {
        fs::remove_file(place.path(name)).unwrap();
    }
    fs::write(place.path("tree/a/new"), "new").unwrap();
    let ran: Ran = seal(&place, &RESUME);
    ran.assert_done();
    assert_eq!(records(&ran.stdout, "sealed")[0]["kept"], 0);
    assert!(open(&place, "ls", &[]).text().contains("a/new"));
    assert_eq!(place.state_names(), [""; 0]);
}

#[test]
fn a_killed_sealing_without_resume_leaves_no_names_of_files() {
    let place = place();
    kill(&place, &["--json", "--no-zstd"]);
    for name in place.state_names() {
        let left = place.states.path().join("cofferdam").join(&name);
        assert_eq!(fs::read_dir(&left).unwrap().count(), 0, "{name}");
    }
    fs::remove_file(place.path(".tree.cfd.cofferdam-staging")).ok();
    seal(&place, &["--no-zstd"]).assert_done();
    assert_eq!(place.state_names(), [""; 0]);
}

#[test]
fn two_sealings_into_one_output_do_not_share_a_plan() {
    let place = place();
    let command = ["seal", "-r", &place.recipient, "tree", "-o", "tree.cfd"];
    let sealing = place.spawn([&command[..], &SMALL, &RESUME].concat());
    wait_until("the plan", || place.state_names().iter().any(|name| name.ends_with(".tree")));
    let second = seal(&place, &RESUME);
    let first = end_of(sealing);
    // Whoever came second, which may be the one that was started first, was refused, or found the output in place.
    assert!(
        first.code == 0 && matches!(second.code, 6 | 9) || second.code == 0 && matches!(first.code, 6 | 9),
        "{first:?} {second:?}"
    );
    assert_eq!((place.names(), place.state_names()), (names(), Vec::new()));
    place.run(["verify", "-i", "key.txt", "tree.cfd"]).assert_done();
}

#[test]
fn what_is_no_file_in_the_plans_place_is_refused_and_not_waited_for() {
    let place = place();
    kill(&place, &RESUME);
    let directory = plan_dir(&place);
    let mut entries = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path());
    let plan = entries.find(|path| path.extension() == Some("plan".as_ref())).unwrap();
    let kept = place.path("kept");
    fs::rename(&plan, &kept).unwrap();
    let resume = || {
        let command = ["seal", "-r", &place.recipient, "tree", "-o", "tree.cfd"];
        let mut running = place.spawn([&command[..], &SMALL, &RESUME].concat());
        wait_until("the end", || running.try_wait().unwrap().is_some());
        end_of(running)
    };
    symlink(&kept, &plan).unwrap();
    resume().assert_failed(8, "--restart");
    fs::remove_file(&plan).unwrap();
    mkfifoat(CWD, &plan, Mode::RUSR | Mode::WUSR).unwrap();
    resume().assert_failed(8, "--restart");
    // Nor is one written to that has the place of the notes of what changed.
    fs::remove_file(&plan).unwrap();
    fs::rename(&kept, &plan).unwrap();
    let notes = plan.with_extension("plan.changed");
    mkfifoat(CWD, &notes, Mode::RUSR | Mode::WUSR).unwrap();
    resume().assert_failed(1, "no regular file");
    fs::remove_file(&notes).unwrap();
    resume().assert_done();
}
