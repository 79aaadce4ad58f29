//! A tree that comes in order, from a pipe: kept in a file without a name until its catalog has come, and all of it is verified.
//! Knows no layout; the tree is made by the sink of trees.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use cofferdam_io::{ReadAt, WriteAt};
use contract::{
    AttemptId, Checkpoint, CommitError, SinkCapabilities, StreamingSink, SyncTo, Visibility,
    cursor::Cursor,
    written::{Closing, WrittenRanges},
};
use local::{StagedFile, journal_header::Header};
use parking_lot::Mutex;
use rustix::fs::{FallocateFlags, fallocate};
use storage::{OnPartial, StageOptions, TargetError, TargetKind};
use tree::{Catalog, Content};

use crate::{
    error::TreeSinkError,
    journal::NAMELESS,
    opening::{Attempt, Opened},
    options::{Placement, TreeOptions},
    sink::{SharedRestored, TreeSink},
    staging::write_sparse,
    target::{Target, unnamed_file},
};

/// A tree whose catalog comes last, because it is read in order.
///
/// Its bytes are kept in a file that has no name, in the target's directory. At publish, when everything has come and been verified, a
/// [`TreeSink`] is made of it, and the file gives up what has been copied. So it takes as much room as the tree, for a while beside it, and a drop or a crash
/// leaves nothing. It does not resume: whoever reads a pipe reads it from its start.
///
/// A tree without a catalog becomes a file (TREE T5.4), or is refused.
pub struct SpooledTree {
    spool: Arc<Spool>,
    path: PathBuf,
    options: TreeOptions,
    /// How a tree without a catalog becomes a file. None: it is refused.
    as_file: Option<StageOptions>,
    attempt_id: AttemptId,
    /// The attempt of the same tree that was beside the target.
    found: Option<AttemptId>,
    cursor: Cursor,
    restored: SharedRestored,
}

struct Spool {
    file: File,
    written: Mutex<WrittenRanges>,
    /// Whether bytes may be there that were taken back: then zeros are written, too. Nothing is written while it is set.
    is_overwriting: AtomicBool,
}

impl SpooledTree {
    /// Refuses a target that could not be published to, as far as that shows without the tree. `found` is the attempt that is beside it
    /// ([`attempt_beside`]), if it is of the same tree. `as_file` says how a tree without a catalog becomes a file, if the target may be
    /// one; without it such a tree is refused at publish.
    ///
    /// # Errors
    /// See [`TargetError`].
    pub fn create(
        target: impl AsRef<Path>,
        options: &TreeOptions,
        as_file: Option<StageOptions>,
        attempt_id: &AttemptId,
        found: Option<AttemptId>,
    ) -> Result<SpooledTree, TargetError> {
        let path = target.as_ref().to_owned();
        let mut target = Target::open(&path, options.placement)?;
        if found.is_none() || options.on_partial == OnPartial::Discard {
            match target.check(options.if_exists) {
                // What comes may be a file, and may replace it. A tree is refused when it has come.
                Err(TargetError::NotADirectory { kind: TargetKind::RegularFile, .. })
                    if as_file.is_some() => {}
                checked => checked?,
            }
        }
        let file = unnamed_file(&target).map_err(|error| TargetError::io(&path, "restore to", error))?;
        Ok(SpooledTree {
            spool: Arc::new(Spool {
                file,
                written: Mutex::new(WrittenRanges::new(i64::MAX as u64)),
                is_overwriting: AtomicBool::new(false),
            }),
            path,
            options: *options,
            as_file,
            attempt_id: attempt_id.clone(),
            found,
            cursor: Cursor::default(),
            restored: SharedRestored::default(),
        })
    }

    /// What came of the publish, to be asked for when the sink is gone.
    pub fn restored(&self) -> SharedRestored {
        self.restored.clone()
    }

    fn make(&self, plain_len: u64) -> Result<(), CommitError> {
        let plaintext = Plaintext { spool: self.spool.clone(), len: plain_len };
        match (
            Catalog::open(Arc::new(plaintext.clone())).map_err(|error| refused(error.into()))?,
            &self.as_file,
        ) {
            (Content::PlainFile { tar_len }, Some(options)) => self.make_file(tar_len, options),
            _ => self.make_tree(&plaintext),
        }
    }

    /// A file of the first `len` bytes.
    fn make_file(&self, len: u64, options: &StageOptions) -> Result<(), CommitError> {
        let options = options.if_exists(self.options.if_exists).expected_len(len);
        let file = StagedFile::create(&self.path, &options);
        let mut file = file.map_err(|error| refused(error.into()))?;
        file.begin_segment(0, 0).map_err(CommitError::NotCommitted)?;
        self.give(len, &mut |at, data| file.write_tentative(at, data))?;
        // It is durable at publish, and nobody resumes it.
        file.commit_segment(&Checkpoint::from_bytes([0; Checkpoint::LEN]))?;
        file.publish(len)
    }

    fn make_tree(&self, plaintext: &Plaintext) -> Result<(), CommitError> {
        let is_ours = |found: &AttemptId| self.found.as_ref() == Some(found);
        let attempt = Attempt { id: &self.attempt_id, is_ours: &is_ours };
        for _ in 0..ATTEMPTS_MAX {
            let opened = TreeSink::open(&self.path, plaintext, &self.options, &attempt);
            let sink = match opened.map_err(refused)? {
                Opened::Fresh(sink) => sink,
                Opened::Resumable { mut sink, attempt_id } if is_ours(&attempt_id) => {
                    sink.last_commit()
                        .and_then(|_| sink.resume_at(0, 0))
                        .map_err(CommitError::NotCommitted)?;
                    sink
                }
                Opened::Published { sink, attempt_id }
                    if is_ours(&attempt_id) && !sink.has_other_options() =>
                {
                    sink
                }
                Opened::Published { sink, .. } => {
                    sink.tidy().map_err(CommitError::NotCommitted)?;
                    continue;
                }
                Opened::Resumable { .. } => break,
            };
            return self.copy(sink, plaintext.len);
        }
        let message = "another restore has begun at the target meanwhile";
        Err(CommitError::NotCommitted(io::Error::other(message)))
    }

    fn copy(&self, mut sink: TreeSink, plain_len: u64) -> Result<(), CommitError> {
        let tree = sink.positioned().ok_or_else(|| io::Error::other("a tree takes bytes at any place"));
        let tree = tree.map_err(CommitError::NotCommitted)?;
        self.give(plain_len, &mut |at, data| tree.write_all_at(at, data))?;
        sink.publish(plain_len)?;
        *self.restored.lock() = sink.restored().lock().clone();
        Ok(())
    }

    /// Gives the first `len` bytes in order, and then their room.
    fn give(&self, len: u64, write: &mut dyn FnMut(u64, &[u8]) -> io::Result<()>) -> Result<(), CommitError> {
        let mut buffer = vec![0; COPY_LEN];
        let mut at = 0;
        while at < len {
            let count = usize::try_from(len - at).map_or(COPY_LEN, |left| left.min(COPY_LEN));
            let copied = self.spool.file.read_exact_at(&mut buffer[..count], at);
            copied.and_then(|()| write(at, &buffer[..count])).map_err(CommitError::NotCommitted)?;
            // Where the file system cannot, it takes the room for longer.
            let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            let _ = fallocate(&self.spool.file, punch, at, count as u64);
            at += count as u64;
        }
        Ok(())
    }
}

/// Which attempt is beside `target`, if one is that can be gone on with.
///
/// # Errors
/// Whatever keeps the directory from being read; what is there is not this user's.
pub fn attempt_beside(
    target: impl AsRef<Path>,
    placement: Placement,
) -> Result<Option<AttemptId>, TargetError> {
    let target = Target::open(target.as_ref(), placement)?;
    let Some(journal) = target.find_journal()? else {
        return Ok(None);
    };
    let records = journal.read().map_err(|error| TargetError::io(&target.journal_path(), "read", error))?;
    Ok(match records.header {
        Header::Valid(attempt_id) => Some(attempt_id).filter(|found| found.as_bytes() != NAMELESS),
        _ => None,
    })
}

fn refused(error: TreeSinkError) -> CommitError {
    let kind = match &error {
        TreeSinkError::Target(TargetError::Exists { .. } | TargetError::DirectoryExists { .. }) => {
            io::ErrorKind::AlreadyExists
        }
        TreeSinkError::Tree(_) => io::ErrorKind::InvalidData,
        _ => io::ErrorKind::Other,
    };
    CommitError::NotCommitted(io::Error::new(kind, error))
}

impl StreamingSink for SpooledTree {
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
        self.spool.write_all_at(at, data)
    }

    fn rollback_segment(&mut self) -> io::Result<()> {
        let start = self.cursor.roll_back()?;
        self.spool.written.lock().cut(start);
        self.spool.is_overwriting.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn commit_segment(&mut self, _checkpoint: &Checkpoint) -> Result<(), CommitError> {
        self.spool.written.lock().check_live().map_err(CommitError::NotCommitted)?;
        self.cursor.commit();
        Ok(())
    }

    fn publish(&mut self, plain_len: u64) -> Result<(), CommitError> {
        self.cursor.check_closed().map_err(CommitError::NotCommitted)?;
        self.spool.written.lock().check_complete(plain_len).map_err(CommitError::NotCommitted)?;
        self.spool.written.lock().close();
        // It may end with what is left out.
        self.spool.file.set_len(plain_len).map_err(CommitError::NotCommitted)?;
        self.make(plain_len)
    }

    fn discard(&mut self) -> io::Result<()> {
        self.spool.written.lock().close();
        self.spool.file.set_len(0)
    }

    fn positioned(&self) -> Option<Arc<dyn WriteAt>> {
        Some(self.spool.clone())
    }

    fn durability(&self) -> Option<Arc<dyn SyncTo>> {
        None
    }
}

impl Drop for SpooledTree {
    fn drop(&mut self) {
        // A handle may outlive it, and the file with that.
        if self.spool.written.lock().close() == Closing::First {
            let _ = self.spool.file.set_len(0);
        }
    }
}

impl std::fmt::Debug for SpooledTree {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("SpooledTree").field("target", &self.path).finish_non_exhaustive()
    }
}

impl WriteAt for Spool {
    fn write_all_at(&self, at: u64, data: &[u8]) -> io::Result<()> {
        self.written.lock().claim(at, data.len())?;
        let written = match self.is_overwriting.load(Ordering::Relaxed) {
            true => self.file.write_all_at(data, at),
            // What is nothing but zeros takes no room, here as in the tree.
            false => write_sparse(&self.file, at, data),
        };
        written.inspect_err(|error| self.written.lock().fail_for(error))
    }
}

#[derive(Clone)]
struct Plaintext {
    spool: Arc<Spool>,
    len: u64,
}

impl ReadAt for Plaintext {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.spool.file.read_exact_at(buffer, offset)
    }

    fn len(&self) -> u64 {
        self.len
    }
}

/// What is copied at a time.
const COPY_LEN: usize = 4 << 20;
/// Published attempts of others that are tidied up after, one after the other.
const ATTEMPTS_MAX: usize = 3;
