//! A block device as a target: through a log, which is complete and proved before the first byte of the device changes.
//! It knows no format; the engine proves, the log keeps and replays.

use std::error::Error as _;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use contract::{IfExists, StreamingSink};
use storage::{BlockDevice, Disk, OnPartial, TargetError, TargetKind, free_space};
use stream::{Envelope, LogId, Tentative};
use wal::{AtPublish, DeviceTarget, LogDiffers, Opened, ReplayError, ReplayTarget, WalError, WalSink};

use crate::{Error, ErrorKind, InTheWay, Kept, Observer, Remedy};

/// A restore to a device that has been opened, through the log at `log`.
pub(crate) struct DeviceRestore<'a> {
    device: BlockDevice,
    log: &'a Path,
    on_partial: OnPartial,
}

impl<'a> DeviceRestore<'a> {
    /// `None`: no device is meant. Refuses what can be seen at once: a device that is in use, one that may not be written over, a
    /// log for something else than a device.
    pub(crate) fn resolve(
        target: &Path,
        log: Option<&'a Path>,
        if_exists: IfExists,
        on_partial: OnPartial,
    ) -> Result<Option<DeviceRestore<'a>>, Error> {
        match (BlockDevice::is_at(target), log) {
            (false, None) => Ok(None),
            (false, Some(_)) => {
                let what = format!("{}: a log is for a block device, and this is none", target.display());
                Err(Error::new(ErrorKind::Usage, what)
                    .advise("Name a block device, or give no log: a file is staged beside its name and replaced as a whole."))
            }
            (true, None) => {
                let kind = TargetKind::BlockDevice;
                Err(Error::target(TargetError::NotAFile { path: target.into(), kind })
                    .remedied(Remedy::GiveLog))
            }
            (true, Some(_)) if if_exists == IfExists::Refuse => {
                let what =
                    format!("{}: what is on this block device would be written over", target.display());
                Err(Error::new(ErrorKind::TargetExists, what).remedied(Remedy::Replace(InTheWay::Device)))
            }
            (true, Some(log)) => {
                let device = BlockDevice::open(target).map_err(Error::target)?;
                Ok(Some(DeviceRestore { device, log, on_partial }))
            }
        }
    }

    /// Refuses to write over what is read.
    pub(crate) fn refuse_source(&self, sealed: &Path) -> Result<(), Error> {
        match self.device.overlaps(sealed) {
            true => Err(Error::new(
                ErrorKind::Usage,
                "the sealed stream is on the device that it would be written to",
            )
            .advise("Copy the stream to another device first.")),
            false => Ok(()),
        }
    }

    /// The sink of a stream of `len` bytes, if that is known. Nothing has been written to the device, and nothing is until the sink
    /// publishes.
    pub(crate) fn sink(
        self,
        envelope: &Envelope,
        len: Option<u64>,
        observer: Option<Arc<dyn Observer>>,
    ) -> Result<Tentative<Box<dyn StreamingSink>>, Error> {
        if let Some(len) = len {
            self.device.check_len(len).map_err(Error::target)?;
        }
        if self.on_partial == OnPartial::Discard {
            self.discard_log()?;
        }
        self.check_room(len.unwrap_or(0)).map_err(Error::target)?;
        let id = LogId::new(envelope, self.device.identity())?;
        // Before it is opened, which cuts off what has not committed: it may be another restore's.
        if let Some(found) = wal::attempt_id_at(self.log).map_err(|error| self.refused(error))? {
            id.check(&found)?;
        }
        let target = ToldTarget { device: DeviceTarget::of(&self.device), observer };
        let opened = WalSink::open_path(self.log, &id.attempt_id(), AtPublish::Replay(Box::new(target)));
        match opened.map_err(|error| self.refused(error))? {
            Opened::Ready(sink) => {
                sink.preallocate(len.unwrap_or(0)).map_err(|error| {
                    Error::io(format!("{}: there is no room for the log", self.log.display()), error)
                })?;
                let found = sink.attempt_id().clone();
                id.resume(Box::new(sink), &found)
            }
            Opened::Finished(finished) => {
                let found = finished.attempt_id().clone();
                id.resume(Box::new(finished), &found)
            }
        }
    }

    /// Removes what an earlier restore left, and no log of anything else: a storage engine may keep one of the same form. One
    /// that is too damaged to say what it is of is removed.
    fn discard_log(&self) -> Result<(), Error> {
        if let Ok(Some(found)) = wal::attempt_id_at(self.log)
            && !LogId::is_one(&found)
        {
            let what = format!("{}: this log is not of a restore, and is not removed", self.log.display());
            return Err(Error::new(ErrorKind::JournalMismatch, what).advise("Name another file."));
        }
        wal::remove_path(self.log).map_err(|error| self.refused(error))
    }

    /// The log holds the stream, and little more. What is there of it has its room.
    fn check_room(&self, len: u64) -> Result<(), TargetError> {
        let directory = self.log.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = directory.unwrap_or(Path::new("."));
        let opened = Disk::open(directory).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                TargetError::NoDirectory { directory: directory.into() }
            }
            _ => TargetError::io(directory, "open", error),
        })?;
        let found = fs::symlink_metadata(self.log).ok();
        let taken = found.map_or(0, |found| found.blocks().saturating_mul(STAT_BLOCK_LEN));
        free_space::check_in(opened, directory, self.log, len.saturating_add(len / OVERHEAD), taken)
    }

    fn refused(&self, error: WalError) -> Error {
        if matches!(&error, WalError::Io { source, .. } if source.kind() == io::ErrorKind::InvalidInput) {
            let what = format!("{}: a log is a file, and something else is there", self.log.display());
            return Error::new(ErrorKind::JournalMismatch, what).advise("Name another file.");
        }
        let kind = match &error {
            WalError::Io { .. } => ErrorKind::Io,
            WalError::Held => ErrorKind::TargetLocked,
            _ => ErrorKind::JournalMismatch,
        };
        let refused = Error::new(kind, format!("{}: {error}", self.log.display()));
        match &error {
            WalError::Damaged { .. } => refused.remedied(Remedy::Restart(Kept::Log)),
            _ => refused,
        }
    }
}

/// A device, of which an observer is told how far it has been written.
struct ToldTarget {
    device: DeviceTarget,
    observer: Option<Arc<dyn Observer>>,
}

impl ReplayTarget for ToldTarget {
    fn check(&self, len: u64) -> io::Result<()> {
        self.device.check(len)
    }

    fn len_max(&self) -> Option<u64> {
        self.device.len_max()
    }

    fn write_at(&mut self, at: u64, data: &[u8]) -> io::Result<()> {
        self.device.write_at(at, data)?;
        if let Some(observer) = &self.observer {
            observer.replaying(at + data.len() as u64);
        }
        Ok(())
    }

    fn finish(&mut self, len: u64) -> io::Result<()> {
        self.device.finish(len)
    }
}

/// What a failed restore to a device means for the device and its log.
pub(crate) fn explain(error: Error) -> Error {
    if error.kind() != ErrorKind::DurabilityUnknown && !has_cause::<LogDiffers>(&error, |_| true) {
        return error;
    }
    let anew = |kind, what: &str, cause| Error::new(kind, what).because(cause);
    if has_cause::<LogDiffers>(&error, |_| true) {
        let what = "the log says that it has all of the stream, and what it has is another";
        return anew(ErrorKind::JournalMismatch, what, error).remedied(Remedy::Restart(Kept::Log));
    }
    if has_cause::<ReplayError>(&error, |cause| matches!(cause, ReplayError::LogLeft(_))) {
        let what = "the device has all of the stream, and the log could not be removed";
        return anew(ErrorKind::DurabilityUnknown, what, error)
            .advise("Remove the log, or run this again, which writes the device again.");
    }
    if has_cause::<ReplayError>(&error, |_| true) {
        let what = "the device could not be written to the end: it is a mixture of old and new, and all of the stream is in the log";
        return anew(ErrorKind::DurabilityUnknown, what, error).remedied(Remedy::FinishFromLog);
    }
    let what = "the log could not be brought to its end; this run has not written to the device";
    anew(ErrorKind::Io, what, error).remedied(Remedy::RunAgain)
}

/// Whether something of this type is among the causes: by itself, or inside an error of the system's.
fn has_cause<T: std::error::Error + 'static>(error: &Error, is_it: impl Fn(&T) -> bool) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        let inner = error.downcast_ref::<io::Error>().and_then(|error| error.get_ref());
        let inside = inner.and_then(|inner| inner.downcast_ref::<T>());
        if error.downcast_ref::<T>().or(inside).is_some_and(&is_it) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Of the stream's length, what records need beside its bytes; a little more than that.
const OVERHEAD: u64 = 64;
/// Unit of `st_blocks` (stat(2)).
const STAT_BLOCK_LEN: u64 = 512;

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails by panicking.
mod tests {
    use std::ffi::OsStr;
    use std::sync::Mutex;

    use storage::Storage as _;
    use stream::Progress;
    use testing::simulation::SimulatedDisk;

    use super::*;

    #[derive(Default)]
    struct Heard(Mutex<Vec<u64>>);

    impl Observer for Heard {
        fn progress(&self, _: &Progress) {}

        fn replaying(&self, written: u64) {
            self.0.lock().unwrap().push(written);
        }
    }

    #[test]
    fn an_observer_hears_how_far_a_device_is_written_and_of_nothing_that_was_refused() {
        let disk = SimulatedDisk::new();
        disk.put("device", &[b'.'; 16]);
        let heard = Arc::new(Heard::default());
        let device = DeviceTarget::over(disk.open(OsStr::new("device")).unwrap().unwrap(), 16);
        let mut target = ToldTarget { device, observer: Some(heard.clone() as Arc<dyn Observer>) };
        assert!(target.check(17).is_err());
        assert_eq!(target.len_max(), Some(16));
        target.write_at(0, b"some").unwrap();
        target.write_at(4, b" bytes").unwrap();
        target.finish(10).unwrap();
        assert_eq!(*heard.0.lock().unwrap(), [4, 10]);
        assert_eq!(disk.contents("device").unwrap(), b"some bytes......");
    }
}
