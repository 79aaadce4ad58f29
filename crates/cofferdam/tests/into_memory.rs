//! Streams that are opened into a caller's memory: it comes back where it was, with the plaintext or empty.
//! Knows no sink.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod streams;

use cofferdam::{BytesSource, Error, ErrorKind, Opener, Restored};
use streams::{
    DIGESTS, FRAME, READINGS, Reading, SEGMENT, SUITES, class_of, counted, identities_of, in_order, opener,
    seal, small_sealer, threads,
};

/// Opens into `memory`, which has to keep its place whatever comes of that.
fn open_into(
    opener: &Opener,
    reading: Reading,
    sealed: Vec<u8>,
    memory: &mut Vec<u8>,
) -> Result<Restored, Error> {
    let (place, capacity) = (memory.as_ptr(), memory.capacity());
    let opened = match reading {
        Reading::Seekable => opener.open_into(BytesSource::new(sealed), memory),
        Reading::Sequential => opener.open_into(in_order(sealed), memory),
    };
    assert_eq!((memory.as_ptr(), memory.capacity()), (place, capacity), "the memory is where it was");
    assert!(opened.is_ok() || memory.is_empty(), "bytes that nobody has verified come out");
    opened
}

#[test]
fn plaintext_lies_in_the_memory_that_was_given_however_much_that_is() {
    for len in [0, 1, FRAME, SEGMENT - 1, SEGMENT, SEGMENT + 1, 9 * SEGMENT + 77] {
        for sealed in [
            seal(&small_sealer(), counted(len)),
            seal(&small_sealer().compression(Default::default()), counted(len)),
        ] {
            for reading in READINGS {
                for count in [1, 2, 5] {
                    for mut memory in [vec![0xEE; len], vec![0xEE; len + 5000], Vec::with_capacity(len)] {
                        let opener = opener().threads(threads(count));
                        let restored = open_into(&opener, reading, sealed.clone(), &mut memory).unwrap();
                        assert_eq!(restored.plaintext_len, len as u64);
                        assert!(memory == counted(len), "{len} bytes, {reading:?}, {count} threads");
                    }
                }
            }
        }
    }
}

#[test]
fn every_suite_and_digest_opens_in_place() {
    for suite in SUITES {
        for digest in DIGESTS {
            let sealed = seal(&small_sealer().suite(suite).digest(digest), counted(3 * SEGMENT + 5));
            let mut memory = vec![0xEE; 4 * SEGMENT];
            open_into(&opener(), Reading::Seekable, sealed, &mut memory).unwrap();
            assert!(memory == counted(3 * SEGMENT + 5), "{suite:?} {digest:?}");
        }
    }
}

#[test]
fn of_a_stream_that_is_not_what_was_sealed_nothing_comes_out() {
    let good = seal(&small_sealer(), counted(5 * SEGMENT));
    let mut memory = vec![0; 5 * SEGMENT];
    for at in (0..good.len()).step_by(997) {
        for reading in READINGS {
            let mut bad = good.clone();
            bad[at] ^= 1;
            // A key copy has another one beside it.
            let opened = open_into(&opener(), reading, bad, &mut memory);
            assert!(opened.is_err() || memory == counted(5 * SEGMENT), "byte {at}, {reading:?}");
            let cut = open_into(&opener(), reading, good[..at].to_vec(), &mut memory);
            assert!(cut.is_err(), "cut at {at}, {reading:?}");
        }
    }
    // It is still good for a stream that is.
    open_into(&opener(), Reading::Seekable, good, &mut memory).unwrap();
    assert!(memory == counted(5 * SEGMENT));
}

#[test]
fn a_stream_that_does_not_fit_is_refused_at_once_where_its_length_is_known() {
    let sealed = seal(&small_sealer(), counted(3 * SEGMENT));
    for len in [0, 1, SEGMENT, 3 * SEGMENT - 1] {
        let mut memory = vec![0xEE; len];
        let refused = open_into(&opener(), Reading::Seekable, sealed.clone(), &mut memory);
        assert_eq!(class_of(&refused), "limit", "{len}");
        let untouched = open_into(&opener(), Reading::Sequential, sealed.clone(), &mut memory);
        assert!(untouched.is_err(), "{len}");
    }
}

#[test]
fn without_the_key_the_memory_comes_back_as_well() {
    let sealed = seal(&small_sealer(), counted(SEGMENT));
    let mut memory = vec![0xEE; SEGMENT];
    for (opener, kind) in
        [(Opener::new(identities_of([9; 32])), ErrorKind::NoKey), (Opener::keyless(), ErrorKind::Usage)]
    {
        let refused = opener.open_into(BytesSource::new(sealed.clone()), &mut memory).unwrap_err();
        assert_eq!(refused.kind(), kind);
        assert_eq!(memory.capacity(), SEGMENT);
    }
}
