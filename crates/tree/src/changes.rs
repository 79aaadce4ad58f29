//! Which files are not what the plan says: noted as they are read, for the catalog and for a sealing that goes on.
//! Reads no file of the tree.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use parking_lot::Mutex;
use sources::InputChanged;

use crate::{Entry, Plan, TreeError, TreePath, plan::open_regular};

/// Files that changed while they were read.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ChangedFiles {
    /// How many, those that were gone among them.
    pub count: u64,
    /// The first 1,000 of them, without those that were gone.
    pub first: Vec<TreePath>,
    /// How many were gone when they were read, or when the rest of them was: zeros stand for what was not read.
    pub gone: u64,
    /// Bytes of those that were gone, as the plan says: at most so many zeros stand for them.
    pub gone_len: u64,
    /// The first 1,000 of those that were gone.
    pub first_gone: Vec<TreePath>,
}

/// What has become of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Change {
    /// Its bytes, length or time are not those of the plan.
    Changed,
    /// Nothing is there any more, or no regular file.
    Gone,
}

/// Which files have changed. A page of the catalog that has been given out says so of its files for good.
pub(crate) struct Changes {
    changed: EntryBits,
    gone: EntryBits,
    /// Of each page, whether bytes of it have been given out. With the bits, each side sets its own before it looks at the other's, all of
    /// it sequentially consistent: one of the two sees the other.
    given: Vec<AtomicBool>,
    known: Mutex<ChangedFiles>,
    /// The numbers, for a sealing that goes on after this one.
    notes: Mutex<Notes>,
}

/// A file of numbers, made when there is one; none where nothing goes on.
struct Notes {
    path: Option<PathBuf>,
    file: Option<File>,
}

impl Changes {
    /// Those that an earlier sealing by this plan has noted beside it.
    pub(crate) fn read(plan: &Plan) -> Result<Changes, TreeError> {
        let catalog = plan.layout().catalog();
        let path = plan.changes_path();
        let changes = Changes {
            changed: EntryBits::new(catalog.entries()),
            gone: EntryBits::new(catalog.entries()),
            given: (0..catalog.pages()).map(|_| AtomicBool::new(false)).collect(),
            known: Mutex::default(),
            notes: Mutex::new(Notes { path: path.clone(), file: None }),
        };
        let bytes = match &path {
            Some(path) => noted_before(path)
                .map_err(|error| TreeError::io(format!("read {}", path.display()), error))?,
            None => Vec::new(),
        };
        // A number that a crash has torn was never vouched for.
        for bytes in bytes.chunks_exact(8) {
            let noted = bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
            let change = if noted & GONE_BIT == 0 { Change::Changed } else { Change::Gone };
            let number = noted & !GONE_BIT;
            if let Some(located) = catalog.entry(number)? {
                changes.set(number, &located.entry, change);
            }
        }
        Ok(changes)
    }

    /// Those that are known so far.
    pub(crate) fn known(&self) -> ChangedFiles {
        self.known.lock().clone()
    }

    /// Notes, durably, what has become of the entry `number` of this page.
    pub(crate) fn note(&self, number: u64, page: usize, entry: &Entry, change: Change) -> io::Result<()> {
        // Whoever comes second waits until it is durable as well.
        let mut notes = self.notes.lock();
        if !self.set(number, entry, change) {
            return Ok(());
        }
        if self.is_given(page) {
            let message =
                format!("{} changed while its last bytes were read; seal the tree again", entry.path);
            return Err(InputChanged(message).into());
        }
        notes.append(if change == Change::Gone { number | GONE_BIT } else { number })
    }

    /// Says that bytes of this page are given out: from here on a file of it that changes is an error.
    pub(crate) fn give(&self, page: usize) {
        self.given[page].store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_given(&self, page: usize) -> bool {
        self.given[page].load(Ordering::SeqCst)
    }

    /// Sets the flags of the entry `number`.
    pub(crate) fn flag(&self, number: u64, entry: &mut Entry) {
        (entry.changed, entry.gone) = (self.changed.has(number), self.gone.has(number));
    }

    pub(crate) fn is_noted(&self, number: u64) -> bool {
        self.changed.has(number)
    }

    /// Sets the bits, and counts the entry. Whether that was not known before.
    fn set(&self, number: u64, entry: &Entry, change: Change) -> bool {
        let mut known = self.known.lock();
        let is_newly_gone = change == Change::Gone && self.gone.set(number);
        let is_newly_changed = self.changed.set(number);
        known.count += u64::from(is_newly_changed);
        if is_newly_gone {
            known.gone += 1;
            known.gone_len += entry.size;
        }
        let named = match change {
            Change::Gone => &mut known.first_gone,
            Change::Changed => &mut known.first,
        };
        let is_new = is_newly_gone || is_newly_changed;
        if is_new && named.len() < CHANGED_NAMED_MAX {
            named.push(entry.path.clone());
        }
        is_new
    }
}

/// A bit for each entry.
struct EntryBits(Vec<AtomicU64>);

impl EntryBits {
    fn new(entries: u64) -> EntryBits {
        EntryBits((0..entries.div_ceil(64)).map(|_| AtomicU64::new(0)).collect())
    }

    /// Sets the bit. Whether it was not set before.
    fn set(&self, number: u64) -> bool {
        let bit = 1 << (number % 64);
        self.0[(number / 64) as usize].fetch_or(bit, Ordering::SeqCst) & bit == 0
    }

    fn has(&self, number: u64) -> bool {
        self.0[(number / 64) as usize].load(Ordering::SeqCst) >> (number % 64) & 1 == 1
    }
}

impl Notes {
    fn append(&mut self, noted: u64) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let mut options = OpenOptions::new();
                let made = open_regular(path, options.append(true).create(true).mode(0o600))?;
                self.file.insert(made)
            }
        };
        file.write_all(&noted.to_le_bytes())?;
        file.sync_all()
    }
}

/// The numbers that an earlier sealing has noted.
fn noted_before(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match open_regular(path, OpenOptions::new().read(true)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        file => drop(file?.read_to_end(&mut bytes)?),
    }
    Ok(bytes)
}

/// In a note, beside the number of an entry, which is far below it: the file was gone.
const GONE_BIT: u64 = 1 << 63;
/// Changed files whose paths are kept in memory.
const CHANGED_NAMED_MAX: usize = 1_000;

const _: () = assert!(crate::limits::ENTRIES_MAX < GONE_BIT);
