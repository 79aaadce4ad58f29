//! Headers and closing frames that jobs read with the frames between them: one read a run, and every wrong byte is refused
//! where it stands. What the feed compares comes to it in order.

use std::sync::Arc;

use frame_worker::{CLOSING_LEN, FRAME_OVERHEAD, FrameError, FrameIndex, SEGMENT_HEADER_LEN, SegmentIndex};
use parking_lot::Mutex;
use segment_worker::StreamError;

use crate::support::*;

fn stream() -> Stream {
    Stream::sealed_from(&plaintext(2 * SEGMENT + 2 * FRAME + 1))
}

/// Where the closing frames of a segment begin on the wire.
fn closing_at(part: &Part) -> usize {
    let frames = part.plaintext_len.div_ceil(FRAME);
    part.wire_at + SEGMENT_HEADER_LEN + part.plaintext_len + frames * FRAME_OVERHEAD
}

/// A feed over `stream` with one bit of its wire flipped.
fn flipped_at<'a>(stream: &Stream, at: usize) -> OpenFeed<'a> {
    let mut wire = stream.wire.clone();
    wire[at] ^= 1;
    OpenFeed::over(stream, Wire::new(wire), Supply::PlaceWithEdges)
}

#[test]
fn one_read_a_run_takes_every_byte_of_a_stream_once() {
    for len in [0, 1, RUN - 1, RUN, RUN + 1, SEGMENT, 2 * SEGMENT, 2 * SEGMENT + 2 * FRAME + 1] {
        let stream = Stream::sealed_from(&plaintext(len));
        let reads = Arc::new(Mutex::new(Vec::new()));
        let wire = Wire::watched(stream.wire.clone(), {
            let reads = reads.clone();
            move |_, offset| reads.lock().push(offset)
        });
        let (sink, report) = Probe::new(Kind::Positioned);
        let mut feed = OpenFeed::over(&stream, wire, Supply::PlaceWithEdges);
        Fixture::new(&Workers::pool(3)).open(&mut feed, sink).unwrap();
        report.assert_over();
        let due: Vec<u64> = stream
            .parts
            .iter()
            .flat_map(|part| {
                let frames = part.runs_with_edges().into_iter().skip(1).map(|run| run.wire_at as u64);
                [part.wire_at as u64].into_iter().chain(frames)
            })
            .collect();
        let mut reads = reads.lock().clone();
        reads.sort_unstable();
        assert_eq!(reads, due, "{len} bytes");
    }
}

#[test]
fn a_header_that_is_not_the_due_one_is_named_before_any_frame_of_its_segment() {
    let stream = stream();
    for part in &stream.parts {
        for at in [0, 8, 16, 24, 32, SEGMENT_HEADER_LEN - 1] {
            let feed = || {
                let mut wire = stream.wire.clone();
                wire[part.wire_at + at] ^= 1;
                wire[part.wire_at + SEGMENT_HEADER_LEN + FRAME_OVERHEAD] ^= 1;
                OpenFeed::over(&stream, Wire::new(wire), Supply::PlaceWithEdges)
            };
            fails_everywhere(feed, |error, commits| {
                let StreamError::Header { segment, offset } = error else { panic!("{error:?}") };
                assert_eq!((segment.0, offset, commits), (part.index, part.wire_at as u64, part.index));
            });
        }
    }
}

#[test]
fn closing_frames_with_a_wrong_bit_are_refused_where_they_begin_and_those_before_have_committed() {
    let stream = stream();
    for part in &stream.parts {
        for at in (0..CLOSING_LEN).step_by(5) {
            let begin = closing_at(part);
            fails_everywhere(
                || flipped_at(&stream, begin + at),
                |error, commits| {
                    let StreamError::Frame { segment, first, offset, .. } = error else {
                        panic!("{error:?}")
                    };
                    assert_eq!((segment.0, first, offset), (part.index, FrameIndex(0), begin as u64));
                    assert_eq!(commits, part.index);
                },
            );
        }
    }
}

#[test]
fn a_wrong_frame_comes_before_wrong_closing_frames_of_its_segment() {
    let stream = stream();
    for (index, frame, at) in stream.frames() {
        let part = &stream.parts[index as usize];
        let feed = || {
            let mut wire = stream.wire.clone();
            wire[at] ^= 1;
            wire[closing_at(part)] ^= 1;
            OpenFeed::over(&stream, Wire::new(wire), Supply::PlaceWithEdges)
        };
        fails_everywhere(feed, |error, _| {
            let StreamError::Frame { segment, source, .. } = error else { panic!("{error:?}") };
            assert_eq!(segment, SegmentIndex(index));
            assert_eq!(source, FrameError::Authentication { frame: FrameIndex(frame) });
        });
    }
}

#[test]
fn closing_frames_come_to_the_feed_in_order_whoever_has_read_them() {
    let stream = stream();
    let due: Vec<_> = stream.parts.iter().map(|part| (part.index, part.closing.clone())).collect();
    for workers in all_workers() {
        for supply in [Supply::Bytes, Supply::Place, Supply::PlaceWithEdges] {
            let mut feed = OpenFeed::new(&stream, supply);
            Fixture::new(&workers).open(&mut feed, Probe::new(Kind::Ordered).0).unwrap();
            assert_eq!(feed.closed, due);
        }
    }
}

#[test]
fn closing_frames_that_the_feed_refuses_end_the_stream_at_their_segment() {
    let stream = stream();
    for index in 0..3 {
        for supply in [Supply::Bytes, Supply::PlaceWithEdges] {
            let feed = || OpenFeed::new(&stream, supply).refusing_closing_of(index);
            fails_everywhere(feed, |error, commits| {
                assert!(matches!(error, StreamError::Feed(FeedFailed)) && commits == index, "{error:?}");
            });
        }
    }
}

#[test]
fn a_feed_that_refuses_closing_frames_is_heard_after_faults_that_come_before_them() {
    let stream = stream();
    let feed = || flipped_at(&stream, stream.frames()[0].2).refusing_closing_of(2);
    fails_everywhere(feed, |error, commits| {
        let StreamError::Frame { segment, .. } = error else { panic!("{error:?}") };
        assert_eq!((segment.0, commits), (0, 0));
    });
}

#[test]
fn segments_that_are_doubled_or_swapped_break_the_chain_wherever_their_closing_frames_are_read() {
    for (parts, named) in [(vec![0, 0, 1, 2], 0), (vec![0, 1, 1, 2], 1), (vec![1, 0, 2], 1)] {
        let mut arranged = stream();
        arranged.parts = parts.iter().map(|part| arranged.parts[*part].clone()).collect();
        fails_everywhere(
            || OpenFeed::new(&arranged, Supply::PlaceWithEdges),
            |error, _| {
                let StreamError::Segment { segment, .. } = error else { panic!("{error:?}") };
                assert_eq!(segment.0, named, "{parts:?}");
            },
        );
    }
}
