//! A session with an SQLite database file.
//! Knows no table.

use std::{io, path::Path};

use contract::CommitError;
use rusqlite::{
    ErrorCode, OpenFlags, ToSql,
    types::{ToSqlOutput, ValueRef},
};

use super::{
    connection::{Cell, Connection, Dialect, Row, Value},
    options::DatabaseOptions,
    published::Published,
    sink::DatabaseSink,
    target::DatabaseTarget,
};

impl DatabaseSink {
    /// A sink in the SQLite database at `path`, which is made if it is not there.
    ///
    /// Its journal mode stays as it is, WAL or a rollback journal; this session syncs at each commit. Two
    /// restores into the same target do not keep each other out: the one that came last continues, and the
    /// other one's next transaction fails with [`io::ErrorKind::ResourceBusy`].
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`]: the name is published, and replacing it was not asked for.
    /// [`io::ErrorKind::Unsupported`]: the database is kept in memory, or its tables are of another version.
    /// [`io::ErrorKind::ResourceBusy`]: somebody else holds the database for longer than a few seconds.
    /// SQLite's own.
    pub fn sqlite(path: impl AsRef<Path>, options: &DatabaseOptions) -> io::Result<Self> {
        let path = path.as_ref();
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let session = SqliteSession::open(path, flags)?;
        session.prepare_to_write()?;
        Self::over(Box::new(session), options)
    }
}

impl Published {
    /// What is published as `target` in the SQLite database at `path`. None: nothing is.
    ///
    /// # Errors
    /// There is no such database; its tables are of another version; SQLite's own.
    pub fn sqlite(path: impl AsRef<Path>, target: &DatabaseTarget) -> io::Result<Option<Self>> {
        let path = path.as_ref();
        let session = SqliteSession::open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        Self::over(Box::new(session), target)
    }
}

pub(super) struct SqliteSession(rusqlite::Connection);

impl SqliteSession {
    /// A session that waits for others up to [`rusqlite`]'s five seconds.
    pub(super) fn open(path: &Path, flags: OpenFlags) -> io::Result<Self> {
        let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Ok(Self(rusqlite::Connection::open_with_flags(path, flags).map_err(io_error)?))
    }

    /// Makes every commit durable, whatever the journal's mode is.
    pub(super) fn prepare_to_write(&self) -> io::Result<()> {
        let mode: String =
            self.0.pragma_query_value(None, "journal_mode", |row| row.get(0)).map_err(io_error)?;
        if !DURABLE_MODES.contains(&mode.as_str()) {
            let message = format!("a database with journal mode {mode:?} does not survive a crash");
            return Err(io::Error::new(io::ErrorKind::Unsupported, message));
        }
        // FULL and, where the removal of a rollback journal is the commit, the sync of its directory as well.
        self.0.pragma_update(None, "synchronous", "EXTRA").map_err(io_error)
    }
}

impl Connection for SqliteSession {
    fn dialect(&self) -> &'static Dialect {
        &DIALECT
    }

    fn begin(&mut self) -> io::Result<()> {
        self.0.execute_batch("BEGIN IMMEDIATE").map_err(io_error)
    }

    fn commit(&mut self) -> Result<(), CommitError> {
        let Err(error) = self.0.execute_batch("COMMIT") else { return Ok(()) };
        if self.0.is_autocommit() {
            // It ended the transaction and failed: a sync, most likely.
            return Err(CommitError::Unknown(io_error(error)));
        }
        let _ = self.0.execute_batch("ROLLBACK"); // the end of the session does it otherwise
        Err(CommitError::NotCommitted(io_error(error)))
    }

    fn roll_back(&mut self) -> io::Result<()> {
        self.0.execute_batch("ROLLBACK").map_err(io_error)
    }

    /// Refused: after a failed sync, what can be read is not what is on the medium, and only recovery settles
    /// it.
    fn connect_again(&mut self) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "the outcome of a failed sync cannot be looked up"))
    }

    fn execute(&mut self, sql: &str, values: &[Value<'_>]) -> io::Result<u64> {
        let mut statement = self.0.prepare_cached(sql).map_err(io_error)?;
        let changed = statement.execute(rusqlite::params_from_iter(values)).map_err(io_error)?;
        Ok(changed as u64)
    }

    fn first_row(&mut self, sql: &str, values: &[Value<'_>]) -> io::Result<Option<Row>> {
        let mut statement = self.0.prepare_cached(sql).map_err(io_error)?;
        let columns = statement.column_count();
        let mut rows = statement.query(rusqlite::params_from_iter(values)).map_err(io_error)?;
        let Some(row) = rows.next().map_err(io_error)? else { return Ok(None) };
        let cells = (0..columns).map(|column| row.get_ref(column).map(cell)).collect::<Result<_, _>>();
        Ok(Some(Row::new(cells.map_err(io_error)?)))
    }
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Integer(integer) => ValueRef::Integer(*integer),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

fn cell(value: ValueRef<'_>) -> Cell {
    match value {
        ValueRef::Null | ValueRef::Real(_) => Cell::Null,
        ValueRef::Integer(integer) => Cell::Integer(integer),
        ValueRef::Text(text) => Cell::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Cell::Bytes(bytes.to_vec()),
    }
}

fn io_error(error: rusqlite::Error) -> io::Error {
    let kind = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => io::ErrorKind::ResourceBusy,
        Some(ErrorCode::DiskFull) => io::ErrorKind::StorageFull,
        Some(ErrorCode::ReadOnly) => io::ErrorKind::ReadOnlyFilesystem,
        Some(ErrorCode::PermissionDenied) => io::ErrorKind::PermissionDenied,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => io::ErrorKind::InvalidData,
        Some(ErrorCode::CannotOpen) => io::ErrorKind::NotFound,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

const DIALECT: Dialect = Dialect {
    bytes: "BLOB",
    assigned_key: "INTEGER PRIMARY KEY AUTOINCREMENT",
    table_exists: "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1",
    lock_schema: "",
    alter_chunks: "",
};
/// In other modes a crash loses commits, or the database.
const DURABLE_MODES: [&str; 4] = ["delete", "truncate", "persist", "wal"];
