//! Every fault of a sink, of the input and of single frames becomes the error that names it, the first in the input
//! first; nothing is published, nothing runs on. Faults of whole segments are in `structure`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::{io, panic};

use contract::CommitError;
use frame_worker::{FrameError, FrameIndex, SegmentIndex};
use parking_lot::{Condvar, Mutex};
use segment_worker::{ReleasePolicy, StreamError};

use crate::support::*;

fn stream() -> Stream {
    Stream::sealed_from(&plaintext(2 * SEGMENT + 2 * FRAME + 1))
}

fn disk_full() -> io::Error {
    io::Error::from(io::ErrorKind::StorageFull)
}

/// Unwinds as a panic does, without a report on standard error.
fn panics() {
    panic::resume_unwind(Box::new("injected"));
}

#[test]
fn a_job_that_panics_in_any_write_is_an_error_that_names_its_segment() {
    let stream = stream();
    for workers in all_workers() {
        for write in 0..stream.run_count() {
            let segment = Arc::new(Mutex::new(None));
            let (sink, report) = Probe::watched(Kind::Positioned, {
                let segment = segment.clone();
                move |event| {
                    if event.call == Call::Write && event.nth == write {
                        *segment.lock() = Some(SegmentIndex(event.at / SEGMENT as u64));
                        panics();
                    }
                    Ok(())
                }
            });
            let error =
                Fixture::new(&workers).open(&mut OpenFeed::new(&stream, Supply::Bytes), sink).unwrap_err();
            let StreamError::Panicked { segment: named } = error else { panic!("{error:?}") };
            assert_eq!(Some(named), *segment.lock());
            report.assert_unpublished();
        }
    }
}

#[test]
fn a_job_that_panics_in_any_read_is_an_error_that_names_its_segment() {
    let stream = stream();
    for run in stream.parts.iter().flat_map(|part| part.runs()) {
        let segment = (run.plaintext_at / SEGMENT) as u64;
        let feed = || {
            let wire = Wire::watched(stream.wire.clone(), move |_, offset| {
                if offset == run.wire_at as u64 {
                    panics();
                }
            });
            OpenFeed::over(&stream, wire, Supply::Place)
        };
        fails_everywhere(feed, |error, commits| {
            let StreamError::Panicked { segment: named } = error else { panic!("{error:?}") };
            assert_eq!(named, SegmentIndex(segment));
            assert!(commits <= segment);
        });
    }
}

#[test]
fn a_sink_that_fails_in_any_write_is_told_nothing_more() {
    let stream = stream();
    for workers in all_workers() {
        for kind in Kind::ALL {
            for write in 0..stream.run_count() {
                let segment = Arc::new(Mutex::new(None));
                let (sink, report) = Probe::watched(kind, {
                    let segment = segment.clone();
                    move |event| {
                        if event.call == Call::Write && event.nth == write {
                            *segment.lock() = Some(SegmentIndex(event.at / SEGMENT as u64));
                            return Err(disk_full());
                        }
                        Ok(())
                    }
                });
                let error = Fixture::new(&workers)
                    .open(&mut OpenFeed::new(&stream, Supply::Place), sink)
                    .unwrap_err();
                let StreamError::Sink { segment: named, source } = error else { panic!("{error:?}") };
                assert_eq!((Some(named), source.kind()), (*segment.lock(), io::ErrorKind::StorageFull));
                report.assert_unpublished();
                if kind != Kind::Positioned {
                    assert_eq!(report.log().last(), Some(&Call::Write), "no roll back either");
                }
            }
        }
    }
}

#[test]
fn a_sink_that_fails_to_begin_commit_or_publish_is_told_nothing_more() {
    let stream = stream();
    for workers in all_workers() {
        for kind in Kind::ALL {
            for call in [Call::Begin, Call::Commit, Call::Publish] {
                for nth in 0..if call == Call::Publish { 1 } else { 3 } {
                    if (kind, call) == (Kind::Positioned, Call::Begin) {
                        continue;
                    }
                    let (sink, report) = Probe::watched(kind, move |event| {
                        if (event.call, event.nth) == (call, nth) { Err(disk_full()) } else { Ok(()) }
                    });
                    let mut feed = OpenFeed::new(&stream, Supply::Bytes);
                    let error = Fixture::new(&workers).open(&mut feed, sink).unwrap_err();
                    match (call, error) {
                        (Call::Begin, StreamError::Sink { segment, .. }) => assert_eq!(segment.0, nth as u64),
                        (
                            Call::Commit,
                            StreamError::Commit { segment, source: CommitError::NotCommitted(_) },
                        ) => {
                            assert_eq!(segment.0, nth as u64);
                        }
                        (Call::Publish, StreamError::Publish(CommitError::NotCommitted(_))) => {}
                        (_, error) => panic!("{call:?} {nth}: {error:?}"),
                    }
                    report.assert_unpublished();
                    assert_eq!(report.commits(), if call == Call::Publish { 3 } else { nth as u64 });
                    if kind != Kind::Positioned {
                        assert_eq!(report.log().last(), Some(&call));
                    }
                }
            }
        }
    }
}

#[test]
fn a_damaged_frame_is_named_wherever_it_is() {
    let stream = stream();
    for (segment, frame, at) in stream.frames() {
        let mut damaged = stream.clone();
        damaged.wire[at] ^= 1;
        for supply in [Supply::Bytes, Supply::Place, Supply::PlaceWithEdges] {
            fails_everywhere(
                || OpenFeed::new(&damaged, supply),
                |error, commits| {
                    let run = stream.parts[segment as usize].runs()[frame as usize * FRAME / RUN];
                    let StreamError::Frame { segment: named, first, offset, source } = error else {
                        panic!("{error:?}")
                    };
                    assert_eq!((named.0, first.0, offset), (segment, run.first, run.wire_at as u64));
                    assert_eq!(source, FrameError::Authentication { frame: FrameIndex(frame) });
                    assert!(commits <= segment);
                },
            );
        }
    }
}

#[test]
fn of_two_damaged_frames_the_earlier_one_is_named() {
    let stream = stream();
    let frames = stream.frames();
    for (place, first) in frames.iter().enumerate() {
        for second in &frames[place + 1..] {
            let mut damaged = stream.clone();
            damaged.wire[first.2] ^= 1;
            damaged.wire[second.2] ^= 1;
            fails_everywhere(
                || OpenFeed::new(&damaged, Supply::Bytes),
                |error, _| {
                    let StreamError::Frame { segment, source, .. } = error else { panic!("{error:?}") };
                    assert_eq!(segment.0, first.0);
                    assert_eq!(source, FrameError::Authentication { frame: FrameIndex(first.1) });
                },
            );
        }
    }
}

#[test]
fn the_earlier_frame_is_named_also_when_the_later_one_is_found_first() {
    unless_it_hangs(|| {
        let stream = stream();
        let runs: Vec<_> = stream.parts.iter().flat_map(|part| part.runs()).collect();
        // With three threads eight runs may be out at once: all there are. The first is read last.
        for workers in [3, 8].map(Workers::pool) {
            for later in 1..runs.len() {
                let mut damaged = stream.clone();
                for run in [0, later] {
                    damaged.wire[runs[run].wire_at + 100] ^= 1;
                }
                let gate = Arc::new((Mutex::new(false), Condvar::new()));
                let (first_at, later_at) = (runs[0].wire_at as u64, runs[later].wire_at as u64);
                let wire = Wire::watched(damaged.wire.clone(), move |_, offset| {
                    let (found, changed) = &*gate;
                    if offset == later_at {
                        *found.lock() = true;
                        changed.notify_all();
                    } else if offset == first_at {
                        let mut found = found.lock();
                        while !*found {
                            changed.wait(&mut found);
                        }
                    }
                });
                let (sink, report) = Probe::new(Kind::Positioned);
                let error = Fixture::new(&workers)
                    .open(&mut OpenFeed::over(&damaged, wire, Supply::Place), sink)
                    .unwrap_err();
                let StreamError::Frame { segment, first, .. } = error else { panic!("{error:?}") };
                assert_eq!((segment.0, first.0), (0, 0));
                report.assert_unpublished();
                assert_eq!(report.commits(), 0);
            }
        }
    });
}

#[test]
fn an_input_that_ends_early_is_named_with_its_place() {
    let stream = stream();
    for run in stream.parts.iter().flat_map(|part| part.runs()) {
        let cut = stream.wire[..run.wire_at + run.wire_len - 1].to_vec();
        fails_everywhere(
            || OpenFeed::over(&stream, Wire::new(cut.clone()), Supply::Place),
            |error, _| {
                let StreamError::Read { segment, offset, source } = error else { panic!("{error:?}") };
                assert_eq!(segment.0, (run.plaintext_at / SEGMENT) as u64);
                assert_eq!((offset, source.kind()), (run.wire_at as u64, io::ErrorKind::UnexpectedEof));
            },
        );
    }
}

#[test]
fn a_feed_that_fails_at_any_step_is_passed_on_after_what_came_before_it() {
    let stream = stream();
    let steps = OpenFeed::new(&stream, Supply::Bytes).moves.len();
    for step in 0..steps {
        let failing = |stream: &Stream| {
            let mut feed = OpenFeed::new(stream, Supply::Bytes);
            feed.moves.insert(step, Move::Fail);
            feed
        };
        fails_everywhere(
            || failing(&stream),
            |error, commits| {
                assert!(matches!(error, StreamError::Feed(FeedFailed)));
                let closed =
                    OpenFeed::new(&stream, Supply::Bytes).moves.iter().take(step).filter(is_close).count();
                assert_eq!(commits, closed as u64, "what was whole has committed");
            },
        );
        // The second segment is damaged; from the step behind its first run on, that comes first.
        let mut damaged = stream.clone();
        damaged.wire[stream.parts[1].runs()[0].wire_at + 100] ^= 1;
        fails_everywhere(
            || failing(&damaged),
            |error, _| match error {
                StreamError::Feed(FeedFailed) => assert!(step <= 7, "step {step}"),
                StreamError::Frame { segment: SegmentIndex(1), .. } => assert!(step > 7, "step {step}"),
                error => panic!("{error:?}"),
            },
        );
    }
}

fn is_close(step: &&Move) -> bool {
    matches!(step, Move::Close(_))
}

#[test]
fn what_others_see_is_whole_segments_alone() {
    let stream = stream();
    for (segment, _, at) in stream.frames() {
        let mut damaged = stream.clone();
        damaged.wire[at] ^= 1;
        for (kind, release) in
            [(Kind::Seen, ReleasePolicy::AtOnce), (Kind::Positioned, ReleasePolicy::AfterDigest)]
        {
            let (sink, report) = Probe::new(kind);
            let fixture = Fixture::new(&Workers::pool(2)).releasing(release);
            fixture.open(&mut OpenFeed::new(&damaged, Supply::Bytes), sink).unwrap_err();
            report.assert_unpublished();
            // Only runs of segments that have committed were written, and no roll back was needed.
            let committed = report.commits() as usize;
            let runs: usize = stream.parts[..committed].iter().map(|part| part.runs().len()).sum();
            assert!(committed as u64 <= segment);
            assert_eq!((report.count(Call::Write), report.count(Call::RollBack)), (runs, 0));
        }
    }
}

#[test]
fn sealing_fails_with_its_sink_at_any_call() {
    let plaintext = plaintext(2 * SEGMENT + 1);
    let writes = Stream::sealed_from(&plaintext).run_count() + 2 * 3;
    for workers in all_workers() {
        for kind in [Kind::Positioned, Kind::Ordered] {
            for (call, count) in [(Call::Write, writes), (Call::Commit, 3), (Call::Publish, 1)] {
                for nth in 0..count {
                    let (sink, report) = Probe::watched(kind, move |event| {
                        if (event.call, event.nth) == (call, nth) { Err(disk_full()) } else { Ok(()) }
                    });
                    let mut feed = SealFeed::new(&plaintext, Supply::Place);
                    let error = Fixture::new(&workers).seal(&mut feed, sink).unwrap_err();
                    match (call, error) {
                        (Call::Write, StreamError::Sink { .. })
                        | (Call::Publish, StreamError::Publish(_)) => {}
                        (Call::Commit, StreamError::Commit { segment, .. }) => {
                            assert_eq!(segment.0, nth as u64)
                        }
                        (_, error) => panic!("{call:?} {nth}: {error:?}"),
                    }
                    report.assert_unpublished();
                }
            }
        }
    }
}

#[test]
fn sealing_fails_with_its_feed_at_any_step() {
    let plaintext = plaintext(2 * SEGMENT + 1);
    let steps = SealFeed::new(&plaintext, Supply::Bytes).step_count();
    for workers in all_workers() {
        for kind in [Kind::Positioned, Kind::Ordered] {
            for step in 0..steps {
                let (sink, report) = Probe::new(kind);
                let mut feed = SealFeed::new(&plaintext, Supply::Bytes)
                    .telling(|call| if call == step { Err(FeedFailed) } else { Ok(()) });
                let error = Fixture::new(&workers).seal(&mut feed, sink).unwrap_err();
                assert!(matches!(error, StreamError::Feed(FeedFailed)));
                report.assert_unpublished();
            }
            for segment in 0..3 {
                let (sink, report) = Probe::new(kind);
                let mut feed = SealFeed::new(&plaintext, Supply::Bytes);
                feed.fail_to_close = Some(segment);
                let error = Fixture::new(&workers).seal(&mut feed, sink).unwrap_err();
                assert!(matches!(error, StreamError::Feed(FeedFailed)));
                report.assert_unpublished();
                assert_eq!(report.commits(), segment);
            }
        }
    }
}

#[test]
fn sealing_fails_when_a_job_panics() {
    let plaintext = plaintext(2 * SEGMENT + 1);
    for workers in all_workers() {
        for read in 0..Stream::sealed_from(&plaintext).run_count() {
            let wire = Wire::watched(plaintext.clone(), move |nth, _| {
                if nth == read {
                    panics();
                }
            });
            let (sink, report) = Probe::new(Kind::Positioned);
            let error =
                Fixture::new(&workers).seal(&mut SealFeed::over(wire, Supply::Place), sink).unwrap_err();
            assert!(matches!(error, StreamError::Panicked { .. }));
            report.assert_unpublished();
        }
    }
}

#[test]
fn a_stream_that_fails_returns_when_its_last_job_has_ended() {
    unless_it_hangs(|| {
        for threads in [1, 2] {
            let (fail, failed) = mpsc::channel();
            let failed = Mutex::new(failed);
            let (begin, begun) = mpsc::channel();
            let ended = Arc::new(AtomicBool::new(false));
            let wire = Wire::watched(plaintext(2 * SEGMENT), {
                let ended = ended.clone();
                move |read, _| {
                    if read == 0 {
                        begin.send(()).unwrap();
                        // The feed has failed by then, and all that is left of the stream is this job.
                        failed.lock().recv().unwrap();
                        give_way(10_000);
                        // Release: partner of the load behind the stream.
                        ended.store(true, Ordering::Release);
                    }
                }
            });
            let (sink, report) = Probe::new(Kind::Positioned);
            let mut feed = SealFeed::over(wire, Supply::Place).telling(|call| {
                if call == 2 {
                    begun.recv().unwrap();
                    fail.send(()).unwrap();
                    return Err(FeedFailed);
                }
                Ok(())
            });
            let error = Fixture::new(&Workers::pool(threads)).seal(&mut feed, sink).unwrap_err();
            assert!(matches!(error, StreamError::Feed(FeedFailed)));
            assert!(ended.load(Ordering::Acquire), "the job is still running");
            report.assert_unpublished();
        }
    });
}
