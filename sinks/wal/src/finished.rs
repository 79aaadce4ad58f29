//! A log that holds all of a stream, and what can still be done with it: read, replay, remove.
//! Knows no segment, and appends nothing.

use std::{ffi::OsStr, io, path::Path, sync::Arc};

use contract::AttemptId;
use storage::Storage;

use super::{
    AtPublish, Reader, ReplayTarget, WalError,
    log::{Log, Slots},
    path_to,
    recovery::Scan,
};

/// A log that holds all of a stream. Nobody else can open it as long as this value lives.
#[derive(Debug)]
pub struct Finished {
    log: Log,
    attempt_id: AttemptId,
    scan: Scan,
    slots: Slots,
    at_publish: AtPublish,
}

impl Finished {
    pub(super) fn new(
        log: Log,
        attempt_id: AttemptId,
        scan: Scan,
        slots: Slots,
        at_publish: AtPublish,
    ) -> Finished {
        Finished { log, attempt_id, scan, slots, at_publish }
    }

    /// What the log's first writer said it is for.
    pub fn attempt_id(&self) -> &AttemptId {
        &self.attempt_id
    }

    /// The stream's length in bytes.
    pub fn stream_len(&self) -> u64 {
        self.scan.finished.unwrap_or(0)
    }

    /// A reader of the records, all of them durable: what is applied from here is never taken back.
    ///
    /// # Errors
    /// The medium's own.
    pub fn reader(&mut self) -> Result<Reader, WalError> {
        self.log.settle(&mut self.slots, self.scan.end).map_err(WalError::io("sync"))?;
        Ok(Reader::over(self.log.file.clone(), self.attempt_id.clone(), self.scan.clone()))
    }

    /// Replays the log into the target that it was opened with, from the start, and removes it. With [`AtPublish::Keep`]
    /// there is no target, and it stays.
    ///
    /// # Errors
    /// The target or the log failed; both stay, and the log can be opened and replayed again.
    pub fn replay(mut self) -> io::Result<()> {
        let reader = self.reader()?;
        let AtPublish::Replay(target) = &mut self.at_publish else { return Ok(()) };
        target.check(self.scan.finished.unwrap_or(0))?;
        replay(&reader, &mut **target, self.scan.finished.unwrap_or(0))?;
        self.log.remove()
    }

    /// Removes the log: its records were applied elsewhere, durably, or are not wanted.
    ///
    /// # Errors
    /// The medium's own.
    pub fn remove(self) -> io::Result<()> {
        self.log.remove()
    }
}

/// Removes the log at `name`, whatever state it is in. Where there is none, there is nothing to do.
///
/// # Errors
/// [`WalError::Held`]: it is being written. The medium's own.
pub fn remove(storage: Arc<dyn Storage>, name: &OsStr) -> Result<(), WalError> {
    match storage.id_at(name).map_err(WalError::io("examine"))? {
        Some(_) => Log::lock(storage, name)?.remove().map_err(WalError::io("remove")),
        None => Ok(()),
    }
}

/// As [`remove`], by the log's path.
///
/// # Errors
/// As [`remove`].
pub fn remove_path(log: impl AsRef<Path>) -> Result<(), WalError> {
    let log = log.as_ref();
    let (storage, name) = path_to(log)?;
    remove(storage, &name)
}

/// Every step can be done again: bytes at offsets, then the length, then the sync.
pub(super) fn replay(reader: &Reader, target: &mut dyn ReplayTarget, len: u64) -> io::Result<()> {
    reader.replay_with(|at, bytes| target.write_at(at, bytes))?;
    target.finish(len)
}
