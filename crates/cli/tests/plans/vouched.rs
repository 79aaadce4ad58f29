//! What a commit reads of attempts' files: nothing that the file system shares and vouches for, and all else. On file systems of its own.

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::between::mac;
use crate::place::{Place, end_of, plaintext, started, wait_until};

/// A file system in a file, mounted as long as this lives.
pub(crate) struct Volume {
    _directory: TempDir,
    mounted: PathBuf,
}

impl Volume {
    /// One that shares what files have in common. `None`, and it says so, where none can be mounted.
    pub(crate) fn xfs() -> Option<Volume> {
        Volume::new(&["mkfs.xfs", "-q", "-m", "reflink=1"])
    }

    /// One whose clock has seconds alone.
    fn coarse() -> Option<Volume> {
        Volume::new(&["mkfs.ext4", "-q", "-I", "128"])
    }

    fn new(make: &[&str]) -> Option<Volume> {
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path().join("image");
        let volume = Volume { mounted: directory.path().join("mounted"), _directory: directory };
        File::create(&image).unwrap().set_len(IMAGE_LEN).unwrap();
        fs::create_dir(volume.path()).unwrap();
        let run = |program: &str, arguments: &[&str]| {
            let mut command = Command::new(program);
            command.args(arguments).arg(&image).stdout(Stdio::null()).stderr(Stdio::null());
            if program == "mount" {
                command.arg(volume.path());
            }
            command.status().is_ok_and(|status| status.success())
        };
        if run(make[0], &make[1..]) && run("mount", &["-o", "loop"]) {
            return Some(volume);
        }
        println!("skipped: {} cannot be run and mounted on a loop device here", make[0]);
        None
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> &Path {
        &self.mounted
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.path()).stderr(Stdio::null()).status();
    }
}

/// Four parts, run.
fn run_in(parent: &Path) -> Place {
    let place = Place::new_in(parent, &plaintext(16 * 16 * 1024 + 77), "16KiB", "4KiB");
    place.plan(4, &[]).assert_done();
    (0..4).for_each(|part| place.part(part).assert_done());
    place
}

fn part_file(place: &Place, part: u64) -> PathBuf {
    let [file] = place.attempt_files(&format!("part-{part}-")).try_into().unwrap();
    file
}

/// Other bytes, and the times that were there before.
fn change_in_place(file: &Path) {
    let before = fs::metadata(file).unwrap();
    let opened = fs::OpenOptions::new().read(true).write(true).open(file).unwrap();
    let mut bytes = [0; 2];
    opened.read_exact_at(&mut bytes, 5000).unwrap();
    opened.write_all_at(&bytes.map(|byte| !byte), 5000).unwrap();
    let times =
        FileTimes::new().set_accessed(before.accessed().unwrap()).set_modified(before.modified().unwrap());
    opened.set_times(times).unwrap();
    opened.sync_all().unwrap();
    let after = fs::metadata(file).unwrap();
    assert_eq!(
        (before.len(), before.mtime_nsec(), before.ino()),
        (after.len(), after.mtime_nsec(), after.ino())
    );
}

/// Commits under strace: the bytes that were read of attempts' files, of the staging file, and those that the system shared or copied.
fn commit_counted(place: &Place, more: &[&str]) -> [u64; 3] {
    let traces = tempfile::tempdir().unwrap();
    let mut strace = Command::new("strace");
    // A file for each thread: in one, calls of several are cut in two.
    strace.args([
        "-ff",
        "-y",
        "-qq",
        "-e",
        "trace=read,pread64,readv,preadv,preadv2,copy_file_range,mmap",
        "-o",
    ]);
    strace.arg(traces.path().join("calls")).arg("--").arg(env!("CARGO_BIN_EXE_cofferdam"));
    strace.args(["restore", "--plan", "plan", "--commit"]).args(more).current_dir(place.directory());
    let ran = strace.stdin(Stdio::null()).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let files = fs::read_dir(traces.path()).unwrap().map(|found| found.unwrap().path());
    let calls: Vec<String> =
        files.map(|file| String::from_utf8_lossy(&fs::read(file).unwrap()).into_owned()).collect();
    let mut counts = [0; 3];
    for call in calls.iter().flat_map(|calls| calls.lines()) {
        let Some((call, result)) = call.rsplit_once(" = ") else { continue };
        let kind = match () {
            () if call.starts_with("copy_file_range(") => 2,
            () if call.contains("/part-") => 0,
            () if call.contains(".target.cofferdam-staging") => 1,
            () => continue,
        };
        // What is mapped, or fails, is more than any count.
        counts[kind] += result.parse().unwrap_or(u64::MAX / 8);
    }
    counts
}

#[test]
fn what_the_file_system_shares_and_vouches_for_is_not_read_and_all_is_if_it_is_to_be_compared() {
    let Some(xfs) = Volume::xfs() else { return };
    let place = run_in(xfs.path());
    let len = place.read("plain").len() as u64;
    assert_eq!(commit_counted(&place, &[]), [0, 0, len]);
    assert_eq!(place.read("target"), place.read("plain"));
    place.assert_tidy();
    let place = run_in(xfs.path());
    assert_eq!(commit_counted(&place, &["--compare"]), [0, len, len]);
    assert_eq!(place.read("target"), place.read("plain"));
    // Where nothing is shared each byte is read once, and written from where it was read to.
    let place = run_in(Path::new("/dev/shm"));
    assert_eq!(commit_counted(&place, &[]), [len, 0, 0]);
    assert_eq!(place.read("target"), place.read("plain"));
    let place = run_in(Path::new("/dev/shm"));
    assert_eq!(commit_counted(&place, &["--compare"]), [len, len, 0]);
    assert_eq!(place.read("target"), place.read("plain"));
}

/// As before there was such a line, or of a file system whose word is not taken.
#[test]
fn a_file_of_which_the_receipt_says_nothing_is_read() {
    let Some(xfs) = Volume::xfs() else { return };
    let place = run_in(xfs.path());
    for receipt in place.attempt_files("receipt-") {
        let text = fs::read_to_string(&receipt).unwrap();
        let (clear, _) = text.split_once("mac ").unwrap();
        let clear: String =
            clear.lines().filter(|line| !line.starts_with("file ")).map(|line| format!("{line}\n")).collect();
        assert!(clear.len() < text.len());
        let mac = mac(&String::from_utf8(place.read("plan.key")).unwrap(), &clear);
        fs::write(receipt, format!("{clear}mac {mac}\n")).unwrap();
    }
    let len = place.read("plain").len() as u64;
    assert_eq!(commit_counted(&place, &[]), [0, len, len]);
    assert_eq!(place.read("target"), place.read("plain"));
    place.assert_tidy();
}

#[test]
fn a_part_that_was_changed_or_replaced_since_its_receipt_is_missing_whatever_its_times_say() {
    let xfs = Volume::xfs();
    let here = tempfile::tempdir().unwrap();
    let changes: [fn(&Path); 2] = [change_in_place, |file| {
        let other = file.with_file_name("other");
        fs::copy(file, &other).unwrap();
        change_in_place(&other);
        fs::rename(other, file).unwrap();
    }];
    for parent in [Some(here.path()), xfs.as_ref().map(Volume::path)].into_iter().flatten() {
        for change in changes {
            for more in [&[][..], &["--compare"]] {
                let place = run_in(parent);
                change(&part_file(&place, 2));
                let commit = [&["restore", "--plan", "plan", "--commit"][..], more].concat();
                place.run(&commit).assert_failed(19, "1 part missing: 2");
                assert!(!place.at("target").exists());
                place.part(2).assert_done();
                place.run(&commit).assert_done();
                assert_eq!(place.read("target"), place.read("plain"));
                place.assert_tidy();
            }
        }
        // Another file with the same bytes, or another time, is no reason to fail.
        let place = run_in(parent);
        let file = part_file(&place, 1);
        fs::copy(&file, place.at("copy")).unwrap();
        fs::rename(place.at("copy"), file).unwrap();
        fs::set_permissions(part_file(&place, 3), fs::metadata(place.at("plain")).unwrap().permissions())
            .unwrap();
        place.commit().assert_done();
        assert_eq!(place.read("target"), place.read("plain"));
    }
}

/// Between the moment at which the commit has opened it and the one at which it shares it, or after that one.
#[test]
fn a_part_that_is_changed_while_it_is_taken_is_missing_or_what_it_was() {
    let Some(xfs) = Volume::xfs() else { return };
    // The first call asks whether anything can be shared, the second shares.
    for (when, code) in [(1, 19), (2, 0)] {
        let place = run_in(xfs.path());
        let mut commit = Command::new("strace");
        commit.args(["-f", "-qq", "-o", "calls", "-e", "trace=copy_file_range", "-e"]);
        commit.arg(format!("inject=copy_file_range:signal=SIGSTOP:when={when}"));
        commit.args(["--", env!("CARGO_BIN_EXE_cofferdam"), "restore", "--plan", "plan", "--commit"]);
        let commit = started(commit.current_dir(place.directory()).stdin(Stdio::null()));
        let mut calls = String::new();
        wait_until("the first part", || {
            calls = fs::read_to_string(place.at("calls")).unwrap_or_default();
            calls.contains("--- stopped by SIGSTOP ---")
        });
        change_in_place(&part_file(&place, 0));
        let held = calls.split_whitespace().next().and_then(|pid| Pid::from_raw(pid.parse().ok()?));
        kill_process(held.unwrap(), Signal::CONT).unwrap();
        let ran = end_of(commit);
        assert_eq!(ran.code, Some(code), "{when}: {ran:?}");
        assert_eq!(place.at("target").exists(), code == 0);
        if code != 0 {
            place.part(0).assert_done();
            place.commit().assert_done();
        }
        assert_eq!(place.read("target"), place.read("plain"));
    }
}

/// A change in the same moment of the file system's clock would leave the time as it is: so the receipt says nothing until the clock has gone on.
#[test]
fn what_a_receipt_says_of_a_file_is_older_than_the_receipt() {
    let volumes = [Volume::coarse(), Volume::xfs()];
    for (volume, is_coarse) in volumes.iter().zip([true, false]) {
        let Some(volume) = volume else { continue };
        let place = run_in(volume.path());
        let mut told = 0;
        for receipt in place.attempt_files("receipt-") {
            let made = fs::metadata(&receipt).unwrap();
            let text = fs::read_to_string(&receipt).unwrap();
            let Some(line) = text.lines().find(|line| line.starts_with("file ")) else { continue };
            let changed: u64 = line.rsplit_once(' ').unwrap().1.parse().unwrap();
            let made = made.mtime() as u64 * 1_000_000_000 + made.mtime_nsec() as u64;
            assert!(changed < made, "{line}, made at {made}, coarse {is_coarse}");
            told += 1;
        }
        assert!(is_coarse || told == 4, "{told}");
        place.commit().assert_done();
        assert_eq!(place.read("target"), place.read("plain"));
    }
}

/// The least that mkfs.xfs takes is 300 MiB.
const IMAGE_LEN: u64 = 320 << 20;
