//! What tells a file from one that looks like it: noted for each member of a walk, and compared when the file is read.
//! Reads no file's data, and knows no path.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    os::unix::fs::FileExt,
};

use rustix::fs::{Stat, Statx};

/// Which file it is, and when anything of it last changed: bytes, attributes, names. Nobody sets that time, as anybody sets the one of modification.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stamp {
    inode: u64,
    seconds: i64,
    nanos: u32,
}

impl Stamp {
    pub(crate) fn of_told(told: &Statx) -> Stamp {
        Stamp { inode: told.stx_ino, seconds: told.stx_ctime.tv_sec, nanos: told.stx_ctime.tv_nsec }
    }

    // The widths of these fields differ between systems.
    #[allow(clippy::unnecessary_cast)]
    pub(crate) fn of(stat: &Stat) -> Stamp {
        Stamp {
            inode: stat.st_ino as u64,
            seconds: stat.st_ctime as i64,
            nanos: u32::try_from(stat.st_ctime_nsec).unwrap_or_default(),
        }
    }

    fn to_bytes(self) -> [u8; STAMP_LEN] {
        let mut bytes = [0; STAMP_LEN];
        bytes[..8].copy_from_slice(&self.inode.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.seconds.to_le_bytes());
        bytes[16..].copy_from_slice(&self.nanos.to_le_bytes());
        bytes
    }
}

/// Stamps as they are noted, one for each member, in their order.
#[derive(Debug)]
pub(crate) struct StampWriter(BufWriter<File>);

impl StampWriter {
    pub(crate) fn new(file: File) -> StampWriter {
        StampWriter(BufWriter::new(file))
    }

    pub(crate) fn push(&mut self, stamp: Stamp) -> io::Result<()> {
        self.0.write_all(&stamp.to_bytes())
    }

    pub(crate) fn finish(self) -> io::Result<Stamps> {
        self.0.into_inner().map(Stamps).map_err(io::IntoInnerError::into_error)
    }
}

/// Stamps that were noted.
#[derive(Debug)]
pub(crate) struct Stamps(File);

impl Stamps {
    /// Of a file that [`StampWriter`] has written.
    pub(crate) fn of(file: File) -> Stamps {
        Stamps(file)
    }

    /// Whether `stamp` is that of the entry `number`.
    pub(crate) fn has(&self, number: u64, stamp: Stamp) -> io::Result<bool> {
        let mut noted = [0; STAMP_LEN];
        self.0.read_exact_at(&mut noted, number * STAMP_LEN as u64)?;
        Ok(noted == stamp.to_bytes())
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
    }
}

/// Bytes of a stamp in a file.
const STAMP_LEN: usize = 20;
