//! Tests of a staged file among others: who may read what is kept, who may publish it, and what is not ours to remove.
//! Know the files by their names, contents and rights.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::Path,
    process::Command,
};

use rustix::process::geteuid;

use super::{
    resume_tests::{
        JOURNAL, SEGMENT_LEN, SEGMENTS, STAGING, attempt, fresh, interrupted, label, mark, names, open,
        resumable, resume, segment, stream,
    },
    rig::Rig,
    *,
};
use crate::TargetError;

fn mode(directory: &Path, name: &str) -> u32 {
    fs::metadata(directory.join(name)).unwrap().permissions().mode() & 0o777
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn what_a_failed_publish_keeps_is_its_owners_alone() {
    let directory = tempfile::tempdir().unwrap();
    let rig = Rig::over(directory.path());
    let options = StageOptions::default();
    let mut sink = fresh(StagedFile::open_in(rig, OsStr::new("target"), &options, &label()).unwrap());
    for number in 0..SEGMENTS {
        let at = u64::from(number) * SEGMENT_LEN as u64;
        sink.positioned().unwrap().write_at(at, &segment(number)).unwrap();
        sink.commit_segment(&mark(number)).unwrap();
    }
    fs::write(directory.path().join("target"), b"appeared").unwrap();
    let refused = sink.publish(stream().len() as u64);
    assert!(matches!(refused, Err(CommitError::NotCommitted(_))), "{refused:?}");
    assert_eq!(mode(directory.path(), STAGING), 0o600);
    assert_eq!(mode(directory.path(), JOURNAL), 0o600);
}

#[test]
fn what_a_crash_leaves_with_the_targets_rights_gets_its_own_back_before_it_is_gone_on_with() {
    let whole = {
        let scratch = tempfile::tempdir().unwrap();
        let rig = Rig::over(scratch.path());
        attempt(&rig).unwrap();
        rig.calls()
    };
    let directory = tempfile::tempdir().unwrap();
    // The last four changes: the rename, the directory's sync, the journal's removal, the directory's sync.
    let rig = Rig::over(directory.path());
    rig.fail_calls(whole - 4..usize::MAX);
    attempt(&rig);
    assert_eq!(names(directory.path()), [JOURNAL, STAGING]);
    let umasked = {
        let scratch = tempfile::tempdir().unwrap();
        fs::write(scratch.path().join("new"), b"").unwrap();
        mode(scratch.path(), "new")
    };
    assert_ne!(umasked, 0o600, "nothing is seen under such a umask");
    assert_eq!(mode(directory.path(), STAGING), umasked, "the crash came behind the likeness");
    let sink = resumable(open(directory.path()).unwrap());
    assert_eq!(mode(directory.path(), STAGING), 0o600);
    resume(sink);
    assert_eq!(mode(directory.path(), "target"), umasked);
}

/// Runs one of these tests again as a user whom rights bind: they do not bind root.
fn again_as_nobody(test: &str) {
    const NOBODY: u32 = 65_534;
    let room = tempfile::tempdir().unwrap();
    chmod(room.path(), 0o777);
    // Where the original stands, nobody may be kept from it.
    let program = room.path().join("tests");
    // By another process: what this one has open to write, a child that another test starts has open for a moment, too,
    // and then it cannot be run.
    let copied = Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&program).status().unwrap();
    assert!(copied.success());
    chmod(&program, 0o755);
    let (_, module) = module_path!().split_once("::").unwrap();
    let output = Command::new(program)
        .args(["--exact", &format!("{module}::{test}")])
        .env("TMPDIR", room.path())
        .current_dir(room.path())
        .uid(NOBODY)
        .gid(NOBODY)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
fn a_directory_that_has_become_read_only_is_refused_before_an_attempt_goes_on() {
    if geteuid().is_root() {
        return again_as_nobody("a_directory_that_has_become_read_only_is_refused_before_an_attempt_goes_on");
    }
    let directory = tempfile::tempdir().unwrap();
    interrupted(directory.path(), 1);
    for locked in [0o500, 0o400] {
        chmod(directory.path(), locked);
        let refused = open(directory.path());
        chmod(directory.path(), 0o700);
        // Without the right to enter it not even the journal is found.
        let right = match &refused {
            Err(TargetError::NotWritable { .. }) => locked == 0o500,
            Err(TargetError::Io { .. }) => locked == 0o400,
            _ => false,
        };
        assert!(right, "{locked:o}: {refused:?}");
        assert_eq!(names(directory.path()), [JOURNAL, STAGING]);
    }
    assert_eq!(resume(resumable(open(directory.path()).unwrap())), 1);
}

#[test]
fn a_file_that_is_no_journal_is_not_taken_for_one_that_says_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let notes = b"somebody's notes. ".repeat(300);
    fs::write(directory.path().join(JOURNAL), &notes).unwrap();
    let seen = StagedFile::look(&directory.path().join("target"), Existing::Refuse);
    for error in [open(directory.path()).unwrap_err(), seen.unwrap_err()] {
        assert!(error.to_string().contains(JOURNAL), "{error}");
        let TargetError::Journal { problem, .. } = error else { panic!("{error}") };
        assert_eq!(problem, JournalProblem::Stranger);
    }
    assert_eq!(fs::read(directory.path().join(JOURNAL)).unwrap(), notes);
    assert_eq!(names(directory.path()), [JOURNAL]);
}
