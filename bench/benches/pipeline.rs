//! Criterion benches of the parts (splitting, fragments, one frame) and of the pipeline in memory.
//! It knows no file and no other program: `cargo xtask compare` does.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use cofferdam::DigestKind;
use cofferdam_bench::{Scale, Work, bytes, rows};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use frame_worker::{Backend, Fragment, FrameWorker, SegmentDigest, Shape, Suite};
use framing::limits::{FRAME_HEADER_LEN, FRAME_OVERHEAD};
use framing::{FrameIndex, split_frames};

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

/// What a frame adds to its segment's digest (a tag is there already), and what becomes of a segment's worth of that.
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

/// One frame by suite, backend and size, without a digest: the cipher and what surrounds it.
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
        }
        group.finish();
    }
}

/// The pipeline beside its bare loops; `ratios` has the same rows in turn.
fn in_memory(criterion: &mut Criterion) {
    let scale = Scale::from_arguments();
    let plaintext: Arc<[u8]> = bytes(scale.plaintext_len()).into();
    for work in [Work::Open, Work::Seal] {
        for digest in [DigestKind::Tags, DigestKind::Blake3] {
            for threads in scale.threads() {
                let mut group =
                    criterion.benchmark_group(format!("{work:?} in memory, {digest:?}, threads {threads}"));
                group.throughput(Throughput::Bytes(plaintext.len() as u64));
                group.sample_size(SAMPLES_IN_MEMORY);
                for row in rows(work, digest, threads, &plaintext) {
                    group.bench_function(row.name, |bencher| bencher.iter(|| (row.run)()));
                }
                group.finish();
            }
        }
    }
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
/// An iteration takes tens of milliseconds; criterion's 100 samples of several each would take half an hour.
const SAMPLES_IN_MEMORY: usize = 10;

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    targets = splitting, digesting, one_frame, in_memory
}
criterion_main!(benches);
