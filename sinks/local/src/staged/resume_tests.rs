//! Tests of a staged file with a journal: what a crash, a drop or damage leaves, and what the next attempt makes of it.
//! Know the files by their names and contents; crashes are directories in which nothing changes any more.

use std::{ffi::OsStr, fs, os::unix::fs::PermissionsExt, path::Path};

use contract::AttemptId;
use storage::{JournalProblem, OnPartial, Sparse, StageOptions, TargetError};

use super::{
    attempts::{
        JOURNAL, SEGMENT_LEN, SEGMENTS, STAGING, attempt, attempt_id, checkpoint, fresh, go_on, interrupted,
        names, open, proved, resumable, resume, segment, stream,
    },
    faulty::FaultyDisk,
    *,
};

#[test]
fn an_attempt_without_interruption_leaves_the_target_alone() {
    let directory = tempfile::tempdir().unwrap();
    let mut sink = fresh(open(directory.path()).unwrap());
    assert_eq!(names(directory.path()), [JOURNAL, STAGING]);
    assert_eq!(sink.last_commit().unwrap(), None);
    assert!(sink.resumable().is_none() && sink.resume_at(0, 0).is_err());
    drop(sink);
    assert!(names(directory.path()).is_empty());
    go_on(&mut fresh(open(directory.path()).unwrap()), 0).unwrap();
    assert_eq!(names(directory.path()), ["target"]);
    assert_eq!(fs::read(directory.path().join("target")).unwrap(), stream());
}

#[test]
fn a_drop_keeps_what_was_committed_and_the_next_attempt_goes_on_behind_it() {
    for segments in 1..=SEGMENTS {
        let directory = tempfile::tempdir().unwrap();
        interrupted(directory.path(), segments);
        assert_eq!(names(directory.path()), [JOURNAL, STAGING]);
        let mut sink = resumable(open(directory.path()).unwrap());
        assert_eq!(sink.last_commit().unwrap(), Some(checkpoint(segments - 1)));
        assert_eq!(resume(sink), segments);
        assert_eq!(fs::read(directory.path().join("target")).unwrap(), stream());
        assert_eq!(names(directory.path()), ["target"]);
    }
}

#[test]
fn a_commit_that_was_not_made_durable_is_kept_without_a_checkpoint() {
    let directory = tempfile::tempdir().unwrap();
    let mut sink = fresh(open(directory.path()).unwrap());
    sink.positioned().unwrap().write_all_at(0, &segment(0)).unwrap();
    sink.commit_segment(&checkpoint(0)).unwrap();
    drop(sink);
    let mut sink = resumable(open(directory.path()).unwrap());
    assert_eq!(sink.last_commit().unwrap(), None);
    assert_eq!(resume(sink), 1);
    assert_eq!(fs::read(directory.path().join("target")).unwrap(), stream());
}

#[test]
fn a_resumable_sink_that_is_dropped_unused_leaves_everything_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    interrupted(directory.path(), 2);
    let contents = || [JOURNAL, STAGING].map(|name| fs::read(directory.path().join(name)).unwrap());
    let before = contents();
    let other = AttemptId::new(b"restore of stream 8").unwrap();
    let opened = StagedFile::open(directory.path().join("target"), &StageOptions::default(), &other);
    drop(resumable(opened.unwrap()));
    assert!(contents() == before);
}

#[test]
fn a_discard_leaves_neither_staging_file_nor_journal() {
    for segments in [0, 2] {
        let directory = tempfile::tempdir().unwrap();
        interrupted(directory.path(), segments);
        let mut sink = match open(directory.path()).unwrap() {
            Opened::Fresh(sink) | Opened::Resumable { sink, .. } => sink,
            other @ Opened::Published(_) => panic!("{other:?}"),
        };
        sink.discard().unwrap();
        drop(sink);
        assert!(names(directory.path()).is_empty());
    }
}

#[test]
fn an_earlier_attempt_is_discarded_on_request_damaged_or_not_but_not_under_its_writers_hands() {
    let discard = StageOptions::default().on_partial(OnPartial::Discard);
    for damaged in [None, Some(JOURNAL)] {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("target");
        interrupted(directory.path(), 2);
        let holder = open(directory.path()).unwrap();
        let refused = StagedFile::open(&target, &discard, &attempt_id());
        assert!(matches!(refused, Err(TargetError::Held { .. })), "{refused:?}");
        drop(holder);
        if let Some(name) = damaged {
            fs::write(directory.path().join(name), [0xEE; 9_000]).unwrap();
            assert!(matches!(open(directory.path()), Err(TargetError::Journal { .. })));
        }
        let mut sink = fresh(StagedFile::open(&target, &discard, &attempt_id()).unwrap());
        assert_eq!(fs::metadata(sink.staging_path()).unwrap().len(), 0);
        go_on(&mut sink, 0).unwrap();
        drop(sink);
        assert_eq!(names(directory.path()), ["target"]);
    }
}

#[test]
fn a_sink_without_a_journal_and_one_with_exclude_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("target");
    let plain = StagedFile::create(&target, &StageOptions::default()).unwrap();
    assert!(matches!(open(directory.path()), Err(TargetError::Held { .. })));
    assert_eq!(names(directory.path()), [STAGING]);
    drop(plain);
    let journalled = open(directory.path()).unwrap();
    let refused = StagedFile::create(&target, &StageOptions::default());
    assert!(matches!(refused, Err(TargetError::Held { .. })));
    assert!(matches!(open(directory.path()), Err(TargetError::Held { .. })));
    drop(journalled);
    assert!(names(directory.path()).is_empty());
}

#[test]
fn a_sink_without_a_journal_takes_the_place_of_an_attempt_with_one() {
    let directory = tempfile::tempdir().unwrap();
    interrupted(directory.path(), 2);
    let target = directory.path().join("target");
    let mut sink = StagedFile::create(&target, &StageOptions::default()).unwrap();
    assert_eq!(names(directory.path()), [STAGING]);
    sink.positioned().unwrap().write_all_at(0, b"new").unwrap();
    sink.publish(3).unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"new");
    assert_eq!(names(directory.path()), ["target"]);
}

#[test]
fn started_over_what_is_right_already_is_not_written_again() {
    let directory = tempfile::tempdir().unwrap();
    interrupted(directory.path(), 2);
    // One byte of the second segment is wrong, in its second piece.
    let staging = directory.path().join(STAGING);
    let mut bytes = fs::read(&staging).unwrap();
    bytes[SEGMENT_LEN + 70_000] ^= 1;
    fs::write(&staging, &bytes).unwrap();
    let faulty = FaultyDisk::over(directory.path());
    let options = StageOptions::default();
    let opened =
        StagedFile::open_in(faulty.storage(), OsStr::new("target"), &options, &attempt_id()).unwrap();
    let mut sink = resumable(opened);
    sink.resume_at(0, 0).unwrap();
    assert!(sink.resume_at(0, 0).is_err());
    let writer = sink.positioned().unwrap();
    let mut written = Vec::new();
    for number in 0..SEGMENTS {
        let before = faulty.written();
        writer.write_all_at(u64::from(number) * SEGMENT_LEN as u64, &segment(number)).unwrap();
        sink.commit_segment(&checkpoint(number)).unwrap();
        written.push(faulty.written() - before);
    }
    // Pieces are 64 KiB: of the second segment the rest behind the first piece is written, of the third everything.
    assert_eq!(written, [0, SEGMENT_LEN - 65_536, SEGMENT_LEN]);
    sink.publish(stream().len() as u64).unwrap();
    assert_eq!(fs::read(directory.path().join("target")).unwrap(), stream());
}

#[test]
fn started_over_a_shorter_stream_is_published_without_what_lay_behind_it() {
    let directory = tempfile::tempdir().unwrap();
    interrupted(directory.path(), 2);
    let mut sink = resumable(open(directory.path()).unwrap());
    sink.resume_at(0, 0).unwrap();
    assert!(matches!(sink.publish(1), Err(CommitError::NotCommitted(_))));
    drop(sink);
    let mut sink = resumable(open(directory.path()).unwrap());
    sink.resume_at(0, 0).unwrap();
    sink.begin_segment(0, 0).unwrap();
    sink.write_tentative(0, b"short").unwrap();
    sink.commit_segment(&checkpoint(0)).unwrap();
    sink.publish(5).unwrap();
    assert_eq!(fs::read(directory.path().join("target")).unwrap(), b"short");
}

#[test]
fn started_over_the_checkpoint_is_gone_before_anything_is_written_and_what_is_kept_is_offered_again() {
    for segments in 1..=SEGMENTS {
        let directory = tempfile::tempdir().unwrap();
        interrupted(directory.path(), segments);
        resumable(open(directory.path()).unwrap()).resume_at(0, 0).unwrap();
        let mut sink = resumable(open(directory.path()).unwrap());
        assert_eq!(sink.last_commit().unwrap(), None);
        assert_eq!(proved(&sink), segments);
        sink.resume_at(0, 0).unwrap();
        sink.positioned().unwrap().write_all_at(0, &segment(0)).unwrap();
        sink.commit_segment(&checkpoint(0)).unwrap();
        sink.durability().unwrap().make_durable(&checkpoint(0)).unwrap();
        drop(sink);
        assert_eq!(resumable(open(directory.path()).unwrap()).last_commit().unwrap(), Some(checkpoint(0)));
    }
}

#[test]
fn nothing_is_gone_on_with_beyond_what_is_there() {
    let directory = tempfile::tempdir().unwrap();
    interrupted(directory.path(), 1);
    let mut sink = resumable(open(directory.path()).unwrap());
    assert!(sink.resume_at(2, SEGMENT_LEN as u64 + 1).is_err());
}

#[test]
fn kept_bytes_are_mended_before_they_are_built_upon_and_not_after() {
    let directory = tempfile::tempdir().unwrap();
    interrupted(directory.path(), 2);
    let path = directory.path().join(STAGING);
    let mut damaged = fs::read(&path).unwrap();
    damaged[500] ^= 1;
    fs::write(&path, &damaged).unwrap();
    let mut sink = resumable(open(directory.path()).unwrap());
    assert_eq!(proved(&sink), 0);
    for (at, len) in [(damaged.len() as u64 - 1, 2), (u64::MAX, 1)] {
        assert!(sink.mend(at, &segment(0)[..len]).is_err(), "{len} bytes at {at}");
    }
    sink.mend(0, &segment(0)).unwrap();
    assert_eq!(proved(&sink), 2);
    sink.resume_at(2, 2 * SEGMENT_LEN as u64).unwrap();
    assert!(sink.mend(0, &segment(0)).is_err());
    go_on(&mut sink, 2).unwrap();
    assert!(fs::read(directory.path().join("target")).unwrap() == stream());

    let elsewhere = tempfile::tempdir().unwrap();
    assert!(fresh(open(elsewhere.path()).unwrap()).mend(0, b"x").is_err());
}

#[test]
fn a_staging_file_that_is_gone_takes_its_checkpoints_with_it_and_one_without_journal_is_not_used() {
    for gone in [STAGING, JOURNAL] {
        let directory = tempfile::tempdir().unwrap();
        interrupted(directory.path(), 2);
        fs::remove_file(directory.path().join(gone)).unwrap();
        let mut sink = fresh(open(directory.path()).unwrap());
        assert_eq!(fs::metadata(sink.staging_path()).unwrap().len(), 0);
        go_on(&mut sink, 0).unwrap();
        assert_eq!(fs::read(directory.path().join("target")).unwrap(), stream());
    }
}

#[test]
fn a_damaged_journal_is_refused_named_and_left_as_it_is() {
    let damage: [(&[usize], JournalProblem); 3] = [
        (&[100], JournalProblem::Header),
        (&[4_100, 8_200], JournalProblem::Slots),
        (&[0], JournalProblem::Stranger),
    ];
    for (bytes, expected) in damage {
        let directory = tempfile::tempdir().unwrap();
        interrupted(directory.path(), 2);
        let path = directory.path().join(JOURNAL);
        let mut journal = fs::read(&path).unwrap();
        bytes.iter().for_each(|byte| journal[*byte] ^= 0x10);
        fs::write(&path, &journal).unwrap();
        let seen = StagedFile::examine(directory.path().join("target"), IfExists::Refuse);
        for error in [open(directory.path()).unwrap_err(), seen.unwrap_err()] {
            assert!(error.to_string().contains(JOURNAL), "{error}");
            let TargetError::Journal { problem, .. } = error else { panic!("{error}") };
            assert_eq!(problem, expected);
        }
        assert_eq!(fs::read(&path).unwrap(), journal);
        assert_eq!(names(directory.path()), [JOURNAL, STAGING]);
    }
}

#[test]
fn one_damaged_slot_costs_one_checkpoint() {
    let directory = tempfile::tempdir().unwrap();
    interrupted(directory.path(), 2);
    let path = directory.path().join(JOURNAL);
    let mut journal = fs::read(&path).unwrap();
    journal[8_200] ^= 1;
    fs::write(&path, &journal).unwrap();
    let mut sink = resumable(open(directory.path()).unwrap());
    assert_eq!(sink.last_commit().unwrap(), Some(checkpoint(0)));
    assert_eq!(resume(sink), 2);
}

#[test]
fn what_has_a_second_name_is_not_written_under_the_first() {
    for name in [JOURNAL, STAGING] {
        let directory = tempfile::tempdir().unwrap();
        interrupted(directory.path(), 1);
        let precious = directory.path().join("precious");
        fs::write(&precious, b"precious").unwrap();
        let path = directory.path().join(name);
        if name == STAGING {
            // It may be the old target, which has to stay as it is until the new one is whole.
            fs::remove_file(&precious).unwrap();
            fs::copy(&path, &precious).unwrap();
        }
        let before = fs::read(&precious).unwrap();
        fs::remove_file(&path).unwrap();
        fs::hard_link(&precious, &path).unwrap();
        match open(directory.path()) {
            Err(TargetError::Shared { path }) => assert!(path.ends_with(name)),
            other => panic!("{name}: {other:?}"),
        }
        assert_eq!(fs::read(&precious).unwrap(), before, "{name}");
    }
}

#[test]
fn only_our_own_files_are_gone_on_with_whoever_may_make_files_in_the_directory() {
    if !rustix::process::geteuid().is_root() {
        return; // Only root can make the files of another user that this is about.
    }
    for (mode, name) in [(0o1777, JOURNAL), (0o1777, STAGING), (0o755, JOURNAL), (0o755, STAGING)] {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(mode)).unwrap();
        interrupted(directory.path(), 1);
        std::os::unix::fs::lchown(directory.path().join(name), Some(65_534), None).unwrap();
        match open(directory.path()) {
            Err(TargetError::NotOurs { path, owner: 65_534 }) => assert!(path.ends_with(name)),
            other => panic!("{mode:o}, {name}: {other:?}"),
        }
        assert_eq!(names(directory.path()), [JOURNAL, STAGING]);
    }
}

#[test]
fn only_what_remains_needs_room() {
    let directory = tempfile::tempdir().unwrap();
    interrupted(directory.path(), 2);
    let free_space = rustix::fs::statvfs(directory.path()).unwrap();
    let whole = free_space.f_blocks * free_space.f_frsize + (1 << 30);
    let options = StageOptions::default().expected_len(Some(whole)).sparse(Sparse::Never);
    let refused = StagedFile::open(directory.path().join("target"), &options, &attempt_id()).unwrap_err();
    let TargetError::NoRoom { needed, .. } = refused else { panic!("{refused}") };
    assert!(needed + 2 * SEGMENT_LEN as u64 <= whole, "{needed}");
    assert_eq!(names(directory.path()), [JOURNAL, STAGING]);
}

/// The target is absent or whole, and one more attempt ends with the whole of it and nothing else.
fn finish_after_a_crash(directory: &Path, what: &str) {
    let target = directory.join("target");
    let before = fs::read(&target).ok();
    assert!(before.is_none() || before == Some(stream()), "{what}: neither old nor new");
    let seen = StagedFile::examine(&target, IfExists::Refuse).unwrap();
    let faulty = FaultyDisk::over(directory);
    let options = StageOptions::default();
    let opened = match StagedFile::open_in(faulty.storage(), OsStr::new("target"), &options, &attempt_id()) {
        Err(TargetError::Exists { .. }) => {
            assert_eq!(seen, Seen::Nothing, "{what}");
            assert_eq!(names(directory), ["target"], "{what}");
            return;
        }
        opened => opened.unwrap(),
    };
    match opened {
        Opened::Fresh(mut sink) => {
            assert_eq!((seen, before), (Seen::Nothing, None), "{what}");
            go_on(&mut sink, 0).unwrap();
        }
        Opened::Resumable { mut sink, .. } => {
            let checkpoint = sink.last_commit().unwrap();
            assert_eq!(
                (seen, before),
                (Seen::Unfinished { attempt_id: attempt_id(), checkpoint: checkpoint.clone() }, None),
                "{what}"
            );
            let kept = resume(sink);
            assert!(
                checkpoint.is_none_or(|found| found.to_bytes()[0] <= kept),
                "{what}: {kept} segments are kept"
            );
        }
        Opened::Published(published) => {
            let checkpoint = published.last_checkpoint().cloned();
            assert_eq!(
                seen,
                Seen::Published { attempt_id: published.attempt_id().clone(), checkpoint },
                "{what}"
            );
            assert_eq!(before, Some(stream()), "{what}");
            published.finish().unwrap();
        }
    }
    assert_eq!(fs::read(&target).unwrap(), stream(), "{what}");
    assert_eq!(names(directory), ["target"], "{what}");
}

#[test]
fn a_crash_before_any_change_is_recovered_from_and_one_in_the_recovery_as_well() {
    let mut first = 0;
    loop {
        let mut second = 0;
        let ended = loop {
            let directory = tempfile::tempdir().unwrap();
            let faulty = FaultyDisk::over(directory.path());
            faulty.fail_calls(first..usize::MAX);
            let ended = attempt(&faulty);
            let faulty = FaultyDisk::over(directory.path());
            faulty.fail_calls(second..usize::MAX);
            attempt(&faulty);
            let recovered = faulty.calls() <= second;
            finish_after_a_crash(directory.path(), &format!("crashes before changes {first} and {second}"));
            if recovered {
                break ended;
            }
            second += 1;
        };
        if ended.is_some() && second == 0 {
            break;
        }
        first += 1;
    }
    // Two files, the rights of one, and a header; two syncs, and three segments of a write, its sync, a slot and its sync; a
    // publish of eleven steps: length, metadata, sync, intent, its sync, rename, mode, three syncs and a removal.
    assert_eq!(first, 3 + 1 + 2 + 3 * 4 + 11);
}

#[test]
fn a_change_that_fails_once_ends_the_sink_and_keeps_what_was_committed() {
    let whole = {
        let directory = tempfile::tempdir().unwrap();
        let faulty = FaultyDisk::over(directory.path());
        attempt(&faulty).unwrap();
        faulty.calls()
    };
    for number in 0..whole {
        let directory = tempfile::tempdir().unwrap();
        let faulty = FaultyDisk::over(directory.path());
        faulty.fail_calls(number..number + 1);
        let ended = attempt(&faulty);
        let published = directory.path().join("target").exists();
        assert!(ended.is_none() || published, "change {number}: failed unseen");
        finish_after_a_crash(directory.path(), &format!("failed change {number}"));
    }
}

#[test]
fn a_failed_sync_is_final() {
    let directory = tempfile::tempdir().unwrap();
    let faulty = FaultyDisk::over(directory.path());
    let options = StageOptions::default();
    let opened =
        StagedFile::open_in(faulty.storage(), OsStr::new("target"), &options, &attempt_id()).unwrap();
    let mut sink = fresh(opened);
    let (writer, durable) = (sink.positioned().unwrap(), sink.durability().unwrap());
    writer.write_all_at(0, &segment(0)).unwrap();
    sink.commit_segment(&checkpoint(0)).unwrap();
    faulty.fail_calls(faulty.calls()..faulty.calls() + 1);
    durable.make_durable(&checkpoint(0)).unwrap_err();
    let before = faulty.calls();
    durable.make_durable(&checkpoint(0)).unwrap_err();
    writer.write_all_at(SEGMENT_LEN as u64, &segment(1)).unwrap_err();
    assert!(matches!(sink.publish(SEGMENT_LEN as u64), Err(CommitError::NotCommitted(_))));
    drop(sink);
    assert_eq!(faulty.calls(), before, "the medium was asked again");
    assert_eq!(names(directory.path()), [JOURNAL, STAGING]);
}

#[test]
fn a_published_attempt_is_recognised_before_its_target_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let whole = {
        let scratch = tempfile::tempdir().unwrap();
        let faulty = FaultyDisk::over(scratch.path());
        attempt(&faulty).unwrap();
        faulty.calls()
    };
    // The last three changes: the directory's sync behind the rename, the journal's removal, the directory's sync.
    let faulty = FaultyDisk::over(directory.path());
    faulty.fail_calls(whole - 3..usize::MAX);
    attempt(&faulty);
    assert_eq!(names(directory.path()), [JOURNAL, "target"]);
    let Opened::Published(published) = open(directory.path()).unwrap() else { panic!("not published") };
    assert_eq!(
        (published.attempt_id(), published.last_checkpoint()),
        (&attempt_id(), Some(&checkpoint(SEGMENTS - 1)))
    );
    // Dropped, it stays to be recognised again.
    drop(published);
    let Opened::Published(published) = open(directory.path()).unwrap() else { panic!("not published") };
    published.finish().unwrap();
    assert!(matches!(open(directory.path()), Err(TargetError::Exists { .. })));
    assert_eq!(fs::read(directory.path().join("target")).unwrap(), stream());
}

#[test]
fn both_names_on_the_published_file_become_one() {
    let directory = tempfile::tempdir().unwrap();
    let faulty = FaultyDisk::over(directory.path());
    let mut sink = {
        let options = StageOptions::default();
        fresh(StagedFile::open_in(faulty.storage(), OsStr::new("target"), &options, &attempt_id()).unwrap())
    };
    sink.positioned().unwrap().write_all_at(0, b"whole").unwrap();
    sink.commit_segment(&checkpoint(0)).unwrap();
    assert!(sink.finish(5).unwrap().is_some());
    drop(sink);
    // As a file system without a rename that replaces nothing leaves it.
    fs::hard_link(directory.path().join(STAGING), directory.path().join("target")).unwrap();
    let Opened::Published(published) = open(directory.path()).unwrap() else { panic!("not published") };
    published.finish().unwrap();
    assert_eq!(names(directory.path()), ["target"]);
    assert_eq!(fs::read(directory.path().join("target")).unwrap(), b"whole");
}
