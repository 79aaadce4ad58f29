//! What has committed is made durable when the policy says so, and reported durable only then.
//! It knows no disk: a sink here notes the marks that it was asked to make durable.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use segment_worker::StreamError;
use sinks::{Checkpoint, CommitError, Durability, MakeDurable, PositionedWrite, Profile, StreamingSink};

use crate::support::*;

/// A sink that can be made durable, up to the `fails_at`-th time.
struct Lasting {
    probe: Probe,
    disk: Arc<Disk>,
}

#[derive(Default)]
struct Disk {
    marks: Mutex<Vec<u64>>,
    fails_at: Option<usize>,
}

impl MakeDurable for Disk {
    fn make_durable(&self, mark: &Checkpoint) -> io::Result<()> {
        let mut marks = self.marks.lock();
        if self.fails_at == Some(marks.len()) {
            return Err(io::Error::other("the disk is gone"));
        }
        marks.push(u64::from_le_bytes(mark.to_bytes()[..8].try_into().unwrap()));
        Ok(())
    }
}

impl StreamingSink for Lasting {
    fn profile(&self) -> Profile {
        self.probe.profile()
    }
    fn last_commit(&mut self) -> io::Result<Option<Checkpoint>> {
        self.probe.last_commit()
    }
    fn begin_segment(&mut self, index: u64, at: u64) -> io::Result<()> {
        self.probe.begin_segment(index, at)
    }
    fn write_tentative(&mut self, at: u64, data: &[u8]) -> io::Result<()> {
        self.probe.write_tentative(at, data)
    }
    fn rollback_segment(&mut self) -> io::Result<()> {
        self.probe.rollback_segment()
    }
    fn commit_segment(&mut self, mark: &Checkpoint) -> Result<(), CommitError> {
        self.probe.commit_segment(mark)
    }
    fn publish(&mut self, plaintext_len: u64) -> Result<(), CommitError> {
        self.probe.publish(plaintext_len)
    }
    fn discard(&mut self) -> io::Result<()> {
        self.probe.discard()
    }
    fn positioned(&self) -> Option<Arc<dyn PositionedWrite>> {
        self.probe.positioned()
    }
    fn durability(&self) -> Option<Arc<dyn MakeDurable>> {
        Some(self.disk.clone())
    }
}

/// Opens five segments under `durability`. Gives the marks made durable, and each commit with the bytes durable then.
fn open_five(durability: Durability) -> (Vec<u64>, Vec<(u64, u64)>) {
    let stream = Stream::sealed_from(&plaintext(5 * SEGMENT));
    let disk = Arc::new(Disk::default());
    let mut seen = Vec::new();
    for kind in Kind::ALL {
        disk.marks.lock().clear();
        seen.clear();
        let scene = Scene { durability, ..Scene::new(&Workers::Inline) };
        let (probe, report) = Probe::new(kind);
        let sink = Lasting { probe, disk: disk.clone() };
        let mut observe =
            |committed: &segment_worker::Committed| seen.push((committed.segments, committed.durable_len));
        scene.open_observed(&mut OpenFeed::new(&stream, Supply::Bytes), sink, &mut observe).unwrap();
        assert_eq!(report.published().unwrap(), plaintext(5 * SEGMENT));
    }
    let marks = disk.marks.lock().clone();
    (marks, seen)
}

#[test]
fn each_segment_is_durable_before_it_is_reported() {
    let segment = SEGMENT as u64;
    let (marks, seen) = open_five(Durability::Each);
    assert_eq!(marks, [1, 2, 3, 4, 5]);
    assert_eq!(seen, [1, 2, 3, 4, 5].map(|segments| (segments, segments * segment)));
}

#[test]
fn a_group_is_durable_when_it_is_full() {
    let segment = SEGMENT as u64;
    let day = Duration::from_secs(86_400);
    let (marks, seen) = open_five(Durability::Group { bytes: 2 * segment, interval: day });
    assert_eq!(marks, [2, 4]);
    assert_eq!(seen.iter().map(|(_, durable)| durable / segment).collect::<Vec<_>>(), [0, 2, 2, 4, 4]);
    let (marks, _) = open_five(Durability::Group { bytes: u64::MAX, interval: Duration::ZERO });
    assert_eq!(marks, [1, 2, 3, 4, 5]);
}

#[test]
fn at_the_finish_means_not_before() {
    let (marks, seen) = open_five(Durability::AtFinish);
    assert_eq!(marks, []);
    assert!(seen.iter().all(|(_, durable)| *durable == 0));
}

#[test]
fn a_sync_that_fails_ends_the_stream_unpublished() {
    let stream = Stream::sealed_from(&plaintext(5 * SEGMENT));
    let disk = Arc::new(Disk { fails_at: Some(2), ..Disk::default() });
    let scene = Scene { durability: Durability::Each, ..Scene::new(&Workers::Inline) };
    let (probe, report) = Probe::new(Kind::Positioned);
    let sink = Lasting { probe, disk: disk.clone() };
    let error = scene.open(&mut OpenFeed::new(&stream, Supply::Bytes), sink).unwrap_err();
    assert!(matches!(error, StreamError::Sink { segment, .. } if segment.0 == 2), "{error:?}");
    report.assert_unpublished();
    assert_eq!(*disk.marks.lock(), [1, 2]);
}
