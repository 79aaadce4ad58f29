//! A file whose bytes another file takes over: what may be one, and how its bytes get there.
//! Knows nothing of what they should be. They are claims wherever they land; whoever takes them proves them there.

use std::{
    fs::{self, File, FileType, OpenOptions},
    io,
    ops::Range,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::{FileExt, FileTypeExt, OpenOptionsExt},
    },
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use cofferdam_io::{Patience, ReadAt};
use rustix::fs::OFlags;

/// A regular file, opened once, to read. It is never written, and may change, shrink or go while its bytes are taken.
#[derive(Debug)]
pub struct Seed {
    bytes: Bytes,
    /// The data that was found last: a file system may walk all of it to find its end. What has become a hole since reads as
    /// zeros.
    data: Mutex<Range<u64>>,
}

#[derive(Debug)]
enum Bytes {
    File(File),
    /// Of another medium.
    Elsewhere(Elsewhere),
}

/// Why a path is no seed.
#[derive(Debug)]
#[non_exhaustive]
pub enum SeedError {
    /// Something other than a regular file stands there: what, with its article.
    NotAFile(&'static str),
    /// It cannot be opened or examined.
    Io(io::Error),
}

impl Seed {
    /// Opens what stands at `path`, symbolic links followed. Nothing but a regular file is opened: a FIFO would wait for its
    /// writer, and a device may act.
    ///
    /// # Errors
    /// See [`SeedError`].
    pub fn open(path: &Path) -> Result<Seed, SeedError> {
        check_regular(fs::metadata(path)?.file_type())?;
        // Another file may have come there meanwhile.
        let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        check_regular(file.metadata()?.file_type())?;
        Ok(Seed::from(file))
    }

    /// Bytes of any other medium.
    pub fn of_bytes(bytes: Arc<dyn ReadAt>) -> Seed {
        Seed { bytes: Bytes::Elsewhere(Elsewhere(bytes)), data: Mutex::default() }
    }

    /// Bytes that a medium is asked to take over at once, so that a signal is not kept waiting.
    pub const CLONE_LEN_MAX: u64 = 128 << 20;

    /// Its length in bytes, now.
    ///
    /// # Errors
    /// The medium's own.
    pub fn len(&self) -> io::Result<u64> {
        match &self.bytes {
            Bytes::File(file) => Ok(file.metadata()?.len()),
            Bytes::Elsewhere(Elsewhere(bytes)) => Ok(bytes.len()),
        }
    }

    /// Whether it has no bytes, now.
    ///
    /// # Errors
    /// The medium's own.
    pub fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// The open file, where it is one.
    pub fn file(&self) -> Option<BorrowedFd<'_>> {
        match &self.bytes {
            Bytes::File(file) => Some(file.as_fd()),
            Bytes::Elsewhere(_) => None,
        }
    }

    /// Fills `buffer` with the bytes from `at` on. What a seed that changes meanwhile gives is anybody's guess.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] where it ends before that by now; the medium's own.
    pub fn read_exact_at(&self, mut buffer: &mut [u8], mut at: u64) -> io::Result<()> {
        while !buffer.is_empty() {
            match self.read_at(buffer, at)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => {
                    buffer = &mut buffer[count..];
                    at += count as u64;
                }
            }
        }
        Ok(())
    }

    /// Reads up to `buffer.len()` bytes at `at`; 0 at the end.
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        match &self.bytes {
            Bytes::File(file) => {
                let mut patience = Patience::default();
                loop {
                    match file.read_at(buffer, at) {
                        Ok(count) => return Ok(count),
                        Err(error) => patience.endure(error)?,
                    }
                }
            }
            Bytes::Elsewhere(Elsewhere(bytes)) => {
                let left = bytes.len().saturating_sub(at);
                let count = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
                bytes.read_exact_at(at, &mut buffer[..count])?;
                Ok(count)
            }
        }
    }

    /// The first piece within `range` that is no hole, if there is one. Where the medium does not tell, all of it is data.
    pub fn data_in(&self, range: Range<u64>) -> Option<Range<u64>> {
        let Bytes::File(file) = &self.bytes else { return Some(range).filter(|range| !range.is_empty()) };
        let mut data = self.data.lock().unwrap_or_else(PoisonError::into_inner);
        if !data.contains(&range.start) {
            *data = data_in(file, range.start..u64::MAX)?;
        }
        let found = data.start.max(range.start)..data.end.min(range.end);
        Some(found).filter(|found| !found.is_empty())
    }
}

/// Bytes of another medium.
struct Elsewhere(Arc<dyn ReadAt>);

impl std::fmt::Debug for Elsewhere {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Elsewhere").field("len", &self.0.len()).finish()
    }
}

/// A file that somebody has opened to read.
impl From<File> for Seed {
    fn from(file: File) -> Seed {
        Seed { bytes: Bytes::File(file), data: Mutex::default() }
    }
}

impl From<io::Error> for SeedError {
    fn from(error: io::Error) -> SeedError {
        SeedError::Io(error)
    }
}

fn check_regular(found: FileType) -> Result<(), SeedError> {
    let what = match () {
        () if found.is_file() => return Ok(()),
        () if found.is_dir() => "a directory",
        () if found.is_fifo() => "a FIFO",
        () if found.is_socket() => "a socket",
        () => "a device",
    };
    Err(SeedError::NotAFile(what))
}

/// lseek(2): SEEK_DATA and SEEK_HOLE. A file system without them answers that all is data, and at the end is a hole.
#[cfg(target_os = "linux")]
fn data_in(file: &File, range: Range<u64>) -> Option<Range<u64>> {
    use rustix::{
        fs::{SeekFrom, seek},
        io::Errno,
    };

    if range.is_empty() {
        return None;
    }
    let start = match seek(file, SeekFrom::Data(range.start)) {
        Ok(start) if start < range.end => start,
        Ok(_) | Err(Errno::NXIO) => return None,
        Err(_) => return Some(range),
    };
    let end = seek(file, SeekFrom::Hole(start)).map_or(range.end, |end| end.min(range.end));
    Some(start..end.max(start + 1))
}

#[cfg(not(target_os = "linux"))]
fn data_in(_file: &File, range: Range<u64>) -> Option<Range<u64>> {
    Some(range).filter(|range| !range.is_empty())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    struct Memory(Vec<u8>);

    impl ReadAt for Memory {
        fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
            // Nobody asks for what is not there.
            let there = self.0.get(offset as usize..).unwrap_or_default();
            buffer.copy_from_slice(&there[..buffer.len()]);
            Ok(())
        }

        fn len(&self) -> u64 {
            self.0.len() as u64
        }
    }

    #[test]
    fn a_seed_is_read_as_far_as_it_reaches() {
        let old: Vec<u8> = (0..1000_u32).map(|at| (at / 7) as u8).collect();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("old");
        fs::write(&path, &old).unwrap();
        for seed in [Seed::of_bytes(Arc::new(Memory(old.clone()))), Seed::open(&path).unwrap()] {
            assert_eq!(seed.len().unwrap(), 1000);
            for (at, len) in [(0, 0), (0, 1000), (999, 1), (1000, 0), (250, 500)] {
                let mut found = vec![0xEE; len];
                seed.read_exact_at(&mut found, at as u64).unwrap();
                assert!(found == old[at..at + len], "{len} at {at}");
            }
            for (at, len) in [(0, 1001), (1000, 1), (5000, 1)] {
                let error = seed.read_exact_at(&mut vec![0; len], at).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{len} at {at}");
            }
        }
    }

    #[test]
    fn the_data_of_a_sparse_seed_is_found_and_all_of_another() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("old");
        let sparse = File::create(&path).unwrap();
        sparse.write_all_at(b"data", 4 << 20).unwrap();
        sparse.set_len(16 << 20).unwrap();
        let seed = Seed::open(&path).unwrap();
        let data = seed.data_in(0..16 << 20).unwrap();
        assert!(data.contains(&(4 << 20)) && data.end >= (4 << 20) + 4, "{data:?}");
        assert_eq!(seed.data_in(0..0), None);
        // Within what was found last, and behind it.
        assert_eq!(seed.data_in((4 << 20) + 1..(4 << 20) + 3), Some((4 << 20) + 1..(4 << 20) + 3));
        let behind = seed.data_in(data.end..16 << 20);
        assert!(behind.is_none() || data == (0..16 << 20), "{behind:?}");
        let bytes = Seed::of_bytes(Arc::new(Memory(vec![0; 10])));
        assert_eq!((bytes.data_in(2..9), bytes.data_in(9..9)), (Some(2..9), None));
    }

    #[test]
    fn only_a_regular_file_is_a_seed_and_a_link_leads_to_one() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("file"), b"old").unwrap();
        symlink("file", at("link")).unwrap();
        symlink("link", at("second")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, at("fifo"), rustix::fs::Mode::RUSR).unwrap();
        let what = |path: &Path| match Seed::open(path) {
            Ok(_) => "a file",
            Err(SeedError::NotAFile(what)) => what,
            Err(SeedError::Io(error)) if error.kind() == io::ErrorKind::NotFound => "nothing",
            Err(SeedError::Io(error)) => panic!("{error}"),
        };
        assert_eq!(["file", "link", "second"].map(|name| what(&at(name))), ["a file"; 3]);
        assert_eq!(
            (what(&at("fifo")), what(directory.path()), what(&at("none"))),
            ("a FIFO", "a directory", "nothing")
        );
        assert_eq!(what(Path::new("/dev/null")), "a device");
    }
}
