//! What has committed is made durable when the policy says so, beside the stream, and reported durable only then.
//! It knows no disk: a disk here notes the checkpoints that it was asked to make durable, and takes as long as the test wants.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, ThreadId};
use std::time::Duration;

use contract::{Checkpoint, Durability, SyncTo};
use frame_worker::Closing;
use parking_lot::Mutex;
use segment_worker::{Buffers, Committed, Feed, ReleasePolicy, Step, StreamEnd, StreamError};

use crate::support::*;

/// Makes a probe's commits durable; `on_sync` is told of each checkpoint, and decides when and whether that succeeds.
struct Disk {
    report: Report,
    syncs: Mutex<Vec<StartedSync>>,
    running: AtomicU64,
    on_sync: Box<dyn Fn(u64) -> io::Result<()> + Send + Sync>,
}

/// One sync, as it began.
#[derive(Clone, Copy)]
struct StartedSync {
    checkpoint: u64,
    committed: u64,
    published: bool,
    thread: ThreadId,
}

impl Disk {
    /// Gives `probe` a disk.
    fn under(
        probe: &mut Probe,
        report: &Report,
        on_sync: impl Fn(u64) -> io::Result<()> + Send + Sync + 'static,
    ) -> Arc<Disk> {
        let disk = Arc::new(Disk {
            report: report.clone(),
            syncs: Mutex::default(),
            running: AtomicU64::new(0),
            on_sync: Box::new(on_sync),
        });
        probe.durability = Some(disk.clone());
        disk
    }

    fn checkpoints(&self) -> Vec<u64> {
        self.syncs.lock().iter().map(|sync| sync.checkpoint).collect()
    }

    /// What holds of every stream that has returned: it synced on one thread, which is not its own; no checkpoint was newer
    /// than what had committed, or older than one before; none came after the publish, and none is running.
    fn assert_over(&self) {
        let syncs = self.syncs.lock();
        assert_eq!(self.running.load(Ordering::SeqCst), 0, "a sync that runs is waited for");
        assert!(syncs.is_sorted_by(|one, next| one.checkpoint < next.checkpoint), "checkpoints go forward");
        for sync in &*syncs {
            assert!(
                sync.checkpoint <= sync.committed,
                "checkpoint {} when {} had committed",
                sync.checkpoint,
                sync.committed
            );
            assert!(!sync.published, "the sync thread has ended before the publish");
        }
        let threads: Vec<_> = syncs.iter().map(|sync| sync.thread).collect();
        assert!(threads.windows(2).all(|two| two[0] == two[1]), "one thread syncs");
        assert!(!threads.contains(&thread::current().id()), "and it is not the stream's");
    }
}

impl SyncTo for Disk {
    fn make_durable(&self, checkpoint: &Checkpoint) -> io::Result<()> {
        self.running.fetch_add(1, Ordering::SeqCst);
        let checkpoint = u64::from_le_bytes(checkpoint.to_bytes()[..8].try_into().unwrap());
        let published = self.report.count(Call::Publish) > 0;
        let committed = self.report.commits();
        self.syncs.lock().push(StartedSync {
            checkpoint,
            committed,
            published,
            thread: thread::current().id(),
        });
        let result = (self.on_sync)(checkpoint);
        self.running.fetch_sub(1, Ordering::SeqCst);
        result
    }
}

/// A channel whose ends a sink may hold.
fn signal() -> (Sender<()>, Mutex<Receiver<()>>) {
    let (sender, receiver) = channel();
    (sender, Mutex::new(receiver))
}

/// A day is longer than any stream here.
fn groups_of(segments: usize) -> Durability {
    let interval = Duration::from_secs(86_400);
    Durability::Group { bytes: (segments * SEGMENT) as u64, interval }
}

fn fixture(durability: Durability) -> Fixture {
    Fixture { durability, ..Fixture::new(&Workers::Inline) }
}

/// What came of five segments: the checkpoints made durable, and in each report the segments committed and durable.
struct Outcome {
    checkpoints: Vec<u64>,
    reports: Vec<(u64, u64)>,
}

/// Opens five segments under `durability` on every kind of sink, and waits after each commit in `awaited` until a sync
/// has begun.
fn open_five(durability: Durability, awaited: &'static [u64]) -> [Outcome; 3] {
    let open = move |kind| {
        let stream = Stream::sealed_from(&plaintext(5 * SEGMENT));
        let (mut sink, report) = Probe::new(kind);
        let (began, begin) = signal();
        let disk = Disk::under(&mut sink, &report, move |_| {
            let _ = began.send(());
            Ok(())
        });
        let mut seen = Vec::new();
        let mut observe = |at: &Committed| {
            let news = (at.segments, at.durable_len / SEGMENT as u64);
            let commit = seen.last().is_none_or(|(segments, _)| *segments < at.segments);
            seen.push(news);
            if commit && awaited.contains(&at.segments) {
                begin.lock().recv().unwrap();
            }
        };
        let feed = &mut OpenFeed::new(&stream, Supply::Bytes);
        fixture(durability).open_observed(feed, sink, &mut observe).unwrap();
        assert_eq!(report.published().unwrap(), plaintext(5 * SEGMENT));
        disk.assert_over();
        Outcome { checkpoints: disk.checkpoints(), reports: seen }
    };
    unless_it_hangs(move || Kind::ALL.map(open))
}

#[test]
fn each_segment_is_durable_before_it_is_reported() {
    for Outcome { checkpoints, reports } in open_five(Durability::Each, &[]) {
        assert_eq!(checkpoints, [1, 2, 3, 4, 5]);
        assert_eq!(reports, [1, 2, 3, 4, 5].map(|segments| (segments, segments)));
    }
}

#[test]
fn a_group_is_made_durable_when_it_is_full() {
    for Outcome { checkpoints, reports } in open_five(groups_of(2), &[2, 4]) {
        assert_eq!(checkpoints, [2, 4]);
        assert!(reports.iter().all(|(_, durable)| [0, 2, 4].contains(durable)), "{reports:?}");
    }
}

#[test]
fn a_group_is_made_durable_when_its_time_has_come() {
    let at_once = Durability::Group { bytes: u64::MAX, interval: Duration::ZERO };
    for Outcome { checkpoints, .. } in open_five(at_once, &[1, 2, 3, 4, 5]) {
        assert_eq!(checkpoints, [1, 2, 3, 4, 5]);
    }
}

#[test]
fn at_the_finish_means_not_before() {
    for Outcome { checkpoints, reports } in open_five(Durability::AtFinish, &[]) {
        assert_eq!(checkpoints, []);
        assert_eq!(reports, [1, 2, 3, 4, 5].map(|segments| (segments, 0)));
    }
}

#[test]
fn commits_go_on_beside_a_sync_until_two_groups_are_behind() {
    unless_it_hangs(|| {
        let stream = Stream::sealed_from(&plaintext(9 * SEGMENT));
        let (fourth, fourth_came) = signal();
        let (mut sink, report) = Probe::watched(Kind::Positioned, move |event| {
            if (event.call, event.nth) == (Call::Commit, 3) {
                fourth.send(()).unwrap();
            }
            Ok(())
        });
        let (began, begin) = signal();
        let disk = Disk::under(&mut sink, &report, move |checkpoint| {
            if checkpoint == 2 {
                began.send(()).unwrap();
                fourth_came.lock().recv().unwrap();
            }
            Ok(())
        });
        let mut observe = |at: &Committed| {
            if (at.segments, at.durable_len) == (2, 0) {
                begin.lock().recv().unwrap();
            }
            let behind = at.sink_len - at.durable_len;
            assert!(behind < 4 * SEGMENT as u64, "{behind} bytes behind after {}", at.segments);
        };
        let feed = &mut OpenFeed::new(&stream, Supply::Bytes);
        fixture(groups_of(2)).open_observed(feed, sink, &mut observe).unwrap();
        assert_eq!(disk.checkpoints()[0], 2);
        disk.assert_over();
    });
}

/// A feed whose source brings nothing until `goes_on` is set.
struct Idle<'a> {
    feed: OpenFeed<'a>,
    steps: usize,
    goes_on: &'a AtomicU64,
}

impl Feed for Idle<'_> {
    type Error = FeedFailed;

    fn next(&mut self, buffers: &Buffers) -> Result<Step<Closing, ()>, FeedFailed> {
        if self.steps == 0 && self.goes_on.load(Ordering::SeqCst) == 0 {
            thread::yield_now();
            return Ok(Step::NothingYet);
        }
        self.steps = self.steps.saturating_sub(1);
        self.feed.next(buffers)
    }

    fn end(&mut self) -> Result<StreamEnd, FeedFailed> {
        self.feed.end()
    }
}

#[test]
fn what_has_committed_becomes_durable_and_is_reported_while_the_source_idles() {
    unless_it_hangs(|| {
        let stream = Stream::sealed_from(&plaintext(2 * SEGMENT));
        let (mut sink, report) = Probe::new(Kind::Positioned);
        let disk = Disk::under(&mut sink, &report, |_| Ok(()));
        let durable = AtomicU64::new(0);
        // Nothing, begin, the runs, close: one segment commits, and then nothing comes until it is durable.
        let steps = 3 + RUNS_PER_SEGMENT;
        let feed = OpenFeed::new(&stream, Supply::Bytes);
        let mut feed = Idle { feed, steps, goes_on: &durable };
        let soon = Durability::Group { bytes: u64::MAX, interval: Duration::from_millis(5) };
        let mut observe = |at: &Committed| {
            assert!(at.segments == 1 || at.durable_len > 0, "the source waits for the first segment");
            durable.store(at.durable_len, Ordering::SeqCst);
        };
        fixture(soon).open_observed(&mut feed, sink, &mut observe).unwrap();
        assert_eq!(disk.checkpoints()[0], 1);
        disk.assert_over();
    });
}

#[test]
fn a_sync_that_fails_ends_the_stream_unpublished_and_is_not_tried_again() {
    for durability in [Durability::Each, groups_of(1)] {
        for panics in [false, true] {
            unless_it_hangs(move || {
                let stream = Stream::sealed_from(&plaintext(7 * SEGMENT));
                let (mut sink, report) = Probe::new(Kind::Positioned);
                let disk = Disk::under(&mut sink, &report, move |checkpoint| match checkpoint {
                    1 | 2 => Ok(()),
                    _ if panics => panic!("on purpose: the disk is gone"),
                    _ => Err(io::Error::other("the disk is gone")),
                });
                let mut reported = 0;
                let feed = &mut OpenFeed::new(&stream, Supply::Bytes);
                let error = fixture(durability)
                    .open_observed(feed, sink, &mut |at| reported = at.segments)
                    .unwrap_err();
                let failed = *disk.checkpoints().last().unwrap();
                assert!(
                    matches!(error, StreamError::Sink { segment, .. } if segment.0 == failed - 1),
                    "{error:?}"
                );
                assert_eq!(
                    disk.checkpoints().iter().filter(|checkpoint| **checkpoint > 2).count(),
                    1,
                    "the first failure is final"
                );
                assert_eq!(reported, report.commits(), "also the commit whose sync failed is reported");
                report.assert_unpublished();
            });
        }
    }
}

#[test]
fn a_sync_that_fails_beside_the_last_commit_keeps_the_stream_from_being_published() {
    unless_it_hangs(|| {
        let stream = Stream::sealed_from(&plaintext(3 * SEGMENT));
        let (last, last_came) = signal();
        let (mut sink, report) = Probe::watched(Kind::Positioned, move |event| {
            if (event.call, event.nth) == (Call::Commit, 2) {
                last.send(()).unwrap();
            }
            Ok(())
        });
        let (began, begin) = signal();
        let disk = Disk::under(&mut sink, &report, move |_| {
            began.send(()).unwrap();
            last_came.lock().recv().unwrap();
            // The others have every chance to go on without it.
            give_way(1000);
            Err(io::Error::other("the disk is gone"))
        });
        let mut observe = |at: &Committed| {
            if at.segments == 2 {
                begin.lock().recv().unwrap();
            }
        };
        let feed = &mut OpenFeed::new(&stream, Supply::Bytes);
        let error = fixture(groups_of(2)).open_observed(feed, sink, &mut observe).unwrap_err();
        assert!(matches!(error, StreamError::Sink { segment, .. } if segment.0 == 1), "{error:?}");
        assert_eq!(disk.checkpoints(), [2]);
        report.assert_unpublished();
    });
}

#[test]
fn a_sync_that_fails_while_a_segment_is_open_is_followed_by_no_roll_back() {
    unless_it_hangs(|| {
        let stream = Stream::sealed_from(&plaintext(9 * SEGMENT));
        let (third, third_came) = signal();
        let (mut sink, report) = Probe::watched(Kind::Ordered, move |event| {
            match (event.call, event.nth) {
                (Call::Begin, 2) => third.send(()).unwrap(),
                // Time for the sync to fail before the next write.
                (Call::Write, _) => give_way(1000),
                _ => {}
            }
            Ok(())
        });
        let (began, begin) = signal();
        let disk = Disk::under(&mut sink, &report, move |_| {
            began.send(()).unwrap();
            third_came.lock().recv().unwrap();
            Err(io::Error::other("the disk is gone"))
        });
        let mut observe = |at: &Committed| {
            if at.segments == 2 {
                begin.lock().recv().unwrap();
            }
        };
        let feed = &mut OpenFeed::new(&stream, Supply::Bytes);
        let error = fixture(groups_of(2)).open_observed(feed, sink, &mut observe).unwrap_err();
        assert!(matches!(error, StreamError::Sink { segment, .. } if segment.0 == 1), "{error:?}");
        assert_eq!((disk.checkpoints(), report.count(Call::RollBack)), (vec![2], 0));
        report.assert_unpublished();
    });
}

#[test]
fn a_sync_that_runs_beside_the_last_commit_is_waited_for_before_the_publish() {
    unless_it_hangs(|| {
        let stream = Stream::sealed_from(&plaintext(3 * SEGMENT));
        let (last, last_came) = signal();
        let (ended, end) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let ended_by_then = ended.clone();
        let at_publish = end.clone();
        let (mut sink, report) = Probe::watched(Kind::Positioned, move |event| {
            match (event.call, event.nth) {
                (Call::Commit, 2) => last.send(()).unwrap(),
                (Call::Publish, _) => {
                    at_publish.store(ended_by_then.load(Ordering::SeqCst), Ordering::SeqCst)
                }
                _ => {}
            }
            Ok(())
        });
        let (began, begin) = signal();
        let disk = Disk::under(&mut sink, &report, move |_| {
            began.send(()).unwrap();
            last_came.lock().recv().unwrap();
            give_way(1000);
            ended.fetch_add(1, Ordering::SeqCst);
            Ok(())
        });
        let mut reported = 0;
        let mut observe = |at: &Committed| {
            if at.segments == 2 {
                begin.lock().recv().unwrap();
            }
            reported = at.durable_len;
        };
        let feed = &mut OpenFeed::new(&stream, Supply::Bytes);
        fixture(groups_of(2)).open_observed(feed, sink, &mut observe).unwrap();
        assert_eq!((disk.checkpoints(), end.load(Ordering::SeqCst)), (vec![2], 1));
        assert_eq!(reported, 2 * SEGMENT as u64, "what it made durable is reported");
        disk.assert_over();
    });
}

#[test]
fn a_sync_that_runs_when_the_stream_fails_is_waited_for_and_reported() {
    unless_it_hangs(|| {
        let stream = Stream::sealed_from(&plaintext(4 * SEGMENT));
        let (mut sink, report) = Probe::new(Kind::Ordered);
        let (began, begin) = signal();
        let (fails, failing) = signal();
        let disk = Disk::under(&mut sink, &report, move |_| {
            began.send(()).unwrap();
            failing.lock().recv().unwrap();
            give_way(1000);
            Ok(())
        });
        let mut feed = OpenFeed::new(&stream, Supply::Bytes).failing_before(2).telling(|call| {
            // The call that fails: nothing, then two segments of begin, runs and close.
            if call == 1 + 2 * (2 + RUNS_PER_SEGMENT) {
                begin.lock().recv().unwrap();
                fails.send(()).unwrap();
            }
            Ok(())
        });
        let mut reported = (0, 0);
        let mut observe = |at: &Committed| reported = (at.segments, at.durable_len);
        let error = fixture(groups_of(2)).open_observed(&mut feed, sink, &mut observe).unwrap_err();
        assert!(matches!(error, StreamError::Feed(FeedFailed)), "{error:?}");
        assert_eq!((disk.checkpoints(), reported), (vec![2], (2, 2 * SEGMENT as u64)));
        disk.assert_over();
        report.assert_unpublished();
    });
}

#[test]
fn no_sync_begins_after_a_cancel_and_one_that_runs_is_the_last() {
    for while_syncing in [false, true] {
        unless_it_hangs(move || {
            let stream = Stream::sealed_from(&plaintext(4 * SEGMENT));
            let fixture = fixture(Durability::Each);
            let (at_commit, at_sync) = (fixture.cancel.clone(), fixture.cancel.clone());
            let (mut sink, report) = Probe::watched(Kind::Positioned, move |event| {
                if !while_syncing && (event.call, event.nth) == (Call::Commit, 1) {
                    at_commit.cancel();
                }
                Ok(())
            });
            let disk = Disk::under(&mut sink, &report, move |checkpoint| {
                if while_syncing && checkpoint == 2 {
                    at_sync.cancel();
                }
                Ok(())
            });
            let mut reported = (0, 0);
            let mut observe = |at: &Committed| reported = (at.segments, at.durable_len / SEGMENT as u64);
            let feed = &mut OpenFeed::new(&stream, Supply::Bytes);
            let error = fixture.open_observed(feed, sink, &mut observe).unwrap_err();
            assert!(matches!(error, StreamError::Cancelled), "{error:?}");
            let durable = if while_syncing { 2 } else { 1 };
            assert_eq!((reported, *disk.checkpoints().last().unwrap()), ((2, durable), durable));
            disk.assert_over();
            report.assert_unpublished();
        });
    }
}

#[test]
fn a_stream_that_goes_on_counts_its_groups_from_what_is_durable() {
    unless_it_hangs(|| {
        let stream = Stream::sealed_from(&plaintext(5 * SEGMENT));
        let (sink, _) = Probe::new(Kind::Positioned);
        let mut start = Fixture::new(&Workers::Inline).start;
        let feed = &mut OpenFeed::new(&stream, Supply::Bytes).failing_before(2);
        fixture(Durability::AtFinish).open_observed(feed, sink, &mut |at| start = *at).unwrap_err();
        start.durable_len = start.sink_len;

        let (sink, report) = Probe::new(Kind::Positioned);
        let mut sink = sink.going_on_behind(2, start.sink_len);
        let (began, begin) = signal();
        let disk = Disk::under(&mut sink, &report, move |_| {
            began.send(()).unwrap();
            Ok(())
        });
        let mut seen = Vec::new();
        let mut observe = |at: &Committed| {
            if at.segments == 4 && seen.len() == 1 {
                begin.lock().recv().unwrap();
            }
            seen.push(at.durable_len / SEGMENT as u64);
        };
        let feed = &mut OpenFeed::new(&stream, Supply::Bytes).going_on_with(2);
        fixture(groups_of(2)).going_on_at(start).open_observed(feed, sink, &mut observe).unwrap();
        assert_eq!((disk.checkpoints(), seen[0]), (vec![4], 2));
    });
}

#[test]
fn a_sealed_stream_is_made_durable_in_the_same_way() {
    let text = plaintext(5 * SEGMENT);
    for kind in [Kind::Positioned, Kind::Ordered] {
        let (mut sink, report) = Probe::new(kind);
        let disk = Disk::under(&mut sink, &report, |_| Ok(()));
        let mut seen = Vec::new();
        let feed = &mut SealFeed::new(&text, Supply::Bytes);
        fixture(Durability::Each).seal_observed(feed, sink, &mut |at| seen.push(*at)).unwrap();
        assert_eq!(disk.checkpoints(), [1, 2, 3, 4, 5]);
        assert!(seen.iter().all(|at| at.durable_len == at.sink_len), "{seen:?}");
        disk.assert_over();
    }
}

#[test]
fn callers_on_a_pool_of_one_wait_for_their_sync_threads() {
    unless_it_hangs(|| {
        let workers = Workers::pool(1);
        let (sender, receiver) = channel();
        for durability in [Durability::Each, groups_of(1), groups_of(3)] {
            for release in [ReleasePolicy::AtOnce, ReleasePolicy::AfterDigest] {
                let stream = Stream::sealed_from(&plaintext(7 * SEGMENT));
                let fixture = Fixture { durability, ..Fixture::new(&workers).releasing(release) };
                let sender = sender.clone();
                workers.spawn(move || {
                    let (mut sink, report) = Probe::new(Kind::Positioned);
                    let disk = Disk::under(&mut sink, &report, |_| Ok(()));
                    fixture.open(&mut OpenFeed::new(&stream, Supply::Place), sink).unwrap();
                    disk.assert_over();
                    sender.send(()).unwrap();
                });
            }
        }
        drop(sender);
        assert_eq!(receiver.iter().count(), 6);
    });
}

#[test]
fn a_sink_that_has_no_such_step_is_called_on_the_streams_thread_alone() {
    let stream = Stream::sealed_from(&plaintext(3 * SEGMENT));
    for kind in Kind::ALL {
        let threads = Arc::new(Mutex::new(BTreeSet::new()));
        let noted = threads.clone();
        let (sink, _) = Probe::watched(kind, move |_| {
            noted.lock().insert(format!("{:?}", thread::current().id()));
            Ok(())
        });
        fixture(Durability::Each).open(&mut OpenFeed::new(&stream, Supply::Bytes), sink).unwrap();
        assert_eq!(*threads.lock(), BTreeSet::from([format!("{:?}", thread::current().id())]));
    }
}
