//! The greatest lengths and counts of a tree (TREE §1 to §4). Nothing read from outside sizes an allocation beyond them.

/// Bytes of a block of an archive: everything in one is a multiple.
pub const BLOCK_LEN: usize = 512;
/// Bytes of a pax header's records at most.
pub const RECORDS_LEN_MAX: usize = 1 << 20;
/// Bytes of a member's header at most: the block before the records, the records, the block behind them.
pub const HEADER_LEN_MAX: usize = RECORDS_LEN_MAX + 2 * BLOCK_LEN;
/// Bytes of zeros at least at the end of an archive.
pub const ARCHIVE_END_LEN: usize = 2 * BLOCK_LEN;
/// Bytes of a link's target at most.
pub const LINK_LEN_MAX: usize = 4_095;
/// Bytes of a user's or a group's name at most.
pub const OWNER_NAME_LEN_MAX: usize = 255;
/// Bytes of an extended attribute's name at most.
pub const XATTR_NAME_LEN_MAX: usize = 255;
/// The greatest number of a user or group; the one above means *none* to chown(2).
pub const OWNER_MAX: u64 = u32::MAX as u64 - 1;
/// Permission bits, with set-id and sticky bits.
pub const MODE_MAX: u64 = 0o7777;
/// The greatest major or minor number of a device.
pub const DEVICE_MAX: u64 = (1 << 21) - 1;
/// The greatest length of a file: offsets in files are signed.
pub const SIZE_MAX: u64 = i64::MAX as u64;
/// Entries of a page at most.
pub const PAGE_ENTRIES_MAX: usize = 4_096;
/// Bytes of a page at most.
pub const PAGE_LEN_MAX: usize = 512 << 10;
/// Pages of a catalog at most: what the page directory takes in memory is 2 MiB.
pub const PAGES_MAX: u64 = 65_536;
/// Entries of a catalog at most.
pub const ENTRIES_MAX: u64 = 1 << 28;

/// A page is closed when it has this many bytes: the longest entry still fits.
pub(crate) const PAGE_LEN_FULL: usize = 256 << 10;

const _: () = assert!(PAGE_LEN_FULL + crate::TreePath::LEN_MAX + LINK_LEN_MAX + 128 <= PAGE_LEN_MAX);
const _: () = assert!(ENTRIES_MAX / PAGE_ENTRIES_MAX as u64 <= PAGES_MAX);
const _: () = assert!(HEADER_LEN_MAX.is_multiple_of(BLOCK_LEN));
