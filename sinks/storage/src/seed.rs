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

use crate::StorageFile;

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

/// What was taken.
#[derive(Debug, Default)]
pub struct Taken {
    /// Bytes; holes of the seed count, too.
    pub bytes: u64,
    /// Where the first byte stands that could not be read, and why. Those around it were taken.
    pub unreadable: Option<(u64, io::Error)>,
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

    /// The first piece within `range` that is no hole, if there is one. Where the medium does not tell, all of it is none.
    fn data_in(&self, range: Range<u64>) -> Option<Range<u64>> {
        let Bytes::File(file) = &self.bytes else { return Some(range).filter(|range| !range.is_empty()) };
        let mut data = self.data.lock().unwrap_or_else(PoisonError::into_inner);
        if !data.contains(&range.start) {
            *data = data_in(file, range.start..u64::MAX)?;
        }
        let found = data.start.max(range.start)..data.end.min(range.end);
        Some(found).filter(|found| !found.is_empty())
    }
}

impl dyn StorageFile {
    /// Takes the bytes of `range` over from `seed`, to the same places, as far as it has them: by the medium's own means, which
    /// may share the room, or else by reading and writing. Holes of the seed are passed over; this file gets long
    /// enough for all that was taken. What a seed that changes meanwhile gives is anybody's guess.
    ///
    /// # Errors
    /// This file's medium's own. What of the seed cannot be read is left out, and told.
    pub fn take(&self, seed: &Seed, range: Range<u64>) -> io::Result<Taken> {
        let mut taking = Taking { file: self, seed, own_means: OwnMeans::Untried, taken: Taken::default() };
        // A seed that cannot even be examined has nothing to give.
        let mut end = range.end.min(seed.len().unwrap_or(0));
        let mut at = range.start;
        while let Some(data) = seed.data_in(at..end) {
            at = taking.take_data(data.clone())?;
            if at < data.end {
                end = at; // It ends here by now.
            }
        }
        if end > range.start {
            if self.len()? < end {
                self.set_len(end)?;
            }
            taking.taken.bytes = end - range.start;
        }
        Ok(taking.taken)
    }
}

/// Bytes on their way from a seed to a file.
struct Taking<'a> {
    file: &'a (dyn StorageFile + 'static),
    seed: &'a Seed,
    own_means: OwnMeans,
    taken: Taken,
}

/// Whether the medium takes over bytes by itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OwnMeans {
    Untried,
    Refused,
}

impl Taking<'_> {
    /// Takes the bytes of `data`, and gives where it ends: before the end of `data` where the seed does.
    fn take_data(&mut self, data: Range<u64>) -> io::Result<u64> {
        let mut at = data.start;
        let mut piece = Vec::new();
        while at < data.end {
            if self.own_means == OwnMeans::Untried {
                match self.file.clone_range(self.seed, at, at, (data.end - at).min(Seed::CLONE_LEN_MAX)) {
                    Ok(count) if count > 0 => {
                        at += count;
                        continue;
                    }
                    // Whatever kept it from that, a read and a write say what it is.
                    Ok(_) | Err(_) => self.own_means = OwnMeans::Refused,
                }
            }
            piece.resize(PIECE_LEN, 0);
            let len = usize::try_from(data.end - at).map_or(PIECE_LEN, |left| left.min(PIECE_LEN));
            match self.seed.read_at(&mut piece[..len], at) {
                Ok(0) => return Ok(at),
                Ok(count) => {
                    self.file.write_all_at(&piece[..count], at)?;
                    at += count as u64;
                }
                Err(error) => {
                    self.taken.unreadable.get_or_insert((at, error));
                    at += len as u64;
                }
            }
        }
        Ok(at)
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

/// What is read and written at a time where it does not; of a seed that cannot be read, what is given up at a time.
const PIECE_LEN: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::{Disk, Storage};

    fn bytes(len: usize) -> Vec<u8> {
        (0..len).map(|at| (at / 7) as u8).collect()
    }

    /// A medium of which a part cannot be read.
    struct Broken {
        bytes: Vec<u8>,
        bad: Range<u64>,
    }

    impl ReadAt for Broken {
        fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
            let end = offset + buffer.len() as u64;
            if offset < self.bad.end && self.bad.start < end {
                return Err(io::Error::other("bad sector"));
            }
            buffer.copy_from_slice(&self.bytes[offset as usize..end as usize]);
            Ok(())
        }

        fn len(&self) -> u64 {
            self.bytes.len() as u64
        }
    }

    fn new_file(directory: &Path) -> (Arc<dyn StorageFile>, std::path::PathBuf) {
        (Disk::open(directory).unwrap().create("new".as_ref()).unwrap(), directory.join("new"))
    }

    #[test]
    fn ranges_of_a_file_are_taken_to_their_places_as_far_as_it_reaches() {
        let (piece, old) = (PIECE_LEN as u64, bytes(3 * PIECE_LEN + 5));
        for of_bytes in [false, true] {
            for (range, end) in
                [(0..u64::MAX, 3 * piece + 5), (piece..2 * piece, 2 * piece), (4 * piece..5 * piece, 0)]
            {
                let directory = tempfile::tempdir().unwrap();
                let path = directory.path().join("old");
                fs::write(&path, &old).unwrap();
                let seed = match of_bytes {
                    true => Seed::of_bytes(Arc::new(Broken { bytes: old.clone(), bad: 0..0 })),
                    false => Seed::open(&path).unwrap(),
                };
                let (file, new) = new_file(directory.path());
                let taken = file.take(&seed, range.clone()).unwrap();
                assert_eq!(taken.bytes, end.saturating_sub(range.start));
                assert!(taken.unreadable.is_none());
                let mut wanted = old[..end as usize].to_vec();
                wanted[..range.start.min(end) as usize].fill(0);
                assert!(fs::read(new).unwrap() == wanted, "{range:?}");
            }
        }
    }

    #[test]
    fn what_cannot_be_read_is_left_out_and_told_and_the_rest_is_taken() {
        let old = bytes(4 * PIECE_LEN);
        let bad = 2 * PIECE_LEN as u64 + 9..2 * PIECE_LEN as u64 + 10;
        let directory = tempfile::tempdir().unwrap();
        let (file, new) = new_file(directory.path());
        let seed = Seed::of_bytes(Arc::new(Broken { bytes: old.clone(), bad }));
        let taken = file.take(&seed, 0..u64::MAX).unwrap();
        assert_eq!(taken.unreadable.map(|(at, _)| at), Some(2 * PIECE_LEN as u64));
        let mut wanted = old;
        wanted[2 * PIECE_LEN..3 * PIECE_LEN].fill(0);
        assert!(fs::read(new).unwrap() == wanted);
    }

    #[test]
    fn holes_of_a_seed_stay_holes_and_give_the_length() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("old");
        let sparse = File::create(&path).unwrap();
        sparse.write_all_at(b"data", 4 << 20).unwrap();
        sparse.set_len(16 << 20).unwrap();
        let (file, new) = new_file(directory.path());
        let taken = file.take(&Seed::open(&path).unwrap(), 0..u64::MAX).unwrap();
        assert_eq!((taken.bytes, file.len().unwrap()), (16 << 20, 16 << 20));
        assert!(fs::read(new).unwrap() == fs::read(path).unwrap());
        let (taken, had) = (
            file.allocated().unwrap(),
            std::os::unix::fs::MetadataExt::blocks(&sparse.metadata().unwrap()) * 512,
        );
        assert!(taken <= had + (1 << 20), "{taken} bytes were allocated for {had}");
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
