//! The suite run on every sink of this crate, and on sinks that are broken on purpose.
//! Knows each defect by the rule that must catch it.

use std::{
    fs,
    io::{self, Write},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;

use super::*;
use crate::{
    Checkpoint, CommitError, Existing, MakeDurable, MemorySink, NullSink, PipeSink, PositionedWrite, Profile,
    StageOptions, StagedFile,
};

fn assert_kept(violations: &[Violation]) {
    assert!(violations.is_empty(), "{violations:#?}");
}

#[test]
fn the_memory_sink_keeps_the_contract() {
    assert_kept(&check_all(&mut || {
        let (sink, contents) = MemorySink::new();
        let published = OnceLock::new();
        Specimen::new(sink, move || {
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
            let existing = if old.is_some() { Existing::Replace } else { Existing::Refuse };
            let options = StageOptions { existing, expected_len: Some(100_000) };
            Specimen::new(StagedFile::create(&path, &options).unwrap(), move || fs::read(&path).ok())
        }));
        let names = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let left: Vec<_> = names.filter(|name| name.to_string_lossy().contains("staging")).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn the_pipe_keeps_the_contract_as_far_as_it_binds_a_sink_that_is_seen() {
    assert_kept(&check_all(&mut || {
        let out = SharedBuffer::default();
        let seen = out.clone();
        Specimen::new(PipeSink::new(out), move || Some(seen.0.lock().clone()))
    }));
}

#[test]
fn the_null_sink_keeps_every_rule_but_those_that_look_for_its_bytes() {
    let violations = check_all(&mut || Specimen::new(NullSink::new(), || None));
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
fn the_model_without_a_defect_keeps_the_contract() {
    assert_kept(&check_all(&mut || Model::specimen(None)));
}

#[test]
fn every_defect_is_caught_by_its_rule() {
    let defects = [
        (Defect::WritesGoByArrival, 3),
        (Defect::WriteShows, 5),
        (Defect::CommitShows, 6),
        (Defect::RollBackKeepsBytes, 7),
        (Defect::RollBackFails, 7),
        (Defect::PublishIsShort, 8),
        (Defect::EmptyIsNotPublished, 8),
        (Defect::SecondSegmentIsLost, 8),
        (Defect::HolesAreZeros, 9),
        (Defect::TailIsDropped, 9),
        (Defect::RefusalIsUnknown, 9),
        (Defect::RefusalEmptiesTarget, 9),
        (Defect::DiscardPublishes, 10),
        (Defect::DropPublishes, 13),
        (Defect::HandleLivesOn, 14),
        (Defect::InventsACommit, 15),
        (Defect::ProfileChanges, 17),
    ];
    for (defect, rule) in defects {
        let violations = check_all(&mut || Model::specimen(Some(defect)));
        let caught = violations.iter().any(|violation| violation.rule == rule);
        assert!(caught, "{defect:?} is not caught by rule {rule}: {violations:#?}");
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Defect {
    WritesGoByArrival,
    WriteShows,
    CommitShows,
    RollBackKeepsBytes,
    RollBackFails,
    PublishIsShort,
    EmptyIsNotPublished,
    SecondSegmentIsLost,
    HolesAreZeros,
    TailIsDropped,
    RefusalIsUnknown,
    RefusalEmptiesTarget,
    DiscardPublishes,
    DropPublishes,
    HandleLivesOn,
    InventsACommit,
    ProfileChanges,
}

/// The simplest sink there is: a byte is there or not, and publish wants all of them.
struct Model {
    inner: Arc<Inner>,
    segment_start: usize,
    segments: u64,
    defect: Option<Defect>,
}

#[derive(Default)]
struct Inner {
    staged: Mutex<Vec<Option<u8>>>,
    target: Mutex<Option<Vec<u8>>>,
    closed: Mutex<bool>,
    defect: Option<Defect>,
}

impl Model {
    fn specimen(defect: Option<Defect>) -> Specimen {
        let inner = Arc::new(Inner { defect, target: Mutex::new(Some(b"old".into())), ..Inner::default() });
        let seen = inner.clone();
        Specimen::new(Self { inner, segment_start: 0, segments: 0, defect }, move || {
            seen.target.lock().clone()
        })
    }

    fn has(&self, defect: Defect) -> bool {
        self.defect == Some(defect)
    }
}

impl Inner {
    fn show(&self) {
        *self.target.lock() = Some(self.staged.lock().iter().map(|byte| byte.unwrap_or(0)).collect());
    }
}

impl PositionedWrite for Inner {
    fn write_at(&self, at: u64, data: &[u8]) -> io::Result<()> {
        if *self.closed.lock() && self.defect != Some(Defect::HandleLivesOn) {
            return Err(io::Error::other("closed"));
        }
        let mut staged = self.staged.lock();
        let at = match self.defect {
            Some(Defect::WritesGoByArrival) => staged.len(),
            _ => usize::try_from(at).unwrap(),
        };
        if staged.len() < at + data.len() {
            staged.resize(at + data.len(), None);
        }
        for (place, byte) in staged[at..].iter_mut().zip(data) {
            *place = Some(*byte);
        }
        drop(staged);
        if self.defect == Some(Defect::WriteShows) {
            self.show();
        }
        Ok(())
    }
}

impl StreamingSink for Model {
    fn profile(&self) -> Profile {
        let changed = self.has(Defect::ProfileChanges) && self.segments > 0;
        Profile { visibility: Visibility::Private, reserve_bytes: usize::from(changed) }
    }

    fn last_commit(&mut self) -> io::Result<Option<Checkpoint>> {
        Ok(self.has(Defect::InventsACommit).then(mark))
    }

    fn begin_segment(&mut self, _index: u64, at: u64) -> io::Result<()> {
        self.segment_start = usize::try_from(at).unwrap();
        Ok(())
    }

    fn write_tentative(&mut self, at: u64, data: &[u8]) -> io::Result<()> {
        self.inner.write_at(at, data)
    }

    fn rollback_segment(&mut self) -> io::Result<()> {
        if self.has(Defect::RollBackFails) {
            return Err(io::Error::other("cannot"));
        }
        if !self.has(Defect::RollBackKeepsBytes) {
            self.inner.staged.lock().truncate(self.segment_start);
        }
        Ok(())
    }

    fn commit_segment(&mut self, _mark: &Checkpoint) -> Result<(), CommitError> {
        self.segments += 1;
        if self.has(Defect::SecondSegmentIsLost) && self.segments == 2 {
            self.inner.staged.lock()[self.segment_start..].fill(Some(0));
        }
        if self.has(Defect::CommitShows) {
            self.inner.show();
        }
        Ok(())
    }

    fn publish(&mut self, plain_len: u64) -> Result<(), CommitError> {
        let len = usize::try_from(plain_len).unwrap();
        let mut staged = self.inner.staged.lock();
        if self.has(Defect::HolesAreZeros) && staged.len() <= len {
            staged.resize(len, Some(0));
            staged.iter_mut().for_each(|byte| *byte = byte.or(Some(0)));
        }
        if self.has(Defect::TailIsDropped) {
            staged.truncate(len);
        }
        let complete = staged.len() == len && staged.iter().all(Option::is_some);
        if !complete {
            if self.has(Defect::RefusalEmptiesTarget) {
                *self.inner.target.lock() = None;
            }
            let error = io::Error::other("not what was written");
            return Err(match self.has(Defect::RefusalIsUnknown) {
                true => CommitError::Unknown(error),
                false => CommitError::NotCommitted(error),
            });
        }
        if self.has(Defect::PublishIsShort) {
            staged.pop();
        }
        drop(staged);
        if len > 0 || !self.has(Defect::EmptyIsNotPublished) {
            self.inner.show();
        }
        *self.inner.closed.lock() = true;
        Ok(())
    }

    fn discard(&mut self) -> io::Result<()> {
        if self.has(Defect::DiscardPublishes) {
            self.inner.show();
        }
        *self.inner.closed.lock() = true;
        Ok(())
    }

    fn positioned(&self) -> Option<Arc<dyn PositionedWrite>> {
        Some(self.inner.clone())
    }

    fn durability(&self) -> Option<Arc<dyn MakeDurable>> {
        None
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        if self.has(Defect::DropPublishes) {
            self.inner.show();
        }
        *self.inner.closed.lock() = true;
    }
}
