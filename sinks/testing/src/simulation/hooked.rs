//! A storage that asks before each call: to look at the disk at that moment, to record, or to make the call fail.
//! Knows neither disks nor plans. The tests of sinks need no other storage that fails.

use std::{ffi::OsStr, fmt, io, sync::Arc};

use contract::{IfExists, WriteAt};
use storage::{CopiedMetadata, FileId, FileStamp, FileTime, Lock, Ownership, Seed, Storage, StorageFile};

use super::Fault;

/// A storage over another. A closure is called before each call, on the thread that makes it; where it gives a
/// fault, the call fails.
pub struct HookedStorage<S> {
    storage: Arc<S>,
    hook: Hook,
}

/// What the files of a storage share with it.
#[derive(Clone)]
struct Hook {
    watch: Arc<Watch>,
    /// The user whom all files belong to, if not to those who own them.
    owner: Option<u32>,
    /// Whether they share what they have of a seed.
    shares: bool,
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
    /// Where it reads, writes, or starts writeback.
    pub at: u64,
    /// How many bytes it is about; a length that it sets.
    pub len: u64,
}

impl<'a> Call<'a> {
    fn new(operation: Operation) -> Call<'a> {
        Call { operation, name: None, file: None, at: 0, len: 0 }
    }
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
    Ownership,
    IsOpenToOthers,
    TryLock,
    ReadAt,
    WriteAt,
    BeginWriteback,
    SetLen,
    Preallocate,
    DropPageCache,
    CopyMetadata,
    SetModified,
    GiveMode,
    MakePrivate,
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
            | Operation::Ownership
            | Operation::IsOpenToOthers
            | Operation::BeginWriteback
            | Operation::TryLock
            | Operation::Preallocate
            | Operation::DropPageCache
            | Operation::ReadAt => false,
            Operation::Create
            | Operation::CreateUnnamed
            | Operation::Rename
            | Operation::Remove
            | Operation::Sync
            | Operation::WriteAt
            | Operation::SetLen
            | Operation::CopyMetadata
            | Operation::SetModified
            | Operation::GiveMode
            | Operation::MakePrivate
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
        HookedStorage { storage, hook: Hook { watch: Arc::new(watch), owner: None, shares: false } }
    }

    /// The same, where every file is this user's, as on a server that gives all files to one.
    #[must_use]
    pub fn owned_by(mut self, owner: u32) -> HookedStorage<S> {
        self.hook.owner = Some(owner);
        self
    }

    /// The same, where files share what they have of a seed, as on XFS: by a copy, and in short pieces.
    #[must_use]
    pub fn sharing(mut self) -> HookedStorage<S> {
        self.hook.shares = true;
        self
    }

    fn ask(&self, operation: Operation, name: Option<&OsStr>) -> io::Result<()> {
        done_or_failed((self.hook.watch)(&Call { name, ..Call::new(operation) }))
    }

    fn hooked(&self, file: Arc<dyn StorageFile>) -> Arc<dyn StorageFile> {
        Arc::new(HookedFile { id: file.id().ok(), file, hook: self.hook.clone() })
    }
}

impl<S: Storage> fmt::Debug for HookedStorage<S> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("HookedStorage").field("storage", &self.storage).finish_non_exhaustive()
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
        sync_or_not((self.hook.watch)(&Call::new(Operation::Sync)), || self.storage.sync())
    }
}

struct HookedFile {
    file: Arc<dyn StorageFile>,
    id: Option<FileId>,
    hook: Hook,
}

impl HookedFile {
    fn fault(&self, call: Call<'_>) -> Option<Fault> {
        (self.hook.watch)(&Call { file: self.id, ..call })
    }

    fn ask(&self, operation: Operation) -> io::Result<()> {
        done_or_failed(self.fault(Call::new(operation)))
    }

    /// How many bytes of `len` the call is allowed.
    fn allowed(&self, operation: Operation, at: u64, len: usize) -> io::Result<usize> {
        let fault = self.fault(Call { at, len: len as u64, ..Call::new(operation) });
        done_or_failed(fault)?;
        Ok(if fault == Some(Fault::Short) { len.div_ceil(2) } else { len })
    }
}

impl fmt::Debug for HookedFile {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("HookedFile").field("file", &self.file).finish_non_exhaustive()
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
        let len = self.allowed(Operation::ReadAt, at, buffer.len())?;
        self.file.read_at(&mut buffer[..len], at)
    }

    fn write_at(&self, data: &[u8], at: u64) -> io::Result<usize> {
        let len = self.allowed(Operation::WriteAt, at, data.len())?;
        self.file.write_at(&data[..len], at)
    }

    fn may_share(&self, _seed: &Seed) -> bool {
        self.hook.shares
    }

    fn clone_range(&self, seed: &Seed, from: u64, at: u64, len: u64) -> io::Result<u64> {
        let mut bytes = vec![0; len.min(SHARED_LEN_MAX) as usize];
        seed.read_exact_at(&mut bytes, from)?;
        Ok(self.write_at(&bytes, at)? as u64)
    }

    fn begin_writeback(&self, at: u64, len: u64) {
        // It reports nothing, so that a fault of it is none.
        self.fault(Call { at, len, ..Call::new(Operation::BeginWriteback) });
        self.file.begin_writeback(at, len);
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        done_or_failed(self.fault(Call { len, ..Call::new(Operation::SetLen) }))?;
        self.file.set_len(len)
    }

    fn preallocate(&self, len: u64) -> io::Result<()> {
        done_or_failed(self.fault(Call { len, ..Call::new(Operation::Preallocate) }))?;
        self.file.preallocate(len)
    }

    fn drop_page_cache(&self) -> io::Result<()> {
        self.ask(Operation::DropPageCache)?;
        self.file.drop_page_cache()
    }

    fn copy_metadata_from(&self, target: &OsStr, if_exists: IfExists) -> io::Result<CopiedMetadata> {
        self.ask(Operation::CopyMetadata)?;
        self.file.copy_metadata_from(target, if_exists)
    }

    fn give_mode(&self, mode: u32) -> io::Result<()> {
        self.ask(Operation::GiveMode)?;
        self.file.give_mode(mode)
    }

    fn is_open_to_others(&self) -> io::Result<bool> {
        self.ask(Operation::IsOpenToOthers)?;
        self.file.is_open_to_others()
    }

    fn ownership(&self) -> io::Result<Ownership> {
        self.ask(Operation::Ownership)?;
        match self.hook.owner {
            Some(owner) => Ok(Ownership::SomeoneElses { owner }),
            None => self.file.ownership(),
        }
    }

    fn set_modified(&self, modified: FileTime) -> io::Result<()> {
        self.ask(Operation::SetModified)?;
        self.file.set_modified(modified)
    }

    fn make_private(&self) -> io::Result<()> {
        self.ask(Operation::MakePrivate)?;
        self.file.make_private()
    }

    fn sync_data(&self) -> io::Result<()> {
        sync_or_not(self.fault(Call::new(Operation::SyncData)), || self.file.sync_data())
    }

    fn sync_all(&self) -> io::Result<()> {
        sync_or_not(self.fault(Call::new(Operation::SyncAll)), || self.file.sync_all())
    }

    fn link(&self, name: &OsStr) -> io::Result<()> {
        done_or_failed(self.fault(Call { name: Some(name), ..Call::new(Operation::Link) }))?;
        self.file.link(name)
    }

    fn map(&self, len: u64) -> io::Result<Arc<dyn WriteAt>> {
        done_or_failed(self.fault(Call { len, ..Call::new(Operation::Map) }))?;
        let mapping = self.file.map(len)?;
        Ok(Arc::new(HookedMapping { mapping, file: self.id, watch: self.hook.watch.clone() }))
    }
}

struct HookedMapping {
    mapping: Arc<dyn WriteAt>,
    file: Option<FileId>,
    watch: Arc<Watch>,
}

impl WriteAt for HookedMapping {
    fn write_all_at(&self, at: u64, data: &[u8]) -> io::Result<()> {
        let call = Call { file: self.file, at, len: data.len() as u64, ..Call::new(Operation::MapWrite) };
        (self.watch)(&call);
        self.mapping.write_all_at(at, data)
    }
}

fn done_or_failed(fault: Option<Fault>) -> io::Result<()> {
    fault.and_then(Fault::error).map_or(Ok(()), Err)
}

fn sync_or_not(fault: Option<Fault>, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    done_or_failed(fault)?;
    if fault == Some(Fault::NotSynced) { Ok(()) } else { sync() }
}

/// What is shared at once, in bytes.
const SHARED_LEN_MAX: u64 = 1000;
