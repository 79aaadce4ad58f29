//! Criterion benches of the parts: splitting, fragments, one frame, the sequencer.
//! It knows no whole stream: the benches `memory` and `curves` do.

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::time::Duration;

use cofferdam::{Checkpoint, DigestKind};
use cofferdam_bench::{BareLoop, Reading, Setting, bytes};
use criterion::measurement::WallTime;
use criterion::{
    BatchSize, BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};
use frame_worker::{
    Backend, ChainValue, Closing, ClosingFields, Fragment, FrameWorker, OpenedFrame, SegmentDigest,
    SegmentIndex, Shape, Suite,
};
use framing::limits::{FRAME_HEADER_LEN, FRAME_OVERHEAD};
use framing::{FrameIndex, split_frames};
use segment_worker::{OpenedRun, Sequencer, Verified};
use sha2::{Digest as _, Sha256};

/// Headers alone are read, so what counts is frames a second.
fn splitting(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("split_frames");
    for frame_len in FRAME_LENS {
        let shape = shape(frame_len);
        let plaintext = bytes(SEGMENT_LEN);
        let mut wire = vec![0; FrameWorker::run_wire_len(shape, plaintext.len())];
        worker(Backend::Fast, Suite::Aes256Gcm, shape).seal_run(FrameIndex(0), &plaintext, &mut wire);
        group.throughput(Throughput::Elements(u64::from(shape.frames_per_segment())));
        group.bench_function(BenchmarkId::from_parameter(format!("{} KiB", frame_len >> 10)), |bencher| {
            bencher.iter(|| split_frames(black_box(&wire), shape));
        });
    }
    group.finish();
}

/// What a frame adds to its segment's digest (a tag is there already) beside the bare hash of as many bytes, and what
/// becomes of a segment's worth of that.
fn digesting(criterion: &mut Criterion) {
    let frame = bytes(FRAME_LEN + FRAME_OVERHEAD);
    let (header, body) = frame.split_at(FRAME_HEADER_LEN);
    let mut group = criterion.benchmark_group("fragment of 64 KiB");
    group.throughput(Throughput::Bytes(FRAME_LEN as u64));
    for digest in [DigestKind::Blake3, DigestKind::Sha256] {
        group.bench_function(BenchmarkId::from_parameter(format!("{digest:?}")), |bencher| {
            bencher.iter(|| Fragment::new(digest, black_box(header), black_box(body)));
        });
    }
    group.bench_function(BenchmarkId::from_parameter("Blake3, bare"), |bencher| {
        bencher.iter(|| blake3::hash(black_box(&frame)));
    });
    group.bench_function(BenchmarkId::from_parameter("Sha256, bare"), |bencher| {
        bencher.iter(|| Sha256::digest(black_box(&frame)));
    });
    group.finish();

    let count = (SEGMENT_LEN / FRAME_LEN) as u32;
    let mut group = criterion.benchmark_group("segment digest of 128 fragments");
    group.throughput(Throughput::Elements(u64::from(count)));
    for digest in [DigestKind::Blake3, DigestKind::Sha256, DigestKind::Tags] {
        let fragment = Fragment::new(digest, header, body);
        group.bench_function(BenchmarkId::from_parameter(format!("{digest:?}")), |bencher| {
            bencher.iter(|| {
                let mut segment = SegmentDigest::new(digest, &[1; 112], &[2; 48]);
                (0..count).for_each(|_| segment.absorb(black_box(&fragment)));
                segment.finish(count)
            });
        });
    }
    group.finish();
}

/// One frame by suite, backend and size, without a digest: the cipher and what surrounds it, beside the cipher's bare
/// calls where they are the same library's.
fn one_frame(criterion: &mut Criterion) {
    for (backend, suite) in [
        (Backend::Fast, Suite::Aes256Gcm),
        (Backend::Fast, Suite::ChaCha20Poly1305),
        (Backend::Portable, Suite::Aes256Gcm),
        (Backend::Portable, Suite::ChaCha20Poly1305),
    ] {
        let mut group = criterion.benchmark_group(format!("frame {suite:?} {backend:?}"));
        for frame_len in FRAME_LENS {
            let shape = shape(frame_len);
            let worker = worker(backend, suite, shape);
            let mut plaintext = bytes(frame_len);
            let mut frame = vec![0; frame_len + FRAME_OVERHEAD];
            group.throughput(Throughput::Bytes(frame_len as u64));
            group.bench_function(BenchmarkId::new("seal", format!("{} KiB", frame_len >> 10)), |bencher| {
                bencher.iter(|| worker.seal(FrameIndex(0), black_box(&plaintext), &mut frame));
            });
            worker.seal(FrameIndex(0), &plaintext, &mut frame);
            group.bench_function(BenchmarkId::new("open", format!("{} KiB", frame_len >> 10)), |bencher| {
                bencher.iter(|| worker.open(FrameIndex(0), black_box(&frame), &mut plaintext));
            });
            if backend == Backend::Fast {
                let setting =
                    Setting { suite, frame_len, ..Setting::new(DigestKind::Tags, NonZeroUsize::MIN) };
                bare_frame(&mut group, &BareLoop::new(&setting, Reading::Borrowed), frame_len);
            }
        }
        group.finish();
    }
}

fn bare_frame(group: &mut BenchmarkGroup<'_, WallTime>, bare: &BareLoop, frame_len: usize) {
    let mut plaintext = bytes(frame_len);
    let mut frame = bare.sealed(&plaintext);
    group.bench_function(BenchmarkId::new("seal, bare", format!("{} KiB", frame_len >> 10)), |bencher| {
        bencher.iter(|| bare.seal_run(0, black_box(&plaintext), &mut frame));
    });
    group.bench_function(BenchmarkId::new("open, bare", format!("{} KiB", frame_len >> 10)), |bencher| {
        bencher.iter(|| bare.open_run(0, black_box(&frame), &mut plaintext));
    });
}

/// A segment's sequencer alone: runs that were made up, in order and out of it, put in order, absorbed and proved.
fn sequencing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("segment sequencer, 16384 frames in runs of 8");
    group.throughput(Throughput::Elements(u64::from(SEQUENCED_RUNS * FRAMES_PER_RUN)));
    for digest in [DigestKind::Tags, DigestKind::Blake3] {
        let closing = closing(digest);
        for (name, order) in arrivals() {
            group.bench_function(BenchmarkId::new(name, format!("{digest:?}")), |bencher| {
                let runs = || order.iter().map(|run| made_up_run(*run)).collect::<Vec<_>>();
                bencher.iter_batched(runs, |runs| sequence(digest, &closing, runs), BatchSize::LargeInput);
            });
        }
    }
    group.finish();
}

/// As the pipeline does: what has come goes in, what is due comes out, at the end the proof.
fn sequence(digest: DigestKind, closing: &Closing, runs: Vec<OpenedRun<()>>) -> Verified {
    let mut sequencer = Sequencer::new(SegmentIndex(0), segment_digest(digest), FRAME_LEN as u32);
    for run in runs {
        sequencer.accept(run).expect(MADE_UP);
        while let Some(run) = sequencer.pop().expect(MADE_UP) {
            black_box(run);
        }
    }
    let mark = || Checkpoint::from_bytes([0; Checkpoint::LEN]);
    sequencer.finish(closing, ChainValue([0; 32]), mark).expect(MADE_UP)
}

/// Orders of arrival: as sent, as two threads that take turns at being late, and the worst there is.
fn arrivals() -> [(&'static str, Vec<u32>); 3] {
    let in_order: Vec<_> = (0..SEQUENCED_RUNS).collect();
    let in_pairs = in_order.iter().map(|run| run ^ 1).collect();
    let backwards = in_order.iter().rev().copied().collect();
    [("in order", in_order), ("each pair the other way round", in_pairs), ("backwards", backwards)]
}

fn made_up_run(run: u32) -> OpenedRun<()> {
    let first = run * FRAMES_PER_RUN;
    let frame = |index: u32| OpenedFrame {
        index: FrameIndex(index),
        plaintext_len: FRAME_LEN as u32,
        fragment: Fragment::from_bytes([index as u8; 32]),
    };
    let frames = (first..first + FRAMES_PER_RUN).map(frame).collect();
    OpenedRun { first: FrameIndex(first), frames, output: () }
}

/// What closes a segment of all the runs.
fn closing(digest: DigestKind) -> Closing {
    let mut absorbed = segment_digest(digest);
    let runs = (0..SEQUENCED_RUNS).map(made_up_run);
    runs.for_each(|run| run.frames.iter().for_each(|frame| absorbed.absorb(&frame.fragment)));
    let frame_count = SEQUENCED_RUNS * FRAMES_PER_RUN;
    let fields = ClosingFields {
        frame_count,
        plaintext_len: u64::from(frame_count) * FRAME_LEN as u64,
        digest: absorbed.finish(frame_count),
        last: true,
        chain_before: ChainValue([0; 32]),
    };
    Closing { fields, chain_after: ChainValue([1; 32]) }
}

fn segment_digest(digest: DigestKind) -> SegmentDigest {
    SegmentDigest::new(digest, &[1; 112], &[2; 48])
}

fn shape(frame_len: usize) -> Shape {
    let frames = (SEGMENT_LEN / frame_len) as u32;
    Shape::new(frame_len as u32, frames).expect("the sizes are within the format's limits")
}

fn worker(backend: Backend, suite: Suite, shape: Shape) -> FrameWorker {
    FrameWorker::new(backend, suite, DigestKind::Tags, shape, &[7; 32], &[3; 12])
}

const FRAME_LEN: usize = 64 << 10;
const FRAME_LENS: [usize; 3] = [4 << 10, FRAME_LEN, 1 << 20];
const SEGMENT_LEN: usize = 8 << 20;
const SEQUENCED_RUNS: u32 = 2048;
const FRAMES_PER_RUN: u32 = 8;
const MADE_UP: &str = "the runs were made up for this segment";

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    targets = splitting, digesting, one_frame, sequencing
}
criterion_main!(benches);
