//! Which zeros of a staging file are left out, because it reads as zeros there anyway.
//! Knows no stream. Where a file may hold other bytes, it is told.

use std::{io, sync::Arc};

use parking_lot::Mutex;
use storage::{Sparse, StorageFile};

/// Writes to a file, and leaves holes where nothing has to be written.
///
/// Bytes behind [`Extent::claimed_to`] were never written, so zeros for them are left out unseen. Before it, somebody wrote
/// something: an earlier attempt, or a segment that was rolled back. There the file is read first.
pub(super) struct Holes {
    file: Arc<dyn StorageFile>,
    sparse: Sparse,
    /// Length that the file will have, as far as that is known.
    expected_len: Option<u64>,
    extent: Mutex<Extent>,
}

/// How far a file has come.
struct Extent {
    /// The file is this long, or will be when the writes that have begun are done. It is only ever set to more, under the
    /// lock that every write takes before it begins: so no change of length cuts what another thread writes.
    len: u64,
    /// Bytes before this one may be anything.
    claimed_to: u64,
}

impl Holes {
    /// In a file of which `found_len` bytes were found, whoever wrote them.
    pub(super) fn new(
        file: Arc<dyn StorageFile>,
        sparse: Sparse,
        expected_len: Option<u64>,
        found_len: u64,
    ) -> Holes {
        let extent = Mutex::new(Extent { len: found_len, claimed_to: found_len });
        Holes { file, sparse, expected_len, extent }
    }

    pub(super) fn sparse(&self) -> Sparse {
        self.sparse
    }

    /// What was written so far is forgotten, and may be written again: it is no longer known to be zeros.
    pub(super) fn forget(&self) {
        let mut extent = self.extent.lock();
        extent.claimed_to = extent.len;
    }

    /// The file has `len` bytes now, of which any may be another's.
    pub(super) fn find(&self, len: u64) {
        let mut extent = self.extent.lock();
        extent.len = extent.len.max(len);
        extent.claimed_to = extent.claimed_to.max(len);
    }

    /// Makes the file's bytes from `at` on those of `data`.
    pub(super) fn write(&self, at: u64, data: &[u8]) -> io::Result<()> {
        if self.sparse == Sparse::Never {
            return self.file.write_all_at(data, at);
        }
        for Stretch { at, bytes, is_zero } in Stretches::of(at, data) {
            match is_zero {
                true => self.write_zeros(at, bytes)?,
                false => self.write_bytes(at, bytes)?,
            }
        }
        Ok(())
    }

    fn write_bytes(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.pass(at + bytes.len() as u64);
        self.file.write_all_at(bytes, at)
    }

    /// The write that is about to begin ends at `end`, or what the file system has put there itself.
    pub(super) fn pass(&self, end: u64) {
        let mut extent = self.extent.lock();
        extent.len = extent.len.max(end);
    }

    /// Leaves `zeros` out as far as they are there.
    fn write_zeros(&self, at: u64, zeros: &[u8]) -> io::Result<()> {
        let end = at + zeros.len() as u64;
        let claimed = self.reach(end)?.saturating_sub(at).min(zeros.len() as u64) as usize;
        let mut found = [0; BLOCK_LEN];
        let mut next = at;
        for block in zeros[..claimed].chunks(BLOCK_LEN) {
            let found = &mut found[..block.len()];
            self.file.read_exact_at(found, next)?;
            if found != block {
                self.file.write_all_at(block, next)?;
            }
            next += block.len() as u64;
        }
        Ok(())
    }

    /// Sees to it that the file has the bytes before `end`. Gives how far it may hold other bytes than zeros.
    pub(super) fn reach(&self, end: u64) -> io::Result<u64> {
        let mut extent = self.extent.lock();
        if end > extent.len {
            let step = end.checked_next_multiple_of(STEP_LEN).unwrap_or(end);
            let len = self.expected_len.map_or(end, |expected_len| step.min(expected_len)).max(end);
            self.file.set_len(len)?;
            extent.len = len;
        }
        Ok(extent.claimed_to)
    }
}

/// Bytes that are all zero, or of which no block is.
struct Stretch<'d> {
    at: u64,
    bytes: &'d [u8],
    is_zero: bool,
}

/// Cuts bytes into stretches, at multiples of [`BLOCK_LEN`] from the file's beginning.
struct Stretches<'d> {
    at: u64,
    rest: &'d [u8],
}

impl<'d> Stretches<'d> {
    fn of(at: u64, data: &'d [u8]) -> Stretches<'d> {
        Stretches { at, rest: data }
    }

    /// The block that begins `from` bytes into the rest, or what there is of it.
    fn block(&self, from: usize) -> &'d [u8] {
        let room = BLOCK_LEN - ((self.at + from as u64) % BLOCK_LEN as u64) as usize;
        &self.rest[from..self.rest.len().min(from + room)]
    }
}

impl<'d> Iterator for Stretches<'d> {
    type Item = Stretch<'d>;

    fn next(&mut self) -> Option<Stretch<'d>> {
        let first = self.block(0);
        if first.is_empty() {
            return None;
        }
        let (is_zero, mut len) = (is_zero(first), first.len());
        while len < self.rest.len() && self::is_zero(self.block(len)) == is_zero {
            len += self.block(len).len();
        }
        let (bytes, rest) = self.rest.split_at(len);
        let stretch = Stretch { at: self.at, bytes, is_zero };
        (self.at, self.rest) = (self.at + len as u64, rest);
        Some(stretch)
    }
}

/// Compared as memory, which ends at the first difference and is done in wide registers: that costs a hundredth of the copy
/// into the page cache where there are no zeros.
fn is_zero(block: &[u8]) -> bool {
    *block == ZEROS[..block.len()]
}

/// What file systems allocate at least, in bytes: ext4, XFS, btrfs and tmpfs with their defaults.
const BLOCK_LEN: usize = 4096;
static ZEROS: [u8; BLOCK_LEN] = [0; BLOCK_LEN];
/// A file grows by holes this far at a time, in bytes: XFS writes out what is before them each time.
const STEP_LEN: u64 = 64 << 20;
