//! The fuzz target's checks on the vectors of age, whole, cut and with flipped bits: what a fuzzer begins with.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

use std::fs;

#[path = "../../../fuzz/src/foreign.rs"]
mod foreign_checks;

use foreign_checks::check;

/// What stands behind the text of each vector. Some are compressed; those are inputs like any other.
fn files() -> Vec<Vec<u8>> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/age-testkit");
    let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let vectors = paths.map(|path| fs::read(path).unwrap());
    let body = |vector: Vec<u8>| {
        let at = vector.windows(2).position(|two| two == b"\n\n").unwrap();
        vector[at + 2..].to_vec()
    };
    vectors.map(body).collect()
}

#[test]
fn no_vector_breaks_a_check() {
    let files = files();
    assert!(files.len() >= 96);
    files.iter().for_each(|file| check(file));
    // And as payloads of several chunks.
    for len in [0, 16, 17, 65_552, 65_553, 65_568, 3 * 65_552, 200_000] {
        check(&vec![7; len]);
    }
}

#[test]
fn no_vector_of_another_tool_breaks_a_check_whole_cut_or_with_a_flipped_bit() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/other-tools");
    let names = ["ecies-lib/three.enc", "ecies-lib/multi_three.enc", "harpocrates-agcm/three.agcm"];
    for name in names.into_iter().chain(["streaming-crypto/aes_sha256_11.rse1"]) {
        let file = fs::read(format!("{directory}/{name}")).unwrap();
        check(&file);
        for at in 0..file.len() {
            let mut flipped = file.clone();
            flipped[at] ^= 1 << (at % 8);
            check(&flipped);
            check(&file[..at]);
        }
    }
}

#[test]
fn no_flipped_bit_and_no_cut_breaks_a_check() {
    for file in files().iter().filter(|file| file.len() < 1000) {
        for at in (0..file.len()).step_by(3) {
            let mut flipped = file.clone();
            flipped[at] ^= 1 << (at % 8);
            check(&flipped);
            check(&file[..at]);
        }
    }
}
