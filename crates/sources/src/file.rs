//! A source over a file whose length is known: a regular file or a block device.
//! Knows nothing of other kinds of files, and nothing of what else happens to this one, except to tell.

use std::{
    fs::{File, Metadata},
    io::{self, Seek, SeekFrom},
    os::unix::fs::{FileExt, FileTypeExt, MetadataExt},
    path::Path,
    sync::Arc,
    time::Duration,
};

use cofferdam_io::{ReadAt, retried};
use rustix::fs::{Advice, fadvise};

use crate::{Arrival, Source};

/// A regular file or a block device, read in order or at offsets.
///
/// Its length is taken when it is opened: bytes that are appended later are not read, and a file that became
/// shorter is an error where the bytes are missing. [`changed`](Self::changed) tells of either, and of writes.
#[derive(Debug)]
pub struct FileSource {
    shared: Arc<Shared>,
    next: u64,
}

impl FileSource {
    /// Opens `path`, following symbolic links. Its holes are not read.
    ///
    /// # Errors
    /// The file cannot be opened, or is neither a regular file nor a block device
    /// ([`io::ErrorKind::InvalidInput`]).
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::from_own(File::open(path)?)
    }

    /// Takes an open file. It is read from its start, wherever it stands, and its position stays where it is: therefore holes
    /// are read like anything else.
    ///
    /// # Errors
    /// It is neither a regular file nor a block device ([`io::ErrorKind::InvalidInput`]), or cannot be examined.
    pub fn from_file(file: File) -> io::Result<Self> {
        Self::from_offset(file, 0, Holes::Read)
    }

    /// Takes an open file that nobody else has, so that its position means nothing to anyone.
    pub(crate) fn from_own(file: File) -> io::Result<Self> {
        let holes = if is_sparse(&file.metadata()?) { Holes::Skip } else { Holes::Read };
        Self::from_offset(file, 0, holes)
    }

    /// Takes an open file that somebody handed over. It is read from where it stands, and what lies before is no part of the
    /// source: offset 0 is there. From now on it stands at its end, as for whoever reads the descriptor after a program that
    /// has read all of it.
    ///
    /// # Errors
    /// As [`from_file`](Self::from_file).
    pub fn from_position(mut file: File) -> io::Result<Self> {
        let start = file.stream_position()?;
        let source = Self::from_offset(file, start, Holes::Read)?;
        (&source.shared.file).seek(SeekFrom::Start(start + source.shared.len))?;
        Ok(source)
    }

    fn from_offset(mut file: File, start: u64, holes: Holes) -> io::Result<Self> {
        let identity = Identity::of(&file)?;
        let kind = file.metadata()?.file_type();
        let len = if kind.is_file() {
            identity.size
        } else if kind.is_block_device() {
            len_of_device(&mut file)?
        } else {
            let message =
                "only a regular file or a block device can be read at offsets; read others as a pipe";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        };
        // Advice only: a file system that does not take it reads no worse than before.
        let _ = fadvise(&file, start, None, Advice::Sequential);
        let len = len.saturating_sub(start);
        Ok(Self { shared: Arc::new(Shared { file, start, len, identity, holes }), next: 0 })
    }

    /// Whether the file has been written, cut or extended since it was opened, as far as its size and time of
    /// modification tell.
    ///
    /// # Errors
    /// The file cannot be examined.
    pub fn changed(&self) -> io::Result<bool> {
        self.shared.changed()
    }
}

impl Source for FileSource {
    fn len(&self) -> Option<u64> {
        Some(self.shared.len)
    }

    fn positioned(&self) -> Option<Arc<dyn ReadAt>> {
        Some(self.shared.clone())
    }

    fn read_within(&mut self, buffer: &mut [u8], _patience: Duration) -> io::Result<Arrival> {
        let left = self.shared.len - self.next;
        if left == 0 {
            return Ok(Arrival::End);
        }
        let room = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        if room == 0 {
            return Ok(Arrival::Bytes(0));
        }
        let count = read_at(&self.shared.file, self.shared.start + self.next, &mut buffer[..room])?;
        if count == 0 {
            return Err(shortened(self.next, self.shared.len));
        }
        self.next += count as u64;
        Ok(Arrival::Bytes(count))
    }
}

#[derive(Debug)]
struct Shared {
    file: File,
    /// Where in the file the source begins.
    start: u64,
    /// Bytes from there to the file's end.
    len: u64,
    identity: Identity,
    holes: Holes,
}

impl Shared {
    /// Fills as much of the beginning of `buffer` as lies in a hole at `offset` of the file, and gives how much that is.
    ///
    /// The file is asked at the moment at which it would be read: bytes that are written later are missed by a read too, and
    /// [`FileSource::changed`] tells of them.
    fn fill_hole(&self, offset: u64, buffer: &mut [u8]) -> usize {
        if self.holes == Holes::Read {
            return 0;
        }
        let end = offset + buffer.len() as u64;
        let data = next_data(&self.file, offset, end);
        let len = (data - offset) as usize;
        buffer[..len].fill(0);
        len
    }
}

/// Where the first byte from `offset` on is that is not known to lie in a hole, `end` at most. It moves the file's position.
#[cfg(target_os = "linux")]
fn next_data(file: &File, offset: u64, end: u64) -> u64 {
    use rustix::{
        fs::{SeekFrom, seek},
        io::Errno,
    };

    match seek(file, SeekFrom::Data(offset)) {
        Ok(data) => data.clamp(offset, end),
        // lseek(2): no data up to the file's end. Whether that was cut off is for the read to find out.
        Err(Errno::NXIO) if file.metadata().is_ok_and(|found| found.size() >= end) => end,
        // The file system does not say.
        Err(_) => offset,
    }
}

#[cfg(not(target_os = "linux"))]
fn next_data(_file: &File, offset: u64, _end: u64) -> u64 {
    offset
}

/// What is done about holes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Holes {
    /// They are read, as the zeros that they are.
    Read,
    /// Their zeros are made here.
    Skip,
}

/// Whether the file takes less room than its length, so that it is worth asking where it has holes.
fn is_sparse(metadata: &Metadata) -> bool {
    metadata.is_file() && metadata.blocks().saturating_mul(STAT_BLOCK_LEN) < metadata.size()
}

/// stat(2): blocks are counted in this unit, whatever the file system's own.
const STAT_BLOCK_LEN: u64 = 512;

impl ReadAt for Shared {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.len) {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("{} bytes at {offset} go beyond the file's {}", buffer.len(), self.len),
            ));
        }
        let position = self.start + offset;
        let known = self.fill_hole(position, buffer);
        // Retries after a signal, and turns a short file into `UnexpectedEof`.
        match self.file.read_exact_at(&mut buffer[known..], position + known as u64) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(shortened(offset, self.len)),
            done => done,
        }
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn changed(&self) -> io::Result<bool> {
        Ok(Identity::of(&self.file)? != self.identity)
    }
}

/// What must stay the same while a file is read.
#[derive(PartialEq, Eq, Debug)]
struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Identity {
    fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        })
    }
}

/// The length of a block device, found by its end; its position stays what it was, since others may share it.
fn len_of_device(file: &mut File) -> io::Result<u64> {
    let position = file.stream_position()?;
    let len = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(position))?;
    Ok(len)
}

fn read_at(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    retried(|| file.read_at(buffer, offset))
}

fn shortened(offset: u64, len: u64) -> io::Error {
    let message =
        format!("the file was {len} bytes long when it was opened and now ends at byte {offset} or before");
    io::Error::new(io::ErrorKind::UnexpectedEof, message)
}

#[cfg(test)]
mod tests {
    use std::{fs::OpenOptions, io::Write, thread};

    use super::*;

    fn file_with(bytes: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn a_file_reads_the_same_in_order_and_at_offsets() {
        for len in [0, 1, 4095, 4096, 4097, 100_003] {
            let bytes: Vec<u8> = (0..len).map(|i: u32| (i % 253) as u8).collect();
            let file = file_with(&bytes);
            let mut source = FileSource::open(file.path()).unwrap();
            assert_eq!(Source::len(&source), Some(u64::from(len)));

            let mut in_order = Vec::new();
            let mut buffer = [0; 4096];
            while let Arrival::Bytes(count) = source.read_within(&mut buffer, Duration::ZERO).unwrap() {
                in_order.extend_from_slice(&buffer[..count]);
            }
            assert!(in_order == bytes);

            let mut at_offset = vec![0; bytes.len()];
            source.positioned().unwrap().read_exact_at(0, &mut at_offset).unwrap();
            assert!(at_offset == bytes);
        }
    }

    #[test]
    fn many_threads_read_one_file() {
        let bytes: Vec<u8> = (0..64 * 1024_u32).map(|i| (i >> 8) as u8).collect();
        let file = file_with(&bytes);
        let at = FileSource::open(file.path()).unwrap().positioned().unwrap();
        thread::scope(|scope| {
            for part in 0..8_u64 {
                let at = at.clone();
                scope.spawn(move || {
                    let mut buffer = vec![0; 8192];
                    at.read_exact_at(part * 8192, &mut buffer).unwrap();
                    for (i, byte) in buffer.iter().enumerate() {
                        assert_eq!(u64::from(*byte), part * 32 + i as u64 / 256);
                    }
                });
            }
        });
    }

    #[test]
    fn a_read_beyond_the_end_is_an_error_and_not_zeros() {
        let file = file_with(&[7; 100]);
        let at = FileSource::open(file.path()).unwrap().positioned().unwrap();
        for offset in [98, 100, 1000, u64::MAX] {
            let error = at.read_exact_at(offset, &mut [0; 3]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "at {offset}");
        }
    }

    #[test]
    fn a_file_cut_while_it_is_read_is_an_error_where_bytes_are_missing() {
        let file = file_with(&[7; 100]);
        let mut source = FileSource::open(file.path()).unwrap();
        file.as_file().set_len(40).unwrap();
        let mut buffer = [0; 64];
        assert_eq!(source.read_within(&mut buffer, Duration::ZERO).unwrap(), Arrival::Bytes(40));
        let error = source.read_within(&mut buffer, Duration::ZERO).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        let error = source.positioned().unwrap().read_exact_at(30, &mut buffer).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_change_of_length_is_told_and_appended_bytes_are_not_read() {
        let file = file_with(&[7; 100]);
        let mut source = FileSource::open(file.path()).unwrap();
        assert!(!source.changed().unwrap());
        OpenOptions::new().append(true).open(file.path()).unwrap().write_all(b"more").unwrap();
        assert!(source.changed().unwrap());
        let mut buffer = [0; 200];
        assert_eq!(source.read_within(&mut buffer, Duration::ZERO).unwrap(), Arrival::Bytes(100));
        assert_eq!(source.read_within(&mut buffer, Duration::ZERO).unwrap(), Arrival::End);
    }

    #[test]
    fn a_write_of_the_same_length_is_told_by_its_time() {
        let file = file_with(&[7; 100]);
        let source = FileSource::open(file.path()).unwrap();
        let later = std::time::SystemTime::now() + Duration::from_secs(10);
        file.as_file().set_modified(later).unwrap();
        assert!(source.changed().unwrap());
    }

    #[test]
    fn a_file_that_was_handed_over_is_read_from_where_it_stands() {
        let bytes = b"a line that somebody has read\nand the rest";
        for (position, rest) in [(0, &bytes[..]), (30, b"and the rest"), (42, b""), (1000, b"")] {
            let mut file = file_with(bytes).into_file();
            file.seek(SeekFrom::Start(position)).unwrap();
            let mut source = FileSource::from_position(file.try_clone().unwrap()).unwrap();
            assert_eq!(Source::len(&source), Some(rest.len() as u64), "from {position}");
            let at = source.positioned().unwrap();
            let mut placed = vec![0; rest.len()];
            at.read_exact_at(0, &mut placed).unwrap();
            assert_eq!(placed, rest, "from {position}");
            assert!(at.read_exact_at(rest.len() as u64, &mut [0; 1]).is_err());
            let mut buffer = [0; 64];
            let mut in_order = Vec::new();
            while let Arrival::Bytes(count) = source.read_within(&mut buffer, Duration::ZERO).unwrap() {
                in_order.extend_from_slice(&buffer[..count]);
            }
            assert_eq!(in_order, rest, "from {position}");
            assert_eq!(file.stream_position().unwrap(), position.max(42), "whoever reads on finds the end");
            assert!(!source.changed().unwrap());
            file.set_len(50).unwrap();
            assert!(source.changed().unwrap());
        }
    }

    const HOLE: u64 = 1 << 20;

    /// A hole, a page of data, a hole.
    fn sparse_file() -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(2 * HOLE + 4096).unwrap();
        file.as_file().write_all_at(&[7; 4096], HOLE).unwrap();
        file
    }

    fn shared(path: &Path) -> Arc<Shared> {
        FileSource::open(path).unwrap().shared
    }

    #[test]
    fn a_sparse_file_reads_as_what_it_holds_at_every_edge_of_its_holes() {
        let file = sparse_file();
        let whole = std::fs::read(file.path()).unwrap();
        let at = FileSource::open(file.path()).unwrap().positioned().unwrap();
        for start in [0, 1, HOLE - 4096, HOLE - 1, HOLE, HOLE + 1, HOLE + 4095, HOLE + 4096, 2 * HOLE] {
            for len in [1, 4095, 4096, 4097, 10_000] {
                let mut buffer = vec![0xEE; len.min(whole.len() - start as usize)];
                at.read_exact_at(start, &mut buffer).unwrap();
                assert!(buffer == whole[start as usize..][..buffer.len()], "{len} bytes at {start}");
            }
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_lies_in_a_hole_is_known_without_a_read_and_what_does_not_is_read() {
        let file = sparse_file();
        let shared = shared(file.path());
        let whole = file.as_file().metadata().unwrap();
        if !is_sparse(&whole) {
            return; // This file system has no holes.
        }
        for (offset, len, known) in [
            (0, 4096, 4096),
            (HOLE - 8192, 16_384, 8192),
            (HOLE, 4096, 0),
            (HOLE, 8192, 0),
            (HOLE + 4096, 4096, 4096),
            (2 * HOLE, 4096, 4096),
            // Beyond the end, where a read has to say so.
            (2 * HOLE, 8192, 0),
        ] {
            let mut buffer = vec![0xEE; len];
            assert_eq!(shared.fill_hole(offset, &mut buffer), known, "{len} bytes at {offset}");
            assert!(buffer[..known].iter().all(|byte| *byte == 0));
        }
    }

    #[test]
    fn a_hole_that_is_filled_or_cut_off_meanwhile_is_read_as_it_is_then_and_told() {
        let file = sparse_file();
        let source = FileSource::open(file.path()).unwrap();
        let at = source.positioned().unwrap();
        let mut buffer = [0; 4096];
        at.read_exact_at(2 * HOLE, &mut buffer).unwrap();
        assert_eq!(buffer, [0; 4096]);
        assert!(!source.changed().unwrap());
        // Time stamps of files are as fine as the system's clock ticks.
        let later = std::time::SystemTime::now() + Duration::from_secs(10);
        file.as_file().write_all_at(&[9; 4096], 2 * HOLE).unwrap();
        file.as_file().set_modified(later).unwrap();
        at.read_exact_at(2 * HOLE, &mut buffer).unwrap();
        assert_eq!(buffer, [9; 4096]);
        assert!(source.changed().unwrap());
        file.as_file().set_len(HOLE + 8192).unwrap();
        let error = at.read_exact_at(HOLE + 4096, &mut [0; 8192]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_file_that_was_handed_over_stays_where_it_stands_though_it_has_holes() {
        let mut file = sparse_file().into_file();
        file.seek(SeekFrom::Start(5)).unwrap();
        let at = FileSource::from_file(file.try_clone().unwrap()).unwrap().positioned().unwrap();
        let mut buffer = [0xEE; 4096];
        at.read_exact_at(0, &mut buffer).unwrap();
        assert_eq!(buffer, [0; 4096]);
        assert_eq!(file.stream_position().unwrap(), 5);
        let at = FileSource::from_position(file.try_clone().unwrap()).unwrap().positioned().unwrap();
        at.read_exact_at(0, &mut buffer).unwrap();
        assert_eq!(file.stream_position().unwrap(), 2 * HOLE + 4096);
    }

    #[test]
    fn a_directory_and_a_device_that_cannot_seek_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        for path in [directory.path(), Path::new("/dev/null")] {
            let error = FileSource::open(path).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{}", path.display());
        }
    }
}
