//! Every size and count of FORMAT §2 that bounds a loop, a buffer or an allocation.

/// Bytes of a preamble that carry fields.
pub const PREAMBLE_LEN: usize = 128;
/// Bytes a preamble occupies on the wire: a block of its own, so that nothing written later shares it.
pub const PREAMBLE_BLOCK_LEN: usize = 4096;
/// Key copies are padded to a multiple of this many bytes.
pub const KEY_COPY_UNIT: usize = 4096;
/// The largest key copy, in bytes.
pub const KEY_COPY_LEN_MAX: usize = 256 * 1024;
/// Bytes of a key copy before its slots.
pub const KEY_COPY_HEAD_LEN: usize = 32;
/// Bytes of a key copy after its zero fill: MAC and checksum.
pub const KEY_COPY_TAIL_LEN: usize = MAC_LEN + CHECKSUM_LEN;
/// Bytes of a slot before its body.
pub const SLOT_HEAD_LEN: usize = 8;
/// The most slots in a key copy.
pub const SLOTS_MAX: usize = 16;
/// Bytes of a SHA-256 checksum.
pub const CHECKSUM_LEN: usize = 32;
/// Bytes of an HMAC-SHA-256.
pub const MAC_LEN: usize = 32;
/// Bytes of a segment digest or chain value.
pub const DIGEST_LEN: usize = 32;
/// Bytes of an AEAD tag, the same in both suites.
pub const TAG_LEN: usize = 16;
/// Bytes of the metadata record before its ciphertext.
pub const METADATA_HEAD_LEN: usize = 32;
/// The most bytes of metadata plaintext.
pub const METADATA_LEN_MAX: usize = 64 * 1024;
/// The least plaintext bytes of a full frame; every frame length is a multiple of it.
pub const FRAME_LEN_MIN: u32 = 4 * 1024;
/// The most plaintext bytes of a frame.
pub const FRAME_LEN_MAX: u32 = 4 * 1024 * 1024;
/// The most plaintext bytes of a segment.
pub const SEGMENT_LEN_MAX: u64 = 1024 * 1024 * 1024;
/// The most DATA frames of a segment.
pub const FRAMES_PER_SEGMENT_MAX: u32 = (SEGMENT_LEN_MAX / FRAME_LEN_MIN as u64) as u32;
/// Bytes of a segment header.
pub const SEGMENT_HEADER_LEN: usize = 48;
/// Bytes of a frame header.
pub const FRAME_HEADER_LEN: usize = 16;
/// Bytes that a DATA frame adds to its plaintext.
pub const FRAME_OVERHEAD: usize = FRAME_HEADER_LEN + TAG_LEN;
/// Bytes of a DIGEST frame of a stream that is not compressed.
pub const DIGEST_FRAME_LEN: usize = 64;
/// Bytes of a TERMINATOR frame.
pub const TERMINATOR_LEN: usize = 80;
/// Bytes of the two frames that close a segment of a stream that is not compressed.
pub const CLOSING_LEN: usize = DIGEST_FRAME_LEN + TERMINATOR_LEN;
/// Bytes of the two frames that close a segment, at most: a compressed stream's DIGEST has one digest more.
pub const CLOSING_LEN_MAX: usize = CLOSING_LEN + DIGEST_LEN;
/// Bytes of a TABLE frame for each DATA frame of its segment.
pub const TABLE_ENTRY_LEN: usize = 4;
/// The least bytes of a compressed DATA frame's body: one of zstd and the tag.
pub const COMPRESSED_BODY_LEN_MIN: u32 = 1 + TAG_LEN as u32;
/// The most entries of an index page; every page but the last has as many.
pub const PAGE_ENTRIES_MAX: u32 = 4096;
/// Bytes of an index page before its entries.
pub const PAGE_HEAD_LEN: usize = 32;
/// Bytes of an index entry of a stream that is not compressed; of one that is, one digest more.
pub const ENTRY_LEN: usize = 80;
/// The most index pages of a stream.
pub const PAGES_MAX: u32 = 1 << 20;
/// The most segments of a stream.
pub const SEGMENTS_MAX: u64 = PAGES_MAX as u64 * PAGE_ENTRIES_MAX as u64;
/// Bytes of a directory entry: where a page begins, and its MAC.
pub const DIRECTORY_ENTRY_LEN: usize = 8 + MAC_LEN;
/// Bytes of the footer.
pub const FOOTER_LEN: usize = 112;

// Records fit the blocks they are padded to, longer units are multiples of shorter ones, a stream's plaintext is a
// u64, and records of fixed parts are as long as their parts.
const _: () = assert!(PREAMBLE_LEN <= PREAMBLE_BLOCK_LEN);
const _: () = assert!(KEY_COPY_LEN_MAX.is_multiple_of(KEY_COPY_UNIT));
const _: () = assert!(KEY_COPY_HEAD_LEN + SLOT_HEAD_LEN + KEY_COPY_TAIL_LEN < KEY_COPY_UNIT);
const _: () = assert!(SEGMENT_LEN_MAX.is_multiple_of(FRAME_LEN_MAX as u64));
const _: () = assert!(FRAME_LEN_MAX.is_multiple_of(FRAME_LEN_MIN));
const _: () = assert!(SEGMENTS_MAX.checked_mul(SEGMENT_LEN_MAX).is_some());
const _: () = assert!(DIGEST_FRAME_LEN == FRAME_HEADER_LEN + DIGEST_LEN + TAG_LEN);
const _: () = assert!(TERMINATOR_LEN == FRAME_HEADER_LEN + 16 + DIGEST_LEN + TAG_LEN);
