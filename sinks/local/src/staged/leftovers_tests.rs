//! Tests of what is told of, and removed from, beside a target.
//! Knows what attempts leave from the attempts alone.

use std::{fs, path::Path};

use storage::{StageOptions, TargetError};

use super::{
    attempts::{attempt_id, interrupted},
    *,
};

const STAGING: &str = ".target.cofferdam-staging";
const JOURNAL: &str = ".target.cofferdam-journal";
const PROBE: &str = ".target.cofferdam-probe";

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_an_interrupted_attempt_left_is_told_and_removed_and_the_target_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let [target, staging, journal] = ["target", STAGING, JOURNAL].map(|name| directory.path().join(name));
    assert_eq!(StagedFile::beside(&target).unwrap(), Beside::default());
    interrupted(directory.path(), 2);
    fs::write(&target, b"old").unwrap();
    let before = names(directory.path());
    let found = StagedFile::beside(&target).unwrap();
    let staging_len = fs::metadata(&staging).unwrap().len();
    assert_eq!(
        found,
        Beside { staging: Some((staging.clone(), staging_len)), journal: Some(journal.clone()) }
    );
    assert_eq!(names(directory.path()), before);
    assert_eq!(StagedFile::remove_beside(&target).unwrap(), [staging, journal]);
    assert_eq!(names(directory.path()), ["target"]);
    assert_eq!(StagedFile::remove_beside(&target).unwrap(), Vec::<PathBuf>::new());
    assert_eq!(fs::read(&target).unwrap(), b"old");
}

#[test]
fn what_a_writer_holds_is_not_removed() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("target");
    let plain = StagedFile::create(&target, &StageOptions::default()).unwrap();
    assert!(matches!(StagedFile::remove_beside(&target), Err(TargetError::Held { .. })));
    assert_eq!(names(directory.path()), [STAGING]);
    drop(plain);
    let journalled = StagedFile::open(&target, &StageOptions::default(), &attempt_id()).unwrap();
    assert!(matches!(StagedFile::remove_beside(&target), Err(TargetError::Held { .. })));
    assert_eq!(names(directory.path()), [JOURNAL, STAGING]);
    drop(journalled);
}

#[test]
fn what_is_no_file_of_ours_is_not_removed() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("target");
    fs::create_dir(directory.path().join(STAGING)).unwrap();
    assert!(matches!(StagedFile::remove_beside(&target), Err(TargetError::InTheWay { .. })));
    assert!(StagedFile::beside(&target).unwrap().staging.is_some());
    assert_eq!(names(directory.path()), [STAGING]);
}

#[test]
fn what_a_killed_writer_has_left_of_its_tries_goes_with_its_staging_file_and_a_strangers_file_stays() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("target");
    fs::write(directory.path().join(PROBE), b"").unwrap();
    // Without a lock it may be a writer's that begins just now.
    assert!(StagedFile::remove_beside(&target).unwrap().is_empty());
    assert_eq!(names(directory.path()), [PROBE]);

    let second = ".target.cofferdam-probe2";
    fs::write(directory.path().join(STAGING), b"").unwrap();
    fs::write(directory.path().join(second), b"a key").unwrap();
    let removed = StagedFile::remove_beside(&target).unwrap();
    assert_eq!(removed, [PROBE, STAGING].map(|name| directory.path().join(name)));
    assert_eq!(names(directory.path()), [second]);
}

#[test]
fn a_second_writer_tries_nothing_while_the_first_one_does() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("target");
    let first = StagedFile::create(&target, &StageOptions::default()).unwrap();
    // What the first one would have there for a moment, and a second must not take away.
    fs::write(directory.path().join(PROBE), b"").unwrap();
    let second = StagedFile::create(&target, &StageOptions::default());
    assert!(matches!(second, Err(TargetError::Held { .. })), "{second:?}");
    assert_eq!(names(directory.path()), [PROBE, STAGING]);
    drop(first);
    drop(StagedFile::create(&target, &StageOptions::default()).unwrap());
    assert_eq!(names(directory.path()), Vec::<String>::new());
}

#[test]
fn a_file_that_somebody_has_where_something_is_to_be_tried_stays() {
    for name in [PROBE, ".target.cofferdam-probe2"] {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("target");
        fs::write(directory.path().join(name), b"a key").unwrap();
        let begun = [
            StagedFile::create(&target, &StageOptions::default()).err(),
            StagedFile::open(&target, &StageOptions::default(), &attempt_id()).err(),
        ];
        assert!(begun.iter().all(|error| matches!(error, Some(TargetError::InTheWay { .. }))), "{begun:?}");
        assert_eq!(fs::read(directory.path().join(name)).unwrap(), b"a key");
        assert_eq!(names(directory.path()), [name]);
    }
}
