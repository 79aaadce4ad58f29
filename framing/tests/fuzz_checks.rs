//! The fuzz targets' checks on every vector, whole, cut and with flipped bits: what a fuzzer begins with.

#![allow(clippy::unwrap_used)] // A test fails by panicking.

#[path = "../../fuzz/src/preamble.rs"]
mod preamble;
#[path = "../../fuzz/src/splitter.rs"]
mod splitter;
#[path = "../../fuzz/src/trailer.rs"]
mod trailer;
mod vector_files;

#[test]
fn no_vector_breaks_a_check() {
    let names = vector_files::names();
    assert!(names.len() >= 500);
    for stream in names.iter().map(|name| vector_files::stream_of(name)) {
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
    let stream = vector_files::stream_of("success-large-key-copies");
    for at in (0..stream.len()).step_by(37) {
        let mut flipped = stream.clone();
        flipped[at] ^= 1 << (at % 8);
        preamble::check(&flipped);
        trailer::check(&flipped);
        splitter::check(&[&[0, 13, 9, 9, 9, 9], &flipped[..]].concat());
        splitter::check(&[&[0, 13, 9, 9, 9, 9], &stream[..at]].concat());
    }
}
