//! Records that lie within one sector: numbers at their places, and the CRC-32 that makes up the last four bytes.
//! Knows no record.

/// Puts the checksum of all before them into the last [`CRC_LEN`] bytes.
pub fn close(record: &mut [u8]) {
    let at = record.len() - CRC_LEN;
    let crc = crc32fast::hash(&record[..at]);
    record[at..].copy_from_slice(&crc.to_le_bytes());
}

/// Whether the checksum is right.
pub fn is_whole(record: &[u8]) -> bool {
    let parts = record.split_last_chunk::<CRC_LEN>();
    parts.is_some_and(|(content, crc)| *crc == crc32fast::hash(content).to_le_bytes())
}

/// The little-endian number in the four bytes from `at` on.
pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

/// The little-endian number in the eight bytes from `at` on.
pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

/// Bytes of a checksum.
pub const CRC_LEN: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_iso_hdlc_and_any_other_is_not_whole() {
        // Its check value, as in Ross Williams' guide: of the digits 1 to 9.
        let mut record = *b"123456789....";
        close(&mut record);
        assert_eq!(record[9..], 0xCBF4_3926_u32.to_le_bytes());
        assert!(is_whole(&record));
        for bit in 0..8 * record.len() {
            let mut damaged = record;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(!is_whole(&damaged), "bit {bit}");
        }
        assert!((0..record.len()).all(|len| !is_whole(&record[..len])));
    }
}
