//! Trees of many members: what listing one takes of memory, whatever the order of its archive.
//! Knows what proc(5) says of a process.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use super::place::Place;

#[test]
fn listing_stays_within_48_mib_whatever_the_order_of_the_archive() {
    let place = Place::new();
    let sorted: Vec<u32> = (0..MEMBERS).collect();
    // As directories of 1,000 files give their names; 617 and 1,000 have no divisor in common.
    let mixed = sorted.iter().map(|number| number / 1_000 * 1_000 + number % 1_000 * 617 % 1_000).collect();
    let mut shuffled = sorted.clone();
    fastrand::Rng::with_seed(7).shuffle(&mut shuffled);
    for (order, numbers) in [("sorted", &sorted), ("mixed", &mixed), ("shuffled", &shuffled)] {
        write_archive(&place.path("many.tar"), numbers);
        let to = ["--force", "-r", &place.recipient, "-o", "many.cfd"];
        place.run([&["seal", "--tar", "many.tar"][..], &to].concat()).assert_done();
        let peak = peak_of_listing(&place);
        assert!(peak < 48 << 10, "{order}: {peak} KiB");
    }
}

/// The most KiB that were resident while `ls` listed all, or nearly: some lines before the end, when the pipe has no room for what is left, and
/// so the process is there.
fn peak_of_listing(place: &Place) -> u64 {
    let mut ls = Command::new(env!("CARGO_BIN_EXE_cofferdam"));
    ls.args(["ls", "-i", "key.txt", "many.cfd"]).current_dir(place.directory.path());
    let mut ls = ls.stdout(Stdio::piped()).spawn().unwrap();
    let mut peak = 0;
    let lines = BufReader::new(ls.stdout.take().unwrap()).lines();
    for (number, line) in (0..).zip(lines) {
        assert_eq!(line.unwrap(), path(number));
        if number == MEMBERS - 4_000 {
            let status = fs::read_to_string(format!("/proc/{}/status", ls.id())).unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
            peak = line.trim().trim_end_matches("kB").trim().parse().unwrap();
        }
    }
    assert!(ls.wait().unwrap().success());
    peak
}

/// An archive of empty files in the order of `numbers`.
fn write_archive(to: &Path, numbers: &[u32]) {
    let mut out = BufWriter::new(File::create(to).unwrap());
    for number in numbers {
        let mut block = [0_u8; 512];
        let name = path(*number);
        let fields =
            [(0, &*name), (100, "0000644"), (108, "0000000"), (116, "0000000"), (124, "00000000000")];
        let more = [(136, "14371573250"), (148, "        0"), (257, "ustar\x0000")];
        for (at, field) in fields.into_iter().chain(more) {
            block[at..at + field.len()].copy_from_slice(field.as_bytes());
        }
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        out.write_all(&block).unwrap();
    }
    out.write_all(&[0; 1_024]).unwrap();
    out.flush().unwrap();
}

fn path(number: u32) -> String {
    format!("base/{:07}/a-name-of-usual-length-{:04}.sst", number / 1_000, number % 1_000)
}

/// Far more pages of the catalog than are kept.
const MEMBERS: u32 = 250_000;
