//! Criterion benches of the pipeline in memory: by threads, frame size, segment size, digest and suite, beside bare loops.
//! It knows no turns, so that it follows one row through time; `curves` and `ratios` compare rows.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use cofferdam::{DigestKind, Suite};
use cofferdam_bench::{Row, Scale, Setting, Work, bare_rows, bytes, pipeline_row, rows};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn by_threads(criterion: &mut Criterion) {
    let scale = Scale::from_arguments();
    let plaintext = plaintext();
    for (work, digest) in works_and_digests() {
        for threads in scale.threads() {
            let name = format!("{work:?} in memory, {digest:?}, threads {threads}");
            group(criterion, &name, &plaintext, || rows(work, digest, threads, &plaintext));
        }
    }
}

fn by_frame_size(criterion: &mut Criterion) {
    by_setting(criterion, |digest| {
        let setting = |frame_len| Setting { frame_len, ..Setting::new(digest, all()) };
        FRAME_KIB.map(|kib| (format!("frames {kib} KiB"), setting(kib << 10))).into()
    });
}

fn by_segment_size(criterion: &mut Criterion) {
    by_setting(criterion, |digest| {
        let setting = |segment_len| Setting { segment_len, ..Setting::new(digest, all()) };
        SEGMENT_MIB.map(|mib| (format!("segments {mib} MiB"), setting(mib << 20))).into()
    });
}

fn by_suite(criterion: &mut Criterion) {
    by_setting(criterion, |digest| {
        let setting = |suite| Setting { suite, ..Setting::new(digest, all()) };
        [Suite::Aes256Gcm, Suite::ChaCha20Poly1305].map(|suite| (format!("{suite:?}"), setting(suite))).into()
    });
}

/// A group for each setting that `settings` gives for a digest, with each work.
fn by_setting(criterion: &mut Criterion, settings: impl Fn(DigestKind) -> Vec<(String, Setting)>) {
    let plaintext = plaintext();
    for (work, digest) in works_and_digests() {
        for (name, setting) in settings(digest) {
            let name = format!("{work:?} in memory, {digest:?}, {name}");
            group(criterion, &name, &plaintext, || {
                let mut rows = bare_rows(work, &setting, &plaintext);
                rows.push(pipeline_row(work, &setting, &plaintext));
                rows
            });
        }
    }
}

fn group(criterion: &mut Criterion, name: &str, plaintext: &[u8], rows: impl FnOnce() -> Vec<Row>) {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Bytes(plaintext.len() as u64));
    group.sample_size(SAMPLES);
    for row in rows() {
        group.bench_function(row.name, |bencher| bencher.iter(|| (row.run)()));
    }
    group.finish();
}

fn works_and_digests() -> impl Iterator<Item = (Work, DigestKind)> {
    let digests = [DigestKind::Tags, DigestKind::Blake3, DigestKind::Sha256];
    [Work::Open, Work::Seal].into_iter().flat_map(move |work| digests.map(|digest| (work, digest)))
}

fn plaintext() -> Arc<[u8]> {
    bytes(Scale::from_arguments().plaintext_len()).into()
}

fn all() -> NonZeroUsize {
    thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

const FRAME_KIB: [usize; 5] = [4, 64, 256, 1024, 4096];
const SEGMENT_MIB: [u64; 4] = [1, 8, 64, 1024];
/// An iteration takes tens of milliseconds; criterion's 100 samples of several each would take hours.
const SAMPLES: usize = 10;

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    targets = by_threads, by_frame_size, by_segment_size, by_suite
}
criterion_main!(benches);
