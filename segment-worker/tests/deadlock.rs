//! Nothing hangs: not at the least budget, not on one thread, not from within the pool, not with others beside.
//! Each test runs under a watchdog; what a hang would look like is "it hangs".

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use parking_lot::RwLock;
use segment_worker::{ReleasePolicy, StreamError};

use crate::support::*;

/// A run on its way in and out.
const MINIMUM: usize = 2 * RUN_LEN;
/// And a segment held.
const MINIMUM_HOLDING: usize = MINIMUM + RUNS_PER_SEGMENT * RUN_LEN;
/// A pool of one and its caller.
const RUNS_AT_ONCE: usize = 2;
/// More than the stack of one thread has room for.
const CALLERS: usize = 2000;

fn minimum(kind: Kind) -> usize {
    if kind == Kind::Seen { MINIMUM_HOLDING } else { MINIMUM }
}

/// Opens a stream of `len` bytes and checks what is published.
fn open_one(fixture: &Fixture, kind: Kind, len: usize, supply: Supply) {
    let plaintext = plaintext(len);
    let stream = Stream::sealed_from(&plaintext);
    let (sink, report) = Probe::new(kind);
    fixture.open(&mut OpenFeed::new(&stream, supply), sink).unwrap();
    assert_eq!(report.published().unwrap(), plaintext);
    report.assert_over();
}

#[test]
fn the_least_budget_is_enough_for_any_stream() {
    unless_it_hangs(|| {
        for workers in all_workers() {
            for kind in Kind::ALL {
                for spare in [0, 1, RUN_LEN, MINIMUM - 1, MINIMUM, 5 * RUN_LEN] {
                    let fixture = Fixture::within(&workers, minimum(kind) + spare);
                    for supply in [Supply::Bytes, Supply::Place, Supply::PlaceWithEdges] {
                        open_one(&fixture, kind, 5 * SEGMENT + 4321, supply);
                    }
                }
            }
            let holding = Fixture::within(&workers, MINIMUM_HOLDING).releasing(ReleasePolicy::AfterDigest);
            open_one(&holding, Kind::Positioned, 5 * SEGMENT, Supply::Bytes);
        }
    });
}

#[test]
fn the_least_budget_is_enough_to_seal() {
    unless_it_hangs(|| {
        let plaintext = plaintext(5 * SEGMENT + 4321);
        let due = Stream::sealed_from(&plaintext).wire;
        for workers in all_workers() {
            for kind in Kind::ALL {
                let fixture = Fixture::within(&workers, MINIMUM);
                let (sink, report) = Probe::new(kind);
                fixture.seal(&mut SealFeed::new(&plaintext, Supply::Bytes), sink).unwrap();
                assert!(report.published().unwrap() == due);
            }
        }
    });
}

#[test]
fn a_budget_below_the_least_is_refused_before_anything_is_read() {
    for workers in all_workers() {
        for kind in Kind::ALL {
            let fixture = Fixture::within(&workers, minimum(kind) - 1);
            let (sink, report) = Probe::new(kind);
            let stream = Stream::sealed_from(&plaintext(1));
            let mut feed = OpenFeed::new(&stream, Supply::Bytes).telling(|_| panic!("the feed was asked"));
            let refused = fixture.open(&mut feed, sink).unwrap_err();
            let StreamError::Budget { needed, total } = refused else { panic!("{refused:?}") };
            assert_eq!((needed, total), (minimum(kind), minimum(kind) - 1));
            assert_eq!(report.log(), []);
            report.assert_unpublished();
        }
    }
}

#[test]
fn a_caller_on_the_pool_does_its_stream_by_itself() {
    unless_it_hangs(|| {
        for threads in [1, 2, 3, 8] {
            let workers = Workers::pool(threads);
            for kind in Kind::ALL {
                let (sender, done) = mpsc::channel();
                let fixture = Fixture::within(&workers, minimum(kind));
                workers.spawn(move || {
                    open_one(&fixture, kind, 3 * SEGMENT + 1, Supply::Place);
                    sender.send(()).unwrap();
                });
                done.recv().unwrap();
            }
        }
    });
}

#[test]
fn many_callers_on_one_thread_share_a_budget_for_one() {
    unless_it_hangs(|| {
        for threads in [1, 2, 3] {
            let workers = Workers::pool(threads);
            for kind in Kind::ALL {
                let fixture = Fixture::within(&workers, minimum(kind));
                let (sender, done) = mpsc::channel();
                for _ in 0..20 {
                    let (fixture, sender) = (fixture.clone(), sender.clone());
                    workers.spawn(move || {
                        open_one(&fixture, kind, SEGMENT + 1, Supply::Bytes);
                        sender.send(()).unwrap();
                    });
                }
                assert_eq!(done.iter().take(20).count(), 20);
            }
        }
    });
}

#[test]
fn callers_on_the_pool_wait_for_one_outside_whose_jobs_only_they_can_do() {
    unless_it_hangs(|| {
        for kind in Kind::ALL {
            let workers = Workers::pool(1);
            let fixture = Fixture::within(&workers, minimum(kind));
            let (sender, done) = mpsc::channel();
            let stream = Stream::sealed_from(&plaintext(3 * SEGMENT));
            // The stream outside has the whole budget when it asks for its first step. From then on the one thread
            // there is belongs to callers who wait for that budget.
            let mut feed = OpenFeed::new(&stream, Supply::Bytes).telling(|call| {
                if call == 0 {
                    for _ in 0..CALLERS {
                        let (fixture, sender) = (fixture.clone(), sender.clone());
                        workers.spawn(move || {
                            open_one(&fixture, kind, SEGMENT + 1, Supply::Bytes);
                            sender.send(()).unwrap();
                        });
                    }
                }
                Ok(())
            });
            let (sink, report) = Probe::new(kind);
            fixture.open(&mut feed, sink).unwrap();
            report.assert_over();
            assert_eq!(done.iter().take(CALLERS).count(), CALLERS);
        }
    });
}

#[test]
fn two_holding_streams_share_a_budget_for_one_and_take_turns() {
    unless_it_hangs(|| {
        for threads in [1, 2, 3] {
            let fixture = Fixture::within(&Workers::pool(threads), MINIMUM_HOLDING);
            let at_once = Arc::new(AtomicUsize::new(0));
            let callers = [(); 4].map(|()| {
                let (fixture, at_once) = (fixture.clone(), at_once.clone());
                thread::spawn(move || {
                    let stream = Stream::sealed_from(&plaintext(2 * SEGMENT + 1));
                    let (sink, report) = Probe::new(Kind::Seen);
                    let counter = at_once.clone();
                    let mut feed = OpenFeed::new(&stream, Supply::Bytes).telling(move |call| {
                        // SeqCst: what counts is one order of all streams' comings and goings.
                        if call == 0 {
                            assert_eq!(counter.fetch_add(1, Ordering::SeqCst), 0, "one at a time");
                        }
                        Ok(())
                    });
                    let mut left = stream.end.segments;
                    let opened = fixture.open_observed(&mut feed, sink, &mut |_| {
                        left -= 1;
                        if left == 0 {
                            at_once.fetch_sub(1, Ordering::SeqCst);
                        }
                    });
                    opened.unwrap();
                    report.assert_over();
                })
            });
            for caller in callers {
                caller.join().unwrap();
            }
        }
    });
}

#[test]
fn streams_of_all_kinds_share_a_pool_and_a_budget() {
    unless_it_hangs(|| {
        for threads in [1, 2, 3] {
            let fixture = Fixture::within(&Workers::pool(threads), MINIMUM_HOLDING + 3 * RUN_LEN);
            let callers: Vec<_> = (0..12)
                .map(|caller| {
                    let fixture = fixture.clone();
                    thread::spawn(move || {
                        for next_action in 0..10 {
                            open_one(
                                &fixture,
                                Kind::ALL[(caller + next_action) % 3],
                                2 * SEGMENT + caller,
                                Supply::Place,
                            );
                        }
                    })
                })
                .collect();
            for caller in callers {
                caller.join().unwrap();
            }
            open_one(&fixture, Kind::Seen, SEGMENT, Supply::Bytes);
        }
    });
}

#[test]
fn a_reservation_that_waits_ends_when_it_is_cancelled() {
    unless_it_hangs(|| {
        let workers = Workers::pool(1);
        let fixture = Fixture::within(&workers, MINIMUM);
        let stream = Stream::sealed_from(&plaintext(SEGMENT));
        let mut feed = OpenFeed::new(&stream, Supply::Bytes).telling(|call| {
            if call == 0 {
                // This stream has the whole budget, so another one waits until it is told to stop.
                let mut other = fixture.clone();
                other.cancel = segment_worker::CancelToken::new();
                let cancel = other.cancel.clone();
                let waits = thread::spawn(move || {
                    let stream = Stream::sealed_from(&plaintext(1));
                    let (sink, report) = Probe::new(Kind::Positioned);
                    let cancelled = other.open(&mut OpenFeed::new(&stream, Supply::Bytes), sink);
                    assert!(matches!(cancelled, Err(StreamError::Cancelled)));
                    assert_eq!(report.log(), []);
                    report.assert_unpublished();
                });
                cancel.cancel();
                waits.join().unwrap();
            }
            Ok(())
        });
        fixture.open(&mut feed, Probe::new(Kind::Positioned).0).unwrap();
    });
}

#[test]
fn a_caller_that_does_jobs_needs_no_thread_of_its_pool() {
    unless_it_hangs(|| {
        let workers = Workers::pool_and_caller(1);
        let (go, wait) = mpsc::channel::<()>();
        workers.spawn(move || wait.recv().unwrap());
        for kind in Kind::ALL {
            let fixture = Fixture::within(&workers, minimum(kind));
            open_one(&fixture, kind, 5 * SEGMENT + 4321, Supply::Place);
        }
        go.send(()).unwrap();
    });
}

#[test]
fn threads_of_its_own_do_no_job_of_another_stream_on_the_same_budget() {
    unless_it_hangs(|| {
        let slow = Fixture::new(&Workers::pool_and_caller(1));
        let (begun, has_begun) = mpsc::channel::<()>();
        // Whoever does a job of the slow stream is stuck in it until the other one is done.
        let gate = Arc::new(RwLock::new(()));
        let closed = gate.write();
        let slow_stream = thread::spawn({
            let (slow, gate) = (slow.clone(), gate.clone());
            move || {
                let stream = Stream::sealed_from(&plaintext(2 * SEGMENT));
                let wire = Wire::watched(stream.wire.clone(), move |read, _| {
                    if read < RUNS_AT_ONCE {
                        begun.send(()).unwrap();
                    }
                    drop(gate.read());
                });
                let (sink, report) = Probe::new(Kind::Positioned);
                slow.open(&mut OpenFeed::over(&stream, wire, Supply::Place), sink).unwrap();
                report.assert_over();
            }
        });
        (0..RUNS_AT_ONCE).for_each(|_| has_begun.recv().unwrap());
        let fixture = Fixture { workers: Workers::pool_and_caller(1), ..slow };
        open_one(&fixture, Kind::Positioned, 5 * SEGMENT, Supply::Place);
        drop(closed);
        slow_stream.join().unwrap();
    });
}

#[test]
fn a_pool_does_no_job_of_another_one_on_the_same_budget() {
    unless_it_hangs(|| {
        let stuck = Fixture::new(&Workers::pool(1));
        let (go, wait) = mpsc::channel::<()>();
        stuck.workers.spawn(move || wait.recv().unwrap());
        let (left, has_left) = mpsc::channel::<()>();
        let fixture = Fixture { workers: Workers::pool(1), ..stuck.clone() };
        let stuck_stream = thread::spawn(move || {
            let stream = Stream::sealed_from(&plaintext(5 * SEGMENT));
            // When it is asked again after a segment and a run, the run is on its way.
            let mut feed = OpenFeed::new(&stream, Supply::Place).telling(|call| {
                if call == 2 {
                    left.send(()).unwrap();
                }
                Ok(())
            });
            stuck.open(&mut feed, Probe::new(Kind::Positioned).0).unwrap();
        });
        has_left.recv().unwrap();
        open_one(&fixture, Kind::Positioned, 5 * SEGMENT, Supply::Place);
        go.send(()).unwrap();
        stuck_stream.join().unwrap();
    });
}

#[test]
fn a_slow_sink_holds_its_stream_up_and_no_other() {
    unless_it_hangs(|| {
        let fixture = Fixture::new(&Workers::pool(2));
        let (go, wait) = mpsc::channel::<()>();
        let wait = parking_lot::Mutex::new(wait);
        let (slow, report) = Probe::watched(Kind::Ordered, move |event| {
            if event.call == Call::Write {
                wait.lock().recv().unwrap();
            }
            Ok(())
        });
        let slow_stream = thread::spawn({
            let fixture = fixture.clone();
            move || {
                let stream = Stream::sealed_from(&plaintext(2 * SEGMENT));
                fixture.open(&mut OpenFeed::new(&stream, Supply::Bytes), slow).unwrap();
            }
        });
        for _ in 0..2 * RUNS_PER_SEGMENT {
            open_one(&fixture, Kind::Positioned, 2 * SEGMENT, Supply::Bytes);
            go.send(()).unwrap();
        }
        slow_stream.join().unwrap();
        report.assert_over();
    });
}
