//! The tree as it is written, from any thread: each byte into its file, or into the skeleton.
//! Knows neither the target nor what becomes of the tree.

use std::{
    ffi::OsStr,
    fs::File,
    io,
    num::NonZeroUsize,
    os::unix::{ffi::OsStrExt, fs::FileExt},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use cofferdam_io::{ReadAt, WriteAt};
use contract::written::WrittenRanges;
use lru::LruCache;
use parking_lot::Mutex;
use rustix::{
    fs::{Advice, Mode, OFlags, fadvise, mkdirat},
    io::Errno,
};
use tree::{Entry, Layout, Place, TreePath, TreeRoot};

use crate::{
    attributes::Attributes,
    file_sync::FileSync,
    journal::{Skeleton, read_or_zeros},
    letting_in::{open_closed, widen_above},
    options::TreeOptions,
    owner_numbers::OwnerNumbers,
};

/// What writers on other threads share with the sink.
pub(crate) struct Staging {
    pub(crate) root: TreeRoot,
    pub(crate) layout: Layout,
    pub(crate) skeleton: Skeleton,
    pub(crate) written: Mutex<WrittenRanges>,
    pub(crate) aim: Aim,
    plain_len: u64,
    /// A bit for each entry: whether its file has been made. Only ever set while `files` is held, or before there is a writer, which orders it.
    made: Vec<AtomicU64>,
    /// The same of an earlier attempt, before there is a writer.
    kept: Vec<AtomicU64>,
    /// Files that are written in several pieces, by entry.
    files: Mutex<LruCache<u64, Arc<File>>>,
    /// Whether bytes may be there that were taken back: then zeros are written, too. Nothing is written while it is set.
    pub(crate) is_overwriting: AtomicBool,
    /// Whether bytes came that are not in the file that they belong to, of a tree that is compared.
    pub(crate) has_difference: Arc<AtomicBool>,
    pub(crate) owner_numbers: OwnerNumbers,
    pub(crate) file_sync: FileSync,
}

/// What becomes of the bytes that come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Aim {
    /// They are written.
    Write,
    /// The files are there, and are compared with them.
    Compare,
}

impl Staging {
    pub(crate) fn new(
        root: TreeRoot,
        layout: Layout,
        skeleton: Skeleton,
        plain_len: u64,
        aim: Aim,
    ) -> Staging {
        let bits = || (0..layout.catalog().entries().div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        let (made, kept) = (bits(), bits());
        let file_sync = FileSync::of(&root);
        Staging {
            root,
            layout,
            skeleton,
            written: Mutex::new(WrittenRanges::new(plain_len)),
            aim,
            plain_len,
            made,
            kept,
            files: Mutex::new(LruCache::new(FILES_OPEN_MAX)),
            is_overwriting: AtomicBool::new(false),
            has_difference: Arc::default(),
            owner_numbers: OwnerNumbers::new(),
            file_sync,
        }
    }

    /// Notes a file that an earlier attempt has made, with the length that it is to have. Before the first write.
    pub(crate) fn note_made(&self, number: u64) {
        for bits in [&self.made, &self.kept] {
            bits[(number / 64) as usize].fetch_or(1 << (number % 64), Ordering::Relaxed);
        }
    }

    /// Notes that the file of this entry is there.
    pub(crate) fn note_linked(&self, number: u64) {
        self.made[(number / 64) as usize].fetch_or(1 << (number % 64), Ordering::Relaxed);
    }

    /// Whether an earlier attempt has made the file of this entry.
    pub(crate) fn is_kept(&self, number: u64) -> bool {
        self.kept[(number / 64) as usize].load(Ordering::Relaxed) & 1 << (number % 64) != 0
    }

    /// The tree is not the one that comes.
    pub(crate) fn differs(&self, path: &TreePath) -> io::Error {
        self.has_difference.store(true, Ordering::Relaxed);
        io::Error::new(io::ErrorKind::InvalidData, format!("{path} is not what was restored there"))
    }

    /// Forgets every byte from `at` on: others are written there.
    pub(crate) fn roll_back(&self, at: u64) {
        self.written.lock().cut(at);
        self.is_overwriting.store(true, Ordering::Relaxed);
    }

    /// Sets attributes as `options` say.
    pub(crate) fn attributes<'a>(&'a self, options: &'a TreeOptions) -> Attributes<'a> {
        Attributes::new(options, &self.owner_numbers, self.file_sync)
    }

    /// Closes all files.
    pub(crate) fn close_files(&self) {
        self.files.lock().clear();
    }

    fn write(&self, at: u64, data: &[u8]) -> io::Result<()> {
        let end = at + data.len() as u64;
        // What of one range lies in the skeleton follows one another there.
        let (mut skeleton_at, mut skeleton) = (None, Vec::new());
        self.layout.for_each_piece(at..end, &mut |piece| {
            let start = (piece.at - at) as usize;
            let data = &data[start..start + piece.len as usize];
            match piece.place {
                Place::Skeleton(at) => {
                    skeleton_at.get_or_insert(at);
                    skeleton.extend_from_slice(data);
                    Ok(())
                }
                Place::File { number, entry, offset } => {
                    let (what, done) = match self.aim {
                        Aim::Write => ("write", self.write_file(number, entry, offset, data)),
                        Aim::Compare => ("compare", self.compare_file(entry, offset, data)),
                    };
                    done.map_err(|error| {
                        io::Error::new(error.kind(), format!("cannot {what} {}: {error}", entry.path))
                    })
                }
            }
        })?;
        skeleton_at.map_or(Ok(()), |at| self.skeleton.write_all_at(&skeleton, at))
    }

    fn write_file(&self, number: u64, entry: &Entry, offset: u64, data: &[u8]) -> io::Result<()> {
        let is_whole = data.len() as u64 == entry.size;
        let file = match is_whole {
            true => Arc::new(self.open(number, &entry.path, None)?),
            false => self.file(number, entry)?,
        };
        if self.is_kept(number) {
            return write_over(&file, offset, data);
        }
        match is_whole && data.len() < SPARSE_LEN_MIN || self.is_overwriting.load(Ordering::Relaxed) {
            true => file.write_all_at(data, offset),
            false => {
                if is_whole {
                    file.set_len(entry.size)?;
                }
                write_sparse(&file, offset, data)
            }
        }
    }

    fn compare_file(&self, entry: &Entry, offset: u64, data: &[u8]) -> io::Result<()> {
        let open = || self.root.open_at(&entry.path, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty());
        let file = match open() {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ISDIR) => {
                return Err(self.differs(&entry.path));
            }
            // It has the sealed mode by now, and so have the directories that it is in.
            Err(Errno::ACCESS) => {
                let _files = self.files.lock();
                widen_above(&self.root, &entry.path)?;
                match open() {
                    Err(Errno::ACCESS) => open_closed(&self.root, &entry.path)?,
                    file => file?,
                }
            }
            file => file?,
        };
        let metadata = file.metadata()?;
        let mut found = vec![0; data.len()];
        if !metadata.is_file() || metadata.len() != entry.size {
            return Err(self.differs(&entry.path));
        }
        read_or_zeros(&file, &mut found, offset)?;
        match found == data {
            true => Ok(()),
            false => Err(self.differs(&entry.path)),
        }
    }

    /// Reads what an earlier attempt has left: a claim.
    fn read_claim(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let end = offset + buffer.len() as u64;
        self.layout.for_each_piece(offset..end, &mut |piece| {
            let start = (piece.at - offset) as usize;
            let part = &mut buffer[start..start + piece.len as usize];
            match piece.place {
                Place::Skeleton(at) => self.skeleton.read_claim(part, at),
                Place::File { number, .. } if !self.is_kept(number) => {
                    part.fill(0);
                    Ok(())
                }
                Place::File { number, entry, offset } => {
                    let file = self.kept_file(number, entry, part.len())?;
                    read_or_zeros(&file, part, offset)
                }
            }
        })
    }

    /// Opens a file of an earlier attempt, to be read from the medium: memory may hold more of it than could be written there.
    fn kept_file(&self, number: u64, entry: &Entry, len: usize) -> io::Result<Arc<File>> {
        let is_whole = len as u64 == entry.size;
        if let Some(file) = self.files.lock().get(&number).filter(|_| !is_whole) {
            return Ok(file.clone());
        }
        let file = Arc::new(self.root.open_at(&entry.path, OFlags::RDWR, Mode::empty())?);
        fadvise(&*file, 0, None, Advice::DontNeed)?;
        if !is_whole {
            self.files.lock().put(number, file.clone());
        }
        Ok(file)
    }

    /// The file of an entry, with its length.
    pub(crate) fn file(&self, number: u64, entry: &Entry) -> io::Result<Arc<File>> {
        if let Some(file) = self.files.lock().get(&number) {
            return Ok(file.clone());
        }
        let file = Arc::new(self.open(number, &entry.path, Some(entry.size))?);
        self.files.lock().put(number, file.clone());
        Ok(file)
    }

    /// Makes the file of an entry, or opens the one that was made. A new one gets the length `len`, so that what is not written is a hole.
    fn open(&self, number: u64, path: &TreePath, len: Option<u64>) -> io::Result<File> {
        let bit = 1 << (number % 64);
        let made = &self.made[(number / 64) as usize];
        // Two pieces of one file: one of them makes it.
        let _files = len.is_some().then(|| self.files.lock());
        if made.fetch_or(bit, Ordering::Relaxed) & bit != 0 {
            return Ok(self.root.open_at(path, OFlags::RDWR, Mode::empty())?);
        }
        let file = self.make(path)?;
        if let Some(len) = len {
            file.set_len(len)?;
        }
        Ok(file)
    }

    /// Makes the file of an entry that has no bytes, if an earlier attempt has not.
    pub(crate) fn make_empty(&self, number: u64, path: &TreePath) -> io::Result<()> {
        match self.is_kept(number) {
            true => Ok(()),
            false => self.make(path).map(drop),
        }
    }

    /// Makes a file at a path where none is, and the directories that it is in.
    pub(crate) fn make(&self, path: &TreePath) -> io::Result<File> {
        // Whatever is there already is an entry of another name for the file system: none may be written over.
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let make = || self.root.open_at(path, flags, Mode::RUSR | Mode::WUSR);
        match make() {
            Err(Errno::NOENT) => {
                self.make_parents(path)?;
                Ok(make()?)
            }
            file => Ok(file?),
        }
    }

    /// Makes the directories that a path is in.
    pub(crate) fn make_parents(&self, path: &TreePath) -> io::Result<()> {
        let mut missing = Vec::new();
        let mut parent = path.parent();
        // As far up as there is one.
        while let Some(path) = parent.take_if(|path| !path.is_root()) {
            match self.root.directory_at(&path) {
                Ok(_) => break,
                Err(Errno::NOENT) => {
                    parent = path.parent();
                    missing.push(path);
                }
                Err(error) => return Err(error.into()),
            }
        }
        missing.iter().rev().try_for_each(|path| self.make_directory(path))
    }

    /// Makes a directory whose parent is there, if it is not there itself.
    pub(crate) fn make_directory(&self, path: &TreePath) -> io::Result<()> {
        let Some(parent) = path.parent() else {
            return Ok(());
        };
        let parent = self.root.directory_at(&parent)?;
        match mkdirat(&parent, OsStr::from_bytes(path.name()), Mode::RWXU) {
            Ok(()) => Ok(()),
            // Another thread was faster; or something else is there, which whoever comes next finds out.
            Err(Errno::EXIST) => self.root.directory_at(path).map(drop).map_err(io::Error::from),
            Err(error) => Err(error.into()),
        }
    }
}

impl WriteAt for Staging {
    fn write_all_at(&self, at: u64, data: &[u8]) -> io::Result<()> {
        self.written.lock().claim(at, data.len())?;
        self.write(at, data).inspect_err(|error| self.written.lock().fail_for(error))
    }
}

/// What an earlier attempt has left, as the plaintext that it may be.
pub(crate) struct KeptTree(pub(crate) Arc<Staging>);

impl ReadAt for KeptTree {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        match offset.checked_add(buffer.len() as u64).is_some_and(|end| end <= self.0.plain_len) {
            true => self.0.read_claim(offset, buffer),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn len(&self) -> u64 {
        self.0.plain_len
    }
}

/// The skeleton, to be read.
pub(crate) struct SkeletonReader<'a> {
    pub(crate) skeleton: &'a Skeleton,
    pub(crate) len: u64,
}

impl ReadAt for SkeletonReader<'_> {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.skeleton.read_exact_at(buffer, offset)
    }

    fn len(&self) -> u64 {
        self.len
    }
}

/// Writes what of `data` is not there already, in a file that has its length: so holes stay holes, and what is right is not written again.
fn write_over(file: &File, offset: u64, data: &[u8]) -> io::Result<()> {
    let mut found = vec![0; data.len().min(PIECE_LEN)];
    for (at, piece) in (offset..).step_by(PIECE_LEN).zip(data.chunks(PIECE_LEN)) {
        let found = &mut found[..piece.len()];
        read_or_zeros(file, found, at)?;
        if found != piece {
            file.write_all_at(piece, at)?;
        }
    }
    Ok(())
}

/// Writes what of `data` is no block of zeros at `offset`. The file has its length already, or gets it later, and reads as zeros there.
///
/// # Errors
/// The medium's own.
pub fn write_sparse(file: &File, offset: u64, data: &[u8]) -> io::Result<()> {
    let (mut at, mut start) = (0, 0);
    while at < data.len() {
        // Blocks as the file has them, whatever the piece begins with.
        let block_end = (offset + at as u64) / BLOCK_LEN * BLOCK_LEN + BLOCK_LEN - offset;
        let end = usize::try_from(block_end).map_or(data.len(), |end| end.min(data.len()));
        if data[at..end].iter().all(|byte| *byte == 0) {
            file.write_all_at(&data[start..at], offset + start as u64)?;
            start = end;
        }
        at = end;
    }
    file.write_all_at(&data[start..], offset + start as u64)
}

/// Files that are kept open because they are written in several pieces.
const FILES_OPEN_MAX: NonZeroUsize = NonZeroUsize::new(64).expect("64 is not 0");
/// What of a file is left as a hole if it is zeros: the block of file systems in use.
const BLOCK_LEN: u64 = 4_096;
/// What is compared with what is there, and written if it differs, at a time.
const PIECE_LEN: usize = 64 << 10;
/// A file that is written at once and shorter than this has no holes.
const SPARSE_LEN_MIN: usize = 64 << 10;
