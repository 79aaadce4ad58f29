//! The fuzz targets' checks on every vector, whole, cut and with flipped bits: what a fuzzer begins with.

#![allow(clippy::unwrap_used)] // A test fails by panicking.

#[path = "../../fuzz/src/preamble.rs"]
mod preamble;
#[path = "../../fuzz/src/splitter.rs"]
mod splitter;
#[path = "../../fuzz/src/trailer.rs"]
mod trailer;

use std::fs;
use std::path::{Path, PathBuf};

/// The sealed bytes of every vector, made from another's where its header says so.
fn streams() -> Vec<Vec<u8>> {
    let folder = folder();
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let vectors = paths.filter(|path| path.extension().is_some_and(|extension| extension == "cfdv"));
    vectors.map(|path| stream_of(&path)).collect()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/vectors")
}

/// What stands behind the text header, which ends with an empty line. Without anything there it is a patch.
fn stream_of(path: &Path) -> Vec<u8> {
    let bytes = fs::read(path).unwrap();
    let header_end = bytes.windows(2).position(|pair| pair == b"\n\n").unwrap();
    let header = std::str::from_utf8(&bytes[..header_end]).unwrap();
    let lines = |name: &'static str| header.lines().filter_map(move |line| line.strip_prefix(name));
    let Some(base) = lines("base: ").next() else { return bytes[header_end + 2..].to_vec() };
    let mut stream = stream_of(&folder().join(base));
    stream.truncate(lines("len: ").next().unwrap().parse().unwrap());
    for (at, digits) in lines("patch: ").map(|patch| patch.split_once('=').unwrap()) {
        let at: usize = at.parse().unwrap();
        for (index, byte) in stream[at..at + digits.len() / 2].iter_mut().enumerate() {
            *byte = u8::from_str_radix(&digits[2 * index..2 * index + 2], 16).unwrap();
        }
    }
    stream
}

#[test]
fn no_vector_breaks_a_check() {
    let streams = streams();
    assert!(streams.len() >= 490);
    for stream in &streams {
        for start in
            [0, 4096, 8192, 12_288, stream.len().saturating_sub(112), stream.len().saturating_sub(296)]
        {
            let data = stream.get(start..).unwrap_or_default();
            preamble::check(data);
            trailer::check(data);
            // The splitter's input begins with how it is to be cut into blocks.
            splitter::check(&[&[0, 9, 1, 2, 3, 4], data].concat());
        }
    }
}

#[test]
fn no_flipped_bit_and_no_cut_breaks_a_check() {
    // With every kind of record, and not so long that all its bytes could not be tried.
    let stream = stream_of(&folder().join("success-large-key-copies.cfdv"));
    for at in (0..stream.len()).step_by(37) {
        let mut flipped = stream.clone();
        flipped[at] ^= 1 << (at % 8);
        preamble::check(&flipped);
        trailer::check(&flipped);
        splitter::check(&[&[0, 13, 9, 9, 9, 9], &flipped[..]].concat());
        splitter::check(&[&[0, 13, 9, 9, 9, 9], &stream[..at]].concat());
    }
}
