//! Owns what a reader takes of the machine's memory, beside its budget. It has a process of its own, for its peak.
//! Refuses to know what is read.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod streams;

use std::fs;
use std::io::{self, Read};
use std::thread;

use cofferdam::{CompressionLevel, FileSource, ReaderSource, Sealer};

use streams::{KEY, opener, recipients_of, scratch, threads};

/// Frames of 64 KiB that compress by half.
struct Endless(u64);

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        for byte in buffer.iter_mut() {
            self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            *byte = (self.0 >> 60) as u8;
        }
        Ok(buffer.len())
    }
}

/// The most bytes of this process that were resident at once: `VmHWM` of proc(5).
fn peak() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<usize>().unwrap() << 10
}

#[test]
fn a_reader_that_many_threads_use_and_that_reads_on_stays_within_its_budget() {
    const LEN: u64 = 48 << 20;
    const MEMORY: usize = 8 << 20;
    let folder = scratch();
    let small = Sealer::new(recipients_of(KEY)).threads(threads(2)).memory(6 << 20);
    for sealer in [small.clone(), small.compression(CompressionLevel::default())] {
        let path = folder.path().join("sealed");
        sealer.seal_to(ReaderSource::new(Endless(1).take(LEN)), &path).unwrap();
        let before = peak();
        let opener = opener().threads(threads(2)).memory(MEMORY);
        let mut reader = opener.reader(FileSource::open(&path).unwrap()).unwrap();
        thread::scope(|scope| {
            for lane in 0..8 {
                let reader = reader.clone();
                scope.spawn(move || {
                    let mut random = fastrand::Rng::with_seed(lane);
                    let mut bytes = vec![0; 4096];
                    for _ in 0..200 {
                        let offset = random.u64(0..LEN - 4096);
                        assert_eq!(reader.read_at(offset, &mut bytes).unwrap(), 4096);
                    }
                });
            }
        });
        assert_eq!(io::copy(&mut reader, &mut io::sink()).unwrap(), LEN);
        let grown = peak() - before;
        assert!(grown <= MEMORY + BESIDE, "{grown} bytes more than before, of {MEMORY} allowed");
        drop(reader);
        fs::remove_file(&path).unwrap();
    }
}

/// Threads, their stacks and the allocator's own.
const BESIDE: usize = 3 << 20;
