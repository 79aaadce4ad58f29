//! Fields of fixed length out of bytes that may be too few.
//! It knows no format.

/// The `N` bytes at `offset`, where they are there.
pub(crate) fn bytes_at<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..offset.checked_add(N)?)?.try_into().ok()
}

/// A big-endian number of four bytes; 0 where they are not there.
pub(crate) fn be32_at(bytes: &[u8], offset: usize) -> u32 {
    bytes_at(bytes, offset).map_or(0, u32::from_be_bytes)
}

/// A big-endian number of two bytes; 0 where they are not there.
pub(crate) fn be16_at(bytes: &[u8], offset: usize) -> u16 {
    bytes_at(bytes, offset).map_or(0, u16::from_be_bytes)
}

/// A little-endian number of four bytes; 0 where they are not there.
pub(crate) fn le32_at(bytes: &[u8], offset: usize) -> u32 {
    bytes_at(bytes, offset).map_or(0, u32::from_le_bytes)
}

/// A little-endian number of two bytes; 0 where they are not there.
pub(crate) fn le16_at(bytes: &[u8], offset: usize) -> u16 {
    bytes_at(bytes, offset).map_or(0, u16::from_le_bytes)
}
