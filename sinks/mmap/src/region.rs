//! A file's bytes in memory: all of its room taken first, its pages brought in just before they are written.
//! Knows nothing of streams. One of the modules of this project with `unsafe`: docs/ARCHITECTURE.md names them.
#![allow(unsafe_code, reason = "a store through a map has no safe form")]

use std::{fs::File, io, ops::Range};

use cofferdam_io::{WriteAt, retried};
use memmap2::{Advice, MmapOptions, MmapRaw};
use parking_lot::Mutex;
use rustix::{
    fs::{FallocateFlags, FsWord, fallocate, fstatfs},
    io::Errno,
    process::{Resource, getrlimit},
};

/// A map of a whole file, written through and never read.
///
/// A store that the file system finds no room for would be the signal SIGBUS. So the room is taken before, by
/// fallocate(2), on file systems where a page with room of its own needs no more of it later; and each page is made
/// writable by `MADV_POPULATE_WRITE`, which answers with an error where a store would end in a signal. What remains is a
/// disk that cannot read back what it took: of a page that was written to it under pressure and is written once more.
#[derive(Debug)]
pub(crate) struct Region {
    map: MmapRaw,
    len: usize,
    /// Ranges that are being written. Two stores to one byte at once would be undefined.
    busy: Mutex<Vec<Range<usize>>>,
}

impl Region {
    /// Gives `file` its length and all of its room, and maps it.
    pub(crate) fn new(file: &File, len: u64) -> io::Result<Region> {
        let too_large =
            || io::Error::new(io::ErrorKind::FileTooLarge, format!("{len} bytes cannot be mapped"));
        // Beyond this limit fallocate(2) is a signal.
        if getrlimit(Resource::Fsize).current.is_some_and(|limit| len > limit) {
            return Err(too_large());
        }
        let map_len = usize::try_from(len).map_err(|_| too_large())?;
        preallocate(file, len)?;
        let map = MmapOptions::new().len(map_len).map_raw(file)?;
        let region = Region { map, len: map_len, busy: Mutex::default() };
        region.populate(0..map_len.min(1)).map_err(|error| match error.raw_os_error() {
            Some(code) if code == Errno::INVAL.raw_os_error() => {
                io::Error::new(io::ErrorKind::Unsupported, "mapped files need Linux 5.14 or newer")
            }
            _ => error,
        })?;
        Ok(region)
    }

    /// Makes the pages of a range writable, or says why they cannot be.
    fn populate(&self, range: Range<usize>) -> io::Result<()> {
        match range.is_empty() {
            true => Ok(()),
            false => self.map.advise_range(Advice::PopulateWrite, range.start, range.len()),
        }
    }

    /// The part of the map from `at` on, marked as being written until `release`.
    fn claim(&self, at: u64, len: usize) -> io::Result<Range<usize>> {
        let start = usize::try_from(at).ok();
        let end = start.and_then(|start| start.checked_add(len)).filter(|end| *end <= self.len);
        let (Some(start), Some(end)) = (start, end) else {
            let message = format!("{len} bytes at {at} go beyond the {} bytes that are mapped", self.len);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        };
        let mut busy = self.busy.lock();
        if busy.iter().any(|other| start < other.end && other.start < end) {
            let message = format!("bytes {start} to {end} are being written already");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        busy.push(start..end);
        Ok(start..end)
    }

    fn release(&self, range: &Range<usize>) {
        self.busy.lock().retain(|busy| busy != range);
    }

    /// Copies into a range that this thread alone has claimed. Pages are populated a piece at a time: what the kernel has
    /// just filled with zeros is then still in the processor's cache.
    fn copy_in(&self, range: Range<usize>, data: &[u8]) -> io::Result<()> {
        for (piece, at) in data.chunks(PIECE_LEN).zip(range.step_by(PIECE_LEN)) {
            self.populate(at..at + piece.len())?;
            // SAFETY: `claim` has found that the range lies within the map, which lives as long as `self`, and that no other
            // thread writes it; nothing reads through the map or hands out references into it, so `piece` is elsewhere.
            unsafe {
                std::ptr::copy_nonoverlapping(piece.as_ptr(), self.map.as_mut_ptr().add(at), piece.len());
            }
        }
        Ok(())
    }
}

impl WriteAt for Region {
    fn write_all_at(&self, at: u64, data: &[u8]) -> io::Result<()> {
        let range = self.claim(at, data.len())?;
        let done = self.copy_in(range.clone(), data);
        self.release(&range);
        done
    }
}

/// Takes the room of the whole file, where that means that no store will need more of it.
fn preallocate(file: &File, len: u64) -> io::Result<()> {
    let unsupported = |what: &str| {
        let message = format!("{what}; files are mapped on tmpfs, ext4 and XFS");
        Err(io::Error::new(io::ErrorKind::Unsupported, message))
    };
    if !IN_PLACE.contains(&fstatfs(file)?.f_type) {
        return unsupported("this file system may want new room for a byte that is written again");
    }
    if len == 0 {
        return Ok(());
    }
    match retried(|| fallocate(file, FallocateFlags::empty(), 0, len)) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => unsupported("room cannot be taken beforehand here"),
        done => Ok(done?),
    }
}

/// Bytes that are populated and then copied: within a processor's second-level cache.
const PIECE_LEN: usize = 512 << 10;

/// Magic numbers of tmpfs, ext4 and XFS, from linux/magic.h and statfs(2). ext2 and ext3 share ext4's and answer that
/// they cannot. File systems that write elsewhere what is written again (btrfs) need room at every store.
const IN_PLACE: [FsWord; 3] = [0x0102_1994, 0xEF53, 0x5846_5342];

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::FileExt, sync::Barrier, thread};

    use super::*;

    fn file() -> File {
        rustix::fs::memfd_create("region", rustix::fs::MemfdFlags::CLOEXEC).unwrap().into()
    }

    #[test]
    fn what_is_written_through_the_map_is_in_the_file() {
        for len in [1, 4_095, 4_096, 4_097, PIECE_LEN, PIECE_LEN + 1, 3 * PIECE_LEN + 77] {
            let file = file();
            let expected: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
            let region = Region::new(&file, len as u64).unwrap();
            let middle = len / 3;
            region.write_all_at(middle as u64, &expected[middle..]).unwrap();
            region.write_all_at(0, &expected[..middle]).unwrap();
            drop(region);
            let mut found = vec![0; len];
            file.read_exact_at(&mut found, 0).unwrap();
            assert!(found == expected, "{len}");
            assert_eq!(file.metadata().unwrap().len(), len as u64);
        }
    }

    #[test]
    fn nothing_is_written_beyond_the_file() {
        for len in [0, 1, 4_096, 10_000_u64] {
            let region = Region::new(&file(), len).unwrap();
            region.write_all_at(len, &[]).unwrap();
            for (count, at) in [(1, len), (2, len.saturating_sub(1)), (1, u64::MAX), (10_001, 0)] {
                assert!(region.write_all_at(at, &vec![1; count]).is_err(), "{count} at {at} of {len}");
            }
        }
    }

    #[test]
    fn ranges_that_are_being_written_are_nobody_elses() {
        let region = Region::new(&file(), 100).unwrap();
        let mine = region.claim(10, 10).unwrap();
        for (at, len) in [(10, 10), (5, 6), (19, 1), (12, 3), (0, 100)] {
            assert!(region.claim(at, len).is_err(), "{at}+{len}");
        }
        region.write_all_at(0, &[1; 10]).unwrap();
        region.write_all_at(20, &[1; 80]).unwrap();
        region.release(&mine);
        region.write_all_at(0, &[1; 100]).unwrap();
    }

    #[test]
    fn threads_write_their_parts_at_once() {
        const PART: usize = 300_001;
        let file = file();
        let region = Region::new(&file, 4 * PART as u64).unwrap();
        let together = Barrier::new(4);
        thread::scope(|scope| {
            for part in 0..4_u8 {
                let (region, together) = (&region, &together);
                scope.spawn(move || {
                    together.wait();
                    region.write_all_at(u64::from(part) * PART as u64, &[part + 1; PART]).unwrap();
                });
            }
        });
        let mut found = vec![0; 4 * PART];
        file.read_exact_at(&mut found, 0).unwrap();
        assert!(found.chunks(PART).zip(1..).all(|(part, number)| part.iter().all(|byte| *byte == number)));
    }

    #[test]
    fn a_length_beyond_every_file_is_an_error() {
        assert!(Region::new(&file(), u64::MAX).is_err());
    }
}
