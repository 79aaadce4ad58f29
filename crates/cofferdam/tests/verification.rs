//! Owns what is said of good streams: verification with a key and without, pins, metadata, inspection, warnings.
//! Refuses to know how bad ones are refused, but for what a pin and a second look at the key copies add.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod reference;
mod streams;

use std::fs;
use std::sync::{Arc, Mutex};

use cofferdam::{
    BytesSource, DigestKind, ErrorKind, Identities, MemorySink, Observer, Opener, Progress, Restored, Sealer,
    StreamDigest, Warning, inspect,
};

use streams::map::{Kind, ranges, segments};
use streams::{
    DIGESTS, FRAME, KEY, READINGS, SEGMENT, SUITES, Shared, class_of, counted, identities_of, open, opener,
    recipients_of, scratch, seal, small_sealer, verify,
};

#[test]
fn a_good_stream_is_verified_with_its_key_and_without() {
    for suite in SUITES {
        for digest in DIGESTS {
            for len in [0, 1, SEGMENT, 3 * SEGMENT + 5] {
                let (sink, contents) = MemorySink::new();
                let sealer = small_sealer().suite(suite).digest(digest).metadata("host", "db1");
                let said = sealer.seal(BytesSource::new(counted(len)), sink).unwrap();
                let sealed = Shared::new(contents.take().unwrap());
                let assert_due = |verified: &Restored, metadata: &[(Vec<u8>, Vec<u8>)]| {
                    let found = (verified.stream_id, verified.segments, verified.stream_digest);
                    assert_eq!(found, (said.stream_id, said.segments, said.stream_digest));
                    assert_eq!((verified.plaintext_len, verified.resumed_bytes), (len as u64, 0));
                    assert_eq!(
                        (verified.metadata.as_slice(), verified.warnings.as_slice()),
                        (metadata, &[][..])
                    );
                };
                for reading in READINGS {
                    let host = [(b"host".to_vec(), b"db1".to_vec())];
                    assert_due(&verify(&opener(), reading, sealed.clone()).unwrap(), &host);
                    let keyless = verify(&Opener::keyless(), reading, sealed.clone());
                    if digest == DigestKind::Tags {
                        assert_eq!(class_of(&keyless), "unsupported");
                    } else {
                        assert_due(&keyless.unwrap(), &[]);
                    }
                }
            }
        }
    }
}

#[test]
fn another_key_verifies_nothing_and_none_opens_nothing() {
    let sealed = Shared::new(seal(&small_sealer(), counted(SEGMENT)));
    for reading in READINGS {
        for identities in [identities_of(streams::OTHER_KEY), Identities::new()] {
            assert_eq!(class_of(&verify(&Opener::new(identities), reading, sealed.clone())), "no key");
        }
        let refused = open(&Opener::keyless(), reading, sealed.clone()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Usage, "{reading:?}");
    }
    let directory = scratch();
    let [path, target] = ["sealed.cfd", "target"].map(|name| directory.path().join(name));
    fs::write(&path, sealed).unwrap();
    let refused = Opener::keyless().restore_file(&path, &target).unwrap_err();
    assert_eq!((refused.kind(), target.exists()), (ErrorKind::Usage, false));
}

#[test]
fn a_pin_is_the_digest_that_the_reference_opener_finds_and_any_other_is_refused() {
    let sealed = seal(&small_sealer(), counted(2 * SEGMENT));
    let pin = reference::open(&sealed, &reference::Key::KeyFile(KEY)).unwrap().stream_digest;
    for reading in READINGS {
        let pinned = |pin| opener().expect_digest(StreamDigest(pin));
        assert!(open(&pinned(pin), reading, sealed.clone()).is_ok());
        for bit in 0..256 {
            let mut other = pin;
            other[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(class_of(&open(&pinned(other), reading, sealed.clone())), "damaged", "bit {bit}");
            let keyless = Opener::keyless().expect_digest(StreamDigest(other));
            assert_eq!(class_of(&verify(&keyless, reading, sealed.clone())), "damaged", "bit {bit}");
        }
    }
}

#[test]
fn a_pin_outlives_a_rewrap_and_no_edit_of_what_it_fixes() {
    let directory = scratch();
    let path = directory.path().join("sealed.cfd");
    fs::write(&path, seal(&small_sealer(), counted(2 * SEGMENT))).unwrap();
    let pin = verify(&opener(), READINGS[0], fs::read(&path).unwrap()).unwrap().stream_digest;
    cofferdam::rewrap(&path, &identities_of(KEY), &recipients_of(streams::OTHER_KEY)).unwrap();
    let sealed = fs::read(&path).unwrap();
    let keyless = Opener::keyless().expect_digest(pin);
    assert_eq!(class_of(&verify(&keyless, READINGS[0], sealed.clone())), "success");
    // One byte of each record that the pin fixes, where only a tag would show it to whoever has the key.
    let metadata = ranges(&sealed, Kind::Metadata)[0].end - 1;
    let tags = ranges(&sealed, Kind::Terminator).into_iter().map(|range| range.end - 1);
    for at in tags.chain([metadata, 80]) {
        let mut edited = sealed.clone();
        edited[at] ^= 1;
        for reading in READINGS {
            assert_eq!(class_of(&verify(&keyless, reading, edited.clone())), "damaged", "byte {at}");
        }
    }
}

#[test]
fn metadata_comes_back_sorted_and_whole() {
    let long = vec![0x5A; 60_000];
    let sealer = small_sealer()
        .metadata("zone", "b")
        .metadata("", "the empty key")
        .metadata("host", "")
        .metadata(vec![0xFF, 0x00], long.clone());
    let sealed = seal(&sealer, counted(10));
    let due: cofferdam::Metadata = vec![
        (b"".to_vec(), b"the empty key".to_vec()),
        (b"host".to_vec(), b"".to_vec()),
        (b"zone".to_vec(), b"b".to_vec()),
        (vec![0xFF, 0x00], long),
    ];
    assert_eq!(reference::open(&sealed, &reference::Key::KeyFile(KEY)).unwrap().metadata, due);
    for reading in READINGS {
        assert_eq!(open(&opener(), reading, sealed.clone()).unwrap().0.metadata, due, "{reading:?}");
        assert_eq!(verify(&Opener::keyless(), reading, sealed.clone()).unwrap().metadata, [], "{reading:?}");
    }
}

#[test]
fn metadata_that_is_too_long_or_says_a_key_twice_is_refused_before_anything_is_written() {
    // An entry takes 6 bytes beside its key and its value; 64 KiB are the most.
    let most = 64 * 1024 - 6 - 1;
    assert!(!seal(&small_sealer().metadata("k", vec![0; most]), counted(1)).is_empty());
    for sealer in [
        small_sealer().metadata("k", vec![0; most + 1]),
        small_sealer().metadata("k", "one").metadata("k", "another"),
        small_sealer().metadata(vec![b'k'; 70_000], "a key longer than its length can say"),
    ] {
        let (sink, contents) = MemorySink::new();
        let refused = sealer.seal(BytesSource::new(counted(1)), sink).unwrap_err();
        assert_eq!((refused.kind(), contents.take()), (ErrorKind::Usage, None), "{refused}");
    }
}

#[test]
fn shapes_that_no_reader_would_take_are_refused_before_anything_is_written() {
    let sealer = || Sealer::new(recipients_of(KEY));
    for (frame_len, segment_len) in [
        (0, 4096),
        (1000, 4000),
        (2048, 4096),
        (4097, 4097),
        (8 << 20, 8 << 20),
        (4096, 0),
        (4096, 5000),
        (4096, (1 << 30) + 4096),
        (4096, u64::MAX - 4095),
    ] {
        let (sink, contents) = MemorySink::new();
        let sealer = sealer().frame_len(frame_len).segment_len(segment_len);
        let refused = sealer.seal(BytesSource::new(counted(1)), sink).unwrap_err();
        assert_eq!((refused.kind(), contents.take()), (ErrorKind::Usage, None), "{frame_len}, {segment_len}");
    }
    for (frame_len, segment_len) in [(4096, 4096), (4 << 20, 4 << 20), (4096, 1 << 30), (4 << 20, 1 << 30)] {
        let sealed = seal(&sealer().frame_len(frame_len).segment_len(segment_len), counted(5000));
        // A frame of 4 MiB takes more than the default memory with its runs ahead.
        let opener = opener().memory(64 << 20);
        assert!(open(&opener, READINGS[0], sealed).unwrap().1 == counted(5000));
    }
}

/// Keeps what it is told.
#[derive(Default)]
struct Told {
    progress: Mutex<Vec<Progress>>,
    warnings: Mutex<Vec<Warning>>,
}

impl Observer for Told {
    fn progress(&self, progress: &Progress) {
        self.progress.lock().unwrap().push(*progress);
    }

    fn warning(&self, warning: &Warning) {
        self.warnings.lock().unwrap().push(*warning);
    }
}

#[test]
fn an_observer_is_told_of_each_segment_in_order_and_never_goes_back() {
    let plaintext = counted(5 * SEGMENT + 7);
    let told = Arc::new(Told::default());
    let sealed = Shared::new(seal(&small_sealer().observer(told.clone()), plaintext.clone()));
    let mut tellers = vec![(told, true)];
    for reading in READINGS {
        let told = Arc::new(Told::default());
        open(&opener().observer(told.clone()), reading, sealed.clone()).unwrap();
        tellers.push((told, reading == streams::Reading::Seekable));
    }
    for (told, knows_total) in tellers {
        let progress = told.progress.lock().unwrap();
        let committed: Vec<u64> = progress.iter().map(|progress| progress.committed).collect();
        let due: Vec<u64> = (1..=6).map(|segment| (segment * SEGMENT).min(plaintext.len()) as u64).collect();
        assert_eq!(committed, due);
        assert!(progress.iter().map(|progress| progress.segments).eq(1..=6));
        let total = knows_total.then_some(plaintext.len() as u64);
        assert!(progress.iter().all(|progress| progress.total == total));
        assert!(told.warnings.lock().unwrap().is_empty());
    }
}

#[test]
fn a_damaged_key_copy_is_a_warning_to_a_restore_and_damage_to_a_verification() {
    let sealed = seal(&small_sealer(), counted(SEGMENT));
    for (copy, range) in ranges(&sealed, Kind::KeyCopy).into_iter().enumerate() {
        let mut damaged = sealed.clone();
        damaged[range.start + 50] ^= 4;
        let damaged = Shared::new(damaged);
        let warning = Warning::KeyCopyDamaged { copy: copy as u8 };
        for reading in READINGS {
            let told = Arc::new(Told::default());
            let (restored, plaintext) =
                open(&opener().observer(told.clone()), reading, damaged.clone()).unwrap();
            assert!(plaintext == counted(SEGMENT));
            assert_eq!(restored.warnings, [warning]);
            assert_eq!(*told.warnings.lock().unwrap(), [warning]);
            for opener in [opener(), Opener::keyless()] {
                assert_eq!(class_of(&verify(&opener, reading, damaged.clone())), "damaged", "{reading:?}");
            }
        }
    }
}

#[test]
fn an_error_says_where_it_is() {
    let sealed = seal(&small_sealer(), counted(3 * SEGMENT));
    let frames = ranges(&sealed, Kind::Data);
    for (number, frame) in frames.iter().enumerate() {
        let mut damaged = sealed.clone();
        damaged[frame.start + 500] ^= 1;
        for reading in READINGS {
            let refused = open(&opener(), reading, damaged.clone()).unwrap_err();
            assert_eq!(refused.segment(), Some(number as u64 / 4), "{reading:?}");
            assert_eq!(refused.frame(), Some(number as u32 % 4), "{reading:?}");
            let position = refused.position().unwrap() as usize;
            assert!(segments(&sealed)[number / 4].contains(&position), "{reading:?}: byte {position}");
            assert!(refused.advice().is_some_and(|advice| advice.ends_with('.')));
        }
    }
}

#[test]
fn an_inspection_says_what_the_stream_is_made_of() {
    let directory = scratch();
    let path = directory.path().join("sealed.cfd");
    let sealed = seal(&small_sealer().metadata("host", "db1"), counted(3 * SEGMENT - 10));
    fs::write(&path, &sealed).unwrap();
    let seen = inspect(&path).unwrap();
    assert_eq!((seen.frame_len as usize, seen.segment_len as usize), (FRAME, SEGMENT));
    assert_eq!((seen.sealed_len, seen.metadata_len), (sealed.len() as u64, 32 + 6 + 4 + 3 + 16));
    let trailer = seen.trailer.unwrap();
    assert_eq!((trailer.segments, trailer.plaintext_len), (3, 3 * SEGMENT as u64 - 10));
    let oracle = reference::open(&sealed, &reference::Key::KeyFile(KEY)).unwrap();
    assert_eq!(trailer.stream_digest.0, oracle.stream_digest);
    let mut lies = Vec::new();
    seen.for_each_segment(|segment| {
        lies.push(segment.position as usize..(segment.position + segment.wire_len) as usize)
    })
    .unwrap();
    assert_eq!(lies, segments(&sealed));
}
