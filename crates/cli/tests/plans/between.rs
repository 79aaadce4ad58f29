//! What somebody else has done between two steps, or two runs of one: it is kept, or refused, and never taken for what was restored.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::killed::is_killed;
use crate::place::{Place, plaintext};
use crate::shards::{Snapshot, name};

/// Two parts, run, of a plan that replaces a target.
pub(crate) fn run_over_an_old_target() -> Place {
    let place = Place::new(&plaintext(40_000), "16KiB", "4KiB");
    fs::write(place.at("target"), "old").unwrap();
    place.plan(2, &["--force"]).assert_done();
    (0..2).for_each(|part| place.part(part).assert_done());
    place
}

/// Killed after the target has its name and before that is noted, as a node is that goes down: the engine starts on what it finds.
#[test]
fn what_an_engine_saved_after_a_commit_that_was_killed_is_not_replaced() {
    let commit = ["restore", "--plan", "plan", "--commit"];
    let mut found = None;
    for when in 1..10 {
        let place = run_over_an_old_target();
        assert!(is_killed(&place, "linkat", when, &commit), "no note is made by linkat");
        assert!(!place.at("plan.committed").exists());
        if place.read("target") == place.read("plain") {
            found = Some(place);
            break;
        }
    }
    let place = found.expect("it is not noted after it is published");
    let later = [place.read("plain"), b"later".to_vec()].concat();
    fs::write(place.at("new"), &later).unwrap();
    fs::rename(place.at("new"), place.at("target")).unwrap();
    for _ in 0..2 {
        place.commit().assert_failed(8, "something else stands there since");
        assert_eq!(place.read("target"), later);
    }
    place.run(["restore", "--plan", "plan", "--give-up"]).assert_done();
    assert_eq!(place.read("target"), later);
    assert!(place.attempts().is_none());
}

/// A commit that was killed before that is run again, whatever becomes of its parts meanwhile.
#[test]
fn a_commit_that_was_killed_before_its_rename_is_no_reason_to_refuse_the_next() {
    let commit = ["restore", "--plan", "plan", "--commit"];
    let place = run_over_an_old_target();
    assert!(is_killed(&place, "renameat", 1, &commit) || is_killed(&place, "renameat2", 1, &commit));
    assert_eq!(place.read("target"), b"old");
    assert_eq!(place.attempt_files("publishing").len(), 1);
    for part in place.attempt_files("part-1") {
        fs::OpenOptions::new().append(true).open(part).unwrap().write_all(b"more").unwrap();
    }
    place.commit().assert_failed(19, "1 part missing: 1");
    place.commit().assert_failed(19, "1 part missing: 1");
    place.part(1).assert_done();
    place.commit().assert_done();
    assert_eq!(place.read("target"), place.read("plain"));
    place.assert_tidy();
}

#[test]
fn where_a_commit_could_not_be_noted_nothing_is_put_in_place() {
    let place = run_over_an_old_target();
    symlink("nowhere", place.at("plan.committed")).unwrap();
    place.commit().assert_failed(8, "a link that leads nowhere");
    place.part(0).assert_failed(8, "a link that leads nowhere");
    assert_eq!(place.read("target"), b"old");
    assert!(!place.at("nowhere").exists());
    fs::remove_file(place.at("plan.committed")).unwrap();
    place.commit().assert_done();
    assert_eq!(place.read("target"), place.read("plain"));
    place.assert_tidy();
}

/// As PARTS §3 says, by another program than this one.
pub(crate) fn mac(key: &str, text: &str) -> String {
    let mut child = Command::new("openssl")
        .args(["dgst", "-sha256", "-mac", "HMAC", "-macopt", &format!("hexkey:{}", key.trim())])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let said = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    said.trim().rsplit_once(' ').unwrap().1.to_owned()
}

/// Whoever can write where the plan lies knows its key, or puts another there, and has a stream for the same recipient: the plan is
/// one of its own, and names what the right one does.
#[test]
fn a_plan_that_was_swapped_for_another_with_its_name_and_target_is_refused() {
    let place = run_over_an_old_target();
    let text = |name: &str| String::from_utf8(place.read(name)).unwrap();
    fs::write(place.at("evil"), vec![b'E'; 40_000]).unwrap();
    place
        .run(["seal", "--key-file", "stream.key", "-o", "evil.cfd", "--frame-size", "4KiB", "evil"])
        .assert_done();
    let other =
        ["restore", "--key-file", "stream.key", "--plan", "other", "--parts", "1", "evil.cfd", "elsewhere"];
    place.run(other).assert_done();
    let line = |text: &str, word: &str| text.lines().find(|line| line.starts_with(word)).unwrap().to_owned();
    let (right, forged) = (text("plan"), text("other"));
    let mut forged = forged.split_once("mac ").unwrap().0.to_owned();
    let id = line(&right, "plan ");
    // Of the id, the directory's name has 12 digits.
    for id in [id.clone(), format!("{}{}", &id[.."plan ".len() + 12], "0".repeat(20))] {
        for word in ["plan ", "target ", "exists "] {
            let new = if word == "plan " { id.clone() } else { line(&right, word) };
            forged = forged.replace(&line(&forged, word), &new);
        }
        let mac = mac(&text("other.key"), &forged);
        fs::write(place.at("forged"), format!("{forged}mac {mac}\n")).unwrap();
        for name in ["plan", "plan.key"] {
            fs::rename(place.at(name), place.at(&format!("{name}.right"))).unwrap();
        }
        fs::copy(place.at("forged"), place.at("plan")).unwrap();
        fs::copy(place.at("other.key"), place.at("plan.key")).unwrap();
        let kept = place.attempt_files("");
        place.part(0).assert_failed(8, "was made for another plan");
        place.commit().assert_failed(8, "was made for another plan");
        for step in ["--status", "--give-up"] {
            place.run(["restore", "--plan", "plan", step]).assert_failed(8, "was made for another plan");
        }
        assert_eq!(place.read("target"), b"old");
        assert_eq!(place.attempt_files(""), kept);
        for name in ["plan", "plan.key"] {
            fs::rename(place.at(&format!("{name}.right")), place.at(name)).unwrap();
        }
    }
    place.commit().assert_done();
    assert_eq!(place.read("target"), place.read("plain"));
}

/// Its last file but the plan's text is gone, and the directory is still there.
#[test]
fn a_plan_whose_removal_was_interrupted_is_given_up() {
    for keeps_text in [true, false] {
        let place = run_over_an_old_target();
        for file in place.attempt_files("") {
            if !keeps_text || !file.ends_with("plan") {
                fs::remove_file(file).unwrap();
            }
        }
        if !keeps_text {
            place.part(0).assert_failed(8, "given up");
            place.commit().assert_failed(8, "given up");
        }
        place.run(["restore", "--plan", "plan", "--give-up"]).assert_done();
        assert!(place.attempts().is_none());
        assert_eq!(place.read("target"), b"old");
    }
}

/// Somebody keeps a directory among what attempts have left; it goes with it.
#[test]
fn a_directory_among_the_attempts_goes_with_them() {
    let place = run_over_an_old_target();
    let attempts = place.attempts().unwrap();
    fs::create_dir_all(attempts.join("notes/of/somebody")).unwrap();
    fs::create_dir(attempts.join("receipt-0-0")).unwrap();
    place.commit().assert_done();
    assert_eq!(place.read("target"), place.read("plain"));
    place.assert_tidy();
}

/// A mount that somebody has put there cannot be removed. The target is in place all the same, and it says so.
#[test]
fn what_cannot_be_removed_after_a_commit_is_a_warning() {
    let place = run_over_an_old_target();
    let busy = place.attempts().unwrap().join("busy");
    fs::create_dir(&busy).unwrap();
    let mount = |command: &str, arguments: &[&str]| {
        Command::new(command).args(arguments).arg(&busy).stderr(Stdio::null()).status().unwrap().success()
    };
    if !mount("mount", &["-t", "tmpfs", "tmpfs"]) {
        println!("skipped: nothing can be mounted here");
        return;
    }
    let ran = [place.commit(), place.commit()];
    assert!(mount("umount", &[]));
    for ran in ran {
        ran.assert_done();
        assert!(ran.stderr.contains("could not be removed") && !ran.stderr.contains("as it was"), "{ran:?}");
    }
    assert_eq!(place.read("target"), place.read("plain"));
    place.commit().assert_done();
    place.assert_tidy();
}

/// Three shards, of which one is a tree, and the last is not there: the first two are kept.
fn interrupted() -> Snapshot {
    let snapshot = Snapshot::new(2);
    let place = &snapshot.place;
    fs::create_dir_all(place.at("tree/inner")).unwrap();
    fs::write(place.at("tree/inner/file"), "right").unwrap();
    place.run(["seal", "--key-file", "stream.key", "-o", "shard-01.cfd", "--force", "tree"]).assert_done();
    place.run(["seal", "--key-file", "stream.key", "-o", "shard-02.cfd", "plain"]).assert_done();
    let manifest = ["manifest", "--ssh-key", "signer", "-o", "june.manifest"];
    let streams = ["shard-00.cfd", "shard-01.cfd", "shard-02.cfd"];
    place.run([&manifest[..], &streams].concat()).assert_done();
    fs::rename(place.at("shard-02.cfd"), place.at("away")).unwrap();
    snapshot.restore("june.manifest", &[]).assert_failed(1, "shard shard-02");
    snapshot
}

/// An engine that was started on what is kept, a tool that tidies up, a disk that has lost something.
#[test]
fn a_kept_shard_that_was_changed_is_restored_anew() {
    type Change = (fn(&Path), usize);
    let changes: [Change; 9] = [
        (|_| (), 2),
        (|shards| fs::write(shards.join("shard-00"), "bad").unwrap(), 1),
        (
            |shards| {
                let file = shards.join("shard-00");
                let (mut bytes, modified) =
                    (fs::read(&file).unwrap(), fs::metadata(&file).unwrap().modified().unwrap());
                bytes[0] ^= 1;
                let opened = fs::OpenOptions::new().write(true).open(&file).unwrap();
                (&opened).write_all(&bytes).unwrap();
                opened.set_modified(modified).unwrap();
            },
            1,
        ),
        (
            |shards| {
                fs::remove_file(shards.join("shard-00")).unwrap();
                fs::create_dir(shards.join("shard-00")).unwrap();
            },
            1,
        ),
        (|shards| fs::remove_file(shards.join("shard-00")).unwrap(), 1),
        (|shards| fs::write(shards.join("shard-01/inner/file"), "wrong").unwrap(), 1),
        (|shards| fs::write(shards.join("shard-01/inner/more"), "more").unwrap(), 1),
        (|shards| fs::remove_dir_all(shards.join("shard-01/inner")).unwrap(), 1),
        (
            |shards| {
                fs::remove_dir_all(shards.join("shard-01")).unwrap();
                symlink("/", shards.join("shard-01")).unwrap();
                fs::write(shards.join("shard-00"), "bad").unwrap();
            },
            0,
        ),
    ];
    for (at, (change, kept)) in changes.into_iter().enumerate() {
        let snapshot = interrupted();
        let place = &snapshot.place;
        change(&place.at(".target.cofferdam-shards/shards"));
        fs::rename(place.at("away"), place.at("shard-02.cfd")).unwrap();
        let ran = snapshot.restore("june.manifest", &[]);
        ran.assert_done();
        assert_eq!(ran.stdout.matches("restored before").count(), kept, "{at}: {ran:?}");
        assert_eq!(place.read("target/shard-00"), Snapshot::content(0, 1), "{at}");
        assert_eq!(place.read("target/shard-01/inner/file"), b"right", "{at}");
        assert_eq!(fs::read_dir(place.at("target/shard-01/inner")).unwrap().count(), 1, "{at}");
        assert_eq!(place.read("target/shard-02"), place.read("plain"), "{at}");
        assert!(snapshot.beside().is_empty(), "{at}");
    }
}

/// As a Job is started again: what is in place stays, and the second run ends as the first would have.
#[test]
fn a_restore_of_shards_that_is_killed_anywhere_is_ended_by_the_next_run() {
    let restore = [
        "restore",
        "--key-file",
        "stream.key",
        "--manifest",
        "--signed-by",
        "signer.pub",
        "may.manifest",
        "target",
    ];
    let (mut kills, mut after) = (0, 0);
    for call in ["renameat2", "linkat", "unlinkat", "mkdirat", "fsync"] {
        for when in 1..200 {
            let snapshot = Snapshot::new(2);
            let place = &snapshot.place;
            if !is_killed(place, call, when, &restore) {
                break;
            }
            kills += 1;
            let target = place.at("target");
            let before = fs::metadata(&target).map(|found| found.ino()).ok();
            let ran = snapshot.restore("may.manifest", &[]);
            // Of the last call of all, which removes the empty directory, nothing is left that tells what it was.
            let is_last = before.is_some()
                && ran.code == Some(6)
                && fs::read_dir(place.at(".target.cofferdam-shards")).unwrap().count() == 0;
            if !is_last {
                assert_eq!(ran.code, Some(0), "{call} {when}: {ran:?}");
                assert!(snapshot.beside().is_empty(), "{call} {when}");
            }
            for shard in 0..2 {
                assert_eq!(fs::read(target.join(name(shard))).unwrap(), Snapshot::content(shard, 1));
            }
            if let Some(before) = before {
                assert_eq!(fs::metadata(&target).unwrap().ino(), before, "{call} {when}");
                after += usize::from(!is_last);
                snapshot.restore("may.manifest", &[]).assert_failed(6, "target exists");
            }
        }
    }
    assert!(kills > 10 && after > 2, "{kills} {after}");
}

/// A target of another name, or of another manifest, is not this one's.
#[test]
fn a_target_that_is_not_this_manifests_is_6_whatever_is_noted() {
    let unlinks = (1..200).find_map(|when| {
        let snapshot = Snapshot::new(2);
        let restore = ["restore", "--key-file", "stream.key", "--manifest", "--signed-by", "signer.pub"];
        let arguments = [&restore[..], &["may.manifest", "target"]].concat();
        let was_killed = is_killed(&snapshot.place, "unlinkat", when, &arguments);
        (!was_killed || snapshot.place.at("target").exists()).then_some(snapshot)
    });
    let snapshot = unlinks.unwrap();
    let place = &snapshot.place;
    assert!(!snapshot.beside().is_empty(), "it was not killed after its rename");
    snapshot.manifest("june.manifest", "", &["--sequence", "2"]).assert_done();
    snapshot.restore("june.manifest", &[]).assert_failed(6, "target exists");
    fs::rename(place.at("target"), place.at("ours")).unwrap();
    fs::create_dir(place.at("target")).unwrap();
    snapshot.restore("may.manifest", &[]).assert_failed(6, "target exists");
    fs::remove_dir(place.at("target")).unwrap();
    fs::rename(place.at("ours"), place.at("target")).unwrap();
    let again = snapshot.restore("may.manifest", &[]);
    again.assert_done();
    assert!(again.stdout.contains("put in place before"), "{again:?}");
    snapshot.assert_restored(1);
}

/// The digest fixes the stream; what a manifest says of it beside that is believed no more.
#[test]
fn a_length_that_is_not_the_streams_is_3() {
    let snapshot = Snapshot::new(2);
    let place = &snapshot.place;
    let text = String::from_utf8(place.read("may.manifest")).unwrap();
    let len = format!(" {} ", Snapshot::content(1, 1).len());
    assert_eq!(text.matches(&len).count(), 1);
    fs::write(place.at("may.manifest"), text.replace(&len, " 999 ")).unwrap();
    place.sign("may.manifest", "signer", "manifest@cofferdam");
    for _ in 0..2 {
        snapshot.restore("may.manifest", &[]).assert_failed(3, "the manifest says 999");
        snapshot.verify().assert_failed(3, "the manifest says 999");
        assert!(!place.at("target").exists());
    }
}

/// What the plan has said is not said again, and an advice is one that helps.
#[test]
fn a_step_is_not_told_what_the_plan_says() {
    let place = Place::small();
    let planning = ["restore", "--key-file", "stream.key", "--plan", "plan", "--parts", "2", "--manifest"];
    place.ssh_key("signer");
    let manifest = ["--signed-by", "signer.pub", "sealed.cfd", "target"];
    place.run([&planning[..], &manifest].concat()).assert_failed(2, "a plan is of one stream");
    place.plan(2, &[]).assert_done();
    (0..2).for_each(|part| place.part(part).assert_done());
    let beyond = place.part(2);
    beyond.assert_failed(2, "there is no part 2");
    assert!(!beyond.stderr.contains("run the same command again"), "{beyond:?}");
    fs::write(place.at("target"), "somebody's").unwrap();
    place.commit().assert_failed(6, "plan again with --force");
    place.run(["restore", "--plan", "plan", "--commit", "--force"]).assert_failed(2, "the plan says");
    assert_eq!(place.read("target"), b"somebody's");
    fs::remove_file(place.at("target")).unwrap();
    place.commit().assert_done();
}

/// What it names has to be a place that whoever signed it knew.
#[test]
fn a_manifest_that_is_too_long_or_names_an_open_file_is_refused() {
    let snapshot = Snapshot::new(1);
    let place = &snapshot.place;
    let text = String::from_utf8(place.read("may.manifest")).unwrap();
    let source = place.directory().canonicalize().unwrap().join("shard-00.cfd");
    for named in ["/dev/fd/0", "/dev/stdin", "/proc/self/fd/0"] {
        fs::write(place.at("may.manifest"), text.replace(source.to_str().unwrap(), named)).unwrap();
        place.sign("may.manifest", "signer", "manifest@cofferdam");
        snapshot.restore("may.manifest", &[]).assert_failed(2, "where the stream of the shard shard-00 is");
        snapshot.verify().assert_failed(2, "where the stream of the shard shard-00 is");
    }
    fs::write(place.at("may.manifest"), vec![b'#'; (8 << 20) + 1]).unwrap();
    place.sign("may.manifest", "signer", "manifest@cofferdam");
    snapshot.restore("may.manifest", &[]).assert_failed(7, "is longer than 8388608 bytes");
    assert!(!place.at("target").exists());
}
