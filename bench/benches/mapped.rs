//! The mapped file beside the staged one, by threads: pieces written and published by themselves, and a stream restored.
//! It knows no file system; where the files go is for its caller to say.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use std::{env, fs, thread};

use cofferdam::{BytesSource, Identities, MemorySink, Opener, Recipients, Sealer, TargetError, WrappingKey};
use cofferdam_bench::{Scale, Warm, bytes, columns, in_turn, timed};
use sinks::{MappedFile, StageOptions, StagedFile, StreamingSink};

fn main() {
    let scale = Scale::from_arguments();
    let parent = env::var_os(DIRECTORY).map_or_else(|| PathBuf::from("/dev/shm"), PathBuf::from);
    let directory = tempfile::tempdir_in(&parent).expect(WORKS);
    let target = &directory.path().join("target");
    let (len, rounds) = stream(scale);
    let sealed = &sealed(len);
    println!(
        "{} MiB to {}, {rounds} rounds in turn, each after one that is not timed.\n",
        len >> 20,
        parent.display()
    );
    println!("| work | threads | sink | median GB/s | slowest to fastest | of the staged file |");
    println!("|---|---|---|---|---|---|");
    for threads in thread_counts() {
        let options = &StageOptions { expected_len: Some(len as u64), ..StageOptions::default() };
        let staged = || StagedFile::create(target, options);
        let mapped = || MappedFile::create(target, options);
        let written = [written(target, len, threads, staged), written(target, len, threads, mapped)];
        print_rows("written alone", threads, len, &in_turn(&written, rounds, Warm::EachTurn));
        let restored = [restored(target, sealed, threads, staged), restored(target, sealed, threads, mapped)];
        print_rows("restored", threads, len, &in_turn(&restored, rounds, Warm::EachTurn));
    }
}

fn print_rows(work: &str, threads: NonZeroUsize, len: usize, times: &[Vec<Duration>]) {
    for (name, row) in ["staged file", "mapped file"].iter().zip(times) {
        println!("| {work} | {threads} | {name} | {} |", columns(len, row, &times[0]));
    }
}

/// A sealed stream in memory is restored through the pipeline, with its digests checked.
fn restored<'a, S: StreamingSink>(
    target: &'a Path,
    sealed: &'a Arc<[u8]>,
    threads: NonZeroUsize,
    make_sink: impl Fn() -> Result<S, TargetError> + 'a,
) -> Box<dyn Fn() -> Duration + 'a> {
    let opener = Opener::new(Identities::new().wrapping_key(WrappingKey::from_bytes(KEY))).threads(threads);
    Box::new(move || {
        let source = BytesSource::new(sealed.clone());
        let time = timed(|| drop(opener.open_sized(source, |_| make_sink()).expect(WORKS)));
        fs::remove_file(target).expect(WORKS);
        time
    })
}

fn sealed(len: usize) -> Arc<[u8]> {
    let (sink, sealed) = MemorySink::new();
    let recipients = Recipients::new().wrapping_key(WrappingKey::from_bytes(KEY));
    Sealer::new(recipients).seal(BytesSource::new(bytes(len)), sink).expect(WORKS);
    sealed.take().expect(WORKS).into()
}

/// Makes a sink, writes the stream from so many threads, publishes; then removes the target, off the clock.
fn written<'a, S: StreamingSink>(
    target: &'a Path,
    len: usize,
    threads: NonZeroUsize,
    make_sink: impl Fn() -> Result<S, TargetError> + 'a,
) -> Box<dyn Fn() -> Duration + 'a> {
    let piece = bytes(PIECE_LEN);
    Box::new(move || {
        let time = timed(|| write_and_publish(make_sink().expect(WORKS), &piece, len, threads));
        assert_eq!(fs::metadata(target).expect(WORKS).len(), len as u64);
        fs::remove_file(target).expect(WORKS);
        time
    })
}

fn write_and_publish(mut sink: impl StreamingSink, piece: &[u8], len: usize, threads: NonZeroUsize) {
    let writer = sink.positioned().expect("both sinks take bytes at offsets");
    // Each place is handed out once; nothing else is read on the strength of it.
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..threads.get() {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(PIECE_LEN, Ordering::Relaxed);
                    if at >= len {
                        break;
                    }
                    writer.write_at(at as u64, &piece[..PIECE_LEN.min(len - at)]).expect(WORKS);
                }
            });
        }
    });
    sink.publish(len as u64).expect(WORKS);
}

/// One, two, and as many as the machine runs at once.
fn thread_counts() -> Vec<NonZeroUsize> {
    let all = thread::available_parallelism().map_or(2, NonZeroUsize::get);
    let mut counts: Vec<_> = [1, 2, 4, all].into_iter().filter(|count| *count <= all.max(2)).collect();
    counts.dedup();
    counts.into_iter().filter_map(NonZeroUsize::new).collect()
}

/// Bytes and rounds.
fn stream(scale: Scale) -> (usize, usize) {
    match scale {
        Scale::Measure => (1 << 30, 7),
        Scale::Smoke => (scale.plaintext_len(), 1),
    }
}

/// The run of the pipeline's defaults.
const PIECE_LEN: usize = 512 << 10;
const KEY: [u8; 32] = [7; 32];
/// Where the files go; without it, into memory.
const DIRECTORY: &str = "COFFERDAM_BENCH_DIRECTORY";
const WORKS: &str = "nothing fails here that the bench is about";
