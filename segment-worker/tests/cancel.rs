//! A stream that is cancelled says so, whatever it was doing, and calls its sink no more.
//! Cancelled here at every step there is: each question to the feed, each read, each write, each commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use segment_worker::{CancelToken, StreamError};

use crate::support::*;

fn stream() -> Stream {
    Stream::sealed_from(&plaintext(2 * SEGMENT + FRAME + 1))
}

/// Notes how often a sink is called after a cancellation.
#[derive(Clone)]
struct Watch {
    cancel: CancelToken,
    cancelled: Arc<AtomicBool>,
    calls_after: Arc<AtomicUsize>,
}

impl Watch {
    fn new(fixture: &Fixture) -> Watch {
        Watch { cancel: fixture.cancel.clone(), cancelled: Arc::default(), calls_after: Arc::default() }
    }

    fn cancel(&self) {
        self.cancel.cancel();
        // SeqCst, as in the partner below: whoever calls a sink after this has seen the token.
        self.cancelled.store(true, Ordering::SeqCst);
    }

    /// Of each call on the sink.
    fn sink_is_called(&self, event: Event) {
        if event.call != Call::RollBack && self.cancelled.load(Ordering::SeqCst) {
            self.calls_after.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn probe(&self, kind: Kind) -> (Probe, Report) {
        let watch = self.clone();
        Probe::watched(kind, move |event| {
            watch.sink_is_called(event);
            Ok(())
        })
    }

    /// A job that had looked at the token before it was used may still make its one write; no other call comes.
    fn assert_stopped<T: std::fmt::Debug>(
        &self,
        result: Result<T, StreamError<FeedFailed>>,
        report: &Report,
        calls_under_way_max: usize,
    ) {
        assert!(matches!(result, Err(StreamError::Cancelled)), "{result:?}");
        report.assert_unpublished();
        let calls = self.calls_after.load(Ordering::SeqCst);
        assert!(calls <= calls_under_way_max, "{calls} calls after the cancellation");
    }
}

/// Jobs that may be between their look at the token and their write.
fn under_way(workers: &Workers, kind: Kind) -> usize {
    match (workers, kind) {
        (Workers::Inline, _) | (_, Kind::Ordered | Kind::Seen) => 0,
        (_, Kind::Positioned) => workers.threads(),
    }
}

#[test]
fn cancelled_in_any_question_to_the_feed() {
    let stream = stream();
    let questions = OpenFeed::new(&stream, Supply::Bytes).moves.len();
    for workers in all_workers() {
        for kind in Kind::ALL {
            for question in 0..questions {
                let fixture = Fixture::new(&workers);
                let watch = Watch::new(&fixture);
                let (sink, report) = watch.probe(kind);
                let mut feed = OpenFeed::new(&stream, Supply::Bytes).telling(|call| {
                    if call == question {
                        watch.cancel();
                    }
                    assert!(call <= question, "nothing is asked for after the cancellation");
                    Ok(())
                });
                watch.assert_stopped(fixture.open(&mut feed, sink), &report, under_way(&workers, kind));
            }
        }
    }
}

#[test]
fn cancelled_in_any_read() {
    let stream = stream();
    for workers in all_workers() {
        for kind in Kind::ALL {
            for read in 0..stream.run_count() {
                let fixture = Fixture::new(&workers);
                let watch = Watch::new(&fixture);
                let (sink, report) = watch.probe(kind);
                let wire = Wire::watched(stream.wire.clone(), {
                    let watch = watch.clone();
                    move |nth, _| {
                        if nth == read {
                            watch.cancel();
                        }
                    }
                });
                let mut feed = OpenFeed::over(&stream, wire, Supply::Place);
                // Beside the other jobs, the orchestrator may be about to make a call.
                let under_way =
                    under_way(&workers, kind).max(usize::from(!matches!(workers, Workers::Inline)));
                watch.assert_stopped(fixture.open(&mut feed, sink), &report, under_way + 1);
            }
        }
    }
}

#[test]
fn cancelled_in_any_write() {
    let stream = stream();
    for workers in all_workers() {
        for kind in Kind::ALL {
            for write in 0..stream.run_count() {
                let fixture = Fixture::new(&workers);
                let watch = Watch::new(&fixture);
                let (sink, report) = Probe::watched(kind, {
                    let watch = watch.clone();
                    move |event| {
                        watch.sink_is_called(event);
                        if event.call == Call::Write && event.nth == write {
                            watch.cancel();
                        }
                        Ok(())
                    }
                });
                let mut feed = OpenFeed::new(&stream, Supply::Bytes);
                watch.assert_stopped(fixture.open(&mut feed, sink), &report, under_way(&workers, kind));
            }
        }
    }
}

#[test]
fn cancelled_in_any_commit_or_by_its_observer() {
    let stream = stream();
    for workers in all_workers() {
        for kind in Kind::ALL {
            for commit in 1..=stream.end.segments {
                let fixture = Fixture::new(&workers);
                let watch = Watch::new(&fixture);
                let (sink, report) = watch.probe(kind);
                let result =
                    fixture.open_observed(&mut OpenFeed::new(&stream, Supply::Bytes), sink, &mut |at| {
                        if at.segments == commit {
                            watch.cancel();
                        }
                    });
                watch.assert_stopped(result, &report, under_way(&workers, kind));
                assert_eq!(report.commits(), commit, "no further segment commits");
            }
        }
    }
}

#[test]
fn cancelled_before_it_begins() {
    for workers in all_workers() {
        for kind in Kind::ALL {
            let fixture = Fixture::new(&workers);
            let watch = Watch::new(&fixture);
            watch.cancel();
            let (sink, report) = watch.probe(kind);
            let mut feed = OpenFeed::new(&stream(), Supply::Bytes).telling(|_| panic!("the feed was asked"));
            watch.assert_stopped(fixture.open(&mut feed, sink), &report, 0);
        }
    }
}

#[test]
fn cancelled_while_the_input_is_idle() {
    for workers in all_workers() {
        let fixture = Fixture::new(&workers);
        let (sink, report) = Probe::new(Kind::Positioned);
        let mut feed = OpenFeed::new(&stream(), Supply::Bytes);
        for _ in 0..100 {
            feed.moves.insert(3, Move::Nothing);
        }
        let cancel = fixture.cancel.clone();
        let mut feed = feed.telling(|call| {
            if call == 50 {
                cancel.cancel();
            }
            assert!(call <= 50, "nothing is asked for after the cancellation");
            Ok(())
        });
        assert!(matches!(fixture.open(&mut feed, sink), Err(StreamError::Cancelled)));
        report.assert_unpublished();
    }
}

#[test]
fn an_open_segment_is_rolled_back() {
    let stream = stream();
    for workers in all_workers() {
        let fixture = Fixture::new(&workers);
        let cancel = fixture.cancel.clone();
        let (sink, report) = Probe::watched(Kind::Ordered, move |event| {
            if event.call == Call::Write && event.nth == RUNS_PER_SEGMENT + 1 {
                cancel.cancel();
            }
            Ok(())
        });
        let cancelled = fixture.open(&mut OpenFeed::new(&stream, Supply::Bytes), sink);
        assert!(matches!(cancelled, Err(StreamError::Cancelled)));
        report.assert_unpublished();
        let due = [&[Call::Begin; 1][..], &[Call::Write; 3], &[Call::Commit, Call::Begin], &[Call::Write; 2]];
        assert_eq!(report.log(), [due.concat(), vec![Call::RollBack]].concat());
    }
}

#[test]
fn sealing_is_cancelled_in_any_question_to_the_feed_and_any_write() {
    let plaintext = plaintext(2 * SEGMENT + FRAME + 1);
    let questions = SealFeed::new(&plaintext, Supply::Bytes).step_count();
    // A segment has its head, its runs and its closing frames to write.
    let writes = stream().run_count() + 2 * stream().parts.len();
    for workers in all_workers() {
        for kind in [Kind::Positioned, Kind::Ordered] {
            for question in 0..questions {
                let fixture = Fixture::new(&workers);
                let watch = Watch::new(&fixture);
                let (sink, report) = watch.probe(kind);
                let mut feed = SealFeed::new(&plaintext, Supply::Bytes).telling(|call| {
                    if call == question {
                        watch.cancel();
                    }
                    Ok(())
                });
                watch.assert_stopped(fixture.seal(&mut feed, sink), &report, under_way(&workers, kind));
            }
            for write in 0..writes {
                let fixture = Fixture::new(&workers);
                let watch = Watch::new(&fixture);
                let (sink, report) = Probe::watched(kind, {
                    let watch = watch.clone();
                    move |event| {
                        watch.sink_is_called(event);
                        if event.call == Call::Write && event.nth == write {
                            watch.cancel();
                        }
                        Ok(())
                    }
                });
                let result = fixture.seal(&mut SealFeed::new(&plaintext, Supply::Bytes), sink);
                // A job's write may be the one that cancels, while the orchestrator is about to make a call.
                let calls_max = if kind == Kind::Ordered { 0 } else { under_way(&workers, kind) + 1 };
                let calls_max = if matches!(workers, Workers::Inline) { 0 } else { calls_max };
                watch.assert_stopped(result, &report, calls_max);
            }
        }
    }
}
