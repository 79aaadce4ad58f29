//! The rows of one restore: claimed, grown, published, given up and swept away.
//! Knows no order of calls: the sink does.

use std::io;

use contract::{AttemptId, Checkpoint, CommitError, IfExists};

use super::{
    connection::{Connection, Row, Value, to_integer, transact},
    options::DatabaseOptions,
    target::Tables,
};

/// A restore that is not published yet, and how far it is. Held by whoever raised its epoch last: every
/// transaction compares the epoch, so that what an earlier holder still has under way cannot commit.
#[derive(Debug)]
pub(super) struct Attempt {
    id: i64,
    epoch: i64,
    pub(super) segments: u64,
    pub(super) len: u64,
    pub(super) checkpoint: Option<Checkpoint>,
    pub(super) attempt_id: Option<AttemptId>,
}

impl Attempt {
    /// Takes over what an earlier attempt left, or begins a new one.
    pub(super) fn claim(
        connection: &mut dyn Connection,
        tables: &Tables,
        options: &DatabaseOptions,
    ) -> Result<Self, CommitError> {
        let name = options.target.name();
        transact(connection, |connection| {
            if options.if_exists == IfExists::Refuse {
                refuse_published(connection, tables, name)?;
            }
            match Self::take_over(connection, tables, name)? {
                Some(found) if found.checkpoint.is_some() => Ok(found),
                Some(bare) => {
                    give_up(connection, tables, &bare)?;
                    Self::begin(connection, tables, options)
                }
                None => Self::begin(connection, tables, options),
            }
        })
    }

    /// Gives up this attempt and begins another one in its place.
    pub(super) fn begin_again(
        &self,
        connection: &mut dyn Connection,
        tables: &Tables,
        options: &DatabaseOptions,
    ) -> Result<Self, CommitError> {
        transact(connection, |connection| {
            give_up(connection, tables, self)?;
            Self::begin(connection, tables, options)
        })
    }

    /// Adds a row to the open transaction.
    pub(super) fn insert(
        &self,
        connection: &mut dyn Connection,
        tables: &Tables,
        at: u64,
        bytes: &[u8],
    ) -> io::Result<()> {
        let sql = format!("INSERT INTO {} (restore, position, bytes) VALUES (?1, ?2, ?3)", tables.chunks);
        let values = [Value::Integer(self.id), Value::Integer(to_integer(at)?), Value::Bytes(bytes)];
        connection.execute(&sql, &values).map(|_| ())
    }

    /// Notes in the open transaction that one segment more is there, and `len` bytes in all, and commits.
    pub(super) fn commit(
        &mut self,
        connection: &mut dyn Connection,
        tables: &Tables,
        len: u64,
        checkpoint: &Checkpoint,
    ) -> Result<(), CommitError> {
        let segments = self.segments + 1;
        self.note(connection, tables, segments, len, checkpoint).map_err(CommitError::NotCommitted)?;
        match connection.commit() {
            Ok(()) => {}
            Err(CommitError::NotCommitted(error)) => return Err(CommitError::NotCommitted(error)),
            Err(CommitError::Unknown(error)) => {
                self.look_for_commit(connection, tables, checkpoint, error)?
            }
        }
        self.segments = segments;
        self.len = len;
        self.checkpoint = Some(checkpoint.clone());
        Ok(())
    }

    /// Turns the pointer row to this restore.
    pub(super) fn publish(
        &mut self,
        connection: &mut dyn Connection,
        tables: &Tables,
        options: &DatabaseOptions,
    ) -> Result<(), CommitError> {
        match transact(connection, |connection| self.turn_pointer(connection, tables, options)) {
            Err(CommitError::Unknown(error)) => self.look_for_publish(connection, tables, error),
            known => known,
        }
    }

    /// Gives the attempt up. Its rows are garbage from here on, whether they are swept away or not.
    pub(super) fn discard(
        &self,
        connection: &mut dyn Connection,
        tables: &Tables,
    ) -> Result<(), CommitError> {
        transact(connection, |connection| give_up(connection, tables, self))
    }

    fn begin(
        connection: &mut dyn Connection,
        tables: &Tables,
        options: &DatabaseOptions,
    ) -> io::Result<Self> {
        let sql = format!(
            "INSERT INTO {} (name, state, epoch, label, segments, length) \
             VALUES (?1, 'growing', 1, ?2, 0, 0) RETURNING {COLUMNS}",
            tables.restores
        );
        let attempt_id = options.attempt_id.as_ref().map_or(&[][..], AttemptId::as_bytes);
        let values = [Value::Text(options.target.name()), Value::Bytes(attempt_id)];
        let row = connection.first_row(&sql, &values)?;
        Self::from_row(row.ok_or_else(|| io::Error::other("the database kept no row of a new restore"))?)
    }

    fn take_over(connection: &mut dyn Connection, tables: &Tables, name: &str) -> io::Result<Option<Self>> {
        let sql = format!(
            "UPDATE {} SET epoch = epoch + 1 WHERE name = ?1 AND state = 'growing' RETURNING {COLUMNS}",
            tables.restores
        );
        connection.first_row(&sql, &[Value::Text(name)])?.map(Self::from_row).transpose()
    }

    fn from_row(mut row: Row) -> io::Result<Self> {
        Ok(Self {
            id: row.integer()?,
            epoch: row.integer()?,
            segments: row.count()?,
            len: row.count()?,
            attempt_id: attempt_id(&row.bytes()?)?,
            checkpoint: row.bytes_or_null()?.map(|bytes| checkpoint(&bytes)).transpose()?,
        })
    }

    fn note(
        &self,
        connection: &mut dyn Connection,
        tables: &Tables,
        segments: u64,
        len: u64,
        checkpoint: &Checkpoint,
    ) -> io::Result<()> {
        let sql = format!(
            "UPDATE {} SET segments = ?3, length = ?4, checkpoint = ?5 \
             WHERE id = ?1 AND epoch = ?2 AND state = 'growing'",
            tables.restores
        );
        let checkpoint = checkpoint.to_bytes();
        let [id, epoch] = self.key();
        let (segments, len) = (to_integer(segments)?, to_integer(len)?);
        let values = [id, epoch, Value::Integer(segments), Value::Integer(len), Value::Bytes(&checkpoint)];
        still_ours(connection.execute(&sql, &values)?)
    }

    /// In the open transaction: this restore is published, the one before it is garbage, and the pointer row
    /// says so.
    fn turn_pointer(
        &self,
        connection: &mut dyn Connection,
        tables: &Tables,
        options: &DatabaseOptions,
    ) -> io::Result<()> {
        let Tables { restores, published, .. } = tables;
        let sql = format!(
            "UPDATE {restores} SET state = 'published', checkpoint = NULL \
             WHERE id = ?1 AND epoch = ?2 AND state = 'growing'"
        );
        still_ours(connection.execute(&sql, &self.key())?)?;
        self.check_rows(connection, tables)?;
        let name = options.target.name();
        let named = [Value::Text(name), Value::Integer(self.id)];
        let replace = match options.if_exists {
            IfExists::Refuse => "NOTHING",
            IfExists::Replace => "UPDATE SET restore = excluded.restore",
        };
        let sql = format!(
            "INSERT INTO {published} (name, restore) VALUES (?1, ?2) ON CONFLICT (name) DO {replace}"
        );
        if connection.execute(&sql, &named)? != 1 {
            return Err(exists(name));
        }
        let sql = format!(
            "UPDATE {restores} SET state = 'garbage' WHERE name = ?1 AND state = 'published' AND id <> ?2"
        );
        connection.execute(&sql, &named).map(|_| ())
    }

    /// The rows are what the commits said: no byte fewer, no byte more, none beyond the end.
    fn check_rows(&self, connection: &mut dyn Connection, tables: &Tables) -> io::Result<()> {
        let sql = format!(
            "SELECT CAST(COALESCE(SUM(LENGTH(bytes)), 0) AS BIGINT), \
             CAST(COALESCE(MAX(position + LENGTH(bytes)), 0) AS BIGINT) FROM {} WHERE restore = ?1",
            tables.chunks
        );
        let (mut sum, mut end) = (0, 0);
        if let Some(mut row) = connection.first_row(&sql, &[Value::Integer(self.id)])? {
            (sum, end) = (row.count()?, row.count()?);
        }
        if (sum, end) == (self.len, self.len) {
            return Ok(());
        }
        let message = format!(
            "{} bytes were committed, and the rows of {} hold {sum}, up to {end}: something else has written \
             there. Restore anew",
            self.len, tables.chunks
        );
        Err(io::Error::new(io::ErrorKind::InvalidData, message))
    }

    /// After a commit of which no answer came: it has happened if there is a segment more, and the checkpoint is there.
    fn look_for_commit(
        &mut self,
        connection: &mut dyn Connection,
        tables: &Tables,
        checkpoint: &Checkpoint,
        lost: io::Error,
    ) -> Result<(), CommitError> {
        match self.look(connection, tables) {
            Ok(Some(found)) if found.segments == self.segments => Err(CommitError::NotCommitted(lost)),
            Ok(Some(found)) if found.checkpoint.as_ref() == Some(checkpoint) => Ok(()),
            _ => Err(CommitError::Unknown(lost)),
        }
    }

    /// After a publish of which no answer came. Without it the row is still a growing one, as the claim was.
    fn look_for_publish(
        &mut self,
        connection: &mut dyn Connection,
        tables: &Tables,
        lost: io::Error,
    ) -> Result<(), CommitError> {
        match self.look(connection, tables) {
            Ok(Some(_)) => Err(CommitError::NotCommitted(lost)),
            Ok(None) if self.is_published(connection, tables).is_ok_and(|published| published) => Ok(()),
            _ => Err(CommitError::Unknown(lost)),
        }
    }

    /// Takes the attempt over from its own earlier session, and gives what is there. None: it is not growing
    /// any more, or not ours.
    fn look(&mut self, connection: &mut dyn Connection, tables: &Tables) -> io::Result<Option<Self>> {
        connection.connect_again()?;
        let sql = format!(
            "UPDATE {} SET epoch = epoch + 1 WHERE id = ?1 AND epoch = ?2 AND state = 'growing' \
             RETURNING {COLUMNS}",
            tables.restores
        );
        let found = connection.first_row(&sql, &self.key())?.map(Self::from_row).transpose()?;
        if let Some(found) = &found {
            self.epoch = found.epoch;
        }
        Ok(found)
    }

    /// An epoch that stayed says that it was published by us, a pointer elsewhere that it was replaced since.
    fn is_published(&self, connection: &mut dyn Connection, tables: &Tables) -> io::Result<bool> {
        let sql = format!("SELECT state FROM {} WHERE id = ?1 AND epoch = ?2", tables.restores);
        let row = connection.first_row(&sql, &self.key())?;
        Ok(row.map(|mut row| row.text()).transpose()?.is_some_and(|state| state == "published"))
    }

    fn key(&self) -> [Value<'static>; 2] {
        [Value::Integer(self.id), Value::Integer(self.epoch)]
    }
}

/// Removes the rows of what was replaced or given up under this name, a batch a transaction.
pub(super) fn sweep(connection: &mut dyn Connection, tables: &Tables, name: &str) -> io::Result<()> {
    let Tables { restores, chunks, .. } = tables;
    let garbage = format!("SELECT id FROM {restores} WHERE name = ?1 AND state = 'garbage'");
    let batch = format!(
        "DELETE FROM {chunks} WHERE restore = ?1 AND position IN \
         (SELECT position FROM {chunks} WHERE restore = ?1 ORDER BY position LIMIT {SWEEP_ROWS})"
    );
    let row = format!("DELETE FROM {restores} WHERE id = ?1 AND state = 'garbage'");
    while let Some(mut found) = connection.first_row(&garbage, &[Value::Text(name)])? {
        let id = [Value::Integer(found.integer()?)];
        while connection.execute(&batch, &id)? > 0 {}
        if connection.execute(&row, &id)? == 0 {
            break; // another sweep was faster, and goes on
        }
    }
    Ok(())
}

fn give_up(connection: &mut dyn Connection, tables: &Tables, attempt: &Attempt) -> io::Result<()> {
    let sql = format!(
        "UPDATE {} SET state = 'garbage', checkpoint = NULL \
         WHERE id = ?1 AND epoch = ?2 AND state = 'growing'",
        tables.restores
    );
    still_ours(connection.execute(&sql, &attempt.key())?)
}

fn refuse_published(connection: &mut dyn Connection, tables: &Tables, name: &str) -> io::Result<()> {
    let sql = format!("SELECT restore FROM {} WHERE name = ?1", tables.published);
    match connection.first_row(&sql, &[Value::Text(name)])? {
        Some(_) => Err(exists(name)),
        None => Ok(()),
    }
}

fn exists(name: &str) -> io::Error {
    let message = format!("{name:?} is published in this database, and replacing it was not asked for");
    io::Error::new(io::ErrorKind::AlreadyExists, message)
}

/// `changed`: rows that a statement found by id and epoch.
fn still_ours(changed: u64) -> io::Result<()> {
    if changed == 1 {
        return Ok(());
    }
    let message = "another restore has taken this target over, or it was given up";
    Err(io::Error::new(io::ErrorKind::ResourceBusy, message))
}

fn checkpoint(bytes: &[u8]) -> io::Result<Checkpoint> {
    match bytes.try_into() {
        Ok(bytes) => Ok(Checkpoint::from_bytes(bytes)),
        Err(_) => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a checkpoint of {} bytes where {} were due", bytes.len(), Checkpoint::LEN),
        )),
    }
}

/// An empty one is none.
fn attempt_id(bytes: &[u8]) -> io::Result<Option<AttemptId>> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let max = AttemptId::LEN_MAX;
    let message = || format!("a label of {} bytes where {max} are the most", bytes.len());
    AttemptId::new(bytes).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, message())).map(Some)
}

/// What [`Attempt::from_row`] reads.
const COLUMNS: &str = "id, epoch, segments, length, label, checkpoint";
/// Rows that one transaction removes: at most so many MiB.
const SWEEP_ROWS: u32 = 64;
