//! The sink: a segment is rows and a checkpoint in one transaction, and one pointer row publishes them all.
//! Knows no database: a `Connection` does.

use std::{fmt, io, sync::Arc};

use contract::{
    AttemptId, Checkpoint, CommitError, SinkCapabilities, StreamingSink, SyncTo, Visibility, WriteAt,
    cursor::{Committed, Cursor},
};

use super::{
    attempt::{Attempt, sweep},
    connection::Connection,
    options::DatabaseOptions,
    schema,
    target::Tables,
};

/// Restores into tables of a database. Its class is *atomic*.
///
/// A segment's rows and its checkpoint are one transaction, durable when
/// [`commit_segment`](StreamingSink::commit_segment) returns, so that there is no [`SyncTo`]. The
/// transaction begins with the segment's first byte; since the bytes are [`Visibility::Visible`], the engine has
/// the whole segment by then, and nothing waits for the source while it is open.
///
/// A drop at any point keeps the committed segments for the next sink over the same target. That one resumes
/// at its [`last_commit`](StreamingSink::last_commit), or starts over; nothing is offered to be proved
/// ([`kept`](StreamingSink::resumable)).
///
/// Publish checks that the rows hold as many bytes as were committed, switches the pointer row, and then removes the
/// rows of what it replaced. A crash or an error during that removal leaves rows that nothing points to; the next
/// sink over the same target removes them.
pub struct DatabaseSink {
    session: Session,
    tables: Tables,
    options: DatabaseOptions,
    attempt: Attempt,
    cursor: Cursor,
    start: Start,
}

impl DatabaseSink {
    /// Over a session of its own, which is ready for statements.
    pub(super) fn over(mut connection: Box<dyn Connection>, options: &DatabaseOptions) -> io::Result<Self> {
        let tables = Tables::of(&options.target);
        schema::prepare(&mut *connection, &tables)?;
        let attempt = Attempt::claim(&mut *connection, &tables, options).map_err(into_io)?;
        sweep(&mut *connection, &tables, options.target.name())?;
        let start = if attempt.checkpoint.is_some() { Start::Undecided } else { Start::Decided };
        Ok(Self {
            session: Session { connection: Some(connection), transaction: Transaction::None },
            tables,
            options: options.clone(),
            attempt,
            cursor: Cursor::default(),
            start,
        })
    }

    /// The id of the attempt whose progress is in the tables: an earlier one's, if there is something to
    /// resume.
    pub fn attempt_id(&self) -> Option<&AttemptId> {
        self.attempt.attempt_id.as_ref()
    }

    /// An earlier attempt's progress is neither built upon nor overwritten by chance.
    fn check_started(&self) -> io::Result<()> {
        match self.start {
            Start::Decided => Ok(()),
            Start::Undecided => Err(misuse(
                "an earlier attempt's progress is there: go on from it, start over, or discard it".into(),
            )),
        }
    }
}

impl StreamingSink for DatabaseSink {
    fn capabilities(&self) -> SinkCapabilities {
        SinkCapabilities::new(Visibility::Visible)
    }

    fn last_commit(&mut self) -> io::Result<Option<Checkpoint>> {
        Ok(self.attempt.checkpoint.clone())
    }

    fn resume_at(&mut self, index: u64, at: u64) -> io::Result<()> {
        let Self { session, tables, options, attempt, .. } = self;
        if (index, at) == (0, 0) {
            session.call(|connection| {
                *attempt = attempt.begin_again(connection, tables, options).map_err(into_io)?;
                sweep(connection, tables, options.target.name())
            })?;
        } else if (index, at) != (attempt.segments, attempt.len) || self.start == Start::Decided {
            let (segments, len) = (attempt.segments, attempt.len);
            let message = format!(
                "cannot go on at segment {index}, byte {at}: segment {segments} comes next, at {len}"
            );
            return Err(misuse(message));
        }
        self.cursor = Cursor::resuming_at(index, at);
        self.start = Start::Decided;
        Ok(())
    }

    fn begin_segment(&mut self, index: u64, at: u64) -> io::Result<()> {
        self.check_started()?;
        self.cursor.begin(index, at)
    }

    fn write_tentative(&mut self, at: u64, data: &[u8]) -> io::Result<()> {
        self.cursor.write(at, data.len())?;
        let Self { session, tables, attempt, .. } = self;
        session.call_in_transaction(|connection| {
            let rows = data.chunks(ROW_LEN_MAX).zip((at..).step_by(ROW_LEN_MAX));
            rows.into_iter().try_for_each(|(bytes, at)| attempt.insert(connection, tables, at, bytes))
        })
    }

    fn rollback_segment(&mut self) -> io::Result<()> {
        self.cursor.roll_back()?;
        self.session.roll_back()
    }

    fn commit_segment(&mut self, checkpoint: &Checkpoint) -> Result<(), CommitError> {
        if self.cursor.commit() == Committed::NothingOpen {
            let message = "a database is written in order, and no segment is open";
            return Err(CommitError::NotCommitted(misuse(message.into())));
        }
        let Self { session, tables, attempt, cursor, .. } = self;
        session.commit(|connection| attempt.commit(connection, tables, cursor.committed_end(), checkpoint))
    }

    fn publish(&mut self, plain_len: u64) -> Result<(), CommitError> {
        self.check_started().and_then(|()| self.cursor.check_closed()).map_err(CommitError::NotCommitted)?;
        let committed = self.attempt.len;
        if committed != plain_len {
            let message = format!("publishing {plain_len} bytes where {committed} were committed");
            return Err(CommitError::NotCommitted(misuse(message)));
        }
        let Self { session, tables, options, attempt, .. } = self;
        let mut connection = session.take().map_err(CommitError::NotCommitted)?;
        attempt.publish(&mut *connection, tables, options)?;
        // It is published. Rows that stay behind now are in nobody's way, and go with the next sweep.
        let _ = sweep(&mut *connection, tables, options.target.name());
        Ok(())
    }

    fn discard(&mut self) -> io::Result<()> {
        if self.session.transaction == Transaction::Open {
            self.session.roll_back()?;
        }
        let Self { session, tables, options, attempt, .. } = self;
        let mut connection = session.take()?;
        attempt.discard(&mut *connection, tables).map_err(into_io)?;
        sweep(&mut *connection, tables, options.target.name())
    }

    fn positioned(&self) -> Option<Arc<dyn WriteAt>> {
        None
    }

    fn durability(&self) -> Option<Arc<dyn SyncTo>> {
        None
    }
}

impl fmt::Debug for DatabaseSink {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (target, attempt) = (&self.options.target, &self.attempt);
        out.debug_struct("DatabaseSink")
            .field("target", target)
            .field("attempt", attempt)
            .finish_non_exhaustive()
    }
}

/// A session and whether a transaction is open on it.
struct Session {
    /// Gone after publish, discard, or the first error: what is left of a transaction then must not be added
    /// to.
    connection: Option<Box<dyn Connection>>,
    transaction: Transaction,
}

impl Session {
    fn take(&mut self) -> io::Result<Box<dyn Connection>> {
        let closed = || io::Error::new(io::ErrorKind::NotConnected, "the session is over, or failed earlier");
        self.connection.take().ok_or_else(closed)
    }

    /// The connection is kept only if the call succeeds.
    fn call<T, E: From<io::Error>>(
        &mut self,
        call: impl FnOnce(&mut dyn Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut connection = self.take()?;
        let value = call(&mut *connection)?;
        self.connection = Some(connection);
        Ok(value)
    }

    /// Begins the segment's transaction if this is its first call.
    fn call_in_transaction<T>(
        &mut self,
        call: impl FnOnce(&mut dyn Connection) -> io::Result<T>,
    ) -> io::Result<T> {
        if self.transaction == Transaction::None {
            self.call(|connection| connection.begin())?;
            self.transaction = Transaction::Open;
        }
        self.call(call)
    }

    fn roll_back(&mut self) -> io::Result<()> {
        match std::mem::replace(&mut self.transaction, Transaction::None) {
            Transaction::Open => self.call(|connection| connection.roll_back()),
            Transaction::None => Ok(()),
        }
    }

    /// `commit` ends the transaction.
    fn commit(
        &mut self,
        commit: impl FnOnce(&mut dyn Connection) -> Result<(), CommitError>,
    ) -> Result<(), CommitError> {
        self.call_in_transaction(|_| Ok(())).map_err(CommitError::NotCommitted)?;
        self.transaction = Transaction::None;
        self.call(commit)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Transaction {
    None,
    Open,
}

/// Whether it is settled what becomes of an earlier attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Start {
    Undecided,
    Decided,
}

fn misuse(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

fn into_io(error: CommitError) -> io::Error {
    match error {
        CommitError::NotCommitted(error) | CommitError::Unknown(error) => error,
    }
}

/// Bytes of the longest row: what a reader must hold at once.
pub(super) const ROW_LEN_MAX: usize = 1024 * 1024;
