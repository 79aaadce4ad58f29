//! The suite run on every sink of this crate, and on sinks that are broken on purpose.
//! Knows each defect by the rule that must catch it.

mod model;

use std::{
    fs,
    io::{self, Write},
    path::Path,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use contract::{AttemptId, IfExists};
use local::{MemorySink, NullSink, Opened, PipeSink, StagedFile};
use parking_lot::Mutex;
use storage::{StageOptions, TargetError};

use self::model::{Defect, Model, Offer};
use super::*;

fn assert_kept(violations: &[Violation]) {
    assert!(violations.is_empty(), "{violations:#?}");
}

#[test]
fn the_memory_sink_keeps_the_contract() {
    assert_kept(&check_all(&mut || {
        let (sink, contents) = MemorySink::new();
        let published = OnceLock::new();
        SinkUnderTest::new(sink, move || {
            if let Some(bytes) = contents.take() {
                published.set(bytes).unwrap();
            }
            published.get().cloned()
        })
    }));
}

#[test]
fn memory_of_a_callers_keeps_the_contract() {
    assert_kept(&check_all(&mut || {
        let (sink, contents) = MemorySink::over(vec![0xEE; 4 << 20]);
        let published = OnceLock::new();
        SinkUnderTest::new(sink, move || {
            if let Some(bytes) = contents.take() {
                published.set(bytes).unwrap();
            }
            published.get().cloned()
        })
    }));
}

#[test]
fn the_staged_file_keeps_the_contract_over_no_target_and_over_an_old_one() {
    for old in [None, Some(b"the old target")] {
        let directory = tempfile::tempdir().unwrap();
        let count = AtomicUsize::new(0);
        assert_kept(&check_all(&mut || {
            // Unique names, and one test thread makes them: the order with other accesses does not matter.
            let path = directory.path().join(count.fetch_add(1, Ordering::Relaxed).to_string());
            if let Some(old) = old {
                fs::write(&path, old).unwrap();
            }
            let if_exists = if old.is_some() { IfExists::Replace } else { IfExists::Refuse };
            let options = StageOptions::default().if_exists(if_exists).expected_len(Some(100_000));
            SinkUnderTest::new(StagedFile::create(&path, &options).unwrap(), move || fs::read(&path).ok())
        }));
        let names = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let left: Vec<_> = names.filter(|name| name.to_string_lossy().contains("staging")).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn the_staged_file_with_a_journal_keeps_the_contract_over_no_target_and_over_an_old_one() {
    for old in [None, Some(b"the old target")] {
        let directory = tempfile::tempdir().unwrap();
        let count = AtomicUsize::new(0);
        assert_kept(&check_all(&mut || {
            // As above.
            let path = directory.path().join(count.fetch_add(1, Ordering::Relaxed).to_string());
            if let Some(old) = old {
                fs::write(&path, old).unwrap();
            }
            let if_exists = if old.is_some() { IfExists::Replace } else { IfExists::Refuse };
            let (opened, again) = (open_journalled(&path, if_exists).unwrap(), path.clone());
            SinkUnderTest::new(opened, move || fs::read(&path).ok())
                .reopening(move || open_journalled(&again, if_exists))
        }));
    }
}

fn open_journalled(path: &Path, if_exists: IfExists) -> Result<StagedFile, TargetError> {
    let options = StageOptions::default().if_exists(if_exists);
    match StagedFile::open(path, &options, &AttemptId::new(b"an attempt").unwrap())? {
        Opened::Fresh(sink) | Opened::Resumable { sink, .. } => Ok(sink),
        Opened::Published(_) => panic!("nothing crashed behind a rename"),
    }
}

#[test]
fn the_pipe_keeps_the_contract_as_far_as_it_binds_a_sink_that_is_seen() {
    assert_kept(&check_all(&mut || {
        let out = SharedBuffer::default();
        let seen = out.clone();
        SinkUnderTest::new(PipeSink::new(out), move || Some(seen.0.lock().clone()))
    }));
}

#[test]
fn the_null_sink_keeps_every_rule_but_those_that_look_for_its_bytes() {
    let violations = check_all(&mut || SinkUnderTest::new(NullSink::new(), || None));
    let rules: Vec<u8> = violations.iter().map(|violation| violation.rule).collect();
    assert_eq!(rules, [3, 7, 8], "{violations:#?}");
}

#[derive(Clone, Default)]
struct SharedBuffer(Arc<Mutex<Vec<u8>>>);

impl Write for SharedBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_model_without_a_defect_keeps_the_contract_with_and_without_kept_bytes() {
    for offer in [Offer::Kept, Offer::CheckpointAlone] {
        assert_kept(&check_all(&mut || Model::under_test(None, offer)));
    }
}

#[test]
fn a_report_tells_what_is_kept_what_is_not_offered_and_what_is_broken() {
    let outcomes = |fresh: Fresh<'_>, rule: u8| -> Vec<Outcome> {
        let rows = report(fresh).into_iter().filter(|row| row.rule == rule);
        rows.map(|row| row.outcome).collect()
    };
    assert_eq!(outcomes(&mut || Model::under_test(None, Offer::Kept), 19), [Outcome::Kept]);
    assert_eq!(outcomes(&mut || Model::under_test(None, Offer::CheckpointAlone), 19), [Outcome::NotOffered]);
    let pipe = || SinkUnderTest::new(PipeSink::new(Vec::new()), || None);
    assert_eq!(outcomes(&mut { pipe }, 5), [Outcome::NotOffered]);
    assert_eq!(outcomes(&mut { pipe }, 16), [Outcome::NotOffered]);
    let mut broken = || Model::under_test(Some(Defect::CapabilitiesChange), Offer::Kept);
    assert!(matches!(&outcomes(&mut broken, 17)[..], [Outcome::Broken(_)]));
    assert_eq!(report(&mut broken).len(), RULES.len());
}

#[test]
fn every_defect_is_caught_by_its_rule() {
    let defects = [
        (Defect::WritesGoByArrival, 3),
        (Defect::WriteShows, 5),
        (Defect::CommitShows, 6),
        (Defect::RollBackKeepsBytes, 7),
        (Defect::RollBackFails, 7),
        (Defect::RollBackAfterResumeEmpties, 7),
        (Defect::EmptyRollBackTakesASegment, 7),
        (Defect::SecondRollBackKeepsBytes, 7),
        (Defect::PublishIsShort, 8),
        (Defect::EmptyIsNotPublished, 8),
        (Defect::SecondSegmentIsLost, 8),
        (Defect::HolesAreZeros, 9),
        (Defect::BytesAreCounted, 9),
        (Defect::BytesAreCountedAfterResume, 9),
        (Defect::TailIsDroppedAfterResume, 9),
        (Defect::TailIsDropped, 9),
        (Defect::RefusalIsUnknown, 9),
        (Defect::RefusalEmptiesTarget, 9),
        (Defect::DiscardPublishes, 10),
        (Defect::DropPublishes, 13),
        (Defect::HandleLivesOn, 14),
        (Defect::InventsACommit, 15),
        (Defect::CapabilitiesChange, 17),
        (Defect::LeftoversCount, 9),
        (Defect::DiscardKeepsTheMark, 10),
        (Defect::PublishKeepsTheMark, 15),
        (Defect::MarkIsLost, 16),
        (Defect::CheckpointOutlivesItsBytes, 19),
        (Defect::MarkStaysBehind, 16),
        (Defect::AskingTakesTheMark, 16),
        (Defect::ResumeForgetsBytes, 18),
        (Defect::ResumeKeepsTheTail, 18),
        (Defect::ResumesAtTheCheckpointAlone, 18),
        (Defect::KeptIsShort, 19),
        (Defect::KeptIsAnothers, 19),
        (Defect::KeptHasNoEnd, 19),
        (Defect::ConfirmedAreZeros, 20),
        (Defect::ConfirmsAnything, 20),
        (Defect::ConfirmsNothing, 20),
        (Defect::ClaimsCount, 20),
        (Defect::HandsOnWhatIsNotProved, 21),
    ];
    for (defect, rule) in defects {
        let violations = check_all(&mut || Model::under_test(Some(defect), Offer::Kept));
        let caught = violations.iter().any(|violation| violation.rule == rule);
        assert!(caught, "{defect:?} is not caught by rule {rule}: {violations:#?}");
    }
}

#[test]
fn a_checkpoint_that_outlives_its_bytes_is_caught_also_where_a_proof_would_find_it() {
    let defect = Some(Defect::StartingOverKeepsTheMark);
    for offer in [Offer::CheckpointAlone, Offer::Kept] {
        let violations = check_all(&mut || Model::under_test(defect, offer));
        let rules: Vec<_> = violations.iter().map(|violation| violation.rule).collect();
        assert_eq!(rules, [18], "{violations:#?}");
    }
}

/// Without kept bytes nothing but the bytes that are published shows it.
#[test]
fn bytes_that_are_lost_under_a_durable_checkpoint_are_caught_where_nothing_can_be_read_back() {
    let violations = check_all(&mut || {
        Model::under_test(Some(Defect::CheckpointOutlivesItsBytes), Offer::CheckpointAlone)
    });
    assert!(violations.iter().any(|violation| violation.rule == 18), "{violations:#?}");
}
