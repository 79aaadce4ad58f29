//! What a stream holds stays within its budget, and all of it comes back, however the stream ends.
//! Held is: the buffers it was given and has not brought to an end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{io, panic};

use parking_lot::{Condvar, Mutex};
use segment_worker::{MemoryPressure, ReleasePolicy, StreamError};

use crate::support::*;

/// A run on its way in and out.
const MINIMUM: usize = 2 * RUN_LEN;
const HELD_SEGMENT: usize = RUNS_PER_SEGMENT * RUN_LEN;

fn stream() -> Stream {
    Stream::sealed_from(&plaintext(9 * SEGMENT + 4321))
}

/// Which of the feed's steps are runs.
fn runs_among(feed: &OpenFeed<'_>) -> Vec<bool> {
    feed.moves.iter().map(|step| matches!(step, Move::Run(_))).collect()
}

/// A whole budget can be had again: under a watchdog, since a stream would wait for what is missing.
fn assert_whole(fixture: &Fixture) {
    let needed = fixture.budget.total();
    let mut fixture = fixture.clone();
    fixture.release = ReleasePolicy::AtOnce;
    fixture.cancel = segment_worker::CancelToken::new();
    unless_it_hangs(move || {
        let (mut sink, report) = Probe::new(Kind::Positioned);
        sink.reserve_bytes = needed - MINIMUM;
        fixture.open(&mut OpenFeed::new(&Stream::sealed_from(b"all of it"), Supply::Bytes), sink).unwrap();
        assert_eq!(report.published().unwrap(), b"all of it");
    });
}

#[test]
fn runs_in_flight_never_hold_more_than_the_budget() {
    let stream = stream();
    for workers in all_workers() {
        for kind in Kind::ALL {
            for spare in [0, RUN_LEN, MINIMUM, 3 * RUN_LEN + 1, 4 * MINIMUM] {
                let least = if kind == Kind::Seen { MINIMUM + HELD_SEGMENT } else { MINIMUM };
                let fixture = Fixture::within(&workers, least + spare);
                let written = Arc::new(AtomicUsize::new(0));
                let (sink, report) = Probe::watched(kind, {
                    let written = written.clone();
                    move |event| {
                        // SeqCst: a count that may run ahead of the credit's return, and never behind it.
                        written.fetch_add(usize::from(event.call == Call::Write), Ordering::SeqCst);
                        Ok(())
                    }
                });
                let mut asked = 0;
                let runs = runs_among(&OpenFeed::new(&stream, Supply::Bytes));
                let mut feed = OpenFeed::new(&stream, Supply::Bytes).telling(|call| {
                    // A run that has not been written holds a buffer at least, and the next one's two are paid for.
                    let held = asked - written.load(Ordering::SeqCst).min(asked);
                    assert!(held * RUN_LEN + MINIMUM <= fixture.budget.total(), "{held} runs are held");
                    asked += usize::from(runs[call]);
                    Ok(())
                });
                fixture.open(&mut feed, sink).unwrap();
                report.assert_over();
                drop(feed);
                assert_whole(&fixture);
            }
        }
    }
}

#[test]
fn a_stream_uses_no_more_buffers_than_it_pays_for() {
    let stream = stream();
    for workers in all_workers() {
        for kind in Kind::ALL {
            for buffers in [5, 6, 9] {
                let fixture = Fixture::within(&workers, buffers * RUN_LEN);
                let (sink, report) = Probe::new(kind);
                fixture.open(&mut OpenFeed::new(&stream, Supply::Bytes), sink).unwrap();
                let seen = report.buffers_seen().len();
                assert!((1..=buffers).contains(&seen), "{seen} buffers where {buffers} are paid for");
            }
        }
    }
}

#[test]
fn spare_credit_is_used_to_the_last_run_and_not_beyond() {
    unless_it_hangs(|| {
        let stream = stream();
        for at_once in 1..=4 {
            let fixture = Fixture::within(&Workers::pool(8), at_once * MINIMUM + MINIMUM - 1);
            // So many writes have begun, and none ends before as many as fit the budget are under way.
            let gate = Arc::new((Mutex::new((0_usize, 0_usize)), Condvar::new()));
            let (sink, report) = Probe::watched(Kind::Positioned, {
                let gate = gate.clone();
                move |event| {
                    if event.call != Call::Write || event.nth >= at_once {
                        return Ok(());
                    }
                    let (state, changed) = &*gate;
                    let mut state = state.lock();
                    state.0 += 1;
                    changed.notify_all();
                    while state.0 < at_once {
                        changed.wait(&mut state);
                    }
                    Ok(())
                }
            });
            let mut runs_given = 0;
            let runs = runs_among(&OpenFeed::new(&stream, Supply::Bytes));
            let mut feed = OpenFeed::new(&stream, Supply::Bytes).telling(|call| {
                let under_way = gate.0.lock().0;
                runs_given += usize::from(runs[call]);
                assert!(
                    under_way == at_once || runs_given <= at_once,
                    "{runs_given} runs where {at_once} fit"
                );
                Ok(())
            });
            fixture.open(&mut feed, sink).unwrap();
            report.assert_over();
        }
    });
}

/// In the first third of the runs and in the last there is enough memory, and nothing is written before all of it is used; between them
/// it is very short.
#[test]
fn under_pressure_the_minimum_is_used_and_later_all_of_it_again() {
    unless_it_hangs(|| {
        let stream = Stream::sealed_from(&plaintext(40 * SEGMENT));
        let fixture = Fixture::within(&Workers::pool(8), 8 * MINIMUM);
        let budget = &fixture.budget;
        let runs = runs_among(&OpenFeed::new(&stream, Supply::Bytes));
        let third = runs.iter().filter(|is_run| **is_run).count() / 3;
        let holds_back = Arc::new(AtomicBool::new(true));
        let (sink, report) = Probe::watched(Kind::Positioned, {
            let (budget, holds_back) = (budget.clone(), holds_back.clone());
            move |event| {
                let has_room = || budget.used() < budget.total();
                // SeqCst: what the feed says is looked at until it has changed.
                while event.call == Call::Write && has_room() && holds_back.load(Ordering::SeqCst) {
                    std::thread::yield_now();
                }
                Ok(())
            }
        });
        let begun = Instant::now();
        let (mut run, mut steps, mut peaks) = (0, 0, [0; 3]);
        let mut feed = OpenFeed::new(&stream, Supply::Bytes).telling(|call| {
            let pressure = match run / third {
                1 => MemoryPressure::High,
                _ => MemoryPressure::None,
            };
            // As long as it takes, by a clock of its own.
            for _ in 0..8 {
                steps += 1;
                budget.adjust_growth(begun + Duration::from_secs(steps), |_| pressure);
            }
            // What was out when memory became short has come back after as many runs.
            if run % third >= 8 {
                let peak = &mut peaks[(run / third).min(2)];
                *peak = budget.used().max(*peak);
            }
            holds_back.store(pressure == MemoryPressure::None && run + 8 < 3 * third, Ordering::SeqCst);
            run += usize::from(runs[call]);
            Ok(())
        });
        fixture.open(&mut feed, sink).unwrap();
        report.assert_over();
        drop(feed);
        assert_eq!(peaks, [8 * MINIMUM, MINIMUM, 8 * MINIMUM]);
        assert_eq!(budget.used(), 0);
    });
}

/// The source brings nothing for a while before each run of every other segment, and the sink takes its time for the others.
#[test]
fn whichever_of_source_and_sink_is_slow_no_more_is_held_than_the_budget() {
    unless_it_hangs(|| {
        let stream = stream();
        for workers in all_workers() {
            for kind in Kind::ALL {
                let least = if kind == Kind::Seen { MINIMUM + HELD_SEGMENT } else { MINIMUM };
                let fixture = Fixture::within(&workers, least + 2 * MINIMUM);
                let budget = fixture.budget.clone();
                let (sink, report) = Probe::watched(kind, {
                    let budget = budget.clone();
                    move |event| {
                        if event.call == Call::Write && (event.nth / RUNS_PER_SEGMENT).is_multiple_of(2) {
                            give_way(200);
                        }
                        assert!(budget.used() <= budget.total());
                        Ok(())
                    }
                });
                let mut feed = OpenFeed::new(&stream, Supply::Bytes);
                let mut segments = 0;
                let moves = std::mem::take(&mut feed.moves);
                feed.moves = moves
                    .into_iter()
                    .flat_map(|step| {
                        segments += usize::from(matches!(step, Move::Begin { .. }));
                        let is_slow = matches!(step, Move::Run(_)) && segments % 2 == 0;
                        let pauses = std::iter::repeat_n((), if is_slow { 50 } else { 0 });
                        pauses.map(|()| Move::Nothing).chain([step]).collect::<Vec<_>>()
                    })
                    .collect();
                let mut feed = feed.telling(|_| {
                    assert!((least..=budget.total()).contains(&budget.used()));
                    Ok(())
                });
                fixture.open(&mut feed, sink).unwrap();
                report.assert_over();
                drop(feed);
                assert_eq!(budget.used(), 0);
            }
        }
    });
}

#[test]
fn what_the_sink_needs_for_itself_is_part_of_the_minimum() {
    let own = 12_345;
    for (total, fits) in [(MINIMUM + own - 1, false), (MINIMUM + own, true)] {
        let fixture = Fixture::within(&Workers::Inline, total);
        let (mut sink, report) = Probe::new(Kind::Positioned);
        sink.reserve_bytes = own;
        match fixture.open(&mut OpenFeed::new(&stream(), Supply::Bytes), sink) {
            Ok(_) => assert!(fits && report.published().is_some()),
            Err(StreamError::Budget { needed, .. }) => assert!(!fits && needed == MINIMUM + own),
            Err(error) => panic!("{error:?}"),
        }
    }
}

#[test]
fn a_demand_beyond_all_memory_is_refused_and_not_reckoned_wrong() {
    let fixture = Fixture::within(&Workers::Inline, usize::MAX - 1);
    let (mut sink, report) = Probe::new(Kind::Positioned);
    // With a run on its way in and out, this is more than can be counted.
    sink.reserve_bytes = usize::MAX - MINIMUM + 1;
    let refused = fixture.open(&mut OpenFeed::new(&stream(), Supply::Bytes), sink);
    assert!(matches!(refused, Err(StreamError::Budget { needed: usize::MAX, .. })), "{refused:?}");
    report.assert_unpublished();
}

#[test]
fn all_of_the_budget_comes_back_from_a_stream_that_fails() {
    let stream = stream();
    for workers in all_workers() {
        for kind in Kind::ALL {
            for release in [ReleasePolicy::AtOnce, ReleasePolicy::AfterDigest] {
                let fixture =
                    Fixture::within(&workers, MINIMUM + HELD_SEGMENT + 3 * RUN_LEN).releasing(release);
                for nth in [0, 3, 10] {
                    let (sink, report) = Probe::watched(kind, move |event| match event.call {
                        Call::Write if event.nth == nth => Err(io::Error::other("the disk is full")),
                        _ => Ok(()),
                    });
                    fixture.open(&mut OpenFeed::new(&stream, Supply::Place), sink).unwrap_err();
                    report.assert_unpublished();
                    let wire = Wire::watched(stream.wire.clone(), move |read, _| {
                        if read == nth {
                            panic::resume_unwind(Box::new("a job panics"));
                        }
                    });
                    let (sink, report) = Probe::new(kind);
                    fixture.open(&mut OpenFeed::over(&stream, wire, Supply::Place), sink).unwrap_err();
                    report.assert_unpublished();
                    let cut = &mut OpenFeed::new(&stream, Supply::Bytes);
                    cut.moves.insert(nth, Move::Fail);
                    fixture.open(cut, Probe::new(kind).0).unwrap_err();
                }
                assert_whole(&fixture);
            }
        }
    }
}
