//! A directory in memory that stops after so many steps, as a process does that is killed: what was done stays.
//! Knows no log. Nothing is lost here that was written and not synced; that is the simulated disk's to do.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    io,
    sync::Arc,
};

use contract::{IfExists, WriteAt};
use parking_lot::Mutex;
use storage::{CopiedMetadata, FileId, FileStamp, Lock, Storage, StorageFile};

/// One step that changes something, or makes it durable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Step {
    Create(OsString),
    Write { inode: u64, at: u64, len: usize },
    SetLen { inode: u64, len: u64 },
    Sync { inode: u64 },
    Remove(OsString),
    SyncNames,
}

#[derive(Clone, Default, Debug)]
pub(super) struct MemStorage {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default, Debug)]
struct Inner {
    names: BTreeMap<OsString, u64>,
    contents: BTreeMap<u64, Vec<u8>>,
    locked: Vec<u64>,
    steps: Vec<Step>,
    /// Inode, start and length of what was put on its way to the medium.
    sent: Vec<(u64, u64, u64)>,
    /// Steps that are still done. None: all of them.
    fuse: Option<usize>,
    /// The sync that fails, counted from here.
    bad_sync: Option<usize>,
}

impl MemStorage {
    /// Every step after the next `steps` fails, and so do the ones after that.
    pub(super) fn stop_after(&self, steps: usize) {
        self.inner.lock().fuse = Some(steps);
    }

    /// The process is gone: its locks too. Everything works again.
    pub(super) fn start_again(&self) {
        let mut inner = self.inner.lock();
        (inner.fuse, inner.bad_sync) = (None, None);
        inner.locked.clear();
    }

    /// The sync after the next `syncs` fails, and no other.
    pub(super) fn fail_sync_after(&self, syncs: usize) {
        self.inner.lock().bad_sync = Some(syncs);
    }

    pub(super) fn put(&self, name: &str, bytes: &[u8]) {
        let mut inner = self.inner.lock();
        let inode = inner.new_inode();
        inner.contents.insert(inode, bytes.to_vec());
        inner.names.insert(name.into(), inode);
    }

    pub(super) fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        let inner = self.inner.lock();
        inner.names.get(OsStr::new(name)).map(|inode| inner.contents[inode].clone())
    }

    /// Where what was put on its way of the file at `name` begins, and its length.
    pub(super) fn sent(&self, name: &str) -> Vec<(u64, u64)> {
        let inner = self.inner.lock();
        let named = inner.names[OsStr::new(name)];
        let of_it = inner.sent.iter().filter(|(inode, ..)| *inode == named);
        of_it.map(|(_, at, len)| (*at, *len)).collect()
    }

    pub(super) fn take_steps(&self) -> Vec<Step> {
        std::mem::take(&mut self.inner.lock().steps)
    }

    pub(super) fn storage(&self) -> Arc<dyn Storage> {
        Arc::new(self.clone())
    }

    fn file(&self, inode: u64) -> Arc<dyn StorageFile> {
        Arc::new(MemFile { mem_storage: self.clone(), inode })
    }
}

impl Inner {
    fn new_inode(&self) -> u64 {
        self.contents.last_key_value().map_or(1, |(inode, _)| inode + 1)
    }

    fn step(&mut self, step: Step) -> io::Result<()> {
        match &mut self.fuse {
            Some(0) => return Err(io::Error::other("stopped")),
            Some(left) => *left -= 1,
            None => {}
        }
        let is_sync = matches!(step, Step::Sync { .. } | Step::SyncNames);
        self.steps.push(step);
        match &mut self.bad_sync {
            Some(0) if is_sync => {
                self.bad_sync = None;
                return Err(io::Error::other("a sync failed"));
            }
            Some(left) if is_sync => *left -= 1,
            _ => {}
        }
        Ok(())
    }
}

impl Storage for MemStorage {
    fn create(&self, name: &OsStr) -> io::Result<Arc<dyn StorageFile>> {
        let mut inner = self.inner.lock();
        if inner.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        inner.step(Step::Create(name.into()))?;
        let inode = inner.new_inode();
        inner.names.insert(name.into(), inode);
        inner.contents.insert(inode, Vec::new());
        Ok(self.file(inode))
    }

    fn create_unnamed(&self) -> io::Result<Arc<dyn StorageFile>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn open(&self, name: &OsStr) -> io::Result<Option<Arc<dyn StorageFile>>> {
        Ok(self.inner.lock().names.get(name).map(|inode| self.file(*inode)))
    }

    fn id_at(&self, name: &OsStr) -> io::Result<Option<FileId>> {
        Ok(self.inner.lock().names.get(name).map(|inode| FileId { device: 1, inode: *inode }))
    }

    fn stamp_at(&self, _name: &OsStr) -> io::Result<Option<FileStamp>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn rename(&self, _from: &OsStr, _to: &OsStr, _existing: IfExists) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn remove(&self, name: &OsStr) -> io::Result<()> {
        let mut inner = self.inner.lock();
        inner.step(Step::Remove(name.into()))?;
        inner.names.remove(name).map(|_| ()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync(&self) -> io::Result<()> {
        self.inner.lock().step(Step::SyncNames)
    }
}

#[derive(Debug)]
struct MemFile {
    mem_storage: MemStorage,
    inode: u64,
}

impl StorageFile for MemFile {
    fn id(&self) -> io::Result<FileId> {
        Ok(FileId { device: 1, inode: self.inode })
    }

    fn stamp(&self) -> io::Result<FileStamp> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.mem_storage.inner.lock().contents[&self.inode].len() as u64)
    }

    fn allocated(&self) -> io::Result<u64> {
        self.len()
    }

    fn try_lock(&self) -> io::Result<Lock> {
        let mut inner = self.mem_storage.inner.lock();
        if inner.locked.contains(&self.inode) {
            return Ok(Lock::Held);
        }
        inner.locked.push(self.inode);
        Ok(Lock::Taken)
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let inner = self.mem_storage.inner.lock();
        let bytes = inner.contents[&self.inode].get(at as usize..).unwrap_or_default();
        let count = buffer.len().min(bytes.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn write_at(&self, data: &[u8], at: u64) -> io::Result<usize> {
        let mut inner = self.mem_storage.inner.lock();
        inner.step(Step::Write { inode: self.inode, at, len: data.len() })?;
        let bytes = inner.contents.get_mut(&self.inode).unwrap();
        let (at, end) = (at as usize, at as usize + data.len());
        bytes.resize(bytes.len().max(end), 0);
        bytes[at..end].copy_from_slice(data);
        Ok(data.len())
    }

    fn begin_writeback(&self, at: u64, len: u64) {
        self.mem_storage.inner.lock().sent.push((self.inode, at, len));
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut inner = self.mem_storage.inner.lock();
        inner.step(Step::SetLen { inode: self.inode, len })?;
        inner.contents.get_mut(&self.inode).unwrap().resize(len as usize, 0);
        Ok(())
    }

    fn copy_metadata_from(&self, _target: &OsStr, _existing: IfExists) -> io::Result<CopiedMetadata> {
        Ok(CopiedMetadata::Taken)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.mem_storage.inner.lock().step(Step::Sync { inode: self.inode })
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn link(&self, _name: &OsStr) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn map(&self, _len: u64) -> io::Result<Arc<dyn WriteAt>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
