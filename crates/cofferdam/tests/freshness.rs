//! Streams with a sequence number, opened by readers that ask for one: which are refused, and what is untouched then.
//! Knows the pair by its bytes, as FORMAT F6.6 has them.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

use std::fs;
use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cofferdam::{
    BytesSource, CancelToken, Error, ErrorKind, Identities, IfExists, MemorySink, Opener, Progress,
    ReaderSource, Recipients, Remedy, Sealer, WrappingKey,
};
use stream::{FormatOptions, Resources, SealOptions};

fn recipients() -> Recipients {
    Recipients::new().wrapping_key(WrappingKey::from_bytes([7; 32]))
}

fn opener() -> Opener {
    Opener::new(Identities::new().wrapping_key(WrappingKey::from_bytes([7; 32])))
}

/// A stream of some segments.
fn sealed(sealer: &Sealer) -> Vec<u8> {
    let (sink, sealed) = MemorySink::new();
    sealer.seal(BytesSource::new(vec![5; PLAIN_LEN]), sink).unwrap();
    sealed.take().unwrap()
}

fn sealer() -> Sealer {
    Sealer::new(recipients()).frame_len(4096).segment_len(8192)
}

/// A stream whose number, if any, is these bytes, whatever they are.
fn sealed_with(value: Option<&[u8]>) -> Vec<u8> {
    let (sink, sealed) = MemorySink::new();
    let (recipients, resources) = (recipients(), Resources::default());
    let form = FormatOptions { frame_len: Some(4096), segment_len: Some(8192), ..FormatOptions::default() };
    let options = SealOptions { recipients: &recipients, form: &form, resources: &resources };
    let pair = value.map(|value| (b"cofferdam.sequence".to_vec(), value.to_vec()));
    let source = Box::new(BytesSource::new(vec![5; PLAIN_LEN]));
    options.seal_with(source, pair.into_iter().collect(), |_| Ok(sink)).unwrap();
    sealed.take().unwrap()
}

fn kind(opened: Result<cofferdam::Restored, Error>) -> Option<ErrorKind> {
    opened.err().map(|error| error.kind())
}

#[test]
fn the_number_is_an_encrypted_pair_and_comes_back() {
    for number in [0, 1, 7, u64::MAX] {
        let stream = sealed(&sealer().sequence(number).metadata("host", "db1"));
        let restored = opener().verify(BytesSource::new(stream.clone())).unwrap();
        let text = number.to_string().into_bytes();
        let pairs = [(b"cofferdam.sequence".to_vec(), text), (b"host".to_vec(), b"db1".to_vec())];
        assert_eq!((restored.metadata.as_slice(), restored.sequence()), (&pairs[..], Some(number)));
        assert!(!stream.windows(18).any(|bytes| bytes == b"cofferdam.sequence"));
    }
    let unnumbered = opener().verify(BytesSource::new(sealed(&sealer()))).unwrap();
    assert_eq!(unnumbered.sequence(), None);
}

#[test]
fn what_is_older_absent_or_malformed_is_refused_from_file_and_pipe_alike() {
    let due = Some(ErrorKind::Stale);
    for (value, min, refused) in [
        (Some("7"), 7, None),
        (Some("8"), 7, None),
        (Some("6"), 7, due),
        (Some("0"), 0, None),
        (Some("0"), 1, due),
        (Some("18446744073709551615"), u64::MAX, None),
        (Some("18446744073709551614"), u64::MAX, due),
        (Some("18446744073709551616"), 7, due),
        (Some("007"), 7, due),
        (Some("+7"), 7, due),
        (Some("+1"), 0, due),
        (Some("7 "), 7, due),
        (Some(""), 0, due),
        (None, 0, due),
        (None, u64::MAX, due),
    ] {
        let stream = sealed_with(value.map(str::as_bytes));
        let opener = opener().min_sequence(min);
        let what = format!("{value:?}, {min}");
        assert_eq!(kind(opener.verify(BytesSource::new(stream.clone()))), refused, "{what}");
        assert_eq!(kind(opener.verify(ReaderSource::new(Cursor::new(stream.clone())))), refused, "{what}");
        let told = opener.metadata(BytesSource::new(stream.clone())).err().map(|error| error.kind());
        assert_eq!(told, refused, "{what}");
        let (sink, contents) = MemorySink::new();
        assert_eq!(kind(opener.open(ReaderSource::new(Cursor::new(stream)), sink)), refused, "{what}");
        assert_eq!(contents.take().is_some(), refused.is_none(), "{what}");
    }
}

#[test]
fn the_same_key_twice_is_damage_whoever_asks_for_a_number_or_does_not() {
    let (recipients, form, resources) = (recipients(), FormatOptions::default(), Resources::default());
    let options = SealOptions { recipients: &recipients, form: &form, resources: &resources };
    let pair = |value: &[u8]| (b"cofferdam.sequence".to_vec(), value.to_vec());
    let twice = vec![pair(b"7"), pair(b"8")];
    let (sink, _) = MemorySink::new();
    // Nor does this library seal such a stream (FORMAT F6.3).
    assert!(options.seal_with(Box::new(BytesSource::new(*b"x")), twice, |_| Ok(sink)).is_err());
}

#[test]
fn nothing_is_made_or_written_for_a_stream_that_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("target");
    for stream in [sealed(&sealer().sequence(6)), sealed(&sealer())] {
        let opener = opener().if_exists(IfExists::Replace).min_sequence(7);
        for old in [None, Some(b"the old one")] {
            old.iter().for_each(|old| fs::write(&target, old).unwrap());
            let from_pipe = opener.restore_to(ReaderSource::new(Cursor::new(stream.clone())), &target);
            let refused = [opener.restore_to(BytesSource::new(stream.clone()), &target), from_pipe];
            for error in refused.map(|refused| refused.unwrap_err()) {
                assert_eq!((error.kind(), error.remedy()), (ErrorKind::Stale, Some(Remedy::GiveNewer)));
                assert_eq!(error.resumable_bytes(), None);
            }
            assert_eq!(fs::read(&target).ok().as_deref(), old.map(|old| &old[..]));
            assert_eq!(fs::read_dir(directory.path()).unwrap().count(), usize::from(old.is_some()));
        }
        fs::remove_file(&target).unwrap();
    }
}

/// Interrupted after a segment, and run again by somebody who has learnt of a newer stream meanwhile.
#[test]
fn a_restore_that_is_resumed_asks_again() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("target");
    let stream = sealed(&sealer().sequence(6));
    let (cancel, seen) = (CancelToken::new(), Arc::new(AtomicUsize::new(0)));
    let stop = {
        let cancel = cancel.clone();
        move |_: &Progress| {
            // One observer counts; nothing else depends on the order.
            if seen.fetch_add(1, Ordering::Relaxed) == 1 {
                cancel.cancel();
            }
        }
    };
    let interrupted = opener().min_sequence(6).cancel(cancel).on_progress(stop);
    let error = interrupted.restore_to(BytesSource::new(stream.clone()), &target).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    let kept = fs::read_dir(directory.path()).unwrap().count();
    assert!(kept > 0);
    let newer = opener().min_sequence(7).restore_to(BytesSource::new(stream.clone()), &target);
    assert_eq!(kind(newer), Some(ErrorKind::Stale));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), kept, "what is kept stays");
    let restored = opener().min_sequence(6).restore_to(BytesSource::new(stream.clone()), &target).unwrap();
    assert!(restored.resumed_bytes > 0);
    // Published: the same command again compares, and asks before it does.
    let again = opener().if_exists(IfExists::Replace).min_sequence(7);
    assert_eq!(kind(again.restore_to(BytesSource::new(stream), &target)), Some(ErrorKind::Stale));
    assert_eq!(fs::read(&target).unwrap(), vec![5; PLAIN_LEN]);
}

#[test]
fn without_a_key_there_is_no_number_to_ask_for() {
    let stream = sealed(&sealer().sequence(7));
    let error = Opener::keyless().min_sequence(1).verify(BytesSource::new(stream)).unwrap_err();
    assert_eq!((error.kind(), error.remedy()), (ErrorKind::Usage, Some(Remedy::GiveKey)));
}

#[test]
fn a_caller_cannot_write_the_pair_by_hand() {
    let (sink, _) = MemorySink::new();
    let sealer = sealer().metadata("cofferdam.sequence", "9");
    let refused = sealer.seal(BytesSource::new(*b"x"), sink).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Usage);
}

/// How old what failed was is worth knowing, and is not another stream's.
#[test]
fn an_error_has_the_pairs_of_the_stream_that_failed_once_a_key_has_opened_them() {
    let whole = sealed(&sealer().sequence(7).metadata("host", "db1"));
    let restored = opener().verify(BytesSource::new(whole.clone())).unwrap();
    let mut damaged = whole.clone();
    let middle = whole.len() / 2;
    damaged[middle] ^= 1;
    let cut = whole[..middle].to_vec();
    let head = |error: Error| error.head().map(|head| (head.stream_id, head.metadata.clone()));
    let due = Some((restored.stream_id, restored.metadata));
    let newer = opener().min_sequence(8);
    let other_key = Opener::new(Identities::new().wrapping_key(WrappingKey::from_bytes([8; 32])));
    for (stream, opener, due) in [
        (&damaged, opener(), &due),
        (&cut, opener(), &due),
        (&whole, newer, &due),
        (&damaged, Opener::keyless(), &None),
        (&whole, other_key, &None),
    ] {
        let source = || BytesSource::new(stream.clone());
        let in_order = || ReaderSource::new(Cursor::new(stream.clone()));
        let verified = [opener.verify(source()), opener.verify(in_order())];
        assert_eq!(verified.map(|verified| head(verified.unwrap_err())), [due.clone(), due.clone()]);
        let opened = opener.open(source(), MemorySink::new().0).unwrap_err();
        let parts = opener.open_segments(0..8, source(), MemorySink::new().0).unwrap_err();
        assert_eq!([head(opened), head(parts)], [due.clone(), due.clone()]);
    }
}

/// Seven segments and a bit.
const PLAIN_LEN: usize = 7 * 8192 + 11;
