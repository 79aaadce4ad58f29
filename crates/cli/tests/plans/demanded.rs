//! What an operator demands of a step, and is told by it: it is done, or refused, and what has become of the target is said.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown, symlink};
use std::path::Path;
use std::process::Command;

use crate::between::run_over_an_old_target;
use crate::fixture::make_tree;
use crate::kept::{USER, user};
use crate::killed::is_killed;
use crate::place::{Place, Ran, end_of, started};
use crate::shards::Snapshot;

const COMMIT: [&str; 4] = ["restore", "--plan", "plan", "--commit"];
const GIVE_UP: [&str; 4] = ["restore", "--plan", "plan", "--give-up"];
const STATUS: [&str; 4] = ["restore", "--plan", "plan", "--status"];

fn step(place: &Place, step: &[&str], more: &[&str]) -> Ran {
    place.run([step, more].concat())
}

/// A signature, a pin, a number: whoever names one believes that it has been looked at.
#[test]
fn what_is_demanded_of_a_step_is_proved_or_refused() {
    let place = Place::small();
    for key in ["signer", "stranger"] {
        place.ssh_key(key);
    }
    place.run(["sign", "--key-file", "stream.key", "--ssh-key", "signer", "sealed.cfd"]).assert_done();
    place.plan(2, &["--signed-by", "signer.pub"]).assert_done();
    let part = ["restore", "--key-file", "stream.key", "--plan", "plan", "--part", "0"];
    let none = "0".repeat(64);
    for (demand, code) in [
        (["--signed-by", "stranger.pub"], 17),
        (["--expect-digest", &none], 3),
        (["--min-sequence", "9"], 14),
    ] {
        let refused = step(&place, &part, &demand);
        refused.assert_failed(code, "");
        assert!(!refused.stderr.contains("run the same command again"), "{refused:?}");
        assert!(place.attempt_files("receipt-").is_empty(), "{demand:?}");
    }
    step(&place, &part, &["--signed-by", "signer.pub"]).assert_done();
    place.part(1).assert_done();
    for named in [COMMIT, STATUS, GIVE_UP] {
        for demand in [
            &["--signed-by", "signer.pub"][..],
            &["--min-sequence", "9"],
            &["--no-preserve"],
            &["--sparse", "never"],
            &["--accept-unproven"],
        ] {
            step(&place, &named, demand).assert_failed(2, "is of no use");
        }
        step(&place, &named, &["--expect-digest", &none]).assert_failed(3, "not the expected one");
    }
    assert!(!place.at("target").exists());
    assert_eq!(place.attempt_files("receipt-").len(), 2);
    let planned = step(&place, &STATUS, &["--json"]);
    planned.assert_done();
    let inspected = place.run(["inspect", "--json", "sealed.cfd"]);
    let inspected: serde_json::Value = serde_json::from_str(&inspected.stdout).unwrap();
    let digest = inspected["trailer"]["stream_digest"].as_str().unwrap();
    step(&place, &COMMIT, &["--expect-digest", digest]).assert_done();
    assert_eq!(place.read("target"), place.read("plain"));
}

/// Of an open file of this process no worker finds anything; and a target is not made where the plan's own files are to be.
#[test]
fn a_plan_is_of_a_stream_that_others_find_and_for_a_target_that_it_does_not_need_itself() {
    let place = Place::small();
    let plan = ["restore", "--key-file", "stream.key", "--plan", "plan", "--parts", "2"];
    for source in ["/dev/fd/0", "/dev/stdin", "/proc/self/fd/0"] {
        step(&place, &plan, &[source, "target"]).assert_failed(2, "open file of this process");
    }
    for target in ["plan", "plan.key", "plan.committed"] {
        step(&place, &plan, &["sealed.cfd", target]).assert_failed(2, "");
    }
    step(&place, &plan, &["--sparse", "never", "sealed.cfd", "target"]).assert_failed(2, "--sparse");
    assert_eq!(place.names(), ["plain", "sealed.cfd", "stream.key"]);
}

/// What is refused is planned another time, or not at all: nobody is to wonder whose key that is.
#[test]
fn planning_that_is_refused_leaves_no_key_that_it_has_made() {
    let place = Place::small();
    fs::write(place.at("there"), "somebody's").unwrap();
    fs::write(place.at("other.key"), "77".repeat(32)).unwrap();
    fs::write(place.at("noted.committed"), "an earlier plan's").unwrap();
    fs::write(place.at("foreign"), "no plan").unwrap();
    let before = place.names();
    let digest = "00".repeat(32);
    for (plan, key, more, code, words) in [
        ("plan", "stream.key", &["--parts", "2", "sealed.cfd", "there"][..], 6, "exists"),
        ("plan", "stream.key", &["--parts", "2", "sealed.cfd", "nowhere/target"], 1, "nowhere"),
        ("plan", "stream.key", &["--parts", "99", "sealed.cfd", "target"], 2, "Ask for fewer parts"),
        ("plan", "stream.key", &["--parts", "2", "--expect-digest", &digest, "sealed.cfd", "target"], 3, ""),
        ("plan", "other.key", &["--parts", "2", "sealed.cfd", "target"], 4, ""),
        ("plan", "stream.key", &["--parts", "2", "plain", "target"], 11, ""),
        ("noted", "stream.key", &["--parts", "2", "sealed.cfd", "target"], 8, "an earlier plan of this name"),
        ("foreign", "stream.key", &["--parts", "2", "sealed.cfd", "target"], 8, "is not this key's plan"),
    ] {
        step(&place, &["restore", "--key-file", key, "--plan", plan], more).assert_failed(code, words);
        assert_eq!(place.names(), before, "{plan} {more:?}");
    }
    // One that was there is the plan's, and stays.
    let ours = format!("{}\n", "5a".repeat(32));
    fs::write(place.at("plan.key"), &ours).unwrap();
    fs::set_permissions(place.at("plan.key"), fs::Permissions::from_mode(0o600)).unwrap();
    let plan = ["restore", "--key-file", "stream.key", "--plan", "plan", "--parts", "2", "sealed.cfd"];
    step(&place, &plan, &["there"]).assert_failed(6, "exists");
    assert_eq!(place.read("plan.key"), ours.as_bytes());
    step(&place, &plan, &["target"]).assert_done();
    assert_eq!(place.read("plan.key"), ours.as_bytes());
    // A plan whose key is elsewhere is not planned with one that is new.
    fs::rename(place.at("plan.key"), place.at("elsewhere")).unwrap();
    step(&place, &plan, &["target"]).assert_failed(8, "is not this key's plan");
    assert!(!place.at("plan.key").exists());
    step(&place, &plan, &["--plan-key", "elsewhere", "target"]).assert_done();
}

#[test]
fn one_part_and_one_shard_are_spoken_of_as_one() {
    let place = Place::small();
    place.plan(1, &[]).assert_done();
    let is_said = |words: &str| {
        let said = step(&place, &STATUS, &[]);
        assert!(said.stdout.contains(words), "{said:?}");
    };
    is_said("0 of 1 part has been run; missing: 0");
    step(&place, &COMMIT, &[]).assert_failed(19, "Run it, then this again.");
    place.part(0).assert_done();
    is_said("the one part has been run; commit it");
    let snapshot = Snapshot::new(1);
    let verified = snapshot.verify();
    verified.assert_done();
    assert!(verified.stdout.contains("its one shard is there, and the very stream that"), "{verified:?}");
}

/// The operator has to know which of the two stands there, and finds it as a commit leaves it.
#[test]
fn a_plan_that_is_given_up_after_its_commit_was_killed_says_that_its_target_is_in_place() {
    let mut found = 0;
    for (call, when) in
        ["linkat", "fchmod", "unlinkat"].iter().flat_map(|call| (1..8).map(move |when| (call, when)))
    {
        let place = run_over_an_old_target();
        if !is_killed(&place, call, when, &COMMIT) || place.at("plan.committed").exists() {
            continue;
        }
        let is_in_place = place.read("target") == place.read("plain");
        let said = step(&place, &STATUS, &[]);
        said.assert_done();
        assert_eq!(
            said.stdout.contains("is in place, which is not noted yet"),
            is_in_place,
            "{call} {when}: {said:?}"
        );
        let given_up = step(&place, &GIVE_UP, &["--json"]);
        given_up.assert_done();
        let record: serde_json::Value = serde_json::from_str(&given_up.stdout).unwrap();
        assert_eq!(record["was_there"], is_in_place, "{call} {when}");
        assert_eq!(record["outcome"], if is_in_place { "in place" } else { "removed" }, "{call} {when}");
        assert!(place.attempts().is_none());
        assert!(!place.names().iter().any(|name| name.starts_with(".target")), "{call} {when}");
        if !is_in_place {
            assert_eq!(place.read("target"), b"old");
            continue;
        }
        found += 1;
        // As a new file of the plan, or as the old one was: never private to this user alone because of a kill.
        let mode = fs::metadata(place.at("target")).unwrap().mode();
        assert_eq!(mode & 0o077, fs::metadata(place.at("plain")).unwrap().mode() & 0o077, "{call} {when}");
        assert_eq!(place.read("target"), place.read("plain"));
        place.assert_tidy();
        let again = step(&place, &GIVE_UP, &[]);
        again.assert_done();
        assert!(again.stdout.contains("has been put in place before"), "{again:?}");
        place.commit().assert_done();
    }
    assert!(found > 1, "{found}");
}

/// The plan has the file that was meant; a link that has come to its name since leads to one that nobody has planned.
#[test]
fn a_link_that_has_come_to_the_targets_name_is_not_followed() {
    for leads_to in ["source", "other/file"] {
        let place = run_over_an_old_target();
        fs::create_dir(place.at("other")).unwrap();
        fs::write(place.at(leads_to), "somebody's").unwrap();
        fs::remove_file(place.at("target")).unwrap();
        symlink(leads_to, place.at("target")).unwrap();
        for _ in 0..2 {
            place.commit().assert_failed(6, "a symbolic link, which has come there since it was planned");
            assert_eq!(place.read(leads_to), b"somebody's");
            let beside = fs::read_dir(place.at("other")).unwrap().count();
            assert_eq!(beside, usize::from(leads_to.starts_with("other")));
        }
        step(&place, &GIVE_UP, &[]).assert_done();
        assert!(!place.names().iter().any(|name| name.starts_with(".target")), "{:?}", place.names());
        assert_eq!(place.read(leads_to), b"somebody's");
        assert!(place.at("target").is_symlink());
    }
    // One that comes after a commit was killed: what that had staged goes, and nothing else.
    let place = run_over_an_old_target();
    assert!(is_killed(&place, "renameat", 1, &COMMIT) || is_killed(&place, "renameat2", 1, &COMMIT));
    assert!(place.at(".target.cofferdam-staging").exists());
    fs::write(place.at("source"), "somebody's").unwrap();
    fs::remove_file(place.at("target")).unwrap();
    symlink("source", place.at("target")).unwrap();
    step(&place, &GIVE_UP, &[]).assert_done();
    assert!(!place.names().iter().any(|name| name.starts_with(".target")), "{:?}", place.names());
    assert_eq!(place.read("source"), b"somebody's");
}

/// A worker whose file system is not mounted, and a directory that was moved, look alike.
#[test]
fn where_nothing_is_found_of_a_plan_it_is_not_said_that_it_was_given_up() {
    let place = Place::small();
    fs::create_dir(place.at("there")).unwrap();
    let plan = ["restore", "--key-file", "stream.key", "--plan", "plan", "--parts", "2", "sealed.cfd"];
    step(&place, &plan, &["there/target"]).assert_done();
    (0..2).for_each(|part| place.part(part).assert_done());
    fs::rename(place.at("there"), place.at("elsewhere")).unwrap();
    fs::create_dir(place.at("there")).unwrap();
    for named in [COMMIT, STATUS] {
        step(&place, &named, &[]).assert_failed(8, "not mounted here");
    }
    let given_up = step(&place, &GIVE_UP, &[]);
    given_up.assert_done();
    assert!(given_up.stdout.contains("nothing was found"), "{given_up:?}");
    assert_eq!(outcome_of(&step(&place, &GIVE_UP, &["--json"])), "nothing found");
    fs::remove_dir(place.at("there")).unwrap();
    fs::rename(place.at("elsewhere"), place.at("there")).unwrap();
    place.commit().assert_done();
    assert_eq!(place.read("there/target"), place.read("plain"));
}

/// What a killed commit had staged is discarded by somebody who does not know of the plan.
#[test]
fn a_commit_whose_staged_file_has_gone_does_not_speak_of_something_that_stands_there() {
    let place = Place::small();
    place.plan(2, &[]).assert_done();
    (0..2).for_each(|part| place.part(part).assert_done());
    let noted = (1..8).any(|when| {
        is_killed(&place, "renameat2", when, &COMMIT) && !place.attempt_files("publishing").is_empty()
    });
    assert!(noted && !place.at("target").exists());
    // Nothing but the plan's own steps removes it.
    let with_key = ["--key-file", "stream.key"];
    let anew = [&["restore", "--restart"][..], &with_key, &["sealed.cfd", "target"]].concat();
    let sealing = [&["seal", "--resume", "--restart"][..], &with_key, &["-o", "target", "plain"]].concat();
    let receiver = ["receive", "--restart", "--listen", "unix:socket", "target"];
    for other in [&["discard", "target"][..], &anew, &sealing, &receiver] {
        let ran = place.run(other);
        ran.assert_failed(8, "of a plan whose commit has not ended");
        let directory = place.attempts().unwrap();
        assert!(ran.stderr.contains(directory.file_name().unwrap().to_str().unwrap()), "{ran:?}");
    }
    // Who does not know of it is told what it is.
    place
        .run(["seal", "--key-file", "stream.key", "-o", "target", "plain"])
        .assert_failed(8, "Commit that plan");
    for kept in ["staging", "journal"] {
        fs::remove_file(place.at(&format!(".target.cofferdam-{kept}"))).unwrap();
    }
    place.commit().assert_failed(8, "nothing stands there any more");
    let copy = tempfile::tempdir().unwrap();
    let cp = |from: &Path, to: &Path| {
        assert!(Command::new("cp").arg("-a").args([&from.join("."), to]).status().unwrap().success());
    };
    cp(place.directory(), copy.path());
    assert_eq!(outcome_of(&step(&place, &GIVE_UP, &["--json"])), "may have been in place");
    cp(copy.path(), place.directory());
    let given_up = step(&place, &GIVE_UP, &[]);
    given_up.assert_done();
    assert!(given_up.stdout.contains("may have put"), "{given_up:?}");
    assert!(!place.names().iter().any(|name| name.starts_with(".target")), "{:?}", place.names());
}

/// Has `commit` killed in new places, until its file or directory is whole, and about to get the target's name.
fn killed_about_to_publish(prepare: impl Fn() -> Place, commit: &[&str]) -> Place {
    for when in 1..8 {
        let place = prepare();
        let directories = place.names().into_iter().filter(|name| name.contains(".cofferdam-parts-"));
        let is_noted = |name: String| place.at(&name).join("publishing").exists();
        if is_killed(&place, "renameat2", when, commit) && directories.into_iter().any(is_noted) {
            assert!(!place.at("target").exists());
            return place;
        }
    }
    panic!("no commit was killed there");
}

#[test]
fn a_dead_commit_of_another_plan_is_in_nobodys_way_for_good() {
    let places: [fn() -> Place; 2] = [Place::small, || Place::of_tree(make_tree, "16KiB", "4KiB")];
    for new in places {
        let prepare = || {
            let place = new();
            for name in ["lost", "plan"] {
                let plan = ["restore", "--key-file", "stream.key", "--plan", name];
                place.run([&plan[..], &["--parts", "2", "sealed.cfd", "target"]].concat()).assert_done();
                for part in ["0", "1"] {
                    place.run([&plan[..], &["--part", part]].concat()).assert_done();
                }
            }
            place
        };
        let place = killed_about_to_publish(prepare, &["restore", "--plan", "lost", "--commit"]);
        let directories = place.names().into_iter().filter(|name| name.contains(".cofferdam-parts-"));
        let [lost] = directories
            .filter(|name| place.at(name).join("publishing").exists())
            .collect::<Vec<_>>()
            .try_into()
            .unwrap();
        // As long as its parts are there it is guarded, and what is said of it works.
        step(&place, &COMMIT, &[]).assert_failed(8, "the commit of another plan");
        place.run(["discard", "target"]).assert_failed(8, &lost);
        fs::remove_dir_all(place.at(&lost)).unwrap();
        place.run(["discard", "target"]).assert_done();
        place.commit().assert_done();
        assert!(place.at("target").exists());
        assert!(!place.names().iter().any(|name| name.starts_with(".target")), "{:?}", place.names());
    }
}

/// What nobody is about to publish is no plan's, whatever else is there.
#[test]
fn what_no_commit_has_put_beside_the_target_is_discarded_beside_a_plan() {
    let place = Place::small();
    place.plan(2, &[]).assert_done();
    (0..2).for_each(|part| place.part(part).assert_done());
    fs::write(place.at(".target.cofferdam-staging"), "somebody's").unwrap();
    place.run(["discard", "target"]).assert_done();
    assert!(!place.at(".target.cofferdam-staging").exists());
    // A commit that was killed before it was about to publish loses nothing either.
    assert!(is_killed(&place, "fsync", 1, &COMMIT) && place.attempt_files("publishing").is_empty());
    place.run(["discard", "target"]).assert_done();
    place.commit().assert_done();
    assert_eq!(place.read("target"), place.read("plain"));
    place.assert_tidy();
}

#[test]
fn some_paths_of_a_tree_are_not_restored_over_what_a_plans_commit_has_staged() {
    let prepare = || {
        let place = Place::of_tree(make_tree, "16KiB", "4KiB");
        place.plan(2, &[]).assert_done();
        (0..2).for_each(|part| place.part(part).assert_done());
        place
    };
    let place = killed_about_to_publish(prepare, &COMMIT);
    let paths = ["restore", "--key-file", "stream.key", "--path", "/**", "sealed.cfd", "target"];
    place.run(paths).assert_failed(8, "the commit of a plan");
    place.run([&paths[..], &["--restart"]].concat()).assert_failed(8, "of a plan whose commit has not ended");
    // A file would be in its way, too.
    place.run(["seal", "--key-file", "stream.key", "-o", "file.cfd", "stream.key"]).assert_done();
    let file = ["restore", "--key-file", "stream.key", "file.cfd", "target"];
    place.run(file).assert_failed(8, "Commit that plan");
    place.commit().assert_done();
}

/// Plans that replace the directory `target`.
fn replacing<'a>(plan: &'a str, target: &'a str) -> [&'a str; 10] {
    ["restore", "--force", "--key-file", "stream.key", "--plan", plan, "--parts", "2", "sealed.cfd", target]
}

#[test]
fn a_directory_that_could_not_be_replaced_for_its_parents_mode_is_refused_with_these_words() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can be another user");
        return;
    }
    let place = Place::of_tree(make_tree, "16KiB", "4KiB");
    fs::create_dir_all(place.at("closed/target")).unwrap();
    for name in place.names().iter().map(String::as_str).chain(["closed/target", ""]) {
        lchown(place.at(name), Some(USER), Some(USER)).unwrap();
    }
    fs::set_permissions(place.at("closed"), fs::Permissions::from_mode(0o555)).unwrap();
    user(&place, &replacing("plan", "closed/target")).assert_failed(1, "needs a writable directory");
    assert!(!place.at("plan").exists());
    fs::set_permissions(place.at("closed"), fs::Permissions::from_mode(0o755)).unwrap();
    user(&place, &replacing("plan", "closed/target")).assert_done();
}

#[test]
fn what_a_killed_planner_has_tried_the_file_system_with_is_removed_by_the_next_one_and_by_discard() {
    const PROBE: &str = ".target.cofferdam-exchange";
    let place = Place::of_tree(make_tree, "16KiB", "4KiB");
    fs::create_dir(place.at("target")).unwrap();
    let beside = || place.names().into_iter().filter(|name| name.starts_with('.')).collect::<Vec<_>>();
    let plan = replacing("plan", "target");
    for next in [&["discard", "target"][..], &plan] {
        assert!(is_killed(&place, "renameat2", 1, &plan));
        assert_eq!(beside(), [PROBE]);
        place.run(next).assert_done();
        assert!(!beside().contains(&PROBE.to_owned()), "{:?}", beside());
    }
    // What nobody here has put there stays.
    fs::write(place.at(PROBE), "somebody's").unwrap();
    place.run(replacing("other", "target")).assert_failed(1, PROBE);
    place.run(["discard", "target"]).assert_done();
    assert_eq!(place.read(PROBE), b"somebody's");
    fs::remove_file(place.at(PROBE)).unwrap();
    // Several who try it at once are in nobody's way.
    let names: Vec<String> = (0..12).map(|planner| format!("plan-{planner}")).collect();
    let planners = names.iter().map(|name| started(&mut place.command(replacing(name, "target"))));
    planners.collect::<Vec<_>>().into_iter().for_each(|planner| end_of(planner).assert_done());
    assert!(!beside().contains(&PROBE.to_owned()), "{:?}", beside());
}

/// Whoever has planned with `--force` is not told to do that, and what to do instead is.
#[test]
fn a_commit_of_a_plan_that_replaces_does_not_ask_for_a_plan_that_replaces() {
    let file = run_over_an_old_target();
    fs::remove_file(file.at("target")).unwrap();
    let make = |root: &Path| fs::write(root.join("file"), vec![7; 30_000]).unwrap();
    let tree = Place::of_tree(make, "16KiB", "4KiB");
    tree.plan(2, &["--force"]).assert_done();
    (0..2).for_each(|part| tree.part(part).assert_done());
    for place in [file, tree] {
        symlink("plain", place.at("target")).unwrap();
        let ran = place.commit();
        ran.assert_failed(6, "symbolic link");
        assert!(!ran.stderr.contains("replaces no target"), "{ran:?}");
        fs::remove_file(place.at("target")).unwrap();
        place.commit().assert_done();
    }
    // One that does not replace says so.
    let place = Place::small();
    place.plan(2, &[]).assert_done();
    (0..2).for_each(|part| place.part(part).assert_done());
    fs::write(place.at("target"), "later").unwrap();
    place.commit().assert_failed(6, "The plan replaces no target");
}

/// Its steps would all find a note that is of another plan, and none could end it.
#[test]
fn a_name_whose_earlier_plan_was_committed_is_not_planned_again() {
    let place = run_over_an_old_target();
    place.commit().assert_done();
    fs::remove_file(place.at("plan")).unwrap();
    let before = place.names();
    for _ in 0..2 {
        place.plan(2, &["--force"]).assert_failed(8, "an earlier plan of this name was committed");
        assert_eq!(place.names(), before);
    }
    fs::remove_file(place.at("plan.committed")).unwrap();
    place.plan(2, &["--force"]).assert_done();
    (0..2).for_each(|part| place.part(part).assert_done());
    // The commit makes it, and keeps it.
    for name in ["plan.committed", "plan", "plan.key", "target"] {
        let before = place.names();
        step(&place, &COMMIT, &["--metrics-file", name]).assert_failed(2, "are the same file");
        assert_eq!(place.names(), before);
    }
    place.commit().assert_done();
    place.assert_tidy();
}

/// Of one plan there is one note, whatever names it.
#[test]
fn a_plan_that_is_named_through_a_link_is_noted_beside_the_plan() {
    let place = run_over_an_old_target();
    fs::create_dir(place.at("today")).unwrap();
    for name in ["plan", "plan.key"] {
        symlink(format!("../{name}"), place.at("today").join(name)).unwrap();
    }
    let named = |more: &[&str]| place.run([&["restore", "--plan", "today/plan"], more].concat());
    let before = place.names();
    named(&["--commit", "--metrics-file", "plan.committed"]).assert_failed(2, "are the same file");
    assert_eq!(place.names(), before);
    named(&["--commit"]).assert_done();
    assert!(place.at("plan.committed").exists() && !place.at("today/plan.committed").exists());
    for ran in [step(&place, &STATUS, &[]), named(&["--status"])] {
        ran.assert_done();
        assert!(ran.stdout.contains("the plan has been committed"), "{ran:?}");
    }
    place.part(0).assert_done();
    fs::remove_dir_all(place.at("today")).unwrap();
    place.commit().assert_done();
    place.assert_tidy();
}

fn outcome_of(given_up: &Ran) -> String {
    given_up.assert_done();
    let record: serde_json::Value = serde_json::from_str(&given_up.stdout).unwrap();
    record["outcome"].as_str().unwrap().to_owned()
}

/// Nobody has pinned anything: the plan says which stream it is.
#[test]
fn another_stream_than_the_planned_one_is_called_that() {
    let place = Place::small();
    // As long as the planned one, longer, and too short for the part.
    let sizes = ["--frame-size", "4KiB", "--segment-size", "16KiB"];
    for (name, len) in [("same", place.read("plain").len()), ("long", 400_000), ("short", 5)] {
        fs::write(place.at("other"), vec![1; len]).unwrap();
        let seal = ["seal", "--key-file", "stream.key", "-o", &format!("{name}.cfd"), "other"];
        place.run([&seal[..], &sizes].concat()).assert_done();
    }
    place.plan(2, &[]).assert_done();
    let part = ["restore", "--key-file", "stream.key", "--plan", "plan", "--part", "0"];
    for name in ["same.cfd", "long.cfd", "short.cfd"] {
        let ran = step(&place, &part, &[name]);
        ran.assert_failed(3, &format!("{name}: this is not the planned stream"));
        assert!(!ran.stderr.contains("pinned"), "{ran:?}");
        assert!(place.attempt_files("receipt-").is_empty());
    }
    step(&place, &part, &["sealed.cfd"]).assert_done();
}

/// What else than the planned target has come to its name is the operator's to move, whatever the plan says of targets that exist.
#[test]
fn what_has_come_to_the_targets_name_and_is_of_another_kind_is_6() {
    let make = |root: &Path| fs::write(root.join("file"), vec![7; 30_000]).unwrap();
    for (is_tree, more) in [(false, &[][..]), (false, &["--force"]), (true, &[]), (true, &["--force"])] {
        let place = if is_tree { Place::of_tree(make, "16KiB", "4KiB") } else { Place::small() };
        place.plan(2, more).assert_done();
        (0..2).for_each(|part| place.part(part).assert_done());
        let before = place.names();
        let target = place.at("target");
        match is_tree {
            true => fs::write(&target, "somebody's").unwrap(),
            false => fs::create_dir(&target).unwrap(),
        }
        let noun = if is_tree { "is a file, which has come" } else { "is a directory, which has come" };
        for _ in 0..2 {
            let ran = place.commit();
            ran.assert_failed(6, noun);
            assert!(ran.stderr.contains("Move it away and commit again"), "{ran:?}");
            assert!(!ran.stderr.contains("--force"), "{ran:?}");
        }
        match is_tree {
            true => assert_eq!(place.read("target"), b"somebody's"),
            false => assert_eq!(fs::read_dir(&target).unwrap().count(), 0),
        }
        fs::rename(&target, place.at("moved")).unwrap();
        let there: Vec<String> = place.names().into_iter().filter(|name| name != "moved").collect();
        assert_eq!(there, before, "{is_tree} {more:?}");
        place.commit().assert_done();
        assert_eq!(target.is_dir(), is_tree);
    }
}

/// A link that leads to a file system which is not mounted is not taken for a free name, nor is it said that nothing is there.
#[test]
fn a_link_that_leads_to_no_plan_is_told() {
    let place = Place::small();
    symlink("nowhere/plan", place.at("plan")).unwrap();
    let told = |ran: Ran| ran.assert_failed(1, "plan is a link that leads nowhere");
    told(place.plan(2, &[]));
    assert!(place.attempts().is_none());
    [COMMIT, STATUS, GIVE_UP].iter().for_each(|named| told(step(&place, named, &[])));
    fs::remove_file(place.at("plan")).unwrap();
    place.plan(2, &[]).assert_done();
}

/// Its note would be beside the plan: nothing is put in place that could not be noted, whatever name leads there.
#[test]
fn a_plan_through_a_link_into_a_directory_that_cannot_be_written_is_not_committed() {
    let place = run_over_an_old_target();
    fs::create_dir(place.at("closed")).unwrap();
    for name in ["plan", "plan.key"] {
        fs::rename(place.at(name), place.at("closed").join(name)).unwrap();
        symlink(format!("closed/{name}"), place.at(name)).unwrap();
    }
    let in_closed = |step: &[&str]| {
        let lines = "mount --bind closed closed && mount -o remount,bind,ro closed || exit 77; exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", lines, "sh", env!("CARGO_BIN_EXE_cofferdam")]);
        Ran::of(command.args(step).current_dir(place.directory()).output().unwrap())
    };
    let refused = in_closed(&COMMIT);
    if refused.code == Some(77) || refused.stderr.contains("unshare failed") {
        println!("skipped: nothing can be mounted here");
        return;
    }
    refused.assert_failed(1, "/closed/plan.committed could not be written, so nothing was put in place");
    assert!(refused.stderr.contains("Read-only file system"), "{refused:?}");
    assert_eq!(place.read("target"), b"old");
    in_closed(&STATUS).assert_done();
    in_closed(&["restore", "--key-file", "stream.key", "--plan", "plan", "--part", "0"]).assert_done();
    place.commit().assert_done();
    assert!(place.at("closed/plan.committed").exists());
    let again = in_closed(&COMMIT);
    again.assert_done();
    assert!(again.stdout.contains("put in place before"), "{again:?}");
}

/// Where a key was to be is said, and how many parts there can be.
#[test]
fn a_plan_that_cannot_be_made_says_where_and_why() {
    let place = Place::small();
    let plan = ["restore", "--key-file", "stream.key", "--plan", "none/plan", "--parts", "2"];
    step(&place, &plan, &["sealed.cfd", "target"]).assert_failed(1, "could not be made at none/plan.key");
    let many = place.plan(99, &[]);
    many.assert_failed(2, "the stream has 17 segments");
    assert!(many.stderr.contains("Ask for fewer parts"), "{many:?}");
}
