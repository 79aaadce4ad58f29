//! The fuzz targets' checks on every vector, whole, cut and with flipped bits: what a fuzzer begins with.
//! It knows nothing of what they check.

#![allow(clippy::unwrap_used)] // A test fails by panicking.

#[path = "../../fuzz/src/preamble.rs"]
mod preamble;
#[path = "../../fuzz/src/splitter.rs"]
mod splitter;
#[path = "../../fuzz/src/trailer.rs"]
mod trailer;

use std::fs;
use std::path::Path;

/// The sealed bytes of every vector: behind its text header, which ends with an empty line.
fn streams() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/vectors");
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let vectors = paths.filter(|path| path.extension().is_some_and(|extension| extension == "cfdv"));
    vectors
        .map(|path| {
            let bytes = fs::read(path).unwrap();
            let header_end = bytes.windows(2).position(|pair| pair == b"\n\n").unwrap();
            bytes[header_end + 2..].to_vec()
        })
        .collect()
}

#[test]
fn no_vector_breaks_a_check() {
    let streams = streams();
    assert!(streams.len() >= 60);
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
    let stream = streams().into_iter().max_by_key(Vec::len).unwrap();
    for at in (0..stream.len()).step_by(37) {
        let mut flipped = stream.clone();
        flipped[at] ^= 1 << (at % 8);
        preamble::check(&flipped);
        trailer::check(&flipped);
        splitter::check(&[&[0, 13, 9, 9, 9, 9], &flipped[..]].concat());
        splitter::check(&[&[0, 13, 9, 9, 9, 9], &stream[..at]].concat());
    }
}
