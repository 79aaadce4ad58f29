//! Owns one test for each attack on a run of the engine, its state and its target, that was seen to work elsewhere.
//! Refuses to know the inside of the engine: it sees files, sinks and errors.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod streams;

use std::collections::HashSet;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use cofferdam::{
    BytesSource, Checkpoint, CommitError, ErrorKind, IfExists, MemorySink, PipeSink, Sealer,
    SinkCapabilities, StreamingSink, SyncTo, Visibility, WriteAt,
};
use hmac::Mac;
use sha2::Sha256;

use streams::map::{Kind, ranges, segments};
use streams::{
    FRAME, KEY, READINGS, SEGMENT, Shared, counted, in_order, names_in, open, opener, recipients_of, scratch,
    seal, small_sealer, threads,
};

fn three_segments() -> (Vec<u8>, Vec<u8>) {
    let plaintext = counted(3 * SEGMENT);
    (seal(&small_sealer(), plaintext.clone()), plaintext)
}

/// A sink that keeps nothing but the checkpoints it is given.
#[derive(Clone, Default)]
struct Checkpoints(Arc<Mutex<Vec<Checkpoint>>>);

impl StreamingSink for Checkpoints {
    fn capabilities(&self) -> SinkCapabilities {
        SinkCapabilities::new(Visibility::Private)
    }
    fn last_commit(&mut self) -> io::Result<Option<Checkpoint>> {
        Ok(None)
    }
    fn begin_segment(&mut self, _index: u64, _at: u64) -> io::Result<()> {
        Ok(())
    }
    fn write_tentative(&mut self, _at: u64, _data: &[u8]) -> io::Result<()> {
        Ok(())
    }
    fn rollback_segment(&mut self) -> io::Result<()> {
        Ok(())
    }
    fn commit_segment(&mut self, checkpoint: &Checkpoint) -> Result<(), CommitError> {
        self.0.lock().unwrap().push(checkpoint.clone());
        Ok(())
    }
    fn publish(&mut self, _plain_len: u64) -> Result<(), CommitError> {
        Ok(())
    }
    fn discard(&mut self) -> io::Result<()> {
        Ok(())
    }
    fn positioned(&self) -> Option<Arc<dyn WriteAt>> {
        None
    }
    fn durability(&self) -> Option<Arc<dyn SyncTo>> {
        None
    }
}

fn expand(key: &hkdf::Hkdf<Sha256>, name: &str, context: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    key.expand(&[b"cofferdam/v1/", name.as_bytes(), b"\0", context].concat(), &mut out).unwrap();
    out
}

/// The stream key, out of its slot by F5.10.
fn stream_key(sealed: &[u8]) -> Vec<u8> {
    use aes_gcm::aead::{Aead, KeyInit};
    let slot = &sealed[4096 + 40..4096 + 120];
    let mut pair = [0; 44];
    let info = [b"cofferdam/v1/slot2\0", &sealed[..80]].concat();
    hkdf::Hkdf::<Sha256>::new(Some(&slot[..32]), &KEY).expand(&info, &mut pair).unwrap();
    let cipher = aes_gcm::Aes256Gcm::new(pair[..32].try_into().unwrap());
    cipher.decrypt(pair[32..].try_into().unwrap(), &slot[32..]).unwrap()
}

#[test]
fn attack_6_what_a_restore_keeps_of_its_progress_is_under_a_mac_and_not_a_checksum() {
    let (sealed, _) = three_segments();
    let checkpoints = Checkpoints::default();
    opener().open(BytesSource::new(sealed.clone()), checkpoints.clone()).unwrap();
    let checkpoints = checkpoints.0.lock().unwrap();
    assert_eq!(checkpoints.len(), 3);
    // The key of the journal, which nobody has who has not the stream key (F10.1, F10.5).
    let root = hkdf::Hkdf::<Sha256>::new(Some(&sealed[48..80]), &stream_key(&sealed));
    let journal = hkdf::Hkdf::<Sha256>::from_prk(&expand(&root, "journal", &sealed[..48])).unwrap();
    let key = expand(&journal, "journal", &sealed[32..48]);
    for checkpoint in checkpoints.iter() {
        let bytes = checkpoint.to_bytes();
        let (clear, said) = bytes.split_at(Checkpoint::LEN - 32);
        let mut mac = <hmac::Hmac<Sha256> as hmac::KeyInit>::new_from_slice(&key).unwrap();
        mac.update(b"cofferdam/v1/checkpoint\0");
        mac.update(clear);
        assert_eq!(mac.finalize().into_bytes()[..], *said);
    }
    assert!(checkpoints[0] != checkpoints[1] && checkpoints[1] != checkpoints[2]);
}

#[test]
fn attack_7_what_is_sealed_again_is_sealed_under_fresh_salts() {
    let plaintext = counted(3 * SEGMENT);
    let mut seen = HashSet::new();
    for _ in 0..8 {
        let sealed = seal(&small_sealer(), plaintext.clone());
        assert!(seen.insert(sealed[32..48].to_vec()), "a stream id came again");
        assert!(seen.insert(sealed[48..80].to_vec()), "a salt came again");
        assert!(seen.insert(sealed[80..112].to_vec()), "a commitment came again: the stream key did");
        assert!(seen.insert(sealed[4096 + 40..4096 + 72].to_vec()), "the salt of a slot came again");
        let metadata = ranges(&sealed, Kind::Metadata)[0].start;
        assert!(seen.insert(sealed[metadata..metadata + 16].to_vec()), "the salt of the metadata came again");
        for header in ranges(&sealed, Kind::SegmentHeader) {
            assert!(
                seen.insert(sealed[header.start + 32..header.end].to_vec()),
                "an attempt salt came again"
            );
        }
    }
}

#[test]
fn attack_7_a_restore_that_is_repeated_skips_nothing() {
    let directory = scratch();
    let [sealed, target] = ["sealed.cfd", "target"].map(|name| directory.path().join(name));
    let (good, plaintext) = three_segments();
    for segment in segments(&good) {
        let mut bad = good.clone();
        bad[segment.end - 100] ^= 1;
        fs::write(&sealed, &bad).unwrap();
        assert_eq!(opener().restore_file(&sealed, &target).unwrap_err().kind(), ErrorKind::Damaged);
        assert!(!target.exists());
        fs::write(&sealed, &good).unwrap();
        opener().restore_file(&sealed, &target).unwrap();
        assert!(fs::read(&target).unwrap() == plaintext);
        assert_eq!(names_in(directory.path()), ["sealed.cfd", "target"].map(PathBuf::from));
        fs::remove_file(&target).unwrap();
    }
}

#[test]
fn attack_8_eight_threads_keep_the_order() {
    // Each frame says its own place.
    let frames = 4000;
    let mut plaintext = vec![0; frames * FRAME];
    for (place, frame) in plaintext.chunks_mut(FRAME).enumerate() {
        frame[..8].copy_from_slice(&(place as u64).to_le_bytes());
    }
    let plaintext = Shared::new(plaintext);
    for frames_per_segment in [1, 4, 64] {
        let sealer = small_sealer().segment_len((frames_per_segment * FRAME) as u64).threads(threads(8));
        let (sink, contents) = MemorySink::new();
        sealer.seal(BytesSource::new(plaintext.clone()), sink).unwrap();
        let from_file = contents.take().unwrap();
        let (sink, contents) = MemorySink::new();
        sealer.seal(in_order(plaintext.clone()), sink).unwrap();
        for sealed in [from_file, contents.take().unwrap()] {
            let sealed = Shared::new(sealed);
            for count in [1, 8] {
                for reading in READINGS {
                    let opened = open(&opener().threads(threads(count)), reading, sealed.clone()).unwrap().1;
                    assert!(
                        opened == plaintext.as_ref(),
                        "{frames_per_segment} frames a segment, {reading:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn attack_9_an_error_in_a_late_segment_leaves_the_old_target_and_what_is_kept_is_private() {
    let directory = scratch();
    let [sealed, target] = ["sealed.cfd", "target"].map(|name| directory.path().join(name));
    // Eight default segments, a good 64 MB, of which the last is wrong.
    let mut bytes = seal(&Sealer::new(recipients_of(KEY)), counted(8 * 8 * 1024 * 1024));
    let last = segments(&bytes)[7].clone();
    bytes[last.end - 200] ^= 1;
    fs::write(&sealed, &bytes).unwrap();
    for count in [1, 2, 8] {
        let opener = opener().threads(threads(count)).if_exists(IfExists::Replace);
        fs::write(&target, b"the old contents").unwrap();
        let refused = opener.restore_file(&sealed, &target).unwrap_err();
        assert_eq!((refused.kind(), refused.segment()), (ErrorKind::Damaged, Some(7)));
        assert_eq!(fs::read(&target).unwrap(), b"the old contents");
        for kept in [".target.cofferdam-staging", ".target.cofferdam-journal"] {
            let mode = fs::metadata(directory.path().join(kept)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{kept}");
        }
        fs::remove_file(&target).unwrap();
        opener.restore_file(&sealed, &target).unwrap_err();
        assert!(!target.exists());
    }
}

/// Bytes that came out of a pipe, kept for looking at when the pipe has failed.
#[derive(Clone, Default)]
struct Out(Arc<Mutex<Vec<u8>>>);

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn attack_9_a_pipe_gets_whole_verified_segments_and_no_byte_of_another() {
    let (sealed, plaintext) = three_segments();
    for (number, segment) in segments(&sealed).into_iter().enumerate() {
        // Attempt salt, ciphertext, digest, tag of DIGEST, LAST, tag of TERMINATOR.
        let places = [segment.start + 40, segment.start + 100];
        for at in places.into_iter().chain([100, 90, 60, 1].map(|back| segment.end - back)) {
            let mut bad = sealed.clone();
            bad[at] ^= 1;
            let bad = Shared::new(bad);
            for count in [1, 8] {
                let out = [Out::default(), Out::default()];
                let opener = opener().threads(threads(count));
                opener.open(BytesSource::new(bad.clone()), PipeSink::new(out[0].clone())).unwrap_err();
                opener.open(in_order(bad.clone()), PipeSink::new(out[1].clone())).unwrap_err();
                for out in &out {
                    let out = out.0.lock().unwrap();
                    let whole = out.len().is_multiple_of(SEGMENT) && out.len() <= number * SEGMENT;
                    assert!(
                        whole && plaintext.starts_with(&out),
                        "byte {at} is wrong: {} came out",
                        out.len()
                    );
                }
            }
        }
    }
}

#[test]
fn attack_11_one_thread_is_enough() {
    let plaintext = counted(20 * SEGMENT + 1);
    let sealed = Shared::new(seal(&small_sealer().threads(threads(1)), plaintext.clone()));
    for reading in READINGS {
        let opened = open(&opener().threads(threads(1)), reading, sealed.clone()).unwrap().1;
        assert!(opened == plaintext, "{reading:?}");
    }
}

#[test]
fn attack_11_empty_input_is_a_stream() {
    let directory = scratch();
    let [input, sealed, target] = ["input", "sealed.cfd", "target"].map(|name| directory.path().join(name));
    fs::write(&input, b"").unwrap();
    let said = small_sealer().seal_file(&input, &sealed).unwrap();
    assert_eq!((said.segments, said.plaintext_len), (1, 0));
    opener().restore_file(&sealed, &target).unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"");
}
