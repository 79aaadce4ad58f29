//! Frames that are all authentic, in a stream that is not: nothing of it is published.
//! Runs, segments and ends that are missing, doubled, moved or from elsewhere, and closing frames that lie.

use frame_worker::{ChainValue, FrameError, SegmentIndex};
use segment_worker::{Ending, SegmentFault, StreamEnd, StreamError};

use crate::support::*;

fn stream() -> Stream {
    Stream::sealed_from(&plaintext(2 * SEGMENT + 2 * FRAME + 1))
}

#[test]
fn closing_frames_that_do_not_fit_their_segment_are_refused_and_those_before_have_committed() {
    type Change = fn(&mut Part);
    let changes: [(Change, SegmentFault); 6] = [
        (|part| part.closing.fields.digest[0] ^= 1, SegmentFault::Digest),
        (|part| part.closing.fields.frame_count += 1, SegmentFault::Count),
        (|part| part.closing.fields.frame_count -= 1, SegmentFault::Count),
        (|part| part.closing.fields.plaintext_len += 1, SegmentFault::Count),
        (|part| part.closing.fields.plaintext_len -= 1, SegmentFault::Count),
        (|part| part.closing.fields.chain_before = ChainValue([0; 32]), SegmentFault::Chain),
    ];
    for (change, due) in changes {
        for index in 0..3 {
            let mut wrong = stream();
            change(&mut wrong.parts[index]);
            fails_everywhere(
                || OpenFeed::new(&wrong, Supply::Bytes),
                |error, commits| {
                    let StreamError::Segment { segment, fault } = error else { panic!("{error:?}") };
                    assert_eq!((segment.0, fault, commits), (index as u64, due, index as u64));
                },
            );
        }
    }
}

/// Opens `stream` with its segments arranged as said, and expects a chain that breaks at `segment`.
fn breaks_the_chain(parts: &[usize], segment: u64, committed: u64) {
    let mut arranged = stream();
    arranged.parts = parts.iter().map(|part| arranged.parts[*part].clone()).collect();
    fails_everywhere(
        || OpenFeed::new(&arranged, Supply::Bytes),
        |error, commits| {
            let StreamError::Segment { segment: named, fault } = error else { panic!("{error:?}") };
            assert_eq!((named.0, fault, commits), (segment, SegmentFault::Chain, committed), "{parts:?}");
        },
    );
}

#[test]
fn segments_that_are_missing_doubled_or_swapped_break_the_chain() {
    breaks_the_chain(&[1, 2], 1, 0);
    breaks_the_chain(&[0, 2], 2, 1);
    breaks_the_chain(&[0, 0, 1, 2], 0, 1);
    breaks_the_chain(&[0, 1, 1, 2], 1, 2);
    breaks_the_chain(&[0, 1, 2, 2], 2, 3);
    breaks_the_chain(&[1, 0, 2], 1, 0);
    breaks_the_chain(&[0, 2, 1], 2, 1);
}

#[test]
fn a_segment_of_another_stream_breaks_the_chain() {
    let mut spliced = stream();
    let other = Stream::sealed_from(&vec![7; 3 * SEGMENT]);
    // The same keys, the same layout; only what came before is another.
    spliced.wire[..other.parts[2].wire_at].copy_from_slice(&other.wire[..other.parts[2].wire_at]);
    spliced.parts[1] = other.parts[1].clone();
    let first = &stream().wire[..other.parts[1].wire_at];
    spliced.wire[..first.len()].copy_from_slice(first);
    fails_everywhere(
        || OpenFeed::new(&spliced, Supply::Bytes),
        |error, commits| {
            let due =
                StreamError::Segment::<FeedFailed> { segment: SegmentIndex(1), fault: SegmentFault::Chain };
            assert_eq!((format!("{error:?}"), commits), (format!("{due:?}"), 1));
        },
    );
}

#[test]
fn nothing_may_follow_the_last_segment() {
    let mut wrong = stream();
    wrong.parts[1].closing.fields.last = true;
    fails_everywhere(
        || OpenFeed::new(&wrong, Supply::Bytes),
        |error, commits| {
            let StreamError::Segment { segment, fault } = error else { panic!("{error:?}") };
            assert_eq!((segment.0, fault, commits), (2, SegmentFault::Chain, 2));
        },
    );
}

#[test]
fn a_stream_without_a_last_segment_is_not_published() {
    let mut wrong = stream();
    wrong.parts[2].closing.fields.last = false;
    fails_everywhere(
        || OpenFeed::new(&wrong, Supply::Bytes),
        |error, commits| assert!(matches!(error, StreamError::Trailer) && commits == 3, "{error:?}"),
    );
}

#[test]
fn a_trailer_that_says_something_else_is_refused() {
    type Change = fn(&mut StreamEnd);
    let changes: [Change; 6] = [
        |end| end.segments += 1,
        |end| end.segments -= 1,
        |end| end.plaintext_len += 1,
        |end| end.plaintext_len -= 1,
        |end| end.stream_digest.0[31] ^= 1,
        |end| *end = StreamEnd { segments: 0, plaintext_len: 0, stream_digest: start(), ..end.clone() },
    ];
    for change in changes {
        let mut wrong = stream();
        change(&mut wrong.end);
        fails_everywhere(
            || OpenFeed::new(&wrong, Supply::Bytes),
            |error, _| assert!(matches!(error, StreamError::Trailer), "{error:?}"),
        );
    }
}

#[test]
fn a_stream_whose_end_is_asserted_is_published_and_never_called_proved() {
    for ending in [Ending::Proved, Ending::Asserted] {
        let mut stream = stream();
        stream.end.ending = ending;
        for kind in Kind::ALL {
            let (sink, report) = Probe::new(kind);
            let opened = Fixture::new(&Workers::pool(2))
                .open(&mut OpenFeed::new(&stream, Supply::Bytes), sink)
                .unwrap();
            assert_eq!(opened.ending, ending);
            assert_eq!(report.published().map(|bytes| bytes.len() as u64), Some(stream.end.plaintext_len));
        }
    }
}

#[test]
fn a_stream_cut_behind_any_segment_is_refused_whatever_its_trailer_says() {
    let whole = stream();
    for segments in 0..3 {
        let mut cut = stream();
        cut.parts.truncate(segments);
        cut.end = StreamEnd {
            segments: segments as u64,
            plaintext_len: (segments * SEGMENT) as u64,
            stream_digest: cut.parts.last().map_or(start(), |part| part.closing.chain_after),
            ..cut.end
        };
        for end in [&whole.end, &cut.end.clone()] {
            cut.end = end.clone();
            fails_everywhere(
                || OpenFeed::new(&cut, Supply::Bytes),
                |error, _| assert!(matches!(error, StreamError::Trailer), "{error:?}"),
            );
        }
    }
}

#[test]
fn a_segment_that_begins_behind_a_whole_stream_and_never_ends_is_refused() {
    let stream = stream();
    fails_everywhere(
        || {
            let mut feed = OpenFeed::new(&stream, Supply::Bytes);
            let end = feed.moves.pop_back().unwrap();
            feed.moves.push_back(Move::Begin { index: 3, plaintext_at: stream.end.plaintext_len as usize });
            feed.moves.push_back(end);
            feed
        },
        |error, commits| assert!(matches!(error, StreamError::Trailer) && commits == 3, "{error:?}"),
    );
}

#[test]
fn runs_that_are_missing_or_doubled_are_refused() {
    let stream = stream();
    for run in 0..RUNS_PER_SEGMENT {
        for doubled in [false, true] {
            fails_everywhere(
                || {
                    let mut feed = OpenFeed::new(&stream, Supply::Bytes);
                    // Behind the step that brings nothing, and the one that begins the segment.
                    let step = feed.moves.remove(2 + run).unwrap();
                    for _ in 0..if doubled { 2 } else { 0 } {
                        feed.moves.insert(2 + run, step.clone());
                    }
                    feed
                },
                |error, commits| {
                    let StreamError::Segment { segment, fault } = error else { panic!("{error:?}") };
                    let at_the_end = run + 1 == RUNS_PER_SEGMENT && !doubled;
                    let due = if at_the_end { SegmentFault::Count } else { SegmentFault::Frames };
                    assert_eq!((segment.0, fault, commits), (0, due, 0), "run {run}");
                },
            );
        }
    }
}

#[test]
fn a_run_of_other_frames_than_its_feed_said_is_refused() {
    let stream = stream();
    type Change = fn(&mut Move);
    let changes: [Change; 3] = [
        |step| change_run(step, |count, _| *count += 1),
        |step| change_run(step, |count, _| *count -= 1),
        |step| change_run(step, |_, plaintext_len| *plaintext_len -= 1),
    ];
    for change in changes {
        fails_everywhere(
            || {
                let mut feed = OpenFeed::new(&stream, Supply::Bytes);
                change(&mut feed.moves[3]);
                feed
            },
            |error, _| {
                let StreamError::Frame { segment: SegmentIndex(0), source, .. } = error else {
                    panic!("{error:?}")
                };
                assert!(matches!(source, FrameError::NotDue { .. }), "{source:?}");
            },
        );
    }
}

fn change_run(step: &mut Move, change: impl FnOnce(&mut u32, &mut usize)) {
    let Move::Run(run) = step else { panic!("this step is a run") };
    change(&mut run.count, &mut run.plaintext_len);
}

#[test]
fn a_segment_that_was_begun_and_is_refused_is_rolled_back() {
    let mut wrong = stream();
    wrong.parts[1].closing.fields.digest[0] ^= 1;
    for workers in all_workers() {
        let (sink, report) = Probe::new(Kind::Ordered);
        Fixture::new(&workers).open(&mut OpenFeed::new(&wrong, Supply::Bytes), sink).unwrap_err();
        report.assert_unpublished();
        assert_eq!((report.commits(), report.log().last()), (1, Some(&Call::RollBack)));
    }
}
