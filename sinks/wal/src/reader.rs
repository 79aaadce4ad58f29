//! The committed records of a log, for whoever applies them.
//! Writes nothing, and knows nothing of where they are applied.

use std::{ffi::OsStr, fmt, io, path::Path, sync::Arc};

use contract::AttemptId;
use storage::{Storage, StorageFile};

use super::{
    CommitPoint, Lsn, WalError,
    layout::{CommitBody, HEAD_LEN, Head, Kind},
    log::check_ours,
    path_to,
    recovery::{self, Opening, Read, Scan, read_record},
};

/// A log as it was when it was opened: what has committed in it, and nothing else.
///
/// It takes no lock. Of a log that is being written it gives what had committed when it was opened.
///
/// ```
/// # use contract::{AttemptId, Checkpoint, StreamingSink};
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("log");
/// # let attempt_id = AttemptId::new(b"").expect("short enough");
/// # let wal::Opened::Ready(mut sink) = wal::WalSink::open_path(&path, &attempt_id, wal::AtPublish::Keep)? else { panic!() };
/// # sink.begin_segment(0, 0)?;
/// # sink.write_tentative(0, b"bytes")?;
/// # sink.commit_segment(&Checkpoint::from_bytes([0; Checkpoint::LEN]))?;
/// # sink.publish(5)?;
/// let reader = wal::Reader::open_path(&path)?.expect("a log");
/// let mut applied = wal::Lsn::FIRST; // stored with what is applied, in the same transaction
/// for record in reader.records_from(applied) {
///     let record = record?;
///     println!("{} bytes at {}", record.bytes.len(), record.at);
///     applied = record.next;
/// }
/// assert_eq!(reader.finished(), Some(5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Reader {
    file: Arc<dyn StorageFile>,
    attempt_id: AttemptId,
    scan: Scan,
}

/// What the first writer of the log at `log` said it is for. `None` where there is none, or one in which nothing ever was. It reads
/// the header alone, takes no lock and changes nothing: [`WalSink::open`](super::WalSink::open) forgets what has not committed.
///
/// # Errors
/// As [`Reader::open`], for what stands before the records.
pub fn attempt_id_at(log: impl AsRef<Path>) -> Result<Option<AttemptId>, WalError> {
    let (storage, name) = path_to(log.as_ref())?;
    let Some(file) = storage.open(&name).map_err(WalError::io("open"))? else { return Ok(None) };
    check_ours(&*file)?;
    match recovery::examine(&*file)? {
        Opening::MakeAnew => Ok(None),
        Opening::Scan { attempt_id, .. } => Ok(Some(attempt_id)),
        Opening::Refuse(refusal) => Err(refusal.into()),
    }
}

/// Bytes of a segment that committed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Where the record begins in the log.
    pub lsn: Lsn,
    /// Where the next record begins: where to resume, once this one is applied.
    pub next: Lsn,
    /// Where its bytes begin in the stream.
    pub at: u64,
    /// The bytes: at least one, at most [`DATA_LEN_MAX`](super::DATA_LEN_MAX).
    pub bytes: Vec<u8>,
}

impl Reader {
    /// Opens the log at `name`. `None` where there is none, or one in which nothing ever was.
    ///
    /// # Errors
    /// It is damaged where it was durable, is no log, or the medium's own.
    pub fn open(storage: &dyn Storage, name: &OsStr) -> Result<Option<Reader>, WalError> {
        let Some(file) = storage.open(name).map_err(WalError::io("open"))? else { return Ok(None) };
        check_ours(&*file)?;
        match recovery::examine(&*file)? {
            Opening::MakeAnew => Ok(None),
            Opening::Scan { attempt_id, newest } => {
                let scan = recovery::scan(&*file, newest)?;
                Ok(Some(Reader { file, attempt_id, scan }))
            }
            Opening::Refuse(refusal) => Err(refusal.into()),
        }
    }

    /// As [`Reader::open`], by the log's path.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn open_path(path: impl AsRef<Path>) -> Result<Option<Reader>, WalError> {
        let path = path.as_ref();
        let (storage, name) = path_to(path)?;
        Reader::open(&*storage, &name)
    }

    pub(super) fn over(file: Arc<dyn StorageFile>, attempt_id: AttemptId, scan: Scan) -> Reader {
        Reader { file, attempt_id, scan }
    }

    /// What the log's first writer said it is for.
    pub fn attempt_id(&self) -> &AttemptId {
        &self.attempt_id
    }

    /// The last segment that committed.
    pub fn last_commit(&self) -> Option<&CommitPoint> {
        self.scan.last.as_ref()
    }

    /// The stream's length in bytes, if the log holds all of it.
    pub fn finished(&self) -> Option<u64> {
        self.scan.finished
    }

    /// Records before this place were made durable. The ones after it have committed, and a power cut may take them: what
    /// is applied for good elsewhere must be among the former, or come from [`Finished::reader`](super::Finished::reader).
    pub fn durable_lsn(&self) -> Lsn {
        self.scan.newest.slot.durable
    }

    /// Every committed record, in the stream's order.
    pub fn records(&self) -> Records<'_> {
        self.records_from(Lsn::FIRST)
    }

    /// The committed records from `lsn` on: [`Lsn::FIRST`], or a [`Record::next`] of this log.
    pub fn records_from(&self, lsn: Lsn) -> Records<'_> {
        Records { reader: self, next: lsn, segment: None, record: Vec::new() }
    }

    /// Gives every committed record, its offset in the stream and its bytes, to `apply`.
    ///
    /// # Errors
    /// Those of `apply`; the log was damaged since it was opened; the medium's own.
    pub fn replay_with(&self, mut apply: impl FnMut(u64, &[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut records = self.records();
        while let Some(head) = records.step()? {
            apply(head.at, records.bytes())?;
        }
        Ok(())
    }

    /// Where the records of committed segments end.
    fn committed_end(&self) -> Lsn {
        self.scan.last.as_ref().map_or(Lsn::FIRST, |last| last.lsn.plus(1))
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Reader").field("scan", &self.scan).finish_non_exhaustive()
    }
}

/// Goes through committed records. After an error it ends.
pub struct Records<'a> {
    reader: &'a Reader,
    next: Lsn,
    /// The COMMIT record of the segment that is being read.
    segment: Option<Lsn>,
    record: Vec<u8>,
}

impl Iterator for Records<'_> {
    type Item = Result<Record, WalError>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if !matches!(step, Ok(Some(_))) {
            self.next = self.reader.committed_end();
            self.segment = None;
        }
        let record = |head: Head| Record {
            lsn: head.lsn,
            next: head.end(),
            at: head.at,
            bytes: self.bytes().to_vec(),
        };
        step.map(|head| head.map(record)).transpose()
    }
}

impl Records<'_> {
    /// Goes on to the next DATA record that counts. After an error it is of no more use.
    fn step(&mut self) -> Result<Option<Head>, WalError> {
        loop {
            if self.segment.is_none() {
                if self.next >= self.reader.committed_end() {
                    return Ok(None);
                }
                self.enter_segment()?;
            }
            let head = self.read(self.next)?;
            self.next = head.end();
            match head.kind {
                Kind::Data => return Ok(Some(head)),
                Kind::Commit | Kind::Finish => self.segment = None,
            }
        }
    }

    /// The bytes of the record that [`Records::step`] went to.
    fn bytes(&self) -> &[u8] {
        &self.record[HEAD_LEN..]
    }

    /// Looks ahead, by heads alone, for the COMMIT record that says which of the records before it count: those of a
    /// segment that was rolled back stay in the log before the ones that replaced them.
    fn enter_segment(&mut self) -> Result<(), WalError> {
        let mut lsn = self.next;
        while lsn < self.reader.committed_end() {
            let head = self.read_head(lsn)?;
            if head.kind == Kind::Commit {
                self.read(lsn)?;
                self.next = self.next.max(CommitBody::parse(&self.record[HEAD_LEN..]).first);
                self.segment = Some(lsn);
                return Ok(());
            }
            lsn = head.end();
        }
        Err(self.lost(lsn))
    }

    fn read_head(&self, lsn: Lsn) -> Result<Head, WalError> {
        let mut bytes = [0; HEAD_LEN];
        self.reader.file.read_exact_at(&mut bytes, lsn.to_u64()).map_err(WalError::io("read"))?;
        Head::parse(&bytes, lsn).ok_or_else(|| self.lost(lsn))
    }

    /// Reads the record into the buffer, whole.
    fn read(&mut self, lsn: Lsn) -> Result<Head, WalError> {
        match read_record(&*self.reader.file, lsn, &mut self.record).map_err(WalError::io("read"))? {
            Read::Whole(head) => Ok(head),
            Read::End | Read::Broken => Err(self.lost(lsn)),
        }
    }

    /// The scan has seen a record at every place up to the last commit. Where there is none, either the reader was told
    /// to begin there, or the log has changed since.
    fn lost(&self, lsn: Lsn) -> WalError {
        match self.segment {
            None if lsn == self.next => WalError::NoRecordAt { lsn },
            _ => WalError::Damaged { lsn, what: "it was whole when the log was opened" },
        }
    }
}

impl fmt::Debug for Records<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Records").field("next", &self.next).finish_non_exhaustive()
    }
}
