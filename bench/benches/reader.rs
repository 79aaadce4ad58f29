//! A reader beside the bare loop that reads and opens the same frames, and beside a restore to a pipe when all is read in order.
//! It knows one file, sealed with everything at its default, and one size of reads.

use std::fs::File;
use std::hint::black_box;
use std::io::{Read, Seek as _, Write as _};
use std::num::NonZeroUsize;
use std::path::Path;
use std::thread;
use std::time::Duration;

use cofferdam::{FileSource, PipeSink, Reader, ReaderSource};
use cofferdam_bench::{BareReads, Scale, Timed, bytes, directory, is_wanted, opener, sealer, times};
use harness::{Effort, WarmUp, ratio, timed};

fn main() {
    let scale = Scale::from_arguments();
    let len = scale.choose(4 << 30, 16 << 20);
    let scratch = tempfile::tempdir_in(directory()).expect("the directory can be written");
    let sealed = scratch.path().join("sealed");
    let input = Repeated { chunk: bytes(8 << 20), left: len };
    sealer().seal_to(ReaderSource::new(input), &sealed).expect(WORKS);
    let about = format!(
        "{} MiB in {}, in the page cache, {ROUNDS} rounds in turn after one to warm up. The ratio is the median of those of the \
         rounds; between the quartiles lies half of them.",
        len >> 20,
        scratch.path().parent().unwrap_or(scratch.path()).display()
    );
    println!("{}\n", scale.preface(about));
    println!("| work | beside | median s | of that s | ours | quartiles |\n|---|---|---|---|---|---|");
    let rounds = scale.choose(ROUNDS, 1);
    if is_wanted("random") {
        for (count, memory) in [(1, 32 << 20), (2, 32 << 20), (1, 2 << 20)] {
            random(&sealed, len, count, memory, scale.choose(10_000, 100), rounds);
        }
    }
    if is_wanted("sequential") {
        sequential(&sealed, rounds);
    }
}

/// The same offsets for both, others in each round, shared out among `count` threads.
fn random(sealed: &Path, len: u64, count: usize, memory: usize, reads: usize, rounds: usize) {
    let offsets = |round: usize| -> Vec<u64> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64.wrapping_add(round as u64);
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % (len - READ_LEN as u64)
        };
        (0..reads).map(|_| next()).collect()
    };
    let bare = BareReads::open(sealed);
    let reader = opener().memory(memory).reader(FileSource::open(sealed).expect(WORKS)).expect(WORKS);
    compare(&bare, &reader, &offsets(usize::MAX / 2)[..reads.min(100)]);
    let over = |offsets: &[u64], read: &(dyn Fn(&[u64]) + Sync)| {
        thread::scope(|scope| {
            for part in offsets.chunks(offsets.len().div_ceil(count)) {
                scope.spawn(move || read(part));
            }
        });
    };
    let bare_part = |part: &[u64]| {
        let (mut out, mut buffers) = ([0; READ_LEN], bare.buffers());
        for offset in part {
            bare.read_at(*offset, &mut out, &mut buffers);
            black_box(&mut out);
        }
    };
    let our_part = |part: &[u64]| {
        let mut out = [0; READ_LEN];
        for offset in part {
            reader.read_at(*offset, &mut out).expect(WORKS);
            black_box(&mut out);
        }
    };
    let mut round_of = [0, 0];
    let [first, second] = &mut round_of;
    let mut ways: [Timed<'_>; 2] = [
        Box::new(|| {
            *first += 1;
            let offsets = offsets(*first);
            Ok(timed(|| over(&offsets, &bare_part)))
        }),
        Box::new(|| {
            *second += 1;
            let offsets = offsets(*second);
            Ok(timed(|| over(&offsets, &our_part)))
        }),
    ];
    let memory = memory >> 20;
    let name = format!("{reads} reads of {READ_LEN} bytes at random, {count} at once, with {memory} MiB");
    row(&name, "the bare loop of the same frames", times(&mut ways, Effort::of(rounds, WarmUp::FirstRound)));
}

/// They read the same bytes.
fn compare(bare: &BareReads, reader: &Reader, offsets: &[u64]) {
    let (mut ours, mut theirs, mut buffers) = ([0; READ_LEN], [0; READ_LEN], bare.buffers());
    for offset in offsets {
        reader.read_at(*offset, &mut ours).expect(WORKS);
        bare.read_at(*offset, &mut theirs, &mut buffers);
        assert!(ours == theirs, "{offset}");
    }
}

/// From a file into the null device.
fn sequential(sealed: &Path, rounds: usize) {
    let threads = NonZeroUsize::new(2).expect("two are some");
    let null = || File::options().write(true).open("/dev/null").expect(WORKS);
    let opener = opener().threads(threads);
    let source = || FileSource::open(sealed).expect(WORKS);
    let mut ways: [Timed<'_>; 2] = [
        Box::new(|| {
            Ok(timed(|| {
                opener.open(source(), PipeSink::new(null())).expect(WORKS);
            }))
        }),
        Box::new(|| {
            Ok(timed(|| {
                let mut reader = opener.reader(source()).expect(WORKS);
                let (mut buffer, mut null) = (vec![0; 512 << 10], null());
                reader.rewind().expect(WORKS);
                loop {
                    match reader.read(&mut buffer).expect(WORKS) {
                        0 => break,
                        count => null.write_all(&buffer[..count]).expect(WORKS),
                    }
                }
            }))
        }),
    ];
    let samples = times(&mut ways, Effort::of(rounds, WarmUp::FirstRound));
    row("all of it in order, on two threads", "a restore to a pipe", samples);
}

/// How much of the other's speed is ours.
fn row(work: &str, beside: &str, samples: Vec<Vec<Duration>>) {
    let [theirs, ours]: [Vec<Duration>; 2] = samples.try_into().expect("two ways");
    let ratio = ratio(&theirs, &ours);
    let median = |times: &[Duration]| harness::Summary::of_times(times).median;
    println!(
        "| {work} | {beside} | {:.3} | {:.3} | {:.2} | {:.2} to {:.2} |",
        median(&ours),
        median(&theirs),
        ratio.median,
        ratio.quartiles[0],
        ratio.quartiles[1]
    );
}

/// A chunk again and again.
struct Repeated {
    chunk: Vec<u8>,
    left: u64,
}

impl Read for Repeated {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = buffer.len().min(self.chunk.len()).min(usize::try_from(self.left).unwrap_or(usize::MAX));
        buffer[..count].copy_from_slice(&self.chunk[..count]);
        self.left -= count as u64;
        Ok(count)
    }
}

const READ_LEN: usize = 4096;
const ROUNDS: usize = 9;
const WORKS: &str = "nothing fails here that the bench is about";
