//! What the sink asks of a database: transactions, and statements with values in and out.
//! Knows no table, and no database.

use std::io;

use contract::CommitError;

/// One session with a database. Statements are written with `?1`, `?2`, …
///
/// Outside `begin` and `commit` each statement is a transaction of its own.
pub(super) trait Connection: Send {
    /// How this database spells what is not spelled alike everywhere.
    fn dialect(&self) -> &'static Dialect;

    /// Opens a transaction that may write.
    fn begin(&mut self) -> io::Result<()>;

    /// Makes the open transaction durable.
    fn commit(&mut self) -> Result<(), CommitError>;

    fn roll_back(&mut self) -> io::Result<()>;

    /// Opens a new session when the old one is lost, and returns only when the server is done with the old
    /// one: what it left open has committed by then, or never will.
    fn connect_again(&mut self) -> io::Result<()>;

    /// Gives the number of rows that were changed.
    fn execute(&mut self, sql: &str, values: &[Value<'_>]) -> io::Result<u64>;

    /// Gives the first row, if there is one.
    fn first_row(&mut self, sql: &str, values: &[Value<'_>]) -> io::Result<Option<Row>>;
}

/// What databases spell differently.
pub(super) struct Dialect {
    /// The type of a column of bytes.
    pub(super) bytes: &'static str,
    /// A 64-bit primary key that the database assigns, never twice.
    pub(super) assigned_key: &'static str,
    /// A query with one row if the table `?1` exists.
    pub(super) table_exists: &'static str,
    /// Keeps others from making the tables, up to the end of the transaction; empty where `begin` does.
    pub(super) lock_schema: &'static str,
    /// Follows `ALTER TABLE chunks`, once it is made; empty where nothing is to be done.
    pub(super) alter_chunks: &'static str,
}

/// A value that goes into a statement.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Integer(i64),
    Text(&'a str),
    Bytes(&'a [u8]),
}

/// A value that comes out.
#[derive(Debug)]
pub(super) enum Cell {
    Null,
    Integer(i64),
    Text(String),
    Bytes(Vec<u8>),
}

/// One row that came out, read from its first column to its last.
#[derive(Debug)]
pub(super) struct Row(std::vec::IntoIter<Cell>);

impl Row {
    pub(super) fn new(cells: Vec<Cell>) -> Self {
        Self(cells.into_iter())
    }

    pub(super) fn integer(&mut self) -> io::Result<i64> {
        match self.0.next() {
            Some(Cell::Integer(integer)) => Ok(integer),
            other => Err(misfit("an integer", other.as_ref())),
        }
    }

    /// A count or an offset.
    pub(super) fn count(&mut self) -> io::Result<u64> {
        let integer = self.integer()?;
        u64::try_from(integer).map_err(|_| misfit("a count", Some(&Cell::Integer(integer))))
    }

    pub(super) fn text(&mut self) -> io::Result<String> {
        match self.0.next() {
            Some(Cell::Text(text)) => Ok(text),
            other => Err(misfit("a text", other.as_ref())),
        }
    }

    pub(super) fn bytes(&mut self) -> io::Result<Vec<u8>> {
        self.bytes_or_null()?.ok_or_else(|| misfit("bytes", Some(&Cell::Null)))
    }

    pub(super) fn bytes_or_null(&mut self) -> io::Result<Option<Vec<u8>>> {
        match self.0.next() {
            Some(Cell::Bytes(bytes)) => Ok(Some(bytes)),
            Some(Cell::Null) => Ok(None),
            other => Err(misfit("bytes", other.as_ref())),
        }
    }
}

/// Databases count in signed numbers.
pub(super) fn to_integer(count: u64) -> io::Result<i64> {
    i64::try_from(count).map_err(|_| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("{count} is more than a database can count"))
    })
}

/// Does `work` in a transaction that is rolled back if it fails.
pub(super) fn transact<T>(
    connection: &mut dyn Connection,
    work: impl FnOnce(&mut dyn Connection) -> io::Result<T>,
) -> Result<T, CommitError> {
    connection.begin().map_err(CommitError::NotCommitted)?;
    match work(connection) {
        Ok(value) => connection.commit().map(|()| value),
        Err(error) => {
            // Nothing was committed, whatever comes of this: the end of the session rolls back, too.
            let _ = connection.roll_back();
            Err(CommitError::NotCommitted(error))
        }
    }
}

fn misfit(due: &str, found: Option<&Cell>) -> io::Error {
    // Never the bytes themselves: they may be anyone's.
    let found = match found {
        None => "no column".into(),
        Some(Cell::Null) => "NULL".into(),
        Some(Cell::Integer(integer)) => format!("the integer {integer}"),
        Some(Cell::Text(_)) => "a text".into(),
        Some(Cell::Bytes(bytes)) => format!("{} bytes", bytes.len()),
    };
    let message = format!("the tables hold {found} where {due} was due: something else has written to them");
    io::Error::new(io::ErrorKind::InvalidData, message)
}
