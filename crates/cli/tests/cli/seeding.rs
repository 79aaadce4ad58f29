//! `restore --seed`: what is said of it, what is refused, and what kills leave.
//! Which bytes come from where, the library's tests know.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, symlink};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::device_place::Mount;
use crate::place::{Place, Ran, SEGMENT_LEN, json_lines, plaintext};
use crate::programs;

/// `sealed.cfd`, and `old`: the plaintext, but for some segments.
fn place_with_old(segments: usize, changed: &[usize]) -> Place {
    let place = Place::with_sealed(segments);
    let mut old = place.read("plain");
    changed.iter().for_each(|segment| old[segment * SEGMENT_LEN] ^= 1);
    fs::write(place.path("old"), old).unwrap();
    place
}

fn restore(place: &Place, line: &str) -> Ran {
    place.shell(&format!("cofferdam restore -i key.txt {line}"))
}

#[test]
fn what_a_seed_gave_is_said_in_words_and_in_json() {
    let place = place_with_old(10, &[2, 5]);
    let ran = restore(&place, "--seed old sealed.cfd new");
    ran.assert_done();
    let taken = 7 * SEGMENT_LEN;
    assert!(ran.text().contains("112 KiB of it taken from the seed"), "{}", ran.text());
    assert!(ran.stderr.contains("112 KiB (7 segments) of the seed proved right"), "{}", ran.stderr);
    assert!(place.read("new") == place.read("plain"));

    let ran = restore(&place, "--json --force --seed old sealed.cfd new");
    ran.assert_done();
    let record = &json_lines(&ran.stdout)[0];
    assert_eq!((record["seeded"].as_u64(), record["kept"].as_u64()), (Some(taken as u64), Some(0)));
    let events = json_lines(ran.stderr.as_bytes());
    let seeded = events.iter().find(|event| event["event"] == "seeded").unwrap();
    assert_eq!((seeded["seeded"].as_u64(), seeded["segments"].as_u64()), (Some(taken as u64), Some(7)));
    let seeding = events.iter().find(|event| event["event"] == "seeding").unwrap();
    let told = SEGMENT_LEN as u64..=9 * SEGMENT_LEN as u64;
    assert!(told.contains(&seeding["taken"].as_u64().unwrap()), "{seeding}");
}

#[test]
fn the_target_may_be_its_own_seed_and_its_staging_file_is_none() {
    let place = place_with_old(6, &[1]);
    restore(&place, "--seed old sealed.cfd old").assert_failed(6, "exists");
    fs::hard_link(place.path("old"), place.path("second")).unwrap();
    symlink("old", place.path("link")).unwrap();
    let before = place.read("second");
    for seed in ["old", "second", "link"] {
        let ran = restore(&place, &format!("--force --seed {seed} sealed.cfd old"));
        ran.assert_done();
        assert!(ran.text().contains("taken from the seed"), "{}", ran.text());
        assert!(place.read("old") == place.read("plain"));
        assert!(place.read("second") == before, "the other name keeps what it had");
    }
    fs::write(place.path(".new.cofferdam-staging"), "whose?").unwrap();
    restore(&place, "--seed .new.cofferdam-staging sealed.cfd new")
        .assert_failed(2, "the staging file of the output and the seed are the same file");
}

#[test]
fn what_cannot_be_seeded_is_refused_and_nothing_is_written() {
    let place = place_with_old(3, &[]);
    rustix::fs::mkfifoat(rustix::fs::CWD, place.path("fifo"), rustix::fs::Mode::RWXU).unwrap();
    let names = place.names();
    for (line, code, words) in [
        ("--seed old sealed.cfd -", 2, "--seed is of no use: the target is no file on this machine"),
        ("--seed old sealed.cfd fifo", 2, "--seed is of no use"),
        ("--seed old sealed.cfd unix:socket", 2, "--seed is of no use"),
        ("--seed fifo sealed.cfd new", 2, "the seed fifo is a FIFO"),
        ("--seed . sealed.cfd new", 2, "the seed . is a directory"),
        ("--seed /dev/zero sealed.cfd new", 2, "the seed /dev/zero is a device"),
        ("--seed none sealed.cfd new", 1, "the seed none could not be opened"),
        ("--seed '' sealed.cfd new", 2, "--seed"),
    ] {
        let ran = restore(&place, line);
        ran.assert_failed(code, words);
        assert!(ran.stdout.is_empty(), "{line}");
        assert_eq!(place.names(), names, "{line}");
    }
    let piped = place.shell("cat sealed.cfd | cofferdam restore -i key.txt --seed old - new");
    piped.assert_failed(2, "a seed is of no use: the sealed stream is read in order");
    assert_eq!(place.names(), names);
}

#[test]
fn a_restore_that_is_killed_goes_on_with_the_same_seed_another_or_none() {
    let place = place_with_old(512, &[0, 100, 101, 300]);
    fs::write(place.path("other"), vec![0x5A; 512 * SEGMENT_LEN]).unwrap();
    let wanted = place.read("plain");
    let mut killed = 0;
    for run in 0..24_u64 {
        let mut command =
            place.command(["restore", "-q", "-i", "key.txt", "--seed", "old", "sealed.cfd", "new"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        thread::sleep(Duration::from_millis(2 * run));
        child.kill().unwrap();
        let ended = child.wait().unwrap();
        killed += u32::from(!ended.success());
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(!ended.success() || place.path("new").exists(), "{said}");
        // Killed on its last step, it has put the target in place, and nothing tells the next run that this was its own.
        let is_done =
            place.path("new").exists() && !place.names().iter().any(|name| name.starts_with(".new"));
        if !ended.success() && !is_done {
            let second = ["--seed old", "--seed other", ""][run as usize % 3];
            restore(&place, &format!("-q {second} sealed.cfd new")).assert_done();
        }
        assert!(place.read("new") == wanted);
        fs::remove_file(place.path("new")).unwrap();
        assert!(!place.names().iter().any(|name| name.starts_with(".new")));
    }
    assert!(killed > 0, "each was done before it could be killed");
}

#[test]
fn what_of_a_seed_cannot_be_read_comes_from_the_stream_with_a_warning() {
    if !programs::has("strace") {
        return;
    }
    let place = place_with_old(10, &[]);
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-P", "old"]);
    command.args(["-e", "inject=copy_file_range:error=EIO", "-e", "inject=pread64:error=EIO:when=2"]);
    command.args(["--", env!("CARGO_BIN_EXE_cofferdam"), "restore", "--json", "-i", "key.txt"]);
    command
        .args(["--threads", "1", "--seed", "old", "sealed.cfd", "new"])
        .current_dir(place.directory.path());
    let ran = Ran::of(command.stdin(Stdio::null()).output().unwrap());
    ran.assert_done();
    // The second segment is given up, and the last one is always read.
    assert_eq!(json_lines(&ran.stdout)[0]["seeded"].as_u64(), Some(8 * SEGMENT_LEN as u64));
    let second = format!("the seed cannot be read at byte {SEGMENT_LEN}");
    assert!(ran.stderr.contains(&second), "{}", ran.stderr);
    assert!(place.read("new") == place.read("plain"));
}

#[test]
fn a_sparse_target_that_is_longer_than_the_room_there_is_can_be_its_own_seed() {
    let place = Place::new();
    let Some(mount) = Mount::tmpfs(&place, "small", "4m") else { return };
    let sparse = File::create(place.path("plain")).unwrap();
    sparse.write_all_at(&plaintext(300_000), 30 << 20).unwrap();
    sparse.set_len(40 << 20).unwrap();
    place.seal("plain", "sealed.cfd").assert_done();
    let warned = restore(&place, "sealed.cfd small/target");
    warned.assert_done();
    assert!(warned.stderr.contains("warning"), "{}", warned.stderr);
    let seeded = restore(&place, "--force --seed small/target sealed.cfd small/target");
    seeded.assert_done();
    assert!(seeded.text().contains("taken from the seed"), "{}", seeded.text());
    assert!(place.read("small/target") == place.read("plain"));
    // All of it written does not fit, and is refused; nothing of the seed is thrown away for that.
    restore(&place, "--force --sparse never --seed small/target sealed.cfd small/target")
        .assert_failed(1, "room");
    assert!(place.read("small/target") == place.read("plain"));
    drop(mount);
}

#[test]
fn with_sparse_never_a_target_has_no_holes_though_its_seed_has() {
    let place = Place::new();
    let sparse = File::create(place.path("plain")).unwrap();
    sparse.write_all_at(&plaintext(300_000), 1 << 20).unwrap();
    sparse.set_len(4 << 20).unwrap();
    place.seal("plain", "sealed.cfd").assert_done();
    restore(&place, "--sparse never --seed plain sealed.cfd new").assert_done();
    assert!(place.read("new") == place.read("plain"));
    let blocks = fs::metadata(place.path("new")).unwrap().blocks();
    assert!(blocks * 512 >= 4 << 20, "{blocks} blocks");
}
