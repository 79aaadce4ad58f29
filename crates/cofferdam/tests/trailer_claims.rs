//! Owns what becomes of a trailer that claims more than its stream holds: both readers find the same class, and nothing
//! is taken or read on the strength of the claim. Refuses to know any other damage.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod streams;

use std::fs;
use std::ops::Range;

use cofferdam::{ErrorKind, Opener};
use keys::{Identities, KeySchedule, SealedSlot, WrappingKey};

use streams::map::{Kind, ranges};
use streams::{
    FRAME, KEY, READINGS, Reading, SEGMENT, Shared, class_of, counted, names_in, opener, scratch, seal,
    small_sealer, verify,
};

fn only(sealed: &[u8], kind: Kind) -> Range<usize> {
    ranges(sealed, kind)[0].clone()
}

fn put(sealed: &mut [u8], at: usize, number: u64) {
    sealed[at..at + 8].copy_from_slice(&number.to_le_bytes());
}

/// What a recipient can do: the footer's MAC is made anew, as FORMAT §9 has it.
fn with_right_footer_mac(sealed: &mut [u8]) {
    let pre: [u8; 128] = sealed[..128].try_into().unwrap();
    let slot = only(sealed, Kind::KeyCopy).start + 32;
    let slot = SealedSlot { kind: 2, body: sealed[slot + 8..][..80].to_vec() };
    let identities = Identities::new().wrapping_key(WrappingKey::from_bytes(KEY));
    let head: [u8; 80] = pre[..80].try_into().unwrap();
    let stream_key = identities.unwrap(&[slot], &head, &mut |_| true).unwrap();
    let (directory, footer) = (only(sealed, Kind::Directory), only(sealed, Kind::Footer));
    let clear: [u8; 80] = sealed[footer.start..][..80].try_into().unwrap();
    let mac = KeySchedule::new(&stream_key, &pre).footer_mac(&sealed[directory], &clear);
    sealed[footer.start + 80..footer.end].copy_from_slice(&mac);
}

fn assert_damaged_for_all(sealed: Vec<u8>, what: &str) {
    let sealed = Shared::new(sealed);
    for reading in READINGS {
        for (opener, who) in [(opener(), "with the key"), (Opener::keyless(), "without a key")] {
            assert_eq!(
                class_of(&verify(&opener, reading, sealed.clone())),
                "damaged",
                "{what}, {reading:?}, {who}"
            );
        }
    }
}

#[test]
fn a_page_that_is_said_to_stand_behind_the_end_is_damage_and_not_truncation() {
    let good = seal(&small_sealer(), counted(SEGMENT + 1));
    let directory = only(&good, Kind::Directory).start;
    let end = (good.len() - only(&good, Kind::Metadata).start) as u64;
    for offset in [end - 112, end, 1 << 40, u64::MAX - 12_287, u64::MAX] {
        let mut forged = good.clone();
        put(&mut forged, directory, offset);
        with_right_footer_mac(&mut forged);
        assert_damaged_for_all(forged, &format!("a page at {offset}"));
    }
}

#[test]
fn a_segment_that_is_said_to_end_behind_the_directory_is_damage_and_not_truncation() {
    let good = seal(&small_sealer(), counted(FRAME));
    let mut forged = good.clone();
    let entry = only(&good, Kind::Page).start + 32;
    put(&mut forged, entry + 8, (192 + SEGMENT + 4 * 32) as u64);
    forged[entry + 24..][..4].copy_from_slice(&(SEGMENT as u32).to_le_bytes());
    forged[entry + 28..][..4].copy_from_slice(&4u32.to_le_bytes());
    assert_damaged_for_all(forged, "a segment of four frames where there is one");
}

#[test]
fn a_length_that_cannot_be_true_takes_no_room() {
    let good = seal(&small_sealer(), counted(FRAME));
    let footer = only(&good, Kind::Footer).start;
    let directory = scratch();
    let [path, target] = ["sealed.cfd", "target"].map(|name| directory.path().join(name));
    for len in [good.len() as u64, 1 << 40, 1 << 62, u64::MAX] {
        let mut forged = good.clone();
        put(&mut forged, footer + 32, len);
        with_right_footer_mac(&mut forged);
        fs::write(&path, &forged).unwrap();
        let refused = opener().restore_file(&path, &target).unwrap_err();
        // Not `Io`, as if it were the file system that is too small.
        assert_eq!(refused.kind(), ErrorKind::Damaged, "{len}");
        assert_eq!(names_in(directory.path()), [std::path::Path::new("sealed.cfd")]);
        assert_damaged_for_all(forged, &format!("{len} bytes of plaintext"));
    }
}

#[test]
fn a_footer_that_says_less_than_its_segments_hold_is_damage_wherever_they_are_cut() {
    for real in [1, FRAME, SEGMENT, SEGMENT + 1] {
        let good = seal(&small_sealer(), counted(real));
        let footer = only(&good, Kind::Footer).start;
        for said in [0, 1, FRAME - 1, FRAME, SEGMENT].into_iter().filter(|said| *said < real) {
            let mut forged = good.clone();
            put(&mut forged, footer + 32, said as u64);
            with_right_footer_mac(&mut forged);
            let named =
                verify(&opener(), Reading::Seekable, Shared::new(forged.clone())).unwrap_err().to_string();
            assert!(named.contains("footer"), "{said} bytes of {real}: {named}");
            assert_damaged_for_all(forged, &format!("{said} bytes said to be there of {real}"));
        }
    }
}
