//! What is sealed is what the one-thread reference seals, and opens to what it was.
//! Every size at the edges of frame and segment, every kind of sink, every release policy, every number of threads.

use std::io::Write;
use std::sync::Arc;

use local::{MemorySink, PipeSink};
use parking_lot::Mutex;
use segment_worker::{Committed, Opened, ReleasePolicy, Sealed};

use crate::support::*;

const SIZES: [usize; 11] = [
    0,
    1,
    FRAME - 1,
    FRAME,
    FRAME + 1,
    RUN + 1,
    SEGMENT - 1,
    SEGMENT,
    SEGMENT + 1,
    2 * SEGMENT + 4321,
    7 * SEGMENT,
];
const RELEASES: [ReleasePolicy; 4] = [
    ReleasePolicy::AtOnce,
    ReleasePolicy::AfterDigest,
    ReleasePolicy::AfterDigestIfFrameOver(FRAME as u32 - 1),
    ReleasePolicy::AfterDigestIfFrameOver(FRAME as u32),
];
const SUPPLIES: [Supply; 3] = [Supply::Bytes, Supply::Place, Supply::PlaceWithEdges];

#[derive(Clone, Default)]
struct Pipe(Arc<Mutex<Vec<u8>>>);

impl Write for Pipe {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        self.0.lock().write(data)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Commits come one after the other, each once, and end with the whole.
fn check_commits(commits: &[Committed], parts: &[Part], sink_ends: impl Fn(&Part) -> usize) {
    let seen: Vec<_> =
        commits.iter().map(|at| (at.segments, at.plaintext_len, at.sink_len, at.chain)).collect();
    let due: Vec<_> = parts
        .iter()
        .map(|part| {
            let plaintext_end = (part.plaintext_at + part.plaintext_len) as u64;
            (part.index + 1, plaintext_end, sink_ends(part) as u64, part.closing.chain_after)
        })
        .collect();
    assert_eq!(seen, due);
}

fn open_every_way(fixture: &Fixture, plaintext: &[u8], stream: &Stream, supply: Supply) {
    let due = Opened {
        segments: stream.end.segments,
        plaintext_len: stream.end.plaintext_len,
        stream_digest: stream.end.stream_digest,
        ending: stream.end.ending,
    };
    let plaintext_end = |part: &Part| part.plaintext_at + part.plaintext_len;
    let open = |sink: Box<dyn contract::StreamingSink>| {
        let mut commits = Vec::new();
        let opened = fixture
            .open_observed(&mut OpenFeed::new(stream, supply), sink, &mut |at| commits.push(*at))
            .unwrap();
        assert_eq!(opened, due);
        check_commits(&commits, &stream.parts, plaintext_end);
    };
    let (sink, contents) = MemorySink::new();
    open(Box::new(sink));
    assert_eq!(contents.take().unwrap(), plaintext);
    let pipe = Pipe::default();
    open(Box::new(PipeSink::new(pipe.clone())));
    assert_eq!(*pipe.0.lock(), plaintext);
    for kind in [Kind::Positioned, Kind::Ordered, Kind::Seen] {
        let (sink, report) = Probe::new(kind);
        open(Box::new(sink));
        assert_eq!(report.published().unwrap(), plaintext);
        report.assert_over();
    }
}

fn seal_every_way(fixture: &Fixture, plaintext: &[u8], stream: &Stream, supply: Supply) {
    let due = Sealed {
        segments: stream.end.segments,
        plaintext_len: plaintext.len() as u64,
        wire_len: stream.wire.len() as u64,
        stream_digest: stream.end.stream_digest,
    };
    let ends: Vec<_> =
        stream.parts.iter().skip(1).map(|next| next.wire_at).chain([stream.wire.len()]).collect();
    let seal = |sink: Box<dyn contract::StreamingSink>| {
        let mut commits = Vec::new();
        let sealed = fixture
            .seal_observed(&mut SealFeed::new(plaintext, supply), sink, &mut |at| commits.push(*at))
            .unwrap();
        assert_eq!(sealed, due);
        check_commits(&commits, &stream.parts, |part| ends[part.index as usize]);
    };
    let (sink, contents) = MemorySink::new();
    seal(Box::new(sink));
    assert!(contents.take().unwrap() == stream.wire, "the bytes are the reference's");
    let pipe = Pipe::default();
    seal(Box::new(PipeSink::new(pipe.clone())));
    assert!(*pipe.0.lock() == stream.wire, "the bytes are the reference's");
    for kind in [Kind::Positioned, Kind::Ordered] {
        let (sink, report) = Probe::new(kind);
        seal(Box::new(sink));
        assert!(report.published().unwrap() == stream.wire, "the bytes are the reference's");
        report.assert_over();
    }
}

#[test]
fn every_size_opens_to_what_was_sealed_whatever_the_sink_the_policy_and_the_threads() {
    for workers in all_workers() {
        for len in SIZES {
            let plaintext = plaintext(len);
            let stream = Stream::sealed_from(&plaintext);
            for release in RELEASES {
                for supply in SUPPLIES {
                    let fixture = Fixture::new(&workers).releasing(release);
                    open_every_way(&fixture, &plaintext, &stream, supply);
                }
            }
        }
    }
}

#[test]
fn every_size_is_sealed_to_the_bytes_of_the_reference() {
    for workers in all_workers() {
        for len in SIZES {
            let plaintext = plaintext(len);
            let stream = Stream::sealed_from(&plaintext);
            for supply in SUPPLIES {
                seal_every_way(&Fixture::new(&workers), &plaintext, &stream, supply);
            }
        }
    }
}

#[test]
fn a_stream_of_more_segments_than_may_be_in_flight_comes_through() {
    let plaintext = plaintext(150 * SEGMENT + 1);
    let stream = Stream::sealed_from(&plaintext);
    for workers in all_workers() {
        open_every_way(&Fixture::new(&workers), &plaintext, &stream, Supply::Place);
    }
}
