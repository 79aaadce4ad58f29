//! A real directory whose changes are counted, and fail from one of them to another.
//! Knows no sink, and no loss of power: looking and locking never fail, and a sync that does not is none.

use std::{
    ffi::OsStr,
    io,
    ops::Range,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;

use crate::{
    Existing,
    storage::{Disk, FileId, Lock, Mapping, Storage, StorageFile},
};

/// A directory that can be made to fail. All that fails changes nothing.
#[derive(Clone, Debug)]
pub(super) struct Rig {
    disk: Disk,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Tests make calls from one thread at a time: the order with other memory does not matter.
    calls: AtomicUsize,
    written: AtomicUsize,
    failing: Mutex<Range<usize>>,
    sent: Mutex<Vec<(u64, u64)>>,
}

impl Rig {
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

    /// The changes with these numbers fail. A range without end is a crash: whatever is done afterwards, a drop included,
    /// leaves the directory as it is.
    pub(super) fn fail_calls(&self, numbers: Range<usize>) {
        *self.state.failing.lock() = numbers;
    }

    fn file(&self, file: Arc<dyn StorageFile>) -> Arc<dyn StorageFile> {
        Arc::new(RigFile { file, state: self.state.clone() })
    }
}

impl State {
    fn change<T>(&self, change: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        match self.failing.lock().contains(&number) {
            true => Err(io::Error::other(format!("call {number} was made to fail"))),
            false => change(),
        }
    }
}

impl Storage for Rig {
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

    fn rename(&self, from: &OsStr, to: &OsStr, existing: Existing) -> io::Result<()> {
        self.state.change(|| self.disk.rename(from, to, existing))
    }

    fn remove(&self, name: &OsStr) -> io::Result<()> {
        self.state.change(|| self.disk.remove(name))
    }

    fn sync(&self) -> io::Result<()> {
        self.state.change(|| Ok(()))
    }
}

#[derive(Debug)]
struct RigFile {
    file: Arc<dyn StorageFile>,
    state: Arc<State>,
}

impl StorageFile for RigFile {
    fn id(&self) -> io::Result<FileId> {
        self.file.id()
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

    fn start_writing(&self, at: u64, len: u64) {
        self.state.sent.lock().push((at, len));
        self.file.start_writing(at, len);
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.state.change(|| self.file.set_len(len))
    }

    fn take_likeness(&self, target: &OsStr, existing: Existing) -> io::Result<()> {
        self.state.change(|| self.file.take_likeness(target, existing))
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

    fn map(&self, len: u64) -> io::Result<Arc<dyn Mapping>> {
        self.file.map(len)
    }
}
