//! Single frames, by criterion: sealed, opened, and what a digest adds, each beside the bare call of the library.
//! It knows no stream: the bench `ratios` does.

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::time::Duration;

use cofferdam::DigestKind;
use cofferdam_bench::{BareLoop, Setting, bytes};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use frame_worker::{Backend, Fragment, FrameWorker, Shape, Suite};
use framing::FrameIndex;
use framing::limits::{FRAME_HEADER_LEN, FRAME_OVERHEAD};
use sha2::{Digest as _, Sha256};

/// What a frame adds to its segment's digest (a tag is there already) beside the bare hash of as many bytes.
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
            worker
                .seal(FrameIndex(0), &plaintext, &mut frame)
                .expect("what is not compressed takes no memory");
            group.bench_function(BenchmarkId::new("open", format!("{} KiB", frame_len >> 10)), |bencher| {
                bencher.iter(|| worker.open(FrameIndex(0), black_box(&frame), &mut plaintext));
            });
            if backend == Backend::Fast {
                let setting =
                    Setting { suite, frame_len, ..Setting::new(DigestKind::Tags, NonZeroUsize::MIN) };
                bare_frame(&mut group, &BareLoop::new(&setting), frame_len);
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

fn shape(frame_len: usize) -> Shape {
    let frames = (SEGMENT_LEN / frame_len) as u32;
    Shape::new(frame_len as u32, frames).expect("the sizes are within the format's limits")
}

fn worker(backend: Backend, suite: Suite, shape: Shape) -> FrameWorker {
    FrameWorker::new(backend, suite, DigestKind::Tags, shape, &[7; 32], &[3; 12])
}

const FRAME_LEN: usize = 64 << 10;
const FRAME_LENS: [usize; 2] = [4 << 10, FRAME_LEN];
const SEGMENT_LEN: usize = 8 << 20;

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    targets = digesting, one_frame
}
criterion_main!(benches);
