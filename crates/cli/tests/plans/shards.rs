//! Shards of a snapshot: one directory of all of them, or none, whatever is missing, damaged, swapped or forged.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use rustix::process::{Pid, Signal, kill_process};
use servers::Nginx;
use servers::installed::is_skipped;

use crate::place::{Place, Ran, end_of, plaintext, started, wait_until};

/// A snapshot of so many shards, sealed, and signed as a manifest.
pub(crate) struct Snapshot {
    pub(crate) place: Place,
    count: usize,
}

impl Snapshot {
    pub(crate) fn new(count: usize) -> Snapshot {
        let snapshot = Snapshot { place: Place::small(), count };
        snapshot.place.ssh_key("signer");
        snapshot.seal("", 1);
        snapshot.manifest("may.manifest", "", &["--sequence", "1"]).assert_done();
        snapshot
    }

    /// What the shard holds in a generation of the snapshot.
    pub(crate) fn content(shard: usize, generation: usize) -> Vec<u8> {
        let mut content = plaintext(1000 * shard + 5 * generation);
        content.extend(format!("shard {shard} of generation {generation}").bytes());
        content
    }

    fn seal(&self, prefix: &str, generation: usize) {
        for shard in 0..self.count {
            fs::write(self.place.at("part"), Snapshot::content(shard, generation)).unwrap();
            let output = format!("{prefix}{}.cfd", name(shard));
            let sealed = self.place.run(["seal", "--key-file", "stream.key", "-o", &output, "part"]);
            sealed.assert_done();
        }
        fs::remove_file(self.place.at("part")).unwrap();
    }

    pub(crate) fn manifest(&self, output: &str, prefix: &str, more: &[&str]) -> Ran {
        let streams = (0..self.count).map(|shard| format!("{}={prefix}{0}.cfd", name(shard)));
        let streams: Vec<String> = streams.collect();
        let command = ["manifest", "--ssh-key", "signer", "-o", output];
        let streams: Vec<&str> = streams.iter().map(String::as_str).collect();
        self.place.run([&command[..], more, &streams].concat())
    }

    pub(crate) fn restore(&self, manifest: &str, more: &[&str]) -> Ran {
        let command = ["restore", "--key-file", "stream.key", "--manifest", "--signed-by", "signer.pub"];
        self.place.run([&command[..], more, &[manifest, "target"]].concat())
    }

    pub(crate) fn verify(&self) -> Ran {
        self.place.run(["verify", "--manifest", "--signed-by", "signer.pub", "may.manifest"])
    }

    pub(crate) fn assert_restored(&self, generation: usize) {
        let target = self.place.at("target");
        for shard in 0..self.count {
            let restored = fs::read(target.join(name(shard))).unwrap();
            assert!(restored == Snapshot::content(shard, generation), "{shard}");
        }
        assert_eq!(fs::read_dir(&target).unwrap().count(), self.count);
        assert!(self.beside().is_empty(), "{:?}", self.beside());
    }

    /// What stands beside the target.
    pub(crate) fn beside(&self) -> Vec<String> {
        self.place.names().into_iter().filter(|name| name.starts_with(".target")).collect()
    }
}

impl Place {
    /// A pair of SSH keys, as `ssh-keygen` makes it.
    pub(crate) fn ssh_key(&self, name: &str) {
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
            .arg(self.at(name))
            .status();
        assert!(made.unwrap().success());
    }

    /// The signature that `ssh-keygen` makes of a file, under the name that a manifest's has.
    pub(crate) fn sign(&self, name: &str, key: &str, namespace: &str) {
        let _ = fs::remove_file(self.at(&format!("{name}.sig")));
        let signed = Command::new("ssh-keygen")
            .args(["-q", "-Y", "sign", "-n", namespace, "-f"])
            .args([self.at(key), self.at(name)])
            .stderr(Stdio::null())
            .status();
        assert!(signed.unwrap().success());
    }
}

pub(crate) fn name(shard: usize) -> String {
    format!("shard-{shard:02}")
}

#[test]
fn all_shards_become_one_directory_and_a_tree_is_one_in_it() {
    let snapshot = Snapshot::new(64);
    let place = &snapshot.place;
    fs::create_dir(place.at("etc")).unwrap();
    fs::write(place.at("etc/passwd"), "root").unwrap();
    place.run(["seal", "--key-file", "stream.key", "-o", "etc.cfd", "etc"]).assert_done();
    snapshot.restore("may.manifest", &[]).assert_done();
    snapshot.assert_restored(1);
    // Any new directory has the rights of this one.
    fs::create_dir(place.at("new")).unwrap();
    let [new, target] = ["new", "target"].map(|name| fs::metadata(place.at(name)).unwrap().mode());
    assert_eq!(target, new);
    snapshot.restore("may.manifest", &[]).assert_failed(6, "target exists");
    snapshot.assert_restored(1);

    let two =
        place.run(["manifest", "--ssh-key", "signer", "-o", "two.manifest", "etc.cfd", "first=shard-00.cfd"]);
    two.assert_done();
    let verify = ["verify", "--key-file", "stream.key", "--manifest", "--signed-by", "signer.pub"];
    place.run([&verify[..], &["two.manifest"]].concat()).assert_done();
    fs::rename(place.at("target"), place.at("before")).unwrap();
    snapshot.restore("two.manifest", &[]).assert_done();
    assert_eq!(place.read("target/etc/passwd"), b"root");
    assert_eq!(place.read("target/first"), Snapshot::content(0, 1));
}

/// Another program than this one finds the signature right, and the text has a line for each shard.
#[test]
fn a_manifest_is_made_once_and_signed_as_ssh_keygen_verifies() {
    let snapshot = Snapshot::new(3);
    let place = &snapshot.place;
    let public = String::from_utf8(place.read("signer.pub")).unwrap();
    fs::write(place.at("allowed"), format!("sealer@example {public}")).unwrap();
    let verify = ["-Y", "verify", "-n", "manifest@cofferdam", "-I", "sealer@example", "-f", "allowed"];
    let mut child = Command::new("ssh-keygen")
        .args(verify)
        .args(["-s", "may.manifest.sig"])
        .current_dir(place.directory())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&place.read("may.manifest")).unwrap();
    assert!(child.wait().unwrap().success());

    let text = String::from_utf8(place.read("may.manifest")).unwrap();
    let directory = place.directory().canonicalize().unwrap();
    let mut expected = "cofferdam-manifest 1\nsequence 1\nshards 3\n".to_owned();
    for shard in 0..3 {
        let inspected = place.run(["inspect", "--json", &format!("{}.cfd", name(shard))]);
        let inspected: serde_json::Value = serde_json::from_str(&inspected.stdout).unwrap();
        let digest = inspected["trailer"]["stream_digest"].as_str().unwrap();
        let length = Snapshot::content(shard, 1).len();
        let path = directory.join(name(shard));
        expected.push_str(&format!("shard {} {digest} {length} {}.cfd\n", name(shard), path.display()));
    }
    assert_eq!(text, expected);

    let files = || ["may.manifest", "may.manifest.sig"].map(|name| (place.read(name), ino(&place.at(name))));
    let made = files();
    snapshot.manifest("may.manifest", "", &["--sequence", "1"]).assert_done();
    assert_eq!(files(), made);
    snapshot.manifest("may.manifest", "", &["--sequence", "2"]).assert_failed(6, "may.manifest.sig exists");
    assert_eq!(files(), made);
    // A signature that is there and is none of this manifest stays.
    fs::copy(place.at("may.manifest.sig"), place.at("june.manifest.sig")).unwrap();
    snapshot.manifest("june.manifest", "", &["--sequence", "2"]).assert_failed(6, "june.manifest.sig exists");
    assert!(!place.at("june.manifest").exists());
    // Killed in between, it has no signature: the same command makes it.
    fs::remove_file(place.at("may.manifest.sig")).unwrap();
    snapshot.restore("may.manifest", &[]).assert_failed(17, "may.manifest.sig");
    snapshot.manifest("may.manifest", "", &["--sequence", "1"]).assert_done();
    snapshot.restore("may.manifest", &[]).assert_done();
}

#[test]
fn one_of_64_that_is_missing_damaged_or_another_publishes_nothing() {
    let snapshot = Snapshot::new(64);
    let place = &snapshot.place;
    let victim = place.at("shard-17.cfd");
    let right = fs::read(&victim).unwrap();
    // The same shard of another manifest, and another one of this.
    let other = Place::small();
    let mut as_long = Snapshot::content(17, 1);
    as_long[0] ^= 1;
    fs::write(other.at("part"), as_long).unwrap();
    other.run(["seal", "--key-file", "stream.key", "-o", "other.cfd", "part"]).assert_done();
    let mut damaged = right.clone();
    damaged[right.len() / 4..right.len() / 4 * 3].iter_mut().for_each(|byte| *byte ^= 1);
    let faults = [
        (None, 1, 19, "1 shard missing: shard-17"),
        (Some(damaged), 3, 3, "shard shard-17"),
        (Some(other.read("other.cfd")), 3, 3, "shard shard-17"),
        (Some(place.read("shard-18.cfd")), 3, 3, "shard shard-17"),
        (Some(right[..right.len() / 2].to_vec()), 5, 5, "shard shard-17"),
        (Some(Vec::new()), 5, 5, "shard shard-17"),
    ];
    for (bytes, restored, verified, words) in faults {
        fs::remove_file(&victim).unwrap();
        bytes.iter().for_each(|bytes| fs::write(&victim, bytes).unwrap());
        if bytes.is_none() {
            assert!(!victim.exists());
        } else {
            assert_ne!(fs::read(&victim).unwrap(), right);
        }
        snapshot.restore("may.manifest", &[]).assert_failed(restored, "shard shard-17");
        assert!(!place.at("target").exists());
        let said = snapshot.verify();
        said.assert_failed(verified, words);
        assert_eq!(said.stdout.lines().filter(|line| line.contains(": verified, ")).count(), 63);
        // For what follows `victim` has to be there.
        fs::write(&victim, &right).unwrap();
    }
    snapshot.verify().assert_done();
    let done = snapshot.restore("may.manifest", &[]);
    done.assert_done();
    assert_eq!(done.stdout.matches("restored before").count(), 17, "{done:?}");
    snapshot.assert_restored(1);
}

#[test]
fn a_signature_that_is_not_right_makes_nothing() {
    let snapshot = Snapshot::new(2);
    let place = &snapshot.place;
    place.ssh_key("stranger");
    let names = place.names();
    let refused = || {
        snapshot.restore("may.manifest", &[]).assert_failed(17, "");
        snapshot.verify().assert_failed(17, "");
        assert!(!place.at("target").exists() && snapshot.beside().is_empty());
    };
    let (text, signature) = (place.read("may.manifest"), place.read("may.manifest.sig"));
    place.sign("may.manifest", "stranger", "manifest@cofferdam");
    refused();
    for namespace in ["stream@cofferdam", "evidence@cofferdam", "file"] {
        place.sign("may.manifest", "signer", namespace);
        refused();
    }
    fs::write(place.at("may.manifest.sig"), "").unwrap();
    refused();
    fs::remove_file(place.at("may.manifest.sig")).unwrap();
    refused();
    fs::write(place.at("may.manifest.sig"), &signature).unwrap();
    for changed in [
        [&text[..], b"\n"].concat(),
        text[..text.len() - 1].to_vec(),
        String::from_utf8(text.clone()).unwrap().replace("shard-01 ", "shard-02 ").into_bytes(),
        Vec::new(),
    ] {
        fs::write(place.at("may.manifest"), changed).unwrap();
        refused();
    }
    fs::write(place.at("may.manifest"), &text).unwrap();
    assert_eq!(place.names(), names);
    let unsigned = ["restore", "--key-file", "stream.key", "--manifest", "may.manifest", "target"];
    place.run(unsigned).assert_failed(2, "--signed-by");
    snapshot.restore("may.manifest", &[]).assert_done();
}

/// Whoever may sign is still not believed that a name leads elsewhere.
#[test]
fn a_signed_manifest_whose_names_lead_elsewhere_is_refused() {
    let snapshot = Snapshot::new(2);
    let place = &snapshot.place;
    let text = String::from_utf8(place.read("may.manifest")).unwrap();
    let elsewhere = place.at("elsewhere");
    let absolute = elsewhere.display().to_string();
    for wrong in ["../elsewhere", "..", ".hidden", "a/../../elsewhere", &absolute, "shard-01"] {
        fs::write(place.at("may.manifest"), text.replace("shard shard-00 ", &format!("shard {wrong} ")))
            .unwrap();
        place.sign("may.manifest", "signer", "manifest@cofferdam");
        snapshot.restore("may.manifest", &[]).assert_failed(7, "no manifest");
        snapshot.verify().assert_failed(7, "no manifest");
        assert!(
            !elsewhere.exists() && !place.at("target").exists() && snapshot.beside().is_empty(),
            "{wrong}"
        );
    }
}

#[test]
fn streams_of_another_generation_are_refused_and_an_old_manifest_where_a_number_is_demanded() {
    let snapshot = Snapshot::new(3);
    let place = &snapshot.place;
    snapshot.seal("new-", 2);
    snapshot.manifest("june.manifest", "new-", &["--sequence", "2"]).assert_done();
    snapshot.restore("may.manifest", &["--min-sequence", "2"]).assert_failed(14, "sequence number 1");
    let verify = ["verify", "--manifest", "--signed-by", "signer.pub", "--min-sequence", "2", "may.manifest"];
    place.run(verify).assert_failed(14, "sequence number 1");
    assert!(snapshot.beside().is_empty());
    // A later one of the shards has come in the place of its predecessor.
    let may = place.read("shard-01.cfd");
    fs::copy(place.at("new-shard-01.cfd"), place.at("shard-01.cfd")).unwrap();
    snapshot.restore("may.manifest", &[]).assert_failed(3, "shard shard-01");
    // What this has left is not another manifest's.
    snapshot.restore("june.manifest", &[]).assert_failed(8, "another manifest");
    place.run(["discard", "target"]).assert_done();
    assert!(snapshot.beside().is_empty());
    snapshot.restore("june.manifest", &["--min-sequence", "2"]).assert_done();
    snapshot.assert_restored(2);
    fs::remove_dir_all(place.at("target")).unwrap();
    snapshot.restore("may.manifest", &[]).assert_failed(3, "shard shard-01");
    snapshot.restore("june.manifest", &["--restart"]).assert_done();
    snapshot.assert_restored(2);
    fs::remove_dir_all(place.at("target")).unwrap();
    fs::write(place.at("shard-01.cfd"), may).unwrap();
    snapshot.restore("may.manifest", &[]).assert_done();
    snapshot.assert_restored(1);
}

#[test]
fn what_somebody_has_put_beside_the_target_is_not_published() {
    let snapshot = Snapshot::new(2);
    let place = &snapshot.place;
    let private = place.at(".target.cofferdam-shards");
    let refused = |words: &str| {
        snapshot.restore("may.manifest", &[]).assert_failed(8, words);
        assert!(!place.at("target").exists());
    };
    fs::create_dir(&private).unwrap();
    fs::set_permissions(&private, fs::Permissions::from_mode(0o777)).unwrap();
    refused("is open to others");
    fs::remove_dir(&private).unwrap();
    symlink(place.directory(), &private).unwrap();
    refused("is no directory");
    fs::remove_file(&private).unwrap();
    fs::write(&private, "").unwrap();
    refused("is no directory");
    fs::remove_file(&private).unwrap();
    // Without a manifest nobody knows whose shards these are.
    fs::create_dir_all(private.join("shards")).unwrap();
    fs::set_permissions(&private, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(private.join("shards/shard-00"), "planted").unwrap();
    refused("another manifest");
    fs::remove_dir_all(&private).unwrap();
    fs::rename(place.at("shard-01.cfd"), place.at("away")).unwrap();
    snapshot.restore("may.manifest", &[]).assert_failed(1, "shard shard-01");
    fs::write(private.join("shards/strange"), "").unwrap();
    fs::rename(place.at("away"), place.at("shard-01.cfd")).unwrap();
    refused("is none of the shards");
    assert!(!place.at("target").exists());
    fs::remove_file(private.join("shards/strange")).unwrap();
    snapshot.restore("may.manifest", &[]).assert_done();
    snapshot.assert_restored(1);
}

#[test]
fn a_private_directory_that_is_swapped_while_a_source_is_opened_leads_nowhere() {
    let snapshot = Snapshot::new(1);
    let place = &snapshot.place;
    fs::create_dir(place.at("victim")).unwrap();
    let mut restoring = Command::new("strace");
    let stream = place.at("shard-00.cfd");
    restoring.args(["-f", "-qq", "-o", "calls", "-e", "trace=?open,openat", "-P"]).arg(&stream);
    restoring.args([
        "-e",
        "inject=?open,openat:signal=SIGSTOP:when=1",
        "--",
        env!("CARGO_BIN_EXE_cofferdam"),
    ]);
    restoring.args(["restore", "--key-file", "stream.key", "--manifest", "--signed-by", "signer.pub"]);
    restoring.args(["may.manifest", "target"]).current_dir(place.directory()).stdin(Stdio::null());
    let restoring = started(&mut restoring);
    let mut calls = String::new();
    wait_until("its opening of the stream", || {
        calls = fs::read_to_string(place.at("calls")).unwrap_or_default();
        calls.contains("--- stopped by SIGSTOP ---")
    });
    let private = place.at(".target.cofferdam-shards");
    fs::rename(&private, place.at("moved")).unwrap();
    fs::create_dir(&private).unwrap();
    symlink(place.at("victim"), private.join("shards")).unwrap();
    let held = calls.split_whitespace().next().and_then(|pid| Pid::from_raw(pid.parse().ok()?));
    kill_process(held.unwrap(), Signal::CONT).unwrap();
    let ran = end_of(restoring);
    assert_eq!(fs::read_dir(place.at("victim")).unwrap().count(), 0);
    // Where it was moved to, it is still the one that was opened; whether that is seen depends on the moment.
    match ran.code {
        Some(0) => assert_eq!(place.read("target/shard-00"), Snapshot::content(0, 1)),
        Some(1 | 8) => assert!(!place.at("target").exists()),
        _ => panic!("{ran:?}"),
    }
}

/// Whoever owns the directory of the streams makes one of them a pipe, and never writes to it.
#[test]
fn a_pipe_that_has_come_to_a_shards_name_is_not_waited_for() {
    let snapshot = Snapshot::new(2);
    let place = &snapshot.place;
    fs::rename(place.at("shard-01.cfd"), place.at("away")).unwrap();
    assert!(Command::new("mkfifo").arg(place.at("shard-01.cfd")).status().unwrap().success());
    snapshot.restore("may.manifest", &[]).assert_failed(1, "a manifest names no pipe");
    snapshot.verify().assert_failed(1, "a manifest names no pipe");
    assert!(!place.at("target").exists());
    fs::rename(place.at("away"), place.at("shard-01.cfd")).unwrap();
    snapshot.restore("may.manifest", &[]).assert_done();
    snapshot.assert_restored(1);
}

/// The options are for the directories among the shards, whatever the others are.
#[test]
fn options_for_directories_are_no_obstacle_to_the_files_of_a_snapshot() {
    let snapshot = Snapshot::new(2);
    let place = &snapshot.place;
    fs::create_dir(place.at("bin")).unwrap();
    fs::write(place.at("bin/tool"), "tool").unwrap();
    fs::set_permissions(place.at("bin/tool"), fs::Permissions::from_mode(0o4755)).unwrap();
    place.run(["seal", "--key-file", "stream.key", "-o", "bin.cfd", "bin"]).assert_done();
    let command = ["manifest", "--ssh-key", "signer", "-o", "mixed.manifest"];
    place.run([&command[..], &["shard-00.cfd", "bin.cfd", "shard-01.cfd"]].concat()).assert_done();
    snapshot.restore("mixed.manifest", &["--set-id", "--no-owner"]).assert_done();
    assert_eq!(fs::metadata(place.at("target/bin/tool")).unwrap().mode() & 0o7777, 0o4755);
    assert_eq!(place.read("target/shard-00"), Snapshot::content(0, 1));
    assert_eq!(place.read("target/shard-01"), Snapshot::content(1, 1));
}

/// The target is in place by then: that something is left beside it is a warning.
#[test]
fn notes_that_cannot_be_removed_are_told() {
    let snapshot = Snapshot::new(1);
    let place = &snapshot.place;
    let mut restoring = Command::new("strace");
    // Before these come one for the shard and two for the note of what is published.
    restoring.args(["-f", "-qq", "-o", "calls", "-P"]).arg(place.at(".target.cofferdam-shards"));
    restoring.args(["-e", "inject=unlinkat:error=EIO:when=4+", "--", env!("CARGO_BIN_EXE_cofferdam")]);
    restoring.args(["restore", "--key-file", "stream.key", "--manifest", "--signed-by", "signer.pub"]);
    restoring.args(["may.manifest", "target"]).current_dir(place.directory()).stdin(Stdio::null());
    let ran = end_of(started(&mut restoring));
    ran.assert_done();
    let said =
        ".target.cofferdam-shards could not be removed, and has no shard in it: `cofferdam discard target`";
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
    assert_eq!(snapshot.beside(), [".target.cofferdam-shards"]);
    place.run(["discard", "target"]).assert_done();
    snapshot.assert_restored(1);
}

#[test]
fn whoever_is_killed_leaves_nothing_published_or_all_of_it() {
    let snapshot = Snapshot::new(24);
    let place = &snapshot.place;
    let mut rng = Rng::with_seed(11);
    let arguments = ["restore", "--key-file", "stream.key", "--manifest", "--signed-by", "signer.pub"];
    for round in 0.. {
        let mut child = started(&mut place.command([&arguments[..], &["may.manifest", "target"]].concat()));
        // A machine that is slow gets ever longer from round to round, so that it comes to an end there, too.
        thread::sleep(Duration::from_millis(rng.u64(0..150 + round * round)));
        let _ = child.kill();
        let ran = end_of(child);
        if place.at("target").exists() {
            break;
        }
        assert_eq!(ran.code, None, "{ran:?}");
        assert!(round < 200, "it does not come to an end");
    }
    let count = |directory: &Path| fs::read_dir(directory).unwrap().count();
    assert_eq!(count(&place.at("target")), 24);
    // It may have been killed after that; discarding then removes what holds nothing.
    place.run(["discard", "target"]).assert_done();
    snapshot.assert_restored(1);
}

#[test]
fn of_two_at_once_one_restores() {
    let snapshot = Snapshot::new(24);
    let place = &snapshot.place;
    let arguments = ["restore", "--key-file", "stream.key", "--manifest", "--signed-by", "signer.pub"];
    let arguments = [&arguments[..], &["may.manifest", "target"]].concat();
    let both = [(); 2].map(|()| started(&mut place.command(&arguments)));
    let mut codes = both.map(end_of).map(|ran| ran.code.unwrap());
    codes.sort_unstable();
    assert!(matches!(codes, [0, 6 | 9]), "{codes:?}");
    snapshot.assert_restored(1);
}

#[test]
fn a_snapshot_that_was_moved_is_found_beside_its_manifest() {
    let snapshot = Snapshot::new(3);
    let place = &snapshot.place;
    snapshot.manifest("relative.manifest", "", &["--relative"]).assert_done();
    fs::create_dir(place.at("moved")).unwrap();
    let moved =
        ["relative.manifest", "relative.manifest.sig", "shard-00.cfd", "shard-01.cfd", "shard-02.cfd"];
    for name in moved {
        fs::rename(place.at(name), place.at(&format!("moved/{name}"))).unwrap();
    }
    snapshot.restore("may.manifest", &[]).assert_failed(1, "shard shard-00");
    place.run(["discard", "target"]).assert_done();
    snapshot.restore("moved/relative.manifest", &[]).assert_done();
    snapshot.assert_restored(1);
}

#[test]
fn a_snapshot_on_a_server_is_found_beside_its_manifest() {
    if is_skipped() {
        return;
    }
    let snapshot = Snapshot::new(3);
    let place = &snapshot.place;
    snapshot.manifest("relative.manifest", "", &["--relative"]).assert_done();
    let server = Nginx::start(place.directory()).unwrap();
    let manifest = server.url("relative.manifest");
    let verify = || place.run(["verify", "--manifest", "--signed-by", "signer.pub", &manifest]);
    verify().assert_done();
    fs::rename(place.at("shard-01.cfd"), place.at("away")).unwrap();
    let missing = verify();
    missing.assert_failed(19, "1 shard missing: shard-01");
    assert!(!missing.stdout.contains("/./"), "{}", missing.stdout);
    assert_ne!(snapshot.restore(&manifest, &[]).code, Some(0));
    assert!(!place.at("target").exists());
    fs::rename(place.at("away"), place.at("shard-01.cfd")).unwrap();
    snapshot.restore(&manifest, &[]).assert_done();
    snapshot.assert_restored(1);
}

/// Where the key is elsewhere: the text goes there, is signed by OpenSSH's own program, and comes back.
#[test]
fn a_manifest_is_printed_to_be_signed_elsewhere() {
    let snapshot = Snapshot::new(2);
    let place = &snapshot.place;
    let streams = ["shard-00.cfd", "shard-01.cfd"];
    let print =
        |more: &[&str]| place.run([&["manifest", "--sequence", "1", "--print"][..], more, &streams].concat());
    let made = print(&[]);
    made.assert_done();
    assert_eq!(made.stdout.as_bytes(), place.read("may.manifest"), "as one that is signed at once");
    assert_eq!(print(&["--json"]).stdout, made.stdout, "what is signed is the same text");
    fs::write(place.at("printed"), made.stdout).unwrap();
    place.sign("printed", "signer", "manifest@cofferdam");
    snapshot.restore("printed", &[]).assert_done();
    snapshot.assert_restored(1);
    for more in [&["--ssh-key", "signer"][..], &["-o", "new.manifest"]] {
        place.run([&["manifest", "--print"], more, &streams].concat()).assert_failed(2, "--print");
    }
}

/// It would be signed, and no stream of it be found.
#[test]
fn a_stream_that_is_not_beside_a_relative_manifest_is_refused() {
    let snapshot = Snapshot::new(2);
    let place = &snapshot.place;
    fs::create_dir(place.at("elsewhere")).unwrap();
    symlink(place.directory(), place.at("elsewhere/here")).unwrap();
    snapshot
        .manifest("elsewhere/new.manifest", "", &["--relative"])
        .assert_failed(2, "shard-00.cfd is not beside the manifest");
    assert!(!place.at("elsewhere/new.manifest").exists());
    snapshot.manifest("elsewhere/new.manifest", "", &[]).assert_done();
    // Another name of the same directory.
    snapshot.manifest("elsewhere/here/new.manifest", "", &["--relative"]).assert_done();
}

/// What is said of a manifest that is no stream, and of its signature, is of use to whoever has one.
#[test]
fn a_manifest_in_the_place_of_a_stream_is_called_one() {
    let snapshot = Snapshot::new(2);
    let place = &snapshot.place;
    let open = ["--key-file", "stream.key"];
    for command in [
        &["inspect", "may.manifest"][..],
        &["verify", "may.manifest"],
        &["restore", open[0], open[1], "may.manifest", "target"],
        &["sign", "--ssh-key", "signer", "may.manifest"],
    ] {
        let ran = place.run(command);
        assert_eq!(ran.code, Some(11), "{ran:?}");
        assert!(ran.stderr.contains("a manifest of streams") && ran.stderr.contains("--manifest"), "{ran:?}");
    }
    let signed = ["--signed-by", "signer.pub", "may.manifest"];
    for command in [&["verify"][..], &["restore", open[0], open[1]]] {
        let target: &[&str] = if command[0] == "restore" { &["target"] } else { &[] };
        let ran = place.run([command, &signed, target].concat());
        ran.assert_failed(17, "manifest@cofferdam");
        assert!(ran.stderr.contains("with `--manifest`"), "{ran:?}");
    }
    place.ssh_key("stranger");
    place.sign("may.manifest", "stranger", "manifest@cofferdam");
    snapshot.verify().assert_failed(17, "does not show who has made the manifest");
    fs::remove_file(place.at("may.manifest.sig")).unwrap();
    for ran in [snapshot.verify(), snapshot.restore("may.manifest", &[])] {
        ran.assert_failed(17, "there is no signature");
        assert!(ran.stderr.contains("`cofferdam manifest`"), "{ran:?}");
        assert!(!ran.stderr.contains("cofferdam sign"), "{ran:?}");
    }
}

#[test]
fn what_can_be_no_shard_is_refused() {
    let snapshot = Snapshot::new(1);
    let place = &snapshot.place;
    let tags = ["seal", "--digest", "tags", "--key-file", "stream.key", "-o", "tags.cfd", "plain"];
    place.run(tags).assert_done();
    let sealed = place.read("sealed.cfd");
    fs::write(place.at("cut.cfd"), &sealed[..sealed.len() / 2]).unwrap();
    let refused = |streams: &[&str], code, words: &str| {
        let command = ["manifest", "--ssh-key", "signer", "-o", "new.manifest"];
        place.run([&command[..], streams].concat()).assert_failed(code, words);
        assert!(!place.at("new.manifest").exists() && !place.at("new.manifest.sig").exists());
    };
    refused(&["tags.cfd"], 7, "`tags`");
    refused(&["cut.cfd"], 5, "cut.cfd");
    refused(&["plain"], 11, "plain");
    refused(&["absent.cfd"], 1, "absent.cfd");
    refused(&["a=sealed.cfd", "a=shard-00.cfd"], 2, "two shards are called a");
    refused(&["..=sealed.cfd"], 2, "no shard can be called");
    refused(&[".cfd=sealed.cfd"], 2, "no shard can be called");
    refused(&["-"], 2, "no pipe");
    refused(&[], 2, "required");
    place.run(["manifest", "-o", "new.manifest", "sealed.cfd"]).assert_failed(2, "--ssh-key");
    for option in [&["--force"][..], &["--salvage"], &["--into"], &["--seed", "plain"], &["--path", "x"]] {
        snapshot.restore("may.manifest", option).assert_failed(2, "");
    }
    let to_stdout = ["restore", "--key-file", "stream.key", "--manifest", "--signed-by", "signer.pub"];
    place.run([&to_stdout[..], &["may.manifest", "-"]].concat()).assert_failed(2, "become a directory");
}

fn ino(path: &Path) -> u64 {
    fs::metadata(path).unwrap().ino()
}
