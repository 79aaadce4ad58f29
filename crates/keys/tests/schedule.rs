//! Holds the key schedule and the slots of kind 2 against values that `vectors/keys.py` computed.
//! Knows nothing of how the crate derives them.

#![allow(clippy::unwrap_used, reason = "the functions that tests share may unwrap as they do")]

use std::collections::HashMap;

use keys::{Identities, KIND_WRAPPING_KEY, KeySchedule, SealedSlot, StreamKey, WrappingKey, macs_equal};

#[test]
fn commitment_is_what_an_independent_computation_gives() {
    let vectors = Vectors::read();
    let schedule = vectors.schedule();
    assert_eq!(schedule.commitment(), vectors.array("commitment"));
    assert!(schedule.matches_commitment(&vectors.array("commitment")));
}

#[test]
fn commitment_refuses_every_other_value_by_a_bit() {
    let vectors = Vectors::read();
    let schedule = vectors.schedule();
    for bit in 0..256 {
        assert!(!schedule.matches_commitment(&flipped(vectors.array("commitment"), bit)), "bit {bit}");
    }
}

#[test]
fn aead_secrets_are_what_an_independent_computation_gives() {
    let vectors = Vectors::read();
    let schedule = vectors.schedule();
    let segment = schedule.segment(&vectors.array("segment_header"));
    assert_eq!([&segment.key()[..], segment.nonce()].concat(), vectors.bytes("segment"));
    let metadata = schedule.metadata(&vectors.array("record_head"));
    assert_eq!([&metadata.key()[..], metadata.nonce()].concat(), vectors.bytes("metadata"));
}

#[test]
fn macs_are_what_an_independent_computation_gives() {
    let vectors = Vectors::read();
    let schedule = vectors.schedule();
    let key_area = schedule.key_area_mac(&vectors.array("preamble"), &vectors.bytes("copy"));
    assert_eq!(key_area, vectors.array("key_area_mac"));
    assert_eq!(schedule.page_mac(&vectors.bytes("page")), vectors.array("page_mac"));
    let footer = schedule.footer_mac(&vectors.bytes("directory"), &vectors.array("footer_head"));
    assert_eq!(footer, vectors.array("footer_mac"));
    assert_eq!(schedule.plaintext_digest_key(), &vectors.array("plaintext_key"));
    let journal = schedule.journal(&vectors.array("journal_id"));
    assert_eq!(journal.mac(&vectors.bytes("journal_bytes")), vectors.array("journal_mac"));
    assert!(journal.verify(&vectors.bytes("journal_bytes"), &vectors.array("journal_mac")));
    assert!(!journal.verify(b"other bytes", &vectors.array("journal_mac")));
}

#[test]
fn every_bit_of_the_preambles_first_80_bytes_changes_every_key() {
    let vectors = Vectors::read();
    let original = outputs(&vectors.schedule());
    for bit in 0..80 * 8 {
        let preamble = flipped(vectors.array("preamble"), bit);
        let changed = outputs(&KeySchedule::new(&vectors.stream_key(), &preamble));
        assert!(original.iter().zip(&changed).all(|(one, other)| one != other), "bit {bit}");
    }
}

#[test]
fn the_preamble_after_the_salt_changes_no_key() {
    let vectors = Vectors::read();
    let original = outputs(&vectors.schedule());
    for bit in 80 * 8..128 * 8 {
        let preamble = flipped(vectors.array("preamble"), bit);
        assert_eq!(outputs(&KeySchedule::new(&vectors.stream_key(), &preamble)), original, "bit {bit}");
    }
}

#[test]
fn every_bit_of_a_segment_header_changes_key_and_nonce() {
    let vectors = Vectors::read();
    let schedule = vectors.schedule();
    let original = schedule.segment(&vectors.array("segment_header"));
    for bit in 0..48 * 8 {
        let changed = schedule.segment(&flipped(vectors.array("segment_header"), bit));
        assert_ne!(original.key(), changed.key(), "bit {bit}");
        assert_ne!(original.nonce(), changed.nonce(), "bit {bit}");
    }
}

#[test]
fn macs_are_equal_only_when_every_bit_is() {
    let mac = [0x5a; 32];
    assert!(macs_equal(&mac, &mac));
    for bit in 0..256 {
        assert!(!macs_equal(&mac, &flipped(mac, bit)), "bit {bit}");
    }
}

#[test]
fn a_wrapped_key_that_another_program_made_opens() {
    let vectors = Vectors::read();
    let found = open_wrapped(&vectors, vectors.bytes("wrapped"), vectors.array("preamble"));
    assert_eq!(found.as_deref(), Some(&vectors.bytes("stream_key")[..]));
}

#[test]
fn no_flipped_bit_of_a_wrapped_key_opens() {
    let vectors = Vectors::read();
    for bit in 0..80 * 8 {
        let body = flipped::<80>(vectors.array("wrapped"), bit).to_vec();
        assert_eq!(open_wrapped(&vectors, body, vectors.array("preamble")), None, "bit {bit}");
    }
}

#[test]
fn a_wrapped_key_opens_under_its_own_preamble_only() {
    let vectors = Vectors::read();
    for bit in 0..80 * 8 {
        let preamble = flipped(vectors.array("preamble"), bit);
        assert_eq!(open_wrapped(&vectors, vectors.bytes("wrapped"), preamble), None, "bit {bit}");
    }
}

fn open_wrapped(vectors: &Vectors, body: Vec<u8>, preamble: [u8; 128]) -> Option<Vec<u8>> {
    let slots = [SealedSlot { kind: KIND_WRAPPING_KEY, body }];
    let identities =
        Identities::new().wrapping_key(WrappingKey::parse(&vectors.bytes("wrapping_key")).unwrap());
    let head = preamble[..80].try_into().unwrap();
    identities.unwrap(&slots, &head, &mut |_| true).ok().map(|key| key.expose().to_vec())
}

/// One value of each kind that the schedule gives, for fixed records.
fn outputs(schedule: &KeySchedule) -> [[u8; 32]; 8] {
    [
        schedule.commitment(),
        *schedule.segment(&[1; 48]).key(),
        *schedule.metadata(&[1; 32]).key(),
        schedule.key_area_mac(&[1; 128], b"copy"),
        schedule.page_mac(b"page"),
        schedule.footer_mac(b"directory", &[1; 80]),
        *schedule.plaintext_digest_key(),
        schedule.journal(&[1; 16]).mac(b"checkpoint"),
    ]
}

fn flipped<const N: usize>(mut bytes: [u8; N], bit: usize) -> [u8; N] {
    bytes[bit / 8] ^= 1 << (bit % 8);
    bytes
}

struct Vectors(HashMap<&'static str, &'static str>);

impl Vectors {
    fn read() -> Self {
        Self(include_str!("vectors/keys.txt").lines().filter_map(|line| line.split_once(' ')).collect())
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        hex::decode(self.0[name]).unwrap()
    }

    fn array<const N: usize>(&self, name: &str) -> [u8; N] {
        self.bytes(name).try_into().unwrap()
    }

    fn stream_key(&self) -> StreamKey {
        StreamKey::from_bytes(self.array("stream_key"))
    }

    fn schedule(&self) -> KeySchedule {
        KeySchedule::new(&self.stream_key(), &self.array("preamble"))
    }
}
