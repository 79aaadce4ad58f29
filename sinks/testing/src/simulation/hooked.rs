//! A storage that asks before each call: to look at the disk at that moment, to record, or to make the call fail.
//! Knows neither disks nor plans.

use std::{ffi::OsStr, fmt, io, sync::Arc};

use contract::{IfExists, WriteAt};
use storage::{CopiedMetadata, FileId, FileStamp, FileTime, Lock, Ownership, Storage, StorageFile};

use super::Fault;

/// A storage over another. A closure is called before each call, on the thread that makes it; where it gives a
/// fault, the call fails.
pub struct HookedStorage<S> {
    storage: Arc<S>,
    watch: Arc<Watch>,
}

type Watch = dyn Fn(&Call<'_>) -> Option<Fault> + Send + Sync;

/// A call that is about to be made.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Which one.
    pub operation: Operation,
    /// The name it is about, where it has one; for a rename the new one.
    pub name: Option<&'a OsStr>,
    /// The open file it is about, where it is about one.
    pub file: Option<FileId>,
}

/// The calls of [`Storage`], of [`StorageFile`], and of a map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "each is the call of that name")]
pub enum Operation {
    Create,
    CreateUnnamed,
    Open,
    IdAt,
    StampAt,
    Rename,
    Remove,
    Sync,
    Id,
    Stamp,
    Len,
    Allocated,
    TryLock,
    ReadAt,
    WriteAt,
    SetLen,
    TakeRoom,
    ForgetCached,
    TakeLikeness,
    GiveMode,
    SyncData,
    SyncAll,
    Link,
    Map,
    /// A write into a map: it cannot fail, and no fault strikes it.
    MapWrite,
}

impl Operation {
    /// Whether the call changes what a power cut may leave.
    pub fn changes(self) -> bool {
        match self {
            Operation::Open
            | Operation::IdAt
            | Operation::StampAt
            | Operation::Id
            | Operation::Stamp
            | Operation::Len
            | Operation::Allocated
            | Operation::TryLock
            | Operation::TakeRoom
            | Operation::ForgetCached
            | Operation::ReadAt => false,
            Operation::Create
            | Operation::CreateUnnamed
            | Operation::Rename
            | Operation::Remove
            | Operation::Sync
            | Operation::WriteAt
            | Operation::SetLen
            | Operation::TakeLikeness
            | Operation::GiveMode
            | Operation::SyncData
            | Operation::SyncAll
            | Operation::Link
            | Operation::Map
            | Operation::MapWrite => true,
        }
    }
}

impl<S: Storage> HookedStorage<S> {
    /// Over `storage`, with the closure that is asked.
    pub fn new(
        storage: Arc<S>,
        watch: impl Fn(&Call<'_>) -> Option<Fault> + Send + Sync + 'static,
    ) -> HookedStorage<S> {
        HookedStorage { storage, watch: Arc::new(watch) }
    }

    fn ask(&self, operation: Operation, name: Option<&OsStr>) -> io::Result<()> {
        done_or_failed((self.watch)(&Call { operation, name, file: None }))
    }

    fn hooked(&self, file: Arc<dyn StorageFile>) -> Arc<dyn StorageFile> {
        Arc::new(HookedFile { id: file.id().ok(), file, watch: self.watch.clone() })
    }
}

impl<S: Storage> fmt::Debug for HookedStorage<S> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Watched").field("storage", &self.storage).finish_non_exhaustive()
    }
}

impl<S: Storage> Storage for HookedStorage<S> {
    fn create(&self, name: &OsStr) -> io::Result<Arc<dyn StorageFile>> {
        self.ask(Operation::Create, Some(name))?;
        Ok(self.hooked(self.storage.create(name)?))
    }

    fn create_unnamed(&self) -> io::Result<Arc<dyn StorageFile>> {
        self.ask(Operation::CreateUnnamed, None)?;
        Ok(self.hooked(self.storage.create_unnamed()?))
    }

    fn open(&self, name: &OsStr) -> io::Result<Option<Arc<dyn StorageFile>>> {
        self.ask(Operation::Open, Some(name))?;
        Ok(self.storage.open(name)?.map(|file| self.hooked(file)))
    }

    fn id_at(&self, name: &OsStr) -> io::Result<Option<FileId>> {
        self.ask(Operation::IdAt, Some(name))?;
        self.storage.id_at(name)
    }

    fn stamp_at(&self, name: &OsStr) -> io::Result<Option<FileStamp>> {
        self.ask(Operation::StampAt, Some(name))?;
        self.storage.stamp_at(name)
    }

    fn rename(&self, from: &OsStr, to: &OsStr, if_exists: IfExists) -> io::Result<()> {
        self.ask(Operation::Rename, Some(to))?;
        self.storage.rename(from, to, if_exists)
    }

    fn remove(&self, name: &OsStr) -> io::Result<()> {
        self.ask(Operation::Remove, Some(name))?;
        self.storage.remove(name)
    }

    fn sync(&self) -> io::Result<()> {
        self.ask(Operation::Sync, None)?;
        self.storage.sync()
    }
}

struct HookedFile {
    file: Arc<dyn StorageFile>,
    id: Option<FileId>,
    watch: Arc<Watch>,
}

impl HookedFile {
    fn fault(&self, operation: Operation, name: Option<&OsStr>) -> Option<Fault> {
        (self.watch)(&Call { operation, name, file: self.id })
    }

    fn ask(&self, operation: Operation) -> io::Result<()> {
        done_or_failed(self.fault(operation, None))
    }

    /// How many bytes of `len` the call is allowed.
    fn allowed(&self, operation: Operation, len: usize) -> io::Result<usize> {
        let fault = self.fault(operation, None);
        done_or_failed(fault)?;
        Ok(if fault == Some(Fault::Short) { len.div_ceil(2) } else { len })
    }
}

impl fmt::Debug for HookedFile {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("WatchedFile").field("file", &self.file).finish_non_exhaustive()
    }
}

impl StorageFile for HookedFile {
    fn id(&self) -> io::Result<FileId> {
        self.ask(Operation::Id)?;
        self.file.id()
    }

    fn stamp(&self) -> io::Result<FileStamp> {
        self.ask(Operation::Stamp)?;
        self.file.stamp()
    }

    fn len(&self) -> io::Result<u64> {
        self.ask(Operation::Len)?;
        self.file.len()
    }

    fn allocated(&self) -> io::Result<u64> {
        self.ask(Operation::Allocated)?;
        self.file.allocated()
    }

    fn try_lock(&self) -> io::Result<Lock> {
        self.ask(Operation::TryLock)?;
        self.file.try_lock()
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let len = self.allowed(Operation::ReadAt, buffer.len())?;
        self.file.read_at(&mut buffer[..len], at)
    }

    fn write_at(&self, data: &[u8], at: u64) -> io::Result<usize> {
        let len = self.allowed(Operation::WriteAt, data.len())?;
        self.file.write_at(&data[..len], at)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.ask(Operation::SetLen)?;
        self.file.set_len(len)
    }

    fn preallocate(&self, len: u64) -> io::Result<()> {
        self.ask(Operation::TakeRoom)?;
        self.file.preallocate(len)
    }

    fn drop_page_cache(&self) -> io::Result<()> {
        self.ask(Operation::ForgetCached)?;
        self.file.drop_page_cache()
    }

    fn copy_metadata_from(&self, target: &OsStr, if_exists: IfExists) -> io::Result<CopiedMetadata> {
        self.ask(Operation::TakeLikeness)?;
        self.file.copy_metadata_from(target, if_exists)
    }

    fn give_mode(&self, mode: u32) -> io::Result<()> {
        self.ask(Operation::GiveMode)?;
        self.file.give_mode(mode)
    }

    fn is_open_to_others(&self) -> io::Result<bool> {
        self.file.is_open_to_others()
    }

    fn ownership(&self) -> io::Result<Ownership> {
        self.file.ownership()
    }

    fn set_modified(&self, modified: FileTime) -> io::Result<()> {
        self.ask(Operation::GiveMode)?;
        self.file.set_modified(modified)
    }

    fn make_private(&self) -> io::Result<()> {
        self.file.make_private()
    }

    fn sync_data(&self) -> io::Result<()> {
        self.ask(Operation::SyncData)?;
        self.file.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.ask(Operation::SyncAll)?;
        self.file.sync_all()
    }

    fn link(&self, name: &OsStr) -> io::Result<()> {
        done_or_failed(self.fault(Operation::Link, Some(name)))?;
        self.file.link(name)
    }

    fn map(&self, len: u64) -> io::Result<Arc<dyn WriteAt>> {
        self.ask(Operation::Map)?;
        let mapping = self.file.map(len)?;
        Ok(Arc::new(HookedMapping { mapping, file: self.id, watch: self.watch.clone() }))
    }
}

struct HookedMapping {
    mapping: Arc<dyn WriteAt>,
    file: Option<FileId>,
    watch: Arc<Watch>,
}

impl WriteAt for HookedMapping {
    fn write_all_at(&self, at: u64, data: &[u8]) -> io::Result<()> {
        (self.watch)(&Call { operation: Operation::MapWrite, name: None, file: self.file });
        self.mapping.write_all_at(at, data)
    }
}

fn done_or_failed(fault: Option<Fault>) -> io::Result<()> {
    fault.and_then(Fault::error).map_or(Ok(()), Err)
}
