//! Faults injected into the system calls of a real publish: errors, interruptions, and the kill of the process.
//! Knows the staged file from outside only; needs strace, and says so where there is none.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may, and so may what only tests call")]

use std::{
    env, fs,
    path::Path,
    process::{Command, Stdio},
};

use contract::{CommitError, IfExists, StreamingSink};
use local::StagedFile;
use storage::StageOptions;

const OLD: &[u8] = b"the old contents";
const NEW: &[u8] = b"the new contents, which are longer";

/// What the process that was injured said, or that it was killed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Said {
    Published,
    Refused,
    WriteFailed,
    NotCommitted,
    Unknown,
    Killed,
}

/// What the target holds after that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Holds {
    Old,
    New,
}

#[test]
fn every_system_call_that_fails_leaves_the_old_target_or_the_new_one_and_says_which() {
    let cases = [
        // what is injected, said, held
        ("flock:error=EIO:when=1", Said::Refused, Holds::Old),
        ("flock:error=EINTR:when=1", Said::Published, Holds::New),
        ("fallocate:error=ENOSPC:when=1", Said::Refused, Holds::Old),
        ("fallocate:error=EOPNOTSUPP:when=1", Said::Published, Holds::New),
        ("fallocate:error=EINTR:when=1", Said::Published, Holds::New),
        ("pwrite64:error=EIO:when=1", Said::WriteFailed, Holds::Old),
        ("pwrite64:error=ENOSPC:when=2", Said::WriteFailed, Holds::Old),
        ("pwrite64:error=EINTR:when=1..2", Said::Published, Holds::New),
        ("ftruncate:error=EIO:when=1", Said::NotCommitted, Holds::Old),
        ("fchmod:error=EIO:when=1", Said::Refused, Holds::Old),
        ("fchmod:error=EPERM", Said::Published, Holds::New),
        ("ftruncate:error=EINTR", Said::NotCommitted, Holds::Old),
        ("ftruncate:error=EINTR:when=1..999", Said::Published, Holds::New),
        ("pwrite64:error=EINTR", Said::WriteFailed, Holds::Old),
        ("flock:error=EINTR", Said::Refused, Holds::Old),
        ("fallocate:error=EINTR", Said::Refused, Holds::Old),
        ("fsync:error=EIO:when=1", Said::NotCommitted, Holds::Old),
        ("fsync:error=EINTR:when=1", Said::NotCommitted, Holds::Old),
        ("fsync:error=EIO:when=2", Said::Unknown, Holds::New),
        ("fsync:error=EINTR:when=2", Said::Unknown, Holds::New),
        ("fsync:error=EIO:when=3", Said::Unknown, Holds::New),
        ("fsync:error=EINTR:when=3", Said::Unknown, Holds::New),
        ("fsync:error=EINVAL:when=3", Said::Published, Holds::New),
    ];
    for if_exists in [IfExists::Refuse, IfExists::Replace] {
        for (fault, said, holds) in cases {
            let Some(found) = injure(if_exists, &[fault]) else { return };
            // Where nothing takes room in advance, no fault can strike there.
            let spared = fault.starts_with("fallocate") && found == (Said::Published, Holds::New);
            assert!(found == (said, holds) || spared, "{if_exists:?}, {fault}: {found:?}");
        }
    }
}

#[test]
fn what_a_new_target_and_a_replaced_one_do_not_share_leaves_the_old_target_or_the_new_one_as_well() {
    let cases = [
        // A new target's mode comes after the rename; what replaces another has it before.
        (IfExists::Refuse, "fchmod:error=EIO:when=2", Said::Unknown, Holds::New),
        (IfExists::Replace, "fchmod:error=EIO:when=2", Said::NotCommitted, Holds::Old),
        // The first rename tries whether there are any that replace nothing.
        (IfExists::Refuse, "/rename:error=EIO:when=1", Said::Refused, Holds::Old),
        (IfExists::Refuse, "/rename:error=EIO:when=2", Said::NotCommitted, Holds::Old),
        (IfExists::Replace, "/rename:error=EIO:when=1", Said::NotCommitted, Holds::Old),
    ];
    for (if_exists, fault, said, holds) in cases {
        let Some(found) = injure(if_exists, &[fault]) else { return };
        assert_eq!(found, (said, holds), "{if_exists:?}, {fault}");
    }
}

#[test]
fn a_file_system_without_noreplace_publishes_by_a_link_or_not_at_all() {
    let cases: [(&[&str], _, _); 5] = [
        (&["renameat2:error=EINVAL"], Said::Published, Holds::New),
        (&["renameat2:error=ENOSYS"], Said::Published, Holds::New),
        // With neither it is refused before the first byte.
        (&["renameat2:error=EINVAL", "linkat:error=EPERM"], Said::Refused, Holds::Old),
        (&["renameat2:error=EINVAL", "linkat:error=EPERM:when=2"], Said::NotCommitted, Holds::Old),
        (&["renameat2:error=EINVAL", "linkat:error=EEXIST:when=2"], Said::NotCommitted, Holds::Old),
    ];
    for (faults, said, holds) in cases {
        let Some(found) = injure(IfExists::Refuse, faults) else { return };
        assert_eq!(found, (said, holds), "{faults:?}");
    }
}

#[test]
fn killed_at_any_step_the_old_target_or_the_new_one_stands_and_the_next_writer_goes_ahead() {
    // A kill that is injected strikes before the call has done anything.
    let cases = [
        ("flock:signal=KILL:when=1", Holds::Old),
        ("pwrite64:signal=KILL:when=1", Holds::Old),
        ("pwrite64:signal=KILL:when=2", Holds::Old),
        ("ftruncate:signal=KILL:when=1", Holds::Old),
        ("fchmod:signal=KILL:when=1", Holds::Old),
        ("fsync:signal=KILL:when=1", Holds::Old),
        ("/rename:signal=KILL:when=1", Holds::Old),
        ("fsync:signal=KILL:when=2", Holds::New),
    ];
    for if_exists in [IfExists::Refuse, IfExists::Replace] {
        for (fault, holds) in cases {
            let Some(found) = injure(if_exists, &[fault]) else { return };
            assert_eq!(found, (Said::Killed, holds), "{if_exists:?}, {fault}");
        }
    }
}

#[test]
fn the_file_is_synced_before_the_rename_and_the_directory_after_it() {
    for if_exists in [IfExists::Refuse, IfExists::Replace] {
        let directory = tempfile::tempdir().unwrap();
        let (target, log) = (directory.path().join("target"), directory.path().join("log"));
        prepare(&target, if_exists);
        let tracing = ["-y", "-e", "trace=ftruncate,fchmod,pwrite64,/^fsync,/^rename"];
        let Some(said) = run_child(&target, if_exists, &tracing, &log) else { return };
        assert_eq!(said, Said::Published);
        let log = fs::read_to_string(&log).unwrap();
        let calls: Vec<&str> =
            log.lines().filter(|line| line.contains(&*target.parent().unwrap().to_string_lossy())).collect();
        let at = |what: &str| calls.iter().rposition(|call| call.contains(what));
        let data = calls.iter().position(|call| call.contains("fsync") && call.contains("staging"));
        let rename = at("rename");
        let entry = calls.iter().rposition(|call| call.contains("fsync") && !call.contains("target"));
        assert!(at("pwrite64") < data && at("ftruncate") < data, "{calls:#?}");
        assert!(data.is_some() && data < rename && rename < entry, "{calls:#?}");
        // The file is synced again under its new name, with the mode that a new one gets then.
        let again = calls.iter().rposition(|call| call.contains("fsync") && call.contains("target>"));
        assert!(rename < again && again < entry, "{calls:#?}");
        match if_exists {
            IfExists::Refuse => assert!(rename < at("fchmod") && at("fchmod") < again, "{calls:#?}"),
            IfExists::Replace => assert!(at("fchmod") < data, "{calls:#?}"),
        }
        assert_eq!(calls.iter().filter(|call| call.contains("fsync")).count(), 3, "{calls:#?}");
    }
}

/// The process that is injured: another run of this test binary, with the target in its environment.
#[test]
fn child() {
    let Some(target) = env::var_os(TARGET) else { return };
    let if_exists = if env::var_os(REPLACE).is_some() { IfExists::Replace } else { IfExists::Refuse };
    println!("\nsaid {:?}", stage(Path::new(&target), if_exists));
}

fn stage(target: &Path, if_exists: IfExists) -> Said {
    let expected_len = Some(NEW.len() as u64);
    let options = StageOptions::default().if_exists(if_exists).expected_len(expected_len);
    let Ok(mut sink) = StagedFile::create(target, &options) else { return Said::Refused };
    let writer = sink.positioned().expect("a file is written at offsets");
    let (first, second) = NEW.split_at(10);
    if writer.write_all_at(0, first).and_then(|()| writer.write_all_at(10, second)).is_err() {
        return Said::WriteFailed;
    }
    match sink.publish(NEW.len() as u64) {
        Ok(()) => Said::Published,
        Err(CommitError::NotCommitted(_)) => Said::NotCommitted,
        Err(CommitError::Unknown(_)) => Said::Unknown,
    }
}

/// Runs a child under these faults, looks at what it left, and lets another writer finish the work. None: there is
/// no strace here, or it may not trace.
fn injure(if_exists: IfExists, faults: &[&str]) -> Option<(Said, Holds)> {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("target");
    prepare(&target, if_exists);
    let faults: Vec<String> = faults.iter().map(|fault| format!("--inject={fault}")).collect();
    let faults: Vec<&str> = faults.iter().map(String::as_str).collect();
    let said = run_child(&target, if_exists, &faults, Path::new("/dev/null"))?;
    let found = fs::read(&target).ok();
    let holds = if found.as_deref() == Some(NEW) { Holds::New } else { Holds::Old };
    if holds == Holds::Old {
        let old = (if_exists == IfExists::Replace).then_some(OLD);
        assert_eq!(found.as_deref(), old, "{faults:?}: neither old nor new");
    }
    let names = |wanted: &str| {
        fs::read_dir(directory.path())
            .unwrap()
            .any(|entry| entry.unwrap().file_name().to_string_lossy().contains(wanted))
    };
    let left = names("staging");
    assert!(said == Said::Killed || !left, "{faults:?}: a staging file stayed behind");
    let again = if holds == Holds::New { IfExists::Replace } else { if_exists };
    assert_eq!(stage(&target, again), Said::Published, "{faults:?}: the next writer");
    assert_eq!(fs::read(&target).unwrap(), NEW);
    assert!(!names("staging"));
    Some((said, holds))
}

fn prepare(target: &Path, if_exists: IfExists) {
    if if_exists == IfExists::Replace {
        fs::write(target, OLD).unwrap();
    }
}

fn run_child(target: &Path, if_exists: IfExists, strace: &[&str], log: &Path) -> Option<Said> {
    if !can_trace() {
        eprintln!("strace is not here or may not trace: no fault was injected");
        return None;
    }
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o"]).arg(log).args(strace).arg(env::current_exe().unwrap());
    command.args(["--exact", "child", "--nocapture", "--test-threads=1"]).env(TARGET, target);
    if if_exists == IfExists::Replace {
        command.env(REPLACE, "1");
    }
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = text.lines().find_map(|line| line.strip_prefix("said "));
    let all = [Said::Published, Said::Refused, Said::WriteFailed, Said::NotCommitted, Said::Unknown];
    match said {
        Some(said) => all.into_iter().find(|known| format!("{known:?}") == said),
        None => Some(Said::Killed),
    }
}

fn can_trace() -> bool {
    let traced = Command::new("strace").args(["-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
    traced.is_ok_and(|status| status.success())
}

const TARGET: &str = "COFFERDAM_FAULT_TARGET";
const REPLACE: &str = "COFFERDAM_FAULT_REPLACE";
