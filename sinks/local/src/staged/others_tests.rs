//! Tests of a staged file among others: who may read what is kept, who may publish it, and what is not ours to remove.
//! Know the files by their names, contents and rights.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        process::CommandExt,
    },
    path::Path,
    process::Command,
};

use parking_lot::Mutex;
use rustix::process::geteuid;
use storage::{JournalProblem, Misplaced, OnPartial, StageOptions, TargetError};

use super::{
    attempts::{
        JOURNAL, SEGMENT_LEN, SEGMENTS, STAGING, attempt, attempt_id, checkpoint, fresh, go_on, interrupted,
        names, open, resumable, resume, segment, stream,
    },
    faulty::FaultyDisk,
    *,
};

pub(super) fn mode(directory: &Path, name: &str) -> u32 {
    fs::metadata(directory.join(name)).unwrap().permissions().mode() & 0o777
}

pub(super) fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn what_a_failed_publish_keeps_is_its_owners_alone() {
    let directory = tempfile::tempdir().unwrap();
    let faulty = FaultyDisk::over(directory.path());
    let options = StageOptions::default();
    let mut sink =
        fresh(StagedFile::open_in(faulty.storage(), OsStr::new("target"), &options, &attempt_id()).unwrap());
    for number in 0..SEGMENTS {
        let at = u64::from(number) * SEGMENT_LEN as u64;
        sink.positioned().unwrap().write_all_at(at, &segment(number)).unwrap();
        sink.commit_segment(&checkpoint(number)).unwrap();
    }
    fs::write(directory.path().join("target"), b"appeared").unwrap();
    let refused = sink.publish(stream().len() as u64);
    assert!(matches!(refused, Err(CommitError::NotCommitted(_))), "{refused:?}");
    assert_eq!(mode(directory.path(), STAGING), 0o600);
    assert_eq!(mode(directory.path(), JOURNAL), 0o600);
}

#[test]
fn a_file_that_others_may_have_open_is_neither_staging_file_nor_journal() {
    for (name, given) in [(STAGING, 0o644), (STAGING, 0o602), (JOURNAL, 0o604), (JOURNAL, 0o620)] {
        let directory = tempfile::tempdir().unwrap();
        interrupted(directory.path(), 2);
        let path = directory.path().join(name);
        chmod(&path, given);
        let held = File::open(&path).unwrap();
        match (open(directory.path()), name) {
            (Err(TargetError::OpenToOthers { path }), JOURNAL) => assert!(path.ends_with(JOURNAL)),
            (Ok(Opened::Fresh(mut sink)), STAGING) => go_on(&mut sink, 0).unwrap(),
            (other, _) => panic!("{name} {given:o}: {other:?}"),
        }
        let options = StageOptions::default().on_partial(OnPartial::Discard);
        if name == JOURNAL {
            let opened = StagedFile::open(directory.path().join("target"), &options, &attempt_id());
            go_on(&mut fresh(opened.unwrap()), 0).unwrap();
        }
        assert_eq!(fs::read(directory.path().join("target")).unwrap(), stream());
        let target = fs::metadata(directory.path().join("target")).unwrap();
        assert_ne!(held.metadata().unwrap().ino(), target.ino(), "{name} {given:o}");
    }
}

#[test]
fn a_file_that_another_user_has_put_to_a_shared_target_meanwhile_is_no_model_and_is_not_replaced() {
    if !geteuid().is_root() {
        return; // Only root can make the files of another user that this is about.
    }
    let directory = tempfile::tempdir().unwrap();
    chmod(directory.path(), 0o1777);
    let target = directory.path().join("target");
    let options = StageOptions::default().if_exists(IfExists::Replace);
    let mut sink = fresh(StagedFile::open(&target, &options, &attempt_id()).unwrap());
    fs::write(&target, b"bait").unwrap();
    chmod(&target, 0o666);
    std::os::unix::fs::lchown(&target, Some(65_534), None).unwrap();
    let Err(CommitError::NotCommitted(error)) = go_on(&mut sink, 0) else { panic!("given away") };
    assert!(error.to_string().contains("belongs to another user"), "{error}");
    drop(sink);
    assert_eq!(fs::read(&target).unwrap(), b"bait");
    let staged = fs::metadata(directory.path().join(STAGING)).unwrap();
    assert_eq!((staged.uid(), staged.mode() & 0o777), (0, 0o600));
}

#[test]
fn a_published_attempt_gives_its_mode_to_no_other_file_that_comes_to_the_targets_name() {
    let whole = {
        let scratch = tempfile::tempdir().unwrap();
        let faulty = FaultyDisk::over(scratch.path());
        attempt(&faulty).unwrap();
        faulty.calls()
    };
    let directory = tempfile::tempdir().unwrap();
    let faulty = FaultyDisk::over(directory.path());
    // The mode, three syncs and the journal's removal come behind the rename.
    faulty.fail_calls(whole - 5..usize::MAX);
    attempt(&faulty);
    let Ok(Opened::Published(published)) = open(directory.path()) else { panic!("not published") };
    let secret = directory.path().join("secret");
    fs::write(&secret, b"secret").unwrap();
    chmod(&secret, 0o600);
    fs::rename(&secret, directory.path().join("target")).unwrap();
    let error = published.finish().unwrap_err();
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Misplaced>());
    assert!(matches!(inner, Some(Misplaced::Swapped { .. })), "{error}");
    assert_eq!(mode(directory.path(), "target"), 0o600);
    assert_eq!(names(directory.path()), ["target"]);
}

/// The mode that a new file has in this process.
fn umasked() -> u32 {
    let scratch = tempfile::tempdir().unwrap();
    fs::write(scratch.path().join("new"), b"").unwrap();
    let umasked = mode(scratch.path(), "new");
    assert_ne!(umasked, 0o600, "nothing is seen under such a umask");
    umasked
}

#[test]
fn wherever_a_crash_comes_nobody_but_its_owner_can_read_what_is_not_a_target_yet_and_the_next_run_gives_it_its_mode()
 {
    for given in [None, Some(0o604)] {
        let attempt = |faulty: &FaultyDisk| {
            let options = StageOptions::default();
            let opened =
                StagedFile::open_in(faulty.storage(), OsStr::new("target"), &options, &attempt_id()).ok()?;
            let Opened::Fresh(mut sink) = opened else { panic!("{opened:?}") };
            if let Some(mode) = given {
                sink.set_mode(mode);
            }
            go_on(&mut sink, 0).ok()
        };
        let whole = {
            let scratch = tempfile::tempdir().unwrap();
            let faulty = FaultyDisk::over(scratch.path());
            attempt(&faulty).unwrap();
            faulty.calls()
        };
        let mut recovered = 0;
        for first in 0..whole {
            let directory = tempfile::tempdir().unwrap();
            let faulty = FaultyDisk::over(directory.path());
            faulty.fail_calls(first..usize::MAX);
            attempt(&faulty);
            if directory.path().join(STAGING).exists() {
                assert_eq!(mode(directory.path(), STAGING), 0o600, "before change {first}");
            }
            if directory.path().join(JOURNAL).exists()
                && let Ok(Opened::Published(published)) = open(directory.path())
            {
                published.finish().unwrap();
                assert_eq!(
                    mode(directory.path(), "target"),
                    given.unwrap_or_else(umasked),
                    "before change {first}"
                );
                recovered += 1;
            }
        }
        // Before the mode, the file's sync, the directory's, and the journal's removal.
        assert_eq!(recovered, 4);
    }
}

#[test]
fn a_mode_that_somebody_has_given_the_target_meanwhile_stays() {
    let whole = {
        let scratch = tempfile::tempdir().unwrap();
        let faulty = FaultyDisk::over(scratch.path());
        attempt(&faulty).unwrap();
        faulty.calls()
    };
    let directory = tempfile::tempdir().unwrap();
    let faulty = FaultyDisk::over(directory.path());
    // The mode, two syncs, the journal's removal, the directory's sync.
    faulty.fail_calls(whole - 5..usize::MAX);
    attempt(&faulty);
    assert_eq!(
        (names(directory.path()), mode(directory.path(), "target")),
        (vec![JOURNAL.into(), "target".into()], 0o600)
    );
    chmod(&directory.path().join("target"), 0o440);
    let Ok(Opened::Published(published)) = open(directory.path()) else { panic!("not published") };
    published.finish().unwrap();
    assert_eq!(mode(directory.path(), "target"), 0o440);
}

#[test]
fn after_the_rename_a_call_that_fails_leaves_the_outcome_unknown_and_never_silent() {
    for if_exists in [IfExists::Refuse, IfExists::Replace] {
        let prepared = |directory: &Path| {
            if if_exists == IfExists::Replace {
                fs::write(directory.join("target"), b"old").unwrap();
            }
            let faulty = FaultyDisk::over(directory);
            let options = StageOptions::default().if_exists(if_exists);
            let opened =
                StagedFile::open_in(faulty.storage(), OsStr::new("target"), &options, &attempt_id()).unwrap();
            let mut sink = fresh(opened);
            sink.begin_segment(0, 0).unwrap();
            sink.write_tentative(0, b"new").unwrap();
            sink.commit_segment(&checkpoint(0)).unwrap();
            (faulty, sink)
        };
        let (mut unknown, mut number) = (0, 0);
        loop {
            let directory = tempfile::tempdir().unwrap();
            let (faulty, mut sink) = prepared(directory.path());
            faulty.fail_calls(faulty.calls() + number..usize::MAX);
            let published = sink.publish(3);
            let is_new = fs::read(directory.path().join("target")).is_ok_and(|found| found == b"new");
            match published {
                Ok(()) => break,
                Err(CommitError::NotCommitted(_)) => assert!(!is_new, "{if_exists:?}, change {number}"),
                Err(CommitError::Unknown(_)) => {
                    assert!(is_new, "{if_exists:?}, change {number}");
                    unknown += 1;
                }
            }
            number += 1;
        }
        // The mode of a new target, the file's sync, the directory's, the journal's removal, and its sync.
        assert_eq!(unknown, if if_exists == IfExists::Refuse { 5 } else { 4 });
    }
}

#[test]
fn a_file_system_that_has_shut_down_and_says_yes_to_the_directorys_sync_is_found_out() {
    let directory = tempfile::tempdir().unwrap();
    let faulty = FaultyDisk::over(directory.path());
    fs::write(directory.path().join("target"), b"old").unwrap();
    let options = StageOptions::default().if_exists(IfExists::Replace);
    // Without a journal there is nothing to be removed that could tell, and what replaces a file has its mode before.
    let mut sink = StagedFile::create_in(faulty.storage(), OsStr::new("target"), &options).unwrap();
    sink.positioned().unwrap().write_all_at(0, b"new").unwrap();
    faulty.shut_down_after_rename();
    assert!(matches!(sink.publish(3), Err(CommitError::Unknown(_))));
    assert_eq!(fs::read(directory.path().join("target")).unwrap(), b"new");
}

#[test]
fn discarded_without_leave_to_replace_a_published_attempt_is_still_known_for_one() {
    let whole = {
        let scratch = tempfile::tempdir().unwrap();
        let faulty = FaultyDisk::over(scratch.path());
        attempt(&faulty).unwrap();
        faulty.calls()
    };
    let crashed = || {
        let directory = tempfile::tempdir().unwrap();
        let faulty = FaultyDisk::over(directory.path());
        faulty.fail_calls(whole - 2..usize::MAX);
        attempt(&faulty);
        assert_eq!(names(directory.path()), [JOURNAL, "target"]);
        directory
    };
    let discard = |directory: &Path, if_exists| {
        let options = StageOptions::default().if_exists(if_exists).on_partial(OnPartial::Discard);
        StagedFile::open(directory.join("target"), &options, &attempt_id())
    };
    let directory = crashed();
    let Ok(Opened::Published(published)) = discard(directory.path(), IfExists::Refuse) else {
        panic!("lost")
    };
    published.finish().unwrap();
    assert_eq!(names(directory.path()), ["target"]);
    let directory = crashed();
    drop(fresh(discard(directory.path(), IfExists::Replace).unwrap()));
    assert_eq!(names(directory.path()), ["target"]);
    // A target that is another file than the one that was published is like any other.
    let directory = crashed();
    fs::write(directory.path().join("target"), b"another's").unwrap();
    assert!(matches!(discard(directory.path(), IfExists::Refuse), Err(TargetError::Exists { .. })));
    assert_eq!(fs::read(directory.path().join("target")).unwrap(), b"another's");
}

#[test]
fn another_users_journal_is_replaced_where_what_is_kept_is_discarded_and_never_written() {
    if !geteuid().is_root() {
        return; // Only root can make the files of another user that this is about.
    }
    for planted in [JOURNAL, STAGING] {
        let directory = tempfile::tempdir().unwrap();
        interrupted(directory.path(), 1);
        let path = directory.path().join(planted);
        std::os::unix::fs::lchown(&path, Some(65_534), None).unwrap();
        let before = fs::read(&path).unwrap();
        let second = directory.path().join("second");
        let seen = StagedFile::examine(directory.path().join("target"), IfExists::Refuse);
        assert!(
            (planted == STAGING) ^ matches!(seen, Err(TargetError::NotOurs { .. })),
            "{planted}: {seen:?}"
        );
        fs::hard_link(&path, &second).unwrap();
        let options = StageOptions::default().on_partial(OnPartial::Discard);
        let target = directory.path().join("target");
        let mut sink = fresh(StagedFile::open(&target, &options, &attempt_id()).unwrap());
        go_on(&mut sink, 0).unwrap();
        assert_eq!(fs::read(&target).unwrap(), stream());
        assert_eq!(fs::metadata(&target).unwrap().uid(), 0);
        assert_eq!(fs::read(second).unwrap(), before, "{planted} was written");
    }
}

#[test]
fn where_files_get_another_owner_nothing_is_kept_and_nothing_that_was_kept_is_built_upon() {
    let directory = tempfile::tempdir().unwrap();
    interrupted(directory.path(), 2);
    let faulty = FaultyDisk::squashing_owners(directory.path());
    let options = StageOptions::default();
    let opened =
        StagedFile::open_in(faulty.storage(), OsStr::new("target"), &options, &attempt_id()).unwrap();
    let mut sink = fresh(opened);
    assert!(sink.durability().is_none() && sink.resumable().is_none());
    let told = Arc::new(Mutex::new(Vec::new()));
    let telling = told.clone();
    sink.on_notice(move |notice| telling.lock().push(notice));
    assert_eq!(*told.lock(), [TargetNotice::OwnersNotKept]);
    assert_eq!(names(directory.path()), [STAGING]);
    sink.positioned().unwrap().write_all_at(0, &segment(0)).unwrap();
    sink.commit_segment(&checkpoint(0)).unwrap();
    drop(sink);
    assert!(names(directory.path()).is_empty(), "{:?}", names(directory.path()));
    let opened =
        StagedFile::open_in(faulty.storage(), OsStr::new("target"), &options, &attempt_id()).unwrap();
    go_on_unkept(fresh(opened));
    assert_eq!(names(directory.path()), ["target"]);
    assert_eq!(fs::read(directory.path().join("target")).unwrap(), stream());
}

fn go_on_unkept(mut sink: StagedFile) {
    sink.positioned().unwrap().write_all_at(0, &stream()).unwrap();
    sink.publish(stream().len() as u64).unwrap();
}

#[test]
fn another_file_that_comes_to_the_targets_name_with_the_rename_is_not_taken_for_ours() {
    let directory = tempfile::tempdir().unwrap();
    let faulty = FaultyDisk::over(directory.path());
    let mut sink = fresh(
        StagedFile::open_in(faulty.storage(), OsStr::new("target"), &StageOptions::default(), &attempt_id())
            .unwrap(),
    );
    sink.positioned().unwrap().write_all_at(0, &stream()).unwrap();
    let folder = directory.path().to_path_buf();
    faulty.before_rename(move || {
        fs::write(folder.join("theirs"), b"another's").unwrap();
        fs::rename(folder.join("theirs"), folder.join(STAGING)).unwrap();
    });
    let Err(CommitError::Unknown(error)) = sink.publish(stream().len() as u64) else {
        panic!("taken for ours")
    };
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Misplaced>());
    assert!(matches!(inner, Some(Misplaced::Swapped { .. })), "{error}");
}

#[test]
fn a_directory_that_is_moved_while_it_is_written_to_is_told_with_where_the_target_is() {
    for is_replaced in [true, false] {
        let outer = tempfile::tempdir().unwrap();
        let (here, there) = (outer.path().join("here"), outer.path().join("there"));
        fs::create_dir(&here).unwrap();
        let mut sink = fresh(open(&here).unwrap());
        sink.positioned().unwrap().write_all_at(0, &stream()).unwrap();
        fs::rename(&here, &there).unwrap();
        if is_replaced {
            fs::create_dir(&here).unwrap();
        }
        let Err(CommitError::Unknown(error)) = sink.publish(stream().len() as u64) else {
            panic!("not told")
        };
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Misplaced>());
        let path = fs::canonicalize(&there).unwrap().join("target");
        assert_eq!(inner, Some(&Misplaced::Moved { path: Some(path) }), "{error}");
        assert_eq!(names(&there), ["target"]);
    }
}

/// Runs one of these tests again as a user whom rights bind: they do not bind root.
fn again_as_nobody(test: &str) {
    const NOBODY: u32 = 65_534;
    let free_space = tempfile::tempdir().unwrap();
    chmod(free_space.path(), 0o777);
    // Where the original stands, nobody may be kept from it.
    let program = free_space.path().join("tests");
    // By another process: what this one has open to write, a child that another test starts has open for a moment, too,
    // and then it cannot be run.
    let copied = Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&program).status().unwrap();
    assert!(copied.success());
    chmod(&program, 0o755);
    let (_, module) = module_path!().split_once("::").unwrap();
    let output = Command::new(program)
        .args(["--exact", &format!("{module}::{test}")])
        .env("TMPDIR", free_space.path())
        .current_dir(free_space.path())
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
    chmod(&directory.path().join(JOURNAL), 0o600);
    let seen = StagedFile::examine(directory.path().join("target"), IfExists::Refuse);
    for error in [open(directory.path()).unwrap_err(), seen.unwrap_err()] {
        assert!(error.to_string().contains(JOURNAL), "{error}");
        let TargetError::Journal { problem, .. } = error else { panic!("{error}") };
        assert_eq!(problem, JournalProblem::Stranger);
    }
    assert_eq!(fs::read(directory.path().join(JOURNAL)).unwrap(), notes);
    assert_eq!(names(directory.path()), [JOURNAL]);
}

#[test]
fn a_second_name_that_a_publish_by_a_link_has_left_is_removed_and_the_target_stays() {
    let linked = || {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("target"), b"whole").unwrap();
        fs::hard_link(directory.path().join("target"), directory.path().join(STAGING)).unwrap();
        directory
    };
    let directory = linked();
    let target = directory.path().join("target");
    let refused = StagedFile::create(&target, &StageOptions::default());
    assert!(matches!(refused, Err(TargetError::Exists { .. })), "{refused:?}");
    assert_eq!(names(directory.path()), ["target"]);
    StagedFile::tidy(&target).unwrap();
    assert_eq!(names(directory.path()), ["target"]);

    let directory = linked();
    let target = directory.path().join("target");
    StagedFile::tidy(&target).unwrap();
    assert_eq!(
        (names(directory.path()), fs::read(&target).unwrap()),
        (vec!["target".into()], b"whole".to_vec())
    );

    // A staging file of its own is none.
    fs::write(directory.path().join(STAGING), b"another").unwrap();
    StagedFile::tidy(&target).unwrap();
    assert_eq!(names(directory.path()), [STAGING, "target"]);
}

#[test]
fn a_journal_goes_once_its_target_has_changed_and_stays_as_long_as_something_can_be_done_with_it() {
    let whole = {
        let scratch = tempfile::tempdir().unwrap();
        let faulty = FaultyDisk::over(scratch.path());
        attempt(&faulty).unwrap();
        faulty.calls()
    };
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("target");
    let faulty = FaultyDisk::over(directory.path());
    faulty.fail_calls(whole - 2..usize::MAX);
    attempt(&faulty);
    StagedFile::tidy(&target).unwrap();
    assert_eq!(names(directory.path()), [JOURNAL, "target"], "it says that the target was published");
    fs::write(&target, b"written to since").unwrap();
    StagedFile::tidy(&target).unwrap();
    assert_eq!(names(directory.path()), ["target"]);

    let directory = tempfile::tempdir().unwrap();
    interrupted(directory.path(), 2);
    StagedFile::tidy(directory.path().join("target")).unwrap();
    assert_eq!(names(directory.path()), [JOURNAL, STAGING]);
}
