//! What is published under a name, read back.
//! Knows no restore but a published one.

use std::{
    fmt,
    io::{self, Read},
};

use super::{
    connection::{Connection, Value, to_integer},
    schema,
    sink::ROW_LEN_MAX,
    target::{DatabaseTarget, Tables},
};

/// The published bytes of a target, from the first to the last.
///
/// They are those of one restore, the one that was published when this was opened. If another one is
/// published meanwhile, its predecessor's rows are removed, and a read meets an error; it never continues in
/// the new one.
pub struct Published {
    connection: Box<dyn Connection>,
    next_row: String,
    restore: i64,
    len: u64,
    /// Where the next row begins.
    position: u64,
    row: io::Cursor<Vec<u8>>,
}

impl Published {
    /// Bytes in all.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the stream was one of no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// None: nothing is published under this name, or there are no tables.
    pub(super) fn over(
        mut connection: Box<dyn Connection>,
        target: &DatabaseTarget,
    ) -> io::Result<Option<Self>> {
        let tables = Tables::of(target);
        if schema::version(&mut *connection, &tables)?.is_none() {
            return Ok(None);
        }
        schema::prepare(&mut *connection, &tables)?;
        let Tables { restores, chunks, published, .. } = &tables;
        let sql = format!(
            "SELECT r.id, r.length FROM {published} p JOIN {restores} r ON r.id = p.restore WHERE p.name = ?1"
        );
        let Some(mut row) = connection.first_row(&sql, &[Value::Text(target.name())])? else {
            return Ok(None);
        };
        // A longer row than any that a sink writes stays where it is.
        let next_row = format!(
            "SELECT CASE WHEN length(bytes) <= {ROW_LEN_MAX} THEN bytes END FROM {chunks} \
             WHERE restore = ?1 AND position = ?2"
        );
        let (restore, len) = (row.integer()?, row.count()?);
        Ok(Some(Self { connection, next_row, restore, len, position: 0, row: io::Cursor::default() }))
    }

    fn fetch(&mut self) -> io::Result<()> {
        let key = [Value::Integer(self.restore), Value::Integer(to_integer(self.position)?)];
        let Some(mut row) = self.connection.first_row(&self.next_row, &key)? else {
            let (position, len) = (self.position, self.len);
            let message = format!(
                "no row at byte {position} of {len}: the target was replaced while it was read, or something \
                 else has removed rows. Open it again"
            );
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
        };
        let Some(bytes) = row.bytes_or_null()? else {
            let message = format!(
                "the row at byte {} has more than {ROW_LEN_MAX} bytes: something else has written it",
                self.position
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        };
        let end = self.position.saturating_add(bytes.len() as u64);
        if bytes.is_empty() || end > self.len {
            let message = format!("a row from byte {} to {end} of {} does not fit", self.position, self.len);
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        self.position = end;
        self.row = io::Cursor::new(bytes);
        Ok(())
    }
}

impl Read for Published {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let drained = self.row.position() == self.row.get_ref().len() as u64;
        if drained && self.position < self.len && !buffer.is_empty() {
            self.fetch()?;
        }
        self.row.read(buffer)
    }
}

impl fmt::Debug for Published {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { restore, len, position, .. } = self;
        let mut out = out.debug_struct("Published");
        out.field("restore", restore).field("len", len).field("position", position).finish_non_exhaustive()
    }
}
