//! A sink that writes through a map of an unnamed file and links that in at publish.
//! Knows nothing of what the bytes mean, and has no progress that outlives it.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(target_os = "linux")]
mod region;

use std::{
    ffi::{OsStr, OsString},
    fmt,
    fs::File,
    io,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::Path,
    sync::Arc,
};

use parking_lot::Mutex;

use contract::{
    Checkpoint, CommitError, IfExists, SinkCapabilities, StreamingSink, SyncTo, Visibility, WriteAt,
    cursor::Cursor, written::WrittenRanges,
};
use storage::{
    CopiedMetadata, Disk, Lock, StageOptions, Storage, StorageFile, TargetDir, TargetError, free_space,
    is_refusal,
};

#[cfg(target_os = "linux")]
use self::region::Region;

/// A file that is written through a memory map and becomes the target as a whole, or not at all. Its class is *atomic*.
///
/// Until publish it has no name: whatever happens, nothing of it remains. All of its space is allocated at the start,
/// so the stream's length must be known, and a full file system is an error at creation. At publish it gets its exact
/// length, mode and owner, as a `StagedFile` does, is synced, and gets the target's name; where it replaces a file,
/// by way of `.NAME.cofferdam-mapped`, because a link cannot replace. A crash between the two leaves that name, which
/// the next writer of the same target removes.
///
/// Threads that write different parts do not wait for each other, as they do for the one file that they write(2) to.
/// What does not scale is allocation and unmapping: on tmpfs these alone take as long as a staged file does for
/// everything. Measure before you choose it (`bench/benches/mapped.rs`); two processors are too few.
///
/// It cannot resume, nothing is durable before publish, and writers of the same target do not exclude each other: each
/// publishes a whole file, and with [`IfExists::Refuse`] the second one is told that the target exists.
///
/// Linux 5.14 or newer, on tmpfs, ext4 or XFS; elsewhere creation answers [`io::ErrorKind::Unsupported`]. A disk that
/// fails to read back a page that it took moments before, under memory pressure, still ends the process with SIGBUS.
pub struct MappedFile {
    storage: Arc<dyn Storage>,
    /// Gone after publish or discard.
    file: Option<Arc<dyn StorageFile>>,
    shared: Arc<Shared>,
    name: OsString,
    if_exists: IfExists,
    /// The target's real directory, where it is one.
    target_dir: Option<TargetDir>,
    cursor: Cursor,
}

impl MappedFile {
    /// Resolves `target`, refuses what could not be published to, and takes the room.
    ///
    /// # Errors
    /// Everything about the target that would fail at the end, and can be seen at the start; no room; a length that is not
    /// known: see [`TargetError`].
    pub fn create(target: impl AsRef<Path>, options: &StageOptions) -> Result<Self, TargetError> {
        let target = target.as_ref();
        let target_dir = TargetDir::resolve(target, options.if_exists)?;
        target_dir.check()?;
        let Some(len) = options.expected_len else {
            return Err(TargetError::LengthUnknown { path: target_dir.path().into() });
        };
        free_space::check(&target_dir, len, 0)?;
        let disk = target_dir.disk().expect("a path leads to a real directory").clone();
        match Self::on(Arc::new(with_maps(disk)), &target_dir.name, options.if_exists, len) {
            Ok(mut sink) => {
                sink.target_dir = Some(target_dir);
                Ok(sink)
            }
            Err(error) => Err(refusal(&target_dir, len, error)),
        }
    }

    /// A sink of at most `len` bytes for the target `name` in `storage`.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] where there are no unnamed files or no maps; [`io::ErrorKind::StorageFull`];
    /// [`io::ErrorKind::ResourceBusy`] while another writer is publishing; the medium's own.
    pub fn on(storage: Arc<dyn Storage>, name: &OsStr, if_exists: IfExists, len: u64) -> io::Result<Self> {
        remove_stale(&*storage, &linked_name(name))?;
        let file = storage.create_unnamed()?;
        // Whoever finds it under its passing name sees that it is not stale.
        file.try_lock()?;
        let mapping = file.map(len)?;
        let shared = Shared {
            writing: Mutex::new(Writing { written: WrittenRanges::new(len), mapping: Some(mapping) }),
        };
        let (file, shared) = (Some(file), Arc::new(shared));
        Ok(Self {
            storage,
            file,
            shared,
            name: name.into(),
            if_exists,
            target_dir: None,
            cursor: Cursor::default(),
        })
    }

    /// Everything that is done to the file while it has no name. fsync(2) takes what was stored through a shared map as
    /// well: since Linux 2.6.19 a store makes its page dirty when it is made writable, and each page that was written back
    /// is made read-only again.
    fn finish(&self, file: &dyn StorageFile, len: u64) -> io::Result<()> {
        file.set_len(len)?;
        if let CopiedMetadata::New { mode } = file.copy_metadata_from(&self.name, self.if_exists)? {
            // Nobody can see it yet.
            file.give_mode(mode).or_else(|error| if is_refusal(&error) { Ok(()) } else { Err(error) })?;
        }
        // Once: after a failed sync a second one can succeed over lost data.
        file.sync_all()
    }

    /// Gives the file the target's name. After `Ok`, and only then, the target is new.
    fn put(&self, file: &dyn StorageFile) -> Result<(), CommitError> {
        let done = match self.if_exists {
            IfExists::Refuse => file.link(&self.name),
            IfExists::Replace => self.replace(file),
        };
        done.map_err(|error| {
            // A file system behind a network can do a link or a rename and lose the reply.
            let (ours, there) = (file.id().ok(), self.storage.id_at(&self.name).ok().flatten());
            match ours.is_some() && ours == there {
                true => CommitError::Unknown(error),
                false => CommitError::NotCommitted(error),
            }
        })
    }

    /// The target is there: it is made durable, and looked at. The directory's sync alone is not enough: XFS that has shut
    /// down says yes to it, and no to the file's.
    fn settle(&self, file: &dyn StorageFile) -> io::Result<()> {
        file.sync_all()?;
        self.storage.sync()?;
        match &self.target_dir {
            Some(target_dir) => target_dir.check_put(file.id()?).and_then(|()| target_dir.check_path()),
            None => Ok(()),
        }
    }

    fn replace(&self, file: &dyn StorageFile) -> io::Result<()> {
        let passing = linked_name(&self.name);
        // Another writer may have crashed there since this one began.
        remove_stale(&*self.storage, &passing)?;
        file.link(&passing)?;
        self.storage.rename(&passing, &self.name, IfExists::Replace).inspect_err(|_| {
            // The next writer removes it as well.
            let _ = self.storage.remove(&passing);
        })
    }
}

impl StreamingSink for MappedFile {
    fn capabilities(&self) -> SinkCapabilities {
        SinkCapabilities::new(Visibility::Private)
    }

    fn last_commit(&mut self) -> io::Result<Option<Checkpoint>> {
        Ok(None)
    }

    fn begin_segment(&mut self, index: u64, at: u64) -> io::Result<()> {
        self.cursor.begin(index, at)
    }

    fn write_tentative(&mut self, at: u64, data: &[u8]) -> io::Result<()> {
        self.cursor.write(at, data.len())?;
        self.shared.write_all_at(at, data)
    }

    fn rollback_segment(&mut self) -> io::Result<()> {
        let start = self.cursor.roll_back()?;
        self.shared.writing.lock().written.cut(start);
        Ok(())
    }

    fn commit_segment(&mut self, _mark: &Checkpoint) -> Result<(), CommitError> {
        self.shared.writing.lock().written.check_live().map_err(CommitError::NotCommitted)?;
        self.cursor.commit();
        Ok(())
    }

    fn publish(&mut self, plain_len: u64) -> Result<(), CommitError> {
        self.cursor.check_closed().map_err(CommitError::NotCommitted)?;
        self.shared.writing.lock().written.check_complete(plain_len).map_err(CommitError::NotCommitted)?;
        // Whatever fails from here on, nothing more is written and the sync is not tried again.
        self.shared.close();
        let gone = || CommitError::NotCommitted(io::Error::other("the sink was published or discarded"));
        let file = self.file.take().ok_or_else(gone)?;
        self.finish(&*file, plain_len).map_err(CommitError::NotCommitted)?;
        self.put(&*file)?;
        self.settle(&*file).map_err(CommitError::Unknown)
    }

    fn discard(&mut self) -> io::Result<()> {
        self.shared.close();
        self.file = None;
        Ok(())
    }

    fn positioned(&self) -> Option<Arc<dyn WriteAt>> {
        Some(self.shared.clone())
    }

    fn durability(&self) -> Option<Arc<dyn SyncTo>> {
        None
    }
}

impl Drop for MappedFile {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl fmt::Debug for MappedFile {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("MappedFile").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What writers on other threads share with the sink.
struct Shared {
    writing: Mutex<Writing>,
}

struct Writing {
    written: WrittenRanges,
    /// Gone when the ledger is closed: a handle that stays behind holds no room.
    mapping: Option<Arc<dyn WriteAt>>,
}

impl Shared {
    fn close(&self) {
        let mut writing = self.writing.lock();
        writing.written.close();
        writing.mapping = None;
    }

    /// The map, for bytes that may be written.
    fn claim(&self, at: u64, len: usize) -> io::Result<Arc<dyn WriteAt>> {
        let mut writing = self.writing.lock();
        writing.written.claim(at, len)?;
        writing.mapping.clone().ok_or_else(|| io::Error::other("the file is no longer mapped"))
    }
}

impl WriteAt for Shared {
    fn write_all_at(&self, at: u64, data: &[u8]) -> io::Result<()> {
        let mapping = self.claim(at, data.len())?;
        mapping.write_all_at(at, data).inspect_err(|error| self.writing.lock().written.fail_for(error))
    }
}

/// The same directory, with files that can be mapped: what [`MappedFile::on`] needs of a real one.
pub fn with_maps(disk: Disk) -> Disk {
    disk.with_maps(map)
}

#[cfg(target_os = "linux")]
fn map(file: &File, len: u64) -> io::Result<Arc<dyn WriteAt>> {
    Ok(Arc::new(Region::new(file, len)?))
}

#[cfg(not(target_os = "linux"))]
fn map(_file: &File, _len: u64) -> io::Result<Arc<dyn WriteAt>> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "files are mapped on Linux alone"))
}

/// Removes what a crash left under the passing name of a target.
fn remove_stale(storage: &dyn Storage, passing: &OsStr) -> io::Result<()> {
    let Some(file) = storage.open(passing)? else { return Ok(()) };
    if file.try_lock()? == Lock::Held {
        return Err(io::ErrorKind::ResourceBusy.into());
    }
    match storage.id_at(passing)? == Some(file.id()?) {
        true => storage.remove(passing),
        false => Ok(()),
    }
}

/// `.NAME.cofferdam-mapped`, of a long name its beginning. Two long names may share one: then of two publishes at once
/// one fails.
fn linked_name(target: &OsStr) -> OsString {
    let free_space = NAME_LEN_MAX - PREFIX.len() - SUFFIX.len();
    let head = target.as_bytes();
    // Names need not be UTF-8, but some file systems insist: no sequence is cut.
    let starts = |at: &usize| head.get(*at).is_none_or(|byte| byte & 0b1100_0000 != 0b1000_0000);
    let end = (0..=free_space.min(head.len())).rev().find(starts).unwrap_or(0);
    OsString::from_vec([PREFIX, &head[..end], SUFFIX].concat())
}

/// Why the sink could not be made, as a caller who named a path wants to hear it.
fn refusal(target_dir: &TargetDir, needed: u64, error: io::Error) -> TargetError {
    let directory = target_dir.directory_path();
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            TargetError::NoRoom { directory, needed, free: None }
        }
        io::ErrorKind::FileTooLarge => TargetError::TooLarge { path: target_dir.path().into(), needed },
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            TargetError::NotWritable { directory, source: error }
        }
        io::ErrorKind::ResourceBusy => TargetError::Held {
            path: target_dir.path().into(),
            staging: target_dir.sibling(&linked_name(&target_dir.name)),
        },
        _ => TargetError::io(&directory, "map a file in", error),
    }
}

const PREFIX: &[u8] = b".";
const SUFFIX: &[u8] = b".cofferdam-mapped";
/// Bytes of a name that every file system of note takes.
const NAME_LEN_MAX: usize = 255;

#[cfg(test)]
mod tests;
