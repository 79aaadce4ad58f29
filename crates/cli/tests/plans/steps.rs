//! Each step of a plan: what it does, what its second run does, and what it refuses.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::PathBuf;

use crate::place::{Place, Ran, end_of, plaintext, started};

/// Plans, and runs all parts.
fn with_parts(parts: u64, more: &[&str]) -> Place {
    let place = Place::small();
    place.plan(parts, more).assert_done();
    (0..parts).for_each(|part| place.part(part).assert_done());
    place
}

fn status(place: &Place) -> serde_json::Value {
    let ran = place.run(["restore", "--json", "--plan", "plan", "--status"]);
    ran.assert_done();
    serde_json::from_str(&ran.stdout).unwrap()
}

#[test]
fn a_stream_that_is_planned_run_in_parts_and_committed_is_what_was_sealed() {
    let place = Place::small();
    fs::set_permissions(place.at("plain"), fs::Permissions::from_mode(0o640)).unwrap();
    let sealed = ["seal", "--force", "--key-file", "stream.key", "-o", "sealed.cfd", "--frame-size", "4KiB"];
    place.run([&sealed[..], &["--segment-size", "16KiB", "plain"]].concat()).assert_done();
    let planned = place.plan(3, &[]);
    planned.assert_done();
    assert!(planned.stdout.contains("in 3 parts"), "{planned:?}");
    assert!(place.plan(3, &[]).stdout.starts_with("planned before"));
    assert_eq!(status(&place)["missing"], serde_json::json!([0, 1, 2]));
    for part in [2, 0, 1] {
        assert!(!place.at("target").exists());
        place.part(part).assert_done();
        let again = place.part(part);
        again.assert_done();
        assert!(again.stdout.contains("was there before"), "{again:?}");
        assert_eq!(place.attempt_files("receipt-").len() as u64, [2, 3, 1][part as usize]);
    }
    assert_eq!(status(&place)["missing"], serde_json::json!([]));
    assert!(!place.at("target").exists());
    place.commit().assert_done();
    assert_eq!(place.read("target"), place.read("plain"));
    let [plain, target] = ["plain", "target"].map(|name| fs::metadata(place.at(name)).unwrap());
    assert_eq!((target.mode() & 0o7777, target.mtime()), (0o640, plain.mtime()));
    place.assert_tidy();
    assert!(place.commit().stdout.contains("before"));
    assert!(place.part(1).stdout.contains("has been committed"));
    assert_eq!(status(&place)["committed"], true);
    assert_eq!(fs::metadata(place.at("target")).unwrap().ino(), target.ino());
}

/// Everything ends with 0 under the name of a plan that was committed: so it is said that nothing is done.
#[test]
fn a_committed_plan_whose_target_has_gone_says_so_and_how_to_restore_again() {
    let place = with_parts(2, &[]);
    place.commit().assert_done();
    let told = || place.run(["restore", "--plan", "plan", "--status"]).stdout;
    assert!(told().contains("has put it in place") && !told().contains("nothing is there"), "{}", told());
    assert_eq!(status(&place)["there"], true);
    fs::remove_file(place.at("target")).unwrap();
    assert!(told().contains("nothing is there any more"), "{}", told());
    assert_eq!(status(&place)["there"], false);
    let again = place.commit();
    again.assert_done();
    assert!(again.stderr.contains("nothing is there any more"), "{again:?}");
    let planned = place.plan(2, &[]);
    planned.assert_done();
    assert!(planned.stdout.starts_with("committed before"), "{planned:?}");
    assert!(planned.stdout.contains("or remove plan, plan.key and "), "{planned:?}");
    let record: serde_json::Value = serde_json::from_str(&place.plan(2, &["--json"]).stdout).unwrap();
    assert_eq!((&record["committed"], &record["was_there"]), (&true.into(), &true.into()));
    for name in ["plan", "plan.key", "plan.committed"] {
        fs::remove_file(place.at(name)).unwrap();
    }
    place.plan(2, &[]).assert_done();
    (0..2).for_each(|part| place.part(part).assert_done());
    place.commit().assert_done();
    assert_eq!(place.read("target"), place.read("plain"));
}

/// It had a right receipt: the storage is bad, or somebody writes there. To run it again is not all that there is to do.
#[test]
fn a_part_that_was_changed_after_its_receipt_is_told_from_one_that_was_not_run() {
    let place = with_parts(3, &[]);
    let commit = || -> serde_json::Value {
        let ran = place.run(["restore", "--json", "--plan", "plan", "--commit"]);
        ran.assert_failed(19, "");
        serde_json::from_str(ran.stderr.lines().last().unwrap()).unwrap()
    };
    let [file] = place.attempt_files("part-1").try_into().unwrap();
    let mut bytes = fs::read(&file).unwrap();
    bytes[30_000] ^= 1;
    fs::write(&file, bytes).unwrap();
    for (missing, wrong) in [("[1]", "[1]"), ("[1]", "[]")] {
        let error = commit();
        assert_eq!(
            (&*error["missing"].to_string(), &*error["wrong"].to_string()),
            (missing, wrong),
            "{error}"
        );
        let is_told = error["message"].as_str().unwrap().contains("changed or removed after its receipt");
        assert_eq!(is_told, wrong == "[1]", "{error}");
        assert_eq!(error["kind"], "parts-missing");
    }
    place.part(1).assert_done();
    // Who runs it finds what the status tells.
    let [file] = place.attempt_files("part-2").try_into().unwrap();
    let len = fs::metadata(&file).unwrap().len();
    fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(len - 1).unwrap();
    assert_eq!(status(&place)["missing"], serde_json::json!([2]));
    place.part(2).assert_done();
    assert_eq!(status(&place)["missing"], serde_json::json!([]));
    place.commit().assert_done();
    assert_eq!(place.read("target"), place.read("plain"));
}

/// What is at the target after the commit is its owner's, and no business of the plan.
#[test]
fn a_target_that_changed_after_the_commit_is_left_alone() {
    let place = with_parts(2, &[]);
    place.commit().assert_done();
    fs::write(place.at("target"), "a newer state").unwrap();
    place.commit().assert_done();
    fs::remove_file(place.at("target")).unwrap();
    place.commit().assert_done();
    assert!(!place.at("target").exists());
}

#[test]
fn every_number_of_parts_up_to_one_for_each_segment_will_do() {
    for parts in [1, 2, 16, 17] {
        let place = with_parts(parts, &[]);
        place.commit().assert_done();
        assert_eq!(place.read("target"), place.read("plain"), "{parts}");
    }
    let place = Place::small();
    place.plan(18, &[]).assert_failed(2, "17 segments");
    assert_eq!(place.names(), ["plain", "sealed.cfd", "stream.key"]);
}

#[test]
fn an_empty_stream_and_one_of_zeros_are_parts_too() {
    for plain in [Vec::new(), vec![0; 100_000], [plaintext(20_000), vec![0; 200_000]].concat()] {
        let place = Place::new(&plain, "16KiB", "4KiB");
        let parts = plain.len().div_ceil(16 * 1024).clamp(1, 4) as u64;
        place.plan(parts, &[]).assert_done();
        (0..parts).for_each(|part| place.part(part).assert_done());
        place.commit().assert_done();
        assert!(place.read("target") == plain);
    }
}

#[test]
fn parts_that_are_missing_are_named_and_nothing_is_touched() {
    let place = Place::small();
    place.plan(6, &[]).assert_done();
    [1, 4].into_iter().for_each(|part| place.part(part).assert_done());
    place.commit().assert_failed(19, "4 parts missing: 0, 2-3, 5");
    assert!(!place.at("target").exists());
    let state = place.run(["restore", "--plan", "plan", "--status"]);
    assert!(state.stdout.contains("2 of 6 parts have been run; missing: 0, 2-3, 5"), "{state:?}");
    // A receipt that is lost is one that there is not; the next attempt makes another.
    place.attempt_files("receipt-4").into_iter().for_each(|receipt| fs::remove_file(receipt).unwrap());
    [0, 2, 3, 5].into_iter().for_each(|part| place.part(part).assert_done());
    place.commit().assert_failed(19, "1 part missing: 4");
    place.part(4).assert_done();
    place.commit().assert_done();
    assert_eq!(place.read("target"), place.read("plain"));
}

#[test]
fn a_part_whose_file_is_wrong_is_named_removed_and_run_again() {
    for damage in [
        |bytes: &mut Vec<u8>| bytes[5000] ^= 1,
        |bytes: &mut Vec<u8>| bytes.truncate(bytes.len() - 1),
        |bytes: &mut Vec<u8>| bytes.push(0),
        |bytes: &mut Vec<u8>| bytes.rotate_left(4096),
    ] {
        let place = with_parts(4, &[]);
        for part in ["part-1", "part-3"] {
            let [file] = place.attempt_files(part).try_into().unwrap();
            let mut bytes = fs::read(&file).unwrap();
            damage(&mut bytes);
            fs::write(&file, bytes).unwrap();
        }
        place.commit().assert_failed(19, "2 parts missing: 1, 3");
        assert!(!place.at("target").exists());
        assert_eq!(place.attempt_files("part-").len(), 2);
        [1, 3].into_iter().for_each(|part| place.part(part).assert_done());
        place.commit().assert_done();
        assert_eq!(place.read("target"), place.read("plain"));
        place.assert_tidy();
    }
}

/// Where one attempt's file is wrong, another attempt's is taken, also where the wrong one has bytes in the place of zeros.
#[test]
fn of_two_attempts_at_a_part_the_one_that_is_right_is_taken() {
    let mut plain = plaintext(16 * 16 * 1024 + 77);
    plain[20_000..60_000].fill(0);
    for wrong in 0..2 {
        let place = Place::new(&plain, "16KiB", "4KiB");
        place.plan(2, &[]).assert_done();
        place.part(1).assert_done();
        place.part(0).assert_done();
        // Both at once would find no receipt: here the first one's files are not there while the second runs.
        let first = [place.attempt_files("part-0"), place.attempt_files("receipt-0")].concat();
        let aside = |file: &PathBuf| place.at(file.file_name().unwrap().to_str().unwrap());
        first.iter().for_each(|file| fs::rename(file, aside(file)).unwrap());
        place.part(0).assert_done();
        first.iter().for_each(|file| fs::rename(aside(file), file).unwrap());
        let files = place.attempt_files("part-0");
        assert_eq!(files.len(), 2);
        let mut bytes = fs::read(&files[wrong]).unwrap();
        bytes[30_000..50_000].copy_from_slice(&plaintext(20_000));
        fs::write(&files[wrong], bytes).unwrap();
        place.commit().assert_done();
        assert!(place.read("target") == plain, "{wrong}");
        place.assert_tidy();
    }
}

#[test]
fn a_receipt_of_another_plan_key_or_part_is_none() {
    let (place, other) = (with_parts(2, &[]), with_parts(2, &[]));
    let attempts = place.attempts().unwrap();
    for receipt in place.attempt_files("receipt-1") {
        let (_, attempt) = receipt.to_str().unwrap().rsplit_once('-').unwrap();
        fs::rename(&receipt, attempts.join(format!("receipt-0-{attempt}"))).unwrap();
    }
    for file in [other.attempt_files("receipt-1"), other.attempt_files("part-1")].concat() {
        fs::copy(&file, attempts.join(file.file_name().unwrap())).unwrap();
    }
    assert_eq!(
        (&status(&place)["strange"], &status(&place)["missing"]),
        (&2.into(), &serde_json::json!([1]))
    );
    place.commit().assert_failed(19, "1 part missing: 1");
    place.part(1).assert_done();
    place.commit().assert_done();
    assert_eq!(place.read("target"), place.read("plain"));
    place.assert_tidy();
}

#[test]
fn a_plan_that_says_something_else_is_not_replaced() {
    let place = Place::small();
    place.plan(3, &[]).assert_done();
    let plan = place.read("plan");
    place.plan(4, &[]).assert_failed(8, "plans something else already");
    place.plan(3, &["--force"]).assert_failed(8, "plans something else already");
    place.plan(3, &["--no-preserve"]).assert_failed(8, "plans something else already");
    let others = ["restore", "--key-file", "stream.key", "--plan", "plan", "--parts", "3", "sealed.cfd"];
    place.run([&others[..], &["elsewhere"]].concat()).assert_failed(8, "plans something else already");
    assert_eq!(place.read("plan"), plan);
    assert_eq!(place.attempt_files(""), place.attempt_files("plan"));
    assert!(place.attempts().is_some());
}

#[test]
fn of_planners_at_once_one_plans_and_the_others_find_its_plan() {
    let place = Place::small();
    let parts =
        ["restore", "--key-file", "stream.key", "--plan", "plan", "--parts", "3", "sealed.cfd", "target"];
    let planners: Vec<_> = (0..6).map(|_| started(&mut place.command(parts))).collect();
    let said: Vec<Ran> = planners.into_iter().map(end_of).collect();
    said.iter().for_each(Ran::assert_done);
    assert_eq!(said.iter().filter(|ran| ran.stdout.starts_with("planned sealed.cfd")).count(), 1, "{said:?}");
    let attempts = place.names().iter().filter(|name| name.starts_with(".target")).count();
    assert_eq!(attempts, 1);
    (0..3).for_each(|part| place.part(part).assert_done());
    place.commit().assert_done();
    assert_eq!(place.read("target"), place.read("plain"));
    place.assert_tidy();
}

#[test]
fn of_coordinators_at_once_one_commits_and_the_others_say_so() {
    let place = with_parts(3, &[]);
    let commits: Vec<_> = (0..6).map(|_| started(&mut place.commit_command())).collect();
    let said: Vec<Ran> = commits.into_iter().map(end_of).collect();
    assert!(said.iter().all(|ran| matches!(ran.code, Some(0 | 9))), "{said:?}");
    let first = said.iter().filter(|ran| ran.code == Some(0) && !ran.stdout.contains("before"));
    assert_eq!(first.count(), 1, "{said:?}");
    assert_eq!(place.read("target"), place.read("plain"));
    place.assert_tidy();
}

#[test]
fn a_target_that_exists_is_replaced_only_if_the_plan_says_so() {
    let place = Place::small();
    fs::write(place.at("target"), "old").unwrap();
    place.plan(2, &[]).assert_failed(6, "target");
    assert_eq!(place.names(), ["plain", "sealed.cfd", "stream.key", "target"]);
    place.plan(2, &["--force"]).assert_done();
    (0..2).for_each(|part| place.part(part).assert_done());
    assert_eq!(place.read("target"), b"old");
    place.commit().assert_done();
    assert_eq!(place.read("target"), place.read("plain"));
    // One that comes in between is somebody's.
    let place = with_parts(2, &[]);
    fs::write(place.at("target"), "appeared").unwrap();
    place.commit().assert_failed(6, "target");
    assert_eq!(place.read("target"), b"appeared");
    fs::remove_file(place.at("target")).unwrap();
    place.commit().assert_done();
    assert_eq!(place.read("target"), place.read("plain"));
}

#[test]
fn a_plan_that_was_changed_and_one_of_another_key_are_refused() {
    let place = with_parts(2, &[]);
    let plan = String::from_utf8(place.read("plan")).unwrap();
    let key = place.read("plan.key");
    let steps: [&[&str]; 4] = [
        &["restore", "--key-file", "stream.key", "--plan", "plan", "--part", "0"],
        &["restore", "--plan", "plan", "--commit"],
        &["restore", "--plan", "plan", "--status"],
        &["restore", "--plan", "plan", "--give-up"],
    ];
    let refused = |code, words: &str| steps.map(|step| place.run(step).assert_failed(code, words));
    fs::write(place.at("plan"), plan.replace("/target\n", "/elsewhere\n")).unwrap();
    refused(8, "is not this key's plan: its MAC is wrong");
    fs::write(place.at("plan"), plan.replace("cofferdam-plan 1\n", "cofferdam-plan 2\n")).unwrap();
    refused(8, "plan cannot be used: it is of a version that is not known here");
    fs::write(place.at("plan"), &plan).unwrap();
    fs::write(place.at("plan.key"), format!("{}\n", "0".repeat(64))).unwrap();
    refused(8, "is not this key's plan: its MAC is wrong");
    fs::write(place.at("plan.key"), "a secret\n").unwrap();
    refused(2, "is no key of a plan");
    fs::remove_file(place.at("plan.key")).unwrap();
    refused(1, "there is no plan's key at plan.key: no such file\n");
    fs::rename(place.at("plan"), place.at("aside")).unwrap();
    refused(1, "there is no plan at plan: there is no plan's key at plan.key: no such file\n");
    fs::rename(place.at("aside"), place.at("plan")).unwrap();
    fs::write(place.at("elsewhere.key"), key).unwrap();
    fs::set_permissions(place.at("elsewhere.key"), fs::Permissions::from_mode(0o600)).unwrap();
    place.run(["restore", "--plan", "plan", "--plan-key", "elsewhere.key", "--status"]).assert_done();
    let mut by_variable = place.commit_command();
    let ran = Ran::of(by_variable.env("COFFERDAM_PLAN_KEY", place.at("elsewhere.key")).output().unwrap());
    ran.assert_done();
    assert_eq!(place.read("target"), place.read("plain"));
    assert!(!place.at("elsewhere").exists());
}

#[test]
fn another_stream_is_no_part_of_the_plan() {
    let place = Place::small();
    place.plan(2, &[]).assert_done();
    fs::rename(place.at("sealed.cfd"), place.at("moved.cfd")).unwrap();
    fs::write(place.at("plain"), plaintext(300_000)).unwrap();
    let other = ["seal", "--key-file", "stream.key", "-o", "sealed.cfd", "--frame-size", "4KiB"];
    place.run([&other[..], &["--segment-size", "16KiB", "plain"]].concat()).assert_done();
    place.part(0).assert_failed(3, "sealed.cfd: this is not the planned stream");
    assert_eq!(place.attempt_files(""), place.attempt_files("plan"));
    // The plan's, wherever this machine finds it.
    let elsewhere =
        |part| ["restore", "--key-file", "stream.key", "--plan", "plan", "--part", part, "moved.cfd"];
    for part in ["0", "1"] {
        place.run(elsewhere(part)).assert_done();
    }
    place.commit().assert_done();
    assert_eq!(fs::metadata(place.at("target")).unwrap().len(), 16 * 16 * 1024 + 77);
}

/// Paths in a plan are absolute: a worker may start anywhere.
#[test]
fn a_part_can_be_run_from_another_directory() {
    let place = Place::small();
    place.plan(2, &[]).assert_done();
    let elsewhere = tempfile::tempdir().unwrap();
    let at = |name: &str| place.at(name).into_os_string();
    for part in ["0", "1"] {
        let mut command = place.command(["restore", "--key-file"]);
        command.arg(at("stream.key")).arg("--plan").arg(at("plan")).args(["--part", part]);
        Ran::of(command.current_dir(elsewhere.path()).output().unwrap()).assert_done();
    }
    let mut command = place.command(["restore", "--commit", "--plan"]);
    Ran::of(command.arg(at("plan")).current_dir(elsewhere.path()).output().unwrap()).assert_done();
    assert_eq!(place.read("target"), place.read("plain"));
}

#[test]
fn a_damaged_stream_fails_the_part_that_has_the_damage_and_no_other() {
    let place = Place::small();
    place.plan(4, &[]).assert_done();
    let mut sealed = place.read("sealed.cfd");
    let middle = sealed.len() / 2 + 8000;
    sealed[middle] ^= 1;
    fs::write(place.at("sealed.cfd"), sealed).unwrap();
    let codes: Vec<_> = (0..4).map(|part| place.part(part).code).collect();
    assert_eq!(codes.iter().filter(|code| **code == Some(3)).count(), 1, "{codes:?}");
    assert_eq!(place.attempt_files("").len(), 7, "three files, three receipts, the plan");
    assert_eq!(place.commit().code, Some(19));
    assert!(!place.at("target").exists());
}

#[test]
fn a_directory_of_attempts_that_is_not_ours_alone_is_not_used() {
    let place = with_parts(2, &[]);
    let attempts = place.attempts().unwrap();
    for mode in [0o750, 0o701, 0o777] {
        fs::set_permissions(&attempts, fs::Permissions::from_mode(mode)).unwrap();
        place.commit().assert_failed(8, "is open to others");
        place.part(0).assert_failed(8, "is open to others");
    }
    fs::set_permissions(&attempts, fs::Permissions::from_mode(0o700)).unwrap();
    let moved = place.at("moved");
    fs::rename(&attempts, &moved).unwrap();
    symlink(&moved, &attempts).unwrap();
    place.commit().assert_failed(8, "is no directory");
    fs::remove_file(&attempts).unwrap();
    fs::rename(&moved, &attempts).unwrap();
    // What is no regular file is no attempt's.
    let [file] = place.attempt_files("part-0").try_into().unwrap();
    fs::rename(&file, attempts.join("away")).unwrap();
    symlink(attempts.join("away"), &file).unwrap();
    place.commit().assert_failed(19, "1 part missing: 0");
    assert!(!place.at("target").exists());
}

#[test]
fn what_is_given_up_is_removed_and_cannot_be_run() {
    let place = with_parts(3, &[]);
    place.run(["restore", "--plan", "plan", "--give-up"]).assert_done();
    assert_eq!(place.names(), ["plain", "plan", "plan.key", "sealed.cfd", "stream.key"]);
    place.part(0).assert_failed(8, "it was given up");
    place.commit().assert_failed(8, "it was given up");
    place.run(["restore", "--plan", "plan", "--status"]).assert_failed(8, "it was given up");
    // Nor is it a plan that somebody who plans the same would find.
    place.plan(3, &[]).assert_failed(8, "it was given up");
    place.run(["restore", "--plan", "plan", "--give-up"]).assert_done();
    assert_eq!(place.names(), ["plain", "plan", "plan.key", "sealed.cfd", "stream.key"]);
}

#[test]
fn what_an_interrupted_restore_has_left_is_not_taken_for_a_commit_of_the_plan() {
    let place = with_parts(2, &[]);
    // Its start is right, so that something is kept; its middle is not.
    let mut sealed = place.read("sealed.cfd");
    let middle = sealed.len() / 2;
    sealed[middle] ^= 1;
    fs::write(place.at("damaged.cfd"), sealed).unwrap();
    let restore = ["restore", "--key-file", "stream.key", "--durability", "each", "damaged.cfd", "target"];
    assert_eq!(place.run(restore).code, Some(3));
    assert!(place.at(".target.cofferdam-journal").exists());
    place.commit().assert_failed(8, "an interrupted restore of something else is kept beside the target");
    place.run(["discard", "target"]).assert_done();
    place.commit().assert_done();
    assert_eq!(place.read("target"), place.read("plain"));
}

#[test]
fn who_has_no_plan_there_is_told_where_to_look() {
    let place = Place::small();
    let opened = ["--part", "0", "--key-file", "stream.key"];
    for step in [&["--status"][..], &["--commit"], &["--give-up"], &opened] {
        let ran = place.run([&["restore", "--plan", "nowhere"], step].concat());
        ran.assert_failed(1, "Plan first; or look whether the plan's file system is mounted here");
    }
}

#[test]
fn what_no_step_can_mean_is_2() {
    let place = Place::small();
    let opened = ["restore", "--key-file", "stream.key"];
    let refused = |arguments: &[&str], words: &str| {
        place.run([&opened[..], arguments].concat()).assert_failed(2, words);
    };
    refused(&["--plan", "plan", "sealed.cfd", "target"], "required arguments");
    refused(&["--parts", "2", "sealed.cfd", "target"], "required arguments");
    refused(&["--part", "2"], "required arguments");
    refused(&["--commit"], "required arguments");
    refused(&["--plan", "plan", "--parts", "2", "--commit", "sealed.cfd", "target"], "cannot be used with");
    refused(&["--plan", "plan", "--parts", "0", "sealed.cfd", "target"], "invalid value");
    refused(&["--plan", "plan", "--parts", "2", "--restart", "sealed.cfd", "target"], "cannot be used with");
    refused(&["--plan", "plan", "--parts", "2", "sealed.cfd"], "Give SEALED, and a TARGET");
    refused(&["--plan", "plan", "--parts", "2", "-", "target"], "not for standard input");
    refused(
        &["--plan", "plan", "--parts", "2", "sealed.cfd", "-"],
        "a plan is for a file, a directory or an object",
    );
    refused(
        &["--plan", "plan", "--parts", "2", "sealed.cfd", "tcp://host:1"],
        "a plan is for a file, a directory or an object",
    );
    refused(&["--plan", "plan", "--parts", "2", "--force", "sealed.cfd", "sealed.cfd"], "the same file");
    assert_eq!(place.names(), ["plain", "sealed.cfd", "stream.key"]);
    place.plan(2, &[]).assert_done();
    refused(&["--plan", "plan", "--part", "2"], "there is no part 2: the plan has 2 of them");
    refused(&["--plan", "plan", "--part", "0", "sealed.cfd", "target"], "the plan has the target");
    refused(&["--plan", "plan", "--part", "0", "--compare"], "--compare");
    place.run(["restore", "--plan", "plan", "--commit", "sealed.cfd"]).assert_failed(2, "reads no stream");
    place
        .run(["restore", "--plan", "plan", "--part", "0"])
        .assert_failed(2, "nothing was given that could open");
    place.run(["restore", "sealed.cfd"]).assert_failed(2, "required arguments");
}

/// Two streams with one digest of tags are made as easily as one: their parts would be a mixture.
#[test]
fn a_stream_whose_digest_fixes_nothing_is_not_planned() {
    let place = Place::small();
    let sealed = ["seal", "--force", "--digest", "tags", "--key-file", "stream.key", "-o", "sealed.cfd"];
    place.run([&sealed[..], &["plain"]].concat()).assert_done();
    place.plan(1, &[]).assert_failed(7, "`tags`");
    place.plan(1, &[]).assert_failed(7, "sealed.cfd");
}

#[test]
fn a_key_that_others_know_and_what_is_no_file_are_refused() {
    let place = with_parts(2, &[]);
    for mode in [0o640, 0o604, 0o622] {
        fs::set_permissions(place.at("plan.key"), fs::Permissions::from_mode(mode)).unwrap();
        let is_a_groups_of_root = mode == 0o640 && rustix::process::geteuid().is_root();
        match is_a_groups_of_root {
            true => place.part(0).assert_done(),
            false => place.part(0).assert_failed(2, "open to others"),
        }
    }
    fs::set_permissions(place.at("plan.key"), fs::Permissions::from_mode(0o600)).unwrap();
    for name in ["plan.committed", "plan", "plan.key"] {
        let _ = fs::rename(place.at(name), place.at("away"));
        assert!(std::process::Command::new("mkfifo").arg(place.at(name)).status().unwrap().success());
        place.commit().assert_failed(1, "no regular file");
        fs::remove_file(place.at(name)).unwrap();
        let _ = fs::rename(place.at("away"), place.at(name));
    }
    place.commit().assert_done();
}

/// The two halves of what reaches a worker: it opens with one, and is believed by the other.
#[test]
fn the_plan_has_no_key_and_its_files_are_the_owners_alone() {
    let place = with_parts(2, &[]);
    let key = String::from_utf8(place.read("plan.key")).unwrap();
    let plan = String::from_utf8(place.read("plan")).unwrap();
    assert!(!plan.contains(key.trim()));
    for name in ["plan", "plan.key"] {
        assert_eq!(fs::metadata(place.at(name)).unwrap().mode() & 0o7777, 0o600, "{name}");
    }
    for file in place.attempt_files("") {
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o600, "{}", file.display());
    }
    assert_eq!(fs::metadata(place.attempts().unwrap()).unwrap().mode() & 0o7777, 0o700);
}
