//! A sink that appends to a log and, once all of a stream is in it, replays it into a target that cannot be swapped.
//! Knows nothing of what the bytes mean, and is a log for others as well: a storage engine applies its records itself.
//!
//! Its class is *recoverable*. Until the FINISH record nobody sees anything. From then on the stream is final: the
//! target is a mixture of old and new until a replay completes, and an interrupted replay is run again, from the
//! start, by whoever [opens](WalSink::open) the log next. The log is removed once the target is complete and durable.
//!
//! # The bytes
//!
//! Little-endian. Every checksum is the CRC-32 of ISO-HDLC, as in zlib.
//!
//! | at | bytes | |
//! |---|---|---|
//! | 0 | 512 | header: magic 8, version u32, label length u32, label and zeros, CRC-32 of all before in the last 4 |
//! | 4096 | 512 | slot A: generation u64, epoch u64, durable lsn u64, zeros, CRC-32 in the last 4 |
//! | 8192 | 512 | slot B, the same; the older of the two is overwritten |
//! | 12288 | | records, end to end |
//!
//! | in a record | bytes | |
//! |---|---|---|
//! | 0 | 4 | CRC-32 of everything behind it, body included |
//! | 4 | 4 | kind: 1 DATA, 2 COMMIT, 3 FINISH |
//! | 8 | 8 | epoch |
//! | 16 | 8 | lsn: where this record begins in the log |
//! | 24 | 8 | DATA: where its bytes begin in the stream. COMMIT: where the segment ends. FINISH: the stream's length |
//! | 32 | 4 | length of the body: DATA 1 to [`DATA_LEN_MAX`], COMMIT 208, FINISH 0 |
//! | 36 | 4 | zeros |
//! | 40 | | body. DATA: bytes of the stream. COMMIT: segment u64, lsn of its first DATA record (its own, if there is none) u64, checkpoint 192 |
//!
//! A segment's DATA records follow one another without a gap. A segment that is rolled back stays in the log, and the
//! same segment begins again behind it; the COMMIT record names the first DATA record that counts. So within an epoch
//! each place is written once, in order, and never taken back: no crash can leave a record that does not follow from the
//! ones before it.
//!
//! # Durable lsn: a torn tail and damage are not the same
//!
//! A slot says how far the log was synced. An unreadable record before that position was once whole: it is *damaged*,
//! an error that names the lsn, and nothing is cut. At or after that position a crash may have torn it: the log
//! *ends* there, and the engine repeats what is missing.
//!
//! The slot is written after the sync that it reports, and becomes durable with the next one: so a group costs one
//! sync and not two, at most one slot is ever in danger, and what it says is a lower bound. Damage within the last
//! group can therefore be mistaken for a tear. That is harmless: the log ends before it, and what was lost is fetched
//! again before publish. Once the stream is final it cannot happen: FINISH is synced, and then its slot, before the
//! first byte goes to the target.
//!
//! # Epochs: what was cut stays cut
//!
//! Truncating a file is a write that can be lost, and a tail that reappears after a crash has valid checksums. So
//! whoever opens a log to write draws an epoch, makes it durable in both slots, and only then writes. After the
//! durable lsn only records of that epoch count. One unreadable slot does no harm, for the other knows the epoch too;
//! two are refused.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod error;
mod finished;
mod kept;
mod layout;
mod log;
mod reader;
mod recovery;
mod replay;

use std::{
    ffi::{OsStr, OsString},
    fmt, io,
    path::Path,
    sync::Arc,
};

use parking_lot::Mutex;

pub use self::{
    error::{LogDiffers, ReplayError, WalError},
    finished::{Finished, remove, remove_path},
    layout::{DATA_LEN_MAX, Lsn},
    reader::{Reader, Record, Records, attempt_id_at},
    replay::{DeviceTarget, FileTarget, ReplayTarget},
};
use contract::{
    AttemptId, Checkpoint, CommitError, ReadAt, SinkCapabilities, StreamingSink, SyncTo, Visibility, WriteAt,
    cursor::{Committed, Cursor},
};
use storage::{Disk, Storage, Writeback};

use self::{
    finished::replay,
    kept::{Anchors, Kept},
    layout::{CommitBody, Epoch, HEAD_LEN, Head, Kind},
    log::{Log, Slots},
    recovery::Scan,
};

/// Appends a stream to a log. See the [module](self) for what is in it and what a crash leaves.
///
/// The log is locked as long as the sink lives. A drop before publish keeps it if a segment has committed, in this or an
/// earlier attempt, and removes it otherwise.
pub struct WalSink {
    shared: Arc<Shared>,
    attempt_id: AttemptId,
    epoch: Epoch,
    /// Where the next record goes.
    end: Lsn,
    cursor: Cursor,
    /// The open segment's first DATA record.
    first: Option<Lsn>,
    last: Option<CommitPoint>,
    /// What was there when the log was opened.
    kept: Kept,
    at_publish: AtPublish,
    record: Vec<u8>,
    writeback: Writeback,
}

/// What becomes of a log that holds all of a stream.
#[non_exhaustive]
pub enum AtPublish {
    /// It is replayed into this target, and removed.
    Replay(Box<dyn ReplayTarget>),
    /// It stays: whoever opens it next finds it [finished](Opened::Finished), and applies its records.
    Keep,
}

/// What was found at a log's name.
#[derive(Debug)]
pub enum Opened {
    /// A log to write: a new one, or one to resume.
    Ready(WalSink),
    /// A log that holds all of a stream, and that an earlier process did not bring to its end.
    Finished(Finished),
}

/// A segment that committed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommitPoint {
    /// Which one, from 0.
    pub segment: u64,
    /// Where it ends in the stream, in bytes.
    pub end: u64,
    /// Where its COMMIT record begins.
    pub lsn: Lsn,
    /// The checkpoint that the engine gave with it.
    pub checkpoint: Checkpoint,
}

impl WalSink {
    /// Opens the log at `name`, or makes one. `attempt_id` says what it is for: a log that is there keeps its own,
    /// and the caller compares. What an earlier process left is recovered, made durable, and truncated after its last
    /// commit.
    ///
    /// # Errors
    /// See [`WalError`]. After [`WalError::Damaged`] nothing was changed.
    pub fn open(
        storage: Arc<dyn Storage>,
        name: &OsStr,
        attempt_id: &AttemptId,
        at_publish: AtPublish,
    ) -> Result<Opened, WalError> {
        let log = Log::lock(storage, name)?;
        let (attempt_id, scan) = log.recover(attempt_id)?;
        let mut slots = Slots::new(scan.newest);
        if scan.finished.is_some() {
            return Ok(Opened::Finished(Finished::new(log, attempt_id, scan, slots, at_publish)));
        }
        let epoch = log.begin_epoch(&attempt_id, &mut slots, scan.end).map_err(WalError::io("open"))?;
        let next = scan.last.as_ref().map_or((0, 0), |last| (last.segment + 1, last.end));
        let tail = Tail { state: State::Live, committed: scan.end, synced: scan.end };
        let kept = Kept::new(log.file.clone(), scan.anchors, next.1);
        let shared = Shared { log, slots: Mutex::new(slots), tail: Mutex::new(tail) };
        Ok(Opened::Ready(WalSink {
            shared: Arc::new(shared),
            attempt_id,
            epoch,
            end: scan.end,
            cursor: Cursor::resuming_at(next.0, next.1),
            first: None,
            last: scan.last,
            kept,
            at_publish,
            record: Vec::with_capacity(RESERVE_BYTES),
            writeback: Writeback::behind(scan.end.to_u64()),
        }))
    }

    /// As [`WalSink::open`], by the log's path.
    ///
    /// # Errors
    /// As [`WalSink::open`].
    pub fn open_path(
        log: impl AsRef<Path>,
        attempt_id: &AttemptId,
        at_publish: AtPublish,
    ) -> Result<Opened, WalError> {
        let log = log.as_ref();
        let (storage, name) = path_to(log)?;
        Self::open(storage, &name, attempt_id, at_publish)
    }

    /// What the log's first writer said it is for.
    pub fn attempt_id(&self) -> &AttemptId {
        &self.attempt_id
    }

    /// Takes room for the rest of a stream of `len` bytes where that costs next to nothing, so that what is missing is found at once.
    ///
    /// # Errors
    /// [`io::ErrorKind::StorageFull`], [`io::ErrorKind::QuotaExceeded`], [`io::ErrorKind::FileTooLarge`]; the medium's own.
    pub fn preallocate(&self, len: u64) -> io::Result<()> {
        let rest = len.saturating_sub(self.cursor.committed_end());
        self.shared.log.file.preallocate(self.end.to_u64().saturating_add(rest))
    }

    /// Appends one record. Whatever fails, nothing more is written.
    fn append(&mut self, kind: Kind, at: u64, body: &[&[u8]]) -> io::Result<()> {
        let body_len = body.iter().map(|part| part.len()).sum();
        let head = Head { kind, epoch: self.epoch, lsn: self.end, at, body_len };
        head.encode(body, &mut self.record);
        let written = self.shared.log.file.write_all_at(&self.record, head.lsn.to_u64());
        written.inspect_err(|_| self.shared.tail.lock().fail())?;
        self.end = head.end();
        Ok(())
    }

    /// Refuses what the target has no room for as soon as it comes.
    fn check_room(&self, end: u64) -> io::Result<()> {
        match &self.at_publish {
            AtPublish::Replay(target) if target.len_max().is_some_and(|len_max| end > len_max) => {
                target.check(end)
            }
            AtPublish::Replay(_) | AtPublish::Keep => Ok(()),
        }
    }

    fn check_publish(&self, plain_len: u64) -> io::Result<()> {
        self.shared.tail.lock().check_live()?;
        self.cursor.check_closed()?;
        let written = self.cursor.committed_end();
        if written != plain_len {
            let message = format!("publishing {plain_len} bytes where {written} have committed");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        match &self.at_publish {
            AtPublish::Replay(target) => target.check(plain_len),
            AtPublish::Keep => Ok(()),
        }
    }

    /// From the FINISH record on.
    fn finish(&mut self, plain_len: u64) -> io::Result<()> {
        self.append(Kind::Finish, plain_len, &[])?;
        // Whatever fails from here on, nothing more is written and no sync is tried again.
        self.shared.tail.lock().state = State::Closed;
        let mut slots = self.shared.slots.lock();
        let log = &self.shared.log;
        log.sync_to(&mut slots, self.end)?;
        log.file.sync_data()?;
        let AtPublish::Replay(target) = &mut self.at_publish else { return Ok(()) };
        let (last, finished) = (self.last.clone(), Some(plain_len));
        let scan =
            Scan { newest: slots.newest(), last, end: self.end, finished, anchors: Arc::new(Anchors::new()) };
        let reader = Reader::over(log.file.clone(), self.attempt_id.clone(), scan);
        replay(&reader, &mut **target, plain_len).map_err(ReplayError::Target)?;
        Ok(log.remove().map_err(ReplayError::LogLeft)?)
    }

    /// Forgets all segments from `index` on, which begins at byte `at`: only where the log is this sink's alone. Others may have
    /// applied what they read in one that is [kept](AtPublish::Keep).
    fn go_back_to(&mut self, index: u64, at: u64) -> io::Result<()> {
        let found = match (&self.at_publish, index, at) {
            (_, 0, 0) => Some((None, Lsn::FIRST)),
            (AtPublish::Replay(_), ..) => {
                self.kept.commit_before(index, at)?.map(|(last, end)| (Some(last), end))
            }
            (AtPublish::Keep, ..) => None,
        };
        let Some((last, end)) = found else {
            let (segment, byte) = (self.cursor.next_index(), self.cursor.committed_end());
            let message =
                format!("a log goes on at segment {segment}, byte {byte}, or starts over, and not at {at}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        };
        let begun = self.shared.log.begin_epoch(&self.attempt_id, &mut self.shared.slots.lock(), end);
        self.epoch = begun.inspect_err(|_| self.shared.tail.lock().fail())?;
        *self.shared.tail.lock() = Tail { state: State::Live, committed: end, synced: end };
        self.end = end;
        self.writeback = Writeback::behind(end.to_u64());
        self.cursor = Cursor::resuming_at(index, at);
        self.last = last;
        Ok(())
    }
}

impl StreamingSink for WalSink {
    fn capabilities(&self) -> SinkCapabilities {
        SinkCapabilities::new(Visibility::Private).reserve_bytes(RESERVE_BYTES)
    }

    fn last_commit(&mut self) -> io::Result<Option<Checkpoint>> {
        Ok(self.last.as_ref().map(|last| last.checkpoint.clone()))
    }

    /// What a log that is to be replayed has, for the engine to prove: what is replayed cannot be taken back. Whoever applies the
    /// records of a log that is kept decides what to believe of it.
    fn resumable(&self) -> Option<Arc<dyn ReadAt>> {
        match &self.at_publish {
            AtPublish::Replay(_) if self.last.is_some() => Some(Arc::new(self.kept.clone())),
            AtPublish::Replay(_) | AtPublish::Keep => None,
        }
    }

    fn resume_at(&mut self, index: u64, at: u64) -> io::Result<()> {
        self.shared.tail.lock().check_live()?;
        let next = (self.cursor.next_index(), self.cursor.committed_end());
        if (index, at) == next {
            return Ok(());
        }
        self.go_back_to(index, at)
    }

    fn begin_segment(&mut self, index: u64, at: u64) -> io::Result<()> {
        self.shared.tail.lock().check_live()?;
        self.first = None;
        self.cursor.begin(index, at)
    }

    fn write_tentative(&mut self, at: u64, data: &[u8]) -> io::Result<()> {
        self.shared.tail.lock().check_live()?;
        self.check_room(at.saturating_add(data.len() as u64))?;
        self.cursor.write(at, data.len())?;
        for (piece, at) in data.chunks(DATA_LEN_MAX).zip((at..).step_by(DATA_LEN_MAX)) {
            let lsn = self.end;
            self.append(Kind::Data, at, &[piece])?;
            self.first.get_or_insert(lsn);
        }
        Ok(())
    }

    fn rollback_segment(&mut self) -> io::Result<()> {
        self.shared.tail.lock().check_live()?;
        // What it wrote stays in the log, and no COMMIT record will name it.
        self.cursor.roll_back()?;
        self.first = None;
        Ok(())
    }

    fn commit_segment(&mut self, checkpoint: &Checkpoint) -> Result<(), CommitError> {
        self.shared.tail.lock().check_live().map_err(CommitError::NotCommitted)?;
        let segment = self.cursor.next_index();
        if self.cursor.commit() == Committed::NothingOpen {
            let message = "a log is written in order, and no segment is open";
            return Err(CommitError::NotCommitted(io::Error::new(io::ErrorKind::InvalidInput, message)));
        }
        let (lsn, end) = (self.end, self.cursor.committed_end());
        let body =
            CommitBody { segment, first: self.first.take().unwrap_or(lsn), checkpoint: checkpoint.clone() };
        self.append(Kind::Commit, end, &[&body.encode()]).map_err(CommitError::Unknown)?;
        self.last = Some(CommitPoint { segment, end, lsn, checkpoint: checkpoint.clone() });
        let mut tail = self.shared.tail.lock();
        tail.committed = self.end;
        self.writeback.pass(tail.synced.to_u64());
        drop(tail);
        self.writeback.follow(&*self.shared.log.file, self.end.to_u64());
        Ok(())
    }

    fn publish(&mut self, plain_len: u64) -> Result<(), CommitError> {
        self.check_publish(plain_len).map_err(CommitError::NotCommitted)?;
        self.finish(plain_len).map_err(|error| {
            self.shared.tail.lock().fail();
            if error.get_ref().is_some_and(|inner| inner.is::<ReplayError>()) {
                return CommitError::Unknown(error);
            }
            let message =
                format!("{error}; open the log again to learn whether it is finished, and to finish it");
            CommitError::Unknown(io::Error::new(error.kind(), message))
        })
    }

    fn discard(&mut self) -> io::Result<()> {
        let closed = std::mem::replace(&mut self.shared.tail.lock().state, State::Closed);
        if closed == State::Closed { Ok(()) } else { self.shared.log.remove() }
    }

    fn positioned(&self) -> Option<Arc<dyn WriteAt>> {
        None
    }

    fn durability(&self) -> Option<Arc<dyn SyncTo>> {
        Some(self.shared.clone())
    }
}

impl Drop for WalSink {
    fn drop(&mut self) {
        let closed = std::mem::replace(&mut self.shared.tail.lock().state, State::Closed);
        if closed != State::Closed && self.last.is_none() {
            // Nobody is there to hear of a failure; a log without a commit does no harm.
            let _ = self.shared.log.unlink();
        }
    }
}

impl fmt::Debug for WalSink {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("WalSink")
            .field("log", &self.shared.log)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

/// What the thread that syncs shares with the sink.
struct Shared {
    log: Log,
    /// Held while syncing, never while `tail` is.
    slots: Mutex<Slots>,
    tail: Mutex<Tail>,
}

struct Tail {
    state: State,
    /// Behind the last COMMIT record.
    committed: Lsn,
    /// Where the last sync ended.
    synced: Lsn,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Live,
    Failed,
    Closed,
}

impl Tail {
    fn check_live(&self) -> io::Result<()> {
        match self.state {
            State::Live => Ok(()),
            State::Failed => {
                Err(io::Error::other("the log failed earlier and takes nothing more; open it again"))
            }
            State::Closed => Err(io::Error::other("the log is closed and takes nothing more")),
        }
    }

    fn fail(&mut self) {
        if self.state == State::Live {
            self.state = State::Failed;
        }
    }
}

impl SyncTo for Shared {
    fn make_durable(&self, _mark: &Checkpoint) -> io::Result<()> {
        let mut slots = self.slots.lock();
        let end = {
            let tail = self.tail.lock();
            tail.check_live()?;
            // At the checkpoint or behind it: it had committed before this was called.
            tail.committed
        };
        self.log.sync_to(&mut slots, end).inspect_err(|_| self.tail.lock().fail())?;
        self.tail.lock().synced = end;
        Ok(())
    }
}

impl fmt::Debug for AtPublish {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            AtPublish::Replay(_) => "Replay",
            AtPublish::Keep => "Keep",
        })
    }
}

/// The directory and the name in it.
fn path_to(path: &Path) -> Result<(Arc<dyn Storage>, OsString), WalError> {
    let invalid = || WalError::io("open")(io::ErrorKind::InvalidInput.into());
    let name = path.file_name().ok_or_else(invalid)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let disk = Disk::open(parent.unwrap_or(Path::new("."))).map_err(WalError::io("open the directory of"))?;
    Ok((Arc::new(disk), name.into()))
}

/// One record is put together before it is written.
const RESERVE_BYTES: usize = HEAD_LEN + DATA_LEN_MAX;
const _: () = assert!(DATA_LEN_MAX <= u32::MAX as usize);

#[cfg(test)]
mod tests;
