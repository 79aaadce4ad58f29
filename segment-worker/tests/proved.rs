//! Segments that lie in the sink already: which of them proving finds, and that a stream is opened around them.
//! What a seed or a resume is, is not known here.

use std::io;
use std::sync::Arc;

use cofferdam_io::ReadAt;
use frame_worker::{FrameIndex, SegmentIndex};
use segment_worker::{
    Buffers, Edges, ExpectedDigest, ExpectedSegment, Input, ProofFeed, ProvedSegments, Run, SegmentFault,
    SegmentPlan, Step, StreamError,
};

use crate::support::*;

const SEGMENTS: u64 = 6;

/// Plaintext at hand, of which a range cannot be read.
struct Kept {
    bytes: Vec<u8>,
    unreadable: Vec<u64>,
}

impl ReadAt for Kept {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        if self.unreadable.contains(&offset) {
            return Err(io::Error::other("bad sector"));
        }
        let there = self.bytes.get(offset as usize..offset as usize + buffer.len());
        buffer.copy_from_slice(there.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }
}

/// Brings some segments of a stream to be proved.
struct Candidates {
    parts: Vec<Part>,
    kept: Arc<Kept>,
    begun: usize,
    runs: Option<Vec<Extent>>,
}

impl ProofFeed for Candidates {
    type Error = FeedFailed;

    fn next(&mut self, _: &Buffers) -> Result<Step<ExpectedSegment, ()>, FeedFailed> {
        let Some(runs) = &mut self.runs else {
            let Some(part) = self.parts.get(self.begun) else { return Ok(Step::End(())) };
            self.begun += 1;
            self.runs = Some(part.runs().into_iter().rev().collect());
            return Ok(Step::Segment(SegmentPlan {
                index: SegmentIndex(self.begun as u64 - 1),
                worker: worker(part.index),
                digest: digest(part.index),
                sink_offset: part.plaintext_at as u64,
                head: Vec::new(),
            }));
        };
        if let Some(at) = runs.pop() {
            return Ok(Step::Run(Run {
                first: FrameIndex(at.first),
                count: at.count,
                input: Input::Place(self.kept.clone()),
                input_offset: at.plaintext_at as u64,
                input_len: at.plaintext_len,
                edges: Edges::default(),
                output_len: at.wire_len,
                sink_offset: at.plaintext_at as u64,
            }));
        }
        self.runs = None;
        let part = &self.parts[self.begun - 1];
        Ok(Step::Close(ExpectedSegment {
            index: SegmentIndex(part.index),
            plaintext_len: part.plaintext_len as u64,
            digest: ExpectedDigest::Frames(part.closing.fields.digest),
        }))
    }
}

/// Which segments of `stream`, of those that `wanted` names, `kept` proves.
fn prove(fixture: &Fixture, stream: &Stream, kept: Kept, wanted: &[u64], proved: &mut ProvedSegments) {
    let parts = stream.parts.iter().filter(|part| wanted.contains(&part.index)).cloned().collect();
    let mut feed = Candidates { parts, kept: Arc::new(kept), begun: 0, runs: None };
    let (sink, report) = Probe::new(Kind::Positioned);
    fixture.prove(&mut feed, sink, proved).unwrap();
    assert_eq!((report.count(Call::Write), report.count(Call::Publish)), (0, 0), "nothing is stored");
}

fn all(segments: &ProvedSegments) -> Vec<u64> {
    (0..SEGMENTS).filter(|index| segments.contains(SegmentIndex(*index))).collect()
}

fn none() -> ProvedSegments {
    ProvedSegments::none_of(SEGMENTS).unwrap()
}

#[test]
fn every_segment_that_is_what_was_sealed_is_found_behind_any_that_is_not() {
    let plaintext = plaintext((SEGMENTS as usize - 1) * SEGMENT + 321);
    let stream = Stream::sealed_from(&plaintext);
    for workers in all_workers() {
        let fixture = Fixture::new(&workers);
        for wrong in 0..1_u64 << SEGMENTS {
            let is_wrong = |index: &u64| wrong >> index & 1 == 1;
            let mut kept = Kept { bytes: plaintext.clone(), unreadable: Vec::new() };
            for index in (0..SEGMENTS).filter(is_wrong) {
                let runs = stream.parts[index as usize].runs();
                let run = runs[(wrong as usize + index as usize) % runs.len()];
                match index % 2 {
                    0 => kept.bytes[run.plaintext_at + run.plaintext_len - 1] ^= 1,
                    _ => kept.unreadable.push(run.plaintext_at as u64),
                }
            }
            let mut proved = none();
            prove(&fixture, &stream, kept, &[0, 1, 2, 3, 4, 5], &mut proved);
            let right: Vec<_> = (0..SEGMENTS).filter(|index| !is_wrong(index)).collect();
            assert_eq!(all(&proved), right, "{wrong:b}");
            let len: usize = right.iter().map(|index| stream.parts[*index as usize].plaintext_len).sum();
            assert_eq!(proved.plaintext_len(), len as u64);
        }
    }
}

#[test]
fn a_second_pass_adds_to_what_the_first_has_found() {
    let plaintext = plaintext(SEGMENTS as usize * SEGMENT);
    let stream = Stream::sealed_from(&plaintext);
    let fixture = Fixture::new(&Workers::pool(2));
    let kept = || Kept { bytes: plaintext.clone(), unreadable: Vec::new() };
    let mut proved = none();
    prove(&fixture, &stream, kept(), &[1, 4], &mut proved);
    assert_eq!((all(&proved), proved.prefix()), (vec![1, 4], 0));
    prove(&fixture, &stream, kept(), &[0, 5], &mut proved);
    assert_eq!((all(&proved), proved.prefix()), (vec![0, 1, 4, 5], 2));
}

#[test]
fn a_stream_is_opened_around_what_is_proved_and_reads_none_of_that() {
    let plaintext = plaintext((SEGMENTS as usize - 1) * SEGMENT + 321);
    let stream = Stream::sealed_from(&plaintext);
    let workers = [Workers::Inline, Workers::pool(1), Workers::pool(3), Workers::pool_and_caller(1)];
    for (workers, kind) in workers.iter().flat_map(|workers| Kind::ALL.map(|kind| (workers, kind))) {
        let fixture = Fixture::new(workers);
        for subset in 0..1_u64 << (SEGMENTS - 1) {
            let wanted: Vec<_> = (0..SEGMENTS - 1).filter(|index| subset >> index & 1 == 1).collect();
            let mut proved = none();
            let kept = Kept { bytes: plaintext.clone(), unreadable: Vec::new() };
            prove(&fixture, &stream, kept, &wanted, &mut proved);
            let skipped = stream.parts.clone();
            let is_skipped = move |at: u64| {
                let part = skipped.iter().rev().find(|part| part.wire_at as u64 <= at).unwrap();
                subset >> part.index & 1 == 1
            };
            let wire = Wire::watched(stream.wire.clone(), move |_, at| assert!(!is_skipped(at), "{at}"));
            let mut feed = OpenFeed::over(&stream, wire, Supply::PlaceWithEdges).with_proved(&stream, proved);
            let (sink, report) = Probe::new(kind);
            let mut commits = Vec::new();
            let sink = sink.keeping(plaintext.clone());
            let opened = fixture.open_observed(&mut feed, sink, &mut |at| commits.push(*at)).unwrap();
            assert_eq!(opened.stream_digest, stream.end.stream_digest);
            assert!(report.published().unwrap() == plaintext, "{kind:?} {subset:b}");
            report.assert_over();
            assert_eq!(report.count(Call::Confirm), wanted.len());
            assert!(commits.iter().map(|at| at.segments).eq(1..=SEGMENTS), "in order");
            let closed: Vec<_> = stream.parts.iter().map(|part| (part.index, part.closing.clone())).collect();
            assert_eq!(feed.closed, closed, "closing frames that were made again are the stream's");
        }
    }
}

#[test]
fn a_chain_over_proved_segments_has_to_meet_the_next_terminator() {
    let plaintext = plaintext(SEGMENTS as usize * SEGMENT);
    let stream = Stream::sealed_from(&plaintext);
    for kind in Kind::ALL {
        for (proved_at, then) in [(0, 1), (2, 3), (4, 5)] {
            let fixture = Fixture::new(&Workers::pool(2));
            let mut proved = none();
            let kept = Kept { bytes: plaintext.clone(), unreadable: Vec::new() };
            prove(&fixture, &stream, kept, &[proved_at], &mut proved);
            // Somebody says another digest of it, when it is too late for the proof.
            let mut other = stream.clone();
            other.parts[proved_at as usize].closing.fields.digest[0] ^= 1;
            let mut feed = OpenFeed::new(&stream, Supply::Place).with_proved(&other, proved);
            let (sink, report) = Probe::new(kind);
            let error = fixture.open(&mut feed, sink.keeping(plaintext.clone())).unwrap_err();
            match error {
                StreamError::Segment { segment, fault: SegmentFault::Chain } => assert_eq!(segment.0, then),
                error => panic!("{error:?}"),
            }
            report.assert_unpublished();
        }
    }
}

#[test]
fn a_sink_that_does_not_have_what_is_proved_fails_the_stream() {
    let plaintext = plaintext(SEGMENTS as usize * SEGMENT);
    let stream = Stream::sealed_from(&plaintext);
    for kind in Kind::ALL {
        let fixture = Fixture::new(&Workers::pool(2));
        let mut proved = none();
        let kept = Kept { bytes: plaintext.clone(), unreadable: Vec::new() };
        prove(&fixture, &stream, kept, &[3], &mut proved);
        let mut feed = OpenFeed::new(&stream, Supply::Place).with_proved(&stream, proved);
        let (sink, report) = Probe::new(kind);
        let error = fixture.open(&mut feed, sink).unwrap_err();
        assert!(matches!(error, StreamError::Sink { segment: SegmentIndex(3), .. }), "{error:?}");
        report.assert_unpublished();
    }
}
