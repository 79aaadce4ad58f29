//! A tree as a source: the plaintext that a plan says, read from the files of the tree at any offset, from any thread.
//! Knows nothing of who seals it.

use std::{fmt, fs::File, io, num::NonZeroUsize, os::unix::fs::FileExt, sync::Arc, time::Duration};

use cofferdam_io::{ReadAt, retried};
use lru::LruCache;
use parking_lot::Mutex;
use rustix::{
    fs::{FileType, Mode, OFlags, SeekFrom, Stat, fstat, seek},
    io::Errno,
};
use sources::{Arrival, InputChanged, Source};

use crate::{
    ChangedFiles, Entry, EntryKind, LocatedEntry, Place, Plan, TreeError, TreeRoot,
    catalog::{EntryRef, encode_entries},
    changes::{Change, Changes},
    layout::Window,
    root::FileOpener,
    walk::modified,
};

/// A directory as a source of bytes: those of its plan.
///
/// A file that is not what the plan says is read all the same: what is missing at its end, or of a file that is gone, is zeros; what it has
/// grown by is left out. It counts as changed, or as gone, in the catalog too, unless [`OnChange::Refuse`] ends the read. Where the directory
/// itself was removed, moved or replaced, the read that notices it is an error, [`InputChanged`]: at the latest that of the last byte.
pub struct TreeSource {
    shared: Arc<Shared>,
    next: u64,
}

/// What becomes of a file that changes while the tree is read.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum OnChange {
    /// It is read, and flagged.
    #[default]
    Flag,
    /// The read is an error. If the plan has noted it ([`WalkOptions::stamped`](crate::WalkOptions::stamped)), so it is of a file that has only
    /// changed its attributes or its names, or is another one of the same length and time.
    Refuse,
}

impl TreeSource {
    /// The plaintext that `plan` says of the tree at `root`.
    ///
    /// # Errors
    /// What an earlier sealing has noted beside the plan cannot be read.
    pub fn new(root: TreeRoot, plan: Arc<Plan>, on_change: OnChange) -> Result<TreeSource, TreeError> {
        let changes = Changes::read(&plan)?;
        let files = Mutex::new(LruCache::new(FILES_OPEN_MAX));
        Ok(TreeSource { shared: Arc::new(Shared { root, plan, on_change, files, changes }), next: 0 })
    }

    /// Those that have changed so far.
    pub fn changed_files(&self) -> ChangedFiles {
        self.shared.changes.known()
    }
}

/// Another position over the same tree, from its beginning on. What has changed, both know.
impl Clone for TreeSource {
    fn clone(&self) -> TreeSource {
        TreeSource { shared: self.shared.clone(), next: 0 }
    }
}

impl Source for TreeSource {
    fn len(&self) -> Option<u64> {
        Some(ReadAt::len(&*self.shared))
    }

    fn positioned(&self) -> Option<Arc<dyn ReadAt>> {
        Some(self.shared.clone())
    }

    fn read_within(&mut self, buffer: &mut [u8], _patience: Duration) -> io::Result<Arrival> {
        let left = ReadAt::len(&*self.shared) - self.next;
        let count = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        if left == 0 {
            return Ok(Arrival::End);
        }
        self.shared.read_exact_at(self.next, &mut buffer[..count])?;
        self.next += count as u64;
        Ok(Arrival::Bytes(count))
    }
}

impl fmt::Debug for TreeSource {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("TreeSource").field("next", &self.next).finish_non_exhaustive()
    }
}

struct Shared {
    root: TreeRoot,
    plan: Arc<Plan>,
    on_change: OnChange,
    /// Files that are read in several pieces, by entry.
    files: Mutex<LruCache<u64, Arc<File>>>,
    changes: Changes,
}

impl ReadAt for Shared {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64).filter(|end| *end <= self.plan.plain_len());
        let Some(end) = end else {
            let message = format!("{} bytes at {offset} go beyond the tree's {}", buffer.len(), self.len());
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
        };
        let (mut window, mut opener) = (Window::new(WINDOW_LEN), FileOpener::new(&self.root));
        let read = self.plan.layout().for_each_piece(offset..end, &mut |piece| {
            // Pieces lie within the range that was asked for.
            let start = (piece.at - offset) as usize;
            let buffer = &mut buffer[start..start + piece.len as usize];
            match piece.place {
                Place::File { number, entry, offset } => {
                    self.read_file(&mut opener, number, entry, offset, buffer)
                }
                Place::Skeleton(at) => {
                    self.read_skeleton(&mut window, at, buffer, end - piece.at)?;
                    self.flag_changed(piece.at, buffer)
                }
            }
        });
        // Whoever has the last byte may publish all of them.
        if end == self.plan.plain_len() { read.and_then(|()| self.check_root()) } else { read }
    }

    fn len(&self) -> u64 {
        self.plan.plain_len()
    }
}

impl Shared {
    /// Fills `buffer` with what is at `at` of the skeleton. Short pieces come out of what `window` has read ahead: `left` bytes of the
    /// plaintext are asked for in all from there on.
    fn read_skeleton(&self, window: &mut Window, at: u64, buffer: &mut [u8], left: u64) -> io::Result<()> {
        let skeleton = self.plan.skeleton();
        if buffer.len() >= WINDOW_LEN {
            return skeleton.read_exact_at(at, buffer);
        }
        let end = skeleton.len().min(at + left);
        buffer.copy_from_slice(window.read(skeleton, at, buffer.len(), end)?);
        Ok(())
    }

    fn read_file(
        &self,
        opener: &mut FileOpener<'_>,
        number: u64,
        entry: &Entry,
        offset: u64,
        buffer: &mut [u8],
    ) -> io::Result<()> {
        let fault =
            |error: io::Error| io::Error::new(error.kind(), format!("cannot read {}: {error}", entry.path));
        let stat = |file: &File| fstat(file).map_err(|error| fault(error.into()));
        let Some(file) = self.file(opener, number, entry, buffer.len())? else {
            return self.read_gone(number, entry, buffer);
        };
        // Of a short file no hole is worth a question.
        let before = if entry.size > SHORT_LEN_MAX { Some(stat(&file)?) } else { None };
        let read = read_or_zero(&file, before.as_ref(), offset, buffer);
        // What was read before something happened to the file is what the plan says, if it looks like that now.
        let after = stat(&file)?;
        if FileType::from_raw_mode(after.st_mode) != FileType::RegularFile {
            return self.read_gone(number, entry, buffer);
        }
        match read.map_err(fault)? && self.is_as_planned(number, &after, entry)? {
            true => Ok(()),
            false => self.note(number, entry, Change::Changed),
        }
    }

    /// Zeros stand for a file that is gone, unless the directory is.
    fn read_gone(&self, number: u64, entry: &Entry, buffer: &mut [u8]) -> io::Result<()> {
        buffer.fill(0);
        self.check_root()?;
        self.note(number, entry, Change::Gone)
    }

    /// What is left of a directory that was removed is not what was to be sealed.
    fn check_root(&self) -> io::Result<()> {
        match self.root.is_gone()? {
            true => {
                let message = "the directory was removed, moved or replaced while it was read";
                Err(InputChanged(message.to_owned()).into())
            }
            false => Ok(()),
        }
    }

    /// The open file of an entry; none where nothing that could be one is there any more.
    fn file(
        &self,
        opener: &mut FileOpener<'_>,
        number: u64,
        entry: &Entry,
        len: usize,
    ) -> io::Result<Option<Arc<File>>> {
        // What is read at once is opened once: no other file loses its place for it.
        let is_small = len as u64 == entry.size;
        if !is_small && let Some(file) = self.files.lock().get(&number) {
            return Ok(Some(file.clone()));
        }
        let file = match opener.open(&entry.path) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO) => return Ok(None),
            file => file.map_err(|error| TreeError::io(format!("open {}", entry.path), error))?,
        };
        let file = Arc::new(file);
        if !is_small {
            self.files.lock().put(number, file.clone());
        }
        Ok(Some(file))
    }

    /// A file is not what the plan says.
    fn note(&self, number: u64, entry: &Entry, change: Change) -> io::Result<()> {
        if self.on_change == OnChange::Refuse {
            let what = match change {
                Change::Changed => "changed while it was read",
                Change::Gone => "was gone when it was read",
            };
            let message = format!("{} {what}; nothing may be sealed of it", entry.path);
            return Err(InputChanged(message).into());
        }
        let page = self.plan.layout().catalog().page_of(number);
        self.changes.note(number, page, entry, change)
    }

    /// No byte of an empty file is read: whether it still is empty is looked at before the catalog says so.
    fn look_at_empty(&self, located: &LocatedEntry) -> io::Result<()> {
        let (number, entry) = (located.number, &located.entry);
        let fault = |error: Errno| io::Error::from(TreeError::io(format!("examine {}", entry.path), error));
        let file = match self.root.open_at(&entry.path, OFlags::PATH, Mode::empty()) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return self.read_gone(number, entry, &mut []),
            file => file.map_err(fault)?,
        };
        let stat = fstat(&file).map_err(fault)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile if self.is_as_planned(number, &stat, entry)? => Ok(()),
            FileType::RegularFile => self.note(number, entry, Change::Changed),
            _ => self.read_gone(number, entry, &mut []),
        }
    }

    /// Whether the file looks as the plan says, and, where a change is refused, is the very one that was walked.
    fn is_as_planned(&self, number: u64, stat: &Stat, entry: &Entry) -> io::Result<bool> {
        let looks_so = stat.st_size.cast_unsigned() == entry.size && modified(stat) == entry.modified;
        match self.on_change {
            OnChange::Refuse if looks_so => self.plan.is_as_walked(number, stat),
            _ => Ok(looks_so),
        }
    }

    /// Sets the flags of files that have changed in the bytes of pages: `buffer` is what is at `at` of the plaintext.
    fn flag_changed(&self, at: u64, buffer: &mut [u8]) -> io::Result<()> {
        let catalog = self.plan.layout().catalog();
        let end = at + buffer.len() as u64;
        for index in catalog.pages_in(at..end) {
            let (page_at, page_end) = (catalog.page_bounds(index), catalog.page_bounds(index + 1));
            let page = catalog.page(index)?;
            if !self.changes.is_given(index) {
                let is_empty = |entry: EntryRef<'_>| entry.kind == EntryKind::File && entry.size == 0;
                let empty = (0..page.count()).filter(|at| is_empty(page.entry(*at)));
                empty.map(|at| page.located(at)).try_for_each(|located| self.look_at_empty(&located))?;
            }
            self.changes.give(index);
            let numbers = page.first_entry()..page.first_entry() + page.count() as u64;
            if !numbers.clone().any(|number| self.changes.is_noted(number)) {
                continue;
            }
            let mut entries: Vec<Entry> = page.entries().collect();
            for (number, entry) in numbers.zip(&mut entries) {
                self.changes.flag(number, entry);
            }
            let mut bytes = Vec::new();
            encode_entries(&entries, &mut bytes);
            assert_eq!(bytes.len() as u64, page_end - page_at, "a flag takes one byte, set or not");
            let (from, to) = (page_at.max(at), page_end.min(end));
            let part = &bytes[(from - page_at) as usize..(to - page_at) as usize];
            buffer[(from - at) as usize..(to - at) as usize].copy_from_slice(part);
        }
        Ok(())
    }
}

/// Fills `buffer` with what the file has from `offset` on, and with zeros behind its end. Whether all was there.
/// Holes are looked for if `stat` of it is given.
fn read_or_zero(
    file: &File,
    stat: Option<&Stat>,
    mut offset: u64,
    mut buffer: &mut [u8],
) -> io::Result<bool> {
    // lseek(2) moves a position that nobody uses. Where it says nothing, what is there is read.
    let size = stat.map_or(0, |stat| stat.st_size.cast_unsigned());
    let hole = |offset: u64| match seek(file, SeekFrom::Data(offset)) {
        Ok(data) => data.saturating_sub(offset),
        // No data up to the end.
        Err(Errno::NXIO) => size.saturating_sub(offset),
        Err(_) => 0,
    };
    let is_sparse =
        stat.is_some_and(|stat| stat.st_blocks.cast_unsigned().saturating_mul(STAT_BLOCK_LEN) < size);
    while !buffer.is_empty() {
        let skip = if is_sparse { hole(offset) } else { 0 };
        let skip = usize::try_from(skip).map_or(buffer.len(), |skip| skip.min(buffer.len()));
        if skip > 0 {
            let (zeros, rest) = buffer.split_at_mut(skip);
            zeros.fill(0);
            (buffer, offset) = (rest, offset + skip as u64);
            continue;
        }
        match retried(|| file.read_at(buffer, offset))? {
            0 => {
                buffer.fill(0);
                return Ok(false);
            }
            count => {
                (buffer, offset) = (&mut buffer[count..], offset + count as u64);
            }
        }
    }
    Ok(true)
}

/// What is read of the skeleton at a time: the headers of some small files.
const WINDOW_LEN: usize = 16 << 10;
/// Files up to this length, in bytes, are read with their holes.
const SHORT_LEN_MAX: u64 = 128 << 10;
/// Files that are kept open because they are read in several pieces.
const FILES_OPEN_MAX: NonZeroUsize = NonZeroUsize::new(64).expect("64 is not 0");
/// stat(2): blocks are counted in this unit, whatever the file system's own.
const STAT_BLOCK_LEN: u64 = 512;
