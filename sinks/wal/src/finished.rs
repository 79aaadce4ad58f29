//! A log that holds all of a stream, and what can still be done with it: read, replay, remove.
//! Knows no segment, and appends nothing: brought a stream, it compares.

use std::{ffi::OsStr, io, path::Path, sync::Arc};

use contract::{
    AttemptId, Checkpoint, CommitError, ReadAt, SinkCapabilities, StreamingSink, SyncTo, Visibility, WriteAt,
};
use storage::Storage;

use super::{
    AtPublish, LogDiffers, Reader, ReplayError, ReplayTarget, WalError,
    kept::Kept,
    log::{Log, Slots},
    path_to,
    recovery::{self, Scan},
};

/// A log that holds all of a stream. Nobody else can open it as long as this value lives.
#[derive(Debug)]
pub struct Finished {
    log: Log,
    attempt_id: AttemptId,
    scan: Scan,
    slots: Slots,
    kept: Kept,
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
        let len = scan.finished.unwrap_or(0);
        let kept = Kept::new(log.file.clone(), scan.anchors.clone(), len);
        Finished { log, attempt_id, scan, slots, kept, at_publish }
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
        self.replay_now()
    }

    fn replay_now(&mut self) -> io::Result<()> {
        if let AtPublish::Replay(target) = &self.at_publish {
            target.check(self.stream_len())?;
        }
        let (len, reader) = (self.stream_len(), self.reader()?);
        let AtPublish::Replay(target) = &mut self.at_publish else { return Ok(()) };
        replay(&reader, &mut **target, len).map_err(ReplayError::Target)?;
        Ok(self.log.remove().map_err(ReplayError::LogLeft)?)
    }

    fn compare(&self, at: u64, data: &[u8]) -> io::Result<()> {
        let mut found = vec![0; data.len().min(PIECE_LEN)];
        for (piece, at) in data.chunks(PIECE_LEN).zip((at..).step_by(PIECE_LEN)) {
            let found = &mut found[..piece.len()];
            match self.kept.read_exact_at(at, found) {
                Ok(()) if found == piece => {}
                Ok(()) => return Err(differs()),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(differs()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Removes the log: its records were applied elsewhere, durably, or are not wanted.
    ///
    /// # Errors
    /// The medium's own.
    pub fn remove(self) -> io::Result<()> {
        self.log.remove()
    }
}

/// The stream once more, to be compared with a log that says it has all of it: anybody who can write where the log is could have
/// put it there. A difference is the error [`LogDiffers`]. Publish replays the log, as [`Finished::replay`] does.
impl StreamingSink for Finished {
    fn capabilities(&self) -> SinkCapabilities {
        SinkCapabilities::new(Visibility::Private).reserve_bytes(PIECE_LEN).confirming()
    }

    fn last_commit(&mut self) -> io::Result<Option<Checkpoint>> {
        Ok(None)
    }

    fn resumable(&self) -> Option<Arc<dyn ReadAt>> {
        Some(Arc::new(self.kept.clone()))
    }

    /// What was proved is not brought again; what is, is compared.
    fn resume_at(&mut self, _index: u64, _at: u64) -> io::Result<()> {
        Ok(())
    }

    /// It lies in the log, where it was proved.
    fn confirm_segment(&mut self, _index: u64, _at: u64, _len: u64) -> io::Result<()> {
        Ok(())
    }

    fn begin_segment(&mut self, _index: u64, _at: u64) -> io::Result<()> {
        Ok(())
    }

    fn write_tentative(&mut self, at: u64, data: &[u8]) -> io::Result<()> {
        self.compare(at, data)
    }

    fn rollback_segment(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn commit_segment(&mut self, _checkpoint: &Checkpoint) -> Result<(), CommitError> {
        Ok(())
    }

    fn publish(&mut self, plain_len: u64) -> Result<(), CommitError> {
        if plain_len != self.stream_len() {
            return Err(CommitError::NotCommitted(differs()));
        }
        self.replay_now().map_err(CommitError::Unknown)
    }

    fn discard(&mut self) -> io::Result<()> {
        self.log.remove()
    }

    fn positioned(&self) -> Option<Arc<dyn WriteAt>> {
        None
    }

    fn durability(&self) -> Option<Arc<dyn SyncTo>> {
        None
    }
}

fn differs() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, LogDiffers)
}

/// Removes the log at `name`, finished or not, damaged or not. Where there is none, there is nothing to do.
///
/// # Errors
/// [`WalError::Held`]: it is being written. [`WalError::NotALog`]: it does not begin as a log does, and is somebody's file. The
/// medium's own.
pub fn remove(storage: Arc<dyn Storage>, name: &OsStr) -> Result<(), WalError> {
    match storage.id_at(name).map_err(WalError::io("examine"))? {
        Some(_) => {
            let log = Log::lock(storage, name)?;
            match recovery::is_a_log(&*log.file)? {
                true => log.remove().map_err(WalError::io("remove")),
                false => Err(WalError::NotALog),
            }
        }
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

/// What is compared at a time.
const PIECE_LEN: usize = 64 << 10;
