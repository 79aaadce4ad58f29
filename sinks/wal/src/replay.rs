//! What a finished log is replayed into: a file that cannot be swapped, or a block device.
//! Knows no log: it takes bytes at offsets, again and again if need be.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    fs::File,
    io::{self, Seek, SeekFrom},
    os::unix::fs::FileExt,
    path::Path,
    sync::Arc,
};

use cofferdam_io::{Patience, retried};
use rustix::{
    fs::{CWD, FileType, Mode, OFlags, fstat, openat},
    io::Errno,
    process::{Resource, getrlimit},
};
use storage::{Storage, StorageFile, Writeback};

use super::path_to;

/// Takes a stream that has been decided: all of it is in the log, and a replay that breaks off is begun again from the
/// start. So every step may be repeated, and none may ask what is there.
pub trait ReplayTarget: Send {
    /// Whether a stream of `len` bytes can go there. It changes no byte, and is asked before the stream is decided.
    ///
    /// # Errors
    /// It cannot, and why.
    fn check(&self, len: u64) -> io::Result<()>;

    /// Writes all of `data` as the bytes of the target from `at` on.
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
#[derive(Debug)]
pub struct DeviceTarget {
    device: File,
    len: u64,
}

impl DeviceTarget {
    /// Opens the device at `path`, for this process alone: one that is mounted, or otherwise in use, is refused.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`]: it is no block device. [`io::ErrorKind::ResourceBusy`]: it is in use. The system's
    /// own.
    pub fn open(path: impl AsRef<Path>) -> io::Result<DeviceTarget> {
        let path = path.as_ref();
        // open(2): on a block device, O_EXCL without O_CREAT refuses one that is mounted.
        let flags = OFlags::RDWR | OFlags::EXCL | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let refused = |kind, why: &str| io::Error::new(kind, format!("{}: {why}", path.display()));
        let device = match retried(|| openat(CWD, path, flags, Mode::empty())) {
            Ok(device) => device,
            Err(Errno::BUSY) => {
                return Err(refused(io::ErrorKind::ResourceBusy, "the device is in use; unmount it first"));
            }
            Err(error) => return Err(error.into()),
        };
        if FileType::from_raw_mode(fstat(&device)?.st_mode) != FileType::BlockDevice {
            return Err(refused(io::ErrorKind::InvalidInput, "this is not a block device"));
        }
        let mut device = File::from(device);
        let len = device.seek(SeekFrom::End(0))?;
        Ok(DeviceTarget { device, len })
    }

    /// Bytes that it has room for.
    pub fn device_len(&self) -> u64 {
        self.len
    }
}

impl ReplayTarget for DeviceTarget {
    fn check(&self, len: u64) -> io::Result<()> {
        if len <= self.len {
            return Ok(());
        }
        let message = format!("the device has {} bytes, and the stream {len}; name a larger one", self.len);
        Err(io::Error::new(io::ErrorKind::StorageFull, message))
    }

    fn write_at(&mut self, at: u64, data: &[u8]) -> io::Result<()> {
        let (mut rest, mut at, mut patience) = (data, at, Patience::default());
        while !rest.is_empty() {
            match self.device.write_at(rest, at) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    rest = &rest[count..];
                    at += count as u64;
                    patience.renew();
                }
                Err(error) => patience.endure(error)?,
            }
        }
        Ok(())
    }

    fn finish(&mut self, _len: u64) -> io::Result<()> {
        self.device.sync_all()
    }
}
