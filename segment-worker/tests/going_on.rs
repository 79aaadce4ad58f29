//! A stream that goes on where an earlier attempt had committed is the same stream.
//! How the earlier attempt's bytes are proved is not known here: the start says so.

use std::sync::Arc;

use contract::StreamingSink;
use parking_lot::Mutex;
use segment_worker::{Committed, ReleasePolicy, Sealed, StreamError};

use crate::support::*;

/// The calls on a sink: writes by place, because jobs make them in any order, and the rest one after the other.
#[derive(Default, PartialEq, Debug)]
struct Calls {
    writes: Vec<u64>,
    others: Vec<(Call, u64)>,
}

/// What came of one attempt.
struct Attempt {
    calls: Calls,
    commits: Vec<Committed>,
    published: Option<Vec<u8>>,
}

/// Runs an attempt behind `before`, with a sink of `kind`.
fn attempt(kind: Kind, before: &Committed, run: impl FnOnce(Probe, &mut dyn FnMut(&Committed))) -> Attempt {
    let events = Arc::new(Mutex::new(Vec::new()));
    let noted = events.clone();
    let (sink, report) = Probe::watched(kind, move |event| {
        noted.lock().push((event.call, event.at));
        Ok(())
    });
    let mut commits = Vec::new();
    run(sink.going_on_behind(before.segments, before.sink_len), &mut |at| commits.push(*at));
    report.assert_over();
    let (writes, others): (Vec<_>, Vec<_>) =
        events.lock().iter().copied().partition(|(call, _)| *call == Call::Write);
    let mut writes: Vec<_> = writes.into_iter().map(|(_, at)| at).collect();
    writes.sort_unstable();
    Attempt { calls: Calls { writes, others }, commits, published: report.published() }
}

/// Two attempts, of which the second went on where the first had committed, did together what one does at once.
fn assert_halves_make(whole: &Attempt, start: Committed, first: Attempt, second: Attempt) {
    let (mut calls, mut commits) = (first.calls, first.commits);
    // What the first wrote and did not commit, the second wrote again.
    calls.writes.retain(|at| *at < start.sink_len);
    calls.writes.extend(second.calls.writes);
    calls.others.extend(second.calls.others);
    commits.extend(second.commits);
    assert_eq!(calls, whole.calls);
    assert_eq!(commits, whole.commits);
    assert_eq!(first.published, None);
    let published = whole.published.as_ref().unwrap();
    assert!(second.published.unwrap() == published[start.sink_len as usize..], "the bytes are the same");
}

#[test]
fn a_stream_opened_in_two_halves_gives_its_sink_the_calls_of_one() {
    const SEGMENTS: u64 = 5;
    let stream = Stream::sealed_from(&plaintext(4 * SEGMENT + 321));
    let feed = || OpenFeed::new(&stream, Supply::Bytes);
    for workers in [Workers::Inline, Workers::pool(3)] {
        for (kind, release) in Kind::ALL.into_iter().zip([
            ReleasePolicy::AtOnce,
            ReleasePolicy::AfterDigest,
            ReleasePolicy::AtOnce,
        ]) {
            let fixture = Fixture::new(&workers).releasing(release);
            let whole = attempt(kind, &fixture.start, |sink, observe| {
                fixture.open_observed(&mut feed(), sink, observe).unwrap();
            });
            for segment in 1..SEGMENTS {
                let first = attempt(kind, &fixture.start, |sink, observe| {
                    let error = fixture.open_observed(&mut feed().failing_before(segment), sink, observe);
                    assert!(matches!(error, Err(StreamError::Feed(FeedFailed))));
                });
                let start = *first.commits.last().unwrap();
                assert_eq!(start.segments, segment, "all before the failure has committed");
                let second = attempt(kind, &start, |sink, observe| {
                    let feed = &mut feed().going_on_with(segment);
                    let opened =
                        fixture.clone().going_on_at(start).open_observed(feed, sink, observe).unwrap();
                    assert_eq!((opened.segments, opened.stream_digest), (SEGMENTS, stream.end.stream_digest));
                });
                assert_halves_make(&whole, start, first, second);
            }
        }
    }
}

#[test]
fn a_stream_sealed_in_two_halves_gives_its_sink_the_calls_of_one() {
    const SEGMENTS: u64 = 4;
    let plaintext = plaintext(3 * SEGMENT + 321);
    let stream = Stream::sealed_from(&plaintext);
    let feed = || SealFeed::new(&plaintext, Supply::Place);
    let fixture = Fixture::new(&Workers::Inline);
    for kind in [Kind::Positioned, Kind::Ordered] {
        let whole = attempt(kind, &fixture.start, |sink, observe| {
            fixture.seal_observed(&mut feed(), sink, observe).unwrap();
        });
        assert!(whole.published.as_deref() == Some(&stream.wire), "the bytes are the reference's");
        for segment in 1..SEGMENTS {
            let first = attempt(kind, &fixture.start, |sink, observe| {
                let error = fixture.seal_observed(&mut feed().failing_before(segment), sink, observe);
                assert!(matches!(error, Err(StreamError::Feed(FeedFailed))));
            });
            let start = *first.commits.last().unwrap();
            let second = attempt(kind, &start, |sink, observe| {
                let feed = &mut feed().going_on_with(start.segments);
                let sealed = fixture.clone().going_on_at(start).seal_observed(feed, sink, observe).unwrap();
                assert_eq!((sealed.segments, sealed.stream_digest), (SEGMENTS, stream.end.stream_digest));
            });
            assert_halves_make(&whole, start, first, second);
        }
    }
}

#[test]
fn a_start_behind_the_last_segment_needs_only_its_end() {
    let stream = Stream::sealed_from(&plaintext(2 * SEGMENT));
    let fixture = Fixture::new(&Workers::Inline);
    let start = last_commit_of(|sink, observe| {
        fixture.open_observed(&mut OpenFeed::new(&stream, Supply::Bytes), sink, observe).unwrap();
    });
    let (sink, report) = Probe::new(Kind::Positioned);
    let mut feed = OpenFeed::new(&stream, Supply::Bytes).going_on_with(2);
    let sink = sink.going_on_behind(2, start.sink_len);
    fixture.clone().going_on_at(start).open(&mut feed, sink).unwrap();
    assert_eq!((report.published(), report.log()), (Some(Vec::new()), vec![Call::Publish]));
}

#[test]
fn a_start_with_another_chain_or_length_does_not_end_as_its_trailer_says() {
    let stream = Stream::sealed_from(&plaintext(2 * SEGMENT));
    let fixture = Fixture::new(&Workers::Inline);
    let start = last_commit_of(|sink, observe| {
        fixture.open_observed(&mut OpenFeed::new(&stream, Supply::Bytes), sink, observe).unwrap();
    });
    let wrong_chain = fixture.start.chain;
    let wrong = [
        Committed { plaintext_len: start.plaintext_len - 1, ..start },
        Committed { segments: 1, ..start },
        Committed { chain: wrong_chain, ..start },
        Committed::at_start(wrong_chain),
    ];
    for start in wrong {
        let (sink, report) = Probe::new(Kind::Positioned);
        let mut feed = OpenFeed::new(&stream, Supply::Bytes).going_on_with(2);
        let sink = sink.going_on_behind(start.segments, start.sink_len);
        let error = fixture.clone().going_on_at(start).open(&mut feed, sink).unwrap_err();
        assert!(matches!(error, StreamError::Trailer), "{error:?}");
        report.assert_unpublished();
    }
}

#[test]
fn what_stands_behind_a_last_segment_is_written_where_the_sink_has_positions() {
    let plaintext = plaintext(2 * SEGMENT);
    let stream = Stream::sealed_from(&plaintext);
    let fixture = Fixture::new(&Workers::Inline);
    let start = last_commit_of(|sink, observe| {
        fixture.seal_observed(&mut SealFeed::new(&plaintext, Supply::Bytes), sink, observe).unwrap();
    });
    let go_on = |sink: Box<dyn StreamingSink>| {
        fixture.clone().going_on_at(start).seal(&mut SealFeed::leftover(b"page, directory, footer"), sink)
    };
    let (sink, report) = Probe::new(Kind::Positioned);
    let sealed = go_on(Box::new(sink.going_on_behind(2, start.sink_len))).unwrap();
    assert_eq!(report.published().as_deref(), Some(&b"page, directory, footer"[..]));
    let due = Sealed {
        segments: 2,
        plaintext_len: plaintext.len() as u64,
        wire_len: stream.wire.len() as u64 + 23,
        stream_digest: stream.end.stream_digest,
    };
    assert_eq!(sealed, due);

    let (sink, report) = Probe::new(Kind::Ordered);
    let error = go_on(Box::new(sink.going_on_behind(2, start.sink_len))).unwrap_err();
    assert!(matches!(error, StreamError::Sink { segment, .. } if segment.0 == 1), "{error:?}");
    report.assert_unpublished();
}

/// The last commit of a stream that `run` runs to its end.
fn last_commit_of(run: impl FnOnce(Probe, &mut dyn FnMut(&Committed))) -> Committed {
    let start = Committed::at_start(start());
    *attempt(Kind::Positioned, &start, run).commits.last().unwrap()
}
