//! Checks for the fuzzer: what stands before the segments: the preamble, the key copies, the metadata record and its pairs.
//! It knows no key: the checksum of a key copy is taken as right, so that the fuzzer gets past it.

use framing::limits::{CHECKSUM_LEN, METADATA_LEN_MAX, PREAMBLE_BLOCK_LEN, PREAMBLE_LEN, SLOTS_MAX};
use framing::{KeyCopy, MetadataHead, Preamble, decode_entries, encode_entries};

/// Everything below, for one input. Panics on a fault.
pub(crate) fn check(data: &[u8]) {
    preamble_and_keys(data);
    key_copy(data);
    metadata(data);
}

/// A preamble that parses says exactly what its bytes say, and what follows it can be parsed by its lengths.
fn preamble_and_keys(data: &[u8]) {
    let Ok(preamble) = Preamble::parse(data) else { return };
    assert_eq!(preamble.to_bytes(), data[..PREAMBLE_LEN]);
    assert!(data[PREAMBLE_LEN..PREAMBLE_BLOCK_LEN].iter().all(|&byte| byte == 0));
    let rest = &data[PREAMBLE_BLOCK_LEN..];
    let len = preamble.key_copy_len as usize;
    assert_eq!(preamble.origin(), (PREAMBLE_BLOCK_LEN + 2 * len) as u64);
    if let Some((keys, behind)) = rest.split_at_checked(2 * len) {
        key_copy(&keys[..len]);
        key_copy(&keys[len..]);
        metadata(behind);
    }
}

/// A key copy that parses is the only encoding of its slots.
fn key_copy(copy: &[u8]) {
    let checksum: [u8; CHECKSUM_LEN] = copy.last_chunk().copied().unwrap_or_default();
    let Some(parsed) = KeyCopy::parse(copy, |_, _| checksum) else { return };
    let Ok(slots) = parsed.slots() else { return };
    assert!(slots.len() <= SLOTS_MAX);
    let Ok(len) = u32::try_from(copy.len()) else { return };
    let Ok(least) = KeyCopy::len_for(&slots, 0) else { return };
    assert!(least <= len);
    let mac = parsed.mac;
    let encoded = KeyCopy::encode(parsed.generation, &slots, len, |_| mac, |_, _| checksum);
    assert_eq!(encoded.as_deref(), Ok(copy));
}

/// A head that parses says what its bytes say; so do pairs, read from the same bytes.
fn metadata(data: &[u8]) {
    if let Ok(head) = MetadataHead::parse(data) {
        assert!(data.starts_with(&head.to_bytes()));
    }
    if let Ok(entries) = decode_entries(data) {
        assert!(data.len() <= METADATA_LEN_MAX);
        assert_eq!(encode_entries(&entries).as_deref(), Ok(data));
    }
}
