//! Owns what a reader at offsets reads: one positioned read a run, with the segment's header in the first and its closing frames
//! in the last. Nothing small is read but the records around the segments.
//! Refuses to know what the bytes say.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod streams;

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cofferdam::{Arrival, BytesSource, FileSource, MemorySink, ReadAt, Source};

use streams::map::{Kind, ranges, segments};
use streams::{KEY, counted, opener, recipients_of, scratch, seal, threads};

/// Frames as they are by default; eight of them are a run.
const FRAME: usize = 64 << 10;
const FRAMES_PER_RUN: usize = 8;

/// Bytes that note what is read of them.
struct Counting {
    bytes: Arc<dyn ReadAt>,
    reads: Mutex<Vec<Range<usize>>>,
}

impl ReadAt for Counting {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let offset = offset as usize;
        self.reads.lock().unwrap().push(offset..offset + buffer.len());
        self.bytes.read_exact_at(offset as u64, buffer)
    }

    fn len(&self) -> u64 {
        self.bytes.len()
    }
}

struct CountingSource(Arc<Counting>);

impl Source for CountingSource {
    fn len(&self) -> Option<u64> {
        Some(self.0.len())
    }

    fn positioned(&self) -> Option<Arc<dyn ReadAt>> {
        Some(self.0.clone())
    }

    fn read_within(&mut self, _: &mut [u8], _: Duration) -> io::Result<Arrival> {
        panic!("whoever can read at offsets does not read in order")
    }
}

/// The reads that opening `source` takes, sorted.
fn reads_of(source: impl Source) -> Vec<Range<usize>> {
    let counting = Arc::new(Counting { bytes: source.positioned().unwrap(), reads: Mutex::default() });
    let opener = opener().threads(threads(2));
    opener.open(CountingSource(counting.clone()), MemorySink::new().0).unwrap();
    let mut reads = counting.reads.lock().unwrap().clone();
    reads.sort_by_key(|read| (read.start, read.end));
    reads
}

/// What the segments of `sealed` take: the frames of each by eights, its edges with the first and the last.
fn due(sealed: &[u8]) -> Vec<Range<usize>> {
    let frames = ranges(sealed, Kind::Data);
    segments(sealed)
        .into_iter()
        .flat_map(|segment| {
            let within: Vec<_> = frames.iter().filter(|frame| segment.contains(&frame.start)).collect();
            let runs = within.chunks(FRAMES_PER_RUN);
            let cuts: BTreeSet<usize> = runs.map(|run| run[run.len() - 1].end).collect();
            let inner = cuts.into_iter().rev().skip(1).collect::<BTreeSet<_>>();
            let begins: Vec<usize> = [segment.start].into_iter().chain(inner).collect();
            let ends = begins[1..].iter().copied().chain([segment.end]).collect::<Vec<_>>();
            begins.into_iter().zip(ends).map(|(begin, end)| begin..end).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn each_run_is_one_read_with_the_edges_of_its_segment_and_nothing_of_a_segment_is_read_twice() {
    let directory = scratch();
    for segment in [FRAME, FRAMES_PER_RUN * FRAME, 20 * FRAME] {
        for len in [0, 1, segment - 1, segment, segment + 1, 2 * segment, 2 * segment + 3 * FRAME / 2] {
            let sealer = cofferdam::Sealer::new(recipients_of(KEY)).segment_len(segment as u64);
            let sealed = seal(&sealer, counted(len));
            let due = due(&sealed);
            let runs_of = |len: usize| len.div_ceil(FRAMES_PER_RUN * FRAME).max(1);
            let full = len.saturating_sub(1) / segment;
            assert_eq!(due.len(), full * runs_of(segment) + runs_of(len - full * segment), "by arithmetic");

            let path = directory.path().join("sealed.cfd");
            std::fs::write(&path, &sealed).unwrap();
            let of_file = reads_of(FileSource::open(&path).unwrap());
            let of_bytes = reads_of(BytesSource::new(sealed.clone()));
            for reads in [of_bytes, of_file] {
                let (of_segments, around): (Vec<_>, Vec<_>) = reads
                    .into_iter()
                    .partition(|read| segments(&sealed).iter().any(|segment| segment.contains(&read.start)));
                assert_eq!(of_segments, due, "{len} bytes in segments of {segment}");
                let small = of_segments.iter().filter(|read| read.len() < 1024);
                assert!(
                    small.into_iter().all(|read| segments(&sealed).contains(read)),
                    "whole segments alone"
                );
                assert_eq!(around.len(), 7, "the records around them, the metadata's head by itself");
            }
        }
    }
}
