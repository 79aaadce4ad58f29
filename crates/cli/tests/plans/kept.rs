//! What a restore of shards has kept beside its target: gone on with, compared or removed, by whoever asks, and nothing else with it.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::killed::is_killed;
use crate::place::{Place, Ran, end_of, started, wait_until};
use crate::shards::{Snapshot, name};

const PRIVATE: &str = ".target.cofferdam-shards";
const RESTORE: [&str; 8] = [
    "restore",
    "--key-file",
    "stream.key",
    "--manifest",
    "--signed-by",
    "signer.pub",
    "may.manifest",
    "target",
];

/// Two shards, of which the second is not there: the first is kept.
fn one_of_two() -> Snapshot {
    let snapshot = Snapshot::new(2);
    fs::rename(snapshot.place.at("shard-01.cfd"), snapshot.place.at("away")).unwrap();
    snapshot.restore("may.manifest", &[]).assert_failed(1, "shard shard-01");
    snapshot
}

/// Whoever owns the directory that the target is in moves another one to the name while it is removed.
#[test]
fn what_comes_to_the_name_while_it_is_discarded_stays() {
    let snapshot = one_of_two();
    let place = &snapshot.place;
    fs::create_dir_all(place.at("data/shards/sub")).unwrap();
    fs::set_permissions(place.at("data"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(place.at("data/shards/sub/keep"), "kept").unwrap();
    let mut discarding = Command::new("strace");
    // It is held at the first thing that it removes until the other directory has the name.
    discarding.args(["-f", "-qq", "-o", "calls", "-e", "trace=unlinkat"]);
    discarding.args(["-e", "inject=unlinkat:signal=SIGSTOP:when=1", "--", env!("CARGO_BIN_EXE_cofferdam")]);
    discarding.args(["discard", "target"]).current_dir(place.directory()).stdin(Stdio::null());
    let discarding = started(&mut discarding);
    let mut calls = String::new();
    wait_until("its first removal", || {
        calls = fs::read_to_string(place.at("calls")).unwrap_or_default();
        calls.contains("--- stopped by SIGSTOP ---")
    });
    fs::rename(place.at(PRIVATE), place.at("moved")).unwrap();
    fs::rename(place.at("data"), place.at(PRIVATE)).unwrap();
    let held = calls.split_whitespace().next().and_then(|pid| Pid::from_raw(pid.parse().ok()?));
    kill_process(held.unwrap(), Signal::CONT).unwrap();
    let ran = end_of(discarding);
    ran.assert_failed(8, "was moved while it was removed");
    assert_eq!(place.read(&format!("{PRIVATE}/shards/sub/keep")), b"kept");
    // What was locked is what has been removed.
    assert_eq!(fs::read_dir(place.at("moved")).unwrap().count(), 0);
}

/// Gigabytes in clear are not called nothing, and whoever has lost the plan is told what they are.
#[test]
fn status_and_discard_name_what_is_kept_of_shards_and_of_plans() {
    let snapshot = one_of_two();
    let place = &snapshot.place;
    let record = |command: &str| -> serde_json::Value {
        let ran = place.run([command, "--json", "target"]);
        ran.assert_done();
        serde_json::from_str(ran.stdout.lines().next().unwrap()).unwrap()
    };
    let status = record("status");
    assert_eq!(status["attempt"], "shards");
    assert!(status["shards"].as_str().unwrap().ends_with(PRIVATE), "{status}");
    let said = place.run(["status", "target"]);
    assert!(said.stdout.contains("a restore of shards has not ended"), "{}", said.stdout);
    place.plan(2, &[]).assert_done();
    place.part(0).assert_done();
    place.run(["discard", "target"]).assert_done();
    let parts = place.attempts().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
    let status = record("status");
    assert_eq!((&status["attempt"], &status["shards"]), (&"parts".into(), &serde_json::Value::Null));
    assert!(status["parts"][0].as_str().unwrap().ends_with(&parts), "{status}");
    for command in ["status", "discard"] {
        let said = place.run([command, "target"]);
        assert!(said.stdout.contains(&parts) && said.stdout.contains("--give-up"), "{}", said.stdout);
    }
    assert!(record("discard")["parts"][0].as_str().unwrap().ends_with(&parts));
    place.part(1).assert_done();
    // The journal of a commit that was killed is the plan's.
    assert!(is_killed(place, "linkat", 1, &["restore", "--plan", "plan", "--commit"]));
    let status = record("status");
    assert_eq!((&status["attempt"], &status["problems"]), (&"parts".into(), &serde_json::json!([])));
    place.run(["restore", "--plan", "plan", "--give-up"]).assert_done();
    assert_eq!(record("status")["attempt"], serde_json::Value::Null);
}

/// What the next restore of shards refuses is not said to be one that goes on.
#[test]
fn what_is_no_private_directory_is_not_called_a_restore_that_has_not_ended() {
    let snapshot = Snapshot::new(1);
    let place = &snapshot.place;
    assert!(Command::new("mkfifo").arg(place.at(PRIVATE)).status().unwrap().success());
    let said = place.run(["status", "target"]);
    said.assert_done();
    assert!(said.stdout.contains("the next run refuses that"), "{}", said.stdout);
    assert!(said.stdout.contains("is no directory"), "{}", said.stdout);
    snapshot.restore("may.manifest", &[]).assert_failed(8, "is no directory");
    fs::remove_file(place.at(PRIVATE)).unwrap();
    fs::create_dir(place.at(PRIVATE)).unwrap();
    fs::set_permissions(place.at(PRIVATE), fs::Permissions::from_mode(0o777)).unwrap();
    let status = place.run(["status", "--json", "target"]);
    assert!(status.stdout.contains(r#""attempt":"in-the-way""#), "{}", status.stdout);
}

/// A directory of the user's own that somebody has moved there, before anything was asked.
#[test]
fn a_directory_that_no_restore_of_shards_has_made_is_not_discarded() {
    let snapshot = one_of_two();
    let place = &snapshot.place;
    fs::write(place.at(&format!("{PRIVATE}/diary")), "kept").unwrap();
    let kept = place.at(&format!("{PRIVATE}/shards/shard-00"));
    place.run(["discard", "target"]).assert_failed(8, "diary");
    snapshot.restore("may.manifest", &["--restart"]).assert_failed(8, "diary");
    assert!(kept.exists());
    fs::remove_file(place.at(&format!("{PRIVATE}/diary"))).unwrap();
    place.run(["discard", "target"]).assert_done();
    assert!(snapshot.beside().is_empty());
}

/// A file system that is mounted among the shards is nobody's shard, and stays whole.
#[test]
fn what_is_mounted_among_the_shards_stays() {
    let snapshot = one_of_two();
    let place = &snapshot.place;
    let at = place.at(&format!("{PRIVATE}/shards/mounted"));
    fs::create_dir(&at).unwrap();
    let mount = |command: &str, arguments: &[&str]| {
        Command::new(command).args(arguments).arg(&at).stderr(Stdio::null()).status().unwrap().success()
    };
    if !mount("mount", &["-t", "tmpfs", "tmpfs"]) {
        println!("skipped: nothing can be mounted here");
        return;
    }
    fs::write(at.join("file"), "kept").unwrap();
    let ran = place.run(["discard", "target"]);
    let kept = fs::read(at.join("file"));
    assert!(mount("umount", &[]));
    ran.assert_failed(1, "a file system is mounted in it");
    assert_eq!(kept.unwrap(), b"kept");
    place.run(["discard", "target"]).assert_done();
    assert!(snapshot.beside().is_empty());
}

/// A user's, of which one shard is a tree with a directory that keeps its owner out.
fn closed_shards() -> Snapshot {
    let snapshot = Snapshot::new(2);
    let place = &snapshot.place;
    fs::create_dir_all(place.at("tree/inner")).unwrap();
    fs::write(place.at("tree/inner/file"), "right").unwrap();
    fs::set_permissions(place.at("tree/inner"), fs::Permissions::from_mode(0o555)).unwrap();
    let seal = ["seal", "--key-file", "stream.key", "-o", "shard-00.cfd", "--force", "tree"];
    place.run(seal).assert_done();
    let streams = ["shard-00.cfd", "shard-01.cfd"];
    let manifest = ["manifest", "--ssh-key", "signer", "-o", "june.manifest"];
    place.run([&manifest[..], &streams].concat()).assert_done();
    for name in place.names().iter().map(String::as_str).chain([""]) {
        chown(place.at(name), Some(USER), Some(USER)).unwrap();
    }
    snapshot
}

/// Module caches and the like keep their owner out. As a user: root is kept out by nothing.
#[test]
fn shards_with_closed_directories_are_ended_restarted_and_discarded_by_a_user() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can be another user");
        return;
    }
    let restore = [&RESTORE[..6], &["june.manifest", "target"]].concat();
    let restart = [&RESTORE[..6], &["--restart", "june.manifest", "target"]].concat();
    let mut ended = Vec::new();
    let inner = |snapshot: &Snapshot| snapshot.place.at(&format!("{PRIVATE}/shards/shard-00/inner"));
    let mut kept = 0;
    let calls = ["linkat", "renameat2"].into_iter();
    for (call, when) in calls.flat_map(|call| (1..60).map(move |when| (call, when))) {
        if ended.contains(&call) {
            continue;
        }
        let snapshot = closed_shards();
        let place = &snapshot.place;
        let kill = format!("inject={call}:signal=KILL:when={when}");
        let mut killed = Command::new("strace");
        killed.args(["-f", "-qq", "-o", "/dev/null", "-e", &kill, "--", env!("CARGO_BIN_EXE_cofferdam")]);
        let killed = as_user(killed.args(&restore), place);
        if killed.code == Some(0) {
            ended.push(call);
            continue;
        }
        let is_kept = inner(&snapshot).exists();
        kept += usize::from(is_kept);
        // Of the last call of all, which removes the empty directory, nothing is left that tells what it was.
        if place.at("target").exists() && fs::read_dir(place.at(PRIVATE)).unwrap().count() == 0 {
            continue;
        }
        match (is_kept, when % 3) {
            (true, 0) => {
                user(place, &["discard", "target"]).assert_done();
                assert!(snapshot.beside().is_empty(), "{:?}", snapshot.beside());
                user(place, &restore).assert_done();
            }
            (true, 1) => user(place, &restart).assert_done(),
            _ => user(place, &restore).assert_done(),
        }
        assert_eq!(place.read("target/shard-00/inner/file"), b"right");
        assert!(snapshot.beside().is_empty(), "{call} {when}: {:?}", snapshot.beside());
    }
    assert!(kept > 0 && ended.len() == 2, "{kept} were killed after a rename; {ended:?}");
    // Each of the three, whatever the number of the call was.
    for step in [&["discard", "target"][..], &restart, &restore] {
        let snapshot = closed_shards();
        let place = &snapshot.place;
        fs::rename(place.at("shard-01.cfd"), place.at("away")).unwrap();
        user(place, &restore).assert_failed(1, "shard shard-01");
        // It is not what it was when it was finished.
        fs::set_permissions(inner(&snapshot), fs::Permissions::from_mode(0o500)).unwrap();
        fs::rename(place.at("away"), place.at("shard-01.cfd")).unwrap();
        user(place, step).assert_done();
        if step[0] == "discard" {
            assert!(snapshot.beside().is_empty(), "{:?}", snapshot.beside());
            user(place, &restore).assert_done();
        }
        assert_eq!(place.read("target/shard-00/inner/file"), b"right");
    }
}

/// Its bytes have been proved and are durable: they are compared, and not written once more.
#[test]
fn a_file_shard_that_was_put_in_place_before_the_run_was_killed_is_restored_anew() {
    let mut found = 0;
    for when in 1..40 {
        let snapshot = Snapshot::new(2);
        let place = &snapshot.place;
        if !is_killed(place, "unlinkat", when, &RESTORE) {
            break;
        }
        let shards = place.at(&format!("{PRIVATE}/shards"));
        let journal = |shard| shards.join(format!(".{}.cofferdam-journal", name(shard))).exists();
        let Some(shard) = (0..2).find(|shard| journal(*shard) && shards.join(name(*shard)).exists()) else {
            continue;
        };
        found += 1;
        let kept = shards.join(name(shard));
        if found > 1 {
            // It is not believed for its journal.
            let len = fs::metadata(&kept).unwrap().len() as usize;
            fs::write(&kept, vec![b'x'; len]).unwrap();
        }
        snapshot.restore("may.manifest", &[]).assert_done();
        snapshot.assert_restored(1);
    }
    assert!(found > 1, "{found}");
}

/// The target may be a directory that another restore has been cut off in.
#[test]
fn what_is_refused_for_its_target_has_removed_nothing() {
    let snapshot = Snapshot::new(2);
    let place = &snapshot.place;
    fs::create_dir(place.at("tree")).unwrap();
    (0..4).for_each(|number| fs::write(place.at(&format!("tree/{number}")), "x").unwrap());
    place.run(["seal", "--key-file", "stream.key", "-o", "tree.cfd", "tree"]).assert_done();
    fs::create_dir(place.at("target")).unwrap();
    fs::write(place.at("target/live"), "live").unwrap();
    let into = ["restore", "--key-file", "stream.key", "--into", "tree.cfd", "target"];
    let names = || {
        let entries = fs::read_dir(place.at("target")).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert!(is_killed(place, "renameat2", 3, &into));
    let before = names();
    assert!(before.iter().any(|name| name == ".cofferdam-staging"), "{before:?}");
    snapshot.restore("may.manifest", &["--restart"]).assert_failed(6, "target exists");
    assert_eq!(names(), before);
    place.run(into).assert_done();
    assert_eq!(names(), ["0", "1", "2", "3", "live"]);
    // A restore of a file to the name is none of shards, either.
    fs::rename(place.at("target"), place.at("done")).unwrap();
    let file = ["restore", "--key-file", "stream.key", "sealed.cfd", "target"];
    assert!(is_killed(place, "renameat2", 1, &file));
    let beside = snapshot.beside();
    assert!(!beside.is_empty());
    snapshot.restore("may.manifest", &["--restart"]).assert_done();
    assert_eq!(snapshot.beside(), beside);
}

/// A rescue system may have none. What needs it says so, and what does not is done.
#[test]
fn without_proc_a_plan_is_made_and_shards_say_what_they_lack() {
    let snapshot = Snapshot::new(1);
    let place = &snapshot.place;
    let without = |arguments: &[&str]| {
        let lines = "mount -t tmpfs none /proc || exit 77; exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", lines, "sh"]);
        command.arg(env!("CARGO_BIN_EXE_cofferdam")).args(arguments).current_dir(place.directory());
        Ran::of(command.env_remove("COFFERDAM_PLAN_KEY").stdin(Stdio::null()).output().unwrap())
    };
    let plan = ["restore", "--key-file", "stream.key", "--plan", "plan", "--parts", "2"];
    let planned = without(&[&plan[..], &["sealed.cfd", "other"]].concat());
    if planned.code == Some(77) || planned.stderr.contains("unshare failed") {
        println!("skipped: nothing can be mounted here");
        return;
    }
    planned.assert_done();
    for part in ["0", "1"] {
        let part = ["restore", "--key-file", "stream.key", "--plan", "plan", "--part", part];
        without(&part).assert_done();
    }
    without(&["restore", "--plan", "plan", "--commit"]).assert_done();
    assert_eq!(place.read("other"), place.read("plain"));
    without(&RESTORE).assert_failed(1, "needs /proc");
    snapshot.restore("may.manifest", &[]).assert_done();
    snapshot.assert_restored(1);
}

/// All steps are one user's: whoever is another one is told whose they are.
#[test]
fn a_step_of_another_user_is_told_whose_the_plan_is() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: this needs root");
        return;
    }
    let place = Place::small();
    place.plan(2, &[]).assert_done();
    fs::set_permissions(place.directory(), fs::Permissions::from_mode(0o755)).unwrap();
    for name in ["plan", "sealed.cfd", "stream.key"] {
        fs::set_permissions(place.at(name), fs::Permissions::from_mode(0o644)).unwrap();
    }
    fs::copy(place.at("plan.key"), place.at("user.key")).unwrap();
    chown(place.at("user.key"), Some(USER), Some(USER)).unwrap();
    let part =
        ["restore", "--key-file", "stream.key", "--plan", "plan", "--plan-key", "user.key", "--part", "0"];
    let ran = user(&place, &part);
    ran.assert_failed(1, "which is of the user 0, could not be opened");
    assert!(ran.stderr.contains("Run this as the user who has made it"), "{ran:?}");
}

/// The command, as a user who is not root.
pub(crate) fn user(place: &Place, arguments: &[&str]) -> Ran {
    as_user(Command::new(env!("CARGO_BIN_EXE_cofferdam")).args(arguments), place)
}

fn as_user(command: &mut Command, place: &Place) -> Ran {
    let mut user = Command::new("setpriv");
    user.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    user.arg(command.get_program()).args(command.get_args());
    user.current_dir(place.directory()).env_remove("COFFERDAM_IDENTITY").stdin(Stdio::null());
    user.env("XDG_STATE_HOME", place.at("none"));
    Ran::of(user.output().unwrap())
}

pub(crate) const USER: u32 = 65_534;

/// Moved between the lock and the look, the shards still lie somewhere in clear: nobody is told that nothing is kept.
#[test]
fn a_directory_that_is_moved_before_it_is_looked_at_is_not_called_nothing() {
    for comes in [false, true] {
        let snapshot = one_of_two();
        let place = &snapshot.place;
        let mut discarding = Command::new("strace");
        // It is held behind its lock.
        discarding.args(["-f", "-qq", "-o", "calls", "-e", "trace=flock"]);
        discarding.args(["-e", "inject=flock:signal=SIGSTOP:when=1", "--", env!("CARGO_BIN_EXE_cofferdam")]);
        discarding.args(["discard", "target"]).current_dir(place.directory()).stdin(Stdio::null());
        let discarding = started(&mut discarding);
        let mut calls = String::new();
        wait_until("its lock", || {
            calls = fs::read_to_string(place.at("calls")).unwrap_or_default();
            calls.contains("--- stopped by SIGSTOP ---")
        });
        fs::rename(place.at(PRIVATE), place.at("moved")).unwrap();
        if comes {
            fs::create_dir(place.at(PRIVATE)).unwrap();
            fs::set_permissions(place.at(PRIVATE), fs::Permissions::from_mode(0o700)).unwrap();
            fs::write(place.at(PRIVATE).join("manifest"), "another's").unwrap();
        }
        let held = calls.split_whitespace().next().and_then(|pid| Pid::from_raw(pid.parse().ok()?));
        kill_process(held.unwrap(), Signal::CONT).unwrap();
        end_of(discarding).assert_failed(8, "was moved away before anything of it was removed");
        assert!(place.at("moved/shards/shard-00").exists());
        assert_eq!(place.at(PRIVATE).exists(), comes);
        fs::remove_file(place.at("calls")).unwrap();
        if comes {
            assert_eq!(place.read(&format!("{PRIVATE}/manifest")), b"another's");
            fs::remove_dir_all(place.at(PRIVATE)).unwrap();
        }
        // Moved back, it is discarded as ever.
        fs::rename(place.at("moved"), place.at(PRIVATE)).unwrap();
        place.run(["discard", "target"]).assert_done();
        assert!(snapshot.beside().is_empty());
    }
}

/// `sudo -u` without `-H` leaves another user's HOME behind: what that user keeps is none of this one's.
#[test]
fn a_state_directory_of_the_environment_that_may_not_be_read_is_warned_of() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can become another user");
        return;
    }
    let snapshot = one_of_two();
    let place = &snapshot.place;
    let closed = place.at("closed/cofferdam");
    fs::create_dir_all(&closed).unwrap();
    fs::set_permissions(place.at("closed"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(place.directory(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(place.at("theirs")).unwrap();
    fs::rename(place.at(PRIVATE), place.at("theirs").join(PRIVATE)).unwrap();
    let chown = Command::new("chown").args(["-R", "65534:65534"]).arg(place.at("theirs")).status();
    assert!(chown.unwrap().success());
    let run = |arguments: &[&str]| {
        let mut user = Command::new("setpriv");
        user.args([
            "--reuid",
            "65534",
            "--regid",
            "65534",
            "--clear-groups",
            env!("CARGO_BIN_EXE_cofferdam"),
        ]);
        user.args(arguments).current_dir(place.directory()).stdin(Stdio::null());
        Ran::of(user.env("XDG_STATE_HOME", place.at("closed")).output().unwrap())
    };
    for command in ["status", "discard"] {
        // Whoever names it means it.
        run(&[command, "--state-dir", "closed/cofferdam", "theirs/target"])
            .assert_failed(1, "could not be opened");
        assert!(place.at("theirs").join(PRIVATE).exists());
        let ran = run(&[command, "theirs/target"]);
        ran.assert_done();
        assert!(ran.stderr.contains("no state of a sealing was looked for in"), "{ran:?}");
        assert!(ran.stdout.contains(PRIVATE), "{ran:?}");
    }
    assert!(!place.at("theirs").join(PRIVATE).exists());
}

/// An error tells nothing of what was removed before it.
#[test]
fn a_state_directory_that_is_refused_is_refused_before_anything_is_discarded() {
    let snapshot = one_of_two();
    let place = &snapshot.place;
    fs::create_dir(place.at("open")).unwrap();
    fs::set_permissions(place.at("open"), fs::Permissions::from_mode(0o777)).unwrap();
    place
        .run(["discard", "--state-dir", "open", "target"])
        .assert_failed(2, "others can write this directory");
    assert!(place.at(PRIVATE).join("shards/shard-00").exists());
    place.run(["discard", "target"]).assert_done();
    assert!(snapshot.beside().is_empty());
}
