//! A part of a stream goes to a sink of its own, from segment 0 and byte 0 there, and is published only where it ends as was said.
//! Where it has to begin and end in the stream is the feed's to know.

use std::ops::Range;

use frame_worker::ChainValue;
use segment_worker::{Committed, Ending, SegmentFault, StreamEnd, StreamError};

use crate::support::*;

const SEGMENTS: usize = 4;

fn stream() -> (Vec<u8>, Stream) {
    let plaintext = plaintext(3 * SEGMENT + 321);
    let stream = Stream::sealed_from(&plaintext);
    (plaintext, stream)
}

/// Where segment `index` begins, or the stream ends.
fn at(stream: &Stream, index: usize) -> Committed {
    let plaintext_len = stream.parts[..index].iter().map(|part| part.plaintext_len as u64).sum();
    let chain = index.checked_sub(1).map_or(start(), |before| stream.parts[before].closing.chain_after);
    Committed { segments: index as u64, plaintext_len, ..Committed::at_start(chain) }
}

fn end_at(stream: &Stream, index: usize) -> StreamEnd {
    let Committed { segments, plaintext_len, chain, .. } = at(stream, index);
    StreamEnd { segments, plaintext_len, stream_digest: chain, ending: Ending::Proved }
}

fn ranges() -> impl Iterator<Item = Range<usize>> {
    (0..SEGMENTS).flat_map(|from| (from + 1..=SEGMENTS).map(move |to| from..to))
}

#[test]
fn a_part_is_what_its_sink_would_get_of_a_stream_of_these_segments() {
    let (plaintext, stream) = stream();
    for workers in [Workers::Inline, Workers::pool(3), Workers::pool_and_caller(1)] {
        for kind in Kind::ALL {
            for range in ranges() {
                let begin = at(&stream, range.start);
                let end = end_at(&stream, range.end);
                let feed = OpenFeed::new(&stream, Supply::PlaceWithEdges);
                let mut feed = feed.of_part(&stream, range.clone(), end.clone());
                let (sink, report) = Probe::new(kind);
                let fixture = Fixture::new(&workers).going_on_at(begin);
                let opened = fixture.open_part(&mut feed, sink).unwrap();
                assert_eq!((opened.segments, opened.stream_digest), (end.segments, end.stream_digest));
                let due = &plaintext[begin.plaintext_len as usize..end.plaintext_len as usize];
                assert!(report.published().as_deref() == Some(due), "{range:?}");
            }
        }
    }
}

#[test]
fn a_part_that_does_not_end_as_was_said_is_not_published() {
    let (_, stream) = stream();
    let end = end_at(&stream, 3);
    let ends = [
        StreamEnd { segments: 2, ..end.clone() },
        StreamEnd { ending: Ending::Asserted, ..end.clone() },
        StreamEnd { plaintext_len: end.plaintext_len - 1, ..end.clone() },
        StreamEnd { stream_digest: ChainValue([9; 32]), ..end },
        end_at(&stream, 2),
        end_at(&stream, 4),
    ];
    for said in ends {
        let mut feed = OpenFeed::new(&stream, Supply::Bytes).of_part(&stream, 1..3, said);
        let (sink, report) = Probe::new(Kind::Positioned);
        let fixture = Fixture::new(&Workers::Inline).going_on_at(at(&stream, 1));
        let error = fixture.open_part(&mut feed, sink).unwrap_err();
        assert!(matches!(error, StreamError::Trailer), "{error:?}");
        assert_eq!(report.published(), None);
    }
}

#[test]
fn a_part_of_no_segment_is_not_published_though_its_end_is_its_beginning() {
    let (_, stream) = stream();
    for index in 0..=SEGMENTS {
        let end = end_at(&stream, index);
        let mut feed = OpenFeed::new(&stream, Supply::Bytes).of_part(&stream, index..index, end);
        let (sink, report) = Probe::new(Kind::Positioned);
        let fixture = Fixture::new(&Workers::Inline).going_on_at(at(&stream, index));
        assert!(matches!(fixture.open_part(&mut feed, sink), Err(StreamError::Trailer)));
        assert_eq!(report.published(), None);
    }
}

#[test]
fn a_part_that_begins_in_another_chain_or_elsewhere_is_refused_by_its_first_segment() {
    let (_, stream) = stream();
    let begin = at(&stream, 1);
    let begins = [Committed { chain: start(), ..begin }, Committed { segments: 2, ..begin }];
    for begin in begins {
        let mut feed = OpenFeed::new(&stream, Supply::Bytes).of_part(&stream, 1..3, end_at(&stream, 3));
        let (sink, report) = Probe::new(Kind::Positioned);
        let fixture = Fixture::new(&Workers::Inline).going_on_at(begin);
        let error = fixture.open_part(&mut feed, sink).unwrap_err();
        assert!(
            matches!(error, StreamError::Segment { segment, fault: SegmentFault::Chain } if segment.0 == 1),
            "{error:?}"
        );
        assert_eq!(report.published(), None);
    }
}

/// The proof of a part publishes no stream: without its last segment, a whole stream does not end.
#[test]
fn what_is_a_part_is_no_whole_stream() {
    let (_, stream) = stream();
    let mut feed = OpenFeed::new(&stream, Supply::Bytes).of_part(&stream, 0..3, end_at(&stream, 3));
    let (sink, report) = Probe::new(Kind::Positioned);
    let error = Fixture::new(&Workers::Inline).open(&mut feed, sink).unwrap_err();
    assert!(matches!(error, StreamError::Trailer), "{error:?}");
    assert_eq!(report.published(), None);
}
