//! The disk as sinks see it: a [`Storage`] over the model, with open files, locks and maps.
//! Knows nothing of which items a power cut takes.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fmt, io,
    sync::Arc,
};

use contract::{IfExists, WriteAt};
use parking_lot::Mutex;
use storage::{CopiedMetadata, FileId, FileStamp, FileTime, Lock, Storage, StorageFile};

use super::{
    medium::{CopiedMetadata as Rights, Extent, Medium, NameChange},
    states::CrashStates,
};

/// A directory in memory that remembers which of its changes were synced. Clones are the same disk.
#[derive(Clone)]
pub struct SimulatedDisk {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    medium: Medium,
    /// Which open file holds the lock of a file.
    locks: BTreeMap<u64, u64>,
    opened_last: u64,
}

impl SimulatedDisk {
    /// An empty disk.
    #[allow(clippy::new_without_default, reason = "nobody asks for a default disk")]
    pub fn new() -> SimulatedDisk {
        SimulatedDisk::over(Medium::default())
    }

    /// Puts a file there as if it had been there for long: no power cut takes it.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        self.shared.lock().medium.put(name.into(), bytes);
    }

    /// What readers see in the file at `name`; `None` where there is none.
    pub fn contents(&self, name: impl AsRef<OsStr>) -> Option<Vec<u8>> {
        let shared = self.shared.lock();
        let image = shared.medium.image(shared.medium.at(name.as_ref())?)?;
        let mut bytes = vec![0; image.len as usize];
        image.read(&mut bytes, 0);
        Some(bytes)
    }

    /// The names that lead to files, sorted.
    pub fn names(&self) -> Vec<OsString> {
        self.shared.lock().medium.names().keys().cloned().collect()
    }

    /// Whether the file at `name` has been given a target's mode, owner and attributes.
    pub fn has_target_metadata(&self, name: impl AsRef<OsStr>) -> bool {
        let shared = self.shared.lock();
        let image = shared.medium.at(name.as_ref()).and_then(|inode| shared.medium.image(inode));
        image.is_some_and(|image| image.copy_metadata == Rights::Target)
    }

    /// Items that a power cut may take now.
    pub fn pending(&self) -> usize {
        self.shared.lock().medium.item_times().len()
    }

    /// The disks that a power cut may leave now: see [`CrashStates`]. The seed decides which are tried where not all are.
    pub fn crash_states(&self, seed: u64) -> CrashStates {
        CrashStates::new(self.shared.lock().medium.clone(), seed)
    }

    /// The disk as the kill of the only process that used it leaves it: nothing is lost, and nothing more is settled.
    pub fn after_kill(&self) -> SimulatedDisk {
        SimulatedDisk::over(self.shared.lock().medium.clone())
    }

    /// A sync of this file failed: bytes that it was to settle are lost or not, and no later sync settles them.
    pub fn doubt(&self, file: FileId) {
        self.shared.lock().medium.doubt(file.inode);
    }

    pub(super) fn over(medium: Medium) -> SimulatedDisk {
        SimulatedDisk { shared: Arc::new(Mutex::new(Shared { medium, ..Shared::default() })) }
    }

    fn opened(&self, shared: &mut Shared, inode: u64) -> Arc<dyn StorageFile> {
        shared.opened_last += 1;
        let open = Open { disk: self.clone(), inode, opened: shared.opened_last };
        Arc::new(SimulatedFile(Arc::new(open)))
    }
}

impl fmt::Debug for SimulatedDisk {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("SimulatedDisk").field("names", &self.names()).finish_non_exhaustive()
    }
}

impl Storage for SimulatedDisk {
    fn create(&self, name: &OsStr) -> io::Result<Arc<dyn StorageFile>> {
        let mut shared = self.shared.lock();
        check_free(&shared.medium, name)?;
        let inode = shared.medium.make_file();
        shared.medium.change_name(NameChange::Make { name: name.into(), inode });
        Ok(self.opened(&mut shared, inode))
    }

    fn create_unnamed(&self) -> io::Result<Arc<dyn StorageFile>> {
        let mut shared = self.shared.lock();
        let inode = shared.medium.make_file();
        Ok(self.opened(&mut shared, inode))
    }

    fn open(&self, name: &OsStr) -> io::Result<Option<Arc<dyn StorageFile>>> {
        let mut shared = self.shared.lock();
        Ok(shared.medium.at(name).map(|inode| self.opened(&mut shared, inode)))
    }

    fn id_at(&self, name: &OsStr) -> io::Result<Option<FileId>> {
        Ok(self.shared.lock().medium.at(name).map(id_of))
    }

    fn stamp_at(&self, name: &OsStr) -> io::Result<Option<FileStamp>> {
        let shared = self.shared.lock();
        Ok(shared.medium.at(name).map(|inode| stamp_of(&shared.medium, inode)))
    }

    fn rename(&self, from: &OsStr, to: &OsStr, if_exists: IfExists) -> io::Result<()> {
        let medium = &mut self.shared.lock().medium;
        let inode = medium.at(from).ok_or(io::ErrorKind::NotFound)?;
        if if_exists == IfExists::Refuse {
            check_free(medium, to)?;
        }
        // rename(2): of two names of one file, neither goes.
        if medium.at(to) != Some(inode) {
            medium.change_name(NameChange::Rename { from: from.into(), to: to.into(), inode });
        }
        Ok(())
    }

    fn remove(&self, name: &OsStr) -> io::Result<()> {
        let medium = &mut self.shared.lock().medium;
        let inode = medium.at(name).ok_or(io::ErrorKind::NotFound)?;
        medium.change_name(NameChange::Remove { name: name.into(), inode });
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.shared.lock().medium.sync_names();
        Ok(())
    }
}

/// An open file. Its lock and its maps go with [`Open`].
#[derive(Debug)]
struct SimulatedFile(Arc<Open>);

/// What open(2) makes: the lock is on it, and ends when the last handle of it is gone.
#[derive(Debug)]
struct Open {
    disk: SimulatedDisk,
    inode: u64,
    opened: u64,
}

impl Drop for Open {
    fn drop(&mut self) {
        let locks = &mut self.disk.shared.lock().locks;
        if locks.get(&self.inode) == Some(&self.opened) {
            locks.remove(&self.inode);
        }
    }
}

impl SimulatedFile {
    fn with<T>(&self, act: impl FnOnce(&mut Medium, u64) -> T) -> T {
        act(&mut self.0.disk.shared.lock().medium, self.0.inode)
    }
}

impl StorageFile for SimulatedFile {
    fn id(&self) -> io::Result<FileId> {
        Ok(id_of(self.0.inode))
    }

    fn stamp(&self) -> io::Result<FileStamp> {
        Ok(self.with(|medium, inode| stamp_of(medium, inode)))
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.with(|medium, inode| medium.image(inode).map_or(0, |image| image.len)))
    }

    fn allocated(&self) -> io::Result<u64> {
        Ok(self.with(|medium, inode| medium.image(inode).map_or(0, |image| image.allocated())))
    }

    fn try_lock(&self) -> io::Result<Lock> {
        let locks = &mut self.0.disk.shared.lock().locks;
        let holder = *locks.entry(self.0.inode).or_insert(self.0.opened);
        Ok(if holder == self.0.opened { Lock::Taken } else { Lock::Held })
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        Ok(self.with(|medium, inode| medium.image(inode).map_or(0, |image| image.read(buffer, at))))
    }

    fn write_at(&self, data: &[u8], at: u64) -> io::Result<usize> {
        check_end(at, data.len() as u64)?;
        self.with(|medium, inode| medium.write(inode, data, at));
        Ok(data.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        check_end(len, 0)?;
        self.with(|medium, inode| medium.set_len(inode, len));
        Ok(())
    }

    fn drop_page_cache(&self) -> io::Result<()> {
        self.with(Medium::drop_page_cache);
        Ok(())
    }

    fn copy_metadata_from(&self, target: &OsStr, if_exists: IfExists) -> io::Result<CopiedMetadata> {
        self.with(|medium, inode| match (if_exists, medium.at(target)) {
            (IfExists::Replace, Some(_)) => {
                medium.copy_metadata_from(inode);
                Ok(CopiedMetadata::Taken)
            }
            (IfExists::Refuse, _) | (IfExists::Replace, None) => Ok(CopiedMetadata::New { mode: MODE_NEW }),
        })
    }

    fn give_mode(&self, _mode: u32) -> io::Result<()> {
        self.with(Medium::copy_metadata_from);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.with(|medium, inode| medium.sync_file(inode, Extent::Data));
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        self.with(|medium, inode| medium.sync_file(inode, Extent::All));
        Ok(())
    }

    fn link(&self, name: &OsStr) -> io::Result<()> {
        self.with(|medium, inode| {
            check_free(medium, name)?;
            medium.change_name(NameChange::Make { name: name.into(), inode });
            Ok(())
        })
    }

    fn map(&self, len: u64) -> io::Result<Arc<dyn WriteAt>> {
        self.set_len(len)?;
        Ok(Arc::new(SimulatedMapping { file: SimulatedFile(self.0.clone()), len }))
    }
}

/// A map: its writes are writes to the file, on their way to the medium until the file is synced.
#[derive(Debug)]
struct SimulatedMapping {
    file: SimulatedFile,
    len: u64,
}

impl WriteAt for SimulatedMapping {
    fn write_all_at(&self, at: u64, data: &[u8]) -> io::Result<()> {
        match at.checked_add(data.len() as u64) {
            Some(end) if end <= self.len => self.file.write_at(data, at).map(|_| ()),
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }
}

fn check_free(medium: &Medium, name: &OsStr) -> io::Result<()> {
    match medium.at(name) {
        Some(_) => Err(io::ErrorKind::AlreadyExists.into()),
        None => Ok(()),
    }
}

fn check_end(at: u64, len: u64) -> io::Result<()> {
    match at.checked_add(len) {
        Some(end) if end <= FILE_LEN_MAX => Ok(()),
        _ => Err(io::ErrorKind::FileTooLarge.into()),
    }
}

/// It has no clock. That its inode numbers are never used again does not matter: a length is lost and kept here as well.
fn stamp_of(medium: &Medium, inode: u64) -> FileStamp {
    let len = medium.image(inode).map_or(0, |image| image.len);
    FileStamp { inode, len, modified: FileTime::default(), created: None }
}

fn id_of(inode: u64) -> FileId {
    FileId { device: DEVICE, inode }
}

const DEVICE: u64 = 1;

/// There is one mode for new files, and one for all others.
const MODE_NEW: u32 = 0o644;

/// A file lies in memory: what goes beyond this is a mistake of the test.
const FILE_LEN_MAX: u64 = 1 << 30;
