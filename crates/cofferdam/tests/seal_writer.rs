//! The push side of sealing: what is written is sealed, and what is not finished leaves nothing.
//! Opens what came of it with the library itself; other tests compare that with the reference.

#![allow(clippy::unwrap_used, reason = "the functions that tests share may unwrap as they do")]

use std::fs;
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::mpsc;

use cofferdam::{
    BytesSource, CancelToken, Error, ErrorKind, Identities, IfExists, MemorySink, Opener, Pool, Recipients,
    SealWriter, Sealer, WrappingKey,
};

fn sealer() -> Sealer {
    let key = WrappingKey::from_bytes([7; 32]);
    Sealer::new(Recipients::new().wrapping_key(key)).frame_len(4096).segment_len(16_384)
}

fn opened(sealed: Vec<u8>) -> Vec<u8> {
    let opener = Opener::new(Identities::new().wrapping_key(WrappingKey::from_bytes([7; 32])));
    let (sink, plaintext) = MemorySink::new();
    opener.open(BytesSource::new(sealed), sink).unwrap();
    plaintext.take().unwrap().to_vec()
}

fn counted(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

fn names_in(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Writes until the sealing refuses to take any more.
fn refusal(writer: &mut SealWriter) -> Error {
    let refused = (0..).find_map(|_| writer.write_all(&[0; 4096]).err()).unwrap();
    *refused.into_inner().unwrap().downcast::<Error>().unwrap()
}

#[test]
fn a_writer_that_has_failed_takes_no_byte_and_flushes_none() {
    let cancel = CancelToken::new();
    let mut writer = sealer().cancel(cancel.clone()).writer(MemorySink::new().0).unwrap();
    cancel.cancel();
    refusal(&mut writer);
    assert!(writer.flush().is_err());
    assert!(writer.write(&[0]).is_err());
    assert_eq!(writer.finish().unwrap_err().kind(), ErrorKind::Cancelled);
}

#[test]
fn what_is_written_in_any_pieces_is_sealed() {
    const CHUNK: usize = 64 * 1024;
    for len in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 7, 1 << 20] {
        for piece in [1 << 12, CHUNK, 3 * CHUNK + 1] {
            let (sink, contents) = MemorySink::new();
            let mut writer = sealer().writer(sink).unwrap();
            for piece in counted(len).chunks(piece) {
                writer.write_all(piece).unwrap();
            }
            let sealed = writer.finish().unwrap();
            assert_eq!(sealed.plaintext_len, len as u64, "{len} in {piece}");
            assert!(opened(contents.take().unwrap().to_vec()) == counted(len), "{len} in {piece}");
        }
    }
}

#[test]
fn what_is_flushed_is_handed_over_and_nothing_is_published() {
    let (sink, contents) = MemorySink::new();
    let mut writer = sealer().writer(sink).unwrap();
    for byte in counted(100) {
        writer.write_all(&[byte]).unwrap();
        writer.flush().unwrap();
    }
    writer.flush().unwrap();
    assert!(contents.take().is_none());
    writer.finish().unwrap();
    assert!(opened(contents.take().unwrap().to_vec()) == counted(100));
}

#[test]
fn a_writer_that_is_dropped_leaves_the_target_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("db.cfd");
    for old in [None, Some(&b"old"[..])] {
        if let Some(old) = old {
            fs::write(&target, old).unwrap();
        }
        for len in [0, 100, 1 << 20] {
            let mut writer = sealer().if_exists(IfExists::Replace).writer_to(&target).unwrap();
            writer.write_all(&counted(len)).unwrap();
            drop(writer);
            assert_eq!(fs::read(&target).ok().as_deref(), old, "{len}");
            assert_eq!(names_in(directory.path()).len(), usize::from(old.is_some()), "{len}");
        }
    }
    let mut writer = sealer().if_exists(IfExists::Replace).writer_to(&target).unwrap();
    writer.write_all(&counted(1 << 20)).unwrap();
    writer.finish().unwrap();
    assert_eq!(names_in(directory.path()), ["db.cfd"]);
    assert!(opened(fs::read(&target).unwrap()) == counted(1 << 20));
}

#[test]
fn what_the_sealing_refuses_is_the_error_of_a_write_and_of_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("db.cfd");
    fs::write(&target, "old").unwrap();
    let mut writer = sealer().writer_to(&target).unwrap();
    assert_eq!(refusal(&mut writer).kind(), ErrorKind::TargetExists);
    assert_eq!(refusal(&mut writer).kind(), ErrorKind::TargetExists);
    assert!(writer.flush().is_err(), "what has failed stays failed");
    let refused = writer.finish().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::TargetExists);
    assert!(refused.to_string().contains("exists"), "{refused}");
    // Too short for a write to be told.
    let writer = sealer().writer_to(&target).unwrap();
    assert_eq!(writer.finish().unwrap_err().kind(), ErrorKind::TargetExists);
    assert_eq!(fs::read(&target).unwrap(), b"old");
}

#[test]
fn a_cancelled_sealing_ends_the_writes() {
    let cancel = CancelToken::new();
    let (sink, contents) = MemorySink::new();
    let mut writer = sealer().cancel(cancel.clone()).writer(sink).unwrap();
    writer.write_all(&counted(100)).unwrap();
    cancel.cancel();
    assert_eq!(refusal(&mut writer).kind(), ErrorKind::Cancelled);
    assert!(contents.take().is_none());
}

#[test]
fn a_thread_of_the_pool_does_not_write_for_that_pool() {
    let pool = Pool::new(NonZeroUsize::MIN).unwrap();
    let sealer = sealer().pool(pool.clone());
    let (sink, _contents) = MemorySink::new();
    let mut writer = sealer.writer(sink).unwrap();
    writer.write_all(b"from elsewhere").unwrap();
    assert_eq!(writer.finish().unwrap().plaintext_len, 14);
    let (sender, receiver) = mpsc::channel();
    pool.spawn(move || {
        let refused = sealer.writer(MemorySink::new().0).map(drop);
        sender.send(refused.map_err(|error| error.kind())).unwrap();
    });
    assert_eq!(receiver.recv().unwrap(), Err(ErrorKind::Usage));
}
