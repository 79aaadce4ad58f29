//! Restores into the sinks that stand behind features: a mapped file, a ring with a reader in the same process.
//! Knows of each what its user sees.
#![cfg(all(feature = "mmap", feature = "ring", target_os = "linux"))]
#![allow(clippy::unwrap_used)] // A test fails by panicking.

use std::{fs, io::Read, thread};

use cofferdam::{
    BytesSource, ErrorKind, Identities, MappedFile, MemorySink, Opener, ReaderSource, Recipients, RingSink,
    Sealer, StageOptions, WrappingKey,
};

#[test]
fn a_sealed_file_is_restored_through_a_map_of_its_length() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    for len in [0, 1, 3 * SEGMENT_LEN + 77] {
        let target = directory.path().join(len.to_string());
        let restored = opener()
            .open_sized(BytesSource::new(sealed(&plaintext(len))), |expected_len| {
                assert_eq!(expected_len, Some(len as u64));
                MappedFile::create(&target, &StageOptions::default().expected_len(expected_len))
            })
            .unwrap();
        assert_eq!(restored.plaintext_len, len as u64);
        assert!(fs::read(&target).unwrap() == plaintext(len));
    }
}

#[test]
fn a_source_that_does_not_tell_its_length_cannot_be_mapped() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let source = ReaderSource::new(std::io::Cursor::new(sealed(b"a snapshot")));
    let refused = opener().open_sized(source, |expected_len| {
        let options = StageOptions::default().expected_len(expected_len);
        MappedFile::create(directory.path().join("target"), &options)
    });
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Usage);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_reader_gets_a_stream_as_it_is_restored_and_of_a_damaged_one_no_end() {
    let plaintext = plaintext(10 * SEGMENT_LEN + 5);
    let whole = sealed(&plaintext);
    // Into the ninth segment: what comes before it is right.
    let mut damaged = whole.clone();
    damaged[8 * SEGMENT_LEN + SEGMENT_LEN / 2] ^= 1;
    for (sealed, is_whole) in [(whole, true), (damaged, false)] {
        let (sink, mut reader) = RingSink::new(2 * SEGMENT_LEN).unwrap();
        let received = thread::spawn(move || {
            let mut bytes = Vec::new();
            let ended = reader.read_to_end(&mut bytes);
            (bytes, ended)
        });
        let opened = opener().open(BytesSource::new(sealed), sink);
        let (bytes, ended) = received.join().unwrap();
        assert_eq!((opened.is_ok(), ended.is_ok()), (is_whole, is_whole));
        assert!(plaintext.starts_with(&bytes));
        assert!(bytes.len() >= 6 * SEGMENT_LEN && bytes.len() % SEGMENT_LEN == if is_whole { 5 } else { 0 });
    }
}

fn sealed(plaintext: &[u8]) -> Vec<u8> {
    let (sink, sealed) = MemorySink::new();
    let recipients = Recipients::new().wrapping_key(WrappingKey::from_bytes(KEY));
    let sealer = Sealer::new(recipients).segment_len(SEGMENT_LEN as u64);
    sealer.seal(BytesSource::new(plaintext.to_vec()), sink).unwrap();
    sealed.take().unwrap()
}

fn opener() -> Opener {
    Opener::new(Identities::new().wrapping_key(WrappingKey::from_bytes(KEY)))
}

fn plaintext(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8).collect()
}

const KEY: [u8; 32] = [7; 32];
/// One frame.
const SEGMENT_LEN: usize = 64 << 10;
