//! What a finished log is replayed into: a file that cannot be swapped, or a block device.
//! Knows no log: it takes bytes at offsets, again and again if need be.

use std::{
    ffi::{OsStr, OsString},
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::process::{Resource, getrlimit};
use storage::{BlockDevice, Storage, StorageFile, TargetError, Writeback};

use super::path_to;

/// Takes a stream that has been decided: all of it is in the log, and a replay that breaks off is begun again from the
/// start. So every step may be repeated, and none may ask what is there.
pub trait ReplayTarget: Send {
    /// Whether a stream of `len` bytes can go there. It changes no byte, and is asked before the stream is decided.
    ///
    /// # Errors
    /// It cannot, and why.
    fn check(&self, len: u64) -> io::Result<()>;

    /// Bytes beyond which [`check`](Self::check) refuses every stream, where that is known and cheap to ask.
    fn len_max(&self) -> Option<u64> {
        None
    }

    /// Takes all of `data` as the bytes of the target from `at` on.
    ///
    /// # Errors
    /// The medium's own.
    fn write_at(&mut self, at: u64, data: &[u8]) -> io::Result<()>;

    /// All `len` bytes are there: makes them the target's contents, and durable.
    ///
    /// # Errors
    /// The medium's own. No sync is tried again.
    fn finish(&mut self, len: u64) -> io::Result<()>;
}

/// A regular file that is written in place: one that others hold open, or in whose directory nothing can be renamed.
/// Where a file can be swapped, or there is none yet, a staged file is better: that is never a mixture.
///
/// It keeps its inode, mode and owner, and gets exactly the stream's length.
pub struct FileTarget {
    storage: Arc<dyn Storage>,
    name: OsString,
    file: Option<Arc<dyn StorageFile>>,
    writeback: Writeback,
}

impl FileTarget {
    /// The file at `name`. It is looked for at [`check`](ReplayTarget::check), and opened when it is written.
    pub fn new(storage: Arc<dyn Storage>, name: &OsStr) -> FileTarget {
        FileTarget { storage, name: name.into(), file: None, writeback: Writeback::default() }
    }

    /// As [`FileTarget::new`], by its path.
    ///
    /// # Errors
    /// There is no such directory.
    pub fn open_path(path: impl AsRef<Path>) -> io::Result<FileTarget> {
        let path = path.as_ref();
        let (storage, name) = path_to(path)?;
        Ok(FileTarget::new(storage, &name))
    }

    fn open(&self) -> io::Result<Arc<dyn StorageFile>> {
        self.storage.open(&self.name)?.ok_or_else(|| {
            let message =
                "the target is not there; a file that is new is better staged than written in place";
            io::Error::new(io::ErrorKind::NotFound, message)
        })
    }

    fn file(&mut self) -> io::Result<&Arc<dyn StorageFile>> {
        let file = match self.file.take() {
            Some(file) => file,
            None => self.open()?,
        };
        Ok(self.file.insert(file))
    }
}

impl ReplayTarget for FileTarget {
    /// Room is taken as well, where that costs next to nothing: what is found missing later leaves a mixture until it is
    /// there.
    fn check(&self, len: u64) -> io::Result<()> {
        // Beyond this limit a write is a signal, not an error.
        let limit = getrlimit(Resource::Fsize).current.unwrap_or(u64::MAX).min(i64::MAX as u64);
        if len > limit {
            let message = format!("no file of {len} bytes can be made here; the limit is {limit}");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
        }
        self.open()?.preallocate(len)
    }

    fn write_at(&mut self, at: u64, data: &[u8]) -> io::Result<()> {
        let file = self.file()?.clone();
        file.write_all_at(data, at)?;
        self.writeback.follow(&*file, at + data.len() as u64);
        Ok(())
    }

    fn finish(&mut self, len: u64) -> io::Result<()> {
        let file = self.file()?;
        file.set_len(len)?;
        file.sync_all()?;
        self.storage.sync()
    }
}

impl fmt::Debug for FileTarget {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("FileTarget").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A block device. What lies after the stream's end on it stays as it is.
///
/// It is written in order, in pieces of [`WRITE_LEN`](Self::WRITE_LEN) that begin at multiples of that length.
#[derive(Debug)]
pub struct DeviceTarget {
    device: Arc<dyn StorageFile>,
    len: u64,
    path: PathBuf,
    /// Bytes that have not been written yet, and where they belong.
    pending: Vec<u8>,
    pending_at: u64,
    writeback: Writeback,
}

impl DeviceTarget {
    /// Bytes that are written at once.
    pub const WRITE_LEN: usize = 1 << 20;

    /// Opens the device at `path`, for this process alone.
    ///
    /// # Errors
    /// As [`BlockDevice::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<DeviceTarget, TargetError> {
        Ok(DeviceTarget::of(&BlockDevice::open(path.as_ref())?))
    }

    /// A device that is open already.
    pub fn of(device: &BlockDevice) -> DeviceTarget {
        DeviceTarget { path: device.path().into(), ..DeviceTarget::over(device.file().clone(), device.len()) }
    }

    /// A file that stands for a device, in a test for instance: `len` bytes, no more and no fewer.
    pub fn over(device: Arc<dyn StorageFile>, len: u64) -> DeviceTarget {
        DeviceTarget {
            device,
            len,
            path: "the device".into(),
            pending: Vec::new(),
            pending_at: 0,
            writeback: Writeback::default(),
        }
    }

    /// Bytes that it has room for.
    pub fn device_len(&self) -> u64 {
        self.len
    }

    fn flush(&mut self) -> io::Result<()> {
        let end = self.pending_at + self.pending.len() as u64;
        self.device.write_all_at(&self.pending, self.pending_at)?;
        self.writeback.follow(&*self.device, end);
        self.pending.clear();
        self.pending_at = end;
        Ok(())
    }
}

impl ReplayTarget for DeviceTarget {
    fn check(&self, len: u64) -> io::Result<()> {
        if len <= self.len {
            return Ok(());
        }
        let refused = TargetError::DeviceTooSmall { path: self.path.clone(), needed: len, len: self.len };
        Err(io::Error::new(io::ErrorKind::StorageFull, refused))
    }

    fn len_max(&self) -> Option<u64> {
        Some(self.len)
    }

    fn write_at(&mut self, at: u64, data: &[u8]) -> io::Result<()> {
        if self.pending_at + self.pending.len() as u64 != at {
            self.flush()?;
            self.pending_at = at;
        }
        let mut rest = data;
        while !rest.is_empty() {
            let end = self.pending_at + self.pending.len() as u64;
            let room = Self::WRITE_LEN - (end % Self::WRITE_LEN as u64) as usize;
            let (piece, after) = rest.split_at(room.min(rest.len()));
            self.pending.extend_from_slice(piece);
            if piece.len() == room {
                self.flush()?;
            }
            rest = after;
        }
        Ok(())
    }

    fn finish(&mut self, _len: u64) -> io::Result<()> {
        self.flush()?;
        self.device.sync_all()
    }
}
