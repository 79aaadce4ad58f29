//! A target that an earlier attempt has put in place: the stream is compared with it, and nothing is written.
//! It knows no format; the engine brings the bytes that have to be there.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::{fmt, io};

use contract::{Checkpoint, CommitError, SinkCapabilities, StreamingSink, SyncTo, Visibility, WriteAt};
use local::Published;
use rustix::fs::OFlags;

use crate::envelope::Envelope;
use crate::tentative::Opening;
use crate::{Error, ErrorKind, InTheWay, Remedy, Restored};

/// Compares what it is given with a target. To publish it removes what the earlier attempt left, for then that attempt is
/// done; so does to drop it when the target has changed since, for then what is left vouches for nothing.
///
/// That a journal names the target proves nothing: whoever can write beside the target can write that, too, and a target
/// that was put in place some time ago may have been written to.
pub struct CompareSink {
    target: Arc<Target>,
    published: Option<Box<Published>>,
}

struct Target {
    file: File,
    changed: OnceLock<()>,
}

impl CompareSink {
    /// Over the target at `path`, no symbolic link, which `published` says has been put there.
    pub fn over(published: Published, path: &Path) -> Result<CompareSink, Error> {
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|error| {
            Error::io("the target, which an earlier restore has put in place, could not be read", error)
                .remedied(Remedy::RestartAndReplace)
        })?;
        Ok(CompareSink {
            target: Arc::new(Target { file, changed: OnceLock::new() }),
            published: Some(Box::new(published)),
        })
    }

    /// Has `open` open the stream that was restored there.
    pub fn judge(
        self,
        envelope: &Envelope,
        open: impl FnOnce(Opening<CompareSink>) -> Result<Restored, Error>,
    ) -> Result<Restored, Error> {
        let target = self.target.clone();
        match open(Opening::plain(self, envelope)) {
            Ok(restored) => Ok(Restored { resumed_bytes: restored.plaintext_len, ..restored }),
            Err(error) if error.kind() == ErrorKind::Io && target.changed.get().is_some() => {
                Err(changed_since())
            }
            Err(error) => Err(error),
        }
    }
}

impl Target {
    fn compare(&self, at: u64, data: &[u8]) -> io::Result<()> {
        let mut found = vec![0; data.len().min(PIECE_LEN)];
        let mut next = at;
        for piece in data.chunks(PIECE_LEN) {
            let found = &mut found[..piece.len()];
            match self.file.read_exact_at(found, next) {
                Ok(()) if found == piece => next += piece.len() as u64,
                Ok(()) => return Err(self.differs()),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(self.differs()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn differs(&self) -> io::Error {
        self.changed.get_or_init(|| ());
        io::Error::new(io::ErrorKind::InvalidData, Difference)
    }
}

/// What a comparison found.
#[derive(Debug)]
struct Difference;

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the target differs from the stream")
    }
}

impl std::error::Error for Difference {}

/// Whether a sink of this kind failed because the target is not the stream.
#[cfg(feature = "peer")]
pub fn is_difference(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Difference>())
}

/// The target is not what the journal beside it says it is.
pub fn changed_since() -> Error {
    let what = "an earlier restore put the target in place, and it is not what was restored any more";
    Error::new(ErrorKind::TargetExists, what).remedied(Remedy::Replace(InTheWay::ChangedTarget))
}

impl WriteAt for Target {
    fn write_all_at(&self, at: u64, data: &[u8]) -> io::Result<()> {
        self.compare(at, data)
    }
}

impl StreamingSink for CompareSink {
    fn capabilities(&self) -> SinkCapabilities {
        SinkCapabilities::new(Visibility::Private)
    }

    fn last_commit(&mut self) -> io::Result<Option<Checkpoint>> {
        Ok(None)
    }

    fn begin_segment(&mut self, _index: u64, _at: u64) -> io::Result<()> {
        Ok(())
    }

    fn write_tentative(&mut self, at: u64, data: &[u8]) -> io::Result<()> {
        self.target.compare(at, data)
    }

    fn rollback_segment(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn commit_segment(&mut self, _mark: &Checkpoint) -> Result<(), CommitError> {
        Ok(())
    }

    fn publish(&mut self, plain_len: u64) -> Result<(), CommitError> {
        if self.target.file.metadata().map_err(CommitError::NotCommitted)?.len() != plain_len {
            return Err(CommitError::NotCommitted(self.target.differs()));
        }
        // Whoever put the file there may not have synced it.
        self.target.file.sync_all().map_err(CommitError::Unknown)?;
        match self.published.take() {
            Some(published) => published.finish().map_err(CommitError::Unknown),
            None => Ok(()),
        }
    }

    fn discard(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn positioned(&self) -> Option<Arc<dyn WriteAt>> {
        Some(self.target.clone())
    }

    fn durability(&self) -> Option<Arc<dyn SyncTo>> {
        None
    }
}

impl Drop for CompareSink {
    fn drop(&mut self) {
        if self.target.changed.get().is_some()
            && let Some(published) = self.published.take()
        {
            // What is left is in nobody's way but this restore's, which comes by here again.
            let _ = published.finish();
        }
    }
}

/// What is compared at a time.
const PIECE_LEN: usize = 64 << 10;
