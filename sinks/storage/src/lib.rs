//! The seam under every sink that keeps files: one directory, as far as sinks use it, and what a target in one may be.
//! Knows no sink. Behind it stand the real directory, the simulated disk and a wrapper that makes calls fail.
//!
//! What a crash leaves follows from what was synced, and only from that:
//!
//! - bytes and length of a file are durable after [`StorageFile::sync_data`] or [`StorageFile::sync_all`];
//! - mode, owner and attributes after [`StorageFile::sync_all`];
//! - names after [`Storage::sync`].
//!
//! Everything else may be lost, in any combination; a write may be torn at any multiple of [`SECTOR_LEN`]. After a
//! failed sync what was written before it is lost or not: no sync is ever tried again.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod access_list;
mod byte_count;
mod copy_metadata;
mod device;
mod disk;
pub mod free_space;
mod misplaced;
pub mod names;
mod options;
pub mod sector;
mod seed;
mod stamp;
mod target;
mod target_dir;
mod writeback;

use std::{ffi::OsStr, fmt, fs::File, io, sync::Arc};

pub use access_list::{ACCESS_LIST, mode_without_list};
pub use byte_count::ByteCount;
pub use copy_metadata::is_refusal;
pub use device::BlockDevice;
pub use disk::{Disk, MapFile};
pub use misplaced::Misplaced;
pub use options::{OnPartial, Room, Sparse, StageOptions};
pub use seed::{Seed, SeedError};
pub use target::{JournalProblem, TargetError, TargetKind, classify};
pub use target_dir::TargetDir;
pub use writeback::Writeback;

use cofferdam_io::{Patience, WriteAt};
use contract::IfExists;

/// A directory, as far as sinks use it. Names are single components.
pub trait Storage: Send + Sync + fmt::Debug {
    /// Makes a file under a name that must be free. Its owner alone may read it.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`], or the medium's own.
    fn create(&self, name: &OsStr) -> io::Result<Arc<dyn StorageFile>>;

    /// Makes a file without a name, for [`StorageFile::link`]. It is gone when it is dropped unlinked.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] where the file system has no such files, or the medium's own.
    fn create_unnamed(&self) -> io::Result<Arc<dyn StorageFile>>;

    /// Opens the file at `name` to read and write; `None` where nothing stands there.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] where something other than a regular file stands there; the medium's own.
    fn open(&self, name: &OsStr) -> io::Result<Option<Arc<dyn StorageFile>>>;

    /// Which file stands at `name`, links not followed.
    ///
    /// # Errors
    /// The medium's own.
    fn id_at(&self, name: &OsStr) -> io::Result<Option<FileId>>;

    /// What tells the file at `name` from others after a restart, links not followed.
    ///
    /// # Errors
    /// The medium's own.
    fn stamp_at(&self, name: &OsStr) -> io::Result<Option<FileStamp>>;

    /// Gives what stands at `from` the name `to`, and takes the old one away. With [`IfExists::Refuse`] nothing may stand
    /// at `to`; with [`IfExists::Replace`] it is replaced in one step. Where the file system cannot rename without
    /// replacing, it may leave both names on the file.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`], or the medium's own.
    fn rename(&self, from: &OsStr, to: &OsStr, if_exists: IfExists) -> io::Result<()>;

    /// Takes a name away. A name that is not there is an error.
    ///
    /// # Errors
    /// The medium's own.
    fn remove(&self, name: &OsStr) -> io::Result<()>;

    /// Makes all names durable.
    ///
    /// # Errors
    /// The medium's own. It is final.
    fn sync(&self) -> io::Result<()>;
}

/// An open file. Reads and writes come from any thread, over ranges that do not overlap.
#[allow(clippy::len_without_is_empty, reason = "nobody asks whether it is empty")]
pub trait StorageFile: Send + Sync + fmt::Debug {
    /// Which file it is, whatever its names.
    ///
    /// # Errors
    /// The medium's own.
    fn id(&self) -> io::Result<FileId>;

    /// What tells it from other files after a restart. It stays as it is until the file is written again or cut.
    ///
    /// # Errors
    /// The medium's own.
    fn stamp(&self) -> io::Result<FileStamp>;

    /// Its length in bytes.
    ///
    /// # Errors
    /// The medium's own.
    fn len(&self) -> io::Result<u64>;

    /// Bytes of the medium that it has already.
    ///
    /// # Errors
    /// The medium's own.
    fn allocated(&self) -> io::Result<u64>;

    /// Whether it is this process's alone to write: see [`Ownership`]. A medium without users says that it is.
    ///
    /// # Errors
    /// The medium's own.
    fn ownership(&self) -> io::Result<Ownership> {
        Ok(Ownership::Ours)
    }

    /// Whether others than its owner may read or write it. A medium without users says that they may not.
    ///
    /// # Errors
    /// The medium's own.
    fn is_open_to_others(&self) -> io::Result<bool> {
        Ok(false)
    }

    /// Takes the exclusive lock that goes with the open file and ends with it.
    ///
    /// # Errors
    /// The medium's own.
    fn try_lock(&self) -> io::Result<Lock>;

    /// Reads up to `buffer.len()` bytes at `at`; 0 at the end.
    ///
    /// # Errors
    /// The medium's own; [`io::ErrorKind::Interrupted`] to be called again.
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize>;

    /// Writes some of `data` at `at`, at least a byte of it.
    ///
    /// # Errors
    /// The medium's own; [`io::ErrorKind::Interrupted`] to be called again.
    fn write_at(&self, data: &[u8], at: u64) -> io::Result<usize>;

    /// Takes some of the `len` bytes at `from` in `seed`, at least one of them, over to `at`, by the medium's own means: sharing the
    /// room where it can, or by a copy that passes no memory of this process. 0: it has none, as by default, or the seed
    /// ends there.
    ///
    /// # Errors
    /// The medium's own, or the seed's: it is not known whose. Nothing is final about it.
    fn clone_range(&self, _seed: &Seed, _from: u64, _at: u64, _len: u64) -> io::Result<u64> {
        Ok(0)
    }

    /// Whether [`clone_range`](Self::clone_range) from `seed` may share the room, or keep the bytes off a network. Where it would do no
    /// more than read and write, as by default, whoever needs the bytes anyway does that better.
    fn may_share(&self, _seed: &Seed) -> bool {
        false
    }

    /// Starts writeback of bytes that were written, so that a later sync finds less to do. It promises nothing; a
    /// medium without writeback does nothing. Pages that are already on the medium may be dropped from memory, so do
    /// not call it for bytes that were synced.
    fn begin_writeback(&self, _at: u64, _len: u64) {}

    /// Cuts it, or adds zeros.
    ///
    /// # Errors
    /// The medium's own.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Preallocates `len` bytes if that is cheap, and otherwise does nothing. The length does not change, so
    /// preallocated space never looks like data.
    ///
    /// # Errors
    /// [`io::ErrorKind::StorageFull`], [`io::ErrorKind::QuotaExceeded`], [`io::ErrorKind::FileTooLarge`]; the medium's own.
    fn preallocate(&self, _len: u64) -> io::Result<()> {
        Ok(())
    }

    /// Drops clean pages of the file from the page cache, so that reads show what the medium has. After a failed sync
    /// the two can differ, and no later sync reports it. A medium without a page cache does nothing.
    ///
    /// # Errors
    /// The medium's own.
    fn drop_page_cache(&self) -> io::Result<()> {
        Ok(())
    }

    /// Gives it owner, attributes and mode of the file that it will replace at `target`. If there is none, or it may
    /// not be replaced, the file stays its owner's alone, and the mode for a new file is returned.
    ///
    /// # Errors
    /// The medium's own.
    fn copy_metadata_from(&self, target: &OsStr, if_exists: IfExists) -> io::Result<CopiedMetadata>;

    /// The same of an open file, whatever stands at a name. A medium without real files has no such thing.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`]; the medium's own.
    fn copy_metadata_of(&self, _model: &File) -> io::Result<CopiedMetadata> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Sets when its contents last changed, until they change again. A medium without times does nothing.
    ///
    /// # Errors
    /// The medium's own.
    fn set_modified(&self, _modified: FileTime) -> io::Result<()> {
        Ok(())
    }

    /// Sets the mode of a new file if it is still its owner's alone; any other mode was somebody's choice, and stays.
    /// A medium without permissions does nothing.
    ///
    /// # Errors
    /// [`io::ErrorKind::PermissionDenied`], [`io::ErrorKind::Unsupported`] where modes are not changed; the medium's own.
    fn give_mode(&self, _mode: u32) -> io::Result<()> {
        Ok(())
    }

    /// Takes from everyone but this process's user what [`copy_metadata_from`](Self::copy_metadata_from) gave. A medium without rights
    /// does nothing.
    ///
    /// # Errors
    /// As [`give_mode`](Self::give_mode).
    fn make_private(&self) -> io::Result<()> {
        Ok(())
    }

    /// Makes bytes and length durable: fdatasync(2).
    ///
    /// # Errors
    /// The medium's own. It is final.
    fn sync_data(&self) -> io::Result<()>;

    /// Makes bytes, length, mode, owner and attributes durable: fsync(2).
    ///
    /// # Errors
    /// The medium's own. It is final.
    fn sync_all(&self) -> io::Result<()>;

    /// Gives an unnamed file a name, which must be free.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`]; [`io::ErrorKind::Unsupported`] where the system cannot, as without /proc; or the medium's own.
    fn link(&self, name: &OsStr) -> io::Result<()>;

    /// Sets the length, takes all the room, and maps the file into memory. What is written to the map lies within the file and
    /// overlaps nothing that is being written, or is refused; it cannot fail for want of room.
    ///
    /// # Errors
    /// No room; [`io::ErrorKind::Unsupported`] where there are no maps; the medium's own.
    fn map(&self, len: u64) -> io::Result<Arc<dyn WriteAt>>;
}

impl dyn StorageFile {
    /// Reads exactly `buffer.len()` bytes at `at`.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] where the file ends before that; [`io::ErrorKind::Interrupted`] where signals let
    /// nothing be read; the medium's own.
    pub fn read_exact_at(&self, mut buffer: &mut [u8], mut at: u64) -> io::Result<()> {
        let mut patience = Patience::default();
        while !buffer.is_empty() {
            match self.read_at(buffer, at) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    buffer = &mut buffer[count..];
                    at += count as u64;
                    patience.renew();
                }
                Err(error) => patience.endure(error)?,
            }
        }
        Ok(())
    }

    /// Writes all of `data` at `at`: goes on after a signal and after a short write.
    ///
    /// # Errors
    /// [`io::ErrorKind::WriteZero`] where nothing more is taken; [`io::ErrorKind::Interrupted`] where signals let nothing
    /// be written; the medium's own.
    pub fn write_all_at(&self, mut data: &[u8], mut at: u64) -> io::Result<()> {
        let mut patience = Patience::default();
        while !data.is_empty() {
            match self.write_at(data, at) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    data = &data[count..];
                    at += count as u64;
                    patience.renew();
                }
                Err(error) => patience.endure(error)?,
            }
        }
        Ok(())
    }
}

/// Names a file on its medium, as long as the system runs and the file is there: device and inode number. Over a restart a
/// device may get another number, and a new file the inode number of one that is gone: see [`FileStamp`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FileId {
    /// The device.
    pub device: u64,
    /// The file on that device.
    pub inode: u64,
}

/// Identifies a file, even after a reboot. No part of it changes with the file's name, mode or owner.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileStamp {
    /// Its number on its medium.
    pub inode: u64,
    /// Its length in bytes.
    pub len: u64,
    /// When its contents last changed.
    pub modified: FileTime,
    /// When it was made, where the medium knows.
    pub created: Option<FileTime>,
}

impl FileStamp {
    /// Whether both are of one file with one content. A creation time that only one of them has says nothing: another
    /// version of the system may have begun to report it.
    pub fn is_of_same_file(&self, other: &FileStamp) -> bool {
        let created_alike = match (self.created, other.created) {
            (Some(ours), Some(theirs)) => ours == theirs,
            (None, _) | (_, None) => true,
        };
        created_alike && FileStamp { created: other.created, ..*self } == *other
    }
}

/// A time of a file's, since 1970 in UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct FileTime {
    /// Seconds, below 0 before 1970.
    pub seconds: i64,
    /// Nanoseconds of the second.
    pub nanos: u32,
}

/// The result of copying the metadata of the file that will be replaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CopiedMetadata {
    /// All of it was copied.
    Taken,
    /// All of it but the mode, which the medium does not change.
    WithoutMode,
    /// Nothing is replaced. A new file has this mode, and gets it once it has its name.
    New {
        /// The permission bits.
        mode: u32,
    },
}

/// Who owns a file that was found under one of our names. Anyone who may create files in the directory may have put
/// it there, and could still change it. If it has a second name, changing it changes that one too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ownership {
    /// Ours, or root's in a directory where none but root and we can make files.
    Ours,
    /// Another user's; or the medium gives files owners of its choice.
    SomeoneElses {
        /// The number of that user.
        owner: u32,
    },
    /// It has a second name.
    Shared,
}

/// What came of trying to lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lock {
    /// It is ours until the file is closed.
    Taken,
    /// Another open file has it.
    Held,
}

/// Writes are atomic in units of this many bytes: the smallest sector of the disks in use.
pub const SECTOR_LEN: usize = 512;
