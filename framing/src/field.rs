//! Little-endian fields at fixed offsets of a record.
//! It knows no record: callers have checked the length before they read a field.

use crate::{FramingError, Record};

/// `bytes` cut to `LEN`, or the error that the record ends early.
pub(crate) fn exact<const LEN: usize>(bytes: &[u8], record: Record) -> Result<&[u8; LEN], FramingError> {
    bytes.first_chunk::<LEN>().ok_or_else(|| FramingError::truncated(record))
}

pub(crate) fn array<const LEN: usize>(bytes: &[u8], at: usize) -> [u8; LEN] {
    let mut field = [0; LEN];
    field.copy_from_slice(&bytes[at..at + LEN]);
    field
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array(bytes, at))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}

pub(crate) fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
    bytes[at..at + field.len()].copy_from_slice(field);
}

/// Reserved bytes are zero, and checked (FORMAT F1.3).
pub(crate) fn zeros(bytes: &[u8], record: Record) -> Result<(), FramingError> {
    // All of them are looked at, whatever the first ones are: that takes whole vectors at a time.
    if bytes.iter().fold(0, |seen, byte| seen | byte) == 0 {
        return Ok(());
    }
    Err(FramingError::damaged(record, "has a reserved byte that is not zero"))
}

/// A length that is known to fit: every wire length is below 2^32, and `usize` holds that here.
pub(crate) fn to_usize(len: u32) -> usize {
    const _: () = assert!(usize::BITS >= u32::BITS);
    len as usize
}
