//! The mapped file beside the staged one, by threads, on a file system in memory: pieces written, file published.
//! It knows no cipher and no pipeline; `sinks` has both sinks behind them.

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use cofferdam_bench::{Scale, Warm, bytes, columns, in_turn, timed};
use sinks::{MappedFile, StageOptions, StagedFile, StreamingSink};

fn main() {
    let scale = Scale::from_arguments();
    let directory = tempfile::tempdir_in(DIRECTORY).expect(WORKS);
    let target = directory.path().join("target");
    let (len, rounds) = (stream_len(scale), scale.rounds());
    println!(
        "{} MiB in pieces of {} KiB to {DIRECTORY}, {rounds} rounds in turn, each after one that is not timed.\n",
        len >> 20,
        PIECE_LEN >> 10
    );
    println!("| threads | sink | median GB/s | slowest to fastest | of the staged file |");
    println!("|---|---|---|---|---|");
    for threads in thread_counts() {
        let options = StageOptions { expected_len: Some(len as u64), ..StageOptions::default() };
        let ways = [
            way(&target, len, threads, || StagedFile::create(&target, &options).expect(WORKS)),
            way(&target, len, threads, || MappedFile::create(&target, &options).expect(WORKS)),
        ];
        let times = in_turn(&ways, rounds, Warm::EachTurn);
        for (name, row) in ["staged file", "mapped file"].iter().zip(&times) {
            println!("| {threads} | {name} | {} |", columns(len, row, &times[0]));
        }
    }
}

/// Makes a sink, writes the stream from so many threads, publishes; then removes the target, off the clock.
fn way<'a, S: StreamingSink>(
    target: &'a Path,
    len: usize,
    threads: NonZeroUsize,
    make_sink: impl Fn() -> S + 'a,
) -> Box<dyn Fn() -> Duration + 'a> {
    let piece = bytes(PIECE_LEN);
    Box::new(move || {
        let time = timed(|| write_and_publish(make_sink(), &piece, len, threads));
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

fn stream_len(scale: Scale) -> usize {
    match scale {
        Scale::Measure => 1 << 30,
        Scale::Smoke => 9 << 20,
    }
}

/// The run of the pipeline's defaults.
const PIECE_LEN: usize = 512 << 10;
const DIRECTORY: &str = "/dev/shm";
const WORKS: &str = "a file system in memory has room for the target";
