//! A real directory whose changes are counted, and fail from one of them to another.
//! Knows no sink, and no loss of power: looking and locking never fail, and a sync that does not is none.

use std::{
    ffi::OsStr,
    io,
    ops::Range,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering},
    },
};

use contract::{IfExists, WriteAt};
use parking_lot::Mutex;
use storage::{CopiedMetadata, Disk, FileId, FileStamp, FileTime, Lock, Ownership, Storage, StorageFile};

/// A directory that can be made to fail. All that fails changes nothing.
#[derive(Clone, Debug)]
pub(super) struct FaultyStorage {
    disk: Disk,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// Tests make calls from one thread at a time: the order with other memory does not matter.
    calls: AtomicUsize,
    written: AtomicUsize,
    squashes_owners: AtomicBool,
    failing: Mutex<Range<usize>>,
    sent: Mutex<Vec<(u64, u64)>>,
    before_rename: Mutex<Option<Hook>>,
    shutdown: AtomicU8,
}

type Hook = Box<dyn FnOnce() + Send>;

/// A file system that shuts down with the next rename: see [`FaultyStorage::shut_down_after_rename`].
const SHUTDOWN_DUE: u8 = 1;
const SHUT_DOWN: u8 = 2;

impl FaultyStorage {
    pub(super) fn over(directory: &Path) -> Arc<Self> {
        Arc::new(Self { disk: Disk::open(directory).unwrap(), state: Arc::default() })
    }

    /// Changes that were asked for so far.
    pub(super) fn calls(&self) -> usize {
        self.state.calls.load(Ordering::Relaxed)
    }

    /// Bytes that were written to files so far.
    pub(super) fn written(&self) -> usize {
        self.state.written.load(Ordering::Relaxed)
    }

    /// Where what was put on its way to the medium begins, and its length, in the order it was.
    pub(super) fn sent(&self) -> Vec<(u64, u64)> {
        self.state.sent.lock().clone()
    }

    /// Every file is another user's from now on, as where a server gives all files to one user.
    pub(super) fn squash_owners(&self) {
        self.state.squashes_owners.store(true, Ordering::Relaxed);
    }

    /// With the next rename the file system shuts down, as XFS does: from then on everything fails but a directory's sync,
    /// which does nothing.
    pub(super) fn shut_down_after_rename(&self) {
        self.state.shutdown.store(SHUTDOWN_DUE, Ordering::Relaxed);
    }

    /// Somebody comes in between the last look and the next rename.
    pub(super) fn before_rename(&self, hook: impl FnOnce() + Send + 'static) {
        *self.state.before_rename.lock() = Some(Box::new(hook));
    }

    /// The changes with these numbers fail. A range without end is a crash: whatever is done afterwards, a drop included,
    /// leaves the directory as it is.
    pub(super) fn fail_calls(&self, numbers: Range<usize>) {
        *self.state.failing.lock() = numbers;
    }

    fn file(&self, file: Arc<dyn StorageFile>) -> Arc<dyn StorageFile> {
        Arc::new(FaultyFile { file, state: self.state.clone() })
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("State").field("calls", &self.calls).finish_non_exhaustive()
    }
}

impl State {
    fn change<T>(&self, change: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        if self.shutdown.load(Ordering::Relaxed) == SHUT_DOWN {
            return Err(io::Error::other("the file system has shut down"));
        }
        match self.failing.lock().contains(&number) {
            true => Err(io::Error::other(format!("call {number} was made to fail"))),
            false => change(),
        }
    }
}

impl Storage for FaultyStorage {
    fn create(&self, name: &OsStr) -> io::Result<Arc<dyn StorageFile>> {
        Ok(self.file(self.state.change(|| self.disk.create(name))?))
    }

    fn create_unnamed(&self) -> io::Result<Arc<dyn StorageFile>> {
        Ok(self.file(self.state.change(|| self.disk.create_unnamed())?))
    }

    fn open(&self, name: &OsStr) -> io::Result<Option<Arc<dyn StorageFile>>> {
        Ok(self.disk.open(name)?.map(|file| self.file(file)))
    }

    fn id_at(&self, name: &OsStr) -> io::Result<Option<FileId>> {
        self.disk.id_at(name)
    }

    fn stamp_at(&self, name: &OsStr) -> io::Result<Option<FileStamp>> {
        self.disk.stamp_at(name)
    }

    fn rename(&self, from: &OsStr, to: &OsStr, if_exists: IfExists) -> io::Result<()> {
        if let Some(hook) = self.state.before_rename.lock().take() {
            hook();
        }
        let renamed = self.state.change(|| self.disk.rename(from, to, if_exists));
        if self.state.shutdown.load(Ordering::Relaxed) == SHUTDOWN_DUE {
            self.state.shutdown.store(SHUT_DOWN, Ordering::Relaxed);
        }
        renamed
    }

    fn remove(&self, name: &OsStr) -> io::Result<()> {
        self.state.change(|| self.disk.remove(name))
    }

    fn sync(&self) -> io::Result<()> {
        match self.state.shutdown.load(Ordering::Relaxed) {
            SHUT_DOWN => Ok(()),
            _ => self.state.change(|| Ok(())),
        }
    }
}

#[derive(Debug)]
struct FaultyFile {
    file: Arc<dyn StorageFile>,
    state: Arc<State>,
}

impl StorageFile for FaultyFile {
    fn id(&self) -> io::Result<FileId> {
        self.file.id()
    }

    fn stamp(&self) -> io::Result<FileStamp> {
        self.file.stamp()
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn allocated(&self) -> io::Result<u64> {
        self.file.allocated()
    }

    fn try_lock(&self) -> io::Result<Lock> {
        self.file.try_lock()
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        self.file.read_at(buffer, at)
    }

    fn write_at(&self, data: &[u8], at: u64) -> io::Result<usize> {
        let count = self.state.change(|| self.file.write_at(data, at))?;
        self.state.written.fetch_add(count, Ordering::Relaxed);
        Ok(count)
    }

    fn begin_writeback(&self, at: u64, len: u64) {
        self.state.sent.lock().push((at, len));
        self.file.begin_writeback(at, len);
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.state.change(|| self.file.set_len(len))
    }

    fn is_open_to_others(&self) -> io::Result<bool> {
        self.file.is_open_to_others()
    }

    fn ownership(&self) -> io::Result<Ownership> {
        match self.state.squashes_owners.load(Ordering::Relaxed) {
            true => Ok(Ownership::SomeoneElses { owner: 65_534 }),
            false => self.file.ownership(),
        }
    }

    fn copy_metadata_from(&self, target: &OsStr, if_exists: IfExists) -> io::Result<CopiedMetadata> {
        self.state.change(|| self.file.copy_metadata_from(target, if_exists))
    }

    fn set_modified(&self, modified: FileTime) -> io::Result<()> {
        self.state.change(|| self.file.set_modified(modified))
    }

    fn give_mode(&self, mode: u32) -> io::Result<()> {
        self.state.change(|| self.file.give_mode(mode))
    }

    fn make_private(&self) -> io::Result<()> {
        self.state.change(|| self.file.make_private())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.state.change(|| Ok(()))
    }

    fn sync_all(&self) -> io::Result<()> {
        self.state.change(|| Ok(()))
    }

    fn link(&self, name: &OsStr) -> io::Result<()> {
        self.state.change(|| self.file.link(name))
    }

    fn map(&self, len: u64) -> io::Result<Arc<dyn WriteAt>> {
        self.file.map(len)
    }
}
