//! What somebody moves away, or mounts over, while it is published: shards, and what a plan's commit makes. Shards that a run with other options has restored.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::killed::is_killed;
use crate::place::{Place, Ran, end_of, plaintext, started, wait_until};
use crate::shards::{Snapshot, name};

const RESTORE: [&str; 8] = [
    "restore",
    "--key-file",
    "stream.key",
    "--manifest",
    "--signed-by",
    "signer.pub",
    "may.manifest",
    "at/target",
];

fn traced(place: &Place, step: &[&str], more: &[&str]) -> Command {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "calls"]).args(more);
    command.arg("--").arg(env!("CARGO_BIN_EXE_cofferdam")).args(step);
    command.current_dir(place.directory()).stdin(Stdio::null());
    command
}

fn calls(place: &Place) -> String {
    fs::read_to_string(place.at("calls")).unwrap_or_default()
}

/// How many calls of this name there are in a step up to that by which the target gets its name.
fn count_of(place: &Place, step: &[&str], call: &str) -> usize {
    let renames = format!("trace=renameat2,renameat,{call}");
    end_of(started(&mut traced(place, step, &["-e", &renames]))).assert_done();
    let calls = calls(place);
    let calls: Vec<&str> = calls.lines().filter(|line| line.contains("(")).collect();
    let last = calls.iter().position(|line| line.contains("rename") && line.contains("\"target\""));
    let call = format!("{call}(");
    calls[..=last.unwrap()].iter().filter(|line| line.contains(&call)).count()
}

/// A step that is stopped behind a call.
fn held(place: &Place, step: &[&str], call: &str, when: usize) -> (Child, Pid) {
    let _ = fs::remove_file(place.at("calls"));
    let fault = format!("inject={call}:signal=SIGSTOP:when={when}");
    let step = started(&mut traced(place, step, &["-e", &format!("trace={call}"), "-e", &fault]));
    wait_until("the call", || calls(place).contains("--- stopped by SIGSTOP ---"));
    let calls = calls(place);
    let pid = calls.split_whitespace().next().and_then(|pid| Pid::from_raw(pid.parse().ok()?));
    (step, pid.unwrap())
}

fn go_on((step, pid): (Child, Pid)) -> Ran {
    kill_process(pid, Signal::CONT).unwrap();
    end_of(step)
}

fn assert_restored(place: &Place, directory: &str) {
    for shard in 0..2 {
        assert!(place.read(&format!("{directory}/{}", name(shard))) == Snapshot::content(shard, 1));
    }
}

fn count(directory: &Path) -> usize {
    fs::read_dir(directory).unwrap().count()
}

#[test]
fn shards_that_are_not_where_they_were_to_be_are_not_called_restored() {
    let snapshot = Snapshot::new(2);
    let place = &snapshot.place;
    let restoring_at = |(call, when)| {
        fs::create_dir(place.at("at")).unwrap();
        held(place, &RESTORE, call, when)
    };
    let [synced, renamed] = ["fsync", "renameat2"].map(|call| {
        fs::create_dir(place.at("at")).unwrap();
        let count = count_of(place, &RESTORE, call);
        fs::remove_dir_all(place.at("at")).unwrap();
        (call, count)
    });
    // Before the rename, and after it.
    for (call, code, words) in
        [(synced, 1, "nothing was put in place"), (renamed, 10, "the target's directory was moved meanwhile")]
    {
        let held = restoring_at(call);
        assert_eq!(place.at("at/target").exists(), code == 10);
        fs::rename(place.at("at"), place.at("moved")).unwrap();
        fs::create_dir(place.at("at")).unwrap();
        go_on(held).assert_failed(code, words);
        assert_eq!(count(&place.at("at")), 0);
        assert_eq!(place.at("moved/target").exists(), code == 10);
        fs::remove_dir(place.at("at")).unwrap();
        fs::rename(place.at("moved"), place.at("at")).unwrap();
        place.run(RESTORE).assert_done();
        assert_restored(place, "at/target");
        assert_eq!(count(&place.at("at")), 1);
        fs::remove_dir_all(place.at("at")).unwrap();
    }
    let held = restoring_at(renamed);
    fs::rename(place.at("at/target"), place.at("at/verified")).unwrap();
    fs::create_dir(place.at("at/target")).unwrap();
    go_on(held).assert_failed(10, "at/target: what stands here is not the directory that was verified");
    assert_restored(place, "at/verified");
    assert_eq!(count(&place.at("at/target")), 0);
}

#[test]
fn shards_that_a_run_with_other_options_has_restored_are_restored_anew() {
    let snapshot = Snapshot::new(1);
    let place = &snapshot.place;
    for tree in ["programs", "others"] {
        fs::create_dir(place.at(tree)).unwrap();
        fs::write(place.at(tree).join("program"), tree).unwrap();
        fs::set_permissions(place.at(tree).join("program"), fs::Permissions::from_mode(0o4755)).unwrap();
        let output = format!("{tree}.cfd");
        place.run(["seal", "--key-file", "stream.key", "-o", &output, tree]).assert_done();
    }
    let shards = ["a=programs.cfd", "b=others.cfd"];
    let manifest = ["manifest", "--ssh-key", "signer", "-o", "two.manifest"];
    place.run([&manifest[..], &shards].concat()).assert_done();
    for (first, second, mode) in [
        (&["--set-id"][..], &[][..], 0o755),
        (&[], &["--set-id"], 0o4755),
        (&["--set-id"], &["--set-id"], 0o4755),
    ] {
        fs::rename(place.at("others.cfd"), place.at("away")).unwrap();
        snapshot.restore("two.manifest", first).assert_failed(1, "shard b");
        fs::rename(place.at("away"), place.at("others.cfd")).unwrap();
        let ran = snapshot.restore("two.manifest", second);
        ran.assert_done();
        assert_eq!(ran.stdout.contains("a: restored before"), first == second, "{}", ran.stdout);
        for shard in ["a", "b"] {
            let found = fs::metadata(place.at("target").join(shard).join("program")).unwrap().mode();
            assert_eq!(found & 0o7777, mode, "{shard} {first:?} {second:?}");
        }
        assert!(snapshot.beside().is_empty(), "{:?}", snapshot.beside());
        fs::remove_dir_all(place.at("target")).unwrap();
    }
}

/// MANIFEST, M3.4.
#[test]
fn the_options_of_a_finished_shard_are_noted_in_the_words_of_the_format() {
    let snapshot = Snapshot::new(2);
    let place = &snapshot.place;
    let note = ".target.cofferdam-shards/finished-0";
    fs::rename(place.at("shard-01.cfd"), place.at("away")).unwrap();
    for (options, words) in [
        (
            &["--set-id", "--numeric-owner", "--no-preserve"][..],
            "options by-number set-id no-devices no-preserve",
        ),
        (&["--no-owner"], "options ours no-set-id no-devices preserve"),
        (&[], "options by-name no-set-id no-devices preserve"),
    ] {
        snapshot.restore("may.manifest", options).assert_failed(1, "shard-01");
        let noted = String::from_utf8(place.read(note)).unwrap();
        assert!(noted.ends_with(&format!("\n{words}\n")) && noted.lines().count() == 2, "{noted}");
    }
    // What an earlier program has noted is restored anew, and what this one has is not.
    let noted = String::from_utf8(place.read(note)).unwrap();
    let state = noted.lines().next().unwrap();
    for (line, is_kept) in
        [("", false), ("ByName LeaveOut LeaveOut Restore\n", false), (noted.lines().last().unwrap(), true)]
    {
        let line = if is_kept { format!("{line}\n") } else { line.to_owned() };
        if !is_kept {
            fs::write(place.at(note), format!("{state}\n{line}")).unwrap();
        }
        let ran = snapshot.restore("may.manifest", &[]);
        ran.assert_failed(1, "shard-01");
        assert_eq!(
            ran.stdout.contains("shard-00: restored before")
                || ran.stderr.contains("shard-00: restored before"),
            is_kept,
            "{line:?} {ran:?}"
        );
        assert!(
            String::from_utf8(place.read(note))
                .unwrap()
                .ends_with("\noptions by-name no-set-id no-devices preserve\n")
        );
    }
    fs::rename(place.at("away"), place.at("shard-01.cfd")).unwrap();
    snapshot.restore("may.manifest", &[]).assert_done();
    snapshot.assert_restored(1);
}

/// After the very last removal nothing tells whose directory it was: nobody is told that the same command goes on.
#[test]
fn an_empty_private_directory_beside_a_target_is_told_from_a_restore_that_goes_on() {
    let snapshot = Snapshot::new(1);
    let place = &snapshot.place;
    snapshot.restore("may.manifest", &[]).assert_done();
    fs::create_dir(place.at(".target.cofferdam-shards")).unwrap();
    fs::set_permissions(place.at(".target.cofferdam-shards"), fs::Permissions::from_mode(0o700)).unwrap();
    let told = place.run(["status", "target"]);
    told.assert_done();
    assert!(told.stdout.contains("discard") && !told.stdout.contains("goes on"), "{}", told.stdout);
    snapshot.restore("may.manifest", &[]).assert_failed(6, "");
    place.run(["discard", "target"]).assert_done();
    snapshot.assert_restored(1);
    fs::remove_dir_all(place.at("target")).unwrap();
    fs::create_dir(place.at(".target.cofferdam-shards")).unwrap();
    fs::set_permissions(place.at(".target.cofferdam-shards"), fs::Permissions::from_mode(0o700)).unwrap();
    assert!(place.run(["status", "target"]).stdout.contains("goes on"));
    snapshot.restore("may.manifest", &[]).assert_done();
    snapshot.assert_restored(1);
}

/// What the plan `plan` makes in the directory `at`, of a file or of a directory, in the place of an old one or of nothing. Its one part has been run.
fn run_at(is_tree: bool, replaces: bool) -> Place {
    let content = plaintext(100_000);
    let place = match is_tree {
        true => Place::of_tree(|tree| fs::write(tree.join("inner"), &content).unwrap(), "1MiB", "4KiB"),
        false => Place::new(&content, "1MiB", "4KiB"),
    };
    fs::create_dir(place.at("at")).unwrap();
    match (is_tree, replaces) {
        (true, true) => {
            fs::create_dir(place.at("at/target")).unwrap();
            fs::write(place.at("at/target/old"), "old").unwrap();
        }
        (false, true) => fs::write(place.at("at/target"), "old").unwrap(),
        (_, false) => {}
    }
    let plan = ["restore", "--key-file", "stream.key", "--plan", "plan", "--parts", "1", "sealed.cfd"];
    let force = if replaces { &["--force"][..] } else { &[] };
    place.run([&plan[..], force, &["at/target"]].concat()).assert_done();
    place.part(0).assert_done();
    place
}

/// The target's directory is another one from here on, with what is a stranger's at the target's name. What takes that back; `None`, and it says so, where nothing can be mounted.
fn intrude(place: &Place, is_mounted: bool) -> Option<impl FnOnce()> {
    let [at, moved] = ["at", "moved"].map(|name| place.at(name));
    if is_mounted {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "none"]).arg(&at).stderr(Stdio::null());
        if !mount.status().is_ok_and(|status| status.success()) {
            println!("skipped: this user may mount nothing");
            return None;
        }
    } else {
        fs::rename(&at, &moved).unwrap();
        fs::create_dir(&at).unwrap();
    }
    fs::write(at.join("target"), "a stranger's").unwrap();
    Some(move || {
        if is_mounted {
            assert!(Command::new("umount").arg(&at).status().unwrap().success());
            return;
        }
        fs::remove_dir_all(&at).unwrap();
        fs::rename(&moved, &at).unwrap();
    })
}

/// As when `/srv` is mounted late, or somebody tidies up: between the last sync and the rename.
#[test]
fn what_a_commit_puts_into_a_directory_that_is_moved_or_covered_meanwhile_is_not_called_committed() {
    let commit = ["restore", "--plan", "plan", "--commit"];
    for (is_tree, replaces) in [(false, false), (false, true), (true, false), (true, true)] {
        let call = if is_tree { "fsync" } else { "fdatasync" };
        let when = count_of(&run_at(is_tree, replaces), &commit, call);
        for is_mounted in [false, true] {
            let place = run_at(is_tree, replaces);
            let held = held(&place, &commit, call, when);
            let intruded = intrude(&place, is_mounted);
            let ran = go_on(held);
            let Some(take_back) = intruded else { continue };
            let stays = (place.read("at/target"), count(&place.at("at")));
            take_back();
            let what = format!("{is_tree} {replaces} {is_mounted}");
            ran.assert_failed(10, if is_mounted { "covered by a mount" } else { "/moved" });
            assert_eq!(stays, (b"a stranger's".to_vec(), 1), "{what}");
            assert!(!place.at("plan.committed").exists(), "{what}");
            // The old directory is removed by nobody who has not seen the new one in its place.
            let old = place.at("at/.target.cofferdam-staging/old");
            assert_eq!(old.exists(), is_tree && replaces, "{what}");
            let again = place.commit();
            again.assert_done();
            assert!(again.stdout.contains("has been put in place before"), "{what}: {again:?}");
            let (made, sealed) =
                if is_tree { ("at/target/inner", "plain/inner") } else { ("at/target", "plain") };
            assert!(place.read(made) == place.read(sealed), "{what}");
            assert_eq!(count(&place.at("at")), 1, "{what}");
        }
    }
}

/// Of a directory that was put in place when its run was killed its journal tells. All that is removed is in the private directory, of this manifest, and of no use to anybody.
#[test]
fn a_directory_that_a_run_with_other_options_had_put_in_place_when_it_was_killed_goes_and_is_restored_anew() {
    let snapshot = Snapshot::new(1);
    let place = &snapshot.place;
    for tree in ["first", "second"] {
        fs::create_dir(place.at(tree)).unwrap();
        fs::write(place.at(tree).join("program"), tree).unwrap();
        fs::set_permissions(place.at(tree).join("program"), fs::Permissions::from_mode(0o4755)).unwrap();
        let output = format!("{tree}.cfd");
        place.run(["seal", "--key-file", "stream.key", "-o", &output, tree]).assert_done();
    }
    let shards = ["a=first.cfd", "b=second.cfd"];
    place
        .run([&["manifest", "--ssh-key", "signer", "-o", "two.manifest"][..], &shards].concat())
        .assert_done();
    let step = |more: &'static [&str]| [&RESTORE[..6], more, &["two.manifest", "target"]].concat();
    let (without, with) = (step(&[]), step(&["--set-id"]));
    let mut refused = 0;
    for (first, second, due) in [(&with, &without, 0o755), (&without, &with, 0o4755)] {
        for (call, when) in
            ["utimensat", "unlinkat", "fsync"].iter().flat_map(|call| (1..60).map(move |when| (call, when)))
        {
            let what = format!("{call} {when} {due:o}");
            if !is_killed(place, call, when, first) {
                fs::remove_dir_all(place.at("target")).unwrap();
                break;
            }
            let was_published = place.at("target").exists();
            // One for each of the shards that the first run can have had in place.
            let mut ran = place.run(second);
            if ran.code != Some(0) {
                ran.assert_failed(8, "by other options: it has been removed");
                assert!(ran.stderr.contains("The same command restores it anew."), "{what}: {ran:?}");
                assert!(!place.at("target").exists(), "{what}");
                refused += 1;
                ran = place.run(second);
            }
            ran.assert_done();
            for (shard, content) in [("a", "first"), ("b", "second")] {
                let program = format!("target/{shard}/program");
                let mode = fs::metadata(place.at(&program)).unwrap().mode() & 0o7777;
                assert!(was_published || mode == due, "{what}: {mode:o} of {shard}");
                assert_eq!(place.read(&program), content.as_bytes(), "{what}");
            }
            assert_eq!(count(&place.at("target")), 2, "{what}");
            assert!(snapshot.beside().is_empty(), "{what}: {:?}", snapshot.beside());
            fs::remove_dir_all(place.at("target")).unwrap();
        }
    }
    assert!(refused > 3, "{refused}");
}

/// Of a file that is in its place nothing tells by which options.
#[test]
fn a_file_that_a_run_with_other_options_had_put_in_place_when_it_was_killed_is_restored_anew() {
    let snapshot = Snapshot::new(1);
    let place = &snapshot.place;
    fs::write(place.at("plain-of-one"), "of one").unwrap();
    fs::set_permissions(place.at("plain-of-one"), fs::Permissions::from_mode(0o600)).unwrap();
    place.run(["seal", "--key-file", "stream.key", "-o", "one.cfd", "plain-of-one"]).assert_done();
    place.run(["manifest", "--ssh-key", "signer", "-o", "one.manifest", "one=one.cfd"]).assert_done();
    let step = |more: &'static [&str]| [&RESTORE[..6], more, &["one.manifest", "target"]].concat();
    let (kept, plain) = (step(&[]), step(&["--no-preserve"]));
    let mut in_place = 0;
    for (first, second, is_kept) in [(&plain, &kept, true), (&kept, &plain, false)] {
        for (call, when) in
            ["fsync", "unlinkat"].iter().flat_map(|call| (1..30).map(move |when| (call, when)))
        {
            if !is_killed(place, call, when, first) {
                fs::remove_dir_all(place.at("target")).unwrap();
                break;
            }
            in_place += usize::from(place.at(".target.cofferdam-shards/shards/one").exists());
            let was_published = place.at("target").exists();
            place.run(second).assert_done();
            let mode = fs::metadata(place.at("target/one")).unwrap().mode() & 0o7777;
            assert!(was_published || (mode == 0o600) == is_kept, "{call} {when}: {mode:o}, {is_kept}");
            assert!(snapshot.beside().is_empty(), "{:?}", snapshot.beside());
            fs::remove_dir_all(place.at("target")).unwrap();
        }
    }
    assert!(in_place > 3, "{in_place}");
}
